"""A champion on documents that its training never saw: marked mentions, and raw text.

    BELINK_DATA=… python tests/benchmarks/bench_detect.py HOME LINKER[@ALIAS]

HOME holds a registered linker whose declaration names corpora. ``evaluated`` are the held-out documents that nothing
was fitted to; ``held out`` are all of them, of which the others calibrated its probabilities. ``marked`` is right where
the concept of an annotated mention that has one is. ``raw_text`` is :func:`belink.evaluation.end_to_end`'s answer;
``found`` counts spans that are equal to an annotated one, ``touching`` spans that overlap one. Prints JSON.
"""

import argparse
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from belink import settings
from belink.evaluation.end_to_end import evaluate_raw_text
from belink.linker.calibration_error import expected_calibration_error
from belink.linker.linker import Linker
from belink.records import Document
from belink.registry.open import open_linker
from belink.training import splits
from belink.training.holdout import is_held_out, uniform

Span = tuple[str, int, int]


def scores(right: int, proposed: int, wanted: int) -> dict[str, float]:
    """Precision, recall and F1 in per cent."""
    precision, recall = right / max(proposed, 1), right / max(wanted, 1)
    shown = {"precision": precision, "recall": recall, "F1": 2 * right / max(proposed + wanted, 1)}
    return {name: round(100 * value, 1) for name, value in shown.items()}


def touching(spans: Collection[Span], others: Collection[Span]) -> float:
    """How many per cent of ``spans`` overlap one of ``others``."""
    n = sum(any(d == e and s < f and b < t for e, b, f in others) for d, s, t in spans)
    return round(100 * n / max(len(spans), 1), 1)


def marked(linker: Linker, documents: Sequence[Document]) -> dict[str, float | int]:
    """Accuracy of the annotated mentions that have a concept, in per cent, and the calibration error."""
    links = [link for _, links in linker.link_documents(documents) for link in links if link.mention.gold]
    right = [link.id in link.mention.gold for link in links]
    error = expected_calibration_error([link.probability for link in links], right)
    n_nil = sum(link.id is None for link in links)
    return {
        "mentions": len(links),
        "right": round(100 * sum(right) / len(links), 2),
        "nil": n_nil,
        "ece": round(error, 4),
    }


def measure(linker: Linker, documents: Sequence[Document]) -> dict[str, Any]:
    found = {(d.id, m.start, m.end) for d in documents for m in linker.detector.find(d.text)}
    gold = {(d.id, m.start, m.end) for d in documents for m in d.mentions}
    return {
        "marked": marked(linker, [document for document in documents if document.mentions]),
        "raw_text": evaluate_raw_text(linker, documents),
        "found": scores(len(found & gold), len(found), len(gold)),
        "touching": {"precision": touching(found, gold), "recall": touching(gold, found)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("linker")
    given = parser.parse_args()
    home = settings.load(given.home)
    linker = open_linker(home, given.linker)
    declared, folders = linker.declaration, sorted((linker.path / "releases").iterdir())
    answer = {}
    for corpus in declared.corpora:
        documents = splits.corpus_documents(corpus, folders, home.data)
        held_out = [d for d in documents if is_held_out(d.id, "", declared.training.held_out)]
        evaluated = [d for d in held_out if uniform("examines", d.id) < declared.evaluation.share]
        answer[corpus.name] = {"evaluated": measure(linker, evaluated), "held out": measure(linker, held_out)}
    print(json.dumps(answer, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
