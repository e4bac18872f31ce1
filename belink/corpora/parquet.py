"""Documents from Parquet, and links to Parquet, some rows at a time: a table may be larger than memory.

Input: a column ``text``, and optionally ``id`` and ``mentions``, a list of {start, end}. Output: one row a link, with
its document and lineage.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from belink.corpora.raw import clean, whole_number
from belink.errors import CorpusError, first_line
from belink.records import Document, Link, Mention, link_json

ROWS = 1024  # rows read or written at a time
MAGIC = b"PAR1"  # first bytes of every Parquet file
LINEAGE = ("linker", "model_version", "releases", "index", "adapter", "bundle")


def read_documents(path: Path, stream: BinaryIO | None = None) -> Iterator[Document]:
    """Yield the documents of a Parquet file; numbered from 0 where it has no column ``id``.

    :param stream: the content of the file, where it is open already.
    :raises CorpusError: it is not Parquet, or has no column ``text``, or a mention lies outside its text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(stream or path) as file:
            columns = [name for name in ("id", "text", "mentions") if name in file.schema_arrow.names]
            if "text" not in columns:
                names = ", ".join(file.schema_arrow.names) or "none"
                raise CorpusError(f"{path}: expected a column text, found {names}; rename the one that holds it")
            # Numbers run over all batches, so ids are unique in the file.
            number = 0
            for batch in file.iter_batches(batch_size=ROWS, columns=columns):
                for row in batch.to_pylist():
                    yield _document(path, row, number)
                    number += 1
    except pa.ArrowException as error:
        raise CorpusError(f"{path}: expected a Parquet file, found {str(error).splitlines()[0]}") from error


def _document(path: Path, row: Mapping[str, Any], number: int) -> Document:
    identifier, text = row.get("id"), row["text"]
    name = clean(str(number if identifier is None else identifier))
    if not isinstance(text, str):
        if text is not None and text == text:  # NaN is how data frames write that there is none
            raise CorpusError(f"{path}: row {number}: expected a text, found {str(text)[:40]!r}")
        text = ""
    try:
        spans = [(_offset(mention["start"]), _offset(mention["end"])) for mention in _mentions(row.get("mentions"))]
    except (KeyError, TypeError, ValueError) as error:
        raise CorpusError(
            f"{path}: row {number}: expected mentions as a list of {{start, end}} in whole numbers, found "
            f"{str(row['mentions'])[:60]!r} ({first_line(error, 40)})"
        ) from error
    for start, end in spans:
        if not 0 <= start < end <= len(text):
            raise CorpusError(
                f"{path}: row {number}: expected mentions within {len(text)} characters, found {start} to {end}"
            )
    mentions = tuple(Mention(text=text[start:end], start=start, end=end, document=name) for start, end in spans)
    return Document(id=name, text=text, mentions=mentions)


def _mentions(value: Any) -> list[Any]:
    """Return the mentions of a row; without a list there are none, as data frames write it: None or NaN."""
    if value is None or value != value:
        return []
    if not isinstance(value, list):
        raise TypeError(f"a {type(value).__name__}")
    return value


def _offset(value: Any) -> int:
    """Return an offset; data frames make floats of whole numbers."""
    return whole_number(int(value) if isinstance(value, float) and value.is_integer() else value)


def write_links(
    path: Path, linked: Iterable[tuple[str, Sequence[Link]]], lineage: Mapping[str, str]
) -> tuple[int, int]:
    """Write one row a link; return how many documents and links that were.

    :param path: written as it is; the caller moves it into place.
    :param linked: the id of a document, and its links.
    :param lineage: of links that have none of their own; of its keys those in :data:`LINEAGE` go into each row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, offset = pa.string(), pa.int64()
    of_link = {"text": text, "start": offset, "end": offset, "id": text, "label": text, "ontology": text,
               "release": text, "type": text, "probability": pa.float64(), "decided_by": text}  # fmt: skip
    # Lineage stands in every row, so that tables of several runs can be put together.
    schema = pa.schema([("document", text), *of_link.items(), *((name, text) for name in LINEAGE)])
    n_documents = n_links = 0
    with pq.ParquetWriter(path, schema) as writer:
        rows: list[dict[str, Any]] = []
        for document, links in linked:
            n_documents += 1
            for link in links:
                node, origin = link_json(link, n_candidates=0), link.lineage or lineage
                cells = {**{name: node[name] for name in of_link}, **{name: origin.get(name, "") for name in LINEAGE}}
                rows.append({**cells, "document": document})
            # Rows are written in groups, so that memory does not grow with the table.
            if len(rows) >= ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                n_links, rows = n_links + len(rows), []
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return n_documents, n_links + len(rows)
