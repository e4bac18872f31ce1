"""Why names that stand in a text are not linked."""

from collections.abc import Sequence
from typing import Any

from belink.linker.linker import Linker
from belink.records import Document, Link


def explain_unlinked(linker: Linker, document: Document, links: Sequence[Link]) -> list[dict[str, Any]]:
    """Return each name of the linker's ontologies in ``document`` that is not linked, in the order of the text.

    Each with ``document``, ``text``, ``start``, ``end`` and ``reason``, and the best concept's ``id``, ``label`` and
    ``probability`` where the name was found and answered as NIL; else these are ``None``.

    :param links: the linker's answers to the mentions of ``document``.
    """
    spans = {(link.start, link.end) for link in links}
    unlinked = [_answered_nil(link) for link in links if link.id is None]
    nothing = {"id": None, "label": None, "probability": None}
    for name in linker.explainer.passed_over(document.text) if linker.explainer else ():
        if (name.start, name.end) not in spans:
            place = {"document": document.id, "text": name.text, "start": name.start, "end": name.end}
            unlinked.append({**place, "reason": name.reason, **nothing})
    return sorted(unlinked, key=lambda each: (each["start"], each["end"]))


def _answered_nil(link: Link) -> dict[str, Any]:
    place = {"document": link.document, "text": link.text, "start": link.start, "end": link.end}
    if not link.options:
        return {**place, "reason": "no concept is like it", "id": None, "label": None, "probability": None}
    candidate, probability = link.options[0]
    if link.nil_probability > probability:
        reason = f"NIL is more probable, {link.nil_probability:.2f}"
    else:
        reason = "less probable than the bound"
    best = {"id": candidate.id, "label": candidate.label, "probability": round(probability, 4)}
    return {**place, "reason": reason, **best}
