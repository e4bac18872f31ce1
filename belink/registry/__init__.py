"""Versions of a linker: a bundle goes in, a version in the MLflow registry comes out, aliases move between versions.

Read ``aliases`` first: champion, challenger, previous. ``tags`` says what MLflow shows of a version, ``status`` what
``belink status`` answers. ``store`` is the one door to MLflow; ``lookup`` reads a home's own database without it.
``moved`` repairs the addresses of a moved home, ``bundles`` finds the bundle of a version. ``open`` opens a registered
linker. ``pyfunc_model`` is the file that MLflow stores and loads, ``predict`` the one function of belink that it knows.
"""
