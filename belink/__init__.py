"""belink: links mentions in biomedical text to ontology concepts, and keeps that ability correct.

Read ``link.py`` first: the whole path of one batch. Inner modules never import this package's root.
"""
