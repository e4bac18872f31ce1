"""Registered linkers over HTTP, with a page, and as a spaCy component.

Read ``application`` first; ``service`` for what its routes share, ``batching`` for how requests share one model,
``following`` for how a new champion takes over.
"""
