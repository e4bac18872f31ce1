"""A corpus in many files: each is linked into a file of its own, so that work can stop anywhere and go on later.

    pattern → find_shards → link_shard, for each of them → ShardResult

Links lie below the output folder as their inputs lie below the first wildcard of the pattern. A file of links is
written aside and renamed; then its record is written to ``_shards/``. A shard without a record, or with one of another
input, linker or option, is linked again. :mod:`belink.serve.ray` calls :func:`link_shard` on many machines.
"""

import errno
import fnmatch
import glob
import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belink import artefacts, manifests
from belink.corpora.files import CorpusReport, read_documents
from belink.corpora.links import SUFFIXES, write_links
from belink.errors import BelinkError, CorpusError
from belink.linker.group import LinkerGroup, link_stream
from belink.linker.linker import Linker
from belink.progress import track

RECORDS = "_shards"  # readers of data sets, such as pyarrow and Spark, skip names that begin with "_"
FORMATS = {"fhir": ".ndjson", **{suffix.removeprefix("."): suffix for suffix in SUFFIXES if suffix != ".ndjson"}}
"""What ``--format`` calls a format → the suffix of its files."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of the corpus; all paths are absolute."""

    input: Path
    output: Path  # its links
    record: Path  # what they were made of


@dataclass(frozen=True, kw_only=True)
class ShardOptions:
    """What decides the links of a shard besides its input and the linkers."""

    min_probability: float | None = None
    nested: bool = False
    fhir_codes: Mapping[str, str] | None = None  # see belink.corpora.fhir.read_codes; None: no FHIR


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What linking one shard came to."""

    input: str
    documents: int = 0
    mentions: int = 0
    repaired: int = 0  # annotated mentions that the input marks at slightly other offsets
    set_aside: int = 0  # annotated mentions that fit nowhere in their text
    kept: bool = False  # whether the links were there already
    error: str = ""  # why the input could not be read; it then has no links


def find_shards(pattern: Path, output: Path, format: str | None = None) -> list[Shard]:
    """Return the files that match ``pattern``, in order of their paths, each with the place of its links.

    :param pattern: with wildcards; ``**`` stands for any number of folders. Files below ``output`` are left out, as are
        records of other outputs; links to folders above themselves are not followed.
    :param output: a folder, which need not exist.
    :param format: a key of :data:`FORMATS`; ``None`` keeps the format that an input's name stands for, and writes JSON
        Lines for others.
    :raises CorpusError: no file matches, two would be written to one, or one would be written to itself.
    """
    root, output = _root(pattern), output.absolute()
    matches, closed = _matches(pattern, output)
    paths = [path for path in matches if _is_input(path)]
    if not paths:
        for folder, reason in closed.items():
            raise CorpusError(f"{folder}: its files cannot be listed: {reason}; expected files that match {pattern}")
        raise CorpusError(
            f"{pattern}: expected files that match, found none; put the pattern in quotation marks, and write [[] for "
            "a bracket in a name"
        )
    if output.is_file():
        raise CorpusError(f"{output}: expected a folder for the links of {len(paths)} files, found a file")
    shards = []
    for path in paths:
        name = path.relative_to(root).with_name(_output_name(path.name, format))
        shards.append(Shard(input=path, output=output / name, record=output / RECORDS / f"{name}.json"))
    _check_outputs(shards)
    return shards


def find_left_out(pattern: Path, output: Path) -> tuple[list[ShardResult], list[str]]:
    """Return an error for each folder whose files may be missed, and the other folders that are not entered.

    Errors are those of folders that cannot be listed, and of those that match as a file would, by a suffix such as
    ``.parquet``. A folder some of whose files match is neither.
    """
    matches, closed = _matches(pattern, output.absolute())
    above = {folder for path in matches if _is_input(path) for folder in path.parents}
    errors = [
        ShardResult(input=str(folder), error=f"{folder}: its files cannot be listed: {reason}")
        for folder, reason in closed.items()
    ]
    others = []
    for folder in matches:
        if _is_input(folder) or not folder.is_dir() or folder in above or folder in closed:
            continue
        if Path(folder.name.removesuffix(".gz")).suffix.casefold() in (*SUFFIXES, ".txt"):
            advice = f"link the files in it by {glob.escape(str(folder))}/*"
            errors.append(ShardResult(input=str(folder), error=f"{folder}: expected a file, found a folder; {advice}"))
        else:
            others.append(str(folder))
    return errors, others


def _root(pattern: Path) -> Path:
    """Return the folder before the first wildcard of ``pattern``; its last part is a file's name in any case."""
    parts = pattern.parts
    n = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[: min(n, len(parts) - 1)]).absolute()


def _matches(pattern: Path, output: Path) -> tuple[list[Path], dict[Path, str]]:
    """Return the files and folders that match ``pattern``, sorted, and why which folders on the way cannot be listed.

    Those below ``output`` are left out where that lies within the root of ``pattern``, and so are records.
    """
    root, closed = _root(pattern), dict[Path, str]()
    # The pattern as it was given: brackets in the name of the current folder are no wildcards.
    paths = sorted({path.absolute() for path in _expand(pattern.parts, closed)})
    real = _real(output)
    is_inside = real != _real(root) and real.is_relative_to(_real(root))
    kept = [
        path
        for path in paths
        if not (is_inside and (_real(path.parent).is_relative_to(real) or _real(path) == real))
        and RECORDS not in path.relative_to(root).parts
    ]
    return kept, {folder.absolute(): reason for folder, reason in sorted(closed.items())}


def _real(path: Path) -> Path:
    """Return ``path`` without symbolic links; one that leads to itself stays, where ``Path.resolve`` would raise."""
    return Path(os.path.realpath(path))


def _expand(parts: Sequence[str], closed: dict[Path, str]) -> list[Path]:
    """Return what matches ``parts``, as :func:`glob.glob` does, but for links to folders above them.

    Those would give each file dozens of times, and two of them more paths than anybody can wait for.

    :param closed: receives the folders that cannot be listed, which :mod:`glob` passes over.
    """
    paths = [Path()]
    for part in (*parts, "*") if parts[-1] == "**" else parts:
        if part == "**":
            paths = [each for path in paths for each in _folders(path, frozenset({os.path.realpath(path)}), closed)]
        elif glob.has_magic(part):
            paths = [path / name for path in paths for name in fnmatch.filter(_names(path, closed, part), part)]
        else:
            paths = [path / part for path in paths if _may_exist(path / part)]
    return paths


def _folders(folder: Path, above: frozenset[str], closed: dict[Path, str]) -> Iterator[Path]:
    """Yield ``folder`` and those below it, without hidden ones and without those in ``above``, real paths."""
    yield folder
    for name in _names(folder, closed):
        real = os.path.realpath(folder / name)
        if real not in above and os.path.isdir(real):
            yield from _folders(folder / name, above | {real}, closed)


def _names(folder: Path, closed: dict[Path, str], part: str = "*") -> list[str]:
    """Return the names in ``folder``, sorted; hidden ones only where ``part`` of the pattern asks for them."""
    try:
        names = os.listdir(folder)
        if not os.access(folder, os.X_OK):  # names can be listed, files cannot be opened
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        closed[folder] = error.strerror or str(error)
        return []
    return sorted(name for name in names if part.startswith(".") or not name.startswith("."))


def _may_exist(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # reading it says why
        return True
    return True


def _is_input(path: Path) -> bool:
    """Whether ``path`` is a file, or cannot be looked at (a link to one that is gone), which must not be silent."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _output_name(name: str, format: str | None) -> str:
    plain = name.removesuffix(".gz")
    packed = ".gz" if plain != name else ""
    suffix = Path(plain).suffix.casefold()
    is_known = suffix in SUFFIXES
    wanted = suffix if format is None and is_known else FORMATS[format or "jsonl"]
    stem = Path(plain).stem if is_known or suffix == ".txt" else plain
    # Parquet packs its own columns.
    return f"{stem}{wanted}{'' if wanted == '.parquet' else packed}"


def _check_outputs(shards: Sequence[Shard]) -> None:
    n_inputs = Counter(shard.output for shard in shards)
    # Resolved: ".." and symbolic links must not hide that a file would be written over itself.
    inputs = {_real(shard.input) for shard in shards}
    for shard in shards:
        if _real(shard.output) in inputs:
            raise CorpusError(f"{shard.output}: expected another folder for the links, found the input's own")
        if n_inputs[shard.output] > 1:
            same = ", ".join(each.input.name for each in shards if each.output == shard.output)
            raise CorpusError(
                f"{shard.output}: expected the links of one file, found {same}; link them by patterns of their own"
            )


def link_shard(linker: Linker | LinkerGroup, shard: Shard, options: ShardOptions) -> ShardResult:
    """Write the links of ``shard``, unless they are there, and return their counts.

    An input that cannot be read is no reason to stop: the result then has an error, and the shard no links.
    """
    try:
        sha256 = _sha256(shard.input)
        key = _key(linker, options, sha256)
        if (kept := _finished(shard, key)) is not None:
            return kept
        report = CorpusReport()
        documents = track(read_documents(shard.input, report=report), what=shard.input.name, unit="documents")
        linked = link_stream(linker, documents, min_probability=options.min_probability)
        n_documents, n_links = write_links(linked, shard.output, linker.lineage, fhir_codes=options.fhir_codes)
    except CorpusError as error:
        # Links of an input that was sound before would be taken for those of this one.
        shard.record.unlink(missing_ok=True)
        shard.output.unlink(missing_ok=True)
        return ShardResult(input=str(shard.input), error=str(error))
    except OSError as error:
        # Other faults, such as a full disk, are those of every shard.
        if error.errno != errno.ENAMETOOLONG:
            raise
        return ShardResult(input=str(shard.input), error=f"{shard.output}: cannot be written: its name is too long")
    counts: dict[str, Any] = {
        "documents": n_documents, "mentions": n_links, "repaired": report.repaired, "set_aside": report.rejected,
    }  # fmt: skip
    record = {
        "key": key, "input": str(shard.input), "input_sha256": sha256,
        "output_sha256": artefacts.sha256(shard.output), "counts": counts, "lineage": linker.lineage,
    }  # fmt: skip
    with artefacts.atomic_write(shard.record) as aside:
        # Escapes, since the name of a file need not be UTF-8.
        aside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return ShardResult(input=str(shard.input), **counts)


def _sha256(path: Path) -> str:
    try:
        return artefacts.sha256(path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read as a corpus: {error.strerror or error}") from error


def _key(linker: Linker | LinkerGroup, options: ShardOptions, sha256: str) -> str:
    """Return the key of everything that decides a shard's links, see :func:`belink.artefacts.key`."""
    codes = None if options.fhir_codes is None else dict(options.fhir_codes)
    return artefacts.key(
        {
            "input": sha256, "lineage": linker.lineage, "min_probability": options.min_probability,
            "nested": options.nested, "fhir_codes": codes,
        }
    )  # fmt: skip


def _finished(shard: Shard, key: str) -> ShardResult | None:
    """Return what an earlier run recorded; ``None`` where its links are of something else, damaged or gone."""
    try:
        record = manifests.read_object(shard.record)
        if record["key"] != key or artefacts.sha256(shard.output) != record["output_sha256"]:
            return None
        counts: dict[str, Any] = record["counts"]
        return ShardResult(input=str(shard.input), kept=True, **counts)
    except (OSError, BelinkError, TypeError):
        return None


def link_shards(linker: Linker | LinkerGroup, shards: Sequence[Shard], options: ShardOptions) -> Iterator[ShardResult]:
    """Yield the result of each shard, one after the other in this process."""
    for shard in shards:
        yield link_shard(linker, shard, options)


@contextmanager
def sole_writer(output: Path, shards: Sequence[Shard]) -> Iterator[None]:
    """Keep other runs out of ``output`` within the block; remove what killed workers left before and after it.

    :raises CorpusError: another run writes there.
    """
    from filelock import FileLock, Timeout

    folders = {folder for shard in shards for folder in (shard.output.parent, shard.record.parent)}
    records = output.absolute() / RECORDS
    records.mkdir(parents=True, exist_ok=True)
    lock = FileLock(records / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise CorpusError(
            f"{output}: expected no other run that writes there, found one; wait for it or choose another folder"
        ) from error
    try:
        _remove_unfinished(folders)
        yield
    finally:
        _remove_unfinished(folders)
        lock.release()


def other_links(output: Path, shards: Sequence[Shard]) -> list[str]:
    """Return the files below ``output`` that earlier runs linked from other inputs than those of ``shards``, sorted.

    An input that was renamed or removed leaves its links, which a reader of the whole folder would take twice.
    """
    records = output.absolute() / RECORDS
    known = {shard.record for shard in shards}
    others = [record for record in records.rglob("*.json") if record not in known]
    names = [str(record.relative_to(records)).removesuffix(".json") for record in others]
    return sorted(name for name in names if (output / name).is_file())


def _remove_unfinished(folders: Iterable[Path]) -> None:
    for folder in folders:
        artefacts.clean(folder)


def total(results: Iterable[ShardResult]) -> dict[str, Any]:
    """Return the sums of ``results``: shards, those kept, documents, mentions; and ``failed``, by input."""
    sums: Counter[str] = Counter(shards=0, kept=0, documents=0, mentions=0, repaired=0, set_aside=0)
    failed = []
    for result in results:
        sums.update(
            shards=1, kept=result.kept, documents=result.documents, mentions=result.mentions,
            repaired=result.repaired, set_aside=result.set_aside,
        )  # fmt: skip
        if result.error:
            failed.append({"input": result.input, "error": result.error})
    return {**sums, "failed": sorted(failed, key=lambda each: each["input"])}
