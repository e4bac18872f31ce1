"""The steps of a refresh as functions of declarations and paths; flows call them in order.

The input is a linker's declaration and a home. The results are artefacts named by what they depend on, a registered
version, and a ``RefreshOutcome``. Read ``refresh`` first: it has the order of the steps. ``ontology`` takes an
ontology to a release, ``retrain`` and ``calibrate`` train and fit, ``promotion`` compares and decides,
``registration`` tells the registry, ``coverage`` says what the linker can answer with, ``dependencies`` says what
each result depends on. ``cleaning`` removes what nothing needs.
"""
