"""``normalise``: the one function that makes the key of a name, for storing names and for looking them up.

It folds differences without meaning (case, accents, Greek letters, hyphens, possessives, brackets) and keeps those that
tell concepts apart (digits, the signs of enantiomers, word order). Plurals and word order are left to retrieval, other
spellings to :mod:`belink.text.variants`.
"""

import html
import re
import unicodedata
from collections.abc import Callable

from belink.waiting import go_on

VERSION = 2
"""Raise it with every change of behaviour: an index records it and refuses to be used with another version."""

GREEK = {
    ord(letter): spelled
    for letters, spelled in [
        ("αΑ", "alpha"), ("βΒϐ", "beta"), ("γΓ", "gamma"), ("δΔ", "delta"), ("εΕϵ", "epsilon"), ("ζΖ", "zeta"),
        ("ηΗ", "eta"), ("θΘϑ", "theta"), ("ιΙ", "iota"), ("κΚϰ", "kappa"), ("λΛ", "lambda"), ("μΜ\u00b5", "mu"),
        ("νΝ", "nu"), ("ξΞ", "xi"), ("οΟ", "omicron"), ("πΠϖ", "pi"), ("ρΡϱ", "rho"), ("σςΣ", "sigma"),
        ("τΤ", "tau"), ("υΥ", "upsilon"), ("φΦϕ", "phi"), ("χΧ", "chi"), ("ψΨ", "psi"), ("ωΩ", "omega"),
    ]
    for letter in letters
}  # fmt: skip
_FOLD: dict[int, str | None] = {
    **GREEK,
    **{code: "-" for code in (0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212)},
    **{code: None for code in (0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)},  # soft hyphen, zero width
    **{code: " " for code in (0x00B7, 0x2022, 0x2219, 0x22C5, 0x00AE, 0x2122, 0x00A9)},  # middle dots, trade marks
    0x2236: ":",
    **{code: "'" for code in (0x2018, 0x2019, 0x02BC, 0x2032, 0x00B4, 0x0060)},
    **{code: '"' for code in (0x201C, 0x201D, 0x2033)},
    ord("ß"): "ss", ord("æ"): "ae", ord("Æ"): "ae", ord("œ"): "oe", ord("Œ"): "oe", ord("ø"): "o", ord("Ø"): "o",
}  # fmt: skip

_REFERENCE = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)
# (+)-x and (-)-x are two substances; 1,2- and 1.5 are numbers. These marks stay, all others become blanks.
_SIGN = re.compile(r"\(([+\-])\)")
_POSSESSIVE = re.compile(r"'s\b|s'(?=\s)|'")
_SEPARATOR = re.compile(r"(?<!\d)[.,:](?!\d)|(?<!\d)[.,:](?=\d)|(?<=\d)[.,:](?!\d)|[\s_\-/;()\[\]{}\"?!|]+")


def normalise(text: str) -> str:
    """Return the key under which a name is stored and looked up; ``""`` for a name of marks alone.

    Idempotent: ``normalise(normalise(x)) == normalise(x)``.

    >>> normalise("Alzheimer’s disease"), normalise("TNF-α"), normalise("(+)-pentazocine")
    ('alzheimer disease', 'tnf alpha', 'plus pentazocine')
    """
    # Most names are plain words, which leave here after a fifth of the time.
    if text.isascii() and text.replace(" ", "").isalnum():
        return " ".join(text.lower().split())
    # The table below folds it as well, but only in texts beyond ASCII.
    text = text.replace("`", "'")
    if not text.isascii():
        # Folded again after decomposing, which uncovers letters to fold: "ά" becomes "α" and an accent.
        folded = unicodedata.normalize("NFKD", text.translate(_FOLD))
        text = "".join(c for c in folded if not unicodedata.combining(c)).translate(_FOLD)
    text = text.casefold()
    # Signs are written out before marks become blanks.
    if "(" in text:
        text = _SIGN.sub(lambda m: " plus " if m[1] == "+" else " minus ", text)
    if "'" in text:
        text = _POSSESSIVE.sub(lambda m: "s" if m[0] == "s'" else "", text)
    return " ".join(_SEPARATOR.sub(" ", text).split())


def aligned_words(text: str) -> list[tuple[str, int, int]]:
    """Return the normalised words of ``text``, each with the span of ``text`` that it stands for (end exclusive).

    Character references, which texts from web pages keep ("Sj&ouml;gren", "type&nbsp;2"), are read as their characters.
    Joined by blanks the words are ``normalise(html.unescape(text))``, so a name that matches can be shown in the text.
    """
    characters = _Aligned(text)
    characters.substitute(_REFERENCE, lambda m: _fold_all(html.unescape(m[0])))
    characters.substitute(_SIGN, lambda m: " plus " if m[1] == "+" else " minus ")
    characters.substitute(_POSSESSIVE, lambda m: "s" if m[0] == "s'" else "")
    characters.substitute(_SEPARATOR, lambda m: " ")
    folded, starts, ends = characters.folded, characters.starts, characters.ends
    return [(m[0], starts[m.start()], ends[m.end() - 1]) for m in re.finditer(r"\S+", folded)]


class _Aligned:
    """Folded text, and for each of its characters the span of the original that it stands for."""

    def __init__(self, text: str) -> None:
        text = text.replace("`", "'")
        self.folded = text.casefold()
        self.starts, self.ends = list(range(len(text))), list(range(1, len(text) + 1))
        if text.isascii():
            return
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        for at, original in enumerate(text):
            # Folding each character alone gives what folding the whole text gives, because combining marks are dropped
            # anyway.
            piece = original.casefold() if original.isascii() else _fold_character(original)
            if not piece and ends and unicodedata.combining(original):
                ends[-1] = at + 1  # a combining accent belongs to the letter before it
            pieces.append(piece)
            starts.extend([at] * len(piece))
            ends.extend([at + 1] * len(piece))
        self.folded, self.starts, self.ends = "".join(pieces), starts, ends

    def substitute(self, pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str]) -> None:
        """Do what ``pattern.sub`` does; each new character stands for the whole span of the match."""
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        position = 0
        for match in pattern.finditer(self.folded):
            go_on()
            new = replacement(match)
            pieces += self.folded[position : match.start()], new
            starts += self.starts[position : match.start()] + [self.starts[match.start()]] * len(new)
            ends += self.ends[position : match.start()] + [self.ends[match.end() - 1]] * len(new)
            position = match.end()
        pieces.append(self.folded[position:])
        self.folded = "".join(pieces)
        self.starts, self.ends = starts + self.starts[position:], ends + self.ends[position:]


def unescape(text: str) -> str:
    """Return ``text`` with character references ("&ouml;", "&#246;") read as their characters."""
    return _REFERENCE.sub(lambda m: html.unescape(m[0]), text) if "&" in text else text


def _fold_all(characters: str) -> str:
    return "".join(map(_fold_character, characters))


def _fold_character(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character.translate(_FOLD))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_FOLD).casefold()
