"""Which concepts of its ontologies a linker links, and which several of them have: what a refresh tells people."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from belink.lifecycle.refresh import RefreshRun

MOST_SHARED = 20  # concepts of several ontologies that an outcome lists
log = logging.getLogger(__name__)


def coverage(run: RefreshRun, releases: Mapping[str, Path]) -> dict[str, Any]:
    """Return, by ontology, how many of its live concepts the linker can answer with, and which it leaves out."""
    from belink.ontology.release import open_release

    covered = {}
    for name, path in releases.items():
        with open_release(path) as release:
            covered[name] = release.coverage(run.linker.prefixes)
    return covered


def shared_ids(run: RefreshRun, releases: Mapping[str, Path]) -> dict[str, Any] | None:
    """Return how many concepts several of the linker's ontologies have, and the first of them; ``None`` for none.

    It is said in the log as well. A link shows the label of the ontology that is declared first.
    """
    from belink.ontology.release import shared_concepts

    shared = shared_concepts({name: releases[name] for name in run.ontologies if name in releases}, run.linker.prefixes)
    if not shared:
        return None
    log.warning("%s: %s", run.linker.name, shared_in_words(shared))
    return {"concepts": len(shared), "examples": shared[:MOST_SHARED]}


def shared_in_words(shared: Sequence[Mapping[str, Any]], n_concepts: int | None = None) -> str:
    """Return one sentence about the concepts that several ontologies of a linker have.

    :param n_concepts: how many there are, where ``shared`` are only some of them.
    """
    examples = "; ".join(
        f"{each['id']} is " + " and ".join(f"{label!r} in {name}" for name, label in each["labels"].items())
        for each in shared[:3]
    )
    count = len(shared) if n_concepts is None else n_concepts
    return f"ids in several of its ontologies: {count:,}; the first declared names them: {examples}"
