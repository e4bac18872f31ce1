"""Lists of abbreviations are read in each layout that papers print, and nothing else is taken for one."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.corpora.files import read_corpus
from belink.records import Document, Mention
from belink.text.abbreviation_lists import find_entries
from belink.text.abbreviations import expand, find_definitions
from belink.text.normalise import normalise

DATA = os.environ.get("BELINK_DATA")
LINES = (
    "RNR\nribonucleotide reductase\n\n\ndCK\ndeoxycytidine kinase\nGdR\ndeoxyguanosine\n"
    "BH4\ntetrahydrobiopterin\nDOX\ndoxycycline.\n"
)
EXPECTED = {
    "RNR": "ribonucleotide reductase",
    "dCK": "deoxycytidine kinase",
    "GdR": "deoxyguanosine",
    "BH4": "tetrahydrobiopterin",
    "DOX": "doxycycline",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"We thank the donors.\n{LINES}The abbreviations used are: \nReferences", EXPECTED),
        (f"Abbreviations\n{LINES}", EXPECTED),
        (LINES.replace("RNR\n", "RNR:\n").replace("GdR\n", "GdR:\n"), EXPECTED),
        (
            "Abbreviations: HAL, Haloperidol; TTX, Tetrodotoxin; n, number; SD, standard deviation. Later text",
            {"HAL": "Haloperidol", "TTX": "Tetrodotoxin", "SD": "standard deviation"},
        ),
        (
            "IBF: Ibuprofen; DCF: Diclofenac sodium; 2ccPA: 2-carba-cyclic phosphatidic acid.\nCompeting interests",
            {"IBF": "Ibuprofen", "DCF": "Diclofenac sodium", "2ccPA": "2-carba-cyclic phosphatidic acid"},
        ),
        (
            "   FSK Forskolin  CTX Cholera toxin  IL-8 Interleukin 8\n\n",
            {"FSK": "Forskolin", "CTX": "Cholera toxin", "IL-8": "Interleukin 8"},
        ),
        ("TTX, Tetrodotoxin; SD, standard deviation", {}),  # two make no list
        ("Dose; Mouse: C57 strain; Rat: Wistar; Dog: beagle", {}),
        ("RESULTS\nWe saw nothing.\nMETHODS\nTen mice were used.\nAIMS\nTo see something.", {}),
        ("", {}),
    ],
)
def test_entries_of_each_layout_are_found(text: str, expected: dict[str, str]) -> None:
    assert dict(find_entries(text)) == expected


def test_within_a_list_the_letters_of_a_few_may_be_missing() -> None:
    text = LINES.replace("dCK\n", "CEHC\nvitamin E metabolite\ndCK\n")
    assert dict(find_entries(text)) == {**EXPECTED, "CEHC": "vitamin E metabolite"}
    fitting = "PK\nproteinase K\nSD\nstandard deviation\nHAL\nHaloperidol\n"
    strangers = [f"X{i}Q\nplain words {i} {i}\n" for i in range(3)]
    assert "X0Q" in dict(find_entries(fitting + "".join(strangers[:2]) + fitting))
    assert "X0Q" not in dict(find_entries(fitting + "".join(strangers) + fitting)), "three are too many"
    assert dict(find_entries(LINES + "X0Q\nplain words here\n")) == EXPECTED, "nothing after the last that fits"


def test_a_list_is_believed_before_a_bracket() -> None:
    text = f"creatine plus phosphocreatine (Cr) was seen.\n{LINES}Cr\ncreatine\n"
    assert find_definitions(text).long_form("Cr", 0) == "creatine"
    mention = Mention(text="Cr", start=31, end=33)
    (expanded,) = expand(Document(id="1", text=text, mentions=(mention,))).mentions
    assert expanded.long_form == "creatine"


@given(st.text(st.sampled_from("abAB \n;:,.="), max_size=120))
def test_any_text_can_be_read_and_entries_come_from_it(text: str) -> None:
    for short, long in find_entries(text):
        assert short in text and long in text and len(long) > len(short)


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="BELINK_DATA is not set")
def test_long_forms_from_lists_agree_with_annotators() -> None:
    agree = []
    for document in read_corpus(Path(str(DATA)) / "corpora/nlm-chemical/traindev.bioc.xml.gz"):
        gold: dict[str, set[str]] = {}
        for mention in document.mentions:
            gold.setdefault(normalise(mention.text), set()).update(mention.gold)
        for short, long in dict(find_entries(document.text)).items():
            one, other = gold.get(normalise(short)), gold.get(normalise(long))
            if one and other:
                agree.append(bool(one & other))
    assert len(agree) >= 80 and all(agree)
