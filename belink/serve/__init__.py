"""A registered linker over HTTP, with a page, and as a spaCy component.

Read ``application`` first; ``batching`` for how requests share one model, ``following`` for how a new champion takes
over.
"""
