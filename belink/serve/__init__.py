"""A linker over HTTP: ``application.py`` first, ``batching.py`` for how requests share one model, ``following.py`` for
how a new champion takes over.
"""
