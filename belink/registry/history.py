"""The history of a linker from the registry and the home: versions, verdicts of the gates, and releases.

Only small files of a version's bundle are read, so a bundle that is stored elsewhere is not downloaded.
"""

import json
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from belink import artefacts
from belink.errors import ReleaseError
from belink.linker import bundle
from belink.ontology import release as releases
from belink.registry import aliases as registry
from belink.registry import impacts
from belink.registry.bundles import REFERENCE, referenced_folder
from belink.registry.store import Store, StoredVersion, local_folder, may_hold_anything, one_line, read_part
from belink.registry.tags import read_facts
from belink.settings import Settings


def versions(settings: Settings, linker: str, limit: int = 100) -> list[dict[str, Any]]:
    """Return the newest ``limit`` versions, newest first.

    Each with ``version``, ``aliases``, ``created``, ``promoted`` and ``withdrawn`` (ISO 8601 or null), ``outcome``,
    ``failed_gates``, ``unmeasured_gates``, ``releases`` (ontology → version), ``bundle``, ``gates``, ``figures``
    (metric → value) and ``impact`` (watched text → how many links changed, by cause; null where none was compared).

    :raises RegistryError: the registry does not answer.
    """
    if not may_hold_anything(settings):
        return []
    store = Store(settings)
    aliases = registry.aliases(settings, linker)
    with one_line(f"{linker}: its versions cannot be read"):
        return [_shown(store, linker, version, aliases) for version in store.versions(linker, limit)]


def _shown(store: Store, linker: str, version: StoredVersion, aliases: dict[str, str]) -> dict[str, Any]:
    settings, key, run = store.settings, version.bundle or "unknown", store.run(version.run_id)
    facts = read_facts(version.tags, run.params)
    address = store.address(linker, version.number)
    gates = _part(settings, address, key, bundle.GATES)
    evaluation = _part(settings, address, key, bundle.EVALUATION)
    metrics = _mapping(_mapping(_mapping(evaluation).get("challenger")).get("metrics"))
    return {
        "version": version.number,
        "aliases": sorted(alias for alias, number in aliases.items() if number == version.number),
        "created": version.created,
        "promoted": facts.promoted,
        "withdrawn": facts.withdrawn,
        "outcome": facts.outcome,
        "failed_gates": list(facts.failed_gates),
        "unmeasured_gates": list(facts.unmeasured_gates),
        "releases": dict(facts.releases),
        "bundle": version.bundle,
        "gates": [gate for gate in gates if isinstance(gate, dict)] if isinstance(gates, list) else [],
        "figures": {name: metric.get("value") for name, metric in metrics.items() if isinstance(metric, dict)},
        "impact": impacts.without_sentences(impacts.read_impacts(settings, run.files)) or None,
    }


def impact(settings: Settings, linker: str, version: str) -> dict[str, dict[str, Any]] | None:
    """Return what ``version`` changed in each watched text, with examples; ``None`` where there is no such version.

    :raises RegistryError: the registry does not answer.
    """
    if not may_hold_anything(settings):
        return None
    store = Store(settings)
    with one_line(f"{linker}: its versions cannot be read"):
        run_id = next((each.run_id for each in store.versions(linker) if each.number == version), None)
        return None if run_id is None else impacts.read_impacts(settings, store.run(run_id).files)


def _mapping(value: Any) -> dict[str, Any]:
    """Return ``value``, or an empty mapping in place of what a damaged file may hold there."""
    return value if isinstance(value, dict) else {}


def _part(settings: Settings, address: str, key: str, name: str) -> Any:
    """Return a JSON file of a version's bundle, which never changes; ``None`` where it is missing or damaged."""
    try:
        return _read(settings, address, f"artifacts/{key}/{name}")
    except LookupError:
        elsewhere = _referenced(settings, address, key)
    except (ValueError, RecursionError):
        return None
    try:
        return _read(settings, str(referenced_folder(settings, elsewhere) or elsewhere), name) if elsewhere else None
    except (LookupError, ValueError, RecursionError):
        return None


def _referenced(settings: Settings, address: str, key: str) -> str:
    """Return where the bundle lies that the registry holds by reference; ``""`` for one that it holds itself."""
    try:
        _read(settings, address, f"artifacts/{key}/{bundle.GATES}")  # asked for once; what is missing, each time
        return ""
    except (LookupError, ValueError, RecursionError):
        pass
    try:
        return str(_read(settings, address, f"artifacts/{key}/{REFERENCE}")["uri"])
    except (LookupError, ValueError, TypeError, RecursionError):
        return ""


@lru_cache(maxsize=512)  # of what was read, not of what could not be
def _read(settings: Settings, address: str, part: str) -> Any:
    text = read_part(settings, address, part)
    if text is None:
        raise LookupError(part)
    return json.loads(text)


def known_releases(settings: Settings, linker: str) -> dict[str, list[dict[str, Any]]]:
    """Return ontology → its releases, newest first: those in the home, and those that a version at hand was built from.

    Each with ``version``, ``created``, ``concepts``, ``names``, ``obsolete`` and ``linkers``, the versions built from
    it. What is here can be compared; see :func:`release_folder`.
    """
    used: dict[str, dict[str, list[str]]] = {}
    folders: dict[tuple[str, str], Path] = {}
    for version, names, folder in _bundles(settings, linker):
        for ontology, release in names.items():
            used.setdefault(ontology, {}).setdefault(release, []).append(version)
            if folder is not None and artefacts.exists(folder / "releases" / ontology):
                folders[ontology, release] = folder / "releases" / ontology
    for ontology in used:
        for path in releases.list_releases(settings, ontology):
            folders[ontology, path.name] = path
    shown: dict[str, list[dict[str, Any]]] = {ontology: [] for ontology in sorted(used)}
    for (ontology, release), path in folders.items():
        manifest = artefacts.read_manifest(path)
        counts = manifest.get("counts", {})
        shown[ontology].append(
            {
                "version": release,
                "created": str(manifest.get("created", ""))[:19],
                "concepts": counts.get("concepts"),
                "names": counts.get("names"),
                "obsolete": counts.get("obsolete"),
                "linkers": sorted(used[ontology].get(release, []), key=int),
            }
        )
    return {
        name: sorted(found, key=lambda r: (r["created"], r["version"]), reverse=True) for name, found in shown.items()
    }


def release_folder(settings: Settings, linker: str, ontology: str, version: str) -> Path:
    """Return where the release ``version`` of one of the linker's ontologies lies: in the home or in a bundle at hand.

    :raises ReleaseError: nowhere here, or the linker has no such ontology.
    """
    path = releases.release_path(settings, ontology, version)
    if artefacts.exists(path) and any(ontology in names for _, names, _ in _bundles(settings, linker)):
        return path
    for _, names, folder in _bundles(settings, linker):
        if names.get(ontology) == version and folder is not None and artefacts.exists(folder / "releases" / ontology):
            return folder / "releases" / ontology
    raise ReleaseError(f"{ontology} {version}: expected a release that {linker} was built from, found none here")


def _bundles(settings: Settings, linker: str) -> list[tuple[str, dict[str, str], Path | None]]:
    """Return each version, newest first: its number, its releases, and its bundle's folder if it is on this machine."""
    if not may_hold_anything(settings):
        return []
    store = Store(settings)
    with one_line(f"{linker}: its versions cannot be read"):
        return [
            (version.number, dict(read_facts(version.tags, {}).releases), _folder(store, linker, version))
            # As many as `versions` lists by default.
            for version in store.versions(linker, limit=100)
        ]


def _folder(store: Store, linker: str, version: StoredVersion) -> Path | None:
    key, address = version.bundle or "unknown", store.address(linker, version.number)
    if elsewhere := _referenced(store.settings, address, key):
        return referenced_folder(store.settings, elsewhere)
    local = local_folder(address)
    return None if local is None else local / "artifacts" / key


_comparing = threading.Lock()


def compared(settings: Settings, linker: str, ontology: str, old: str, new: str) -> dict[str, Any]:
    """Return what changed between two releases of one of the linker's ontologies; see ``ontology.diff``.

    One comparison at a time, and each made once: releases never change.

    :raises ReleaseError: one of them is not here.
    """
    folders = [release_folder(settings, linker, ontology, version) for version in (old, new)]
    # Without the lock, two requests for the same pair would both compute it: `lru_cache` does not wait for a first
    # caller.
    with _comparing:
        return _compared(*folders)


@lru_cache(maxsize=32)
def _compared(old: Path, new: Path) -> dict[str, Any]:
    from belink.ontology.diff import diff

    return diff(old, new).to_dict()
