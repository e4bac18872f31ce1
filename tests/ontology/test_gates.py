from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belink.declarations import ReleaseGates
from belink.ontology.gates import release_gates
from belink.records import Concept, GateResult, Rejection
from belink.text.normalise import normalise
from tests.support.made_releases import concept, release


def gates(new: Path, old: Path | None = None, *corpus_ids: str, **bounds: float) -> dict[str, GateResult]:
    found = release_gates(new, old, ReleaseGates.model_validate(bounds), corpus_ids)
    return {gate.name: gate for gate in found}


def many(n: int, **changes: object) -> list[Concept]:
    return [concept(i, f"name {i}", **changes) for i in range(n)]


def test_shrinkage_counts_concepts_that_are_live_no_more(tmp_path: Path) -> None:
    old = release(tmp_path / "1", *many(10), concept(99, obsolete=True), concept("Y:1", "another's"))
    # One is gone, one is obsolete; two new ones do not make up for them.
    kept = [*many(10)[2:], concept(0, obsolete=True), concept(50, "new"), concept(51, "newer")]
    gate = gates(release(tmp_path / "2", *kept), old, max_shrinkage=0.2)["max_shrinkage"]
    assert (gate.value, gate.passed) == (0.2, True)
    assert not gates(tmp_path / "2", old, max_shrinkage=0.19)["max_shrinkage"].passed


def test_without_a_release_before_nothing_is_compared(tmp_path: Path) -> None:
    assert set(gates(release(tmp_path / "1", concept(1, "a")))) == {
        "max_rejected",
        "max_dangling_replaced_by",
        "max_duplicate_labels",
        "max_cyclic",
    }


def test_rejected_is_a_share_of_all_that_was_read_and_repairs_do_not_count(tmp_path: Path) -> None:
    rejected = [Rejection(line=1, text="x", reason="y"), Rejection(line=2, text="x", reason="y", repaired=True)]
    new = release(tmp_path / "1", concept(1, "a", "b", parents=(2,)), rejections=rejected)
    assert gates(new)["max_rejected"].value == 1 / 5  # one of: concept, two names, parent, and itself


def test_a_replacement_dangles_when_it_leads_to_nothing_live(tmp_path: Path) -> None:
    new = release(
        tmp_path / "1",
        concept(1, "live"),
        concept(2, obsolete=True, replaced_by=(1,)),
        concept(3, obsolete=True, replaced_by=(2,)),  # through an obsolete one
        concept(4, obsolete=True, replaced_by=(404,)),
        concept(5, obsolete=True, replaced_by=(6,)),
        concept(6, obsolete=True, replaced_by=(5,)),
        concept(7, obsolete=True, replaced_by=("Z:1",)),  # an ontology that is not here
    )
    gate = gates(new)["max_dangling_replaced_by"]
    assert gate.value == 3 / 5
    assert "3 of 5" in gate.detail


@pytest.mark.parametrize(("dangling", "sound", "measured", "passed"), [(1, 0, False, True), (1, 28, False, True),
    (2, 28, True, False), (1, 29, True, True), (0, 1, True, True)])  # fmt: skip
def test_a_share_of_fewer_than_thirty_replacements_is_not_measured(
    tmp_path: Path, dangling: int, sound: int, measured: bool, passed: bool
) -> None:
    """A published slim has one replacement, which leads outside it."""
    concepts = [concept(1, "live"), *(concept(10 + n, obsolete=True, replaced_by=(1,)) for n in range(sound))]
    concepts += [concept(100 + n, obsolete=True, replaced_by=(404,)) for n in range(dangling)]
    gate = gates(release(tmp_path / "1", *concepts))["max_dangling_replaced_by"]
    assert (gate.measured, gate.passed) == (measured, passed)
    assert gate.value == dangling / (dangling + sound)
    assert gate.verdict == ("not measured" if not measured else "pass" if passed else "FAIL")


def test_labels_are_the_same_when_linking_takes_them_for_the_same(tmp_path: Path) -> None:
    labels = ["β-thalassemia", "Beta thalassemia", "gout", "gout 1", "gout, 2", None]
    new = release(
        tmp_path / "1", *(concept(n, label) for n, label in enumerate(labels)), concept(9, "Gout", obsolete=True)
    )
    assert gates(new)["max_duplicate_labels"].value == 2 / 6


pieces = [
    "a",
    "B",
    "1",
    " ",
    "-",
    ".",
    "/",
    "'s",
    "s'",
    "`s",
    "\u2019s",
    "(+)",
    "plus ",
    "(1)",
    "α",
    "alpha",
    "ß",
    "ss",
    "é",
]
marked = st.lists(st.sampled_from(pieces), min_size=1, max_size=3).map("".join)


@given(st.lists(marked, min_size=30, max_size=60))
@settings(max_examples=20, deadline=None)
def test_labels_of_any_characters_are_counted_as_normalising_each_counts_them(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str]
) -> None:
    new = release(tmp_path_factory.mktemp("1"), *(concept(n, label) for n, label in enumerate(labels)))
    owners = Counter(normalise(label) or label for label in labels)
    assert gates(new)["max_duplicate_labels"].value == sum(n for n in owners.values() if n > 1) / len(labels)


def test_every_concept_on_a_cycle_counts_and_none_below_it(tmp_path: Path) -> None:
    new = release(
        tmp_path / "1",
        concept(1, parents=(2,)),
        concept(2, parents=(3,)),
        concept(3, parents=(1,)),
        concept(4, parents=(1,)),
        concept(5, parents=(5,)),
        concept(6, parents=(4, 404)),
        concept("Y:1", parents=("Y:1",)),
    )
    gate = gates(new)["max_cyclic"]
    assert (gate.value, gate.passed) == (4, False)
    assert gate.detail.endswith("such as X:1, X:2, X:3, X:5")
    assert gates(new, max_cyclic=4)["max_cyclic"].passed


def test_a_release_without_hierarchy_has_no_cycle(tmp_path: Path) -> None:
    assert gates(release(tmp_path / "1", concept(1)))["max_cyclic"].value == 0


def test_corpus_names_may_move_to_the_replacement_of_their_concept(tmp_path: Path) -> None:
    old = release(tmp_path / "1", concept(1, "gout", "podagra"), concept(2, "scurvy", "Scorbutus"), concept(3, "lost"))
    new = release(
        tmp_path / "2",
        concept(1, "Gout"),
        concept(2, obsolete=True, replaced_by=(4,)),
        concept(4, "vitamin C deficiency", "scurvy", "scorbutus"),
    )
    gate = gates(new, old, "X:1", "X:2", max_corpus_names_lost=0.25)["max_corpus_names_lost"]
    assert (gate.value, gate.passed) == (0.25, True)  # podagra
    assert "max_corpus_names_lost" not in gates(new, old)
    assert gates(new, old, "X:404")["max_corpus_names_lost"].value == 0


@pytest.mark.heavy
@pytest.mark.parametrize("n", [200_000])
def test_a_deep_hierarchy_is_searched_for_cycles_in_seconds(tmp_path: Path, n: int) -> None:
    chain = (concept(i, parents=(i + 1,)) for i in range(n))
    assert gates(release(tmp_path / "1", *chain))["max_cyclic"].value == 0
