"""A bundle in, a version in the MLflow registry out; aliases move between versions.

Read ``aliases`` first: champion, challenger, previous. ``store`` is the one door to MLflow, ``bundles`` says where the
bundle of a version lies, ``pyfunc_model`` is the file that MLflow loads, ``open`` opens a registered linker.
"""
