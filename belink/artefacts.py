"""Artefacts: folders named by what they depend on, built aside, finished by their manifest, and moved into place.

A stage names everything that its result depends on, takes the ``key`` of it as the folder's name, and calls ``make``:

    target = parent / artefacts.key({"index": index.name, **artefacts.content(linker, NOT_CONTENT)})
    artefacts.make(target, fill)

``content`` takes a whole configuration but for the fields that are listed, each with its reason, as not content. So a
field that somebody adds and forgets makes a new artefact; it never finds an old one that was made without it.

A folder without ``manifest.json`` does not exist for belink. A process killed at any moment leaves at most a
``.tmp-…`` sibling, which the next build removes.
"""

import errno
import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import manifests
from belink.errors import BelinkError

if TYPE_CHECKING:
    from pydantic import BaseModel

MANIFEST = "manifest.json"
FULL = 2**20  # bytes left, or fewer, on a disk that is called full
_ASIDE = ".tmp-"

log = logging.getLogger(__name__)


def make(target: Path, fill: Callable[[Path], Mapping[str, Any]], *, check: bool = True) -> dict[str, Any]:
    """Return the manifest of the artefact at ``target``; where none lies there yet, ``fill`` makes it.

    The manifest holds the sha256 of each file, and one that is there is read through and compared: what was damaged
    on the disk is made again, and never goes into another artefact with fresh sums.

    :param fill: writes the artefact's files into the folder it is given, and returns the manifest.
    :param check: False for what is too large to be read through each time, and is known by a sum of its own.
    """
    if not (is_reusable(target) if check else exists(target)):
        with build(target) as folder:
            manifest = dict(fill(folder))
            if check and not sums(manifest):
                manifest["files"] = {
                    path.relative_to(folder).as_posix(): sha256(path)
                    for path in sorted(folder.rglob("*"))
                    if path.is_file()
                }
            write_manifest(folder, manifest)
    # Read from the disk: another process may have been faster, and then its manifest counts.
    return read_manifest(target)


def is_reusable(folder: Path) -> bool:
    """Whether a complete artefact with the bytes it was made with lies at ``folder``; a damaged one is removed."""
    if not exists(folder):
        return False
    if damaged := damaged_file(folder):
        log.warning("%s: was damaged on the disk, and is made again", damaged)
        remove(folder)
        return False
    return True


def damaged_file(folder: Path) -> Path | None:
    """Return the first file of an artefact that is gone or has other bytes than it was made with; ``None`` for none."""
    try:
        recorded = sums(read_manifest(folder))
    except BelinkError:
        return folder / MANIFEST
    for name, expected in recorded.items():
        path = folder / name
        if not path.is_file() or sha256(path) != expected:
            return path
    return None


def sums(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return file → sha256 as a manifest has it, in any of the forms that kinds of artefacts use; ``{}`` for none."""
    # Kinds of artefacts record their sums in different places, and stored ones keep the form that they have.
    recorded = manifest.get("files") or manifest.get("sha256")
    if "database_sha256" in manifest:
        recorded = {"release.duckdb": manifest["database_sha256"]}
    if not isinstance(recorded, Mapping):
        return {}
    return {name: str(entry["sha256"] if isinstance(entry, Mapping) else entry) for name, entry in recorded.items()}


def adopt(source: Path, target: Path) -> Path:
    """Return ``target``, an artefact with the files and the manifest of ``source``; a sound one is kept."""
    if not is_reusable(target):
        with build(target) as folder:
            for path in source.iterdir():
                link_or_copy(path, folder / path.name)
    return target


@contextmanager
def build(target: Path) -> Iterator[Path]:
    """Yield a fresh folder beside ``target`` to write into; it becomes ``target`` when the block ends without an error.

    A complete ``target`` that another process has built meanwhile is kept.

    :raises ValueError: the block ended without writing a manifest.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    clean(target.parent)
    aside = target.parent / f"{_ASIDE}{target.name}-{os.getpid()}-{secrets.token_hex(4)}"
    aside.mkdir()
    try:
        with report_full_disk(target.parent):
            yield aside
            if not (aside / MANIFEST).is_file():
                raise ValueError(f"{aside}: built without {MANIFEST}; write it last")
            _into_place(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """Yield a fresh folder in ``parent`` for work in progress; it is removed at the end, or by the next build."""
    parent.mkdir(parents=True, exist_ok=True)
    clean(parent)
    folder = parent / f"{_ASIDE}{name}-{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        with report_full_disk(parent):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def report_full_disk(folder: Path) -> Iterator[None]:
    """Report a full disk as such, whichever library noticed it and in whatever words.

    The disk is looked at before anything is removed, since afterwards there is room again.

    :raises BelinkError: the block failed and the disk is full.
    """
    try:
        yield
    except BelinkError:
        raise
    except Exception as error:
        # Libraries report a full disk by different exceptions, some without an error number.
        free = shutil.disk_usage(folder).free
        # What was written may be larger than what is free, or than a quota.
        if free >= FULL and getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise BelinkError(
            f"{folder}: expected room to write, found {free // 1024:,} KiB left on the disk; belink gc names "
            "what nothing needs. Make room and start again"
        ) from error


def _into_place(aside: Path, target: Path) -> None:
    # A rename can reach the disk before the data does. After a power failure the manifest would then speak of empty
    # files.
    for path in aside.rglob("*"):
        if path.is_file():
            _sync(path)
    _sync(aside)
    if target.is_dir() and not exists(target):
        shutil.rmtree(target)  # without a manifest: left by something other than build()
    try:
        # Renaming onto a folder that is not empty fails: another process was faster, and its result is as good.
        os.rename(aside, target)
    except OSError:
        if not exists(target):
            raise
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield a path beside ``target`` to write to; the file replaces ``target`` when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f"{_ASIDE}{target.name}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        yield aside
        _sync(aside)
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)


def reserve(path: Path) -> None:
    """Give the file ``path`` its blocks on the disk, before it is written through memory.

    :raises OSError: the disk has no room for it. Without this, the first write that finds none kills the process.
    """
    if hasattr(os, "posix_fallocate") and (size := path.stat().st_size):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, size)


def exists(folder: Path) -> bool:
    """Whether a complete artefact lies at ``folder``."""
    return (folder / MANIFEST).is_file()


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest, which is what makes the artefact exist; so write it last."""
    summed = {**manifest, manifests.SUM: manifests.content_sum(dict(manifest))}
    text = json.dumps(summed, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the artefact at ``folder``, without the sum that it holds of itself.

    :raises BelinkError: there is none, or it is damaged.
    """
    try:
        manifest = manifests.read_object(folder / MANIFEST)
    except FileNotFoundError as error:
        raise BelinkError(f"{folder}: expected a complete artefact, found no {MANIFEST}; build it again") from error
    manifests.check(manifest)
    manifest.pop(manifests.SUM, None)
    return manifest


def remove(folder: Path) -> None:
    """Remove an artefact: its manifest first, so that no half of it is ever seen."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def clean(parent: Path) -> None:
    """Remove what dead builds left beside the artefacts of ``parent``."""
    for path in parent.glob(f"{_ASIDE}*"):
        if is_being_built(path):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_being_built(path: Path) -> bool:
    """Whether the process that works in ``path``, which lies aside, still runs."""
    # A process number means something on one machine only, so a home must not be shared by several machines that write.
    pid = path.name.rsplit("-", 2)[-2]
    return pid.isdigit() and _alive(int(pid))


def _alive(pid: int) -> bool:
    try:
        # Signal 0 is not delivered; it only tells whether the process exists.
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def key(content: Any) -> str:
    """Return 16 hex digits that name everything an artefact depends on, so that equal inputs meet again.

    ``content`` is anything JSON can write; the order of mapping keys does not count.
    """
    # Sorted keys and no blanks: one text for equal content, whatever the order in which it was put together.
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def content(
    config: "BaseModel",
    not_content: Mapping[str, str],
    *,
    but: Collection[str] = (),
    joined: Mapping[str, Any] | None = None,
    retired: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the fields of ``config`` that decide the content of an artefact, for its :func:`key`.

    :param not_content: dotted name of a field or section, such as ``encoder.batch_size`` → why it changes nothing.
    :param but: fields that count although their section is listed.
    :param joined: field → the value at which it is left out. For fields that count since keys without them exist.
    :param retired: field → the value that takes its place. For fields that are gone since keys with them exist.
    :raises ValueError: a name leads to no field, so that a renamed field is noticed.
    """
    fields: dict[str, Any] = config.model_dump(mode="json")
    # Fields that count are taken out before their section is removed.
    kept = {name: section[last] for name in but for section, last in _sections(fields, name, config)}
    for name, value in (joined or {}).items():
        for section, last in _sections(fields, name, config):
            if section[last] == value:
                del section[last]
                kept.pop(name, None)
    for name in not_content:
        for section, last in _sections(fields, name, config):
            del section[last]
    for name, value in {**(retired or {}), **kept}.items():
        *above, last = name.split(".")
        section = fields
        for part in above:
            section = section.setdefault(part, {})
        section[last] = value
    return fields


def _sections(fields: dict[str, Any], name: str, config: "BaseModel") -> list[tuple[dict[str, Any], str]]:
    """Return each mapping that holds the field ``name``, with its last part; several where a section is a list."""
    *above, last = name.split(".")
    sections = [fields]
    for part in above:
        values = [section.get(part) for section in sections]
        sections = [each for value in values for each in (value if isinstance(value, list) else [value or {}])]
    if any(last not in section for section in sections):
        raise ValueError(f"{type(config).__name__}: expected a field {name}, found none")
    return [(section, last) for section in sections]


def link_or_copy(source: Path, target: Path) -> None:
    """Place ``source`` (a file or folder) at ``target`` by hard links; copy where that cannot be done."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_file)
    else:
        _link_file(str(source), str(target))


def _link_file(source: str, target: str) -> str:
    try:
        # Artefacts are never changed in place, so two may share the bytes of a file.
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
