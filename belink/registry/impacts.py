"""What each version changed in the watched texts, as the MLflow run that registered it keeps it.

The comparison with the champion of that time stands in the run as one file, so that it can be read for every version.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from belink.registry.store import read_part
from belink.settings import Settings

FILE = "impact.json"
"""The artifact of a run that holds the impacts: name of a watched text → what ``belink impact --json`` prints."""

_COUNTS = ("mentions", "changed", "unexplained_changes", "counts")


def without_sentences(impacts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the counts of each watched text, without the sentences of its examples."""
    return {name: {key: impact[key] for key in _COUNTS} for name, impact in impacts.items()}


def stored_text(impacts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the content of :data:`FILE`; the Markdown of each impact is a file of its own."""
    kept = {name: {key: of for key, of in impact.items() if key != "markdown"} for name, impact in impacts.items()}
    return json.dumps(kept, indent=1, ensure_ascii=False) + "\n"


def read_impacts(settings: Settings, address: str) -> dict[str, dict[str, Any]]:
    """Return the impacts that the run keeps whose files lie at ``address``; ``{}`` where it keeps none.

    :param address: as ``StoredRun.files`` has it; ``""`` for a run that is not there.
    """
    try:
        return _read(settings, address) if address else {}
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


@lru_cache(maxsize=256)  # of what was read, not of what could not be
def _read(settings: Settings, address: str) -> dict[str, dict[str, Any]]:
    text = read_part(settings, address, FILE)
    if text is None:
        raise LookupError(FILE)
    impacts: dict[str, dict[str, Any]] = json.loads(text)
    without_sentences(impacts)  # a damaged file is found here
    return impacts
