"""Let a loaded linker answer items whose gold is known: the predictions and timings that ``evaluate`` measures."""

import logging
import time
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from belink import artefacts, declarations, progress
from belink.corpora import files
from belink.errors import BelinkError
from belink.evaluation.end_to_end import evaluate_raw_text
from belink.evaluation.metrics import Evaluation, as_json, evaluate, paired_bootstrap
from belink.evaluation.predictions import (
    CONCEPT_REMOVED,
    Prediction,
    Seen,
    predictions_from_links,
    read_predictions,
    write_predictions,
)
from belink.linker import bundle
from belink.linker.linker import Linker
from belink.ontology.gold_ids import migrate_gold, successors, unknown_ids
from belink.records import Candidate, Document, Link, Mention
from belink.text.normalise import normalise
from belink.training import splits
from belink.training.splits import CORRECTED, EvaluationItem

log = logging.getLogger(__name__)
_TURN = 32  # items that one linker answers before the next one has its turn


def link_items(linker: Linker, items: Sequence[EvaluationItem]) -> tuple[list[Link], list[list[Candidate]], float]:
    """Return the linker's links, retrieval's candidates for each, and the seconds that both took.

    Where an item asks for it, its name is hidden from retrieval or its concepts are removed from the candidates.
    """
    started = time.perf_counter()
    # The shared empty list is safe: both passes together replace every position.
    candidates: list[list[Candidate]] = [[]] * len(items)
    # Hiding is a setting of the whole retrieval call, hence two calls.
    for hide in (False, True):
        positions = [i for i, item in enumerate(items) if item.hide_own_name is hide]
        retrieved = linker.candidates([items[i].mention for i in positions], hide_own_name=hide)
        for i, of_item in zip(positions, retrieved, strict=True):
            candidates[i] = [candidate for candidate in of_item if candidate.id not in items[i].without]
    names_hidden = {i for i, item in enumerate(items) if item.hide_own_name}
    links = linker.choose([item.mention for item in items], candidates, names_hidden=names_hidden)
    return links, candidates, time.perf_counter() - started


def predict_in_turns(
    linkers: Mapping[str, Linker], items: Sequence[EvaluationItem], seen: Seen
) -> dict[str, tuple[list[Prediction], float]]:
    """Return the predictions of each of ``linkers``, with the stratum ``from <source>``, and the seconds they took.

    The linkers take turns of a few items each, so that other load on the machine slows them alike.
    """
    # The first mentions would otherwise be timed with the loading of the weights.
    for linker in linkers.values():
        _warm_up(linker)
    predictions: dict[str, list[Prediction]] = {name: [] for name in linkers}
    seconds = dict.fromkeys(linkers, 0.0)
    turns = [items[start : start + _TURN] for start in range(0, len(items), _TURN)]
    for turn in progress.track(turns, what="evaluation", total=len(items), unit="mentions", size=len):
        strata = [
            (_source_stratum(item), *([CONCEPT_REMOVED] if item.without else []))
            for item in turn
            if item.mention.gold or item.mention.is_nil
        ]
        for name, linker in linkers.items():
            links, candidates, took = link_items(linker, turn)
            seconds[name] += took
            # `strata` above keeps to the items that have a prediction, so that both have the same length.
            for prediction, more in zip(predictions_from_links(links, candidates, seen), strata, strict=True):
                predictions[name].append(replace(prediction, strata=(*prediction.strata, *more)))
    return {name: (predictions[name], seconds[name]) for name in linkers}


def _source_stratum(item: EvaluationItem) -> str:
    return item.source if item.source == CORRECTED else f"from {item.source}"


def evaluations(folder: Path) -> dict[str, Evaluation]:
    """Return the figures of each linker whose predictions and seconds ``folder``, an evaluation's artefact, holds."""
    seconds = artefacts.read_manifest(folder)["seconds"]
    return {who: evaluate(read_predictions(folder / f"{who}.jsonl"), seconds=took) for who, took in seconds.items()}


def _warm_up(linker: Linker) -> None:
    """Load everything that the first mentions would otherwise wait for."""
    mentions = [Mention(text="disease", sentence="A disease."), Mention(text="A")]
    linker.choose(mentions, linker.candidates(mentions))
    _ = linker.reranker  # mentions that retrieval settles do not load it


def evaluate_corpus(
    linker: Linker,
    corpus: Path,
    data: Path | None = None,
    *,
    write: Path | None = None,
    against: Path | None = None,
    report: Path | None = None,
) -> dict[str, Any]:
    """Return the figures of ``linker`` on every annotated mention of ``corpus``; see :mod:`belink.evaluation.metrics`.

    A gold id that the linker's releases have replaced counts as its successors. An unknown id stays, and is missed;
    ``unknown_gold`` counts those and names some. Mentions of an entity type of which no release knows a single id
    (genes, for a linker of diseases) are left out; ``left_out`` counts them by type. ``end_to_end`` has the figures of
    the links that the linker finds in the texts themselves; see :func:`belink.evaluation.end_to_end.evaluate_raw_text`.

    :param data: the folder of the linker's own corpora, for the strata of what it has seen in training.
    :param write: the file that the predictions are written to.
    :param against: other predictions of the same mentions; the paired difference becomes ``comparison``.
    :param report: the file that an HTML report is written to.
    """
    folders = bundle.release_folders(linker.path)
    documents = list(files.read_corpus(corpus, default_prefix=_default_prefix(linker)))
    unknown = unknown_ids(documents, folders)
    left_out = _foreign_types(documents, unknown)
    # An id whose successors are unknown stays as it is, and is missed.
    moved = {old: new for old, new in successors(documents, folders).items() if new}
    documents = [replace(d, mentions=tuple(migrate_gold(d.mentions, moved)[0])) for d in documents]
    items = _corpus_items(linker, documents, corpus.name, left_out)
    n_unknown, n_gold = _count_unknown(items, unknown)
    # Half of the ids: a corpus of another ontology misses nearly all, an older release a few.
    if n_unknown * 2 > n_gold:
        log.warning(
            "%s: %d of %d gold ids are in none of the linker's releases, such as %s; are they of this ontology?",
            corpus, n_unknown, n_gold, ", ".join(sorted(unknown)[:3]),
        )  # fmt: skip
    _warm_up(linker)
    links, candidates, seconds = link_items(linker, items)
    predictions = predictions_from_links(links, candidates, _seen(linker, folders, data))
    evaluation = evaluate(predictions, seconds=seconds)
    if write is not None:
        write_predictions(predictions, write)
    answer, comparison = as_json(evaluation), None
    answer["unknown_gold"] = {"ids": n_unknown, "of": n_gold, "examples": sorted(unknown)[:10]}
    answer["left_out"] = dict(left_out)
    answer["end_to_end"] = end_to_end = evaluate_raw_text(linker, documents, left_out)
    if against is not None:
        comparison = paired_bootstrap(predictions, read_predictions(against))
        answer["comparison"] = asdict(comparison)
    if report is not None:
        from belink.evaluation.report import render_html, write_page

        facts = {"corpus": str(corpus), **linker.lineage}
        title = f"{linker.declaration.name} on {corpus.name}"
        page = render_html(evaluation, title=title, comparison=comparison, facts=facts, end_to_end=end_to_end)
        write_page(report, page)
    return answer


def _foreign_types(documents: Iterable[Document], unknown: Container[str]) -> Counter[str]:
    """Return entity type → mentions, for types of which no release knows a single id; empty if that is every type."""
    n_mentions, known_types = Counter[str](), set[str]()
    for mention in (mention for document in documents for mention in document.mentions if mention.gold):
        n_mentions[mention.type] += 1
        if not all(identifier in unknown for identifier in mention.gold):
            known_types.add(mention.type)
    # If no type has a known id, the corpus is of another ontology: everything is measured and missed, which shows.
    return Counter({kind: n for kind, n in n_mentions.items() if known_types and kind and kind not in known_types})


def _count_unknown(items: Iterable[EvaluationItem], unknown: Container[str]) -> tuple[int, int]:
    """Return how many gold ids of ``items`` are unknown, and how many there are."""
    gold = [identifier for item in items for identifier in item.mention.gold]
    return sum(identifier in unknown for identifier in gold), len(gold)


def _corpus_items(
    linker: Linker, documents: Sequence[Document], source: str, left_out: Container[str]
) -> list[EvaluationItem]:
    """Return the annotated mentions of ``documents``, as the linker reads them."""
    return [
        EvaluationItem(mention=mention, source=source)
        for document in map(linker.prepare, (d for d in documents if d.mentions))
        for mention in document.mentions
        if (mention.gold or mention.is_nil) and mention.type not in left_out
    ]


def seen_in_training(mentions: Iterable[Mention]) -> Seen:
    """Return what a linker trained on ``mentions`` has seen."""
    mentions = list(mentions)
    return Seen(
        mentions={normalise(mention.text) for mention in mentions},
        concepts={concept for mention in mentions for concept in mention.gold},
    )


def _seen(linker: Linker, folders: Sequence[Path], data: Path | None) -> Seen:
    """Return what the linker has seen in training, if its corpora are on this machine."""
    try:
        return seen_in_training(splits.training_mentions(linker.declaration, folders, data))
    # A linker from elsewhere is measured without its training corpora; only the strata of seen mentions are left out.
    except BelinkError:
        return Seen()


def _default_prefix(linker: Linker) -> str:
    """Return the prefix of gold ids that have none: the first of the linker's own."""
    prefixes = linker.declaration.prefixes or tuple(
        prefix for name in linker.declaration.ontologies for prefix in declarations.load_source(name).prefixes
    )
    return prefixes[0] if prefixes else ""
