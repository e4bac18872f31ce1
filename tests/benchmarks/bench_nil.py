"""What NIL wins and costs: held-out documents of the disease corpora, marked mentions and raw text.

    BELINK_DATA=… python tests/benchmarks/bench_nil.py [--scratch FOLDER]

Two fifths of the documents are held out. Their mentions, marked and found by the dictionary, are retrieved by trigrams
from CTD with the other documents' annotations as precedents (no encoder, no language model: about a minute). One half
of the held-out documents fits the calibration and the other half is asked, then the other way round. Compared are a fit
to marked mentions whose best option is always the answer, and a fit to both kinds with NIL where it is more probable.
Prints JSON.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from belink import settings
from belink.declarations import LinkerConfig, RetrievalConfig, load_linker, load_source
from belink.linker import fitting, name_finder
from belink.linker.calibration_error import expected_calibration_error
from belink.ontology.ingest import ingest
from belink.records import Document, Mention, Question
from belink.retrieval.index import Index, build_index
from belink.retrieval.retrieve import retrieve
from belink.text import abbreviations
from belink.training import splits
from belink.training.holdout import uniform
from belink.training.questions import as_retrieved

DATA = Path(os.environ.get("BELINK_DATA", "."))
N_OPTIONS = 8


class NoEncoder:
    """Vectors that say nothing: retrieval is by trigrams alone."""

    fingerprint = "none"
    dimension = 4

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.full((len(texts), self.dimension), 0.5, np.float32)


@dataclass(frozen=True, eq=False)
class Item:
    """A mention of a held-out document, asked."""

    corpus: str
    kind: str  # marked, found, or overlap: found, but neither annotated nor apart from everything annotated
    question: Question


def mentions_of(corpus: str, document: Document, finder: name_finder.NameFinder) -> list[tuple[str, str, Mention]]:
    """The marked mentions of a document, and those that the dictionary finds."""
    mentions = [(corpus, "marked", m) for m in document.mentions if m.gold or m.nil]
    found = finder.find(document.text, document=document.id, sentences=document.sentences)
    annotated = {(m.start, m.end): m for m in document.mentions}
    for mention in abbreviations.expand(replace(document, mentions=tuple(found))).mentions:
        gold = annotated.get((mention.start, mention.end))
        mention = replace(mention, found=True, gold=gold.gold if gold else (), nil=gold is None or gold.nil)
        touches = any(mention.start < m.end and m.start < mention.end for m in document.mentions)
        mentions.append((corpus, "overlap" if gold is None and touches else "found", mention))
    return mentions


def items_of(scratch: Path) -> tuple[list[Item], dict[str, int]]:
    """All items, and the number of annotated mentions with a concept in the held-out documents of each corpus."""
    release = ingest(
        load_source("ctd-diseases"), [DATA / "ctd/CTD_diseases.tsv.gz"], settings.load(scratch), version="2025"
    ).path
    corpora = load_linker("disease").corpora
    documents = [(c.name, d) for c in corpora for d in splits.corpus_documents(c, [release], DATA)]
    held_out = [(corpus, d) for corpus, d in documents if uniform("x", d.id) < 0.4]
    training = [d for _, d in documents if uniform("x", d.id) >= 0.4]
    precedents = [(text, m.gold[0]) for d in training for m in d.mentions if m.gold for text in {m.text, m.long_form}]
    declared = LinkerConfig(name="d", title="D", ontologies=("ctd-diseases",))
    report = build_index([release], declared, NoEncoder(), scratch / "index", precedents=precedents)
    index = Index.load(report.path)
    finder = name_finder.NameFinder.build(index.names(), name_finder.learn(index.names(), training))
    mentions = [each for corpus, d in held_out for each in mentions_of(corpus, d, finder)]
    candidates = retrieve(index, NoEncoder(), [m for _, _, m in mentions], RetrievalConfig(dense=0))
    asked = [as_retrieved(m, c, N_OPTIONS) for (_, _, m), c in zip(mentions, candidates, strict=True)]
    n_gold = {c.name: sum(bool(m.gold) for name, d in held_out if name == c.name for m in d.mentions) for c in corpora}
    return [Item(corpus, kind, q) for (corpus, kind, _), q in zip(mentions, asked, strict=True)], n_gold


def answers(items: Sequence[Item], *, with_nil: bool) -> dict[Item, tuple[bool, bool, float]]:
    """Whether each item's answer is right, whether it is NIL, and its probability; fitted on the other half."""
    results = {}
    for half in (True, False):
        fits = [i for i in items if (uniform("half", i.question.mention.document) < 0.5) == half]
        kinds = ("marked", "found") if with_nil else ("marked",)
        calibration = fitting.fit([i.question for i in fits if i.kind in kinds and i.question.candidates], None)
        for item in (i for i in items if (uniform("half", i.question.mention.document) < 0.5) != half):
            question = item.question
            probabilities = calibration.probabilities(None, question.mention, question.candidates)
            n = len(probabilities) - 1
            answer = calibration.choice(probabilities) if with_nil or not n else int(np.argmax(probabilities[:-1]))
            no_concept = question.mention.nil or item.kind == "overlap"
            right = no_concept if answer == n else not no_concept and answer == question.answer
            results[item] = (right, answer == n, float(probabilities[answer]))
    return results


def figures(items: Sequence[Item], results: dict[Item, tuple[bool, bool, float]], n_gold: int) -> dict[str, float]:
    marked = [results[i] for i in items if i.kind == "marked"]
    raw = [(i, *results[i]) for i in items if i.kind != "marked"]
    linked = [right for _, right, is_nil, _ in raw if not is_nil]
    nil = [right for _, right, is_nil, _ in raw if is_nil]
    n_nil = sum(i.question.mention.nil or i.kind == "overlap" for i, *_ in raw)
    shares = {
        "marked": float(np.mean([right for right, *_ in marked])),
        "precision": sum(linked) / len(linked),
        "recall": sum(linked) / n_gold,
        "F1": 2 * sum(linked) / (len(linked) + n_gold),
        "nil_precision": sum(nil) / max(len(nil), 1),
        "nil_recall": sum(nil) / n_nil,
    }
    errors = {
        "ece_marked": expected_calibration_error([p for _, _, p in marked], [right for right, *_ in marked]),
        "ece_found": expected_calibration_error([p for *_, p in raw], [right for _, right, _, _ in raw]),
    }
    counts = {"n_marked": len(marked), "n_found": len(raw)}
    return {
        **counts,
        **{k: round(100 * v, 2) for k, v in shares.items()},
        **{k: round(v, 3) for k, v in errors.items()},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, help="keeps the release and the index")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        items, n_gold = items_of(chosen.scratch or Path(folder))
    for rule, with_nil in (("best option", False), ("NIL where it is more probable", True)):
        results = answers(items, with_nil=with_nil)
        for corpus, n in n_gold.items():
            told = figures([i for i in items if i.corpus == corpus], results, n)
            print(json.dumps({"answer": rule, "corpus": corpus, **told}))  # noqa: T201


if __name__ == "__main__":
    main()
