"""Links out: BioC XML and JSON, PubTator, JSON Lines, CSV, TSV or Parquet, chosen by the suffix of the file.

Call :func:`output_format` first where linking takes long: it refuses a name that no writer knows. Then hand
:func:`write_links` the pairs that ``Linker.link_documents`` returns::

    linked = linker.link_documents(documents)
    n_documents, n_links = write_links(linked, Path("links.jsonl.gz"), linker.lineage)
"""

import csv
import io
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from belink import artefacts, textfiles
from belink.corpora import bioc_writer, fhir, parquet, pubtator
from belink.errors import CorpusError
from belink.records import Document, Link, link_json
from belink.text.control import as_cell

OutputFormat = Literal["bioc-xml", "bioc-json", "pubtator", "jsonl", "csv", "tsv", "parquet", "fhir"]
Linked = Iterable[tuple[Document, Sequence[Link]]]

SUFFIXES: dict[str, OutputFormat] = {
    ".xml": "bioc-xml", ".json": "bioc-json", ".pubtator": "pubtator", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet",
}  # fmt: skip
COLUMNS = ("document", "text", "start", "end", "id", "label", "ontology", "release", "type", "probability",
            "decided_by")  # fmt: skip


def output_format(path: Path) -> OutputFormat:
    """Return the format that the suffix of ``path`` stands for. ``.gz`` after it packs the file; Parquet packs itself.

    :raises CorpusError: the suffix stands for none.
    """
    # ``Path.suffix`` of "links.json.gz" is ".gz".
    suffix = Path(path.name.removesuffix(".gz")).suffix.casefold()
    if suffix not in SUFFIXES or (suffix == ".parquet" and path.name.endswith(".gz")):
        raise CorpusError(
            f"{path}: expected a name that ends in {', '.join(SUFFIXES)} (all but .parquet also with .gz), "
            f"found {''.join(path.suffixes[-2:]) or 'no suffix'}; name the output by its format"
        )
    return SUFFIXES[suffix]


def write_links(
    linked: Linked, path: Path, lineage: Mapping[str, str], *, fhir_codes: Mapping[str, str] | None = None
) -> tuple[int, int]:
    """Write ``linked`` to ``path`` as it comes, whole or not at all; return how many documents and links that were.

    - ``.xml``, ``.json`` (BioC): see :mod:`belink.corpora.bioc_writer`. The collection's infons hold the lineage.
    - ``.pubtator``: title, abstract and mentions with the linked id. The format has no place for the lineage.
    - ``.jsonl``: one line a document: ``id``, ``links`` (see :func:`belink.records.link_json`) and ``lineage``.
    - ``.csv``, ``.tsv``: one row a link, with the columns of Parquet. A cell that a spreadsheet would take for a
      formula gets an apostrophe in front.
    - ``.parquet``: one row a link, see :mod:`belink.corpora.parquet`.

    - FHIR, whatever the suffix, where ``fhir_codes`` is given: one line a link, see :mod:`belink.corpora.fhir`.

    A mention without link keeps the ids it came with.

    :param linked: documents, each with its links; the links belong to mentions of their document.
    :param lineage: which linker, model version, releases and index the links come from.
    :param fhir_codes: see :func:`belink.corpora.fhir.read_codes`.
    :raises CorpusError: see :func:`output_format`.
    """
    chosen: OutputFormat = output_format(path) if fhir_codes is None else "fhir"
    if chosen == "parquet":
        rows = ((document.id, links) for document, links in linked)
        with artefacts.atomic_write(path) as aside:
            return parquet.write_links(aside, rows, lineage)
    # BioC keeps source, date and key of the collection, which stand before its first document.
    pairs = iter(linked)
    first = next(pairs, None)
    before, between, after = _frame(chosen, first[0] if first else None, lineage)
    n_documents = n_links = 0
    with textfiles.write_whole(path) as stream:
        stream.write(before)
        for document, links in itertools.chain([first] if first else [], pairs):
            # JSON allows no comma after the last document, so a comma stands before each but the first.
            if fhir_codes is None:
                written = _document(chosen, document, links, lineage)
            else:
                written = fhir.lines(links, fhir_codes)
            stream.write((between if n_documents else b"") + written)
            n_documents += 1
            n_links += len(links)
        stream.write(after)
    return n_documents, n_links


def _frame(chosen: OutputFormat, first: Document | None, lineage: Mapping[str, str]) -> tuple[bytes, bytes, bytes]:
    """Return what stands before, between and after the documents of a file."""
    if chosen == "bioc-xml":
        return bioc_writer.xml_head(bioc_writer.collection_of(first), lineage), b"", b"</collection>\n"
    if chosen == "bioc-json":
        return bioc_writer.json_head(bioc_writer.collection_of(first), lineage), b",\n", b"\n]}\n"
    if chosen in ("csv", "tsv"):
        return _rows(chosen, [(*COLUMNS, *parquet.LINEAGE)]), b"", b""
    return b"", b"", b""


def _document(chosen: OutputFormat, document: Document, links: Sequence[Link], lineage: Mapping[str, str]) -> bytes:
    if chosen == "jsonl":
        line = {"id": document.id, "links": [link_json(link) for link in links], "lineage": dict(lineage)}
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"
    if chosen in ("csv", "tsv"):
        rows = []
        for link in links:
            node = {**link_json(link, n_candidates=0), "document": document.id}
            origin = link.lineage or lineage  # of several linkers, each link has its own
            rows.append([*(_cell(node[name]) for name in COLUMNS), *(origin.get(k, "") for k in parquet.LINEAGE)])
        return _rows(chosen, rows)
    # Mentions are equal only if their offsets are, too, so two of one text do not collide.
    by_mention = {link.mention: link for link in links}
    if chosen == "bioc-xml":
        return bioc_writer.xml_document(document, by_mention)
    if chosen == "bioc-json":
        return bioc_writer.json_document(document, by_mention)
    return pubtator.document_block(document, by_mention)


def _rows(chosen: OutputFormat, rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    # Every text is quoted: with "\n" as line end the csv module would leave a carriage return in a mention bare.
    delimiter = "," if chosen == "csv" else "\t"
    csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    """Return ``value`` as a cell that no spreadsheet evaluates; ``None``, which is NIL, as an empty one."""
    return as_cell(value) if isinstance(value, str) else "" if value is None else value
