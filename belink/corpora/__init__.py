"""Annotated text in and out: BioC XML and JSON, PubTator, JSONL and Parquet.

In: a file, recognised by its content. Out: :class:`~belink.records.Document` with mentions that fit its text; and back,
documents with their links, in the format of the output's suffix.

Read ``files`` first (``read_corpus`` for annotated files, ``read_documents`` for any that can be linked), then
``links`` (``write_links``). A reader of a format gives ``raw`` documents; ``offset_units`` converts their offsets to
code points, and ``assemble`` compares every mention with the text.
"""
