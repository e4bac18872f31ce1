"""Short forms of Latin names have the keys of the names; what no taxonomy lists is left out, nearest name first."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.text.normalise import normalise
from belink.text.taxa import (
    ShortForm,
    binomial,
    endings,
    english_singular,
    epithet_stem,
    fallbacks,
    genus_of_plural,
    index_keys,
    long_form,
    short_form,
    short_key,
    virus_acronym,
    virus_form,
)


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
        ("E. COLI", "e", "e coli"),
        ("M. m. domesticus", "m", "m m domesticus"),
        ("T.b. gambiense", "t", "t b gambiense"),
        ("L. l. subsp. cremoris MG1363", "l", "l l cremoris mg1363"),
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
        ("HPV type 16", ["HPV 16"]),
        ("E. coli K12", ["E. coli K 12", "E. coli"]),
        ("Synechocystis PCC 6803", ["Synechocystis sp. PCC 6803"]),
        ("Populus alba x tremula", ["Populus alba x Populus tremula", "Populus alba"]),
        ("Oryza sativa L. ssp. indica",
         ["Oryza sativa ssp. indica", "Oryza sativa subsp. indica", "Oryza sativa indica", "Oryza indica",
          "Oryza sativa"]),
        ("L. lactis subsp. cremoris", ["L. lactis cremoris", "L. lactis"]),
        ("adenoviruses", ["adenovirus", "adenoviridae"]),
        ("viruses", []),
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


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("Mus musculus domesticus", ("m musculus domesticus", "m m domesticus")),
        ("Staphylococcus aureus subsp. aureus", ("s aureus aureus", "s a aureus")),
        ("Bacillus subtilis subsp. subtilis str. 168", ("b subtilis subtilis 168", "b subtilis 168")),
        ("Escherichia coli", ("e coli",)),
        ("Tomato spotted wilt virus", ("~ tswv",)),
        ("Foot-and-mouth disease virus", ("~ fmdv",)),
        ("Zika virus", ()),
        ("Human papillomavirus 16", ()),
        ("Homo sp.", ()),
    ],
)
def test_a_name_is_found_by_each_way_to_cut_it(name: str, keys: tuple[str, ...]) -> None:
    assert index_keys(name) == index_keys(normalise(name)) == keys


latin = st.from_regex(r"[a-z]{4,12}", fullmatch=True)


@given(latin, latin, latin)
def test_a_subspecies_and_its_initials_agree_on_the_key(genus: str, species: str, subspecies: str) -> None:
    name = f"{genus.capitalize()} {species} {subspecies}"
    short = short_form(f"{genus[0].upper()}. {species[0]}. {subspecies}")
    if len(index_keys(name)) == 2 and short:
        assert short.key in index_keys(name) and short.stands_for(name)


@given(st.lists(latin.filter(lambda word: "virus" not in word), min_size=2, max_size=5))
def test_a_virus_and_its_initials_agree_on_the_key(words: list[str]) -> None:
    name = f"{' '.join(words)} virus"
    acronym = "".join(word[0] for word in name.split()).upper()
    short = virus_acronym(acronym)
    assert short is not None and (short.key,) == index_keys(name) and short.stands_for(name)
    assert dict(endings(f"In the {name}")).get(acronym.casefold()) == len("In the ")


@pytest.mark.parametrize("text", ["HIV-1", "V", "RNA", "rsv", "TSWVs", ""])
def test_other_texts_are_no_initials_of_viruses(text: str) -> None:
    assert virus_acronym(text) is None


@given(latin, st.sampled_from(["us", "a", "um", "is", "e"]), st.sampled_from(["us", "a", "um", "is", "e"]))
def test_the_stem_of_an_epithet_does_not_depend_on_its_gender(stem: str, one: str, other: str) -> None:
    assert epithet_stem(f"{stem}{one}") == epithet_stem(f"{stem}{other}") == stem


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Rana pipiens", ("rana", "pipiens")),
        ("Candidatus Liberibacter asiaticus", ("liberibacter", "asiaticus")),
        ("Bacillus subtilis 168", ("bacillus", "subtilis")),
        ("R. pipiens", None),
        ("Rana species", None),
        ("Patients before", None),
        ("rana pipiens", None),
    ],
)
def test_a_binomial_is_a_genus_and_an_epithet_written_out(text: str, names: tuple[str, str] | None) -> None:
    assert binomial(text) == names


def test_a_long_name_is_found_without_its_words_of_rank() -> None:
    assert long_form("Bacillus subtilis str. 168") == ShortForm("bacillus", "b subtilis 168")
    assert long_form("Bacillus subtilis") is long_form("B. subtilis 168") is long_form("the mouse strain") is None


def test_latin_plurals_of_genera_are_few() -> None:
    assert [genus_of_plural(word) for word in ("enterococci", "salmonellae", "chlamydiae")] == [
        "enterococcus",
        "salmonella",
        "chlamydia",
    ]
    assert not any(map(genus_of_plural, ("liposomes", "mice", "bacteria", "cocci", "adenoviruses", "fungi", "")))


_WORD = st.text("abcdefghilmnoprstu", min_size=5, max_size=12).filter(
    lambda word: binomial(f"Xus {word}") is not None and short_key(f"{word} {word}") != ""
)


@given(_WORD, _WORD, _WORD, st.sampled_from(["", "subsp. ", "ssp. ", "var. ", "f. sp. ", "pv. "]))
def test_a_subspecies_may_have_become_a_species(genus: str, species: str, sub: str, rank: str) -> None:
    genus = genus.capitalize()
    names = fallbacks(f"{genus} {species} {rank}{sub}")
    assert names.index(f"{genus} {sub}") <= names.index(f"{genus} {species}")


@given(_WORD, _WORD, st.lists(st.from_regex(r"[A-Z]{3,4} [1-9][0-9]{2,4}", fullmatch=True), min_size=2, max_size=4))
def test_a_strain_is_found_by_each_of_its_numbers(genus: str, species: str, numbers: list[str]) -> None:
    keys = index_keys(normalise(f"{genus} {species} {' = '.join(numbers)}"))
    for number in numbers:
        form = long_form(f"{genus.capitalize()} {species} {number}")
        assert form is not None and form.key in keys


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("methicillin-resistant Staphylococcus epidermidis", "Staphylococcus epidermidis"),
        ("multidrug-resistant M. tuberculosis", "M. tuberculosis"),
        ("vancomycin-resistant enterococci", "enterococcus"),
        ("S. typhimurium LT2", "Salmonella enterica subsp. enterica serovar Typhimurium str. LT2"),
        ("Salmonella Enteritidis PT4", "Salmonella enterica subsp. enterica serovar Enteritidis"),
    ],
)
def test_what_stands_around_a_name_is_left_out(text: str, name: str) -> None:
    assert name in fallbacks(text)


def test_a_virus_without_its_host_stands_for_that_of_any_host() -> None:
    form = virus_form("phage SPP1")
    assert form is not None and form.stands_for("bacillus phage spp1")
    form = virus_form("lactococcal phage c2")
    assert form is not None and form.stands_for("lactococcus phage c2") and not form.stands_for("listeria phage c2")


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("German cockroaches", "German cockroach"),
        ("red foxes", "red fox"),
        ("tsetse flies", "tsetse fly"),
        ("flies", "fly"),
        ("wood mice", "wood mouse"),
        ("grey wolves", "grey wolf"),
        ("yellow fever mosquitoes", "yellow fever mosquito"),
        ("canaries", "canary"),
        ("horses", "horses"),
        ("species", "species"),
        ("Acinetobacter series", "Acinetobacter series"),
    ],
)
def test_english_plurals_have_a_singular(plural: str, singular: str) -> None:
    assert english_singular(plural) == singular
    assert plural == singular or singular in fallbacks(plural)


@given(st.text(max_size=30))
def test_a_singular_is_no_longer_than_its_plural_or_irregular(text: str) -> None:
    assert english_singular(text.strip()).count(" ") <= text.count(" ")
