"""Short forms of Latin names have the keys of the names; what no taxonomy lists is left out, nearest name first."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.text.normalise import normalise
from belink.text.taxa import ShortForm, fallbacks, short_form, short_key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Escherichia coli", "e coli"),
        ("Rhodnius prolixus", "r prolixus"),
        ("Escherichia coli K-12", "e coli k 12"),
        ("Escherichia coli str. K-12 substr. MG1655", "e coli k 12 mg1655"),
        ("Escherichia coli O157:H7", "e coli o157 h7"),
        ("Lactococcus lactis subsp. cremoris", "l lactis cremoris"),
        ("Puccinia striiformis f. sp. tritici", "p striiformis tritici"),
        ("Candidatus Liberibacter asiaticus", "l asiaticus"),
        ("Balaena novae-angliae", "b novae angliae"),
        ("Mus", ""),
        ("Homo sp.", ""),
        ("Homo sp. Altai-1", ""),
        ("Aphidius cf. ervi", ""),
        ("Human immunodeficiency virus 1", ""),
        ("Orthopoxvirus variola", ""),
        ("Escherichia phage T4", ""),
        ("uncultured bacterium", ""),
        ("unidentified eubacterium", ""),
        ("Bacillus sp.", ""),
        ("Yi qi", ""),
        ("", ""),
    ],
)
def test_the_key_of_a_latin_name_is_its_initial_and_the_rest(name: str, key: str) -> None:
    assert short_key(name) == key
    assert short_key(normalise(name)) == key


@pytest.mark.parametrize(
    ("text", "letters", "key"),
    [
        ("R. prolixus", "r", "r prolixus"),
        ("C.elegans", "c", "c elegans"),
        ("E coli", "e", "e coli"),
        ("E.\u00a0coli", "e", "e coli"),
        ("Ae. aegypti", "ae", "a aegypti"),
        ("An. gambiae s.s.", "an", "a gambiae"),
        ("B. burgdorferi sensu lato", "b", "b burgdorferi"),
        ("E. coli O157:H7", "e", "e coli o157 h7"),
        ("E. coli str. K-12", "e", "e coli k 12"),
        ("Staph aureus", "staph", "s aureus"),
        ("Strep. pneumoniae", "strep", "s pneumoniae"),
        ("Cx. quinquefasciatus", "cx", "c quinquefasciatus"),
        ("Ca. L. asiaticus", "l", "l asiaticus"),
        ("P. syringae pv. tomato", "p", "p syringae tomato"),
    ],
)
def test_a_short_form_has_the_key_of_its_long_form(text: str, letters: str, key: str) -> None:
    assert short_form(text) == ShortForm(letters, key)


@pytest.mark.parametrize(
    "text",
    ["i.e. this", "J. Smith", "et al.", "Homo sapiens", "A mouse", "A the", "Fig. shows", "E. co", "U.S. patients",
     "e. coli", "vitamin C", "R.", "", "B. sp.", "C. species"],
)  # fmt: skip
def test_other_texts_are_no_short_forms(text: str) -> None:
    assert short_form(text) is None


@given(
    st.from_regex(r"[A-Z][a-z]{3,12}", fullmatch=True),
    st.from_regex(r"[a-z]{4,12}(-[a-z]{3,8})?", fullmatch=True),
    st.sampled_from(["", " K-12", " subsp. minor", " var. alba", " ATCC 25922"]),
)
def test_name_and_short_form_agree_on_the_key(genus: str, epithet: str, tail: str) -> None:
    name = f"{genus} {epithet}{tail}"
    short = short_form(f"{genus[0]}. {epithet}{tail}")
    if short_key(name) and short:
        assert short.key == short_key(name) and short.stands_for(name)


@pytest.mark.parametrize(
    ("text", "name", "stands_for"),
    [
        ("Ae. aegypti", "Aedes aegypti", True),
        ("An. gambiae", "anopheles gambiae", True),
        ("An. albopictus", "Aedes albopictus", False),
        ("Cx. pipiens", "Culex pipiens", True),
        ("Staph. aureus", "Staphylococcus aureus", True),
        ("L. asiaticus", "Candidatus Liberibacter asiaticus", True),
    ],
)
def test_the_letters_of_a_short_form_come_from_its_genus(text: str, name: str, stands_for: bool) -> None:
    short = short_form(text)
    assert short is not None and short.stands_for(name) is stands_for


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Escherichia coli strain K-12", ["Escherichia coli K-12", "Escherichia coli"]),
        ("E. coli ATCC 25922", ["E. coli"]),
        ("Staphylococcus aureus subsp. aureus DSM 20231",
         ["Staphylococcus aureus subsp. aureus", "Staphylococcus aureus aureus", "Staphylococcus aureus"]),
        ("Saccharomyces cerevisiae S288c", ["Saccharomyces cerevisiae"]),
        ("Arabidopsis thaliana (L.) Heynh.", ["Arabidopsis thaliana"]),
        ("Aedes aegypti (Linnaeus, 1762)", ["Aedes aegypti"]),
        ("Rhodnius prolixus Stål, 1859", ["Rhodnius prolixus"]),
        ("Bacillus exemplaris sp. nov.", ["Bacillus exemplaris"]),
        ("Pantoea gen. nov.", ["Pantoea"]),
        ("Anopheles gambiae s.s.", ["Anopheles gambiae"]),
        ("Rhodnius spp.", ["Rhodnius"]),
        ("Bacillus sp. strain TAR-1", ["Bacillus sp. TAR-1", "Bacillus"]),
        ("Aphidius cf. ervi", ["Aphidius ervi"]),
        ("Salmonella Typhimurium",
         ["Salmonella enterica subsp. enterica serovar Typhimurium", "Salmonella enterica serovar Typhimurium",
          "Salmonella enterica"]),
        ("salmonellae", ["salmonella"]),
        ("streptococci", ["streptococcus"]),
        ("mycobacteria", ["mycobacterium"]),
        ("trypanosomes", ["trypanosoma"]),
        ("HIV1", ["HIV 1"]),
        ("drosophilids", []),
        ("Homo sapiens", []),
        ("mouse", []),
        ("", []),
    ],
)  # fmt: skip
def test_fallbacks_leave_out_what_no_taxonomy_lists(text: str, names: list[str]) -> None:
    assert list(fallbacks(text)) == names


@given(st.text(max_size=60))
def test_no_text_is_its_own_fallback_and_none_is_empty(text: str) -> None:
    others = fallbacks(text)
    assert "" not in others and text not in others and len(set(others)) == len(others)


@given(st.text(max_size=60))
def test_a_short_form_begins_with_a_capital_and_has_a_word(text: str) -> None:
    if (short := short_form(text)) is not None:
        assert re.match(r"[a-z] [a-z]{3,}", short.key) and short.letters[0] == short.key[0]
