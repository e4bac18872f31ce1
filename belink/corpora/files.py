"""Documents in: BioC XML and JSON, PubTator, JSONL, Parquet or a plain note, one document in memory at a time.

The format is recognised by content, never by name; so are gzip and the encoding. Offsets are compared with the text
while reading: a mention that does not fit is moved where its words stand close by, otherwise counted and set aside
(:class:`CorpusReport`).
"""

import logging
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, Literal

from belink import textfiles
from belink.corpora import bioc, jsonl, parquet, pubtator
from belink.corpora.assemble import assemble
from belink.corpora.raw import CorpusReport, RawDocument
from belink.errors import CorpusError, first_line
from belink.records import Document

__all__ = ["CorpusReport", "Format", "read_corpus", "read_documents"]

Format = Literal["bioc-xml", "bioc-json", "pubtator", "jsonl"]

_READERS: dict[Format, Callable[[BinaryIO, str], Iterator[RawDocument]]] = {
    "bioc-xml": bioc.read_xml,
    "bioc-json": bioc.read_json,
    "pubtator": pubtator.read,
    "jsonl": jsonl.read,
}
_HEAD = 1 << 14  # bytes that tell the format
# Where in a file which bytes stand: of a tar of texts, each byte is UTF-8.
_NO_TEXT = (
    (257, b"ustar", "a tar archive, unpack it"), (0, b"PK\x03\x04", "a zip archive or an office document"),
    (0, b"%PDF-", "a PDF, extract its text"), (0, b"{\\rtf", "rich text, save it as plain text"),
    (4, b"1AY&SY", "packed by bzip2, unpack it"), (0, b"\xfd7zXZ\0", "packed by xz, unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "packed by zstd, unpack it"),
)  # fmt: skip
_XML = re.compile(r"<(\?xml|!doctype|!--|collection)\b", re.IGNORECASE)
_JSON = re.compile(r"\{\s*[\"}]|\[\s*[\[{\]]")  # a note may begin with a bracket too: "[**Name**] was seen"

log = logging.getLogger(__name__)


def read_documents(path: Path, *, report: CorpusReport | None = None) -> Iterator[Document]:
    """Yield the documents of any file that can be linked: an annotated corpus, a Parquet table, or a plain note.

    A text in none of the annotated formats is one document, named by its file. ``-`` reads standard input.

    :param report: see :func:`read_corpus`.
    :raises CorpusError: the file is missing, empty, or no text.
    """
    with _plain_errors(path), textfiles.open_bytes(path) as stream:
        # Parquet is tested first, because it is the one binary format and no text can be decoded from it.
        is_table = stream.read(len(parquet.MAGIC)) == parquet.MAGIC
        stream.seek(0)
        if is_table:
            yield from parquet.read_documents(path, stream)
        # Only here is the source kept: links are written back into the document that they come from.
        elif (format := _sniff(stream, path)) is not None:
            yield from _assembled(
                format, stream, path, "", report if report is not None else CorpusReport(), keep_source=True
            )
        else:
            with textfiles.as_utf8(stream, path) as text:
                # The bytes of a file's name need not be UTF-8, those of a document's id are.
                name = os.fsencode(path.name).decode("utf-8", "backslashreplace")
                yield Document(id=name, text=text.read().decode("utf-8"))


def read_corpus(path: Path, *, default_prefix: str = "", report: CorpusReport | None = None) -> Iterator[Document]:
    """Yield the documents of an annotated corpus, each with its sentences and the mentions that fit its text.

    :param default_prefix: put before gold ids that have none: with ``MESH``, ``D003920`` is ``MESH:D003920``.
    :param report: filled along the way. What was repaired or set aside is also logged at the end.
    :raises CorpusError: the file cannot be read, or is in none of the four formats.
    """
    with _plain_errors(path), textfiles.open_bytes(path) as stream:
        format = _sniff(stream, path)
        if format is None:
            raise ValueError(f"it begins with {stream.read(40).decode('utf-8', 'replace')!r}")
        yield from _assembled(format, stream, path, default_prefix, report if report is not None else CorpusReport())


def _assembled(
    format: Format,
    stream: BinaryIO,
    path: Path,
    default_prefix: str,
    report: CorpusReport,
    *,
    keep_source: bool = False,
) -> Iterator[Document]:
    # An XML parser finds the encoding itself, from the declaration that only XML has.
    with nullcontext(stream) if format == "bioc-xml" else textfiles.as_utf8(stream, path) as text:
        for raw in _READERS[format](text, default_prefix):
            yield assemble(raw, report, keep_source=keep_source)
    if report.repaired or report.rejected:
        log.warning(
            "%s: %d mentions or lines did not fit: %d repaired, %d set aside; the first: %s",
            path, report.repaired + report.rejected, report.repaired, report.rejected, report.rejections[0].reason,
        )  # fmt: skip


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    """Turn what a missing or damaged file does to its reader into one line."""
    try:
        yield
    except (OSError, EOFError, zlib.error, RecursionError, ValueError, SyntaxError) as error:
        raise CorpusError(
            f"{path}: cannot be read as a corpus: {first_line(error)}; "
            "expected BioC XML or JSON, PubTator or JSONL, whole, plain or .gz"
        ) from error


def _sniff(stream: BinaryIO, path: Path) -> Format | None:
    """Return the annotated format of the text in ``stream``, which is rewound; ``None`` where it is in none.

    :raises ValueError: there is no text at all.
    """
    start = stream.read(_HEAD)
    stream.seek(0)
    for offset, mark, kind in _NO_TEXT:
        if start.startswith(mark, offset):
            raise ValueError(f"it is {kind}")
    head = textfiles.glimpse(stream, _HEAD).lstrip()
    if not head:
        raise ValueError("it is empty")
    if _XML.match(head):
        return "bioc-xml"
    if _JSON.match(head):
        # The keys tell: a document of JSONL has "text" itself, BioC has it inside "passages". They are those of the
        # first line, or of more where that holds no whole document.
        first = head.split("\n", 1)[0]
        first = first if '"' in first else head
        is_bioc = any(key in first for key in ('"passages"', '"documents"', '"PubTator'))
        return "jsonl" if '"text"' in first and not is_bioc else "bioc-json"
    return "pubtator" if pubtator.TITLE.match(head) else None
