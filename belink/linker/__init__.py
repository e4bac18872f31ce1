"""Documents → links: a concept id with a calibrated probability, or NIL.

In: documents, with mentions marked or not, and a bundle. Out: one :class:`belink.records.Link` a mention.

Read ``linker`` first: the whole path of one batch. ``name_finder``, ``latin_finder`` (of taxa) and ``token_classifier``
find mentions (``finding`` is what the first two share), ``prompts`` and ``reranker`` let a language model choose among
candidates, ``features``, ``conditional_logit`` and ``calibration`` turn all evidence into one probability (``fitting``
fits it), and ``bundle`` is the folder that holds a linker.
"""
