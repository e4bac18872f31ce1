"""Which version of a linker counts: registered bundles and the aliases on them.

One registered model a linker, one version a bundle, and three aliases: ``champion`` is what consumers follow,
``challenger`` the version that was judged last, ``previous`` where a rollback goes. Versions never change; moving
``champion`` is the one switching write. MLflow has no compare-and-set for aliases, so a lock in its database protects
the move.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from belink import manifests
from belink.declarations import read_stored_linker
from belink.errors import BundleError, RegistryError
from belink.linker import bundle
from belink.linker.abstention import Abstention
from belink.ontology import release as releases
from belink.ontology.refused import refused_releases
from belink.registry import bundles, impacts
from belink.registry.lookup import Lookup, lookup
from belink.registry.moved import put_right
from belink.registry.runs import version_page
from belink.registry.sharing import check_sharing, is_elsewhere, restricted_releases
from belink.registry.store import BUNDLE, KIND, RunRecord, Store, local_folder, may_hold_anything, one_line
from belink.registry.store.registered import StoredLinker
from belink.settings import Settings, without_password

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
ABSTENTION = "belink.abstention"  # the bound on links in raw text that a version's calibration holds, as JSON
_RESTRICTED = "belink.restricted"  # ontologies of a version that are not redistributable
_LAST = "belink.last_refresh"  # on the registered model
_LONGEST_REASON = 1000  # characters; MLflow refuses a tag of more than 5,000
_WITHDRAWN = "belink.withdrawn"  # set by a rollback: no refresh promotes this version again by itself
_OUTCOME, _FAILED, _UNMEASURED, _PROMOTED, _RELEASE = (
    "belink.outcome",
    "belink.failed_gates",
    "belink.unmeasured_gates",
    "belink.promoted",
    "belink.release.",
)

_VersionTags = Callable[[str, str], Mapping[str, str]]  # linker, version → its tags
_RunFiles = Callable[[str, str], str]  # linker, version → where the files of its run lie


def register(settings: Settings, folder: Path, record: RunRecord) -> str:
    """Return the version under which the bundle at ``folder`` is registered; the one it has, if it has one already.

    :raises RegistryError: the bundle is a draft, or MLflow refuses it.
    :raises BundleError: the bundle's parts disagree.
    """
    manifest = bundle.check(folder)
    if bundle.is_draft(manifest):
        raise RegistryError(f"{folder}: expected an evaluated bundle, found a draft; only those are registered")
    linker, key = str(manifest["linker"]), str(manifest["key"])
    declared = read_stored_linker(folder / bundle.LINKER)
    restricted = restricted_releases(folder, manifest)
    check_sharing(settings, declared, restricted, allowed=record.share_restricted)
    store = Store(settings)
    with one_line(f"{linker}: MLflow did not take the bundle"):
        version = store.version_of_bundle(linker, key)
        # The registry may hold this bundle under a version whose files are damaged. That version is left, and a new one
        # is made.
        if version is not None and _is_sound(store, linker, version):
            return version
        tags = {
            **record.tags,
            BUNDLE: key,
            **({_RESTRICTED: ", ".join(restricted)} if restricted else {}),
            **{f"{_RELEASE}{name}": release["version"] for name, release in manifest["releases"].items()},
        }
        stored = bundles.storable(settings, folder, manifest, declared.storage)
        return store.add_version(linker, stored, manifest, record, tags)


def settle(
    settings: Settings,
    linker: str,
    version: str,
    outcome: str,
    failed: Sequence[str] = (),
    unmeasured: Sequence[str] = (),
) -> None:
    """Write on ``version`` how the gates decided, and make it the ``challenger``.

    :param failed: the names of the gates that failed.
    :param unmeasured: the names of the gates that too few mentions were left for.
    """
    store = Store(settings)
    # The tags come before the alias: whoever follows `challenger` then finds a version whose outcome is known.
    with one_line(f"{linker}: version {version} could not be tagged"):
        tags = {_OUTCOME: outcome, _FAILED: ", ".join(failed), _UNMEASURED: ", ".join(unmeasured)}
        store.tag_version(linker, version, tags)
        store.set_alias(linker, CHALLENGER, version)


def aliases(settings: Settings, linker: str) -> dict[str, str]:
    """Return alias → version; ``{}`` for a linker that was never registered."""
    with _database(settings) as file:
        if file is not None:
            return file.aliases(linker)
    return Store(settings).aliases(linker)


@contextmanager
def _database(settings: Settings) -> Iterator[Lookup | None]:
    """A home's own database, opened without MLflow; ``None`` where only MLflow can read the registry."""
    put_right(settings)
    with lookup(settings.tracking_uri) as file:
        yield file


def champion(settings: Settings, linker: str) -> str | None:
    """Return the version that consumers follow; ``None`` before the first promotion."""
    if not may_hold_anything(settings):
        return None
    return aliases(settings, linker).get(CHAMPION)


def is_withdrawn(settings: Settings, linker: str, version: str) -> bool:
    """Whether ``version`` was rolled back, and not promoted by hand since."""
    with one_line(f"{linker}: version {version} cannot be read"):
        return Store(settings).version(linker, version).tags.get(_WITHDRAWN, "") != ""


def abstention(settings: Settings, linker: str, version: str) -> Abstention | None:
    """Return the bound on links in raw text of ``version``; ``None`` for one that was calibrated without."""
    with one_line(f"{linker}: version {version} cannot be read"):
        return _abstention(Store(settings).version(linker, version).tags)


def _abstention(tags: Mapping[str, str]) -> Abstention | None:
    return Abstention.from_dict(json.loads(tags[ABSTENTION])) if ABSTENTION in tags else None


def promote(settings: Settings, linker: str, version: str, *, expect: str | None = "any") -> dict[str, Any]:
    """Move ``champion`` to ``version``, and ``previous`` to where it was.

    :param expect: the champion that the caller has compared ``version`` with; ``None`` for none, ``"any"`` to
        promote whatever the champion is.
    :returns: ``linker``, ``champion``, ``previous``.
    :raises RegistryError: there is no such version, or the champion is not the expected one.
    """
    store = Store(settings)
    with (
        one_line(f"{linker}: version {version} could not be promoted"),
        store.locked(f"promote-{linker}"),
    ):
        _require_bundle(store, linker, version)
        before = store.aliases(linker)
        current = before.get(CHAMPION)
        if expect != "any" and current != expect:
            raise RegistryError(
                f"{linker}: expected version {expect} as champion, found {current}; somebody moved it meanwhile, "
                "refresh again"
            )
        # Without this, a second promotion of the champion would point `previous` at the champion itself.
        if current == version:
            return {"linker": linker, "champion": version, "previous": before.get(PREVIOUS)}
        store.tag_version(linker, version, {_WITHDRAWN: None, _PROMOTED: _now()})
        # `previous` moves first. A process that is killed in between leaves both aliases on one version, which a
        # rollback refuses, and the promotion can be repeated.
        if current is not None:
            store.set_alias(linker, PREVIOUS, current)
        store.set_alias(linker, CHAMPION, version)
    return {"linker": linker, "champion": version, "previous": current}


def rollback(settings: Settings, linker: str) -> dict[str, Any]:
    """Move ``champion`` back to ``previous``, and ``previous`` to where it was.

    The version left behind is tagged as withdrawn, so that no refresh of the same inputs promotes it again.

    :returns: ``linker``, ``champion``, ``previous``.
    :raises RegistryError: there is nothing to go back to.
    """
    store = Store(settings)
    with (
        one_line(f"{linker}: could not be rolled back"),
        store.locked(f"promote-{linker}"),
    ):
        before = store.aliases(linker)
        current, target = before.get(CHAMPION), before.get(PREVIOUS)
        if current is None:
            raise RegistryError(f"{linker}: expected a champion to roll back, found none; refresh {linker} first")
        if target is None or target == current:
            raise RegistryError(
                f"{linker}: expected a version before {current} to go back to, found none; "
                f"belink promote {linker} VERSION picks any other"
            )
        _require_bundle(store, linker, target)
        store.tag_version(linker, current, {_WITHDRAWN: _now()})
        store.tag_version(linker, target, {_WITHDRAWN: None, _PROMOTED: _now()})
        # Champion first: killed in between, the rollback has happened and only the way forward again is lost.
        store.set_alias(linker, CHAMPION, target)
        store.set_alias(linker, PREVIOUS, current)
    return {"linker": linker, "champion": target, "previous": current}


def bundle_path(settings: Settings, linker: str, name: str = CHAMPION) -> tuple[Path, str]:
    """Return the folder of the bundle that an alias or version number stands for, and its version.

    A store on this machine hands out its own folder; from any other the bundle is fetched once and checked.

    :raises RegistryError: no such linker, alias or version.
    """
    version = version_of(settings, linker, name)
    with _database(settings) as file:
        # The database answers without an import of MLflow, which costs two seconds of CPU.
        address = file.location(linker, version) if file is not None else None
    if address is not None and (local := local_folder(address)) is not None:
        return bundles.bundle_in(settings, local, f"{linker} version {version}"), version
    store = Store(settings)
    with one_line(f"{linker}: the bundle of version {version} cannot be found"):
        # A version that somebody registered without belink's tag has no key; the download is named "unknown" then.
        key = store.version(linker, version).bundle or "unknown"
        local = local_folder(store.address(linker, version))
        if local is not None:
            return bundles.bundle_in(settings, local, f"{linker} version {version}"), version
        return bundles.fetch(settings, linker, version, key), version


def version_of(settings: Settings, linker: str, name: str) -> str:
    """Return the version number that an alias, or itself a version number, stands for.

    :raises RegistryError: no such alias.
    """
    if not may_hold_anything(settings):
        raise _nothing_registered(linker, name, {})
    current = aliases(settings, linker)
    # A name of digits alone is always read as a version, also where an alias is spelled like that.
    version = name if name.isdigit() else current.get(name)
    if version is None:
        raise _nothing_registered(linker, name, current)
    return version


def note_refresh(settings: Settings, outcome: Mapping[str, Any]) -> None:
    """Write on the linker how its last refresh ended, for ``belink status``; not for one without a registered version.

    :param outcome: ``RefreshOutcome.to_dict()``, or the same keys of a refresh that an error ended ("failed").
    """
    # A refresh that a gate on releases refused can end before the first version. The note must not create a database
    # then.
    if not may_hold_anything(settings):
        return
    failed = [gate["name"] for gate in outcome["gates"] if not gate["passed"]]
    note = {"ended": _now(), "outcome": outcome["outcome"], "version": outcome["version"], "failed_gates": failed}
    if outcome.get("reason"):
        note["reason"] = without_password(str(outcome["reason"]))[:_LONGEST_REASON]
    if outcome.get("impact"):
        note["impact"] = outcome["impact"]
    with one_line(f"{outcome['linker']}: its last refresh could not be noted"):
        Store(settings).tag_linker(outcome["linker"], _LAST, json.dumps(note))


def linkers(settings: Settings) -> list[str]:
    """Return the names of the linkers that are registered, in alphabetical order."""
    if not may_hold_anything(settings):
        return []
    with _database(settings) as file:
        if file is not None:
            return file.linkers(KIND)
    return [linker.name for linker in Store(settings).linkers()]


def status(settings: Settings) -> dict[str, Any]:
    """Return ``home``, ``tracking_uri`` and ``linkers``; also ``refused_releases`` where a gate refused any.

    Each linker has its aliases, when the champion was promoted (``updated``) and what it is made of, newer releases in
    the home, ontologies that may not be redistributed, and how the last refresh ended.
    """
    refused = refused_releases(settings)
    return {
        "home": str(settings.home),
        "tracking_uri": without_password(settings.tracking_uri),
        "linkers": _status_of_linkers(settings) if may_hold_anything(settings) else [],
        **({"refused_releases": refused} if refused else {}),
    }


def _status_of_linkers(settings: Settings) -> list[dict[str, Any]]:
    with _database(settings) as file:
        if file is not None:
            linkers = [
                StoredLinker(name=name, aliases=file.aliases(name), tags=file.linker_tags(name))
                for name in file.linkers(KIND)
            ]
            return [_shown(settings, linker, file.version_tags, file.run_files) for linker in linkers]
    store = Store(settings)
    with one_line(f"{without_password(settings.tracking_uri)}: the registry cannot be read"):
        return [
            _shown(
                settings,
                linker,
                lambda name, number: store.version(name, number).tags,
                lambda name, number: store.run_files(store.version(name, number).run_id),
            )
            for linker in store.linkers()
        ]


def _shown(
    settings: Settings, linker: StoredLinker, version_tags: _VersionTags, run_files: _RunFiles
) -> dict[str, Any]:
    current = linker.aliases
    tags = version_tags(linker.name, current[CHAMPION]) if CHAMPION in current else {}
    used = {name.removeprefix(_RELEASE): version for name, version in sorted(tags.items()) if name.startswith(_RELEASE)}
    latest = {name: releases.latest(settings, name) for name in used}
    restricted = [name for name in tags.get(_RESTRICTED, "").split(", ") if name]
    return {
        "name": linker.name,
        "champion": current.get(CHAMPION),
        "previous": current.get(PREVIOUS),
        "challenger": current.get(CHALLENGER),
        "releases": used,
        "built_from": {
            name: tags[f"belink.{name}"] for name in ("index", "adapter", "bundle") if f"belink.{name}" in tags
        },
        # `latest` is the release that was made last. Its version need not be the higher one: somebody may have read an
        # older edition.
        "newer": {name: path.name for name, path in latest.items() if path is not None and path.name != used[name]},
        "unmeasured_gates": [name for name in tags.get(_UNMEASURED, "").split(", ") if name],
        "abstention": None if (chosen := _abstention(tags)) is None else chosen.to_dict(),
        "restricted": restricted,
        "restricted_elsewhere": bool(restricted) and is_elsewhere(settings.tracking_uri),
        "updated": tags.get(_PROMOTED),
        "page": version_page(settings, linker.name, current[CHAMPION]) if CHAMPION in current else None,
        "last_refresh": _last_refresh(linker, version_tags),
        "impact": _impact(settings, run_files(linker.name, current[CHAMPION])) if CHAMPION in current else None,
    }


def _impact(settings: Settings, files: str) -> dict[str, dict[str, Any]] | None:
    """Return what a version changed in each watched text when it came; ``None`` where nothing was compared."""
    return impacts.without_sentences(impacts.read_impacts(settings, files)) or None


def _last_refresh(linker: StoredLinker, version_tags: _VersionTags) -> dict[str, Any]:
    """Return how the last refresh ended, and when; by the version judged last, if no refresh has written it down."""
    if noted := linker.tags.get(_LAST):
        return dict(manifests.as_object(noted, Path(f"{linker.name}: the registry's tag {_LAST}")))
    challenger = linker.aliases.get(CHALLENGER)
    tags = version_tags(linker.name, challenger) if challenger is not None else {}
    failed = [name for name in tags.get(_FAILED, "").split(", ") if name]
    return {"ended": None, "outcome": tags.get(_OUTCOME), "version": challenger, "failed_gates": failed}


def _nothing_registered(linker: str, name: str, known: Mapping[str, str]) -> RegistryError:
    there = ", ".join(f"{alias} (version {version})" for alias, version in sorted(known.items())) or "nothing"
    return RegistryError(f"{linker}@{name}: expected a registered version, found {there}; belink refresh makes one")


def _require_bundle(store: Store, linker: str, version: str) -> None:
    """Check that consumers of a version would find its bundle, as far as that costs no download.

    :raises RegistryError: there is no such version, or its bundle is not there.
    :raises BundleError: a part of it is missing.
    """
    store.version(linker, version)
    model = local_folder(store.address(linker, version))
    if model is None:
        return
    folder = bundles.local_bundle(store.settings, model, f"{linker} version {version}")
    if folder is not None:
        bundle.check_parts(folder, deep=False)


def _is_sound(store: Store, linker: str, version: str) -> bool:
    """Whether the store still holds the version's bundle, as far as that costs no download."""
    local = local_folder(store.address(linker, version))
    if local is None:
        return True
    try:
        bundle.check(bundles.bundle_in(store.settings, local, f"{linker} version {version}"))
    except (BundleError, RegistryError):
        return False
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
