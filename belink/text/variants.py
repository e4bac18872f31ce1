"""Other ways to write a normalised name that vocabularies use and authors do not, or the reverse.

Retrieval looks each variant up among the ontology's names, so a variant that no vocabulary has costs nothing. Each
function takes a name as :func:`belink.text.normalise.normalise` gives it (:func:`bracket_variants` takes it as written)
and gives its variants likeliest first, the name itself left out.
"""

import re
from itertools import takewhile

_AMERICAN = (("ae", "e"), ("oe", "e"), ("tumour", "tumor"), ("sulph", "sulf"), ("aluminium", "aluminum"))
_METAL = re.compile(r" (sodium|disodium|potassium|calcium|magnesium)(?= |$)")
_SALT = re.compile(
    r"( (hydrochloride|hcl|dihydrochloride|hydrobromide|sodium|disodium|potassium|calcium|chloride|bromide|iodide"
    r"|sulfate|acetate|maleate|fumarate|tartrate|bitartrate|citrate|phosphate|mesylate|besylate|tosylate|succinate"
    r"|nitrate|gluconate|hydrate|monohydrate|dihydrate|trihydrate|anhydrous|salt|ion))+$"
)
_STEREO_PREFIX = re.compile(r"^((d|l|dl|r|s|rs|e|z|n|rac|racemic|cis|trans|all trans|plus|minus|\+|\+ -) )+")
_LOCANT_PREFIX = re.compile(r"^(([\d,]+|d|l|dl|n|o|s) )+(?=[a-z]{5})")
_METAL_BEFORE = re.compile(
    r"^(((di|tri)?(sodium|potassium)|calcium|magnesium|lithium|ammonium|zinc|silver) )+((l|d|dl) )?(?=\S+ate$)"
)
_STEREO_INSIDE = re.compile(r"((?<= )(l|dl)|(?<=yl )d) (?=[a-z]{4})")  # "vitamin d deficiency" keeps its d
_SOLUTION = re.compile(r" (buffers?|solutions?)$")
_CHARGE = re.compile(r"(?<=[a-z])\d?\+$")
# Words in -ss, -is and -us are no plurals.
_PLURAL = re.compile(r"(?<=[a-z]{3})(?<![siu])s$")
_SINGULAR = re.compile(r"(?<=[a-rt-z])$")
_MAX_LENGTH = 200  # characters of a name that has variants; the time of the patterns grows with its square
_MIN_LENGTH = 4  # characters of a variant: "na phosphate" is not "na", nor "co2+" "co"
_MIN_LENGTH_OF_PLURAL = 3  # characters of a name that may have a plural or a class noun
_BRACKET = re.compile(r"(?<=\w)\((\w{1,2})\)")
OXIDATION_NUMBER = r"\((?i:i{1,3}|iv|vi{0,2})\)"  # as a pattern: "cobalt(II)"
_HYDROGEN_OR_OXIDATION = re.compile(rf"(?<=\w)(?:\(H\)|{OXIDATION_NUMBER})")

_DISEASE = "disease diseases disorder disorders".split()
_HARM = (
    "toxicity toxicities dysfunction dysfunctions disturbance disturbances lesion lesions damage damages impairment "
    "impairments complication complications involvement illness illnesses sequelae syndrome syndromes"
).split()
_TUMOR = "neoplasm neoplasms tumor tumors cancer cancers carcinoma carcinomas malignancy malignancies".split()
_ANOMALY = "abnormality abnormalities anomaly anomalies malformation malformations defect defects".split()
# The last word of a mention → the words that vocabularies use in its place.
_CLASS_NOUNS = {
    **dict.fromkeys([*_DISEASE, *_HARM], _DISEASE),
    **dict.fromkeys(_TUMOR, _TUMOR),
    **dict.fromkeys(_ANOMALY, _ANOMALY),
}
_KINDS = [
    *"compounds compound substance acid ion radical salts dye peptide polymer drug syndrome".split(),
    *_DISEASE,
]


def to_american(name: str) -> str:
    """Return ``name`` in American spelling, for the words that medicine spells differently: anaemia, tumour."""
    return " ".join(_to_american(word) if len(word) > 5 else word for word in name.split(" "))


def _to_american(word: str) -> str:
    for british, american in _AMERICAN:
        word = word.replace(british, american)
    return word


def to_acid(name: str) -> str:
    """Return ``name`` with salts and esters under the name of their acid: "lactate" becomes "lactic acid"."""
    return " ".join(
        f"{word[:-3]}ic acid" if len(word) > 4 and word.endswith("ate") else word for word in name.split(" ")
    )


def to_singular(text: str) -> str:
    """Return ``text`` without a plural's s. "virus", "arthritis" and "abscess" keep theirs."""
    return _PLURAL.sub("", text)


def name_variants(name: str) -> tuple[str, ...]:
    """Return names of the same substance or thing that differ in number, salt, charge, stereochemistry or locants.

    Singular and plural; the base of a salt ("clomiphene citrate") or one metal less of it ("dextran sodium sulfate");
    the element of an ion ("nadp+"); the racemate of an enantiomer ("d cycloserine", "poly l lysine"); the name without
    positions ("7,8 dihydrofolate"); what is dissolved ("citrate buffer"); the acid of a salt that begins with its metal
    ("sodium ascorbate").
    """
    if len(name) > _MAX_LENGTH:
        return ()
    base, dissolved = _SALT.sub("", name), _SOLUTION.sub("", name)
    acids = [to_acid(rest) for rest in (_METAL_BEFORE.sub("", name), dissolved) if rest != name]
    numbers = (to_singular(name), _SINGULAR.sub("s", name)) if len(name) > _MIN_LENGTH else ()
    variants = (
        *numbers,
        _CHARGE.sub("", name),
        _STEREO_PREFIX.sub("", name),
        _METAL.sub("", name),
        base,
        _STEREO_PREFIX.sub("", base),
        _LOCANT_PREFIX.sub("", name),
        _STEREO_INSIDE.sub("", name),
        dissolved,
        *acids,
    )
    return tuple(dict.fromkeys(variant for variant in variants if len(variant) >= _MIN_LENGTH and variant != name))


def class_variants(name: str) -> tuple[str, ...]:
    """Return names of the class that vocabularies annotate ``name`` with. ``name`` is in American spelling.

    The compounds of a salt ("benzalkonium chloride"), the disease or disorder behind harm ("renal damage", "speech
    impairment"), the other words for a tumor or a malformation ("liver tumors", "liver neoplasms").
    """
    if len(name) > _MAX_LENGTH:
        return ()
    base = _SALT.sub("", name)
    salts = (_SINGULAR.sub("s", base), f"{base} compounds") if base != name and len(base) >= _MIN_LENGTH else ()
    stem, _, last = name.rpartition(" ")
    return (*salts, *(f"{stem} {noun}" for noun in _CLASS_NOUNS.get(last, ()) if stem and noun != last))


def bracket_variants(text: str) -> tuple[str, ...]:
    """Return ``text``, as it is written, without the brackets inside its words.

    With their content ("PGE(2)" is PGE2, "NAD(P)" is NADP), and without it where that is hydrogen or an oxidation
    number ("NAD(H)", "cobalt(II)").
    """
    variants = (_BRACKET.sub(r"\1", text), _HYDROGEN_OR_OXIDATION.sub("", text))
    return tuple(dict.fromkeys(variant for variant in variants if variant != text))


def kind_variants(name: str) -> tuple[str, ...]:
    """Return the singular of ``name`` with the nouns that vocabularies append to tell names apart.

    "sulfonylureas" is "sulfonylurea compounds" there, "nephrotic" is "nephrotic syndrome".
    """
    one = to_singular(name)
    return tuple(f"{one} {kind}" for kind in _KINDS) if len(name) >= _MIN_LENGTH_OF_PLURAL else ()


def is_misspelling(text: str, name: str) -> bool:
    """Return whether one letter of ``name`` was dropped, added or replaced in ``text``, or two neighbours swapped.

    >>> is_misspelling("eschericia coli", "escherichia coli"), is_misspelling("escherichia", "escherichia coli")
    (True, False)
    """
    if text == name or min(len(text), len(name)) < _MIN_LENGTH or abs(len(text) - len(name)) > 1:
        return False
    begins = _n_common(text, name)
    ends = _n_common(text[begins:][::-1], name[begins:][::-1])
    written, meant = text[begins : len(text) - ends], name[begins : len(name) - ends]
    return max(len(written), len(meant)) <= 1 or (len(written) == 2 and written == meant[::-1])


def _n_common(one: str, other: str) -> int:
    """Return how many letters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
