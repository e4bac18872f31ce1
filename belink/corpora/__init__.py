"""Annotated text in and out: BioC XML and JSON, PubTator, JSONL, Parquet.

Read ``files`` first: ``read_corpus`` and ``write_corpus``. ``assemble`` holds every mention against its text.
"""
