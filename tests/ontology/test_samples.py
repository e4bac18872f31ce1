"""The two sample releases: real changes from one to the next, and nothing that hangs in the air."""

import re
from pathlib import Path

import pytest

from belink import settings
from belink.declarations import load_source
from belink.records import Concept
from tests.support.recorded import Recorded, read

SAMPLES = settings.shipped_ontologies() / "samples"
FIRST, SECOND = SAMPLES / "mondo-sample-2025-02-04.obo", SAMPLES / "mondo-sample-2025-09-02.obo"


@pytest.fixture(scope="module")
def first() -> Recorded:
    return read(FIRST)


@pytest.fixture(scope="module")
def second() -> Recorded:
    return read(SECOND)


def names(concept: Concept) -> set[str]:
    return {concept.label or "", *(name.text for name in concept.synonyms)}


@pytest.mark.parametrize("path", [FIRST, SECOND])
def test_a_sample_is_small_attributed_and_without_definitions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 1_000_000
    assert 2000 <= text.count("\n[Term]\n") <= 3000
    assert "CC BY 4.0" in text.partition("[Term]")[0]
    tags = set(re.findall(r"^([a-z_]+):", text.partition("[Term]")[2], re.MULTILINE))
    assert tags == {"id", "name", "synonym", "is_a", "is_obsolete", "replaced_by", "consider"}


def test_samples_are_read_whole_with_their_version(first: Recorded, second: Recorded) -> None:
    for into, date in ((first, "2025-02-04"), (second, "2025-09-02")):
        assert not into.rejections
        assert into.version == f"mondo-sample/{date}"
        assert all(concept.label for concept in into.listed)


def test_references_within_a_sample_resolve(first: Recorded, second: Recorded) -> None:
    own = load_source("mondo-sample").prefixes
    for into in (first, second):
        for concept in into.listed:
            for other in (*concept.parents, *concept.replaced_by, *concept.consider):
                assert other in into.by_id or other.partition(":")[0] not in own
            for replacement in concept.replaced_by:
                assert not into.by_id[replacement].obsolete


def test_the_second_adds_obsoletes_merges_and_renames(first: Recorded, second: Recorded) -> None:
    old, new = first.by_id, second.by_id
    live = [id for id in old if not old[id].obsolete]
    stayed = [id for id in live if not new[id].obsolete]
    obsoleted = [id for id in live if new[id].obsolete]
    counts = {
        "terms": (len(old), len(new)),
        "obsolete": (len(old) - len(live), sum(concept.obsolete for concept in new.values())),
        "names": (first.names, second.names),
        "added": len(new.keys() - old.keys()),
        "removed": len(old.keys() - new.keys()),
        "obsoleted": len(obsoleted),
        "merged": sum(bool(new[id].replaced_by) for id in obsoleted),
        "relabelled": sum(old[id].label != new[id].label for id in stayed),
        "gained": sum(len(names(new[id]) - names(old[id])) for id in stayed),
        "lost": sum(len(names(old[id]) - names(new[id])) for id in stayed),
    }
    assert counts == {
        "terms": (2517, 2703),
        "obsolete": (190, 226),
        "names": (13038, 13526),
        "added": 186,
        "removed": 0,
        "obsoleted": 36,
        "merged": 20,
        "relabelled": 74,
        "gained": 320,
        "lost": 85,
    }
    said = (SAMPLES / "README.md").read_text(encoding="utf-8")
    for number in ("2,517", "2,703", "13,038", "13,526", "186 terms added", "36 made obsolete", "320 names gained"):
        assert number in said


def test_abbreviations_are_ambiguous(second: Recorded) -> None:
    owners: dict[str, set[str]] = {}
    for concept in second.listed:
        for name in names(concept) if not concept.obsolete else ():
            owners.setdefault(name.casefold(), set()).add(concept.id)
    for abbreviation in ("pd", "ra", "cad", "msa", "ards"):
        assert len(owners[abbreviation]) > 1
