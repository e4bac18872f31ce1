"""Documents in, links out: a concept id with a calibrated probability, or NIL.

Read ``linker`` first: the whole path of one batch. ``name_finder`` and ``token_classifier`` find mentions,
``prompts`` and ``reranker`` ask the language model, ``features`` and ``calibration`` make one probability of all
evidence, and ``bundle`` is the folder that holds a linker.
"""
