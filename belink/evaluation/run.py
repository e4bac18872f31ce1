"""A loaded linker, asked what somebody knows the answer to: links and timings that ``evaluate`` turns into figures."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from belink import declarations
from belink.corpora import files
from belink.errors import BelinkError
from belink.evaluation import predictions
from belink.evaluation.metrics import as_json, evaluate, paired_bootstrap
from belink.evaluation.predictions import CONCEPT_REMOVED, Prediction, Seen, predictions_from_links
from belink.linker.linker import Linker
from belink.ontology.gold_ids import migrate_gold, successors
from belink.records import Candidate, Link, Mention
from belink.text.normalise import normalise
from belink.training import splits
from belink.training.splits import EvaluationItem

_TURN = 32  # items that a linker answers before the other one has its turn


def link_items(linker: Linker, items: Sequence[EvaluationItem]) -> tuple[list[Link], list[list[Candidate]], float]:
    """The linker's answers, what retrieval offered for each, and the seconds that took.

    A name is hidden from the linker's own names, and concepts taken away from what it finds, as the item says.
    """
    started = time.perf_counter()
    offered: list[list[Candidate]] = [[]] * len(items)
    for hide in (False, True):
        chosen = [at for at, item in enumerate(items) if item.hide_own_name is hide]
        found = linker.candidates([items[at].mention for at in chosen], hide_own_name=hide)
        for at, candidates in zip(chosen, found, strict=True):
            offered[at] = [candidate for candidate in candidates if candidate.id not in items[at].without]
    links = linker.choose([item.mention for item in items], offered)
    return links, offered, time.perf_counter() - started


def predict_in_turns(
    linkers: Mapping[str, Linker], items: Sequence[EvaluationItem], known: Seen
) -> dict[str, tuple[list[Prediction], float]]:
    """For each of ``linkers`` its predictions, with the stratum ``from <source>``, and the seconds that they took.

    They answer by turns, a few items each, so that whatever else this machine does slows them alike.
    """
    for linker in linkers.values():
        _warmed(linker)
    found: dict[str, list[Prediction]] = {who: [] for who in linkers}
    seconds = dict.fromkeys(linkers, 0.0)
    for start in range(0, len(items), _TURN):
        part = items[start : start + _TURN]
        belongs = [
            (f"from {item.source}", *([CONCEPT_REMOVED] if item.without else []))
            for item in part
            if item.mention.gold or item.mention.nil
        ]
        for who, linker in linkers.items():
            links, offered, took = link_items(linker, part)
            seconds[who] += took
            for prediction, more in zip(predictions_from_links(links, offered, known), belongs, strict=True):
                found[who].append(replace(prediction, strata=(*prediction.strata, *more)))
    return {who: (found[who], seconds[who]) for who in linkers}


def _warmed(linker: Linker) -> None:
    """Have everything loaded that the first mentions would wait for."""
    warm = [Mention(text="disease", sentence="A disease."), Mention(text="A")]
    linker.choose(warm, linker.candidates(warm))
    _ = linker.reranker  # what retrieval settles does not load it


def evaluate_corpus(
    linker: Linker,
    corpus: Path,
    data: Path | None = None,
    *,
    write: Path | None = None,
    against: Path | None = None,
    report: Path | None = None,
) -> dict[str, Any]:
    """The figures of ``linker`` on every annotated mention of ``corpus``; see :mod:`belink.evaluation.metrics`.

    A gold id that the linker's releases replaced counts as its successors; one they do not know stays, and is missed.

    :param data: where the linker's own corpora lie, for the strata of what it has seen in training.
    :param write: where the predictions go.
    :param against: other predictions of the same mentions; the paired difference is ``comparison``.
    :param report: where an HTML report goes.
    """
    folders = sorted((linker.path / "releases").iterdir())
    documents = list(files.read_corpus(corpus, default_prefix=_default_prefix(linker)))
    moved = {old: new for old, new in successors(documents, folders).items() if new}
    items = []
    for document in map(linker.prepare, (d for d in documents if d.mentions)):
        gold, _ = migrate_gold(document.mentions, moved)
        items += [
            EvaluationItem(mention=mention, source=corpus.name) for mention in gold if mention.gold or mention.nil
        ]
    _warmed(linker)
    links, offered, seconds = link_items(linker, items)
    found = predictions_from_links(links, offered, _known(linker, folders, data))
    evaluation = evaluate(found, seconds=seconds)
    if write is not None:
        predictions.write_predictions(found, write)
    answer, comparison = as_json(evaluation), None
    if against is not None:
        comparison = paired_bootstrap(found, predictions.read_predictions(against))
        answer["comparison"] = asdict(comparison)
    if report is not None:
        from belink.evaluation.report import render_html, write_page

        facts = {"corpus": str(corpus), **linker.lineage}
        title = f"{linker.declaration.name} on {corpus.name}"
        write_page(report, render_html(evaluation, title=title, comparison=comparison, facts=facts))
    return answer


def seen_in_training(mentions: Iterable[Mention]) -> Seen:
    """What a linker trained on ``mentions`` has seen."""
    seen = list(mentions)
    return Seen(
        mentions={normalise(mention.text) for mention in seen},
        concepts={concept for mention in seen for concept in mention.gold},
    )


def _known(linker: Linker, folders: Sequence[Path], data: Path | None) -> Seen:
    """What the linker has seen in training; nothing where its corpora are not on this machine."""
    try:
        return seen_in_training(splits.training_mentions(linker.declaration, folders, data))
    except BelinkError:
        return Seen()


def _default_prefix(linker: Linker) -> str:
    """For gold ids without one: the linker's own, where it has a single one."""
    prefixes = linker.declaration.prefixes or tuple(
        prefix for name in linker.declaration.ontologies for prefix in declarations.load_source(name).prefixes
    )
    return prefixes[0] if prefixes else ""
