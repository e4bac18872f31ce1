"""The steps of a refresh as functions of declarations and paths; flows call them in order.

Read ``refresh`` first, then ``retrain`` and ``promote``. ``ontology`` is the refresh of an ontology alone, ``cleaning``
removes what nothing needs.
"""
