"""normalise(): one function, used when names are stored and when they are asked for.

It folds what authors vary without meaning (case, accents, Greek letters, hyphens, possessives, brackets) and keeps what
tells concepts apart (digits, the signs of enantiomers, word order). Plurals and word order are left to retrieval.
"""

import re
import unicodedata
from collections.abc import Callable

VERSION = 2
"""Raise it with any change of behaviour: an index records it and refuses to answer for another."""

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
    **{code: None for code in (0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)},  # invisible: where a line may break
    **{code: " " for code in (0x00B7, 0x2022, 0x2219, 0x22C5, 0x00AE, 0x2122, 0x00A9)},  # middle dots, trade marks
    0x2236: ":",
    **{code: "'" for code in (0x2018, 0x2019, 0x02BC, 0x2032, 0x00B4, 0x0060)},
    **{code: '"' for code in (0x201C, 0x201D, 0x2033)},
    ord("ß"): "ss", ord("æ"): "ae", ord("Æ"): "ae", ord("œ"): "oe", ord("Œ"): "oe", ord("ø"): "o", ord("Ø"): "o",
}  # fmt: skip

_AMERICAN = (("ae", "e"), ("oe", "e"), ("tumour", "tumor"), ("sulph", "sulf"), ("aluminium", "aluminum"))
# (+)-x and (-)-x are two substances, 1,2- and 1.5 are numbers: these marks stay, every other one is a space.
_SIGN = re.compile(r"\(([+\-])\)")
_METAL = re.compile(r" (sodium|disodium|potassium|calcium|magnesium)(?= |$)")
_SALT = re.compile(
    r"( (hydrochloride|hcl|dihydrochloride|hydrobromide|sodium|disodium|potassium|calcium|chloride|bromide|iodide"
    r"|sulfate|acetate|maleate|fumarate|tartrate|bitartrate|citrate|phosphate|mesylate|besylate|tosylate|succinate"
    r"|nitrate|gluconate|hydrate|monohydrate|dihydrate|trihydrate|anhydrous|salt|ion))+$"
)
_MIRRORED = re.compile(r"^((d|l|dl|r|s|rs|e|z|n|rac|racemic|cis|trans|all trans|plus|minus|\+|\+ -) )+")
_PLACED = re.compile(r"^(([\d,]+|d|l|dl|n|o|s) )+(?=[a-z]{5})")
_DISEASE = "disease diseases disorder disorders".split()
_HARM = (
    "toxicity toxicities dysfunction dysfunctions disturbance disturbances lesion lesions damage damages impairment "
    "impairments complication complications involvement illness illnesses sequelae syndrome syndromes"
).split()
_TUMOR = "neoplasm neoplasms tumor tumors cancer cancers carcinoma carcinomas malignancy malignancies".split()
_ANOMALY = "abnormality abnormalities anomaly anomalies malformation malformations defect defects".split()
# The last word of a mention, and what vocabularies may say in its place.
_SAID_AS = {
    **dict.fromkeys([*_DISEASE, *_HARM], _DISEASE),
    **dict.fromkeys(_TUMOR, _TUMOR),
    **dict.fromkeys(_ANOMALY, _ANOMALY),
}
_KINDS = [
    *"compounds compound substance acid ion radical salts dye peptide polymer drug syndrome".split(),
    *_DISEASE,
]
_CHARGE = re.compile(r"(?<=[a-z])\d?\+$")
_PLURAL = re.compile(r"(?<=[a-z]{3})(?<![siu])s$")
_SINGULAR = re.compile(r"(?<=[a-rt-z])$")
_TELLING = 4  # characters of which a name must be left: neither "na phosphate" is "na" nor "co2+" is "co"
_BRACKET = re.compile(r"(?<=\w)\((\w{1,2})\)")
OXIDATION = r"\((?i:i{1,3}|iv|vi{0,2})\)"  # number, as a pattern: "cobalt(II)"
_ADDED = re.compile(rf"(?<=\w)(?:\(H\)|{OXIDATION})")
_POSSESSIVE = re.compile(r"'s\b|s'(?=\s)|'")
_SEPARATOR = re.compile(r"(?<!\d)[.,:](?!\d)|(?<!\d)[.,:](?=\d)|(?<=\d)[.,:](?!\d)|[\s_\-/;()\[\]{}\"?!|]+")


def normalise(text: str) -> str:
    """The key under which a name is stored and asked for; ``""`` where nothing of it is left.

    Idempotent: ``normalise(normalise(x)) == normalise(x)``.
    """
    text = text.replace("`", "'")
    if not text.isascii():
        folded = unicodedata.normalize("NFKD", text.translate(_FOLD))
        text = "".join(c for c in folded if not unicodedata.combining(c)).translate(_FOLD)
    text = text.casefold()
    if "(" in text:
        text = _SIGN.sub(lambda m: " plus " if m[1] == "+" else " minus ", text)
    if "'" in text:
        text = _POSSESSIVE.sub(lambda m: "s" if m[0] == "s'" else "", text)
    return " ".join(_SEPARATOR.sub(" ", text).split())


def american(name: str) -> str:
    """``name``, which is normalised, in American spelling as far as medicine writes it otherwise: anaemia, tumour."""
    return " ".join(_american(word) if len(word) > 5 else word for word in name.split(" "))


def _american(word: str) -> str:
    for british, spelled in _AMERICAN:
        word = word.replace(british, spelled)
    return word


def acid(name: str) -> str:
    """``name``, which is normalised, with salts and esters by the name of their acid: "lactate", "lactic acid"."""
    return " ".join(
        f"{word[:-3]}ic acid" if len(word) > 4 and word.endswith("ate") else word for word in name.split(" ")
    )


def singular(text: str) -> str:
    """``text`` without the s of a plural; "virus", "arthritis" and "abscess" keep theirs."""
    return _PLURAL.sub("", text)


def variants(name: str) -> tuple[str, ...]:
    """What ``name``, normalised and in American spelling, may be called where it is no name, the nearest first.

    In the other number ("catechins"), without what makes a salt ("dextran sodium sulfate", "clomiphene citrate"), an
    ion ("nadp+") or a mirror image of it ("d cycloserine"), without the numbers of places ("7,8 dihydrofolate"). Worth
    asking for only where it is a name.
    """
    bare = _SALT.sub("", name)
    numbers = (singular(name), _SINGULAR.sub("s", name)) if len(name) > _TELLING else ()
    found = (
        *numbers,
        _CHARGE.sub("", name),
        _MIRRORED.sub("", name),
        _METAL.sub("", name),
        bare,
        _MIRRORED.sub("", bare),
        _PLACED.sub("", name),
    )
    return tuple(dict.fromkeys(other for other in found if len(other) >= _TELLING and other != name))


def classes(name: str) -> tuple[str, ...]:
    """What vocabularies call the class that ``name``, normalised and in American spelling, may be annotated with.

    A salt's compounds ("benzalkonium chloride"), harm's disease or disorder ("renal damage", "speech impairment"), a
    tumor's or a malformation's other words ("liver tumors", "liver neoplasms"). Worth asking for only where it is a
    name.
    """
    bare = _SALT.sub("", name)
    salts = (_SINGULAR.sub("s", bare), f"{bare} compounds") if bare != name and len(bare) >= _TELLING else ()
    of, _, what = name.rpartition(" ")
    return (*salts, *(f"{of} {word}" for word in _SAID_AS.get(what, ()) if of and word != what))


def unbracketed(text: str) -> tuple[str, ...]:
    """What ``text``, as it is written, is called without a bracket inside its words, the likelier first.

    With what it holds ("PGE(2)" is PGE2, "NAD(P)" NADP), or without it where that is hydrogen or an oxidation number
    ("NAD(H)", "cobalt(II)"). Worth asking for only where it is a name.
    """
    found = (_BRACKET.sub(r"\1", text), _ADDED.sub("", text))
    return tuple(dict.fromkeys(other for other in found if other != text))


def with_kind(name: str) -> tuple[str, ...]:
    """``name``, which is normalised, and what kind of thing it is, as far as vocabularies add it to tell names apart.

    "sulfonylureas" are "sulfonylurea compounds", "nephrotic" is "nephrotic syndrome". Worth asking for only where it
    is a name.
    """
    one = singular(name)
    return tuple(f"{one} {kind}" for kind in _KINDS) if len(name) > 2 else ()


def aligned_words(text: str) -> list[tuple[str, int, int]]:
    """The words of ``normalise(text)``, each with the span of ``text`` that it came from (end exclusive).

    Joined by blanks they are ``normalise(text)``, so that what is found among names can be shown in the text.
    """
    characters = _Aligned(text)
    characters.substitute(_SIGN, lambda m: " plus " if m[1] == "+" else " minus ")
    characters.substitute(_POSSESSIVE, lambda m: "s" if m[0] == "s'" else "")
    characters.substitute(_SEPARATOR, lambda m: " ")
    folded, starts, ends = characters.folded, characters.starts, characters.ends
    return [(m[0], starts[m.start()], ends[m.end() - 1]) for m in re.finditer(r"\S+", folded)]


class _Aligned:
    """Folded text whose every character knows the span of the original that it stands for."""

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
            piece = original.casefold() if original.isascii() else _fold_character(original)
            if not piece and ends and unicodedata.combining(original):
                ends[-1] = at + 1  # an accent of its own belongs to the letter before it
            pieces.append(piece)
            starts.extend([at] * len(piece))
            ends.extend([at + 1] * len(piece))
        self.folded, self.starts, self.ends = "".join(pieces), starts, ends

    def substitute(self, pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str]) -> None:
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        done = 0
        for match in pattern.finditer(self.folded):
            new = replacement(match)
            pieces += self.folded[done : match.start()], new
            starts += self.starts[done : match.start()] + [self.starts[match.start()]] * len(new)
            ends += self.ends[done : match.start()] + [self.ends[match.end() - 1]] * len(new)
            done = match.end()
        pieces.append(self.folded[done:])
        self.folded = "".join(pieces)
        self.starts, self.ends = starts + self.starts[done:], ends + self.ends[done:]


def _fold_character(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character.translate(_FOLD))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_FOLD).casefold()
