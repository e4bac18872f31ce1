"""Links as FHIR: what is written is what fhir.resources, an implementation of the standard, takes and means."""

import gzip
import json
import re
from pathlib import Path

import pytest
from fhir.resources.codeableconcept import CodeableConcept
from hypothesis import given
from hypothesis import strategies as st

from belink import artefacts, declarations, settings
from belink.corpora import fhir
from belink.corpora.links import write_links
from belink.records import Candidate, Document, Link, Mention

CODES = {"MESH": "http://terminology.hl7.org/CodeSystem/MSH|{id}", "HP": "http://human-phenotype-ontology.org|{curie}"}
WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)


def link(text: str, id: str | None, label: str = "asthma", document: str = "") -> Link:
    mention = Mention(text=text, start=3, end=3 + len(text), document=document)
    candidate = None
    if id is not None:
        candidate = Candidate(
            id=id, label=label, name=label, scope="label", ontology="o", release="2025-01-01", score=1.0
        )
    return Link(mention=mention, candidate=candidate, probability=0.75)


def read(line: bytes) -> CodeableConcept:
    concept = CodeableConcept.model_validate(json.loads(line))
    assert isinstance(concept, CodeableConcept)
    return concept


@pytest.mark.parametrize(
    ("id", "system", "code"),
    [
        ("MESH:D001249", "http://terminology.hl7.org/CodeSystem/MSH", "D001249"),
        ("HP:0002099", "http://human-phenotype-ontology.org", "HP:0002099"),
        ("X:1", None, "X:1"),  # no system is declared
    ],
)
def test_a_concept_has_the_declared_system_its_code_and_its_release(id: str, system: str | None, code: str) -> None:
    concept = read(fhir.lines([link("Asthma", id, document="7")], CODES))
    (coding,) = concept.coding
    assert (coding.system, coding.code, coding.version, coding.display) == (system, code, "2025-01-01", "asthma")
    assert concept.text == "Asthma"
    told = {each.url: each.valueDecimal or each.valueString or each.valueUnsignedInt for each in concept.extension}
    assert {name.removeprefix(fhir.EXTENSION): str(value) for name, value in told.items()} == {
        "probability": "0.75",
        "document": "7",
        "start": "3",
        "end": "9",
    }


def test_nil_is_a_text_without_coding() -> None:
    concept = read(fhir.lines([link("Asthma", None)], CODES))
    assert (concept.text, concept.coding) == ("Asthma", None)


@pytest.mark.heavy
@given(WORDS, WORDS, st.one_of(st.none(), WORDS.map(lambda local: f"MESH:{local}"), WORDS), WORDS)
def test_whatever_texts_and_ids_hold_is_valid_fhir(text: str, label: str, id: str | None, document: str) -> None:
    linked = [link(text, id, label, document)]
    written = fhir.lines(linked, CODES)
    assert written.count(b"\n") == 1
    concept = read(written)
    # The package lets pass what the standard's own expressions (https://hl7.org/fhir/datatypes.html) do not.
    coding = {} if concept.coding is None else concept.coding[0].model_dump()
    for string in (concept.text, *coding.values()):
        assert string is None or (string.strip() and not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", string))
    assert re.fullmatch(r"\S+( \S+)*", coding.get("code") or "NIL")
    if text.strip() and text.isprintable():
        assert concept.text == text


def test_every_shipped_code_system_names_a_prefix_of_its_ontology() -> None:
    declared = {name.stem: declarations.load_source(name.stem) for name in settings.shipped_ontologies().glob("*.toml")}
    assert {name for name, source in declared.items() if source.fhir_codes} >= {"mondo", "hp", "mesh", "umls"}
    for name, source in declared.items():
        assert set(source.fhir_codes) <= set(source.prefixes), name


def test_a_release_made_before_codes_were_recorded_has_those_of_its_declaration(tmp_path: Path) -> None:
    def release(ontology: str, **more: object) -> Path:
        folder = tmp_path / ontology
        artefacts.make(folder, lambda _: {"ontology": ontology, **more})
        return folder

    old, own = release("hp"), release("nowhere")
    new = release("mesh", fhir_codes={"MESH": "urn:x|{id}"})
    assert fhir.read_codes([old, own, new]) == {"HP": CODES["HP"], "MESH": "urn:x|{id}"}


def test_a_file_has_one_line_a_mention_whatever_its_suffix(tmp_path: Path) -> None:
    pair = (Document(id="1", text="Asthma"), [link("Asthma", "HP:0002099"), link("x", None)])
    assert write_links([pair, pair], tmp_path / "links.ndjson.gz", {}, fhir_codes=CODES) == (2, 4)
    assert len(gzip.decompress((tmp_path / "links.ndjson.gz").read_bytes()).splitlines()) == 4
