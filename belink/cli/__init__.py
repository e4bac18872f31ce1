"""The command line: ``main`` parses, ``commands`` does, ``show`` prints.

Read ``main`` first. Only here (and in ``serve``) errors become one line.
"""
