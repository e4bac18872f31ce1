"""The step of a refresh that links the declared texts with champion and challenger, before anything is promoted."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from belink import artefacts, declarations, progress
from belink.evaluation.run_impact import compare_linkers
from belink.lifecycle.promotion import Challenger
from belink.lifecycle.refresh import Champion, RefreshRun, sound
from belink.linker.linker import Linker
from belink.registry.impacts import without_sentences

IMPACT = "impact.json"
_FORMAT = 2  # counts when the rules of evaluation.impact change

Impacts = Mapping[str, Mapping[str, Any]]
"""Name of a watched text → its impact, as ``belink impact --json`` prints it."""


@progress.working("comparing answers in watched texts")
def watch(run: RefreshRun, challenger: Challenger, champion: Champion | None) -> Impacts:
    """Return what the challenger changes in each watched text; ``{}`` without texts or a champion to compare with.

    An existing comparison of the same two linkers on the same texts is kept.

    :raises CorpusError: a text cannot be read.
    """
    champion = sound(champion)
    if champion is None or not run.linker.watch:
        return {}
    texts = declarations.watched_files(run.linker, run.settings.data)
    bundles = [champion.path, challenger.path]
    limits = {text.name: text.limit for text in run.linker.watch}
    sums = {name: _sum(paths, limits[name]) for name, paths in texts.items()}
    key = artefacts.key({"format": _FORMAT, "bundles": [path.name for path in bundles], "texts": sums})

    def fill(folder: Path) -> dict[str, Any]:
        # Of the challenger there is no version yet: it is registered with this comparison.
        old = Linker(champion.path, run.settings.cache, model_version=champion.version)
        new = Linker(challenger.path, run.settings.cache)
        impacts = {}
        for name, paths in texts.items():
            impact = compare_linkers(old, new, paths, limits[name])
            impacts[name] = {"linker": run.linker.name, **impact.to_dict(), "markdown": impact.markdown(name)}
        text = json.dumps(impacts, indent=1, ensure_ascii=False)
        (folder / IMPACT).write_text(text + "\n", encoding="utf-8")
        return {"key": key, "texts": sums}

    target = run.settings.home / "impacts" / run.linker.name / key
    artefacts.make(target, fill)
    impacts: dict[str, dict[str, Any]] = json.loads((target / IMPACT).read_text(encoding="utf-8"))
    return impacts


def _sum(paths: Sequence[Path], limit: int | None) -> str:
    """Return what a comparison depends on of a text; of one whole file its sha256."""
    sums = [artefacts.sha256(path) for path in paths]
    if len(paths) == 1 and limit is None:
        return sums[0]
    return artefacts.key({"files": [[path.name, of] for path, of in zip(paths, sums, strict=True)], "limit": limit})


def for_outcome(impacts: Impacts) -> dict[str, dict[str, Any]] | None:
    """Return the counts of each watched text, without its sentences; ``None`` where nothing was compared."""
    return without_sentences(impacts) or None
