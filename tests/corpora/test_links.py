"""Links go out in the format that the file's suffix stands for, whole or not at all, and can be read again."""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from lxml import etree

from belink.corpora.files import read_corpus
from belink.corpora.links import output_format, write_links
from belink.errors import CorpusError
from belink.records import Candidate, Document, Link, Mention
from tests.corpora.test_files import DOCUMENT, filled

LINEAGE = {"linker": "disease", "model_version": "3", "releases": "mesh=2025 & <b>"}
CORPUS_SUFFIXES = [".xml", ".json", ".pubtator"]


def linked(mention: Mention, identifier: str | None) -> Link:
    candidate = (
        Candidate(id=identifier, label="Délire <b>", name="d", ontology="mesh", release="2025") if identifier else None
    )
    return Link(mention=mention, candidate=candidate, probability=0.91)


def three_links(document: Document) -> list[Link]:
    """The first mention linked to another id than its gold, the third to NIL, the second left alone."""
    return [linked(document.mentions[0], "MESH:D000001"), linked(document.mentions[2], None)]


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("suffix", CORPUS_SUFFIXES)
def test_a_linked_id_takes_the_place_of_the_gold_id(tmp_path: Path, suffix: str, packed: str) -> None:
    document = filled(DOCUMENT)
    path = tmp_path / f"out{suffix}{packed}"
    assert write_links([(document, three_links(document))], path, LINEAGE) == (1, 2)
    content = path.read_bytes()
    written = (gzip.decompress(content) if packed else content).decode()
    assert ("<b>" in written) == (suffix == ".json")  # XML escapes it; PubTator has no place for labels
    (again,) = read_corpus(path)
    assert [mention.gold for mention in again.mentions[:2]] == [
        ("MESH:D000001",),
        ("MESH:D001943", "OMIM:114480"),
    ]
    assert again.mentions[2].is_nil


def test_a_bioc_collection_carries_the_lineage(tmp_path: Path) -> None:
    pairs = [(replace(DOCUMENT, id=name), []) for name in ("1", "2")]
    write_links(pairs, tmp_path / "x.json", LINEAGE)
    node = json.loads((tmp_path / "x.json").read_text())
    assert node["infons"] == LINEAGE and [document["id"] for document in node["documents"]] == ["1", "2"]
    write_links(pairs, tmp_path / "x.xml", LINEAGE)
    root = etree.parse(tmp_path / "x.xml").getroot()
    assert {infon.get("key"): infon.text for infon in root.iterchildren("infon")} == LINEAGE
    # In the order that the DTD asks for.
    assert [child.tag for child in root] == [
        "source",
        "date",
        "key",
        *["infon"] * 3,
        *["document"] * 2,
    ]


def test_json_lines_hold_id_links_and_lineage(tmp_path: Path) -> None:
    document = filled(DOCUMENT)
    write_links([(document, three_links(document)), (replace(DOCUMENT, id="2"), [])], tmp_path / "x.jsonl.gz", LINEAGE)
    first, second = map(json.loads, gzip.decompress((tmp_path / "x.jsonl.gz").read_bytes()).splitlines())
    assert list(first) == ["id", "links", "lineage"] and first["lineage"] == LINEAGE
    assert [(link["text"], link["id"]) for link in first["links"]] == [
        ("delirium", "MESH:D000001"), ("β-thalassaemia", None),
    ]  # fmt: skip
    assert (second["id"], second["links"]) == ("2", [])


def test_parquet_has_a_row_a_link(tmp_path: Path) -> None:
    document = filled(DOCUMENT)
    assert write_links([(document, three_links(document))], tmp_path / "x.parquet", LINEAGE) == (1, 2)
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [(row["document"], row["id"], row["linker"]) for row in rows] == [
        ("8701013", "MESH:D000001", "disease"), ("8701013", None, "disease"),
    ]  # fmt: skip


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t"), (".tsv.gz", "\t")])
def test_a_spreadsheet_has_a_row_a_link_and_no_formula(tmp_path: Path, suffix: str, delimiter: str) -> None:
    starts = ["=HYPERLINK(1)", "+1", "-5 %", "@SUM", "\tx", "\rx", 'a "b",\nc\td', "plain = 1"]
    mentions = [Mention(text=text, start=i, end=i + len(text), document="=7") for i, text in enumerate(starts)]
    document = Document(id="=7", text="", mentions=tuple(mentions))
    links = [*(linked(mention, "MESH:D1") for mention in mentions[:-1]), linked(mentions[-1], None)]
    assert write_links([(document, links)], tmp_path / f"x{suffix}", LINEAGE) == (1, len(starts))
    content = (tmp_path / f"x{suffix}").read_bytes()
    text = (gzip.decompress(content) if suffix.endswith(".gz") else content).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    assert [row["text"] for row in rows] == [*(f"'{start}" for start in starts[:6]), *starts[6:]]
    assert {row["document"] for row in rows} == {"'=7"}
    assert [(row["id"], row["label"], row["probability"]) for row in rows[-2:]] == [
        ("MESH:D1", "Délire <b>", "0.91"), ("", "", "0.91"),
    ]  # fmt: skip
    assert rows[0]["linker"] == "disease" and rows[0]["bundle"] == ""


@pytest.mark.parametrize("name", ["x.docx", "x", "x.txt", "x.gz", "x.parquet.gz", "x.xml.zip"])
def test_a_suffix_that_stands_for_no_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CorpusError, match="expected a name that ends in"):
        output_format(tmp_path / name)
    with pytest.raises(CorpusError, match="name the output by its format"):
        write_links([], tmp_path / name, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [*CORPUS_SUFFIXES, ".jsonl", ".csv", ".parquet"])
def test_nothing_is_left_where_linking_fails_half_way(tmp_path: Path, suffix: str) -> None:
    def failing() -> Iterator[tuple[Document, Sequence[Link]]]:
        yield DOCUMENT, []
        raise RuntimeError("half way")

    (tmp_path / f"x{suffix}").write_text("as before")
    with pytest.raises(RuntimeError):
        write_links(failing(), tmp_path / f"x{suffix}", LINEAGE)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["as before"]


def test_a_suffix_counts_in_capitals_too(tmp_path: Path) -> None:
    assert output_format(tmp_path / "CDR.PubTator") == "pubtator"
