"""Symbols of biochemistry have the names that nomenclature gives them, and nothing else is taken for one."""

import pytest

from belink.records import Document, Mention
from belink.text.abbreviations import expand
from belink.text.symbols import symbol_names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Arg", "arginine"),
        ("l-Arg", "arginine"),
        ("DL-Met", "methionine"),
        ("pThr", "phosphothreonine"),
        ("p-Ser", "phosphoserine"),
        ("l-GSH", "glutathione"),
        ("Ade", "adenine"),
        ("GMP", "guanosine monophosphate"),
        ("dUTPs", "deoxyuridine triphosphate"),
        ("dTTP", "thymidine triphosphate"),
        ("ddATP", "dideoxyadenosine triphosphate"),
        ("8-oxo-dGTP", "8-oxo-deoxyguanosine triphosphate"),
        ("(d)GTP", "deoxyguanosine triphosphate"),
        ("dNTPs", "deoxyribonucleotides"),
        ("rNTP", "ribonucleotides"),
        ("NDP", "nucleotides"),
        ("cGMP", "cyclic GMP"),
        ("MgATP", "ATP"),
        ("Na2GTP", "GTP"),
        ("Glc6P", "glucose-6-phosphate"),
        ("Fru-1-P", "fructose-1-phosphate"),
        ("Ac-Gln-Ala-Trp", "oligopeptides"),
        ("H-Gly4-NH(CH2)2NH-Gly4-H", "oligopeptides"),
        ("ddH2O", "water"),
        ("distilled water", "water"),
    ],
)
def test_a_symbol_has_the_name_that_nomenclature_gives_it(text: str, expected: str) -> None:
    assert symbol_names(text) == (expected,)


@pytest.mark.parametrize(
    "text",
    [
        *["", "arg", "ARG", "ArgX", "pAla", "pMet", "Xaa", "A", "H", "C", "HT", "5-HT", "tap water", "H2O"],
        *["H10", "4H", "C3", "CATP", "FTP", "NTPX", "dd", "Z-Phe-Arg-7-amido-4-methylcoumarin", "Gly-", "GlyPro"],
    ],
)
def test_nothing_else_is_a_symbol(text: str) -> None:
    assert symbol_names(text) == ()


def long_form(atom: str, text: str, **known: str) -> str:
    mention = Mention(text=atom, start=text.find(atom), end=text.find(atom) + len(atom), **known)  # type: ignore[arg-type]
    return expand(Document(id="1", text=text, mentions=(mention,))).mentions[0].long_form


@pytest.mark.parametrize(
    ("text", "element"),
    [("H10", "hydrogen"), ("H(1)", "hydrogen"), ("H-5\u2032", "hydrogen"), ("12H", "hydrogen"), ("C12", "carbon")],
)
def test_atoms_are_numbered_in_spectra_alone(text: str, element: str) -> None:
    assert long_form(text, f"\u03b4 7.94 (d, J = 8.1 Hz, {text}) ppm") == element
    assert long_form(text, f"{text} is trans to the other atoms.") == element
    assert long_form(text, f"{text} binds to its receptor.") == ""
    assert long_form(text, f"NMR {'of something else ' * 20} {text} binds.") == "", "a spectrum far away says nothing"
    assert long_form(text, f"NMR of {text} in water", long_form="fragment") == "fragment", "what is defined goes first"


@pytest.mark.parametrize("text", ["C3a", "C100", "HC", "H", "N3", "1HC"])
def test_no_other_text_of_a_spectrum_is_an_atom(text: str) -> None:
    assert long_form(text, f"\u03b4 7.94 ({text}) ppm") == ""
