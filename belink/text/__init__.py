"""Strings in, strings and spans out; nothing here knows of ontologies or files.

Read ``normalise`` first: one function makes the key of a name, for storing and for looking up. ``variants``,
``formulas`` and ``symbols`` give other spellings of a name, ``taxa`` and ``viruses`` those of an organism, which
``written_taxa`` finds in text; ``abbreviations`` (in brackets with ``short_forms``, in lists with
``abbreviation_lists``), ``genera`` and ``appositions`` give other names that a document defines itself; ``sentences``
and ``words`` split text.
"""
