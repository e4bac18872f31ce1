"""What `belink status` answers: of each linker its champion, what that is made of, and how the last refresh ended."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from belink import manifests
from belink.ontology import release as releases
from belink.ontology.refused import refused_releases
from belink.registry import aliases, impacts, tags
from belink.registry.lookup import Lookup
from belink.registry.runs import version_page
from belink.registry.sharing import is_elsewhere
from belink.registry.store import Store, may_hold_anything, one_line
from belink.registry.store.registered import StoredLinker
from belink.registry.tags import Facts
from belink.settings import Settings, without_password

_Read = Callable[[str, str], tuple[Facts, str]]  # linker, version → its facts, and where the files of its run lie


def read_status(settings: Settings) -> dict[str, Any]:
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
    with aliases.open_database(settings) as file:
        if file is not None:
            linkers = [
                StoredLinker(name=name, aliases=file.aliases(name), tags=file.linker_tags(name))
                for name in file.linkers(tags.KIND)
            ]
            return [_shown(settings, linker, _facts_in_file(file)) for linker in linkers]
    store = Store(settings)
    with one_line(f"{without_password(settings.tracking_uri)}: the registry cannot be read"):
        return [_shown(settings, linker, _facts_in_store(store)) for linker in store.linkers()]


def _facts_in_file(file: Lookup) -> _Read:
    def read(linker: str, version: str) -> tuple[Facts, str]:
        files, params = file.run(linker, version)
        return tags.read_facts(file.version_tags(linker, version), params), files

    return read


def _facts_in_store(store: Store) -> _Read:
    def read(linker: str, number: str) -> tuple[Facts, str]:
        version = store.version(linker, number)
        run = store.run(version.run_id)
        return tags.read_facts(version.tags, run.params), run.files

    return read


def _shown(settings: Settings, linker: StoredLinker, read: _Read) -> dict[str, Any]:
    current = linker.aliases
    champion = current.get(aliases.CHAMPION)
    facts, files = (tags.read_facts({}, {}), "") if champion is None else read(linker.name, champion)
    latest = {name: releases.latest(settings, name) for name in facts.releases}
    return {
        "name": linker.name,
        "champion": champion,
        "previous": current.get(aliases.PREVIOUS),
        "previous_withdrawn": _withdrawn(linker, read),
        "challenger": current.get(aliases.CHALLENGER),
        "releases": dict(facts.releases),
        "built_from": dict(facts.built_from),
        # `latest` is the release that was made last. Its version need not be the higher one: somebody may have read an
        # older edition.
        "newer": {
            name: path.name for name, path in latest.items() if path is not None and path.name != facts.releases[name]
        },
        "unmeasured_gates": list(facts.unmeasured_gates),
        "abstention": None if facts.abstention is None else facts.abstention.to_dict(),
        "restricted": list(facts.restricted),
        "restricted_elsewhere": bool(facts.restricted) and is_elsewhere(settings.tracking_uri),
        "updated": facts.promoted,
        "page": None if champion is None else version_page(settings, linker.name, champion),
        "last_refresh": _last_refresh(linker, read),
        "impact": _impact(settings, files),
    }


def _withdrawn(linker: StoredLinker, read: _Read) -> str | None:
    """Return when the version that was champion before was rolled back; ``None`` where it was replaced."""
    previous = linker.aliases.get(aliases.PREVIOUS)
    return None if previous is None else read(linker.name, previous)[0].withdrawn


def _impact(settings: Settings, files: str) -> dict[str, dict[str, Any]] | None:
    """Return what a version changed in each watched text when it came; ``None`` where nothing was compared."""
    return impacts.without_sentences(impacts.read_impacts(settings, files)) or None


def _last_refresh(linker: StoredLinker, read: _Read) -> dict[str, Any]:
    """Return how the last refresh ended, and when; by the version judged last, if no refresh has written it down."""
    if noted := linker.tags.get(tags.LAST_REFRESH):
        return dict(manifests.as_object(noted, Path(f"{linker.name}: the registry's tag {tags.LAST_REFRESH}")))
    challenger = linker.aliases.get(aliases.CHALLENGER)
    facts = tags.read_facts({}, {}) if challenger is None else read(linker.name, challenger)[0]
    return {"ended": None, "outcome": facts.outcome, "version": challenger, "failed_gates": list(facts.failed_gates)}
