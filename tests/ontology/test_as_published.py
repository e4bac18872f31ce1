"""Ontology files with the faults that people report of published ones: every concept is read, and none comes back."""

from pathlib import Path

import pytest

from belink.declarations import undeclared_source
from belink.ontology.ingest import ingest
from belink.ontology.release import Release, open_release
from belink.settings import Settings

HEAD = "format-version: 1.2\ndate: 05:20:2021 12:00\ndata-version: 2021-05-20\n! a comment\nontology: cl\n\n"
TERMS = """[Term]
id: CL:0000165
name: neuroendocrine cell
alt_id: CL:0000381
xref: xref (ILX:0770149)
xref: http://neurolex.org/wiki/Category\\:Embryonic_organism
synonym: "anterior process" EXACT [TAO:Bird and Mabee 2003]
creation_date: 202z-09-29T15:45:36Z

[Term]
id: CL:0000381
name: obsolete neurosecretory neuron
is_obsolete: true
replaced_by: CL:0000165

[Term]
id: CL:0000400
name: obsolete first
is_obsolete: true
replaced_by: CL:0000381

"""


def read(here: Settings, folder: Path, text: str, *more: Path) -> Release:
    path = folder / "cl.obo"
    path.write_text(text)
    files = [path, *more]
    return open_release(ingest(undeclared_source("cl", "obo"), files, here, version="1", refuse=False).path)


def test_odd_dates_xrefs_and_comments_cost_no_concept(here: Settings, tmp_path: Path) -> None:
    with read(here, tmp_path, HEAD + TERMS) as release:
        concept = release.concept("CL:0000165")
        assert concept is not None
        assert [name.text for name in concept.synonyms] == ["anterior process"]
        assert set(concept.xrefs) == {"ILX:0770149", "http://neurolex.org/wiki/Category:Embryonic_organism"}


def test_an_id_that_is_alternative_and_obsolete_and_a_chain_of_replacements_lead_to_the_live_concept(
    here: Settings, tmp_path: Path
) -> None:
    with read(here, tmp_path, HEAD + TERMS) as release:
        assert [release.successor(f"CL:0000{n}") for n in ("381", "400")] == [("CL:0000165",)] * 2


@pytest.mark.parametrize(
    ("label", "obsolete"),
    [
        ("OBSOLETE: Melanoma-pancreatic cancer syndrome", True),  # of ORDO, which OLS was asked about
        ("obsolete neuron", True),
        ("obsolete_neuron", True),
        ("Obsolete. Use another", True),
        ("obsolescence of the lens", False),
        ("obsoletely named disease", False),
        ("an obsolete idea", False),
    ],
)
def test_a_concept_that_only_its_label_calls_obsolete_is_obsolete(
    here: Settings, tmp_path: Path, label: str, obsolete: bool
) -> None:
    with read(here, tmp_path, f"{HEAD}{TERMS}[Term]\nid: CL:0000500\nname: {label}\n") as release:
        concept = release.concept("CL:0000500")
        assert concept is not None
        assert concept.obsolete is obsolete
        assert ("CL:0000500" in release.concepts_table()["id"].to_pylist()) is not obsolete
        noted = release.rows("SELECT count(*) FROM rejection WHERE repaired AND reason LIKE '%taken as obsolete'")
        assert noted == [(int(obsolete),)]


def test_addresses_in_mappings_are_ids_by_the_files_own_map(here: Settings, tmp_path: Path) -> None:
    mappings = tmp_path / "m.sssom.tsv"
    mappings.write_text(
        "# curie_map:\n#   EFO: http://www.ebi.ac.uk/efo/EFO_\n#   W: 'https://example.org/#'\n"
        "# object_source: http://www.ebi.ac.uk/efo/EFO_\n"  # an address that is no prefix
        "subject_id\tpredicate_id\tobject_id\tmapping_justification\n"
        + "".join(
            f"{subject}\t{predicate}\t{other}\tsemapv:ManualMappingCuration\n"
            for subject, predicate, other in [
                (
                    "http://purl.obolibrary.org/obo/CL_0000165",
                    "skos:exactMatch",
                    "http://purl.obolibrary.org/obo/MONDO_1",
                ),
                ("CL_0000165", "http://www.w3.org/2004/02/skos/core#exactMatch", "http://www.ebi.ac.uk/efo/EFO_2"),
                ("CL:0000165", "skos:exactMatch", "https://example.org/#3"),
                ("CL:0000165", "skos:exactMatch", "https://elsewhere.org/4"),
            ]
        )
    )
    with read(here, tmp_path, HEAD + TERMS, mappings) as release:
        concept = release.concept("CL:0000165")
        assert concept is not None
        assert {"MONDO:1", "EFO:2", "W:3"} <= set(concept.xrefs)
        assert [row[0] for row in release.rows("SELECT reason FROM rejection WHERE NOT repaired")] == [
            "m.sssom.tsv: expected two CURIEs"
        ]
