"""OWL and OBO Graph JSON give what the same ontology's OBO file gives."""

import json
from pathlib import Path
from typing import Any

import pytest

from belink import settings
from belink.errors import SourceError
from belink.ontology.readers.obo.entities import compact
from tests.support.recorded import read, read_text

DATA = settings.load().data
PURL = "http://purl.obolibrary.org/obo/"
OIO = "http://www.geneontology.org/formats/oboInOwl#"

# One small ontology in three formats, as the OBO tools write it: a merged term (X:4) is an alt_id in OBO and a
# deprecated class elsewhere; an obsolete one (X:3) keeps its place.
OBO = """format-version: 1.2
data-version: x/releases/2025-02-04/x.owl
synonymtypedef: OMO:0003000 "abbreviation"
ontology: x

[Term]
id: X:1
name: Tay-Sachs disease
namespace: disease
alt_id: X:4
def: "A {disease} of the \\"brain\\"." []
subset: rare
subset: ubprop:upper
synonym: "TSD" EXACT OMO:0003000 []
synonym: "amaurotic idiocy" RELATED []
xref: MESH:D013661
xref: http\\://a.b/c?d
is_a: X:2
relationship: has_part Y:1
relationship: RO:0002162 NCBITaxon:9606

[Term]
id: X:2
name: lipidosis

[Term]
id: X:3
name: obsolete lipidosis
is_obsolete: true
replaced_by: X:2
consider: X:1
"""

OWL_HEAD = f"""<?xml version="1.0"?>
<!DOCTYPE rdf:RDF [<!ENTITY obo "{PURL}">]>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#"
  xmlns:owl="http://www.w3.org/2002/07/owl#" xmlns:obo="{PURL}" xmlns:oboInOwl="{OIO}" xml:base="{PURL}x.owl">
<owl:Ontology rdf:about="{PURL}x.owl"><owl:versionIRI rdf:resource="{PURL}x/releases/2025-02-04/x.owl"/></owl:Ontology>
"""
OWL = f"""{OWL_HEAD}
<owl:ObjectProperty rdf:about="{PURL}BFO_0000051"><oboInOwl:id>BFO:0000051</oboInOwl:id>
  <oboInOwl:shorthand>has_part</oboInOwl:shorthand><rdfs:label>has part</rdfs:label></owl:ObjectProperty>
<!-- a comment -->
<owl:Class rdf:about="&obo;X_1">
  <rdfs:label>Tay-Sachs disease</rdfs:label>
  <oboInOwl:hasOBONamespace>disease</oboInOwl:hasOBONamespace>
  <obo:IAO_0000115>A {{disease}} of the "brain".</obo:IAO_0000115>
  <oboInOwl:inSubset rdf:resource="{PURL}x#rare"/><oboInOwl:inSubset rdf:resource="{PURL}ubprop#_upper"/>
  <oboInOwl:hasExactSynonym>TSD</oboInOwl:hasExactSynonym>
  <oboInOwl:hasRelatedSynonym>amaurotic idiocy</oboInOwl:hasRelatedSynonym>
  <oboInOwl:hasDbXref>MESH:D013661</oboInOwl:hasDbXref><oboInOwl:hasDbXref>http://a.b/c?d</oboInOwl:hasDbXref>
  <rdfs:subClassOf rdf:resource="{PURL}X_2"/>
  <rdfs:subClassOf rdf:nodeID="g1"/>
  <rdfs:subClassOf><owl:Restriction><owl:onProperty rdf:resource="{PURL}RO_0002162"/>
    <owl:allValuesFrom rdf:resource="{PURL}NCBITaxon_9606"/></owl:Restriction></rdfs:subClassOf>
</owl:Class>
<owl:Restriction rdf:nodeID="g1"><owl:onProperty rdf:resource="{PURL}BFO_0000051"/>
  <owl:someValuesFrom rdf:resource="{PURL}Y_1"/></owl:Restriction>
<owl:Axiom><owl:annotatedSource rdf:resource="{PURL}X_1"/>
  <owl:annotatedProperty rdf:resource="{OIO}hasExactSynonym"/><owl:annotatedTarget>TSD</owl:annotatedTarget>
  <oboInOwl:hasSynonymType rdf:resource="{PURL}OMO_0003000"/></owl:Axiom>
<owl:Class rdf:about="{PURL}X_2"><rdfs:label>lipidosis</rdfs:label></owl:Class>
<owl:Class rdf:about="{PURL}X_3"><rdfs:label>obsolete lipidosis</rdfs:label><owl:deprecated>true</owl:deprecated>
  <obo:IAO_0100001 rdf:resource="{PURL}X_2"/><oboInOwl:consider>X:1</oboInOwl:consider></owl:Class>
<owl:Class rdf:about="{PURL}X_4"><owl:deprecated>true</owl:deprecated><obo:IAO_0100001 rdf:resource="{PURL}X_1"/>
  <obo:IAO_0000231 rdf:resource="{PURL}IAO_0000227"/></owl:Class>
<owl:NamedIndividual rdf:about="{PURL}X_9"><rdfs:label>an individual</rdfs:label></owl:NamedIndividual>
</rdf:RDF>
"""


def property_value(predicate: str, value: Any) -> dict[str, Any]:
    return {"pred": predicate, "val": value}


def graph() -> dict[str, Any]:
    """The same as OBO Graph JSON."""
    return {
        "id": f"{PURL}x.owl",
        "meta": {"version": f"{PURL}x/releases/2025-02-04/x.owl"},
        "nodes": [
            {
                "id": f"{PURL}X_1",
                "lbl": "Tay-Sachs disease",
                "type": "CLASS",
                "meta": {
                    "definition": {"val": 'A {disease} of the "brain".', "xrefs": ["PMID:1"]},
                    "subsets": [f"{PURL}x#rare", f"{PURL}ubprop#_upper"],
                    "synonyms": [
                        {"pred": "hasExactSynonym", "val": "TSD", "synonymType": f"{PURL}OMO_0003000"},
                        {"pred": "hasRelatedSynonym", "val": "amaurotic idiocy"},
                    ],
                    "xrefs": [{"val": "MESH:D013661"}, {"val": "http://a.b/c?d"}],
                    "basicPropertyValues": [property_value(f"{OIO}hasOBONamespace", "disease")],
                },
            },
            {"id": f"{PURL}X_2", "lbl": "lipidosis", "type": "CLASS"},
            {
                "id": f"{PURL}X_3",
                "lbl": "obsolete lipidosis",
                "type": "CLASS",
                "meta": {
                    "deprecated": True,
                    "basicPropertyValues": [
                        property_value(f"{PURL}IAO_0100001", f"{PURL}X_2"),
                        property_value(f"{OIO}consider", "X:1"),
                    ],
                },
            },
            {
                "id": f"{PURL}X_4",
                "type": "CLASS",
                "meta": {
                    "deprecated": True,
                    "basicPropertyValues": [
                        property_value(f"{PURL}IAO_0100001", f"{PURL}X_1"),
                        property_value(f"{PURL}IAO_0000231", f"{PURL}IAO_0000227"),
                    ],
                },
            },
            {
                "id": f"{PURL}BFO_0000051",
                "lbl": "has part",
                "type": "PROPERTY",
                "meta": {"basicPropertyValues": [property_value(f"{OIO}shorthand", "has_part")]},
            },
        ],
        "edges": [
            {"sub": f"{PURL}X_1", "pred": "is_a", "obj": f"{PURL}X_2"},
            {"sub": f"{PURL}X_1", "pred": f"{PURL}BFO_0000051", "obj": f"{PURL}Y_1"},
        ],
        "domainRangeAxioms": [
            {
                "predicateId": f"{PURL}RO_0002162",
                "allValuesFromEdges": [
                    {"sub": f"{PURL}X_1", "pred": f"{PURL}RO_0002162", "obj": f"{PURL}NCBITaxon_9606"}
                ],
            }
        ],
    }


def as_json(*graphs: Any) -> str:
    return json.dumps({"graphs": list(graphs)})


@pytest.mark.parametrize("by_frame", [False, True])
@pytest.mark.parametrize("form", ["owl", "json"])
def test_three_formats_give_the_same_concepts(tmp_path: Path, form: str, by_frame: bool) -> None:
    expected = read_text(tmp_path, OBO)
    found = read_text(tmp_path, OWL if form == "owl" else as_json(graph()), name=f"x.{form}", by_frame=by_frame)
    assert found.by_id == expected.by_id
    assert not found.rejections and not expected.rejections
    assert "2025-02-04" in str(found.version)


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="BELINK_DATA is not set")
def test_a_published_ontology_is_the_same_in_its_three_formats() -> None:
    assert DATA is not None
    obo, owl, graphs = (
        read(DATA / "ontologies" / f"cl-general_cell_types_upper_slim.{form}.gz") for form in ("obo", "owl", "json")
    )
    for into in (obo, owl, graphs):
        assert (len(into.listed), into.names) == (713, 2010)
        assert sum(concept.label is None for concept in into.listed) == 8
    assert obo.by_id == owl.by_id
    # GO:0110165 has two definitions in the ontology; the JSON file holds the other one.
    assert [id for id in obo.by_id if obo.by_id[id] != graphs.by_id[id]] == ["GO:0110165"]
    assert [rejection.line for rejection in owl.rejected] == [16846]


def test_a_merged_class_whose_replacement_is_elsewhere_stays_a_term(tmp_path: Path) -> None:
    into = read_text(
        tmp_path, OWL.replace(f'"{PURL}X_1"/>\n  <obo:IAO_0000231', f'"{PURL}Z_1"/>\n  <obo:IAO_0000231'), name="x.owl"
    )
    assert into.by_id["X:4"].obsolete
    assert into.by_id["X:4"].replaced_by == ("Z:1",)


def test_names_keep_their_language(tmp_path: Path) -> None:
    labels = '<rdfs:label xml:lang="fr">lipidose</rdfs:label><rdfs:label xml:lang="en">lipidosis</rdfs:label>'
    synonyms = '<oboInOwl:hasExactSynonym xml:lang="de">Lipidose</oboInOwl:hasExactSynonym>'
    body = f'<owl:Class rdf:about="{PURL}X_2">{labels}{synonyms}</owl:Class></rdf:RDF>'
    into = read_text(tmp_path, OWL_HEAD + body, name="x.owl")
    concept = into.by_id["X:2"]
    assert concept.label == "lipidosis"
    assert [(name.text, name.scope, name.language) for name in concept.synonyms] == [
        ("Lipidose", "exact", "de"),
        ("lipidose", "exact", "fr"),
    ]
    assert not into.rejections


def test_a_parent_missing_from_the_file_is_kept_and_recorded(tmp_path: Path) -> None:
    body = f'<owl:Class rdf:about="{PURL}X_2"><rdfs:subClassOf rdf:resource="{PURL}X_404"/></owl:Class></rdf:RDF>'
    into = read_text(tmp_path, OWL_HEAD + body, name="x.owl")
    assert into.by_id["X:2"].parents == ("X:404",)
    assert "X:404" not in into.by_id
    assert [rejection.text for rejection in into.repaired] == ["is_a: X:404"]


@pytest.mark.parametrize(
    ("iri", "id"),
    [
        (f"{PURL}MONDO_0005148", "MONDO:0005148"),
        (f"{PURL}NCBITaxon_9606", "NCBITaxon:9606"),
        (f"{PURL}uberon/core#channel_for", "channel_for"),
        (f"{PURL}ubprop#_upper_level", "ubprop:upper_level"),
        ("http://www.orpha.net/ORDO/Orphanet_293843", "Orphanet:293843"),
        ("http://www.ebi.ac.uk/efo/EFO_0000400", "EFO:0000400"),
        ("MONDO:0005148", "MONDO:0005148"),
        ("http://example.org/some_page", "http://example.org/some_page"),
    ],
)
def test_an_iri_becomes_the_id_that_obo_files_write(iri: str, id: str) -> None:
    assert compact(iri) == id


BOMB = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "x" * 100}">' for n in range(10))


@pytest.mark.parametrize(
    "text",
    [
        OWL[: len(OWL) // 2],
        OWL.replace("</owl:Class>", "", 1),
        OWL.replace(OWL_HEAD, ""),
        OWL.replace("<!ENTITY", f"{BOMB}<!ENTITY").replace("lipidosis", "&a9;"),
        OWL.replace("<!ENTITY", '<!ENTITY outside SYSTEM "file:///etc/passwd"><!ENTITY').replace(
            "lipidosis", "&outside;"
        ),
        '<?xml version="1.0"?>\n<Ontology xmlns="http://www.w3.org/2002/07/owl#"><Declaration/></Ontology>',
        f"{OWL_HEAD}</rdf:RDF>",
    ],
    ids=["cut off", "unbalanced", "headless", "bomb", "external entity", "OWL/XML", "empty"],
)
def test_owl_that_is_not_whole_or_not_safe_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError) as refused:
        read_text(tmp_path, text, name="x.owl")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", [as_json(graph())[:500], "{}", '{"graphs": 1}', '{"graphs": []}', "{" * 100_000])
def test_json_that_is_not_whole_or_no_graph_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError) as refused:
        read_text(tmp_path, text, name="x.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        (("nodes",), 5),
        (("nodes",), {"lbl": "without id"}),
        (("nodes",), {"id": f"{PURL}X_7", "lbl": ["not", "a", "string"]}),
        (("nodes", 0, "meta", "synonyms"), {"pred": "hasOddSynonym", "val": "x"}),
        (("nodes", 0, "meta", "synonyms"), {"pred": "hasExactSynonym"}),
        (("nodes", 0, "meta", "xrefs"), {"val": None}),
        (("nodes", 0, "meta", "subsets"), 1),
        (("nodes", 0, "meta", "basicPropertyValues"), {"pred": f"{OIO}consider", "val": 7}),
        (("edges",), {"sub": f"{PURL}X_1", "pred": "is_a"}),
        (("edges",), {"sub": f"{PURL}Z_1", "pred": "is_a", "obj": f"{PURL}X_1"}),
        (("domainRangeAxioms", 0, "allValuesFromEdges"), None),
    ],
)
def test_a_part_of_a_graph_that_is_malformed_is_set_aside_alone(tmp_path: Path, where: Any, what: Any) -> None:
    sound = read_text(tmp_path, as_json(graph()), name="x.json")
    document = graph()
    place: Any = document
    for step in where:
        place = place[step]
    place.append(what)
    into = read_text(tmp_path, as_json(document), name="x.json")
    assert into.by_id == sound.by_id
    (rejection,) = into.rejected
    assert (rejection.line, rejection.text) == (None, json.dumps(what))
    assert rejection.reason.startswith("expected OBO Graph JSON, found")


def test_half_a_surrogate_pair_is_no_name(tmp_path: Path) -> None:
    into = read_text(tmp_path, as_json(graph()).replace("amaurotic", "\\ud800"), name="x.json")
    assert [name.text for name in into.by_id["X:1"].synonyms] == ["TSD"]
    assert len(into.rejected) == 1


def test_pronto_reads_the_repaired_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = '[Term]\nid: X:1\nname: one{\nis_a: X:404\nsynonym: "uno" LAY\nxref: http://a.b/c\\:d\n'
    assert len(read_text(tmp_path, text).repaired) == 5
    assert not caplog.records
