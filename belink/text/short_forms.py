"""The long form of a short form among the words before it.

The algorithm is that of Schwartz & Hearst 2003 (A simple algorithm for identifying abbreviation definitions in
biomedical text): search the letters of the short form from right to left; the first one must begin a word. Three rules
are added. Initials of whole words go first: "hereditary hemochromatosis (HH)" is not hemochromatosis alone. Initials
may stand in another order, as in Latin names: "myotonic dystrophy (DM)". Locants and stereodescriptors before the first
letter belong to the long form although no letter stands for them: "2,5-dimethyl-celecoxib (DMC)".
"""

import re

from belink.text.normalise import GREEK

_WORD = re.compile(r"[^\W_]+")
# "γ-aminobutyric acid (GABA)": a Greek letter counts as the first letter of its name.
_INITIALS = {letter: name[0] for letter, name in GREEK.items()}
HYPHENS = "-‐‑–"
_LOCANT = (
    r"(?:\d+[ab]?['’′]*|1H|[A-Z](?:\(\d+\))?['’′]*|[α-ωΔ]\d*|alpha|beta|gamma|delta(?:[ (]?\d+\)?)?|epsilon|omega"
    r"|RS|dl|cis|trans|tert|sec|rac|[+±−-]|\+/[-−])"
)
_LOCANTS = re.compile(rf"(?:(?<!\w)[(\[]?{_LOCANT}(?:[,.:]{_LOCANT})*[)\]]?[{HYPHENS}])+", re.IGNORECASE)
_LOCANTS_LAST = re.compile(rf"{_LOCANTS.pattern}$", re.IGNORECASE)
_STEREO = re.compile(r"\d*[A-Z](?:,\d*[A-Z])+")  # "R,R", "E,E"
_SUSPENDED = re.compile(rf"[{HYPHENS}](?:,\s*(?:and\s|or\s)?|\s+(?:and/or|and|or)\s|\s?/)\s*$")
_LAST_WORD = re.compile(r"\S+$")
_SMALL = frozenset({"a", "an", "and", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"})


def is_short_form(text: str) -> bool:
    """Return whether ``text`` looks like one: 2 to 10 characters, at most two words, not all in lower case."""
    cased = text[:1].isalnum() and text != text.lower()
    return 2 <= len(text) <= 10 and len(text.split()) <= 2 and cased and not _STEREO.fullmatch(text)


def is_code(text: str) -> bool:
    """Return whether ``text`` looks like an abbreviation or a code name ("SM-5887"), whose spelling says nothing."""
    return is_short_form(text) and sum(letter.isupper() or letter.isdigit() for letter in text) > 1


def find_long_form(short: str, before: str) -> str:
    """Return the words at the end of ``before`` that ``short`` stands for; ``""`` where there are none."""
    if not is_short_form(short):
        return ""
    words = before.split()
    max_words = min(len(short) + 5, len(short) * 2)  # as Schwartz & Hearst bound it
    window = before[-sum(len(word) + 1 for word in words[-max_words:]) :] if words else ""
    latin = window.translate(_INITIALS)
    # A plural's s stands for no word: "ADs".
    spellings = [letters.translate(_INITIALS) for letters in (short, short.removesuffix("s"))]
    for find in (_by_initials, _by_letters, _by_initials_in_any_order):
        for letters in spellings:
            start = find(letters, latin)
            long = _tidy(short, window[start:]) if start >= 0 else ""
            if long:
                return _prefix(window[:start], long) + long
    return ""


def adds_locants(long: str, to: str) -> bool:
    """Return whether ``long`` is ``to`` with locants before it, which ``to`` leaves out."""
    return long.casefold() != to.casefold() and without_locants(long).casefold() == to.casefold()


def without_locants(long: str) -> str:
    """Return ``long`` without the locants that it begins with: "dimethyl-celecoxib" of "2,5-dimethyl-celecoxib"."""
    locants = _LOCANTS.match(long)
    return long[locants.end() :] if locants else long


def ends_with_locants(text: str) -> bool:
    """Return whether ``text`` ends with locants of the word that follows it: "α-" before "TC"."""
    return _LOCANTS_LAST.search(text) is not None


def _prefix(before: str, long: str) -> str:
    """Return the end of ``before`` that belongs to ``long`` although no letter stands for it.

    Locants with the whole word that they stand in ("methyl-β-" before "cyclodextrin"), but not those of several
    compounds ("α-, β- and γ-cyclodextrin"); and a word with the same initial ("polyinosine-" before "polycytidylic").
    """
    last = _LAST_WORD.search(before)
    word = last[0] if last else ""
    word = word if _is_balanced(word) else word.lstrip("([")
    locants = _LOCANTS_LAST.search(before)
    if locants and not _SUSPENDED.search(before[: locants.start()]):
        return max(locants[0], word if _is_balanced(word) else "", key=len)
    return word if word[:1].casefold() == long[0].casefold() and word.endswith(tuple(HYPHENS)) else ""


def _by_initials(letters: str, words: str) -> int:
    """Return where the words begin whose initials are ``letters``, small words between them skipped; -1 for none."""
    remaining = list(letters.casefold())
    start = -1
    for word in reversed(list(_WORD.finditer(words))):
        if not remaining:
            break
        if word[0][0].casefold() == remaining[-1]:
            remaining.pop()
            start = word.start()
        elif word[0] not in _SMALL or start < 0:
            return -1
    return -1 if remaining else start


def _by_initials_in_any_order(letters: str, words: str) -> int:
    last = list(_WORD.finditer(words))[-len(letters) :]
    if not (2 <= len(letters) <= 5 and letters.isalpha() and letters.isupper() and len(last) == len(letters)):
        return -1
    same = sorted(word[0][0].casefold() for word in last) == sorted(letters.casefold())
    return last[0].start() if same else -1


def _by_letters(letters: str, words: str) -> int:
    """Return where the first of ``letters`` stands, each searched to the left of the one after it; -1 for none."""
    searched = [letter for letter in letters.casefold() if letter.isalnum()]
    # ``casefold`` and a few letters of ``lower`` ("İ") change the length, and then positions would not fit ``words``.
    lowered = words.lower() if len(words.lower()) == len(words) else words
    at = len(lowered)
    for number, letter in reversed(list(enumerate(searched))):
        at = lowered.rfind(letter, 0, at)
        # The first letter must begin a word; the others may stand anywhere.
        while number == 0 and at > 0 and lowered[at - 1].isalnum():
            at = lowered.rfind(letter, 0, at)
        if at < 0:
            return -1
    return at


def _tidy(short: str, long: str) -> str:
    """Return ``long`` without marks around it; ``""`` where it cannot be what ``short`` stands for."""
    long = long.strip(" ,'\"“”-–([")
    # As in Schwartz & Hearst, a long form is longer than its short form and does not contain it.
    is_longer = len(long) > len(short) + 1 and any(letter.islower() for letter in long)
    return long if _is_balanced(long) and is_longer and short not in long.split() else ""


def _is_balanced(text: str) -> bool:
    return text.count("(") == text.count(")") and text.count("[") == text.count("]")
