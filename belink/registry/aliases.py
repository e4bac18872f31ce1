"""Which version of a linker counts: registered bundles and the aliases on them.

One registered model a linker, one version a bundle, and three aliases: ``champion`` is what consumers follow,
``challenger`` the version that was judged last, ``previous`` where a rollback goes. Versions never change; moving
``champion`` is the one switching write. Aliases of MLflow know no compare-and-set, so a lock in it makes one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from belink import artefacts
from belink.declarations import LinkerConfig, read_stored_linker
from belink.errors import BundleError, RegistryError, first_line
from belink.linker import bundle
from belink.ontology import release as releases
from belink.registry import bundles
from belink.registry.lookup import lookup
from belink.registry.store import (
    BUNDLE,
    KIND,
    RunRecord,
    drop_unfinished,
    ensure_model,
    local_folder,
    locked_everywhere,
    log_bundle,
    may_hold_anything,
    one_line,
    pointed_at,
    setup,
)
from belink.settings import Settings, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
_RESTRICTED = "belink.restricted"  # ontologies of a version that are not redistributable
_LAST = "belink.last_refresh"  # on the registered model
_WITHDRAWN = "belink.withdrawn"  # set by a rollback: no refresh promotes this version again by itself
_OUTCOME, _FAILED, _PROMOTED, _RELEASE = (
    "belink.outcome",
    "belink.failed_gates",
    "belink.promoted",
    "belink.release.",
)


def register(settings: Settings, folder: Path, record: RunRecord) -> str:
    """The version under which the bundle at ``folder`` is registered; the one it has, if it has one already.

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
    client = setup(settings)
    with one_line(f"{linker}: MLflow did not take the bundle"), pointed_at(settings):
        known = _version_of(client, linker, key)
        if known is not None and _is_sound(settings, client, linker, known):
            return known
        ensure_model(client, linker)
        drop_unfinished(client, settings, linker, key)
        with bundles.storable(settings, folder, manifest, declared.storage) as stored:
            run_id, model_uri, model_id = log_bundle(client, settings, stored, manifest, record)
        tags = {
            **record.tags,
            BUNDLE: key,
            **({_RESTRICTED: ", ".join(restricted)} if restricted else {}),
            **{f"{_RELEASE}{name}": release["version"] for name, release in manifest["releases"].items()},
        }
        version = client.create_model_version(
            linker, model_uri, run_id, tags=tags, description=record.description or None, model_id=model_id
        )
        return str(version.version)


def settle(settings: Settings, linker: str, version: str, outcome: str, failed: tuple[str, ...] = ()) -> None:
    """Write on ``version`` how the gates decided, and make it the ``challenger``."""
    client = setup(settings)
    with one_line(f"{linker}: version {version} could not be tagged"):
        client.set_model_version_tag(linker, version, _OUTCOME, outcome)
        client.set_model_version_tag(linker, version, _FAILED, ", ".join(failed))
        client.set_registered_model_alias(linker, CHALLENGER, version)


def aliases(settings: Settings, linker: str) -> dict[str, str]:
    """Alias → version; ``{}`` for a linker that was never registered."""
    with lookup(settings.tracking_uri) as store:
        if store is not None:
            return store.aliases(linker)
    return _aliases(setup(settings), linker)


def champion(settings: Settings, linker: str) -> str | None:
    """The version that consumers follow; ``None`` before the first promotion."""
    if not may_hold_anything(settings):
        return None
    return aliases(settings, linker).get(CHAMPION)


def is_withdrawn(settings: Settings, linker: str, version: str) -> bool:
    """Whether ``version`` was rolled back, and not promoted by hand since."""
    client = setup(settings)
    with one_line(f"{linker}: version {version} cannot be read"):
        return client.get_model_version(linker, version).tags.get(_WITHDRAWN, "") != ""


def promote(settings: Settings, linker: str, version: str, *, expect: str | None = "any") -> dict[str, Any]:
    """Move ``champion`` to ``version``, and ``previous`` to where it was.

    :param expect: the champion that the caller has compared ``version`` with; ``None`` for none, ``"any"`` to
        promote whatever the champion is.
    :returns: ``linker``, ``champion``, ``previous``.
    :raises RegistryError: there is no such version, or the champion is not the expected one.
    """
    client = setup(settings)
    with (
        one_line(f"{linker}: version {version} could not be promoted"),
        locked_everywhere(settings, client, f"promote-{linker}"),
    ):
        _require(client, linker, version)
        before = _aliases(client, linker)
        current = before.get(CHAMPION)
        if expect != "any" and current != expect:
            raise RegistryError(
                f"{linker}: expected version {expect} as champion, found {current}; somebody moved it meanwhile, "
                "refresh again"
            )
        if current == version:
            return {"linker": linker, "champion": version, "previous": before.get(PREVIOUS)}
        client.delete_model_version_tag(linker, version, _WITHDRAWN)
        client.set_model_version_tag(linker, version, _PROMOTED, _now())
        if current is not None:
            client.set_registered_model_alias(linker, PREVIOUS, current)
        client.set_registered_model_alias(linker, CHAMPION, version)
    return {"linker": linker, "champion": version, "previous": current}


def rollback(settings: Settings, linker: str) -> dict[str, Any]:
    """Move ``champion`` back to ``previous``, and ``previous`` to where it was.

    The version left behind is tagged as withdrawn, so that no refresh of the same inputs promotes it again.

    :returns: ``linker``, ``champion``, ``previous``.
    :raises RegistryError: there is nothing to go back to.
    """
    client = setup(settings)
    with (
        one_line(f"{linker}: could not be rolled back"),
        locked_everywhere(settings, client, f"promote-{linker}"),
    ):
        before = _aliases(client, linker)
        current, target = before.get(CHAMPION), before.get(PREVIOUS)
        if current is None:
            raise RegistryError(f"{linker}: expected a champion to roll back, found none; refresh {linker} first")
        if target is None or target == current:
            raise RegistryError(
                f"{linker}: expected a version before {current} to go back to, found none; "
                f"belink promote {linker} VERSION picks any other"
            )
        _require(client, linker, target)
        client.set_model_version_tag(linker, current, _WITHDRAWN, _now())
        client.delete_model_version_tag(linker, target, _WITHDRAWN)
        client.set_model_version_tag(linker, target, _PROMOTED, _now())
        # Champion first: killed in between, the rollback has happened and only the way forward again is lost.
        client.set_registered_model_alias(linker, CHAMPION, target)
        client.set_registered_model_alias(linker, PREVIOUS, current)
    return {"linker": linker, "champion": target, "previous": current}


def bundle_path(settings: Settings, linker: str, which: str = CHAMPION) -> tuple[Path, str]:
    """The folder of the bundle that an alias or version number stands for, and its version.

    A store on this machine hands out its own folder; from any other the bundle is fetched once and checked.

    :raises RegistryError: no such linker, alias or version.
    """
    version = version_of(settings, linker, which)
    with lookup(settings.tracking_uri) as store:
        address = store.location(linker, version) if store is not None else None
    if address is not None and (local := local_folder(address)) is not None:
        return bundles.bundle_in(settings, local, f"{linker} version {version}"), version
    client = setup(settings)
    with one_line(f"{linker}: the bundle of version {version} cannot be found"):
        _require(client, linker, version)
        address = str(client.get_model_version_download_uri(linker, version))
        local = local_folder(address)
        if local is not None:
            return bundles.bundle_in(settings, local, f"{linker} version {version}"), version
        key = client.get_model_version(linker, version).tags.get(BUNDLE, "unknown")
        return bundles.fetch(settings, linker, version, key), version


def version_of(settings: Settings, linker: str, which: str) -> str:
    """The version number that an alias, or itself a version number, stands for.

    :raises RegistryError: no such alias.
    """
    if not may_hold_anything(settings):
        raise _nothing_there(linker, which, {})
    known = aliases(settings, linker)
    version = which if which.isdigit() else known.get(which)
    if version is None:
        raise _nothing_there(linker, which, known)
    return version


def check_sharing(settings: Settings, linker: LinkerConfig, restricted: Sequence[str], *, allowed: bool) -> None:
    """Keep what a licence keeps to the licensee off servers, unless the licensee says otherwise.

    :param restricted: ontologies of the linker that are not redistributable.
    :raises RegistryError: the bundle would go to a server, and that was not allowed.
    """
    elsewhere = [address for address in (settings.tracking_uri, linker.storage.address) if _is_elsewhere(address)]
    if restricted and elsewhere and not allowed:
        raise RegistryError(
            f"{linker.name}: expected ontologies that may be passed on, found {', '.join(restricted)} "
            f"(redistributable = false) on the way to {without_password(elsewhere[0])}; where everyone who can read "
            "that server holds the licence, say --share-restricted (share_restricted in a deployment)"
        )


def _is_elsewhere(address: str) -> bool:
    """Whether what is stored at ``address`` leaves this machine and the folders it mounts."""
    scheme = urlsplit(address).scheme.partition("+")[0]
    return scheme not in ("", "file", "sqlite", "postgresql", "mysql", "mssql")


def restricted_releases(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """The ontologies of a bundle whose releases are not redistributable."""
    releases = {name: artefacts.read_manifest(folder / "releases" / name) for name in manifest["releases"]}
    return [name for name, release in releases.items() if not release.get("redistributable", True)]


def note_refresh(settings: Settings, answer: Mapping[str, Any]) -> None:
    """Write on the linker how its last refresh ended, for ``belink status``; a linker without version has no place."""
    if not may_hold_anything(settings):
        return
    failed = [gate["name"] for gate in answer["gates"] if not gate["passed"]]
    note = {"ended": _now(), "outcome": answer["outcome"], "version": answer["version"], "failed_gates": failed}
    client = setup(settings)
    if answer["linker"] in [model.name for model in _models(client)]:
        with one_line(f"{answer['linker']}: its last refresh could not be noted"):
            client.set_registered_model_tag(answer["linker"], _LAST, json.dumps(note))


def linkers(settings: Settings) -> list[str]:
    """The names of the linkers that are registered, in alphabetical order."""
    if not may_hold_anything(settings):
        return []
    with lookup(settings.tracking_uri) as store:
        if store is not None:
            return store.linkers(KIND)
    return sorted(model.name for model in _models(setup(settings)))


def status(settings: Settings) -> dict[str, Any]:
    """``home``, ``tracking_uri`` and ``linkers``: each one's champion since when and of what, newer releases that lie
    here, ontologies that are not to be passed on, and how the last refresh ended.
    """
    shown = []
    if may_hold_anything(settings):
        client = setup(settings)
        with one_line(f"{without_password(settings.tracking_uri)}: the registry cannot be read"):
            shown = [_shown(settings, client, model) for model in _models(client)]
    return {
        "home": str(settings.home),
        "tracking_uri": without_password(settings.tracking_uri),
        "linkers": shown,
    }


def _shown(settings: Settings, client: "MlflowClient", model: Any) -> dict[str, Any]:
    known = {alias: str(version) for alias, version in model.aliases.items()}
    tags: dict[str, str] = {}
    if CHAMPION in known:
        tags = client.get_model_version(model.name, known[CHAMPION]).tags
    used = {name.removeprefix(_RELEASE): version for name, version in sorted(tags.items()) if name.startswith(_RELEASE)}
    made_last = {name: releases.latest(settings, name) for name in used}
    restricted = [name for name in tags.get(_RESTRICTED, "").split(", ") if name]
    return {
        "name": model.name,
        "champion": known.get(CHAMPION),
        "previous": known.get(PREVIOUS),
        "challenger": known.get(CHALLENGER),
        "releases": used,
        "built_from": {
            name: tags[f"belink.{name}"] for name in ("index", "adapter", "bundle") if f"belink.{name}" in tags
        },
        "newer": {name: path.name for name, path in made_last.items() if path is not None and path.name != used[name]},
        "restricted": restricted,
        "restricted_elsewhere": bool(restricted) and _is_elsewhere(settings.tracking_uri),
        "updated": tags.get(_PROMOTED),
        "last_refresh": _last_refresh(client, model, known.get(CHALLENGER)),
    }


def _last_refresh(client: "MlflowClient", model: Any, challenger: str | None) -> dict[str, Any]:
    """How the last refresh ended, and when; by the version judged last, where no refresh has written it down."""
    if noted := model.tags.get(_LAST):
        last: dict[str, Any] = json.loads(noted)
        return last
    tags = client.get_model_version(model.name, challenger).tags if challenger is not None else {}
    failed = [name for name in tags.get(_FAILED, "").split(", ") if name]
    return {"ended": None, "outcome": tags.get(_OUTCOME), "version": challenger, "failed_gates": failed}


def _version_of(client: "MlflowClient", linker: str, key: str) -> str | None:
    found = client.search_model_versions(f"name = '{linker}' AND tags.`{BUNDLE}` = '{key}'")
    return str(max(int(version.version) for version in found)) if found else None


def _models(client: "MlflowClient") -> Iterator[Any]:
    token = None
    while True:
        page = client.search_registered_models(filter_string=f"tags.`{KIND}` = 'linker'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _aliases(client: "MlflowClient", linker: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        # search_model_versions() leaves aliases out; the registered model has them.
        return {alias: str(version) for alias, version in client.get_registered_model(linker).aliases.items()}
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise RegistryError(f"{linker}: the registry does not answer: {first_line(error, 300)}") from error


def _require(client: "MlflowClient", linker: str, version: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.get_model_version(linker, version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        versions = [v.version for v in client.search_model_versions(f"name = '{linker}'")]
        there = ", ".join(str(v) for v in sorted(versions, key=int)) or "none"
        raise RegistryError(f"{linker}: no version {version}; registered: {there}") from error


def _nothing_there(linker: str, which: str, known: Mapping[str, str]) -> RegistryError:
    there = ", ".join(f"{alias} (version {version})" for alias, version in sorted(known.items())) or "nothing"
    return RegistryError(f"{linker}@{which}: expected a registered version, found {there}; belink refresh makes one")


def _is_sound(settings: Settings, client: "MlflowClient", linker: str, version: str) -> bool:
    """Whether the store still holds the version's bundle, as far as that costs no download."""
    local = local_folder(str(client.get_model_version_download_uri(linker, version)))
    if local is None:
        return True
    try:
        bundle.check(bundles.bundle_in(settings, local, f"{linker} version {version}"))
    except (BundleError, RegistryError):
        return False
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
