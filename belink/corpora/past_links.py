"""Links in: what ``belink link --output`` wrote, told by its content; FHIR alone is not read.

JSON Lines, CSV, TSV and Parquet say all of a link but its other candidates. BioC and PubTator say the concept alone,
and PubTator not even the release: see :func:`releases_of`.
"""

import csv
import io
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from belink import textfiles
from belink.corpora import parquet
from belink.corpora.bioc import COLLECTION
from belink.corpora.files import read_documents
from belink.corpora.links import COLUMNS
from belink.errors import CorpusError, first_line
from belink.records import Candidate, Link, Mention
from belink.text.control import as_cell

_HEAD = 1 << 14  # bytes that tell the format


def read_links(path: Path) -> list[Link]:
    """Return the links of a file that :func:`belink.corpora.links.write_links` wrote, without other candidates.

    The probability is NaN where the format does not say it.

    :raises CorpusError: the file cannot be read, or holds no links.
    """
    try:
        with textfiles.open_bytes(path) as stream:
            is_table = stream.read(len(parquet.MAGIC)) == parquet.MAGIC
        if is_table:
            return [_from_row(row) for row in _table_rows(path)]
        with textfiles.open_utf8(path) as lines:
            head = lines.read(_HEAD).lstrip()
            lines.seek(0)
            for delimiter in (",", "\t"):
                if head.startswith(delimiter.join(f'"{name}"' for name in COLUMNS[:4]).encode()):
                    text = io.TextIOWrapper(lines, encoding="utf-8", newline="")
                    return [_from_row(row) for row in csv.DictReader(text, delimiter=delimiter)]
            if _is_annotated(head):
                return list(_annotated(path))
            links: list[Link] = []
            for number, line in enumerate(lines, 1):
                if line.strip():
                    links += _read_line(line, f"{path}: line {number}")
            return links
    except (OSError, EOFError, zlib.error, UnicodeError, KeyError, TypeError, ValueError) as error:
        raise CorpusError(
            f"{path}: expected links as belink link --output writes them (not FHIR), found {first_line(error)}"
        ) from error


def releases_of(links: Iterable[Link]) -> dict[str, str]:
    """Return ontology → version of the releases that links were made with, as far as their file says it."""
    releases: dict[str, str] = {}
    for link in links:
        for named in filter(None, link.lineage.get("releases", "").split(", ")):
            ontology, _, version = named.partition(" ")
            releases[ontology] = version
        if link.candidate is not None and link.candidate.release:
            releases[link.candidate.ontology] = link.candidate.release
    return releases


def _is_annotated(head: bytes) -> bool:
    """Return whether a text begins as BioC or PubTator rather than as a line of links."""
    first = head.split(b"\n", 1)[0]
    return not (head.startswith(b"{") and b'"links"' in first) and (
        head.startswith(b"<") or b'"documents"' in head or b"|t|" in first
    )


def _annotated(path: Path) -> Iterator[Link]:
    """Yield the links of BioC or PubTator: each mention with its id, or with NIL."""
    for document in read_documents(path):
        collection = (document.source or {}).get(COLLECTION, {})
        lineage = {str(key): str(value) for key, value in collection.get("infons", {}).items()}
        for mention in document.mentions:
            candidate = None
            if mention.gold:
                candidate = Candidate(id=mention.gold[0], label="", name="", ontology="", release="")
            yield Link(mention=mention, candidate=candidate, probability=math.nan, lineage=lineage)


def _table_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


def _from_row(row: Mapping[str, Any]) -> Link:
    """Return the link of a row of Parquet, CSV or TSV; an empty cell is as good as none."""
    text, id_ = _plain(row["text"]), _plain(row["id"]) or None
    node = {
        "text": text, "start": row["start"], "end": row["end"], "id": id_, "label": _plain(row["label"]),
        "ontology": row["ontology"], "release": row["release"], "probability": row["probability"],
    }  # fmt: skip
    lineage = {name: str(row.get(name) or "") for name in parquet.LINEAGE}
    return _read_link(node, lineage, _plain(row["document"]))


def _plain(cell: object) -> str:
    """Return a cell without the apostrophe that keeps spreadsheets from evaluating it."""
    text = "" if cell is None else str(cell)
    return text[1:] if text.startswith("'") and as_cell(text[1:]) == text else text


def _read_line(line: bytes, where: str) -> list[Link]:
    try:
        document = json.loads(line)
        lineage = dict(document["lineage"])
        return [_read_link(node, lineage, str(document["id"])) for node in document["links"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(
            f"{where}: expected a document with links and lineage, as belink link --output links.jsonl writes it, "
            f"found {line.decode().strip()[:60]!r}"
        ) from error


def _read_link(node: Mapping[str, Any], lineage: dict[str, str], document: str) -> Link:
    mention = Mention(
        text=str(node["text"]),
        start=int(node["start"]),
        end=int(node["end"]),
        long_form=str(node.get("long_form") or ""),
        document=document,
    )
    # The name that matched stands with the candidate alone, not with the answer.
    name = next((each["name"] for each in node.get("candidates", ()) if each["id"] == node["id"]), "")
    candidate = None
    if node["id"] is not None:
        candidate = Candidate(
            id=node["id"], label=node["label"] or "", name=name, ontology=node["ontology"], release=node["release"]
        )
    return Link(mention=mention, candidate=candidate, probability=float(node["probability"]), lineage=lineage)
