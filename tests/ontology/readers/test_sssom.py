"""SSSOM mapping sets: into a release's cross-references, and out of them."""

from pathlib import Path

import pytest

from belink.errors import SourceError
from belink.ontology.ingest import ingest
from belink.ontology.readers import sssom
from belink.ontology.release import open_release
from belink.ontology.release_writer import ReleaseWriter
from belink.settings import Settings
from tests.support.made_releases import concept, obo, source
from tests.support.read_sources import write

HEAD = (
    "#curie_map:\n#  X: https://example.org/X_\n#mapping_set_id: https://example.org/set\n"
    "#license: https://creativecommons.org/publicdomain/zero/1.0/\n"
)
COLUMNS = ("subject_id", "subject_label", "predicate_id", "predicate_modifier", "object_id", "mapping_justification")


def row(subject: str, predicate: str, other: str, modifier: str = "") -> str:
    return (
        "\t".join((subject, "label, with\u2028text", predicate, modifier, other, "semapv:ManualMappingCuration")) + "\n"
    )


def mapped(
    folder: Path, text: str | bytes, name: str = "m.sssom.tsv", *, packed: bool = False
) -> dict[str, list[tuple]]:  # type: ignore[type-arg]
    """A release of X:1 to X:3 (X:1 with one xref) after the mappings were read."""
    folder.mkdir(exist_ok=True)
    path = write(folder / name, text, packed=packed)
    with ReleaseWriter(folder / "release.duckdb", source()) as into:
        into.concepts([concept(1, "a", xrefs=("A:1",)), concept(2, "b"), concept(3, "c")])
        added = sssom.read([path], into)
        tables = {t: into.sql(f"SELECT * FROM {t} ORDER BY rowid") for t in ("xref", "relationship", "rejection")}
    assert added == len(tables["xref"]) + len(tables["relationship"]) - 1
    assert {p.name for p in folder.iterdir()} == {name, "release.duckdb"}
    return tables


@pytest.mark.parametrize("packed", [False, True])
def test_mappings_of_sameness_become_xrefs_from_both_ends(tmp_path: Path, packed: bool) -> None:
    text = HEAD + "\t".join(COLUMNS) + "\n"
    text += row("X:2", "skos:exactMatch", "B:7") + row("B:8", "oboInOwl:hasDbXref", "X:3")
    text += (
        row("X:2", "owl:equivalentClass", "X:3")
        + row("X:1", "skos:exactMatch", "A:1")
        + row("X:2", "skos:closeMatch", "B:7")
    )
    text += row("X:3", "skos:exactMatch", "X:3")
    found = mapped(tmp_path / "r", text, packed=packed)
    assert found["xref"] == [
        ("X:1", "A:1"), ("X:2", "B:7"), ("X:3", "B:8"), ("X:2", "X:3"), ("X:3", "X:2"),
    ]  # fmt: skip
    assert found["rejection"] == []


def test_broader_and_narrower_mappings_keep_their_predicate(tmp_path: Path) -> None:
    text = "\t".join(COLUMNS) + "\n" + row("X:1", "skos:broadMatch", "B:1") * 2 + row("B:2", "skos:narrowMatch", "X:2")
    found = mapped(tmp_path / "r", text)
    assert found["relationship"] == [("X:1", "skos:broadMatch", "B:1"), ("X:2", "skos:broadMatch", "B:2")]
    assert len(found["xref"]) == 1


def test_a_relationship_is_kept_from_its_object_end_or_set_aside(tmp_path: Path) -> None:
    text = "\t".join(COLUMNS) + "\n" + row("B:3", "skos:broadMatch", "X:1") + row("B:3", "skos:relatedMatch", "X:1")
    text += row("X:2", "skos:narrowMatch", "X:3") + row("B:4", "example:causes", "X:1")
    tables = mapped(tmp_path / "r", text)
    assert tables["relationship"] == [
        ("X:1", "skos:narrowMatch", "B:3"),
        ("X:1", "skos:relatedMatch", "B:3"),
        ("X:2", "skos:narrowMatch", "X:3"),
        ("X:3", "skos:broadMatch", "X:2"),
    ]
    ((_, text, reason, _),) = tables["rejection"]
    assert text == "B:4 example:causes X:1" and "no inverse" in reason


def test_ids_of_the_release_count_in_every_form(tmp_path: Path) -> None:
    text = "\t".join(COLUMNS) + "\n" + row("http://purl.obolibrary.org/obo/X_2", "skos:exactMatch", "B:5")
    text += row("B:6", "skos:exactMatch", "x:3") + row("https://bioregistry.io/x:2", "skos:broadMatch", "B:7")
    tables = mapped(tmp_path / "r", text)
    assert tables["xref"] == [("X:1", "A:1"), ("X:2", "B:5"), ("X:3", "B:6")]
    assert tables["relationship"] == [("X:2", "skos:broadMatch", "B:7")]
    assert tables["rejection"] == []


def test_negated_mappings_and_those_to_nothing_are_left_out(tmp_path: Path) -> None:
    text = "\t".join(COLUMNS) + "\n" + row("X:1", "skos:exactMatch", "B:1", "Not")
    text += row("X:2", "skos:exactMatch", "sssom:NoTermFound") + row("sssom:NoTermFound", "skos:exactMatch", "X:2")
    found = mapped(tmp_path / "r", text)
    assert found["xref"] == [("X:1", "A:1")]
    assert found["rejection"] == []


def test_an_unusable_mapping_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    text = (
        "\t".join(COLUMNS)
        + "\n"
        + row("B:1", "skos:exactMatch", "B:2")
        + row("X:1", "skos:exactMatch", "https://a.org/b")
    )
    text += "X:1\tskos:exactMatch\n" + row("X:1", "skos:exactMatch", "") + row("no curie", "skos:exactMatch", "X:1")
    text += row("X:1", "skos:exactMatch", "B:9")
    found = mapped(tmp_path / "r", text.encode() + row("X:1", "skos:exactMatch", "?:1").encode().replace(b"?", b"\xe9"))
    assert found["xref"] == [("X:1", "A:1"), ("X:1", "B:9")]
    assert sorted(
        (line, reason.removeprefix("m.sssom.tsv: ")) for line, _, reason, _ in found["rejection"] if line
    ) == [
        (4, "expected 6 columns, found 2"),
        (5, "expected a value in object_id, found none"),
        (8, "expected UTF-8, found other bytes"),
    ]
    assert sorted(reason for line, _, reason, _ in found["rejection"] if line is None) == [
        "m.sssom.tsv: expected two CURIEs",
        "m.sssom.tsv: expected two CURIEs",
        "m.sssom.tsv: neither end is a concept of the release",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "found ''"),
        (HEAD, "found ''"),
        ("subject_id\tobject_id\nX:1\tB:1\n", "with predicate_id, found"),
        ("subject_id,predicate_id,object_id\nX:1,skos:exactMatch,B:1\n", "expected SSSOM, a tab-separated table"),
    ],
)
def test_an_invalid_mapping_set_is_one_clear_error(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint):
        mapped(tmp_path / "r", text)


@pytest.mark.parametrize(
    ("name", "told"), [("m.sssom.tsv", True), ("m.SSSOM.tsv.gz", True), ("m.tsv", False), ("sssom.tsv.bak", False)]
)
def test_mapping_sets_are_recognised_by_name(name: str, told: bool) -> None:
    assert sssom.is_mapping_set(Path(name)) is told


def test_mapping_sets_beside_an_ontology_are_ingested_with_it(tmp_path: Path, here: Settings) -> None:
    ontology = write(tmp_path / "x.obo", obo(concept(1, "one"), concept(2, "two")))
    rows = "\t".join(COLUMNS) + "\n" + row("X:1", "skos:exactMatch", "B:1") + row("C:1", "skos:exactMatch", "B:1")
    mappings = write(tmp_path / "x.sssom.tsv.gz", rows, packed=True)
    first = ingest(source(), [ontology], here)
    both = ingest(source(), [ontology, mappings], here, version="2025-01-01-mapped", refuse=False)
    assert (both.new, both.concepts, both.rejected) == (True, first.concepts, 1)
    assert not ingest(source(), [mappings, ontology], here, version="2025-01-01-mapped").new
    with open_release(both.path) as opened:
        found = opened.concept("X:1")
    assert found and found.xrefs == ("B:1",)
