"""The files of a source before they are read: what they are, how to know them again, unpacked."""

import errno
import gzip
import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from belink import artefacts
from belink.declarations import Format, SourceConfig
from belink.errors import ReleaseError, SourceError

SUFFIXES: dict[Format, str] = {"obo": ".obo", "owl": ".owl", "obograph": ".json"}  # of the OBO family
# Of a UMLS folder only what is read counts: the rest of a full Metathesaurus is tens of GiB.
_READ_OF_UMLS = re.compile(r"MR(CONSO|STY|DEF|REL|CUI|RANK|SAB)\.RRF(\.gz)?|release\.dat", re.IGNORECASE)
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


class Fingerprint(NamedTuple):
    """What the source files are, before anything of them is read."""

    sha256: str  # of the file; of names and sha256 together, where there are several
    sources: list[dict[str, Any]]  # name, size, sha256


class Unpacked(NamedTuple):
    """Files as their reader wants them."""

    files: list[Path]
    source: SourceConfig  # the declaration, with the format that was found
    sha256: str  # of the content, so that a file and its .gz are the same


def fingerprint(files: Sequence[Path], format: Format) -> Fingerprint:
    """Sizes and sha256 of the files, and of those in folders that a reader of ``format`` looks at.

    :raises SourceError: there are none.
    """
    found: list[tuple[str, Path]] = []
    for path in files:
        if path.is_dir():
            inside = sorted(inner for inner in path.rglob("[!.]*") if inner.is_file())
            if format == "umls":
                inside = [inner for inner in inside if _READ_OF_UMLS.fullmatch(inner.name)]
            found.extend((inner.relative_to(path).as_posix(), inner) for inner in inside)
        else:
            found.append((path.name, path))
    if not found:
        raise SourceError("expected at least one file to read, found none; give another --file")
    sources = [{"name": name, "size": path.stat().st_size, "sha256": artefacts.sha256(path)} for name, path in found]
    if len(sources) == 1:
        return Fingerprint(str(sources[0]["sha256"]), sources)
    listed = sorted(f"{each['sha256']}  {each['name']}\n" for each in sources)
    return Fingerprint(hashlib.sha256("".join(listed).encode()).hexdigest(), sources)


def unpacked(files: list[Path], source: SourceConfig, work: Path) -> Unpacked:
    """The files, ready to be read; what is unpacked goes into the folder ``work``.

    Files of the OBO family are told by content and unpacked here; the other readers unpack what they read.
    """
    if source.format not in SUFFIXES:
        return Unpacked(files, source, fingerprint(files, source.format).sha256)
    if len(files) != 1:
        raise SourceError(f"{source.name}: expected one file, found {len(files)}; give --file once")
    path = files[0]
    found = sniff(path)
    if found not in SUFFIXES:
        raise SourceError(f"{path}: expected OBO, OWL or OBO Graph JSON, found {found}; correct `format` or the file")
    source = source.model_copy(update={"format": found})
    with path.open("rb") as stream:
        if stream.read(2) != _GZIP:
            return Unpacked(files, source, artefacts.sha256(path))
    plain = work / (path.name.removesuffix(".gz").removesuffix(SUFFIXES[found]) + SUFFIXES[found])
    digest = hashlib.sha256()
    with plain_errors(path), gzip.open(path) as packed, plain.open("wb") as target:
        while chunk := packed.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
    return Unpacked([plain], source, digest.hexdigest())


def sniff(path: Path) -> Format:
    """What a file is, by its content: obo, owl, obograph, mesh or umls.

    :raises SourceError: none of these, or it cannot be unpacked.
    """
    if path.is_dir():
        if any(path.glob("**/MRCONSO.RRF*")):
            return "umls"
        raise SourceError(f"{path}: expected a file, or a folder with MRCONSO.RRF, found neither; give another --file")
    if zipfile.is_zipfile(path):
        # Bytes that end as an archive does are no archive yet.
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            if any(name.rpartition("/")[2].startswith("MRCONSO.RRF") for name in archive.namelist()):
                return "umls"
    with plain_errors(path), path.open("rb") as stream:
        packed = stream.read(2) == _GZIP
        stream.seek(0)
        head = (gzip.GzipFile(fileobj=stream) if packed else stream).read(1 << 16)
    start = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    found = _sniff_text(start)
    if found is None:
        raise SourceError(f"{path}: expected OBO, OWL (RDF/XML), OBO Graph JSON or MeSH XML, found {_glimpse(start)}")
    return found


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
    """What the system and gzip complain of, as one line that says what to do."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: expected a whole .gz file, found: {error}; fetch it again") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        where = error.filename or ("the disk" if full else path) or "the system"
        advice = "free some space" if full else "mend that"
        raise ReleaseError(f"{where}: {error.strerror or error}; {advice}, then run again") from error
