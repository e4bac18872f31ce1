"""Strings in, strings and spans out; nothing here knows of ontologies or files.

``normalise`` first: one function for storing names and for asking. ``abbreviations`` (with ``short_forms``, by their
letters, and ``glossary``, in lists), ``appositions`` and ``formulas`` find a mention's other names; ``sentences`` cuts
text into its sentences.
"""
