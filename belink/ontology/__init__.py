"""A source (OBO, OWL, UMLS RRF, MeSH XML, a table) in, an immutable release out.

Read ``ingest`` first: files → gates → one DuckDB file with a manifest. ``release`` opens it read-only, ``diff``
compares two, ``migrate`` carries ids from one to the next, ``download`` fetches what a declaration names.
"""
