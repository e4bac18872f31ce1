"""A document that came as BioC goes out as it came, with concept ids added and nothing lost."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from belink.corpora.assemble import assemble
from belink.corpora.bioc import read_node
from belink.corpora.bioc_writer import document_node, json_document, xml_document
from belink.corpora.files import read_corpus, read_documents
from belink.corpora.links import write_links
from belink.corpora.raw import CorpusReport
from belink.records import Candidate, Document, Link, Mention

NODE: dict[str, Any] = {
    "id": "7",
    "infons": {"pmid": "7"},
    "passages": [
        {"offset": 0, "infons": {"type": "title"}, "text": "COPD in adults", "annotations": [], "relations": []},
        {
            "offset": 20, "infons": {"type": "abstract"}, "text": "We saw type 2 diabetes.",
            "annotations": [
                {"id": "T7", "infons": {"type": "Disease", "identifier": "MESH:D003924", "note": "x"},
                 "text": "type 2 diabetes", "locations": [{"offset": 27, "length": 15}]},
                {"id": "B1", "infons": {}, "text": "nowhere in it", "locations": [{"offset": 900, "length": 3}]},
            ],
            "relations": [{"id": "R1", "infons": {}, "nodes": [{"refid": "T7", "role": "a"}]}],
        },
    ],
    "relations": [{"id": "R0", "infons": {"type": "CID"}, "nodes": []}],
}  # fmt: skip


def opened(folder: Path, node: dict[str, Any]) -> Document:
    (folder / "in.json").write_text(json.dumps({"source": "s", "documents": [node]}))
    (document,) = read_documents(folder / "in.json")
    return document


def link_to(mention: Mention, identifier: str | None) -> Link:
    candidate = Candidate(id=identifier, label="L", name="n", ontology="o", release="1") if identifier else None
    return Link(mention=mention, candidate=candidate, probability=0.9)


def test_without_links_a_document_stays_as_it_came(tmp_path: Path) -> None:
    document = opened(tmp_path, NODE)
    assert document_node(document, {}) == NODE
    write_links([(document, [])], tmp_path / "out.json", {"linker": "l"})
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "source": "s", "date": "", "key": "", "infons": {"linker": "l"}, "documents": [NODE],
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".json", ".xml"])
def test_what_a_collection_says_of_itself_stays_in_both_formats(tmp_path: Path, suffix: str) -> None:
    infons = {"license": "CC0", "n": 2, "linker": "another"}
    given = {"source": "s", "date": "d", "key": "k", "infons": infons, "documents": [NODE, {**NODE, "id": "8"}]}
    (tmp_path / "in.json").write_text(json.dumps(given))
    documents = list(read_documents(tmp_path / "in.json"))
    write_links([(each, []) for each in documents], tmp_path / f"out{suffix}", {"linker": "l"})
    write_links([(each, []) for each in read_documents(tmp_path / f"out{suffix}")], tmp_path / "again.json", {})
    head = json.loads((tmp_path / "again.json").read_text())
    assert {key: head[key] for key in ("source", "date", "key")} == {"source": "s", "date": "d", "key": "k"}
    assert head["infons"] == {"license": "CC0", "n": "2", "linker": "l"}
    assert len(head["documents"]) == 2


def test_links_are_added_and_everything_else_stays(tmp_path: Path) -> None:
    document = opened(tmp_path, NODE)
    added = Mention(text="COPD", start=0, end=4, document="7")
    document = replace(document, mentions=(added, *document.mentions))
    (diabetes,) = document.mentions[1:]
    node = document_node(document, {added: link_to(added, "X:1"), diabetes: link_to(diabetes, "X:2")})
    expected = copy.deepcopy(NODE)
    common = {"probability": "0.9000", "label": "L", "ontology": "o", "release": "1"}
    expected["passages"][0]["annotations"] = [
        {"id": "B2", "infons": {"concept_id": "X:1", **common}, "text": "COPD",
         "locations": [{"offset": 0, "length": 4}]},
    ]  # fmt: skip
    expected["passages"][1]["annotations"][0]["infons"] |= {"gold_id": "MESH:D003924", "concept_id": "X:2", **common}
    assert node == expected


@pytest.mark.parametrize("kinds", [("Disease", "Symptom"), ("Disease", "Disease")])
def test_annotations_of_one_span_each_get_a_link(tmp_path: Path, kinds: tuple[str, str]) -> None:
    node = copy.deepcopy(NODE)
    first, *others = node["passages"][1]["annotations"]
    same = [
        {**copy.deepcopy(first), "id": f"T{number}", "infons": {"type": kind, "concept_id": f"MESH:{number}"}}
        for number, kind in enumerate(kinds)
    ]
    node["passages"][1]["annotations"] = [*same, *others]
    document = opened(tmp_path, node)
    links = {mention: link_to(mention, f"X:{mention.type}") for mention in document.mentions}
    infons = [each["infons"] for each in document_node(document, links)["passages"][1]["annotations"][:2]]
    assert [each["concept_id"] for each in infons] == [f"X:{kind}" for kind in kinds]
    assert [each["gold_id"] for each in infons] == ["MESH:0", "MESH:1"]


def test_xml_goes_out_as_it_came(tmp_path: Path) -> None:
    text = """<?xml version="1.0"?><collection><source>x</source><date/><key/><document><id>7</id>
<infon key="pmid">7</infon>
<passage><infon key="type">title</infon><offset>0</offset><text>COPD in adults</text></passage>
<passage><infon key="type">abstract</infon><offset>20</offset><sentence><offset>20</offset><text>We saw gout.</text>
<annotation id="T7"><infon key="type">Disease</infon><location offset="27" length="4"/><text>gout</text></annotation>
</sentence><relation id="R1"><infon key="type">CID</infon><node refid="T7" role="a"/></relation></passage>
<relation id="R0"><node refid="T7" role="b"/></relation></document></collection>"""
    (tmp_path / "in.xml").write_text(text)
    (document,) = read_documents(tmp_path / "in.xml")
    (gout,) = document.mentions
    write_links([(document, [link_to(gout, "X:2")])], tmp_path / "out.xml", {})
    shown = [etree.parse(tmp_path / name).getroot().find("document") for name in ("in.xml", "out.xml")]
    added = shown[1].xpath("//annotation/infon[@key != 'type']")
    assert {infon.get("key") for infon in added} == {"concept_id", "probability", "label", "ontology", "release"}
    for infon in added:
        infon.getparent().remove(infon)
    assert etree.parse(tmp_path / "out.xml").getroot().findtext("source") == "x"
    before, after = ([(e.tag, dict(e.attrib), (e.text or "").strip()) for e in document.iter()] for document in shown)
    assert before == after


WORD = st.text(st.sampled_from("aβ🧬-"), min_size=1, max_size=5)


@pytest.mark.parametrize("suffix", [".json", ".xml"])
@given(words=st.lists(WORD, min_size=2, max_size=8), blanks=st.integers(1, 5), in_bytes=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_added_mentions_are_read_again_where_they_were(
    tmp_path: Path, suffix: str, words: list[str], blanks: int, in_bytes: bool
) -> None:
    def measure(text: str) -> int:
        return len(text.encode()) if in_bytes else len(text)

    title, abstract = words[0] + " end", " ".join(words[1:])
    begin = measure(title) + blanks
    annotations = [{"id": "T", "infons": {}, "text": "end",
                    "locations": [{"offset": measure(title) - 3, "length": 3}]}]  # fmt: skip
    passages = [{"offset": 0, "text": title, "annotations": annotations}, {"offset": begin, "text": abstract}]
    document = opened(tmp_path, {"id": "1", "passages": passages})
    start = document.text.rindex(words[-1])
    added = Mention(text=words[-1], start=start, end=start + len(words[-1]), document="1")
    document = replace(document, mentions=(*document.mentions, added))
    write_links([(document, [link_to(added, "X:1")])], tmp_path / f"out{suffix}", {})
    (again,) = read_corpus(tmp_path / f"out{suffix}")
    assert again.text == document.text
    assert [(m.start, m.text) for m in again.mentions if m.gold] == [(start, words[-1])]


NESTED: dict[str, Any] = {
    **copy.deepcopy(NODE),
    "passages": [
        *copy.deepcopy(NODE["passages"]),
        {"offset": 60, "infons": {}, "sentences": [{"offset": 60, "infons": {}, "text": "And asthma.", "annotations": [
            {"id": "T8", "infons": {}, "text": "asthma", "locations": [{"offset": 64, "length": 6}]}]}]},
    ],
    "annotations": [{"id": "T9", "infons": {}, "text": "COPD", "locations": [{"offset": 0, "length": 4}]}],
}  # fmt: skip
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "x", "7", "²", "\x00"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "a"]), inner, max_size=2),
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_document_with_any_value_in_any_place_is_written_in_both_formats(data: st.DataObject) -> None:
    node = copy.deepcopy(NESTED)
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = node
        key: Any = data.draw(st.sampled_from(sorted(place)))
        while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            key = data.draw(
                st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1)
            )
        place[key] = data.draw(values)
    document = assemble(read_node(node), CorpusReport(), keep_source=True)
    added = [Mention(text=document.text[at], start=at, end=at + 1) for at in range(0, len(document.text), 9)]
    document = replace(document, mentions=(*document.mentions, *added))
    links = {mention: link_to(mention, "X:1") for mention in document.mentions}
    assert isinstance(json.loads(json_document(document, links)), dict)
    assert etree.fromstring(xml_document(document, links)).tag == "document"


def test_other_keys_of_a_collection_stay(tmp_path: Path) -> None:
    collection = {"bioctype": "BioCCollection", "version": 1, "source": "s", "documents": [NODE]}
    (tmp_path / "in.json").write_text(json.dumps(collection))
    write_links([(document, []) for document in read_documents(tmp_path / "in.json")], tmp_path / "out.json", {})
    written = json.loads((tmp_path / "out.json").read_text())
    assert {key: written[key] for key in ("bioctype", "version", "source")} == {
        "bioctype": "BioCCollection", "version": 1, "source": "s",
    }  # fmt: skip
