"""What a short form stands for among the words before it.

Schwartz & Hearst 2003 (A simple algorithm for identifying abbreviation definitions in biomedical text): the letters of
the short form are looked for from right to left; the first one must begin a word. Two things are added: initials of
whole words go first ("hereditary hemochromatosis (HH)" is not hemochromatosis alone), and initials may stand in another
order, as Latin names leave them ("myotonic dystrophy (DM)").
"""

import re

from belink.text import GREEK

_WORD = re.compile(r"[^\W_]+")
# "γ-aminobutyric acid (GABA)": a Greek letter begins as its name does.
_INITIALS = {letter: name[0] for letter, name in GREEK.items()}
_SMALL = frozenset({"a", "an", "and", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"})


def is_short_form(text: str) -> bool:
    """Whether ``text`` looks like one: 2 to 10 characters, at most two words, not all in lower case."""
    return 2 <= len(text) <= 10 and len(text.split()) <= 2 and text[0].isalnum() and text != text.lower()


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
