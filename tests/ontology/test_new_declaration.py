"""``belink new``: two TOML files from one file, which read that file and make a linker of it."""

import csv
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from belink import settings
from belink.declarations import default_linker, load_linker, load_source
from belink.errors import BelinkError, DeclarationError, SourceError
from belink.ontology import new_declaration
from belink.ontology.ingest import ingest
from belink.ontology.release import open_release
from belink.settings import Settings

pytestmark = pytest.mark.heavy  # seconds in all

TERMS = """
[Term]
id: PO:0000001
name: leaf
synonym: "foliage" EXACT []

[Term]
id: PO:0000002
name: root

[Term]
id: RO:0000003
name: part

[Term]
id: RO:0000004
name: whole

[Term]
id: RO:0000005
name: piece
"""
OBO = f"""format-version: 1.2
data-version: releases/2025-03-01
ontology: po
property_value: http://purl.org/dc/elements/1.1/title "Plant Ontology" xsd:string
property_value: http://purl.org/dc/terms/license "https://creativecommons.org/licenses/by-sa/4.0/" xsd:anyURI
{TERMS}"""
OWL = """<?xml version="1.0"?>
<rdf:RDF xmlns:owl="http://www.w3.org/2002/07/owl#" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
  xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:dcterms="http://purl.org/dc/terms/">
<owl:Ontology rdf:about="http://purl.obolibrary.org/obo/po.owl">
  <owl:versionInfo>2025-03-01</owl:versionInfo>
  <dc:title xml:lang="en">Plant &amp; Trait Ontology</dc:title>
  <dcterms:license rdf:resource="http://creativecommons.org/publicdomain/zero/1.0/"/>
</owl:Ontology>
<owl:Class rdf:about="http://purl.obolibrary.org/obo/PO_0000001"><rdfs:label>leaf</rdfs:label></owl:Class>
<owl:Class rdf:about="http://purl.obolibrary.org/obo/RO_0000002"><rdfs:label>part</rdfs:label></owl:Class>
<owl:Class rdf:about="http://purl.obolibrary.org/obo/RO_0000003"><rdfs:label>whole</rdfs:label></owl:Class>
</rdf:RDF>"""
GRAPH = json.dumps(
    {
        "graphs": [
            {
                "id": "http://purl.obolibrary.org/obo/po.owl",
                "meta": {
                    "version": "http://purl.obolibrary.org/obo/po/releases/2025-03-01/po.owl",
                    "basicPropertyValues": [
                        {"pred": "http://purl.org/dc/terms/license", "val": "Free for research"},
                        {"pred": "http://purl.org/dc/elements/1.1/title", "val": "Plants"},
                    ],
                },
                "nodes": [{"id": "http://purl.obolibrary.org/obo/PO_0000001", "lbl": "leaf", "type": "CLASS"}],
                "edges": [],
            }
        ]
    }
)


@pytest.mark.parametrize(
    ("name", "text", "title", "licence", "url", "format"),
    [
        (
            "po.obo",
            OBO,
            "Plant Ontology",
            "CC BY-SA 4.0",
            "https://creativecommons.org/licenses/by-sa/4.0/",
            "obo",
        ),
        (
            "po.owl",
            OWL,
            "Plant & Trait Ontology",
            "CC0 1.0",
            "http://creativecommons.org/publicdomain/zero/1.0/",
            "owl",
        ),
        ("po.json", GRAPH, "Plants", "Free for research", "", "obograph"),
    ],
)
def test_the_header_fills_in_title_licence_version_and_prefix(
    tmp_path: Path, here: Settings, name: str, text: str, title: str, licence: str, url: str, format: str
) -> None:
    file = tmp_path / f"{name}.gz"
    file.write_bytes(gzip.compress(text.encode()))
    new = new_declaration.write("plants", file, tmp_path)
    assert new.ontology == tmp_path / "ontologies" / "plants.toml"
    source = load_source(str(new.ontology))
    assert (source.title, source.licence, source.licence_url) == (title, licence, url)
    assert (source.format, source.version, source.prefixes) == (format, "header", ("PO",))
    assert source.redistributable
    done = ingest(source, [file], here)
    assert done.version == new.description.version == "2025-03-01"


def test_the_linker_is_the_default_one_spelt_out(tmp_path: Path) -> None:
    file = tmp_path / "po.obo"
    file.write_text(OBO)
    new = new_declaration.write("plants", file, tmp_path)
    linker, default = load_linker(str(new.linker)), default_linker(load_source(str(new.ontology)), str(new.ontology))
    loose = default.gates.model_copy(update={"max_latency_ratio": 100.0})  # TOML has no word for none
    assert linker == default.model_copy(update={"gates": loose})


def test_what_is_left_out_and_not_stated_is_told_in_comments(tmp_path: Path) -> None:
    file = tmp_path / "po.obo"
    file.write_text("format-version: 1.2\nontology: po\n" + TERMS)
    new = new_declaration.write("plants", file, tmp_path)
    text = new.ontology.read_text()
    assert 'prefixes = ["PO"]  # concepts in the file: 2 of PO; left out: RO 3' in text
    assert 'licence = "unknown"  # the file states none' in text
    assert not load_source(str(new.ontology)).redistributable
    assert new.description.version_rule == "last-modified"


def test_a_date_in_the_files_name_is_the_version_where_the_header_has_none(tmp_path: Path) -> None:
    file = tmp_path / "po-2024-12-24.obo"
    file.write_text("format-version: 1.2\nontology: po\n" + TERMS)
    new = new_declaration.write("plants", file, tmp_path)
    assert new.description.version == "2024-12-24"
    assert load_source(str(new.ontology)).version == r"(\d{4}-\d{2}-\d{2})"


def test_the_columns_of_a_table_are_found_by_their_names(tmp_path: Path, here: Settings) -> None:
    file = tmp_path / "plants.csv"
    file.write_text('# ours\nPlant ID,Name,Synonyms,Notes\nP1,leaf,"foliage|blade",x\nP2,root,,y\n')
    new = new_declaration.write("plants", file, tmp_path)
    source = load_source(str(new.ontology))
    assert source.columns is not None
    assert (source.columns.id, source.columns.label, source.columns.synonyms) == ("Plant ID", "Name", "Synonyms")
    assert (source.prefixes, source.comment) == (("PLANTS",), "#")
    assert ingest(source, [file], here).names == 4


WORDS = st.text("abcdefgh (),-", min_size=3, max_size=12).filter(lambda word: len(set(word.strip())) > 2)


@settings_of_hypothesis(max_examples=25, deadline=None)
@given(
    synonyms=st.lists(st.lists(WORDS, min_size=2, max_size=4), min_size=1, max_size=5),
    between=st.sampled_from([";", "; ", "|", " | "]),
    delimiter=st.sampled_from("\t,;"),
)
def test_the_values_of_a_cell_are_told_apart(
    synonyms: list[list[str]], between: str, delimiter: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("table")
    with (folder / "plants.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = [(f"P{n}", f"label {n}", between.join(words)) for n, words in enumerate(synonyms)]
        csv.writer(stream, delimiter=delimiter).writerows([("id", "name", "synonyms"), *rows, ("P9", "last", "")])
    new = new_declaration.write("plants", folder / "plants.csv", folder)
    done = ingest(load_source(str(new.ontology)), [folder / "plants.csv"], settings.load(folder / "home"))
    with open_release(done.path) as release:
        concepts = [release.concept(f"PLANTS:P{n}") for n in range(len(synonyms))]
    found = [{" ".join(name.text.split()) for name in concept.synonyms} for concept in concepts if concept]
    assert found == [{" ".join(word.split()) for word in words} for words in synonyms]


def test_a_semicolon_in_a_name_here_and_there_separates_nothing(tmp_path: Path, here: Settings) -> None:
    file = tmp_path / "plants.tsv"
    rows = "".join(f"P{n}\tleaf {n}\tblade {n}\n" for n in range(19))
    file.write_text(f"id\tname\tsynonyms\n{rows}P19\troot\troot; of a tooth\n")
    new = new_declaration.write("plants", file, tmp_path)
    assert ingest(load_source(str(new.ontology)), [file], here).names == 40


def test_the_table_of_taxa_is_understood(tmp_path: Path, here: Settings) -> None:
    file = tmp_path / "taxa.tsv"
    head = "taxid\tscientific_name\tcommon_name\twiki_title\trank\tparent\n"
    file.write_text(f"{head}9605\tHomo\t\tHomo\tgenus\t207598\n9606\tHomo sapiens\thuman\tHuman\tspecies\t9605\n")
    new = new_declaration.write("taxa", file, tmp_path)
    done = ingest(load_source(str(new.ontology)), [file], here)
    with open_release(done.path) as release:
        concept = release.concept("TAXA:9606")
    assert concept is not None
    assert (concept.label, concept.parents) == ("Homo sapiens", ("TAXA:9605",))
    assert [name.text for name in concept.synonyms] == ["human"]


def test_a_table_without_an_id_says_what_it_has(tmp_path: Path) -> None:
    file = tmp_path / "plants.tsv"
    file.write_text("Leaf\tRoot\nx\ty\n")
    with pytest.raises(SourceError, match="columns for id and label, found Leaf, Root; write the declaration by hand"):
        new_declaration.write("plants", file, tmp_path)
    assert not (tmp_path / "ontologies").exists()


def test_bounds_that_the_file_itself_breaks_are_written_wider(tmp_path: Path, here: Settings) -> None:
    file = tmp_path / "po.obo"
    terms = "".join(f"[Term]\nid: PO:{i:07}\nname: leaf {i // 4}\n\n" for i in range(40))
    cycle = "[Term]\nid: PO:1\nname: a\nis_a: PO:2\n\n[Term]\nid: PO:2\nname: b\nis_a: PO:1\n"
    file.write_text(f"format-version: 1.2\nontology: po\n\n{terms}{cycle}")
    source = load_source(str(new_declaration.write("plants", file, tmp_path).ontology))
    assert source.gates.max_cyclic == 2
    assert source.gates.max_duplicate_labels >= 0.95
    assert source.gates.max_shrinkage == 0.05
    ingest(source, [file], here)  # is not refused


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "po.obo"
    file.write_text(OBO)
    new_declaration.write("plants", file, tmp_path)
    with pytest.raises(DeclarationError, match="expected no file, found one"):
        new_declaration.write("plants", file, tmp_path)


def test_the_sample_is_described_as_its_declaration_says(tmp_path: Path) -> None:
    file = settings.shipped_ontologies() / "samples" / "mondo-sample-2025-02-04.obo"
    described = new_declaration.write("mine", file, tmp_path).description
    declared = load_source("mondo-sample")
    assert (described.prefixes, described.version_rule, described.version) == (
        declared.prefixes,
        "header",
        "2025-02-04",
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.parquet", b"junk"),
        ("b.txt", b"x" * 200_000),
        ("b.csv", b'id,label\n"' + b"x" * 200_000),
        ("b.obo.gz", gzip.compress(OBO.encode(), mtime=0)[:12]),
        ("b.obo", b""),
        ("b.owl", b"\x00" * 50),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BelinkError) as told:
        new_declaration.write("b", tmp_path / name, tmp_path)
    assert "\n" not in str(told.value)
