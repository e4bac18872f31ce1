"""A file in, the rows of a release out; one module a format.

``tabular`` is the shortest to read first. ``files`` and ``archive`` say what a file is and unpack it; ``delimited`` and
``columns`` are what several readers share.
"""
