"""The command line: it takes arguments and prints text or one JSON document, and ends with an exit code.

Read ``main`` first. ``ontologies``, ``linkers`` and ``linking`` hold the commands, which parse; ``commands`` calls the
stages, ``show`` turns answers into text, ``console`` prints. Only this package and ``serve`` turn errors into one line.
"""
