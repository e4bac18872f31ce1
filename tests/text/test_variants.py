"""Other spellings of a name come likeliest first, and never the name itself."""

import pytest

from belink.text.variants import (
    bracket_variants,
    class_variants,
    is_misspelling,
    kind_variants,
    name_variants,
    to_acid,
    to_american,
)


@pytest.mark.parametrize(
    ("british", "spelled"),
    [
        ("anaemia", "anemia"),
        ("diarrhoea", "diarrhea"),
        ("brain tumours", "brain tumors"),
        ("dermatan sulphate", "dermatan sulfate"),
        ("aluminium poisoning", "aluminum poisoning"),
        ("aes", "aes"),  # too short to tell
        ("anemia", "anemia"),
    ],
)
def test_british_spelling_becomes_american(british: str, spelled: str) -> None:
    assert to_american(british) == spelled


@pytest.mark.parametrize(
    ("salt", "of"),
    [
        ("lactate", "lactic acid"),
        ("gamma carboxyglutamate", "gamma carboxyglutamic acid"),
        ("urate", "uric acid"),
        ("tate", "tate"),
        ("lactic acid", "lactic acid"),
        ("", ""),
    ],
)
def test_a_salt_has_the_name_of_its_acid(salt: str, of: str) -> None:
    assert to_acid(salt) == of


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("catechins", ["catechin"]),
        ("gentamicin", ["gentamicins"]),
        ("virus", []),
        ("clomiphene citrate", ["clomiphene citrates", "clomiphene"]),
        ("dextran sodium sulfate", ["dextran sodium sulfates", "dextran sulfate", "dextran"]),
        ("rs baclofen hydrochloride",
         ["rs baclofen hydrochlorides", "baclofen hydrochloride", "rs baclofen", "baclofen"]),
        ("all trans retinoic acid", ["all trans retinoic acids", "retinoic acid"]),
        ("nadp+", ["nadp"]),
        ("co2+", []),
        ("7,8 dihydrofolate", ["7,8 dihydrofolates", "dihydrofolate"]),
        ("sodium ascorbate", ["sodium ascorbates", "ascorbic acid"]),
        ("potassium deficiency", ["potassium deficiencys"]),
        ("poly l lysine", ["poly l lysines", "poly lysine"]),
        ("n acetyl d mannosamine", ["n acetyl d mannosamines", "acetyl d mannosamine", "n acetyl mannosamine"]),
        ("vitamin d deficiency", ["vitamin d deficiencys"]),
        ("hepes buffer", ["hepes buffers", "hepes"]),
        ("3,4 dctp", ["3,4 dctps"]),
        ("na phosphate", ["na phosphates"]),
        ("zinc", []),
        ("d", []),
        ("", []),
    ],
)  # fmt: skip
def test_variants_of_a_name_come_likeliest_first(name: str, others: list[str]) -> None:
    assert list(name_variants(name)) == others


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("benzalkonium chloride", ["benzalkoniums", "benzalkonium compounds"]),
        ("renal damage", ["renal disease", "renal diseases", "renal disorder", "renal disorders"]),
        ("muscle disease", ["muscle diseases", "muscle disorder", "muscle disorders"]),
        ("anomalies of the heart", []),
        ("na acetate", []),
        ("damage", []),
        ("aspirin", []),
    ],
)
def test_a_class_has_the_names_that_vocabularies_use(name: str, others: list[str]) -> None:
    assert list(class_variants(name)) == others


def test_a_tumor_has_every_word_for_it() -> None:
    assert {"liver neoplasms", "liver cancer"} <= set(class_variants("liver tumors"))
    assert "liver tumors" not in class_variants("liver tumors")


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("PGE(2)", ["PGE2"]),
        ("NAD(P)", ["NADP"]),
        ("NAD(H)", ["NADH", "NAD"]),
        ("cobalt(II)", ["cobaltII", "cobalt"]),
        ("20(S)-camptothecin", ["20S-camptothecin"]),
        ("HIT (II)", []),
        ("poly(ADP-ribose)", []),
        ("aspirin", []),
    ],
)
def test_brackets_inside_a_word_are_left_out(text: str, others: list[str]) -> None:
    assert list(bracket_variants(text)) == others


def test_class_nouns_are_appended_to_the_singular() -> None:
    assert "sulfonylurea compounds" in kind_variants("sulfonylureas")
    assert "nephrotic syndrome" in kind_variants("nephrotic")
    assert kind_variants("mi") == kind_variants("") == ()


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("escherichia coil", "escherichia coli", True),  # swapped
        ("bacillus ceeus", "bacillus cereus", True),  # dropped
        ("bacillus cerreus", "bacillus cereus", True),  # doubled
        ("bacillus cepeus", "bacillus cereus", True),  # replaced
        ("bacillus cereus", "bacillus cereus", False),
        ("bacillus subtilis", "bacillus cereus", False),
        ("bacillus cereuss", "bacillus cereu", False),  # two letters
        ("ia io", "ia i", True),
        ("rat", "bat", False),  # too short to tell
        ("aaaa", "aaaaa", True),
        ("", "x", False),
    ],
)
def test_a_misspelling_is_one_letter_away(text: str, name: str, expected: bool) -> None:
    assert is_misspelling(text, name) is expected
    assert is_misspelling(name, text) is expected
