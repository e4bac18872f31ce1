"""Every way to write a concept id is one id; nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.text.concept_ids import standardise

PREFIXES = ("MONDO", "MESH", "OMIM", "Orphanet", "ORDO")


@pytest.mark.parametrize(
    ("written", "curie"),
    [
        *((form, "MONDO:0005002") for form in (
            "MONDO:0005002", "mondo:0005002", "Mondo:0005002", "MONDO_0005002", "mondo_0005002", " MONDO:0005002 ",
            "http://purl.obolibrary.org/obo/MONDO_0005002", "<http://purl.obolibrary.org/obo/MONDO_0005002>",
            "https://purl.obolibrary.org/obo/mondo_0005002", "https://bioregistry.io/mondo:0005002",
            "https://bioregistry.io/MONDO:0005002", "http://identifiers.org/mondo/0005002",
            "https://identifiers.org/MONDO:0005002", "https://identifiers.org/mondo/MONDO:0005002",
            "MONDO:MONDO_0005002", "MONDO:MONDO:0005002", "MONDO: 0005002", "obo:MONDO_0005002", '"MONDO:0005002"',
            "http://purl.obolibrary.org/obo/MONDO_0005002/", "HTTP://PURL.OBOLIBRARY.ORG/obo/MONDO_0005002",
            "https://identifiers.org/mondo%3A0005002",
        )),
        ("http://id.nlm.nih.gov/mesh/D003920", "MESH:D003920"),
        ("https://meshb.nlm.nih.gov/record/ui?ui=D003920", "MESH:D003920"),
        ("mesh:D003920", "MESH:D003920"),
        ("https://omim.org/entry/222100", "OMIM:222100"),
        ("http://www.orpha.net/ORDO/Orphanet_733", "Orphanet:733"),
        ("ORPHANET:733", "Orphanet:733"),
        ("HP:0000001", "HP:0000001"),
        ("HP_0000001", "HP_0000001"),
        ("http://purl.obolibrary.org/obo/HP_0000001", "http://purl.obolibrary.org/obo/HP_0000001"),
        ("MONDOX:1", "MONDOX:1"),
        ("D003920", "D003920"),
        ("mondo", "mondo"),
        ("", ""),
    ],
)  # fmt: skip
def test_every_form_of_an_id_is_one_curie(written: str, curie: str) -> None:
    assert standardise(written, PREFIXES) == curie


@given(st.text(max_size=30), st.lists(st.text(max_size=8), max_size=4))
def test_any_text_and_any_prefixes_can_be_given_and_the_result_is_stable(text: str, prefixes: list[str]) -> None:
    once = standardise(text, prefixes)
    assert standardise(once, prefixes) == once or once.startswith(tuple(f"{p}:" for p in prefixes))


@given(st.from_regex(r"[A-Za-z0-9]{1,10}", fullmatch=True))
def test_a_curie_stays_as_it_is(local: str) -> None:
    assert standardise(f"MONDO:{local}", PREFIXES) == f"MONDO:{local}"
