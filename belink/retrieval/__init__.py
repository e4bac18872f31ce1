"""Mentions in, candidate concepts out: exact names, character trigrams, dense vectors.

Read ``retrieve`` first. ``index`` is the folder it searches: ``name_table`` (every normalised name once, with its
owners), ``trigrams`` (scikit-learn) and ``vectors`` (FAISS); ``encoder`` turns texts into vectors.
"""
