"""Aggregates of groups equal those that plain Python computes row by row."""

import numpy as np
import pytest

from belink.retrieval.groups import Groups, expand


@pytest.fixture(params=[0, 1, 7, 200])
def rows(request: pytest.FixtureRequest) -> tuple[Groups, np.ndarray, np.ndarray]:
    """Groups of which some are empty, values with ties, and a mask."""
    rng = np.random.default_rng(request.param)
    n = request.param
    return Groups(rng.integers(0, 9, n), 10), rng.integers(0, 5, n) / 4, rng.random(n) < 0.5


def members(groups: Groups, values: np.ndarray, where: np.ndarray | None = None) -> list[list[float]]:
    kept = range(len(values)) if where is None else np.flatnonzero(where).tolist()
    return [[float(values[i]) for i in kept if groups.of[i] == group] for group in range(groups.n)]


def test_aggregates_are_those_of_each_group_alone(rows: tuple[Groups, np.ndarray, np.ndarray]) -> None:
    groups, values, where = rows
    for mask in (None, where):
        each = members(groups, values, mask)
        assert groups.count(mask).tolist() == [len(group) for group in each]
        assert groups.sum(values, mask).tolist() == pytest.approx([sum(group) for group in each])
        assert groups.max(values, mask).tolist() == [max(group, default=0.0) for group in each]
    assert groups.any(where).tolist() == [bool(group) for group in members(groups, values, where)]


@pytest.mark.parametrize("k", [1, 3])
def test_the_head_of_a_group_is_what_sorting_it_gives(rows: tuple[Groups, np.ndarray, np.ndarray], k: int) -> None:
    groups, values, where = rows
    keyed = sorted(range(len(values)), key=lambda i: (groups.of[i], -values[i], where[i], i))
    expected = [i for i in keyed if [j for j in keyed if groups.of[j] == groups.of[i]].index(i) < k]
    assert groups.head(k, -values, where).tolist() == expected
    largest = [sorted(group, reverse=True)[:k] for group in members(groups, values)]
    means = [sum(group) / max(len(group), 1) for group in largest]
    assert groups.mean_of_largest(values, k).tolist() == pytest.approx(means)


def test_pairs_are_numbered_in_ascending_order() -> None:
    groups = Groups.by_pair(np.array([1, 0, 1, 0, 1]), np.array([0, 5, 0, 2, 5]))
    assert (groups.of.tolist(), groups.n) == ([2, 1, 2, 0, 3], 4)
    nothing = np.empty(0, np.int64)
    assert Groups.by_pair(nothing, nothing).n == 0


def test_lists_are_written_out_one_after_the_other() -> None:
    starts = np.array([0, 2, 2, 5])  # three lists: 0 1, nothing, 2 3 4
    positions, numbers = expand(starts, np.array([2, 1, 0, 2]))
    assert positions.tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert numbers.tolist() == [2, 3, 4, 0, 1, 2, 3, 4]
