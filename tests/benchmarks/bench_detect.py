"""Precision and recall of linking raw text, on documents that training never saw.

    BELINK_DATA=… python tests/benchmarks/bench_detect.py HOME LINKER[@ALIAS]

HOME holds a registered linker whose declaration names corpora. The texts are its held-out documents without their
mentions. (Half of the documents calibrated its probabilities; its lexicon saw none.) ``found`` counts spans that are
equal to an annotated one, ``touching`` spans that overlap one, and ``linked`` equal spans with a gold id, among the
spans that have an id. Annotated mentions without an id count for ``found`` only. Prints JSON.
"""

import argparse
import json
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from belink import settings
from belink.linker.linker import Linker
from belink.records import Document
from belink.registry.open import open_linker
from belink.training import splits
from belink.training.holdout import is_held_out

Span = tuple[str, int, int]


def scores(right: int, proposed: int, wanted: int) -> dict[str, float]:
    """Precision, recall and F1 in per cent."""
    precision, recall = right / max(proposed, 1), right / max(wanted, 1)
    shown = {"precision": precision, "recall": recall, "F1": 2 * right / max(proposed + wanted, 1)}
    return {name: round(100 * value, 1) for name, value in shown.items()}


def touching(spans: Collection[Span], others: Collection[Span]) -> int:
    """How many of ``spans`` overlap one of ``others``."""
    return sum(any(d == e and s < f and b < t for e, b, f in others) for d, s, t in spans)


def measure(linker: Linker, documents: list[Document]) -> dict[str, object]:
    bare = [replace(document, mentions=()) for document in documents]
    started = time.perf_counter()
    answers = linker.link_documents(bare)
    seconds = time.perf_counter() - started
    links = {
        (d.id, link.mention.start, link.mention.end): link.candidate
        for d, of_document in answers
        for link in of_document
    }
    gold = {(d.id, m.start, m.end): set(m.gold) for d in documents for m in d.mentions}
    linked = {span: concept.id for span, concept in links.items() if concept is not None}
    known = [span for span, ids in gold.items() if ids]
    near, far = touching(links, gold), touching(gold, links)
    return {
        "documents": len(documents),
        "mentions": len(gold),
        "found": scores(len(links.keys() & gold.keys()), len(links), len(gold)),
        "touching": {"precision": round(100 * near / max(len(links), 1), 1), "recall": round(100 * far / len(gold), 1)},
        "linked": scores(sum(c in gold.get(span, ()) for span, c in linked.items()), len(linked), len(known)),
        "documents/s": round(len(documents) / seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("linker")
    given = parser.parse_args()
    home = settings.load(given.home)
    linker = open_linker(home, given.linker)
    linker.link_text("Warm: COPD.")  # weights are loaded by the first text
    folders, held_out = sorted((linker.path / "releases").iterdir()), linker.declaration.training.held_out
    by_corpus = {
        corpus.name: measure(
            linker,
            [d for d in splits.corpus_documents(corpus, folders, home.data) if is_held_out(d.id, "", held_out)],
        )
        for corpus in linker.declaration.corpora
    }
    print(json.dumps(by_corpus, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
