import gzip
from pathlib import Path

import pytest

from belink.errors import CorpusError
from belink.ontology.term_changes import TermChanges, read_terms, term_changes
from tests.support.made_releases import concept, release

OLD = (
    concept(1, "asthma"),
    concept(2, "gout", "podagra"),
    concept(3, "scurvy"),
    concept(4, "rickets"),
    concept(5, "plague"),
    concept(6, "obsolete croup", obsolete=True),
    concept(7, "deficiency", alt_ids=(70,)),
    concept(8, "cold"),
    concept(9, "obsolete grippe", obsolete=True, replaced_by=(8,)),
)
NEW = (
    concept(1, "Asthma"),
    concept(2, "gout"),
    concept(3, "obsolete scurvy", obsolete=True, replaced_by=(7,)),
    concept(5, "obsolete plague", obsolete=True, consider=(8, 7)),
    concept(6, "croup"),
    concept(7, "deficiency", "podagra", alt_ids=(70,)),
    concept(8, "cold", "common cold"),
    concept(9, "obsolete grippe", obsolete=True, replaced_by=(8,)),
)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("releases")
    return release(folder / "1", *OLD), release(folder / "2", *NEW)


def changes(two: tuple[Path, Path], *local: int) -> TermChanges:
    return term_changes(*two, {f"X:{each}": f"X:{each}" for each in local})


def test_each_id_has_one_fate(two: tuple[Path, Path]) -> None:
    found = changes(two, 1, 3, 4, 5, 6)
    assert {kind: list(rows) for kind, rows in found.changes.items() if rows} == {
        "merged": [{"id": "X:3", "label": "scurvy", "into": "X:7"}],
        "obsoleted": [{"id": "X:5", "label": "plague", "consider": "X:7, X:8"}],
        "removed": [{"id": "X:4", "label": "rickets"}],
        "reinstated": [{"id": "X:6", "label": "croup"}],
        "relabelled": [{"id": "X:1", "was": "asthma", "is": "Asthma"}],
    }
    assert (found.n_ids, found.stale, found.unknown) == (5, [], [])


@pytest.mark.parametrize("local", [2, 7])
def test_a_moved_name_touches_both_ends(two: tuple[Path, Path], local: int) -> None:
    moved = {"name": "podagra", "from": "X:2", "to": "X:7"}
    assert list(changes(two, local).changes["names_moved"]) == [moved]


def test_changes_of_other_ids_and_new_names_touch_nothing(two: tuple[Path, Path]) -> None:
    found = changes(two, 8)
    assert not found.is_touched
    assert "No change touches these ids." in found.markdown()


def test_ids_that_were_dead_before_and_unknown_ones_are_named_and_touch_nothing(two: tuple[Path, Path]) -> None:
    found = term_changes(*two, {"X:8": "X:8", "X:9": "X:9", "X:70": "X_70", "X:99": "x_99", "Y:1": "Y:1"})
    assert found.stale == [{"id": "X:70", "into": "X:7"}, {"id": "X:9", "into": "X:8"}]
    assert found.unknown == ["x_99", "Y:1"]
    assert not found.is_touched


def test_a_list_of_another_ontology_is_an_error(two: tuple[Path, Path]) -> None:
    with pytest.raises(CorpusError, match=r"expected ids of x \(X\), found none that a release knows, such as 'Y:1'"):
        term_changes(*two, {"Y:1": "Y:1"})


def test_a_list_takes_every_form_of_an_id_and_comments(two: tuple[Path, Path], tmp_path: Path) -> None:
    lines = [
        "\ufeff# my terms", "X:001", "x_002  # a comment", "http://purl.obolibrary.org/obo/X_003", "  X:001", "",
        "https://bioregistry.io/x:004", "005", "https://elsewhere.org/a#b",
    ]  # fmt: skip
    path = tmp_path / "terms"
    path.write_bytes(gzip.compress("\r\n".join(lines).encode()))
    assert read_terms(path, two) == {
        "X:001": "X:001",
        "X:002": "x_002",
        "X:003": "http://purl.obolibrary.org/obo/X_003",
        "X:004": "https://bioregistry.io/x:004",
        "X:005": "005",
        "https://elsewhere.org/a#b": "https://elsewhere.org/a#b",
    }


def test_a_list_may_be_a_column(two: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "terms.CSV"
    path.write_text('code,term\nA1,X:001\nA2,"X_002|X:003"\n')
    assert [*read_terms(path, two, "term")] == ["X:001", "X:002", "X:003"]
    with pytest.raises(CorpusError, match="found the columns code, term; say which with --column"):
        read_terms(path, two)


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        (b"# only a comment\n", None, "one id a line"),
        (b"X:1\n", "id", r"\.csv or \.tsv"),
        (b"\x1f\x8b\x08", None, "readable"),
    ],
)
def test_a_list_that_cannot_be_read_is_one_line(
    two: tuple[Path, Path], tmp_path: Path, content: bytes, column: str | None, message: str
) -> None:
    path = tmp_path / "terms.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_terms(path, two, column)
