"""normalise(): one function, used when names are stored and when they are asked for.

It folds what authors vary without meaning (case, accents, Greek letters, hyphens, possessives, brackets) and keeps what
tells concepts apart (digits, the signs of enantiomers, word order). Plurals and word order are left to retrieval.
"""

import re
import unicodedata

VERSION = 1
"""Raise it with any change of behaviour: an index records it and refuses to answer for another."""

_GREEK = {
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
    **_GREEK,
    **{code: "-" for code in (0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212, 0x00AD)},
    **{code: "'" for code in (0x2018, 0x2019, 0x02BC, 0x2032, 0x00B4, 0x0060)},
    **{code: '"' for code in (0x201C, 0x201D, 0x2033)},
    ord("ß"): "ss", ord("æ"): "ae", ord("Æ"): "ae", ord("œ"): "oe", ord("Œ"): "oe", ord("ø"): "o", ord("Ø"): "o",
}  # fmt: skip

# (+)-x and (-)-x are two substances, 1,2- and 1.5 are numbers: these marks stay, every other one is a space.
_SIGN = re.compile(r"\(([+\-])\)")
_POSSESSIVE = re.compile(r"'s\b|s'(?=\s)|'")
_SEPARATOR = re.compile(r"(?<!\d)[.,:](?!\d)|(?<!\d)[.,:](?=\d)|(?<=\d)[.,:](?!\d)|[\s_\-/;()\[\]{}\"?!|]+")


def normalise(text: str) -> str:
    """The key under which a name is stored and asked for; ``""`` where nothing of it is left.

    Idempotent: ``normalise(normalise(x)) == normalise(x)``.
    """
    if not text.isascii():
        folded = unicodedata.normalize("NFKD", text.translate(_FOLD))
        text = "".join(c for c in folded if not unicodedata.combining(c)).translate(_FOLD)
    text = text.casefold()
    if "(" in text:
        text = _SIGN.sub(lambda m: " plus " if m[1] == "+" else " minus ", text)
    if "'" in text:
        text = _POSSESSIVE.sub(lambda m: "s" if m[0] == "s'" else "", text)
    return " ".join(_SEPARATOR.sub(" ", text).split())
