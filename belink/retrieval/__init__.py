"""Mentions → candidate concepts: exact names, character trigrams, dense vectors.

In: mentions and an index folder. Out: for each mention its candidates, best first, with the evidence for each. Read
``retrieve`` first. ``queries`` are the texts that a mention is looked up by; ``index`` is the folder that is searched:
``name_table`` (every normalised name once, with its owners), ``trigrams`` (scikit-learn) and ``vectors`` (FAISS);
``encoder`` turns texts into vectors; ``evidence`` describes the candidates; ``groups`` is the arithmetic underneath.
"""
