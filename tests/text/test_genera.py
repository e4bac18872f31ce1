"""A Latin short form has the genus that its document gives it; other texts are read as if there were no such rule."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.records import Document, Mention
from belink.text import genera
from belink.text.abbreviations import expand, find_definitions


def marked(text: str, *words: str) -> Document:
    """Return a document in which the last occurrences of ``words`` are mentions."""
    spans = [(text.rindex(word), text.rindex(word) + len(word)) for word in words]
    return Document(id="1", text=text, mentions=tuple(Mention(text=text[a:b], start=a, end=b) for a, b in spans))


@pytest.mark.parametrize(
    ("text", "mention", "long_form"),
    [
        ("Rhodnius prolixus feeds on blood. R. prolixus moults.", "R. prolixus", "Rhodnius prolixus"),
        ("R. prolixus moults, as Rhodnius prolixus does.", "R. prolixus", "Rhodnius prolixus"),
        ("Aedes aegypti and Anopheles gambiae; An. gambiae bites.", "An. gambiae", "Anopheles gambiae"),
        (
            "Toxoplasma gondii is common. T.gondii infection is not.",
            "T.gondii infection",
            "Toxoplasma gondii infection",
        ),
        ("Balaena novae-angliae. B. novae-angliae sang.", "B. novae-angliae", "Balaena novae-angliae"),
        ("Candida albicans (CA) and CA. C. albicans", "C. albicans", "Candida albicans"),
        ("Rhodnius robustus and R. prolixus", "R. prolixus", ""),
        ("Both controls. B. with controls", "B. with", ""),
        ("Dietary deficiency or vitamin D deficiency", "vitamin D deficiency", ""),
        ("The U.S. patients; Some patients. In U.S. patients", "patients", ""),
    ],
)
def test_a_short_form_has_the_name_that_the_document_spells_out(text: str, mention: str, long_form: str) -> None:
    (expanded,) = expand(marked(text, mention)).mentions
    assert expanded.long_form == long_form


def test_of_two_spelled_out_names_the_one_before_the_short_form_counts() -> None:
    text = "E. coli. Entamoeba coli is seen; E. coli too. Escherichia coli is seen; E. coli as well."
    definitions = find_definitions(text)
    assert [definitions.long_form(short, start) for start, _, short in definitions.occurrences(text)] == [
        "Entamoeba coli",
        "Entamoeba coli",
        "Escherichia coli",
    ]


@pytest.mark.parametrize(
    ("text", "mention", "composed"),
    [
        ("Rhodnius robustus and R. prolixus", "R. prolixus", ["Rhodnius prolixus"]),
        ("The genus Rhodnius. Relatives of R. prolixus", "R. prolixus", ["Relatives prolixus", "Rhodnius prolixus"]),
        ("Culex pipiens, Candida and Cx. restuans", "Cx. restuans", ["Culex restuans"]),
        ("Escherichia sp. and E coli", "E coli", ["Escherichia coli"]),
        ("Toxoplasma sp. T. gondii infection", "T. gondii infection", ["Toxoplasma gondii infection"]),
        ("Deficiencies: vitamin D deficiency", "vitamin D deficiency", []),
        ("Rhodnius prolixus is not R. prolixus", "R. prolixus", []),
        ("nothing but R. prolixus", "R. prolixus", []),
        ("Mus musculus musculus and M. m. domesticus", "M. m. domesticus", ["Mus musculus domesticus"]),
        ("Mus musculus and T. b. gambiense", "T. b. gambiense", []),
        ("cucumber mosaic virus and CMV", "CMV", ["cucumber mosaic virus"]),
        ("Foot-and-mouth disease virus; FMDV", "FMDV", ["Foot-and-mouth disease virus"]),
        ("the virus CMV", "CMV", []),
    ],
)
def test_a_genus_that_the_document_only_names_is_composed_with_the_epithet(
    text: str, mention: str, composed: list[str]
) -> None:
    (expanded,) = expand(marked(text, mention)).mentions
    assert list(expanded.composed) == composed


def test_the_words_tried_as_a_genus_are_bounded() -> None:
    words = [f"R{a}{b}us" for a in "aeiou" for b in "bcdfg"]
    (expanded,) = expand(marked(" ".join([*words, "R. prolixus"]), "R. prolixus")).mentions
    assert list(expanded.composed) == [f"{word} prolixus" for word in words[:-9:-1]]


@given(st.text(st.sampled_from("aeR .,()\n-x"), max_size=120))
def test_without_a_latin_short_form_a_document_is_read_as_before(text: str) -> None:
    document = Document(id="1", text=text, mentions=(Mention(text=text, end=len(text)),))
    patterns = genera.SHORT_FORM, genera.THREE_PARTS
    if not any(p.search(text) for p in patterns) and not genera._SHORT_WITHOUT_STOP.fullmatch(text):
        assert not list(genera.find_binomials(text))
        assert genera.expand(document) == document


@given(st.text(st.sampled_from("aebR .,()\n-"), max_size=120))
def test_reading_a_document_changes_no_span_and_no_text(text: str) -> None:
    document = Document(id="1", text=text, mentions=(Mention(text=text, end=len(text)),))
    expanded = expand(document).mentions
    assert tuple(replace(m, long_form="", composed=(), appositions=()) for m in expanded) == document.mentions
    for position, short, long in genera.find_binomials(text):
        assert short in text and text[position:].split()[:2] == long.split()
