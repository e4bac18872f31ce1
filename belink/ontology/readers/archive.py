"""Downloaded files (plain, .gz, .zip, .tar.gz) → their content; nothing is written outside the folder given for it."""

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from belink import textfiles
from belink.errors import SourceError
from belink.ontology.readers.files import plain_errors

CHUNK = 1 << 20  # bytes copied at a time
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ENCRYPTED = 0x1  # bit of a member's flags


@contextmanager
def open_source(path: Path) -> Iterator[BinaryIO]:
    """Yield the decompressed bytes of a plain or gzipped file.

    Damage is reported where it is met, which for a truncated file is its end.

    :raises SourceError: the compressed file is truncated or damaged.
    :raises ReleaseError: the file is missing or cannot be read.
    """
    with plain_errors(path), textfiles.open_bytes(path) as stream:
        yield stream


def is_zip(path: Path) -> bool:
    """Return whether the content of the file is a zip archive, whatever its name is."""
    with path.open("rb") as stream:
        return stream.read(len(_ZIP[0])) in _ZIP


def unpack(archive: Path, is_wanted: Callable[[str], bool], folder: Path) -> list[Path]:
    """Extract the members whose file name ``is_wanted`` accepts directly into ``folder``; return their paths.

    An archive with any member that would land elsewhere is refused as a whole.

    :raises SourceError: not a zip file, damaged, encrypted, climbing out of the folder, or too large for the disk.
    """
    try:
        with zipfile.ZipFile(archive) as opened_archive:
            return _unpacked(archive, opened_archive, is_wanted, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise SourceError(f"{archive}: expected a whole zip file, found damage: {error}; fetch it again") from error


def _unpacked(archive: Path, content: zipfile.ZipFile, is_wanted: Callable[[str], bool], folder: Path) -> list[Path]:
    for member in content.infolist():
        _check_stays_inside(archive, member)
    chosen = [m for m in content.infolist() if not m.is_dir() and is_wanted(PurePosixPath(m.filename).name)]
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
        # zipfile reads at most the declared size and checks the sum, so a member cannot grow while it is read.
        with content.open(member) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out, CHUNK)
        paths.append(target)
    return paths


def is_tar(path: Path) -> bool:
    """Return whether the content of the file is a tar archive, compressed or not."""
    return path.is_file() and tarfile.is_tarfile(path)


def unpack_tar(archive: Path, is_wanted: Callable[[str], bool], folder: Path) -> list[Path]:
    """Extract the members of a .tar or .tar.gz as :func:`unpack` does those of a zip; only regular files are looked at.

    :raises SourceError: damaged, two members of one name, or too large for the disk.
    """
    paths: list[Path] = []
    try:
        with tarfile.open(archive) as content:
            for member in content:
                name = PurePosixPath(member.name).name
                if not member.isfile() or not is_wanted(name):
                    continue
                target = folder / name
                if target in paths:
                    raise SourceError(f"{archive}: expected one {name}, found several; unpack it and name the folder")
                if member.size > (free := shutil.disk_usage(folder).free):
                    raise SourceError(
                        f"{archive}: expected room for {member.size >> 20} MiB in {folder}, found {free >> 20} MiB; "
                        "make room first"
                    )
                source = content.extractfile(member)
                if source is not None:
                    with source, target.open("wb") as out:
                        shutil.copyfileobj(source, out, CHUNK)
                    paths.append(target)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise SourceError(f"{archive}: expected a whole tar file, found damage: {error}; fetch it again") from error
    return paths


def _check_stays_inside(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    climbs = ".." in PurePosixPath(name.replace("\\", "/")).parts
    absolute = name.startswith(("/", "\\")) or bool(PureWindowsPath(name).drive)
    if climbs or absolute or stat.S_ISLNK(member.external_attr >> 16):
        raise SourceError(
            f"{archive}: expected members below one folder, found {name[:200]!r}; get the archive from its publisher"
        )
