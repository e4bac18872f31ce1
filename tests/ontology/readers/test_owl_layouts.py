"""RDF/XML in the layouts that different tools write gives the same concepts, with the names of every usual property."""

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


@pytest.mark.parametrize("text", [NESTED, FLAT], ids=["nested", "flat"])
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
