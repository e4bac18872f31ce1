"""Another name that a document gives in brackets beside a mention: "dacarbazine (DTIC)".

These are trade names ("sorafenib (Nexavar®)"), codes, systematic and Latin names, also behind an abbreviation
("chenodeoxycholic acid (CDCA; 3α,7α-dihydroxy-…)"); abbreviations have a module of their own. Of such pairs of
annotated mentions, 139 of 147 mean the same concept in BC5CDR's chemicals and 138 of 152 in NLM-Chem's, but only 22 of
41 among diseases, where the bracket often holds a subtype of the disease before it.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from belink.records import Document, Mention
from belink.text.normalise import normalise

_CLOSING = tuple(")],;")
_TRADE_MARKS = "®™ "
_MAX_BETWEEN = 4  # characters between a mention and what stands in brackets behind it
_MIN_LENGTH = 2  # characters of a name: "dioxane (D)" would be aspartic acid
_MAX_NAMES = 1  # different names in brackets; more of them are subtypes of the mention before them


def expand(document: Document) -> Document:
    """Return ``document`` with ``appositions`` filled in for each mention that it names otherwise in brackets."""
    pairs: dict[str, dict[str, str]] = {}
    for before, inside in _pairs(document):
        one, other = normalise(before.text), normalise(inside.text)
        if min(len(one), len(other)) >= _MIN_LENGTH and one != other:
            # Each is another name of the other, wherever the document uses one of them alone.
            pairs.setdefault(one, {}).setdefault(_letters(other), inside.text)
            pairs.setdefault(other, {}).setdefault(_letters(one), before.text)
    also = {name: tuple(others.values()) for name, others in pairs.items() if len(others) <= _MAX_NAMES}
    if not also:
        return document
    mentions = ((mention, also.get(normalise(mention.text), ())) for mention in document.mentions)
    return replace(document, mentions=tuple(replace(m, appositions=others) if others else m for m, others in mentions))


def _letters(name: str) -> str:
    """Return a normalised name without the differences that do not count: blanks and a plural."""
    return name.replace(" ", "").removesuffix("s")


def _pairs(document: Document) -> Iterator[tuple[Mention, Mention]]:
    """Yield mentions of which the second stands in brackets behind the first, alone or after its abbreviation."""
    in_order = sorted(document.mentions, key=lambda mention: (mention.start, mention.end))
    abbreviated: tuple[Mention, Mention] | None = None
    for before, inside in pairwise(in_order):
        opened = document.text[before.end : inside.start]
        if opened.strip(_TRADE_MARKS) in ("(", "[") and len(opened) <= _MAX_BETWEEN:
            # Abbreviations have a long form by now, which says more than a name beside them.
            if inside.long_form:
                abbreviated = (before, inside)
            elif _is_closed(document, inside) and normalise(inside.text) != normalise(before.long_form):
                yield before, inside
        elif abbreviated and abbreviated[1] is before and opened == "; " and _is_closed(document, inside):
            yield abbreviated[0], inside


def _is_closed(document: Document, mention: Mention) -> bool:
    """Return whether a bracket or a part of it ends behind ``mention``, a trade mark left aside."""
    return document.text[mention.end : mention.end + _MAX_BETWEEN].lstrip(_TRADE_MARKS).startswith(_CLOSING)
