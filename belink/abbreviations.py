"""Abbreviations that a document spells out itself: "heparin-induced thrombocytopenia (HIT)".

Either a bracket says it (see ``short_forms``) or a list of abbreviations (see ``glossary``).
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from belink import apposition, glossary, short_forms
from belink.records import Document, Mention
from belink.text import singular

_BRACKETS = re.compile(r"[(\[]([^()\[\]\n]{2,120})[)\]]")
_CLAUSE = re.compile(r"[.;:!?]\s|\n")
_INNER_END = re.compile(r"[;,]| or | and ")
_LAST_WORD = re.compile(r"([^\s()\[\],;]+)\s*$")


def definitions(text: str) -> dict[str, str]:
    """Short form → long form, both as ``text`` writes them; where one is defined twice, the first counts.

    A plural ("ADs") also defines its singular.
    """
    found: dict[str, str] = {}
    for short, long in glossary.entries(text):
        found.setdefault(short, long)
    for bracket in _BRACKETS.finditer(text):
        before = _CLAUSE.split(text[max(0, bracket.start() - 250) : bracket.start()])[-1].rstrip()
        inner = _INNER_END.split(bracket[1])[0].strip(" '\"“”")
        short, long = inner, short_forms.standing_for(inner, before)
        if not long and (last := _LAST_WORD.search(before)):  # the other way round: HIT (heparin-induced …)
            short, long = last[1], short_forms.standing_for(last[1], bracket[1].strip())
            long = long if long == bracket[1].strip() else ""
        if long:
            found.setdefault(short, long)
            if short.endswith("s") and short[:-1].isupper() and len(short) > 2:
                found.setdefault(short[:-1], singular(re.sub("ies$", "y", long)))
    return found


def expand(document: Document) -> Document:
    """``document`` with what it says of its mentions: ``long_form`` of those that hold a short form, and ``also``."""
    known = definitions(document.text)
    if known:
        document = replace(document, mentions=tuple(spelled_out(mention, known) for mention in document.mentions))
    return apposition.expand(document)


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
    spelled = re.sub(pattern, lambda m: known[m[1]], text)
    return spelled if spelled != text else ""


def _said_once(text: str, short: str, long: str) -> str:
    """``text`` with the short form alone where it gives both: "adenomatous polyposis coli (APC) tumor"."""
    twice = rf"(?i:{re.escape(long)})\s*[(\[]{re.escape(short)}\b[^()\[\]]*[)\]]"
    return re.sub(twice, lambda _: short, text)
