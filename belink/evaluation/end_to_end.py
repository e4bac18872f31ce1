"""How a linker does on raw text: it finds the mentions itself, and a right link has the annotated span and id."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from belink.linker.calibration_error import expected_calibration_error
from belink.linker.group import link_stream
from belink.linker.linker import Linker
from belink.records import Document, Link


def evaluate_raw_text(
    linker: Linker, documents: Sequence[Document], left_out: Container[str] = ()
) -> dict[str, Any] | None:
    """Return the figures of the links that ``linker`` finds in the texts of ``documents``; ``None`` without any text.

    A link is right if an annotation has its span and one of its ids. A NIL answer is right if no annotation of the span
    has a concept. ``precision``, ``recall`` and ``f1`` are of links from the linker's default ``bound`` on; for
    ``nil_precision`` and ``nil_recall`` a link below the bound counts as NIL. ``unbounded`` has the same figures where
    only the most probable answer decides. ``ece`` is the calibration error of all answers, NIL included, before any
    bound. A figure without anything to divide by is ``None``.

    :param documents: with gold ids of the linker's releases.
    :param left_out: entity types that the linker does not link; found mentions that have their spans are left out.
    """
    # Some corpora have mentions only, without the text around them; nothing can be found in those.
    documents = [document for document in documents if document.text.strip()]
    if not documents:
        return None
    answers: list[tuple[Link, frozenset[str]]] = []
    n_gold = 0
    for document, links in link_raw_text(linker, documents):
        gold = {(m.start, m.end): m for m in document.mentions}
        n_gold += sum(bool(m.gold) and m.type not in left_out for m in document.mentions)
        judged = document.judged_spans
        for link in links:
            if judged is not None and (link.start, link.end) not in judged:
                continue
            annotation = gold.get((link.start, link.end))
            # Left out: spans of entity types that the linker does not link, and annotations that say neither a concept
            # nor NIL.
            if annotation is None or (annotation.type not in left_out and (annotation.gold or annotation.is_nil)):
                answers.append((link, frozenset(annotation.gold if annotation else ())))
    bound = linker.bound()
    # The answer that the probability was stated for, before any bound turns it into NIL.
    right = [link.id in gold if link.id else not gold for link, gold in answers]
    return {
        "n_documents": len(documents),
        "n_annotated": n_gold,
        "n_found": len(answers),
        "bound": bound,
        **_figures(answers, n_gold, bound),
        "ece": round(expected_calibration_error([link.probability for link, _ in answers], right), 4),
        "unbounded": _figures(answers, n_gold, 0.0),
    }


def link_raw_text(linker: Linker, documents: Sequence[Document]) -> Iterator[tuple[Document, Sequence[Link]]]:
    """Yield each document with the links in its text, its own mentions hidden and no bound set."""
    # A document without mentions makes the linker find its own, as for raw text.
    hidden = (replace(document, mentions=()) for document in documents)
    linked = link_stream(linker, hidden, min_probability=0.0)
    for document, (_, links) in zip(documents, linked, strict=True):
        yield document, links


def _figures(
    answers: Sequence[tuple[Link, frozenset[str]]], n_gold: int, bound: float
) -> Mapping[str, float | int | None]:
    """Return precision, recall and F1 of the links, and precision and recall of NIL.

    :param answers: each link with the gold ids of its span; none for a span without annotation or with NIL.
    :param n_gold: annotated mentions with a gold id, of the entity types that the linker links.
    :param bound: links below this probability count as NIL.
    """
    linked = [link.id in gold for link, gold in answers if link.id and link.probability >= bound]
    nil = [not gold for link, gold in answers if not link.id or link.probability < bound]
    n_nil = sum(not gold for _, gold in answers)
    return {
        "n_linked": len(linked),
        "precision": _share(sum(linked), len(linked)),
        "recall": _share(sum(linked), n_gold),
        # 2·TP / (links + annotations) equals the harmonic mean of precision and recall.
        "f1": _share(2 * sum(linked), len(linked) + n_gold),
        "nil_precision": _share(sum(nil), len(nil)),
        "nil_recall": _share(sum(nil), n_nil),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
