"""RDF/XML in the layouts that different tools write gives the same concepts, with the names of every usual property."""

import json
import re
from pathlib import Path

import pytest

from belink.declarations import NamesKept, SourceConfig, undeclared_source
from belink.ontology.readers.obo import reader
from tests.support.read_sources import Read, read, write

PURL = "http://purl.obolibrary.org/obo/"
HEAD = f"""<?xml version="1.0"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:owl="http://www.w3.org/2002/07/owl#"
 xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#" xmlns:obo="{PURL}" xmlns:skos="http://www.w3.org/2004/02/skos/core#"
 xmlns:oboInOwl="http://www.geneontology.org/formats/oboInOwl#" xmlns:my="http://example.org/my#"
 xml:base="{PURL}z.owl">"""
NESTED = f"""{HEAD}
<owl:Ontology rdf:about="{PURL}z.owl"><owl:versionInfo>2024-04-01</owl:versionInfo></owl:Ontology>
<owl:Class rdf:about="{PURL}Z_1"><rdfs:label xml:lang="en">kidney stone</rdfs:label>
 <oboInOwl:hasExactSynonym>KS</oboInOwl:hasExactSynonym>
 <rdfs:subClassOf><owl:Class rdf:about="{PURL}Z_2"><rdfs:label>kidney disorder</rdfs:label>
  <rdfs:subClassOf><owl:Class rdf:about="{PURL}Z_3"/></rdfs:subClassOf></owl:Class></rdfs:subClassOf>
 <rdfs:subClassOf><owl:Restriction><owl:onProperty rdf:resource="{PURL}RO_0004026"/>
  <owl:someValuesFrom><owl:Class rdf:about="{PURL}UBERON_1"/></owl:someValuesFrom></owl:Restriction></rdfs:subClassOf>
</owl:Class>
<owl:Class rdf:about="{PURL}Z_3"><rdfs:label>disorder</rdfs:label></owl:Class>
<owl:Axiom><owl:annotatedSource rdf:resource="{PURL}Z_1"/>
 <owl:annotatedProperty rdf:resource="http://www.geneontology.org/formats/oboInOwl#hasExactSynonym"/>
 <owl:annotatedTarget>KS</owl:annotatedTarget><oboInOwl:hasSynonymType rdf:resource="{PURL}OMO_0003000"/></owl:Axiom>
</rdf:RDF>"""
OWL = "http://www.w3.org/2002/07/owl#"
FLAT = f"""{HEAD}
<rdf:Description rdf:about="{PURL}z.owl"><rdf:type rdf:resource="{OWL}Ontology"/>
 <owl:versionInfo>2024-04-01</owl:versionInfo></rdf:Description>
<rdf:Description rdf:about="{PURL}Z_1"><rdf:type rdf:resource="{OWL}Class"/><rdfs:label>kidney stone</rdfs:label>
 <oboInOwl:hasExactSynonym>KS</oboInOwl:hasExactSynonym><rdfs:subClassOf rdf:resource="{PURL}Z_2"/>
 <rdfs:subClassOf rdf:nodeID="N1"/></rdf:Description>
<rdf:Description rdf:about="{PURL}Z_2"><rdfs:label>kidney disorder</rdfs:label>
 <rdfs:subClassOf rdf:resource="{PURL}Z_3"/><rdf:type rdf:resource="{OWL}Class"/></rdf:Description>
<rdf:Description rdf:about="{PURL}Z_3"><rdf:type rdf:resource="{OWL}Class"/><rdfs:label>disorder</rdfs:label>
</rdf:Description>
<rdf:Description rdf:nodeID="N1"><rdf:type rdf:resource="{OWL}Restriction"/>
 <owl:onProperty rdf:resource="{PURL}RO_0004026"/><owl:someValuesFrom rdf:resource="{PURL}UBERON_1"/></rdf:Description>
<rdf:Description rdf:nodeID="N2"><rdf:type rdf:resource="{OWL}Axiom"/>
 <owl:annotatedSource rdf:resource="{PURL}Z_1"/>
 <owl:annotatedProperty rdf:resource="http://www.geneontology.org/formats/oboInOwl#hasExactSynonym"/>
 <owl:annotatedTarget>KS</owl:annotatedTarget><oboInOwl:hasSynonymType rdf:resource="{PURL}OMO_0003000"/>
</rdf:Description></rdf:RDF>"""


def read_owl(folder: Path, text: str, source: SourceConfig | None = None) -> Read:
    return read(reader.read, [write(folder / "z.owl", text)], source or undeclared_source("z", "owl"))


def one_each(text: str) -> str:
    """``text`` with a description for each statement, as rapper writes them."""
    described = re.compile(r"(<rdf:Description [^>]*>)(.*?)</rdf:Description>", re.DOTALL)
    statement = re.compile(r"<([\w:]+)[^>]*?(?:/>|>[^<]*</\1>)")
    return described.sub(lambda d: "".join(f"{d[1]}{s[0]}</rdf:Description>" for s in statement.finditer(d[2])), text)


LAYOUTS = {
    "nested": NESTED,
    "flat": FLAT,
    "a description for each statement": one_each(FLAT),
    "relative addresses": re.sub(rf'(rdf:\w+=")({PURL})', r"\1", NESTED),
    "restriction as a resource": re.sub(
        r"<rdfs:subClassOf><owl:Restriction>(.*?)</owl:Restriction>",
        r'<rdfs:subClassOf rdf:parseType="Resource">\1', NESTED, flags=re.DOTALL),
    "restriction as a description": re.sub(r"(</?)owl:Restriction>", r"\1rdf:Description>", NESTED),
    "axiom with elements": re.sub(
        r'<(owl:annotated(?:Source|Property)|oboInOwl:hasSynonymType) rdf:resource="([^"]*)"/>',
        r'<\1><rdf:Description rdf:about="\2"/></\1>', NESTED),
    "other classes": NESTED.replace("owl:Class", "rdfs:Class"),
    "below elements of other kinds": NESTED.replace(
        f'<owl:Class rdf:about="{PURL}Z_3">', f'<owl:AllDisjointClasses><owl:members rdf:parseType="Collection">'
        f'<owl:Class rdf:about="{PURL}Z_3">').replace(
        "<owl:Axiom>", "</owl:members></owl:AllDisjointClasses><owl:Axiom>"),
}  # fmt: skip


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_gives_the_same_concepts(tmp_path: Path, text: str) -> None:
    result = read_owl(tmp_path, text)
    assert result.version == "2024-04-01"
    assert result.labels() == {"Z:1": "kidney stone", "Z:2": "kidney disorder", "Z:3": "disorder"}
    assert sorted(result.tables["parent"]) == [("Z:1", "Z:2"), ("Z:2", "Z:3")]
    assert result.tables["relationship"] == [("Z:1", "RO:0004026", "UBERON:1")]
    assert [row[1:4] for row in result.tables["name"] if row[2] == "exact"] == [("KS", "exact", "OMO:0003000")]


NAMES = f"""{HEAD}
<owl:Ontology rdf:about="{PURL}z.owl"><owl:versionInfo>2024-04-01</owl:versionInfo></owl:Ontology>
<owl:Class rdf:about="{PURL}Z_3"><rdfs:label>disorder</rdfs:label><obo:IAO_0000118>illness</obo:IAO_0000118>
 <skos:altLabel>sickness</skos:altLabel><skos:prefLabel>disorder of a body</skos:prefLabel>
 <skos:prefLabel>disorder</skos:prefLabel><my:tradeName>Bodex</my:tradeName><my:weight>3</my:weight></owl:Class>
<owl:Class rdf:about="{PURL}Z_4"><skos:prefLabel>a thing</skos:prefLabel><my:tradeName>Thingy</my:tradeName></owl:Class>
</rdf:RDF>"""


ATTRIBUTES = f"""{HEAD}
<owl:Ontology rdf:about="{PURL}z.owl" owl:versionInfo="2024-04-01"/>
<owl:Class rdf:about="{PURL}Z_1" rdfs:label="kidney stone" oboInOwl:hasExactSynonym="KS"/>
<rdf:Description rdf:about="{PURL}Z_2" rdf:type="{OWL}Class" rdfs:label="kidney disorder"/>
</rdf:RDF>"""


def test_literals_may_be_attributes(tmp_path: Path) -> None:
    result = read_owl(tmp_path, ATTRIBUTES)
    assert result.version == "2024-04-01"
    assert sorted(result.names("Z:1")) == [("KS", "exact"), ("kidney stone", "label")]
    assert result.labels()["Z:2"] == "kidney disorder"


def test_text_behind_a_comment_in_markup_and_in_the_language_of_what_is_around_it_is_read(tmp_path: Path) -> None:
    labels = (
        "<rdfs:label>Nierenstein</rdfs:label><rdfs:label xml:lang='en'>kidney<!-- a --> stone</rdfs:label>"
        "<skos:altLabel rdf:parseType='Literal'>renal <b>calculus</b></skos:altLabel>"
    )
    head = HEAD.replace("<rdf:RDF ", "<rdf:RDF xml:lang='de' ")
    version = f'<owl:Ontology rdf:about="{PURL}z.owl"><owl:versionInfo>1</owl:versionInfo></owl:Ontology>'
    text = f'{head}{version}<owl:Class rdf:about="{PURL}Z_1">{labels}</owl:Class></rdf:RDF>'
    assert read_owl(tmp_path, text).names("Z:1")[0] == ("kidney stone", "label")
    assert {name for name, _ in read_owl(tmp_path, text).names("Z:1")} == {
        "kidney stone", "Nierenstein", "renal calculus",
    }  # fmt: skip


OBO_NAMES = """format-version: 1.4
data-version: 2024-04-01

[Term]
id: Z:3
name: disorder
property_value: IAO:0000118 "illness" xsd:string
property_value: skos:altLabel "sick\\"ness" xsd:string {source="x"}
property_value: skos:prefLabel "disorder of a body" xsd:string
property_value: skos:prefLabel "disorder" xsd:string
property_value: http://www.ebi.ac.uk/efo/alternative_term "ailment" xsd:string
property_value: http://example.org/my#tradeName "Bodex" xsd:string
property_value: X:7 "one of a product" xsd:string
property_value: X:8 "a note" xsd:string
property_value: skos:exactMatch X:1

[Term]
id: Z:4
property_value: skos:prefLabel "a thing" xsd:string

[Typedef]
id: X:7
name: trade name

[Typedef]
id: X:8
name: term editor
"""


def test_names_under_other_properties_of_obo_are_read_or_counted(tmp_path: Path) -> None:
    result = read(reader.read, [write(tmp_path / "z.obo", OBO_NAMES)], undeclared_source("z", "obo"))
    assert sorted(result.names("Z:3")) == [
        ("ailment", "exact"), ("disorder", "label"), ("disorder of a body", "exact"), ("illness", "exact"),
        ('sick"ness', "exact"),
    ]  # fmt: skip
    assert result.labels()["Z:4"] == "a thing"
    assert sorted(row[1] for row in result.tables["rejection"]) == [
        "X:7 (trade name)", "http://example.org/my#tradeName",
    ]  # fmt: skip


@pytest.mark.parametrize("local", ["hiddenLabel", "P90", "brandName", "officialSynonym"])
@pytest.mark.parametrize("owl", [True, False])
def test_a_property_that_looks_like_one_of_names_by_its_id_or_its_label_is_counted(
    tmp_path: Path, local: str, owl: bool
) -> None:
    iri = f"http://example.org/my#{local}"
    if owl:
        text = NAMES.split("<owl:Class")[0] + (
            f'<owl:Class rdf:about="{PURL}Z_3"><rdfs:label>a</rdfs:label><my:{local}>b</my:{local}></owl:Class>'
            f'<owl:AnnotationProperty rdf:about="{iri}"><rdfs:label>FULL_SYN</rdfs:label></owl:AnnotationProperty>'
            "</rdf:RDF>"
        )
    else:
        values = {"basicPropertyValues": [{"pred": iri, "val": "b"}]}
        nodes = [
            {"id": f"{PURL}Z_3", "type": "CLASS", "lbl": "a", "meta": values},
            {"id": iri, "type": "PROPERTY", "lbl": "FULL_SYN"},
        ]
        text = json.dumps({"graphs": [{"id": "z", "nodes": nodes, "edges": []}]})
    ((_, named, reason, _),) = read_owl(tmp_path, text).tables["rejection"]
    assert named == f"{iri} (FULL_SYN)" and reason.startswith("1 values that look like names")


def test_names_under_other_properties_are_read_or_counted(tmp_path: Path) -> None:
    result = read_owl(tmp_path, NAMES)
    assert sorted(result.names("Z:3")) == [
        ("disorder", "label"), ("disorder of a body", "exact"), ("illness", "exact"), ("sickness", "exact"),
    ]  # fmt: skip
    assert result.labels()["Z:4"] == "a thing"
    ((_, iri, reason, _),) = result.tables["rejection"]
    assert iri == "http://example.org/my#tradeName" and reason.startswith("2 values that look like names")


@pytest.mark.parametrize("property", ["http://example.org/my#tradeName", "tradeName"])
def test_a_declared_property_holds_names(tmp_path: Path, property: str) -> None:
    source = undeclared_source("z", "owl").model_copy(update={"names": NamesKept(properties={property: "broad"})})
    result = read_owl(tmp_path, NAMES, source)
    assert ("Bodex", "broad") in result.names("Z:3")
    assert result.tables["rejection"] == []
