"""What a short form stands for among the words before it.

Schwartz & Hearst 2003 (A simple algorithm for identifying abbreviation definitions in biomedical text): the letters of
the short form are looked for from right to left; the first one must begin a word. Three things are added: initials of
whole words go first ("hereditary hemochromatosis (HH)" is not hemochromatosis alone), initials may stand in another
order, as Latin names leave them ("myotonic dystrophy (DM)"), and what begins at the first letter takes the locants and
stereodescriptors before it along, which no letter stands for ("2,5-dimethyl-celecoxib (DMC)").
"""

import re

from belink.text.normalise import GREEK

_WORD = re.compile(r"[^\W_]+")
# "γ-aminobutyric acid (GABA)": a Greek letter begins as its name does.
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
    """Whether ``text`` looks like one: 2 to 10 characters, at most two words, not all in lower case."""
    cased = text[:1].isalnum() and text != text.lower()
    return 2 <= len(text) <= 10 and len(text.split()) <= 2 and cased and not _STEREO.fullmatch(text)


def is_code(text: str) -> bool:
    """Whether ``text`` looks like an abbreviation or a code name, whose likeness to another says nothing: "SM-5887"."""
    return is_short_form(text) and sum(letter.isupper() or letter.isdigit() for letter in text) > 1


def standing_for(short: str, before: str) -> str:
    """The words at the end of ``before`` that ``short`` stands for; ``""`` where there are none."""
    if not is_short_form(short):
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
                return _begun(window[:start], long) + long
    return ""


def adds_locants(long: str, to: str) -> bool:
    """Whether ``long`` is ``to`` with locants before it, which ``to`` left out."""
    return long.casefold() != to.casefold() and without_locants(long).casefold() == to.casefold()


def without_locants(long: str) -> str:
    """``long`` without those that it begins with: "dimethyl-celecoxib" of "2,5-dimethyl-celecoxib"."""
    found = _LOCANTS.match(long)
    return long[found.end() :] if found else long


def ends_with_locants(text: str) -> bool:
    """Whether whatever follows ``text`` has its locants already: "α-" before "TC"."""
    return _LOCANTS_LAST.search(text) is not None


def _begun(before: str, long: str) -> str:
    """What of the end of ``before`` belongs to ``long`` though no letter stands for it.

    Locants, with all of the word that they stand in ("methyl-β-", before "cyclodextrin"), but none of those of several
    compounds ("α-, β- and γ-cyclodextrin"); and a word with the same initial ("polyinosine-", before "polycytidylic").
    """
    last = _LAST_WORD.search(before)
    word = last[0] if last else ""
    word = word if _is_balanced(word) else word.lstrip("([")
    found = _LOCANTS_LAST.search(before)
    if found and not _SUSPENDED.search(before[: found.start()]):
        return max(found[0], word if _is_balanced(word) else "", key=len)
    return word if word[:1].casefold() == long[0].casefold() and word.endswith(tuple(HYPHENS)) else ""


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
    words = len(long) > len(short) + 1 and any(letter.islower() for letter in long)
    return long if _is_balanced(long) and words and short not in long.split() else ""


def _is_balanced(text: str) -> bool:
    return text.count("(") == text.count(")") and text.count("[") == text.count("]")
