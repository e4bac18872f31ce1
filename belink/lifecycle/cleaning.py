"""``belink gc``: name what no alias and no keep rule needs, and remove it if asked to.

These stay:

- versions that an alias names (give a version any alias to keep it), and the newest few of each linker;
- all that those versions are made of;
- the newest releases of each ontology;
- the newest artefact of each kind, since the next refresh reuses parts of it.

Linkers and ontologies that are being refreshed are left alone.
"""

import logging
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from belink import artefacts
from belink.errors import BelinkError, RegistryError
from belink.lifecycle.refresh import BUILT
from belink.ontology import release as releases
from belink.registry import aliases, versions
from belink.settings import Settings, without_password

log = logging.getLogger(__name__)

BORROWED = (*BUILT, "referenced")
ABANDONED = 7 * 24 * 3600.0  # seconds
# How the answer names one artefact of a folder, where that is not the folder's name without its "s".
_CALLED = {"indices": "index", "fetched": "fetched bundle", "referenced": "referenced bundle"}


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A version, an artefact or scratch files that nothing needs."""

    what: str  # version, run, release, index, …
    path: str  # a folder, or LINKER version N, or LINKER run ID
    why: str
    bytes: int = 0
    folders: tuple[Path, ...] = ()
    version: tuple[str, str] | None = None  # linker and number
    run: tuple[str, str] | None = None  # linker and id of an MLflow run


@dataclass(kw_only=True)
class Needed:
    """What the versions that stay are made of."""

    keys: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in BORROWED})
    releases: set[tuple[str, str]] = field(default_factory=set)


def clean(settings: Settings, *, keep: int = 3, remove: bool = False) -> dict[str, Any]:
    """Return what nothing needs: ``remove`` (what, path, why, bytes), ``freed`` bytes, ``done``, ``busy``, ``keep``.

    ``bytes`` are those of an item's files; ``freed`` counts what the disk gets back, without shared hard links.
    ``busy`` are the linkers and ontologies that are being refreshed, which are left alone.

    :param keep: how many of the newest versions of a linker, and releases of an ontology, stay in any case.
    :param remove: remove it; False only names it.
    :raises RegistryError: the registry knows no linker, but bundles lie here: it is not the one they are in.
    """
    # With the wrong registry every bundle here would look unused, and all of them would be removed.
    if not aliases.linkers(settings) and any(settings.bundles.glob("*/[!.]*")):
        raise RegistryError(
            f"{without_password(settings.tracking_uri)}: expected the registry of the bundles in {settings.bundles}, "
            "found one without a linker; set MLFLOW_TRACKING_URI to theirs, or let belink refresh finish what it began"
        )
    # The locks are held to the end, so no refresh begins between the search and the removal.
    with ExitStack() as locks:
        busy = [name for name in _linkers(settings) if not locks.enter_context(_idle(settings, f"refresh-{name}"))]
        busy_ontologies = [
            name
            for name in sorted({*_below(settings.releases), *_below(settings.quarantine)})
            if not locks.enter_context(_idle(settings, f"ingest-{name}"))
        ]
        # A list and not an iterator: every size is read before the first file goes.
        removals = list(_find(settings, keep, busy, busy_ontologies))
        freed = _freed(path for each in removals for path in each.folders)
        if remove:
            for each in removals:
                _remove(settings, each)
    shown = [
        {name: value for name, value in asdict(each).items() if name not in ("folders", "version", "run")}
        for each in removals
    ]
    return {"remove": shown, "freed": freed, "done": remove, "busy": [*busy, *busy_ontologies], "keep": keep}


def _find(settings: Settings, keep: int, busy: list[str], busy_ontologies: list[str]) -> Iterator[Removal]:
    # Versions come before everything else, because they fill `needed`, which the later steps read.
    needed = Needed()
    for linker in aliases.linkers(settings):
        for rank, each in enumerate(versions.registered(settings, linker)):
            if each.aliases or rank < keep or linker in busy:
                _need(settings, needed, linker, each)
                continue
            # In a registry that several homes share, the files may lie in another home, which cleans up for itself.
            folders = (each.folder,) if each.folder and each.folder.is_relative_to(settings.home) else ()
            yield Removal(
                what="version",
                path=f"{linker} version {each.number}",
                why=f"no alias, and not among the newest {keep}",
                bytes=sum(map(_size, folders)),
                folders=folders,
                version=(linker, each.number),
            )
        if linker not in busy:
            yield from _runs(settings, linker)
    yield from _scratch(settings, {*busy, *busy_ontologies})
    yield from _releases(settings, needed, keep, busy_ontologies)
    for kind in BORROWED:
        for linker in _below(settings.home / kind):
            if linker not in busy:
                yield from _artefacts(settings.home / kind / linker, kind, needed.keys[kind])


def _runs(settings: Settings, linker: str) -> Iterator[Removal]:
    """Yield the runs that a killed registration, or a killed removal of a version, left with their bundles."""
    for run_id, folders in versions.unregistered_runs(settings, linker):
        yield Removal(
            what="run",
            path=f"{linker} run {run_id}",
            why="holds a bundle that is no version",
            bytes=sum(map(_size, folders)),
            folders=tuple(folders),
            run=(linker, run_id),
        )


def _need(settings: Settings, needed: Needed, linker: str, version: versions.Version) -> None:
    """Note what a version that stays is made of, if its manifest can be read without a download."""
    # The name of a fetched bundle's folder, as `registry.bundles.fetch` makes it.
    named = f"{version.number}-{version.key}"
    needed.keys["bundles"].add(version.key)
    needed.keys["referenced"].add(version.key)
    needed.keys["fetched"].add(named)
    copies = (settings.bundles / linker / version.key, settings.home / "fetched" / linker / named)
    # Any local copy will do for its manifest: copies of one bundle are equal.
    folder = next((copy for copy in copies if artefacts.exists(copy)), None)
    try:
        folder = folder or versions.bundle_here(settings, linker, version)
    except BelinkError as error:
        log.warning("%s version %s: what it is made of cannot be read: %s", linker, version.number, error)
    if folder is None:
        return
    manifest = artefacts.read_manifest(folder)
    needed.keys["indices"].add(manifest["index"]["key"])
    needed.keys["adapters"].add(str(manifest["adapter"]))
    needed.keys["encoders"].add(str(manifest["encoder"].get("adapted")))
    needed.releases |= {(name, str(release["version"])) for name, release in manifest["releases"].items()}


def _scratch(settings: Settings, busy: Collection[str]) -> Iterator[Removal]:
    """Yield what dead builds left, and training that could be resumed but was not for a week."""
    for kind in (*BORROWED, "releases", "quarantine", "announced", "downloads"):
        folder = settings.home / kind
        for path in sorted((*folder.glob(".tmp-*"), *folder.glob("*/.tmp-*"))):
            if not artefacts.is_being_built(path) and path.parent.name not in busy:
                yield _folder("scratch", path, "left by a build that did not end")
        for path in sorted(folder.glob("*/.work-*")):
            done = artefacts.exists(path.with_name(path.name.removeprefix(".work-")))
            # The time of the newest file counts: writing into a folder below does not change the time of the folder
            # itself.
            old = time.time() - max((file.stat().st_mtime for file in [path, *_files(path)]), default=0) > ABANDONED
            if (done or old) and path.parent.name not in busy:
                yield _folder("scratch", path, "what it led to is there" if done else "untouched for a week")


def _releases(settings: Settings, needed: Needed, keep: int, busy: list[str]) -> Iterator[Removal]:
    for ontology in _below(settings.releases):
        if ontology in busy:
            continue
        for path in releases.list_releases(settings, ontology)[:-keep]:
            if (ontology, path.name) not in needed.releases:
                yield _folder("release", path, f"no version needs it, and not among the newest {keep}")
    for ontology in _below(settings.quarantine):
        if ontology in busy:
            continue
        refused = sorted(
            (path for path in (settings.quarantine / ontology).glob("[!.]*") if artefacts.exists(path)),
            # By the time of refusal, since a refused release may bear any version.
            key=lambda path: path.stat().st_mtime_ns,
        )
        for path in refused[:-keep]:
            yield _folder("refused release", path, f"not among the newest {keep}")


def _artefacts(folder: Path, kind: str, needed: set[str]) -> Iterator[Removal]:
    """Yield the artefacts of a kind that no version needs, but for the newest: the next refresh reuses parts of it."""
    complete = sorted(
        (path for path in folder.glob("[!.]*") if artefacts.exists(path)),
        # The manifest is written last, so its time is when the artefact was complete.
        key=lambda path: (path / artefacts.MANIFEST).stat().st_mtime_ns,
    )
    for path in complete[:-1]:
        if path.name not in needed:
            yield _folder(_CALLED.get(kind, kind.removesuffix("s")), path, "no version that stays needs it")


def _folder(what: str, path: Path, why: str) -> Removal:
    return Removal(what=what, path=str(path), why=why, bytes=_size(path), folders=(path,))


def _remove(settings: Settings, removal: Removal) -> None:
    if removal.version is not None:
        versions.forget(settings, *removal.version)
        return
    if removal.run is not None:
        versions.forget_run(settings, *removal.run)
        return
    for folder in removal.folders:
        # A killed `artefacts.atomic_write` leaves a file, a killed build a folder.
        if folder.is_dir():
            artefacts.remove(folder)
        else:
            folder.unlink(missing_ok=True)


def _freed(folders: Iterable[Path]) -> int:
    """Return the bytes that the disk gets back: those of files all of whose hard links go."""
    # `artefacts.adopt` makes hard links, so a file often has several names, of which only some are removed.
    names: dict[tuple[int, int], int] = {}
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for folder in folders:
        for path in _files(folder):
            status = path.stat()
            inode = (status.st_dev, status.st_ino)
            names[inode] = names.get(inode, 0) + 1
            sizes[inode] = (status.st_size, status.st_nlink)
    return sum(size for inode, (size, links) in sizes.items() if names[inode] >= links)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder))


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def _below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())


def _linkers(settings: Settings) -> list[str]:
    return sorted({name for kind in BORROWED for name in _below(settings.home / kind)} | set(aliases.linkers(settings)))


@contextmanager
def _idle(settings: Settings, lock: str) -> Iterator[bool]:
    """Yield whether nobody holds the lock; if so, nobody gets it meanwhile."""
    from filelock import FileLock, Timeout

    settings.locks.mkdir(parents=True, exist_ok=True)
    try:
        # Zero seconds: a linker that is being refreshed is skipped, and not waited for.
        with FileLock(settings.locks / f"{lock}.lock", timeout=0):
            yield True
    except Timeout:
        yield False
