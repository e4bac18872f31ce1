"""Releases that a gate refused and nobody has dealt with yet."""

from pathlib import Path
from typing import Any

from belink import artefacts, manifests
from belink.errors import BelinkError
from belink.ontology import release as releases
from belink.ontology.ingest import GATES
from belink.settings import Settings


def refused_releases(settings: Settings) -> list[dict[str, Any]]:
    """Return the release of each ontology that a gate refused last, if no release of it was made since.

    Each with ``ontology``, ``version``, ``refused`` (ISO 8601), ``failed_gates`` and ``current``, the version in use
    or null. By name of the ontology.
    """
    answers = []
    for folder in sorted(settings.quarantine.glob("[!.]*")):
        refused, current = releases.list_refused(settings, folder.name), releases.latest(settings, folder.name)
        if refused and (current is None or _created(current) < _created(refused[-1])):
            answers.append(
                {
                    "ontology": folder.name,
                    "version": refused[-1].name,
                    "refused": _created(refused[-1]),
                    "failed_gates": _failed_gates(refused[-1] / GATES),
                    "current": None if current is None else current.name,
                }
            )
    return answers


def _created(path: Path) -> str:
    return str(artefacts.read_manifest(path).get("created", ""))


def _failed_gates(report: Path) -> list[str]:
    """Return the names of the gates that failed; none where the report is missing or damaged."""
    try:
        gates = manifests.read_object(report).get("gates")
    except (OSError, BelinkError):
        return []
    gates = gates if isinstance(gates, list) else []
    return [str(gate["name"]) for gate in gates if isinstance(gate, dict) and gate.get("passed") is False]
