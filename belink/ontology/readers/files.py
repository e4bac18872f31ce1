"""The files of a source before they are read: recognise their format, fingerprint them, unpack them."""

import errno
import gzip
import hashlib
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from belink import artefacts, textfiles
from belink.declarations import Format, SourceConfig
from belink.errors import ReleaseError, SourceError

SUFFIXES: dict[Format, str] = {"obo": ".obo", "owl": ".owl", "obograph": ".json"}  # of the OBO family
# Of a UMLS folder only what is read counts: the rest of a full Metathesaurus is tens of GiB.
_READ_OF_UMLS = re.compile(r"MR(CONSO|STY|DEF|REL|CUI|RANK|SAB)\.RRF(\.gz)?|release\.dat", re.IGNORECASE)
_READ_OF_TAXDUMP = re.compile(r"(names|nodes|merged|delnodes)\.dmp(\.gz)?")
_READ_OF = {"umls": _READ_OF_UMLS, "taxdump": _READ_OF_TAXDUMP}  # of a folder; every file where nothing is listed
_CHUNK = 1 << 20  # bytes unpacked at a time


class Fingerprint(NamedTuple):
    """The identity of source files, computed before they are parsed."""

    sha256: str  # of the file; of names and sha256 together, where there are several
    sources: list[dict[str, Any]]  # name, size, sha256


class Unpacked(NamedTuple):
    """Files ready for their reader."""

    files: list[Path]
    source: SourceConfig  # the declaration, with the format of the content
    sha256: str  # of the unpacked content: a file and its .gz have the same


def fingerprint(files: Sequence[Path], format: Format) -> Fingerprint:
    """Return sizes and sha256 of the files; of a folder, those of the files that a reader of ``format`` reads.

    :raises SourceError: there are no files.
    """
    named: list[tuple[str, Path]] = []
    for path in files:
        if path.is_dir():
            inside = sorted(inner for inner in path.rglob("[!.]*") if inner.is_file())
            if pattern := _READ_OF.get(format):
                inside = [inner for inner in inside if pattern.fullmatch(inner.name)]
            named.extend((inner.relative_to(path).as_posix(), inner) for inner in inside)
        else:
            check_regular(path)
            named.append((path.name, path))
    if not named:
        raise SourceError("expected at least one file to read, found none; give another --file")
    sources = [{"name": name, "size": path.stat().st_size, "sha256": artefacts.sha256(path)} for name, path in named]
    if len(sources) == 1:
        return Fingerprint(str(sources[0]["sha256"]), sources)
    listed = sorted(f"{each['sha256']}  {each['name']}\n" for each in sources)
    return Fingerprint(hashlib.sha256("".join(listed).encode()).hexdigest(), sources)


def unpack_sources(files: list[Path], source: SourceConfig, work: Path) -> Unpacked:
    """Return the files ready to be read; unpacked copies go into the folder ``work``.

    Files of the OBO family are recognised by content and unpacked here; other readers unpack what they read themselves.
    """
    if source.format not in SUFFIXES and not is_obo_edition(files, source.format):
        return Unpacked(files, source, fingerprint(files, source.format).sha256)
    if len(files) != 1:
        raise SourceError(f"{source.name}: expected one file, found {len(files)}; give --file once")
    path = files[0]
    format = sniff(path)
    if format not in SUFFIXES:
        raise SourceError(f"{path}: expected OBO, OWL or OBO Graph JSON, found {format}; correct `format` or the file")
    source = source.model_copy(update={"format": format})
    if not textfiles.is_gzip(path):
        return Unpacked(files, source, artefacts.sha256(path))
    plain = work / (path.name.removesuffix(".gz").removesuffix(SUFFIXES[format]) + SUFFIXES[format])
    digest = hashlib.sha256()
    with plain_errors(path), textfiles.open_bytes(path) as packed, plain.open("wb") as target:
        while chunk := packed.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
    return Unpacked([plain], source, digest.hexdigest())


def is_obo_edition(files: list[Path], format: Format) -> bool:
    """Whether a taxonomy declared as NCBI's dump comes as a file of the OBO family, as OBO publishes it too."""
    if format != "taxdump" or len(files) != 1 or not files[0].is_file() or files[0].suffix in (".zip", ".dmp"):
        return False
    with suppress(SourceError):
        return sniff(files[0]) in SUFFIXES
    return False


def check_regular(path: Path) -> None:
    """:raises SourceError: ``path`` is a device or a pipe, which could be read for ever."""
    if path.exists() and not path.is_file():
        raise SourceError(f"{path}: expected a regular file, found a device or a pipe; write it to a file first")


def sniff(path: Path) -> Format:
    """Return the format of a file by its content: obo, owl, obograph, mesh, umls or taxdump.

    :raises SourceError: it is none of these, or cannot be unpacked.
    """
    if path.is_dir():
        if any(path.glob("**/MRCONSO.RRF*")):
            return "umls"
        if any(path.glob("**/names.dmp*")):
            return "taxdump"
        raise SourceError(
            f"{path}: expected a file, or a folder with MRCONSO.RRF or names.dmp, found neither; give another --file"
        )
    check_regular(path)
    if zipfile.is_zipfile(path):
        # is_zipfile only looks at the end of a file, so opening can still fail.
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
            if any(name.startswith("MRCONSO.RRF") for name in names):
                return "umls"
            if "names.dmp" in names:
                return "taxdump"
    if tarfile.is_tarfile(path):
        return "taxdump"  # no other source comes as one; its reader says what is missing
    with plain_errors(path), textfiles.open_bytes(path) as stream:
        start = textfiles.glimpse(stream, 1 << 16).lstrip("\ufeff \t\r\n")
    format = _sniff_text(start)
    if format is None:
        raise SourceError(f"{path}: expected OBO, OWL (RDF/XML), OBO Graph JSON or MeSH XML, found {_glimpse(start)}")
    return format


def _sniff_text(start: str) -> Format | None:
    if start.startswith("{"):
        return "obograph"
    if start.startswith("<"):
        if re.search(r"<(DescriptorRecordSet|SupplementalRecordSet)\b", start):
            return "mesh"
        return "owl" if re.search(r"<(\w+:)?(RDF|Ontology)\b", start) else None
    if re.search(r"^(format-version|ontology|data-version|\[Term\])", start, re.MULTILINE):
        return "obo"
    return None


def _glimpse(start: str) -> str:
    if not start:
        return "an empty file"
    if re.match(r"<(!doctype )?html", start, re.IGNORECASE):
        return "a web page; is the address right?"
    return f"{start[:40]!r}"


@contextmanager
def plain_errors(path: Path | None = None) -> Iterator[None]:
    """Turn errors of the system and of gzip into one line that says what to do."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: expected a whole .gz file, found: {error}; fetch it again") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        where = error.filename or ("the disk" if full else path) or "the system"
        advice = "free some space" if full else "mend that"
        raise ReleaseError(f"{where}: {error.strerror or error}; {advice}, then run again") from error
