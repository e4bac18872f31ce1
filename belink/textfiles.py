"""Text files as people send them: plain or gzip, in UTF-8, UTF-16, UTF-32 or Windows-1252, with or without a mark.

This is the only place that unpacks gzip and guesses encodings. Nothing here translates line ends: offsets into a
decoded text are offsets into the file as given.
"""

import codecs
import errno
import gzip
import logging
import re
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from belink import artefacts

CHUNK = 1 << 15  # bytes read at a time
STANDARD_INPUT = Path("-")
_GZIP_MAGIC = b"\x1f\x8b"
_IN_MEMORY = 64 << 20  # bytes of a copy that stay in memory; a longer copy goes to a temporary file
_HEAD = 4096  # bytes that tell a byte order mark, or UTF-16 without one
_BLANKS = frozenset("\t\n\r\f\v\ufeff")
_CONTROL = bytes(byte for byte in range(1, 0x20) if chr(byte) not in _BLANKS)
_NO_LETTERS = frozenset(("Cc", "Cn", "Co"))  # control characters, code points without a character, private ones
_STRAY = re.compile("[\udc80-\udcff]")  # what the error handler "surrogateescape" makes of a byte
# That of UTF-16 is how one mark of UTF-32 begins.
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip

log = logging.getLogger(__name__)


def is_gzip(path: Path) -> bool:
    """Return whether the content of ``path`` is gzip, whatever its name is."""
    with _seekable(path) as stream:
        return stream.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Yield the unpacked bytes of ``path`` as a seekable stream; ``-`` is standard input.

    :raises OSError: the file is missing or unreadable, or its gzip header is damaged.
    :raises EOFError: while reading, where a gzip file is cut short (:class:`zlib.error` where it is damaged).
    """
    with _seekable(path) as packed:
        is_packed = packed.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        packed.seek(0)
        if is_packed:
            with gzip.GzipFile(fileobj=packed, mode="rb") as stream:
                yield cast(BinaryIO, stream)
        else:
            yield packed


@contextmanager
def _seekable(path: Path) -> Iterator[BinaryIO]:
    if path != STANDARD_INPUT:
        # A pipe cannot be rewound, and reading a device may never end.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(errno.EINVAL, "no regular file; pass a pipe as standard input", str(path))
        with path.open("rb") as stream:
            yield stream
        return
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy:  # a pipe cannot be read twice
        with artefacts.report_full_disk(Path(tempfile.gettempdir())):
            shutil.copyfileobj(sys.stdin.buffer, copy, CHUNK)
        copy.seek(0)
        yield cast(BinaryIO, copy)


@contextmanager
def open_utf8(path: Path) -> Iterator[BinaryIO]:
    """Yield the unpacked text of ``path`` as a seekable stream of UTF-8 without byte order mark.

    :raises UnicodeError: it is text in none of the encodings that :func:`detect_encoding` knows.
    """
    with open_bytes(path) as stream, as_utf8(stream, path) as recoded:
        yield recoded


@contextmanager
def as_utf8(stream: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    """Yield ``stream``, or a copy of it in UTF-8 where it is in another encoding. ``path`` names it in the log."""
    encoding = detect_encoding(stream)
    if encoding == "utf-8":
        yield stream
        return
    if encoding == "cp1252":
        log.warning("%s: not UTF-8; read as Windows-1252. Save it as UTF-8 if letters look wrong", path)
    # A character of several bytes may lie across two chunks, which an incremental decoder puts together.
    decoder = codecs.getincrementaldecoder(encoding)()
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy:
        # A full disk is not the fault of the file.
        with artefacts.report_full_disk(Path(tempfile.gettempdir())):
            while chunk := stream.read(CHUNK):
                copy.write(decoder.decode(chunk).encode("utf-8"))
            copy.write(decoder.decode(b"", final=True).encode("utf-8"))
        copy.seek(0)
        yield cast(BinaryIO, copy)


def read_text(path: Path) -> str:
    """Return the text of ``path``, unpacked and decoded, with its own line ends.

    :raises OSError: the file is missing, unreadable or not a whole gzip file (also ``EOFError``, ``zlib.error``).
    :raises UnicodeError: see :func:`open_utf8`.
    """
    with open_utf8(path) as stream:
        return stream.read().decode("utf-8")


def glimpse(stream: BinaryIO, n_bytes: int) -> str:
    """Return the beginning of a text, to recognise its format by; ``stream`` is rewound.

    Bytes that cannot be decoded become U+FFFD: the encoding of the rest is not looked at.
    """
    head = stream.read(n_bytes)
    stream.seek(0)
    return head.decode(_encoding_of(head[:_HEAD]) or "utf-8", "replace")


def detect_encoding(stream: BinaryIO) -> str:
    """Return the encoding of a text: ``utf-8``, ``utf-8-sig``, one of UTF-16 or UTF-32, ``cp1252``.

    A file without byte order mark is UTF-8 where every byte of it says so. A file with more sound UTF-8 characters than
    stray bytes is damaged UTF-8, which is refused: as Windows-1252 each of its letters would turn into two.

    :param stream: is read to its end once, and rewound.
    :raises UnicodeError: the stream is none of these.
    """
    if marked := marked_encoding(stream):
        return marked
    n_sound, n_stray, n_undefined = _count_characters(stream)
    if not n_stray:
        return "utf-8"
    if n_sound > n_stray or n_undefined:
        raise UnicodeError(
            f"expected text in UTF-8, UTF-16 or Windows-1252, found {n_stray} bytes that are not UTF-8; "
            "is the file damaged, or no text at all?"
        )
    return "cp1252"


def marked_encoding(stream: BinaryIO) -> str | None:
    """Return the encoding of a text with a byte order mark, in UTF-16 or UTF-32; ``None`` for others.

    ``stream`` is rewound.
    """
    head = stream.read(_HEAD)
    stream.seek(0)
    return _encoding_of(head)


def _encoding_of(head: bytes) -> str | None:
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    # Each character of UTF-32 has four bytes; the two that lead are zero for all but rare characters.
    lengths, zeros = ([f(head[at::4]) for at in range(4)] for f in (len, lambda part: part.count(0)))
    if len(head) >= 8 and zeros[2:] == lengths[2:] and not zeros[0]:
        return "utf-32-le"
    if len(head) >= 8 and zeros[:2] == lengths[:2] and not zeros[3]:
        return "utf-32-be"
    even, odd = head[::2].count(0), head[1::2].count(0)
    # Zero bytes are the leading halves of blanks, line ends and Latin letters, always on the same side.
    if min(even, odd) == 0 < max(even, odd) and _is_utf16(head, name := "utf-16-le" if odd else "utf-16-be"):
        return name
    return None


def _is_utf16(head: bytes, encoding: str) -> bool:
    """Return whether ``head``, which has zero bytes on one side only, is UTF-16 and not a text with stray zeros."""
    if head.count(0) * 3 > len(head):  # Latin letters
        return True
    leading = head[1::2] if encoding == "utf-16-le" else head[::2]
    # The leading byte of other letters is a control character in UTF-8 (Greek 03, Cyrillic 04, Thai 0e). A fifth of a
    # table, too, may be control characters, but on both sides.
    if sum(byte < 0x20 for byte in leading) < 0.6 * len(leading):
        # Or, as in Chinese, it makes a sequence that is no UTF-8 but by chance, most often in Hangul, or the other byte
        # is a control character.
        n_sound, n_stray, _ = _count_characters(BytesIO(head))
        n_control = sum(byte in _CONTROL for byte in head)
        if 4 * (n_stray + n_control) <= n_sound or sum(byte >= 0x80 for byte in head) + n_control < 0.06 * len(head):
            return False
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return all(letter in _BLANKS or unicodedata.category(letter) not in _NO_LETTERS for letter in text)


def _count_characters(stream: BinaryIO) -> tuple[int, int, int]:
    """Return how many characters beyond ASCII, bytes that are not UTF-8, and bytes unused by Windows-1252 there are."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    n_sound = n_stray = n_unused = 0
    while True:
        chunk = stream.read(CHUNK)
        # Plain chunks are skipped, unless bytes of a character wait for their rest.
        if not chunk.isascii() or decoder.getstate()[0]:
            text = decoder.decode(chunk, final=not chunk)
            stray = len(_STRAY.findall(text))
            n_stray, n_sound = n_stray + stray, n_sound + len(text) - len(text.encode("ascii", "ignore")) - stray
        # Five bytes have no character in Windows-1252, and text has no zero bytes.
        n_unused += sum(map(chunk.count, (b"\x00", b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d")))
        if not chunk:
            break
    stream.seek(0)
    return n_sound, n_stray, n_unused


@contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream whose bytes become ``path`` when the block ends well; packed where the name ends in ``.gz``."""
    with artefacts.atomic_write(path) as aside, aside.open("wb") as plain:
        if path.name.endswith(".gz"):
            # Neither name nor time go into the header, so that equal content gives equal bytes.
            with gzip.GzipFile("", "wb", fileobj=plain, mtime=0) as packed:
                yield cast(BinaryIO, packed)
        else:
            yield plain
