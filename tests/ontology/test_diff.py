import json
import time
from pathlib import Path

import pytest

from belink.errors import ReleaseError
from belink.ontology.diff import diff
from tests.support.made_releases import concept, real_mondo, release, with_data

OLD = (
    concept(1, "asthma", "bronchial asthma"),
    concept(2, "gout", "gouty arthritis", "podagra"),
    concept(3, "scurvy"),
    concept(4, "rickets", "rachitis"),
    concept(5, "plague"),
    concept(6, "obsolete croup", obsolete=True),
    concept("Y:1", "another ontology's"),
)
NEW = (
    concept(1, "Asthma", "bronchial asthma", "reactive airway disease"),
    concept(2, "gout", "gouty arthritis"),
    concept(3, "obsolete scurvy", obsolete=True, replaced_by=(7,)),
    concept(5, "obsolete plague", obsolete=True),
    concept(6, "croup"),
    concept(7, "vitamin C deficiency", "scurvy", "podagra", alt_ids=(4,)),
    concept("Y:2", "another of another ontology"),
)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("releases")
    return release(folder / "1", *OLD), release(folder / "2", *NEW)


def test_every_change_is_counted_once_in_its_class(two: tuple[Path, Path]) -> None:
    change = diff(*two)
    assert (change.added, change.removed, change.obsoleted, change.reinstated) == (1, 1, 2, 1)
    assert (change.merged, change.relabelled) == (2, 1)
    assert change.live == (5, 4)


def test_replaced_by_and_alternative_ids_count_as_merges(two: tuple[Path, Path]) -> None:
    assert list(diff(*two).examples["merged"]) == [
        {"id": "X:3", "label": "scurvy", "into": "X:7"},
        {"id": "X:4", "label": "rickets", "into": "X:7"},
    ]


def test_names_are_pairs_of_concept_and_text(two: tuple[Path, Path]) -> None:
    change = diff(*two)
    # Gained: Asthma, reactive airway disease (1), croup (6), vitamin C deficiency, scurvy, podagra (7).
    assert change.names_added == 6
    # Lost: asthma (1), podagra (2), scurvy (3), rickets, rachitis (4), plague (5).
    assert change.names_removed == 6


def test_a_name_has_moved_when_the_old_concept_lost_it_and_another_one_gained_it(two: tuple[Path, Path]) -> None:
    assert list(diff(*two).examples["names_moved"]) == [
        {"name": "podagra", "from": "X:2", "to": "X:7"},
        {"name": "scurvy", "from": "X:3", "to": "X:7"},
    ]


def test_a_name_that_the_old_concept_keeps_has_not_moved(tmp_path: Path) -> None:
    old = release(tmp_path / "1", concept(1, "cold", "chill"), concept(2, "fever"))
    new = release(tmp_path / "2", concept(1, "cold", "chill"), concept(2, "fever", "chill"))
    change = diff(old, new)
    assert (change.names_added, change.names_removed, change.names_moved) == (1, 0, 0)


def test_a_release_does_not_differ_from_itself(two: tuple[Path, Path]) -> None:
    change = diff(two[0], two[0])
    assert not any(value for value in vars(change).values() if isinstance(value, int))


def test_merges_that_run_in_a_circle_end(tmp_path: Path) -> None:
    old = release(tmp_path / "1", concept(1, "a"), concept(2, "b"))
    new = release(
        tmp_path / "2",
        concept(1, "a", obsolete=True, replaced_by=(2,)),
        concept(2, "b", obsolete=True, replaced_by=(1,)),
    )
    assert (diff(old, new).obsoleted, diff(old, new).merged) == (2, 0)


def test_special_characters_in_names_do_not_break_the_table(tmp_path: Path) -> None:
    old = release(tmp_path / "1", concept(1, "a|b\\"))
    new = release(tmp_path / "2", concept(1, "a\nb"), concept(2, None))
    report = diff(old, new).markdown()
    assert "| relabelled | 1 |" in report
    assert "| X:1 | a\\|b\\\\ | a b |" in report
    assert all(line.startswith(("|", "#")) or not line for line in report.splitlines())


def test_examples_are_the_first_in_order_and_limited(tmp_path: Path) -> None:
    old = release(tmp_path / "1", concept(0, "kept"))
    new = release(tmp_path / "2", concept(0, "kept"), *(concept(f"{n:03}", f"n{n}") for n in reversed(range(1, 60))))
    change = diff(old, new, examples=3)
    assert [row["id"] for row in change.examples["added"]] == ["X:001", "X:002", "X:003"]
    assert "## added (first 3)" in change.markdown()


def test_a_diff_can_be_written_as_json(two: tuple[Path, Path]) -> None:
    written = json.loads(json.dumps(diff(*two).to_dict()))
    assert (written["added"], written["live"], written["new"]) == (1, [5, 4], "2")
    assert written["examples"]["relabelled"] == [{"id": "X:1", "was": "asthma", "is": "Asthma"}]


def test_two_ontologies_are_not_compared(tmp_path: Path) -> None:
    mine, other = release(tmp_path / "1", concept(1)), release(tmp_path / "2", concept(1), ontology="y")
    with pytest.raises(ReleaseError, match="found x and y"):
        diff(mine, other)
    with pytest.raises(ReleaseError, match="expected a release, found none"):
        diff(mine, tmp_path / "3")


def test_releases_that_are_open_can_be_compared(two: tuple[Path, Path]) -> None:
    from belink.ontology.release import open_release

    with open_release(two[0]) as old, open_release(two[1]) as new:
        assert diff(*two).added == 1
        assert (old.version, new.version) == ("1", "2")


@pytest.mark.data
@with_data
def test_real_mondo_releases_are_compared_in_seconds(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = real_mondo(tmp_path_factory).releases / "mondo"
    started = time.monotonic()
    change = diff(home / "2025-02-04", home / "2025-09-02")
    assert time.monotonic() - started < 20
    assert (change.added, change.removed, change.obsoleted, change.reinstated) == (264, 0, 37, 0)
