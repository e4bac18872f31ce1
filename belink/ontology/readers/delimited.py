"""Delimited files of any size → files in which every line is sound, so that DuckDB can read them without guessing.

NumPy checks the lines in blocks, in a few milliseconds a megabyte. A clean plain file is used in place; otherwise a
copy is made without the lines that are set aside. DuckDB's own reject tables do not do: without strict mode too many
columns pass unnoticed, in strict mode one carriage return stops the whole file, and a short line gives a row for each
missing column.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from belink.errors import SourceError
from belink.ontology.readers.archive import CHUNK, open_source
from belink.ontology.release_writer import ReleaseWriter
from belink.records import Rejection
from belink.textfiles import as_utf8, is_gzip, marked_encoding

BLOCK = 8 << 20  # bytes checked at once
_HEAD = 1 << 20  # bytes that hold the comments before a header, and the header
MAX_LINE = 1 << 20  # bytes; DuckDB's own limit is twice that
HOPELESS = 1000  # lines set aside with not one kept among them: the wrong file
_NEWLINE, _SPACE, _BOM = 0x0A, 0x20, b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What every line of a file must look like."""

    columns: tuple[str, ...]
    delimiter: str  # one ASCII character
    trailing: bool = False  # RRF: the line ends with a delimiter
    required: tuple[str, ...] = ()  # columns that are never empty
    comment: str = ""  # lines that begin so are no rows; "" for none

    @property
    def marks(self) -> int:
        """The number of delimiters in a line."""
        return len(self.columns) - (0 if self.trailing else 1)


@dataclass
class Sieve:
    """One file while its lines are checked."""

    path: Path
    layout: Layout
    into: ReleaseWriter
    line: int = 0
    kept: int = 0
    rejected: int = 0
    offset: int = 0  # decompressed bytes that are through
    out: BinaryIO | None = None  # where clean lines go, once that is another file

    def reject(self, line: int, text: bytes | str, reason: str, repaired: bool = False) -> None:
        """Store a line that was set aside or repaired; raise where a thousand such lines came before any sound one."""
        shown = text[:4000].decode("utf-8", "replace") if isinstance(text, bytes) else text
        self.into.reject(Rejection(line=line, text=shown, reason=f"{self.path.name}: {reason}", repaired=repaired))
        self.rejected += not repaired
        if self.rejected >= HOPELESS and not self.kept:
            raise self.hopeless(reason)

    def check(self) -> None:
        """Raise where the file is read and no line of it was kept."""
        if self.rejected and not self.kept:
            raise self.hopeless(f"{self.rejected} lines set aside")

    def hopeless(self, reason: str) -> SourceError:
        """Return the error for a file that is not what was expected."""
        return SourceError(
            f"{self.path}: expected {len(self.layout.columns)} columns separated by {self.layout.delimiter!r}, "
            f"found no such line ({reason}); is it the right file?"
        )


def first_line(path: Path, comment: str = "") -> str:
    """Return the first line of ``path``, without its end, that is neither empty nor a comment; ``""`` without any.

    :param comment: what a comment begins with; "" for none.
    """
    with open_source(path) as stream:
        lines = stream.read(_HEAD).decode("utf-8-sig", "replace").split("\n")
    first = next((line for line in lines if line.strip() and not (comment and line.startswith(comment))), "")
    return first.rstrip("\r")


@contextmanager
def in_utf8(path: Path, scratch: Path) -> Iterator[Path]:
    """Yield ``path``, or a copy where it is UTF-16 or UTF-32, as spreadsheets save tables; errors name ``path``.

    Single lines in another encoding are set aside later: nobody knows whether they are damaged.

    :param scratch: folder for the copy, where one is needed.
    :raises SourceError: the file is cut off within a character.
    """
    copy = scratch / path.name.removesuffix(".gz")
    with open_source(path) as stream:
        if (marked_encoding(stream) or "utf-8-sig") != "utf-8-sig":
            try:
                with as_utf8(stream, path) as text, copy.open("wb") as out:
                    shutil.copyfileobj(text, out, CHUNK)
            except UnicodeError as error:
                raise SourceError(f"{path}: expected whole text, found {error}; fetch it again") from error
    try:
        yield copy if copy.exists() else path
    except SourceError as error:
        raise SourceError(str(error).replace(str(copy), str(path))) from error
    finally:
        copy.unlink(missing_ok=True)


def sifted(path: Path, layout: Layout, into: ReleaseWriter, scratch: Path) -> Path:
    """Return a plain file with exactly the sound lines of ``path``, in order; ``path`` itself where all are sound.

    A line with another number of columns, an empty required column or bytes that are not UTF-8 is stored as a
    rejection. A NUL or carriage return inside a line becomes a space, stored as a repair. Empty lines are skipped.

    :param scratch: folder for the copy, where one is needed.
    :raises SourceError: the file cannot be read to its end, or no line of it is sound.
    """
    target = scratch / f"{path.name.removesuffix('.gz')}.sifted"
    sieve = Sieve(path, layout, into)
    try:
        with open_source(path) as stream:
            if is_gzip(path):
                sieve.out = target.open("wb")
            for block in _blocks(stream, path):
                _through(sieve, block, target)
    finally:
        if sieve.out:
            sieve.out.close()
    sieve.check()
    return path if sieve.out is None else target


def _blocks(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield whole lines, about BLOCK bytes of them at a time; a missing last newline is added."""
    rest = b""
    while chunk := stream.read(BLOCK):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
            if len(rest) > 2 * BLOCK:
                raise SourceError(f"{path}: expected lines of text, found {len(rest)} bytes without a line's end")
    if rest:
        yield rest + b"\n"


def _through(sieve: Sieve, block: bytes, target: Path) -> None:
    if clean := _lines_if_clean(block, sieve.layout):
        sieve.line += clean
        sieve.kept += clean
        if sieve.out:
            sieve.out.write(block)
    else:
        if sieve.out is None:
            sieve.out = target.open("wb")
            _copy_start(sieve.path, sieve.out, sieve.offset)
        sieve.out.writelines(_sound_lines(sieve, block))
    sieve.offset += len(block)


def _copy_start(path: Path, out: BinaryIO, length: int) -> None:
    with path.open("rb") as source:
        while length > 0 and (chunk := source.read(min(CHUNK, length))):
            out.write(chunk)
            length -= len(chunk)


def _lines_if_clean(block: bytes, layout: Layout) -> int:
    """Return the number of lines of ``block`` where all are sound, otherwise 0; 0 is allowed for a sound block too."""
    if b"\r" in block or b"\0" in block or block.startswith(_BOM) or not _is_utf8(block):
        return 0
    content = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(content == _NEWLINE)  # (lines,)
    starts = np.concatenate(([0], ends[:-1] + 1))
    delimiters = np.flatnonzero(content == ord(layout.delimiter))
    if len(delimiters) != layout.marks * len(ends) or int((ends - starts).max()) > MAX_LINE:
        return 0
    marks = delimiters.reshape(len(ends), layout.marks)
    if layout.marks and ((marks[:, 0] < starts).any() or (marks[:, -1] > ends).any()):
        return 0
    if layout.trailing and (marks[:, -1] + 1 != ends).any():
        return 0
    if layout.comment and (content[starts] == ord(layout.comment[0])).any():
        return 0
    bounds = np.column_stack((starts - 1, marks, ends))  # a column lies between two neighbouring bounds
    for name in layout.required:
        k = layout.columns.index(name)
        first = content[bounds[:, k] + 1]
        if (first <= _SPACE).any() or (bounds[:, k] + 1 == bounds[:, k + 1]).any():  # empty, or it may be blank
            return 0
    return len(ends)


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _sound_lines(sieve: Sieve, block: bytes) -> Iterator[bytes]:
    layout = sieve.layout
    required = [(name, layout.columns.index(name)) for name in layout.required]
    for number, line in _text_lines(sieve, block):
        cells = line.split(layout.delimiter.encode())
        if fault := _fault(cells, layout, required):
            sieve.reject(number, line, fault)
        else:
            sieve.kept += 1
            yield line + b"\n"


def text_lines(sieve: Sieve, stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines of ``stream`` that are UTF-8 and not empty; others are set aside."""
    for block in _blocks(stream, sieve.path):
        for number, line in _text_lines(sieve, block):
            yield number, line.decode("utf-8")


def _text_lines(sieve: Sieve, block: bytes) -> Iterator[tuple[int, bytes]]:
    comment = sieve.layout.comment.encode()
    for raw in block[:-1].split(b"\n"):
        sieve.line += 1
        line = raw.removeprefix(_BOM) if sieve.line == 1 else raw
        line = line.removesuffix(b"\r")
        if not line or (comment and line.startswith(comment)):
            continue
        if len(line) > MAX_LINE:
            sieve.reject(sieve.line, line, f"expected a line of at most {MAX_LINE} bytes, found {len(line)}")
            continue
        if not _is_utf8(line):
            sieve.reject(sieve.line, line, "expected UTF-8, found other bytes")
            continue
        if b"\r" in line or b"\0" in line:
            sieve.reject(sieve.line, line, "a control character became a space", repaired=True)
            line = line.replace(b"\r", b" ").replace(b"\0", b" ")
        yield sieve.line, line


def _fault(cells: list[bytes], layout: Layout, required: Iterable[tuple[str, int]]) -> str:
    if layout.trailing and cells[-1]:
        return f"expected a line that ends with {layout.delimiter!r}, found {len(cells)} columns and no such end"
    if len(cells) != layout.marks + 1:
        return f"expected {len(layout.columns)} columns, found {len(cells) - layout.trailing}"
    for name, k in required:
        if not cells[k].strip():
            return f"expected a value in {name}, found none"
    return ""


def scan(parameter: str, columns: Iterable[str], delimiter: str, skip: int = 0) -> str:
    """Return SQL for a FROM clause: a sifted file, every column as text, empty ones NULL.

    :param parameter: what the path is bound to, such as ``$path``.
    :param skip: lines at the beginning that are no rows.
    """
    typed = ", ".join(f"{_quoted(column)}: 'VARCHAR'" for column in columns)
    return (
        f"read_csv({parameter}, delim={_quoted(delimiter)}, quote='', escape='', header=false, auto_detect=false, "
        f"skip={skip:d}, compression='none', columns={{{typed}}})"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
