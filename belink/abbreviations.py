"""Abbreviations that a document spells out itself: "heparin-induced thrombocytopenia (HIT)".

Schwartz & Hearst 2003 (A simple algorithm for identifying abbreviation definitions in biomedical text): the letters of
the short form are looked for from right to left in the words before the bracket; the first one must begin a word. Two
things are added: initials of whole words go first ("hereditary hemochromatosis (HH)" is not hemochromatosis alone), and
initials may stand in another order, as Latin names leave them ("myotonic dystrophy (DM)").
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from belink.records import Document, Mention
from belink.text import GREEK

_BRACKETS = re.compile(r"[(\[]([^()\[\]\n]{2,120})[)\]]")
_CLAUSE = re.compile(r"[.;:!?]\s|\n")
_INNER_END = re.compile(r"[;,]| or | and ")
_LAST_WORD = re.compile(r"([^\s()\[\],;]+)\s*$")
_WORD = re.compile(r"[^\W_]+")
# "γ-aminobutyric acid (GABA)": a Greek letter begins as its name does.
_INITIALS = {letter: name[0] for letter, name in GREEK.items()}
_SMALL = frozenset({"a", "an", "and", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"})


def definitions(text: str) -> dict[str, str]:
    """Short form → long form, both as ``text`` writes them; where one is defined twice, the first counts.

    A plural ("ADs") also defines its singular.
    """
    found: dict[str, str] = {}
    for bracket in _BRACKETS.finditer(text):
        before = _CLAUSE.split(text[max(0, bracket.start() - 250) : bracket.start()])[-1].rstrip()
        inner = _INNER_END.split(bracket[1])[0].strip(" '\"“”")
        short, long = inner, _long_form(inner, before)
        if not long and (last := _LAST_WORD.search(before)):  # the other way round: HIT (heparin-induced …)
            short, long = last[1], _long_form(last[1], bracket[1].strip())
            long = long if long == bracket[1].strip() else ""
        if long:
            found.setdefault(short, long)
            if short.endswith("s") and short[:-1].isupper() and len(short) > 2:
                found.setdefault(short[:-1], re.sub(r"(?<=[a-z]{3})(?<![siu])s$", "", re.sub("ies$", "y", long)))
    return found


def expand(document: Document) -> Document:
    """``document`` whose mentions that are, or hold, a short form have ``long_form`` filled."""
    known = definitions(document.text)
    if not known:
        return document
    return replace(document, mentions=tuple(spelled_out(mention, known) for mention in document.mentions))


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


def _long_form(short: str, before: str) -> str:
    """The words at the end of ``before`` that ``short`` stands for; ``""`` where there are none."""
    if not (2 <= len(short) <= 10 and len(short.split()) <= 2 and short[0].isalnum() and short != short.lower()):
        return ""
    words = before.split()
    most = min(len(short) + 5, len(short) * 2)
    window = before[-sum(len(word) + 1 for word in words[-most:]) :] if words else ""
    read = window.translate(_INITIALS)
    wanted = [letters.translate(_INITIALS) for letters in (short, short.removesuffix("s"))]
    for find in (_by_initials, _by_letters, _by_initials_in_any_order):
        for letters in wanted:
            start = find(letters, read)
            long = _tidy(short, window[start:]) if start >= 0 else ""
            if long:
                return long
    return ""


def _by_initials(letters: str, words: str) -> int:
    """Where the words begin whose initials are ``letters``, small words between them passed over; -1 for none."""
    wanted = list(letters.casefold())
    start = -1
    for word in reversed(list(_WORD.finditer(words))):
        if not wanted:
            break
        if word[0][0].casefold() == wanted[-1]:
            wanted.pop()
            start = word.start()
        elif word[0] not in _SMALL or start < 0:
            return -1
    return -1 if wanted else start


def _by_initials_in_any_order(letters: str, words: str) -> int:
    last = list(_WORD.finditer(words))[-len(letters) :]
    if not (2 <= len(letters) <= 5 and letters.isalpha() and letters.isupper() and len(last) == len(letters)):
        return -1
    same = sorted(word[0][0].casefold() for word in last) == sorted(letters.casefold())
    return last[0].start() if same else -1


def _by_letters(letters: str, words: str) -> int:
    """Where in ``words`` the first of ``letters`` lies, all of them found from right to left; -1 where they are not."""
    wanted = [letter for letter in letters.casefold() if letter.isalnum()]
    lowered = words.lower() if len(words.lower()) == len(words) else words
    at = len(lowered)
    for left, letter in reversed(list(enumerate(wanted))):
        at = lowered.rfind(letter, 0, at)
        while left == 0 and at > 0 and lowered[at - 1].isalnum():
            at = lowered.rfind(letter, 0, at)
        if at < 0:
            return -1
    return at


def _tidy(short: str, long: str) -> str:
    """``long`` without marks around it; ``""`` where it cannot be what ``short`` stands for."""
    long = long.strip(" ,'\"“”-–([")
    balanced = long.count("(") == long.count(")") and long.count("[") == long.count("]")
    words = len(long) > len(short) + 1 and any(letter.islower() for letter in long)
    return long if balanced and words and short not in long.split() else ""
