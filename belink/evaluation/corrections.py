"""Whether a linker repeats the errors that people have corrected.

A correction is asked as the text would be linked today: the linker looks for mentions in the sentence, and a corrected
span that it finds gets the link of that. A span that it does not find is linked as a marked one.
"""

from collections.abc import Iterator, Sequence

from belink.evaluation.end_to_end import link_raw_text
from belink.linker.linker import Linker
from belink.records import Document, JudgedSpan, Link, Mention
from belink.text.sentences import in_brackets


def repeated_errors(linker: Linker, documents: Sequence[Document]) -> list[str]:
    """Return each corrected span of ``documents`` that ``linker`` gets wrong again, in words.

    Confirmed links (verdict "right") are no errors, and a concept that no release has any more is not asked for.

    :param documents: corrected sentences, with gold ids of the linker's releases.
    """
    return [
        f"{in_brackets(document.text, span.start, span.end)}: {fault}"
        for document, links, marked in zip(
            documents, _found(linker, documents), _marked(linker, documents), strict=True
        )
        for span in document.judged or ()
        if span.verdict != "right" and (fault := _fault(linker, span, _gold(document, span), links, marked))
    ]


def _found(linker: Linker, documents: Sequence[Document]) -> Iterator[dict[tuple[int, int], Link]]:
    """Yield span → link of the mentions that the linker finds in each text; no bound has made any of them NIL."""
    for _, links in link_raw_text(linker, documents):
        yield {(link.start, link.end): link for link in links}


def _marked(linker: Linker, documents: Sequence[Document]) -> Iterator[dict[tuple[int, int], Link]]:
    """Yield span → link of the mentions that are marked in each document."""
    for document in documents:
        links = linker.link(document.mentions, min_probability=0.0) if document.mentions else []
        yield {(link.start, link.end): link for link in links}


def _gold(document: Document, span: JudgedSpan) -> Mention | None:
    return next((m for m in document.mentions if (m.start, m.end) == (span.start, span.end)), None)


def _fault(
    linker: Linker,
    span: JudgedSpan,
    gold: Mention | None,
    found: dict[tuple[int, int], Link],
    marked: dict[tuple[int, int], Link],
) -> str:
    """Return what is wrong about the linker's answer; ``""`` for a right one."""
    link = found.get((span.start, span.end))
    if span.verdict == "no-mention":
        return f"is no mention, linked to {shown.id}" if (shown := _above_bound(linker, link)) else ""
    if span.verdict == "nil":
        return f"has no concept, linked to {shown.id}" if (shown := _above_bound(linker, link)) else ""
    if gold is None or not gold.gold:
        return ""
    expected = " or ".join(gold.gold)
    if span.verdict == "missed" and link is None:
        return f"is {expected}, not found"
    answer = link or marked.get((span.start, span.end))
    if answer is None or answer.id in gold.gold:
        return ""
    return f"is {expected}, answered {answer.id or 'NIL'}"


def _above_bound(linker: Linker, link: Link | None) -> Link | None:
    """Return ``link`` if it has a concept that the linker's bound lets through; else ``None``."""
    shown = None if link is None else linker.abstain(link)
    return None if shown is None or shown.id is None else shown
