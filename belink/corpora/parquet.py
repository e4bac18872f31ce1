"""Documents from Parquet, and links to Parquet: a row group at a time, so that a table may be larger than memory.

In: a column ``text``; where there are any, ``id`` and ``mentions``, a list of {start, end}. Out: one row a mention with
its lineage, so that rows of several runs can lie in one table.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from belink.errors import CorpusError
from belink.records import Document, Mention

ROWS = 1024  # read at a time
LINEAGE = ("linker", "model_version", "releases", "index", "adapter", "bundle")


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a Parquet file; numbered from 0 where it has no ``id``.

    :raises CorpusError: it is not Parquet, or has no column ``text``, or a mention lies outside its text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            known = [name for name in ("id", "text", "mentions") if name in file.schema_arrow.names]
            if "text" not in known:
                there = ", ".join(file.schema_arrow.names) or "none"
                raise CorpusError(f"{path}: expected a column text, found {there}; rename the one that holds it")
            number = 0
            for batch in file.iter_batches(batch_size=ROWS, columns=known):
                for row in batch.to_pylist():
                    yield _document(path, row, number)
                    number += 1
    except pa.ArrowException as error:
        raise CorpusError(f"{path}: expected a Parquet file, found {str(error).splitlines()[0]}") from error


def _document(path: Path, row: Mapping[str, Any], number: int) -> Document:
    given = row.get("id")
    name, text = str(number if given is None else given), row["text"] or ""
    spans = [(int(mention["start"]), int(mention["end"])) for mention in row.get("mentions") or ()]
    for start, end in spans:
        if not 0 <= start < end <= len(text):
            raise CorpusError(
                f"{path}: row {number}: expected mentions within {len(text)} characters, found {start} to {end}"
            )
    mentions = tuple(Mention(text=text[start:end], start=start, end=end, document=name) for start, end in spans)
    return Document(id=name, text=text, mentions=mentions)


def write_links(
    path: Path, linked: Iterable[tuple[str, list[dict[str, Any]]]], lineage: Mapping[str, str]
) -> tuple[int, int]:
    """One row a link; how many documents and links there were.

    :param linked: a document's id, and its links as :func:`belink.records.link_json` writes them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, offset = pa.string(), pa.int64()
    plain = {"text": text, "start": offset, "end": offset, "id": text, "label": text, "ontology": text,
             "release": text, "probability": pa.float64(), "decided_by": text}  # fmt: skip
    schema = pa.schema([("document", text), *plain.items(), *((name, text) for name in LINEAGE)])
    origin = {name: lineage.get(name, "") for name in LINEAGE}
    n_documents = n_links = 0
    with pq.ParquetWriter(path, schema) as writer:
        rows: list[dict[str, Any]] = []
        for document, links in linked:
            n_documents += 1
            rows += [{"document": document, **{name: link[name] for name in plain}, **origin} for link in links]
            if len(rows) >= ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                n_links, rows = n_links + len(rows), []
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return n_documents, n_links + len(rows)
