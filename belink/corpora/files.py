"""Annotated text: BioC XML and JSON, PubTator and JSONL, plain or .gz ↔ Documents, one in memory at a time.

The format is told from the content, not from the name. Offsets are held against the text while reading: a mention that
does not fit is moved where its words stand close by, otherwise counted and set aside (``CorpusReport``).
"""

import gzip
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Literal, cast

from belink import artefacts
from belink.corpora import bioc, jsonl, pubtator
from belink.corpora.assemble import CorpusReport, RawDocument, assemble
from belink.errors import CorpusError, first_line
from belink.records import Document, Link, Mention

__all__ = ["CorpusReport", "Format", "format_of", "read_corpus", "write_corpus"]

Format = Literal["bioc-xml", "bioc-json", "pubtator", "jsonl"]

_READERS: dict[Format, Callable[[BinaryIO, str], Iterator[RawDocument]]] = {
    "bioc-xml": bioc.read_xml,
    "bioc-json": bioc.read_json,
    "pubtator": pubtator.read,
    "jsonl": jsonl.read,
}
_SUFFIXES: dict[str, Format] = {
    ".xml": "bioc-xml", ".json": "bioc-json", ".pubtator": "pubtator", ".txt": "pubtator", ".tsv": "pubtator",
    ".jsonl": "jsonl", ".ndjson": "jsonl",
}  # fmt: skip
_BIOC_XML = (
    b"<?xml version='1.0' encoding='UTF-8'?>\n<collection><source>belink</source><date></date><key></key>\n",
    b"",
    b"</collection>\n",
)
_BIOC_JSON = (b'{"source": "belink", "date": "", "key": "", "infons": {}, "documents": [\n', b",\n", b"\n]}\n")

log = logging.getLogger(__name__)


def read_corpus(
    path: Path, *, default_prefix: str = "", format: Format | None = None, report: CorpusReport | None = None
) -> Iterator[Document]:
    """The documents of a corpus file, each with its sentences and those mentions that fit its text.

    ``default_prefix`` (``MESH``) is put before gold ids that have none. ``report`` is filled along the way; what was
    repaired or set aside is also logged at the end.

    :raises CorpusError: the file cannot be read, or is in none of the four formats.
    """
    report = report if report is not None else CorpusReport()
    try:
        with closing(_open(path)) as stream:
            chosen = format or _sniff(stream)
            for raw in _READERS[chosen](stream, default_prefix):
                yield assemble(raw, report)
    except (OSError, EOFError, zlib.error, RecursionError, ValueError, SyntaxError) as error:
        raise CorpusError(
            f"{path}: cannot be read as a corpus: {first_line(error)}; "
            "expected BioC XML or JSON, PubTator or JSONL, whole, plain or .gz"
        ) from error
    if report.repaired or report.rejected:
        log.warning(
            "%s: %d mentions did not fit the text: %d moved, %d set aside",
            path, report.repaired + report.rejected, report.repaired, report.rejected,
        )  # fmt: skip


def write_corpus(documents: Iterable[Document], links: Iterable[Link], path: Path, format: Format | None = None) -> int:
    """The number of documents written to ``path`` (.gz if it says so), whole or not at all, streaming.

    ``links`` come in the order of ``documents`` and belong to them by ``mention.document``. A link takes the place of
    the mention with its span, or is added. Without links the gold ids are written.

    :raises ValueError: a link that belongs to none of the documents, or stands out of order.
    """
    chosen = format or format_of(path)
    before, between, after = {"bioc-xml": _BIOC_XML, "bioc-json": _BIOC_JSON}.get(chosen, (b"", b"", b""))
    written = 0
    with _replacing(path) as stream:
        stream.write(before)
        for document, found in _joined(documents, links):
            stream.write((between if written else b"") + _written(document, found, chosen))
            written += 1
        stream.write(after)
    return written


def format_of(path: Path) -> Format:
    """The format that a name stands for.

    :raises CorpusError: none.
    """
    suffix = Path(path.name.removesuffix(".gz")).suffix.casefold()
    if suffix not in _SUFFIXES:
        raise CorpusError(f"{path}: expected a name ending in {', '.join(_SUFFIXES)} (and .gz), found {suffix!r}")
    return _SUFFIXES[suffix]


def _joined(documents: Iterable[Document], links: Iterable[Link]) -> Iterator[tuple[Document, dict[Mention, Link]]]:
    waiting = iter(links)
    link = next(waiting, None)
    for document in documents:
        found: dict[Mention, Link] = {}
        while link is not None and link.mention.document == document.id:
            found[link.mention] = link
            link = next(waiting, None)
        yield _with_linked(document, found), found
    if link is not None:
        raise ValueError(f"link of document {link.mention.document!r}: expected links in the order of the documents")


def _with_linked(document: Document, found: dict[Mention, Link]) -> Document:
    if not found:
        return document
    mentions = {(m.start, m.end, m.spans): m for m in (*document.mentions, *found)}
    ordered = sorted(mentions.values(), key=lambda m: (m.start, m.end))
    return Document(id=document.id, text=document.text, sentences=document.sentences, mentions=tuple(ordered))


def _written(document: Document, links: dict[Mention, Link], format: Format) -> bytes:
    if format == "bioc-xml":
        return bioc.xml_document(document, links)
    if format == "bioc-json":
        return bioc.json_document(document, links)
    if format == "pubtator":
        return pubtator.document_block(document, links)
    return jsonl.document_line(document, links)


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as peek:
        zipped = peek.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if zipped else path.open("rb")


def _sniff(stream: BinaryIO) -> Format:
    """The format of the text at the beginning of ``stream``, which is put back there.

    :raises ValueError: nothing there, or nothing that begins like one of the four.
    """
    head = stream.read(1 << 16)
    stream.seek(0)
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not begin:
        raise ValueError("it is empty")
    if begin.startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        return "bioc-xml"
    if begin.startswith((b"{", b"[")):
        first = begin.split(b"\n", 1)[0]
        bioc_keys = b'"passages"' in first or b'"documents"' in first or b'"PubTator' in first
        return "jsonl" if b'"text"' in first and not bioc_keys and begin.startswith(b"{") else "bioc-json"
    if b"|t|" in begin.split(b"\n", 1)[0]:
        return "pubtator"
    raise ValueError(f"it begins with {begin[:40].decode('utf-8', 'replace')!r}")


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A stream into a sibling of ``path`` that takes its place when the block ends well."""
    with artefacts.atomic_write(path) as aside, aside.open("wb") as plain:
        if path.name.endswith(".gz"):
            with gzip.GzipFile("", "wb", fileobj=plain, mtime=0) as zipped:  # no name, no time: same bytes again
                yield cast(IO[bytes], zipped)
        else:
            yield plain
