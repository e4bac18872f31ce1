"""Which version of a linker counts: registered bundles and the aliases on them.

One registered model a linker, one version a bundle, and three aliases: ``champion`` is what consumers follow,
``challenger`` the version that was judged last, ``previous`` where a rollback goes. Versions never change; moving
``champion`` is the one switching write. MLflow has no compare-and-set for aliases, so a lock in its database protects
the move.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from belink.declarations import read_stored_linker
from belink.errors import BundleError, RegistryError
from belink.linker import bundle
from belink.linker.abstention import Abstention
from belink.registry import bundles, tags
from belink.registry.lookup import Lookup, lookup
from belink.registry.moved import put_right
from belink.registry.sharing import check_sharing, restricted_releases
from belink.registry.store import RunRecord, Store, local_folder, may_hold_anything, one_line
from belink.settings import Settings, without_password

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
_DETAILED, _LONGEST_DETAIL = 5, 200  # failed gates of a last refresh with their figures, and characters of a detail
_LONGEST_REASON = 1000  # characters; MLflow refuses a tag of more than 5,000


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
        bound = bundle.read_calibration(folder).abstention
        record = replace(record, params={**record.params, **tags.run_params(manifest, restricted, bound)})
        stored = bundles.storable(settings, folder, manifest, declared.storage)
        return store.add_version(linker, stored, manifest, record)


def settle(
    settings: Settings, linker: str, version: str, failed: Sequence[str] = (), unmeasured: Sequence[str] = ()
) -> None:
    """Write on ``version`` how the gates decided, and make it the ``challenger``.

    :param failed: the names of the gates that failed.
    :param unmeasured: the names of the gates that too few mentions were left for.
    """
    store = Store(settings)
    # The tag comes before the alias: whoever follows `challenger` then finds a version whose outcome is known.
    with one_line(f"{linker}: version {version} could not be tagged"):
        store.tag_version(linker, version, tags.gates_tag(failed, unmeasured))
        store.set_alias(linker, CHALLENGER, version)


def aliases(settings: Settings, linker: str) -> dict[str, str]:
    """Return alias → version; ``{}`` for a linker that was never registered."""
    with open_database(settings) as file:
        if file is not None:
            return file.aliases(linker)
    return Store(settings).aliases(linker)


@contextmanager
def open_database(settings: Settings) -> Iterator[Lookup | None]:
    """Give a home's own database, opened without MLflow; ``None`` where only MLflow can read the registry."""
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
        return tags.read_facts(Store(settings).version(linker, version).tags, {}).withdrawn is not None


def abstention(settings: Settings, linker: str, version: str) -> Abstention | None:
    """Return the bound on links in raw text of ``version``; ``None`` for one that was calibrated without."""
    with one_line(f"{linker}: version {version} cannot be read"):
        store = Store(settings)
        stored = store.version(linker, version)
        return tags.read_facts(stored.tags, store.run(stored.run_id).params).abstention


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
        store.tag_version(linker, version, {tags.WITHDRAWN: None, tags.PROMOTED: _now()})
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
        store.tag_version(linker, current, {tags.WITHDRAWN: _now()})
        store.tag_version(linker, target, {tags.WITHDRAWN: None, tags.PROMOTED: _now()})
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
    with open_database(settings) as file:
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
    failed = [gate for gate in outcome["gates"] if not gate["passed"]]
    note = {"ended": _now(), "outcome": outcome["outcome"], "version": outcome["version"]}
    note["failed_gates"] = [gate["name"] for gate in failed]
    if failed:
        figures = [{name: gate.get(name) for name in ("name", "value", "bound")} for gate in failed[:_DETAILED]]
        details = [str(gate.get("detail", ""))[:_LONGEST_DETAIL] for gate in failed]
        note["gates"] = [{**each, "detail": detail} for each, detail in zip(figures, details, strict=False)]
    if outcome.get("reason"):
        note["reason"] = without_password(str(outcome["reason"]))[:_LONGEST_REASON]
    if outcome.get("impact"):
        note["impact"] = outcome["impact"]
    with one_line(f"{outcome['linker']}: its last refresh could not be noted"):
        Store(settings).tag_linker(outcome["linker"], tags.LAST_REFRESH, json.dumps(note))


def linkers(settings: Settings) -> list[str]:
    """Return the names of the linkers that are registered, in alphabetical order."""
    if not may_hold_anything(settings):
        return []
    with open_database(settings) as file:
        if file is not None:
            return file.linkers(tags.KIND)
    return [linker.name for linker in Store(settings).linkers()]


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
