"""A file in, the rows of a release out; one module for each format.

Read ``tabular`` first, the shortest. ``files`` recognises formats and ``archive`` unpacks; ``delimited`` (sound lines)
and ``columns`` (rows collected as columns) serve several readers. ``sssom`` adds mappings to the concepts of the
others and ``synonym_sets`` names (``beside`` tells their files apart).
"""
