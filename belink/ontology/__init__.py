"""A source (OBO, OWL, UMLS RRF, MeSH XML, a table) in, an immutable release out.

Read ``ingest`` first: files → ``readers`` → ``release_writer`` → ``gates`` → one DuckDB file with a manifest.
``release`` opens it read-only, ``diff`` compares two. ``download`` fetches the files that a declaration names.
``migrate``, ``id_spans`` and ``gold_ids`` carry the ids of annotated text from one release to the next.
"""
