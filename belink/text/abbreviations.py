"""Abbreviations that a document spells out itself: "heparin-induced thrombocytopenia (HIT)".

Either a bracket says it (see ``short_forms``) or a list of abbreviations (see ``glossary``).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from belink.records import Document, Mention
from belink.text import appositions, glossary, short_forms
from belink.text.normalise import singular

_BRACKETS = re.compile(r"[(\[]([^()\[\]\n]{2,120})[)\]]")
_CLAUSE = re.compile(r"[.;:!?]\s|\n")
_INNER_END = re.compile(r";|,\s| or | and ")  # "2R,4R-APDC" has a comma of its own
_COMMA = re.compile(r"[;,]\s")
_COMPOUND = re.compile(r"[A-Z]{2,}-([A-Z]{2,})")
_EITHER = re.compile(r"([A-Z][A-Za-z0-9]{1,5})/([A-Z][A-Za-z0-9]{1,5})")
_JOINED = re.compile(r"(?:\s*(?:/|,|\b(?:and|or|plus|(?:combined )?with)\b))*\s*$")
_INSIDE = re.compile(rf"[{short_forms.HYPHENS}\w]")  # behind a bracket that is part of a name: "phenyl-2(5H)-furanone"
_PART = re.compile(r"\w+")
_LAST_WORD = re.compile(r"([^\s()\[\],;]+)\s*$")


def definitions(text: str) -> dict[str, str]:
    """Short form → long form, both as ``text`` writes them; where one is defined twice, the first counts.

    Unless the other adds the locants that the first, often a title's, leaves out. A plural ("ADs") also defines its
    singular, and what a long form abbreviates itself is spelled out: "attenuated FAP (AFAP)".
    """
    found: dict[str, str] = {}
    for short, long in glossary.entries(text):
        found.setdefault(short, long)
    for bracket in _BRACKETS.finditer(text):
        if _INSIDE.match(text, bracket.end()) and not text[bracket.start() - 1 : bracket.start()].isspace():
            continue
        before = _CLAUSE.split(text[max(0, bracket.start() - 250) : bracket.start()])[-1].rstrip()
        for short, long in _pairs(before, bracket[1]):
            if short_forms.adds_locants(long, to=found.setdefault(short, long)):
                found[short] = long
            if short.endswith("s") and short[:-1].isupper() and len(short) > 2:
                found.setdefault(short[:-1], singular(re.sub("ies$", "y", long)))
    return {short: _in_full(short, long, found) for short, long in found.items()}


def _in_full(short: str, long: str, known: Mapping[str, str]) -> str:
    """``long`` with the other short forms of ``known`` in it spelled out."""
    inside = dict.fromkeys((*long.split(), *_PART.findall(long)))
    return long_form(long, {other: known[other] for other in inside if other in known and other != short}) or long


def _pairs(before: str, bracket: str) -> Iterator[tuple[str, str]]:
    """Short and long forms that a bracket and the text before it define."""
    inner = _INNER_END.split(bracket)[0].strip(" '\"“”")
    found = list(_of_words(inner, before))
    yield from found
    if not found and (last := _LAST_WORD.search(before)):  # the other way round: HIT (heparin-induced …)
        if long := _whole(last[1], bracket.strip()):
            yield last[1], long
    for long, short in pairwise(part.strip() for part in _COMMA.split(bracket)):  # "(5-hydroxytryptamine, 5-HT)"
        is_place = long[:1].isupper()  # "(Carlsbad, CA)"
        if long and not is_place and short_forms.standing_for(short, long) == long:
            yield short, long


def _of_words(short: str, before: str) -> Iterator[tuple[str, str]]:
    """What ``short`` stands for at the end of ``before``; of "ATT-ALF" its second part, too, of "CPA/EE" both."""
    if long := short_forms.standing_for(short, before):
        yield short, long
    if (parts := _COMPOUND.fullmatch(short)) and (long := short_forms.standing_for(parts[1], before)):
        yield parts[1], long
    if parts := _EITHER.fullmatch(short):
        second = short_forms.standing_for(parts[2], before)
        first = short_forms.standing_for(parts[1], _JOINED.sub("", before.removesuffix(second))) if second else ""
        if first:
            yield from ((parts[1], first), (parts[2], second))


def _whole(short: str, bracket: str) -> str:
    """What of ``bracket`` is before a comma, or all of it, if ``short`` stands for the whole of that; else ``""``."""
    parts = (_COMMA.split(bracket)[0], bracket)
    return next((part for part in parts if short_forms.standing_for(short, part) == part), "")


def expand(document: Document) -> Document:
    """``document`` with what it says of its mentions: ``long_form`` of those that hold a short form, and ``also``."""
    known = definitions(document.text)
    if known:
        document = replace(document, mentions=tuple(spelled_out(mention, known) for mention in document.mentions))
    return appositions.expand(document)


def spelled_out(mention: Mention, known: Mapping[str, str]) -> Mention:
    """``mention`` with every short form of ``known`` in it replaced: "congenital DM", "HIT type II", "ADs"."""
    long = long_form(mention.text, known)
    return replace(mention, long_form=long) if long else mention


def long_form(text: str, known: Mapping[str, str]) -> str:
    """``text`` with the short forms of ``known`` spelled out; ``""`` where it holds none."""
    present = sorted((short for short in known if short in text), key=len, reverse=True)
    if not present:
        return ""
    for short in present:
        text = _said_once(text, short, known[short])
    pattern = rf"(?<![^\W_])({'|'.join(map(re.escape, present))})(?:['’]?s)?(?![^\W_])"
    spelled = re.sub(pattern, lambda m: _following(m.string[: m.start()], m[1], known[m[1]]), text)
    return spelled if spelled != text else ""


def _following(before: str, short: str, long: str) -> str:
    """``long`` without its locants where ``before`` ends with some: "γ-TC", though TC is α-tocopherol.

    What ``short`` begins with is no locant: "β-NAAG" is β-N-acetylaspartylglutamate.
    """
    said = short_forms.ends_with_locants(before) and long[0].casefold() != short[0].casefold()
    return short_forms.without_locants(long) if said else long


def _said_once(text: str, short: str, long: str) -> str:
    """``text`` with the short form alone where it gives both: "adenomatous polyposis coli (APC) tumor"."""
    twice = rf"(?i:{re.escape(long)})\s*[(\[]{re.escape(short)}\b[^()\[\]]*[)\]]"
    return re.sub(twice, lambda _: short, text)
