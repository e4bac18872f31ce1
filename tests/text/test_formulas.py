"""Formulas have the names that nomenclature gives them, and nothing else is taken for one."""

import pytest

from belink.text.formulas import formula_names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LiCl", ("lithium chloride",)),
        ("CaCl2", ("calcium chloride",)),
        ("Li2CO3", ("lithium carbonate",)),
        ("K3PO4", ("potassium phosphate",)),
        ("(NH4)2SO4", ("ammonium sulfate",)),
        ("NH4Cl", ("ammonium chloride",)),
        ("Bu4NBr", ("tetrabutylammonium bromide", "tetrabutylammonium")),
        ("LiAc", ("lithium acetate",)),
        ("NaH", ("sodium hydride",)),
        ("POCl3", ("phosphoryl chloride",)),
        ("N\u0430\u0421l", ("sodium chloride",)),  # Cyrillic а and С
        ("Ca(NO3)2", ("calcium nitrate",)),
        ("FeCl3", ("ferric chloride", "iron chloride")),
        ("FeSO4", ("ferrous sulfate", "iron sulfate")),
        ("Fe2(SO4)3", ("ferric sulfate", "iron sulfate")),
        ("CuSO4", ("cupric sulfate", "copper sulfate")),
        ("HgCl2", ("mercuric chloride", "mercury chloride")),
        ("H₂O₂", ("hydrogen peroxide",)),
        ("CCl4", ("carbon tetrachloride",)),
        ("EtOH", ("ethanol",)),
        ("ONOO\u2212", ("peroxynitrite",)),
        ("O2·\u2212", ("superoxide",)),
        ("O2 \u2212", ("superoxide",)),
        ("FeSO4·7H2O", ("ferrous sulfate", "iron sulfate")),
        ("MgCl2.6H2O", ("magnesium chloride",)),
        ("ZnSO4 • 7 H2O", ("zinc sulfate",)),
        ("CaSO4·0.5H2O", ("calcium sulfate",)),
        ("H2O", ("water",)),
        ("NaH2O", ()),
        ("Ca2+", ("calcium",)),
        ("[Ca2+]", ("calcium",)),
        ("Fe3+", ("iron",)),
        ("Co(ii)", ("cobalt",)),
        ("Fe(III)", ("iron",)),
        ("Fe(IIII)", ()),
        ("Na-acetate", ("sodium acetate",)),
        ("K phosphate", ("potassium phosphate",)),
        ("C phosphate", ()),
        ("THF", ("tetrahydrofuran",)),
        ("GlcNAc", ("N-acetylglucosamine",)),
        ("man", ()),
        ("Cl-", ("chloride",)),
        ("Hg", ("mercury",)),
        ("CO", ("carbon monoxide",)),
        ("Co", ("cobalt",)),
        ("C", ()),
        ("HG", ()),
        ("CCL4", ()),
        ("IL", ()),
        ("NaKLi", ()),
        ("aspirin", ()),
        ("", ()),
    ],
)
def test_a_formula_is_called_as_nomenclature_says(text: str, expected: tuple[str, ...]) -> None:
    assert formula_names(text) == expected
