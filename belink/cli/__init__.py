"""The command line: in come arguments, out comes text or one JSON document, and an exit code.

Read ``main`` first. ``ontologies``, ``linkers`` and ``linking`` hold the commands, which parse; ``commands`` calls the
stages, ``show`` turns answers into text, ``console`` prints. Only here (and in ``serve``) errors become one line.
"""
