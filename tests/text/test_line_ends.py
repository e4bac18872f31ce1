"""Where a line ends, and how, changes neither sentences nor what a document defines."""

import re

import pytest

from belink.linker.name_finder import NameFinder
from belink.text.abbreviations import find_definitions
from belink.text.sentences import split

TEXT = "Patients with multiple sclerosis (MS) or mitral stenosis (MS) came. MS (mass spectrometry, MS) was used."
ENDS = ["\n", "\r\n", "\r", "\v", "\x85", "\u2028", "\u2029"]


def defined(text: str) -> list[tuple[str, str]]:
    definitions = find_definitions(text)
    return [
        (short, " ".join(definitions.long_form(short, at).split())) for at, _, short in definitions.occurrences(text)
    ]


@pytest.mark.parametrize("end", ENDS)
def test_wrapping_changes_no_definition(end: str) -> None:
    expected = defined(TEXT)
    assert len(expected) == 4
    # Blanks before a capital may end a sentence.
    for blank in re.finditer(" (?=[a-z(])", TEXT):
        assert defined(f"{TEXT[: blank.start()]}{end}{TEXT[blank.end() :]}") == expected


def test_an_empty_line_ends_what_a_short_form_may_stand_for() -> None:
    assert not find_definitions("multiple\n\nsclerosis (MS)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mitral steno-\nsis (MS)", [("MS", "mitral steno- sis")]),
        ("non-\nHodgkin lymphoma (NHL)", [("NHL", "non- Hodgkin lymphoma")]),
        ("multiple sclerosis（MS）or", [("MS", "multiple sclerosis")]),
    ],
)
def test_a_broken_word_and_brackets_without_blanks_define(text: str, expected: list[tuple[str, str]]) -> None:
    assert defined(text) == expected


@pytest.mark.parametrize("end", ENDS)
def test_sentences_end_alike_at_every_end_of_a_line(end: str) -> None:
    text = "HISTORY\nHe has COPD. It is\nold.\n\nand lower\nNew line"
    pieces = [text[start:stop] for start, stop in split(text)]
    other = text.replace("\n", end)
    assert [other[start:stop].replace(end, "\n") for start, stop in split(other)] == pieces


@pytest.mark.parametrize("end", ENDS)
def test_each_line_says_for_itself_whether_capitals_mark_acronyms(end: str) -> None:
    finder = NameFinder.build(["cold", "aids"])
    text = end.join(["PATIENT HAS COLD HANDS", "he has AIDS and no pain or fever", "HEARING AIDS WERE GIVEN"])
    assert [mention.start for mention in finder.find(text)] == [text.index("AIDS")]


def test_halves_of_a_broken_word_are_one_word_or_two_by_which_makes_the_longer_name() -> None:
    names = ["non small cell lung cancer", "lung cancer", "nonsmall", "hypertension", "hyper", "tension"]
    found = NameFinder.build(names).find("non-\nsmall cell lung cancer and hyper-\ntension")
    assert [mention.text for mention in found] == ["non-\nsmall cell lung cancer", "hyper-\ntension"]


def test_a_short_form_whose_long_form_a_line_breaks_stands_for_the_name() -> None:
    found = NameFinder.build(["mitral stenosis"]).find("mitral steno-\nsis (MS). MS was seen.")
    assert [mention.text for mention in found] == ["mitral steno-\nsis", "MS", "MS"]
