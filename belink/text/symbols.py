"""Symbols of biochemistry → names: "l-Arg" is arginine, "dUTP" deoxyuridine triphosphate, "H10" of a spectrum hydrogen.

The symbols are those of IUPAC and IUBMB (Nomenclature and Symbolism for Amino Acids and Peptides, 1983; Abbreviations
and Symbols for Nucleic Acids, 1970), which texts write without defining them. Formulas have a module of their own.
Case counts: "Ser" is serine, "SER" is not.
"""

import re
from dataclasses import replace

from belink.records import Document, Mention

_AMINO_ACIDS = {
    "Ala": "alanine", "Arg": "arginine", "Asn": "asparagine", "Asp": "aspartic acid", "Cys": "cysteine",
    "Gln": "glutamine", "Glu": "glutamic acid", "Gly": "glycine", "His": "histidine", "Ile": "isoleucine",
    "Leu": "leucine", "Lys": "lysine", "Met": "methionine", "Phe": "phenylalanine", "Pro": "proline", "Ser": "serine",
    "Thr": "threonine", "Trp": "tryptophan", "Tyr": "tyrosine", "Val": "valine", "Hyp": "hydroxyproline",
    "Orn": "ornithine", "Cit": "citrulline", "Gla": "gamma-carboxyglutamic acid", "GSH": "glutathione",
}  # fmt: skip
_BASES = {"Ade": "adenine", "Cyt": "cytosine", "Gua": "guanine", "Thy": "thymine", "Ura": "uracil"}
_NUCLEOSIDES = {
    "A": "adenosine", "C": "cytidine", "G": "guanosine", "I": "inosine", "T": "thymidine", "U": "uridine",
}  # fmt: skip
_PHOSPHATES = {"M": "monophosphate", "D": "diphosphate", "T": "triphosphate"}
_SUGARS = {"Glc": "glucose", "Gal": "galactose", "Man": "mannose", "Fru": "fructose", "Rib": "ribose"}
_ATOMS = {"C": "carbon", "H": "hydrogen"}

_AMINO_ACID = re.compile(r"(?:(?:[dl]|dl)-|(?P<phospho>p-?(?=Ser|Thr|Tyr)))?(?P<acid>[A-Z][a-z]{2}|GSH)", re.IGNORECASE)
_NUCLEOTIDE = re.compile(r"(?P<oxo>8-oxo-)?(?P<deoxy>dd?|\(d\))?(?P<base>[ACGITU])(?P<phosphate>[MDT])Ps?")
_ANY_NUCLEOTIDE = re.compile(r"(?P<sugar>d|\(d\)|r)?N[MDT]Ps?")
_CYCLIC = re.compile(r"c(?P<base>[ACGU])MPs?")
_SALT_OF_NUCLEOTIDE = re.compile(r"(?:Mg|Na|K|Li|Ca|Mn)\d?[- ·]?(?P<acid>[ACGU][DT]P)")
_SUGAR_PHOSPHATE = re.compile(rf"(?P<sugar>{'|'.join(_SUGARS)})-?(?P<locant>[1-6])-?P")
# An atom as spectra and structures number it, and a number of protons. Elsewhere "C3" is a complement, "H3" a histone.
_ATOM = re.compile(r"(?P<element>[CH])(?:\(\d{1,2}\)|-?\d{1,2})['′]*|\d{1,2}(?P<protons>H)")
_SPECTRUM = re.compile(r"NMR|δ|\b(?:ppm|Hz|atoms?)\b")
_WINDOW = 250  # characters before and behind an atom that may speak of a spectrum
_RESIDUE = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(_AMINO_ACIDS)})(?![a-z])")
_WORD = re.compile(r"[a-z]{4}")
_MIN_RESIDUES = 2  # of a peptide
_WATER = re.compile(r"(?:d{1,2}|DI|MQ)[ -]?H2O|(?:de-?ionized|(?:double[ -])?distilled|ultra-?pure|Milli-?Q) water")


def expand(document: Document) -> Document:
    """Return ``document`` with the element as the long form of each mention that is a numbered atom of a spectrum."""
    mentions = tuple(
        replace(mention, long_form=name)
        if not mention.long_form and (name := _atom(mention, document.text))
        else mention
        for mention in document.mentions
    )
    return document if mentions == document.mentions else replace(document, mentions=mentions)


def _atom(mention: Mention, text: str) -> str:
    match = _ATOM.fullmatch(mention.text)
    if match is None or not _SPECTRUM.search(text, max(0, mention.start - _WINDOW), mention.end + _WINDOW):
        return ""
    return _ATOMS[match["element"] or match["protons"]]


def symbol_names(text: str) -> tuple[str, ...]:
    """Return the names that the symbol ``text`` stands for, likeliest first; ``()`` where it is none.

    >>> symbol_names("l-Arg"), symbol_names("dGTP"), symbol_names("Gly-Pro-Glu")
    (('arginine',), ('deoxyguanosine triphosphate',), ('oligopeptides',))
    """
    if text in _BASES:
        return (_BASES[text],)
    if name := _amino_acid(text):
        return (name,)
    if nucleotide := _NUCLEOTIDE.fullmatch(text):
        return (_nucleotide(nucleotide),)
    if nucleotide := _ANY_NUCLEOTIDE.fullmatch(text):
        return ({None: "", "r": "ribo"}.get(nucleotide["sugar"], "deoxyribo") + "nucleotides",)
    if cyclic := _CYCLIC.fullmatch(text):
        return (f"cyclic {cyclic['base']}MP",)
    if salt := _SALT_OF_NUCLEOTIDE.fullmatch(text):
        return (salt["acid"],)
    if sugar := _SUGAR_PHOSPHATE.fullmatch(text):
        return (f"{_SUGARS[sugar['sugar']]}-{sugar['locant']}-phosphate",)
    if _WATER.fullmatch(text):
        return ("water",)
    return ("oligopeptides",) if _is_peptide(text) else ()


def _amino_acid(text: str) -> str:
    """Return the amino acid that ``text`` stands for, also as an enantiomer or phosphorylated; ``""`` for none."""
    match = _AMINO_ACID.fullmatch(text)
    # The pattern takes the prefix in either case; the symbol itself counts as it is written.
    if match is None or match["acid"] not in _AMINO_ACIDS:
        return ""
    return ("phospho" if match["phospho"] else "") + _AMINO_ACIDS[match["acid"]]


def _nucleotide(match: re.Match[str]) -> str:
    deoxy = match["deoxy"] or ""
    # Thymidine has the sugar of DNA by its name.
    prefix = "dideoxy" if deoxy == "dd" else "deoxy" if deoxy and match["base"] != "T" else ""
    return f"{match['oxo'] or ''}{prefix}{_NUCLEOSIDES[match['base']]} {_PHOSPHATES[match['phosphate']]}"


def _is_peptide(text: str) -> bool:
    """Return whether ``text`` is a sequence of residues, without words that say what else it is."""
    return "-" in text and not _WORD.search(text) and len(_RESIDUE.findall(text)) >= _MIN_RESIDUES
