"""Symbols of biochemistry have the names that nomenclature gives them, and nothing else is taken for one."""

import pytest

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
        ("H10", "hydrogen"),
        ("H(1)", "hydrogen"),
        ("H-5\u2032", "hydrogen"),
        ("12H", "hydrogen"),
        ("C12", "carbon"),
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
        *["2H", "3H", "H100", "CATP", "FTP", "NTPX", "dd", "Z-Phe-Arg-7-amido-4-methylcoumarin", "Gly-", "GlyPro"],
    ],
)
def test_nothing_else_is_a_symbol(text: str) -> None:
    assert symbol_names(text) == ()
