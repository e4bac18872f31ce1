"""Phages and herpesviruses have one key, as taxonomies list them and as papers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.text.normalise import normalise
from belink.text.viruses import key, read

HOSTS = st.sampled_from(["Escherichia", "Bacillus", "Enterobacteria", "Lactococcus", "Pseudomonas"])
DESIGNATIONS = st.from_regex(r"[A-Z][0-9]{1,3}|phi ?[A-Z]?[0-9]{2}|[a-z]{2}[0-9]{1,3}|Mu|lambda", fullmatch=True)
PHAGES = st.sampled_from(["phage", "Phage", "bacteriophage", "coliphage", "mycobacteriophage"])


@given(HOSTS, DESIGNATIONS, PHAGES)
def test_a_phage_has_one_key(host: str, designation: str, phage: str) -> None:
    expected = key(normalise(f"{host} phage {designation}"))
    assert expected
    for text in (f"{phage} {designation}", f"{designation} {phage}", f"{host} {phage} {designation}"):
        found = read(text)
        assert found is not None and found[1] == expected, text


@given(HOSTS, DESIGNATIONS)
def test_a_host_narrows_the_phage_down(host: str, designation: str) -> None:
    found = read(f"{host} phage {designation}")
    assert found is not None and host.casefold().startswith(found[0])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("equine herpesvirus 1", "Equid alphaherpesvirus 1"),
        ("Equine herpesvirus type 1", "Equid alphaherpesvirus 1"),
        ("bovine herpesvirus 4", "Bovine gammaherpesvirus 4"),
        ("human herpesvirus 6A", "Human betaherpesvirus 6A"),
        ("cyprinid herpesvirus 3", "Cyprinid herpesvirus 3"),
        ("phage λ", "Escherichia phage Lambda"),
        ("T4 phage", "Tequatrovirus T4"),
    ],
)
def test_papers_and_taxonomies_agree(text: str, name: str) -> None:
    found = read(text)
    assert found is not None and found[1] == key(normalise(name))


@pytest.mark.parametrize(
    "text", ["phage display", "lytic phage", "phage", "a phage", "herpesvirus", "Bacillus subtilis"]
)
def test_other_words_name_no_virus(text: str) -> None:
    assert read(text) is None


@given(st.text(max_size=40))
def test_any_text_is_read(text: str) -> None:
    found = read(text)
    assert found is None or (found[1].startswith("~ ") and key(normalise(text)) in ("", key(normalise(text))))
