"""What is a tag in MLflow and what is not: the one module that names tags and reads them.

A version has five tags, which people search by. Its other facts never change, and are parameters of its run:

=====================  =================================================  ================================
tag of a version       value                                              written
=====================  =================================================  ================================
``belink.bundle``      the key of its bundle                              when it is registered
``belink.releases``    ``mondo 2025-09-02, hp 2025-08-01``                when it is registered
``belink.gates``       ``passed`` or ``failed: ece``; behind a semicolon  when its gates are judged
                       ``not measured: …``
``belink.promoted``    the time when it became champion                   by each promotion and rollback
``belink.withdrawn``   the time when it was rolled back                   by a rollback; a promotion takes it off
=====================  =================================================  ================================

Versions of an older belink have some fifteen tags, without ``belink.gates``. They are read like the others.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from belink.linker.abstention import Abstention

BUNDLE, RELEASES, GATES = "belink.bundle", "belink.releases", "belink.gates"
PROMOTED, WITHDRAWN = "belink.promoted", "belink.withdrawn"
OF_VERSIONS = (BUNDLE, RELEASES, GATES, PROMOTED, WITHDRAWN)

KIND, HOME, LINKER = "belink.kind", "belink.home", "belink.linker"  # of runs, beside BUNDLE; KIND of models, too
LAST_REFRESH = "belink.last_refresh"  # of a linker's registered model: how its last refresh ended, as JSON

_RESTRICTED, _ABSTENTION = "restricted", "abstention"  # parameters
_PARTS = ("index", "adapter")  # a parameter each; of an older belink a tag, too
_FAILED, _UNMEASURED = "failed: ", "not measured: "


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the registry says of a version without its bundle; what is not known is empty or ``None``."""

    releases: Mapping[str, str]  # ontology → version
    outcome: str | None  # "promoted" where all gates passed, "rejected", or None: not judged
    failed_gates: Sequence[str]
    unmeasured_gates: Sequence[str]
    promoted: str | None  # ISO 8601
    withdrawn: str | None  # ISO 8601; None for one that no rollback left, or that was promoted since
    built_from: Mapping[str, str]  # index, adapter, bundle → key
    restricted: Sequence[str]  # ontologies that are not redistributable
    abstention: Abstention | None  # the bound on links in raw text; None: calibrated without


def registration_tags(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that a version has from the start.

    :param manifest: of its bundle.
    """
    releases = [f"{name} {release['version']}" for name, release in manifest["releases"].items()]
    return {BUNDLE: str(manifest["key"]), RELEASES: ", ".join(releases)}


def run_params(
    manifest: Mapping[str, Any], restricted: Sequence[str], abstention: Abstention | None
) -> dict[str, object]:
    """Return the parameters of a run that :func:`read_facts` reads."""
    params: dict[str, object] = {name: manifest["lineage"][name] for name in _PARTS}
    if restricted:
        params[_RESTRICTED] = ", ".join(restricted)
    if abstention is not None:
        params[_ABSTENTION] = json.dumps(abstention.to_dict())
    return params


def gates_tag(failed: Sequence[str], unmeasured: Sequence[str]) -> dict[str, str]:
    """Return the tag that says how the gates decided."""
    parts = [_FAILED + _join(failed) if failed else "passed"]
    if unmeasured:
        parts.append(_UNMEASURED + _join(unmeasured))
    return {GATES: "; ".join(parts)}


def read_facts(tags: Mapping[str, str], params: Mapping[str, str]) -> Facts:
    """Return what the tags of a version and the parameters of its run say, whichever belink wrote them.

    :param params: may be empty where only what tags say is wanted.
    """
    outcome, failed, unmeasured = _read_gates(tags)
    stored = tags.get(f"belink.{_ABSTENTION}") or params.get(_ABSTENTION)
    built_from = {name: tags.get(f"belink.{name}") or params.get(name, "") for name in _PARTS}
    built_from["bundle"] = tags.get(BUNDLE, "")
    return Facts(
        releases=_read_releases(tags),
        outcome=outcome,
        failed_gates=failed,
        unmeasured_gates=unmeasured,
        promoted=tags.get(PROMOTED),
        withdrawn=tags.get(WITHDRAWN) or None,
        built_from={name: key for name, key in built_from.items() if key},
        restricted=_split(tags.get(f"belink.{_RESTRICTED}") or params.get(_RESTRICTED, "")),
        abstention=Abstention.from_dict(json.loads(stored)) if stored else None,
    )


def _read_gates(tags: Mapping[str, str]) -> tuple[str | None, list[str], list[str]]:
    """Return the outcome, the gates that failed and those that were not measured."""
    if GATES not in tags:
        failed, unmeasured = (_split(tags.get(f"belink.{name}", "")) for name in ("failed_gates", "unmeasured_gates"))
        return tags.get("belink.outcome"), failed, unmeasured
    names: dict[str, list[str]] = {_FAILED: [], _UNMEASURED: []}
    for part in tags[GATES].split("; "):
        for kind, of in names.items():
            if part.startswith(kind):
                of += [unquote(name) for name in _split(part.removeprefix(kind))]
    return "rejected" if names[_FAILED] else "promoted", names[_FAILED], names[_UNMEASURED]


def _read_releases(tags: Mapping[str, str]) -> dict[str, str]:
    # Neither names nor versions of releases have spaces or commas: see `ontology.release.folder_name`.
    pairs = [each.partition(" ") for each in _split(tags.get(RELEASES, ""))]
    return dict(sorted((name, version) for name, _, version in pairs))


def _join(names: Sequence[str]) -> str:
    # A linker's TOML names gates on strata freely, so a name may hold what separates names.
    return ", ".join(name.replace("%", "%25").replace(",", "%2C").replace(";", "%3B") for name in names)


def _split(text: str) -> list[str]:
    return [each for each in text.split(", ") if each]
