"""Files as they are downloaded (plain, .gz, .zip) → bytes, and nothing outside the folder they are unpacked into."""

import gzip
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO, cast

from belink.errors import SourceError
from belink.ontology.readers.files import plain_errors

CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ENCRYPTED = 0x1  # bit of a member's flags


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The decompressed bytes of a plain or gzipped file; which of the two is told by its first bytes.

    Faults of the compression are raised where they are met, which for a truncated file is its end.

    :raises SourceError: the compressed file is truncated or damaged.
    :raises ReleaseError: the file is missing or cannot be read.
    """
    with plain_errors(path):
        if is_gzip(path):
            with gzip.open(path) as stream:
                yield cast(BinaryIO, stream)
        else:
            with path.open("rb") as plain:
                yield plain


def is_gzip(path: Path) -> bool:
    """Whether the file begins as gzip files do, whatever its name is."""
    with path.open("rb") as stream:
        return stream.read(len(_GZIP)) == _GZIP


def is_zip(path: Path) -> bool:
    """Whether the file begins as zip archives do, whatever its name is."""
    with path.open("rb") as stream:
        return stream.read(len(_ZIP[0])) in _ZIP


def unpack(archive: Path, wanted: Callable[[str], bool], folder: Path) -> list[Path]:
    """The members whose file name is ``wanted``, written directly below ``folder`` under their own names.

    An archive of which any member would land elsewhere, wanted or not, is refused whole.

    :raises SourceError: not a zip file, damaged, encrypted, climbing out of the folder, or too large for the disk.
    """
    try:
        with zipfile.ZipFile(archive) as opened_archive:
            return _unpacked(archive, opened_archive, wanted, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise SourceError(f"{archive}: expected a whole zip file, found damage: {error}; fetch it again") from error


def _unpacked(archive: Path, content: zipfile.ZipFile, wanted: Callable[[str], bool], folder: Path) -> list[Path]:
    for member in content.infolist():
        _check_stays_inside(archive, member)
    chosen = [m for m in content.infolist() if not m.is_dir() and wanted(PurePosixPath(m.filename).name)]
    needed, free = sum(member.file_size for member in chosen), shutil.disk_usage(folder).free
    if needed > free:
        raise SourceError(
            f"{archive}: expected room for {needed >> 20} MiB in {folder}, found {free >> 20} MiB; make room first"
        )
    paths: list[Path] = []
    for member in chosen:
        target = folder / PurePosixPath(member.filename).name
        if target in paths:
            raise SourceError(f"{archive}: expected one {target.name}, found several; unpack it and name the folder")
        if member.flag_bits & _ENCRYPTED:
            raise SourceError(f"{archive}: {member.filename} is encrypted; unpack it by hand and name the folder")
        # zipfile reads at most the size it declared and checks the sum, so a member cannot grow on the way.
        with content.open(member) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out, CHUNK)
        paths.append(target)
    return paths


def _check_stays_inside(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    climbs = ".." in PurePosixPath(name.replace("\\", "/")).parts
    absolute = name.startswith(("/", "\\")) or bool(PureWindowsPath(name).drive)
    if climbs or absolute or stat.S_ISLNK(member.external_attr >> 16):
        raise SourceError(
            f"{archive}: expected members below one folder, found {name[:200]!r}; get the archive from its publisher"
        )
