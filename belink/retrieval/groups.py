"""Rows by group: sums, maxima and best rows of each group, as NumPy arrays.

Retrieval works on flat arrays (one row a query and name, one a mention and concept). This module holds the index
arithmetic, so that the algorithm in ``retrieve`` reads without it. On retrieval's arrays of some 100,000 rows it is
faster than a data frame, and needs no import of one.
"""

from typing import Self

import numpy as np


class Groups:
    """Rows, each of which belongs to one of ``n`` groups. Every aggregate has one entry a group, in order of groups.

    ``where`` restricts an aggregate to the rows for which it is true, bool (n_rows,).
    """

    def __init__(self, of: np.ndarray, n: int) -> None:
        """Group rows by number.

        :param of: int64 (n_rows,): the group of each row, 0 to n - 1, in any order.
        :param n: how many groups there are, empty ones included.
        """
        self.of = of
        self.n = n

    @classmethod
    def by_pair(cls, first: np.ndarray, second: np.ndarray) -> Self:
        """Return one group for each distinct pair of ``first`` and ``second``, in ascending order; none is empty.

        :param first: int64 (n_rows,), 0 or more; ``second`` likewise.
        """
        # A pair becomes one number, because NumPy sorts numbers much faster than rows of two columns.
        width = int(second.max(initial=0)) + 1
        pairs, of = np.unique(first * width + second, return_inverse=True)
        return cls(of, len(pairs))

    def count(self, where: np.ndarray | None = None) -> np.ndarray:
        """Return int64 (n,): the number of rows."""
        return np.bincount(self.of if where is None else self.of[where], minlength=self.n)

    def any(self, where: np.ndarray) -> np.ndarray:
        """Return bool (n,): whether a row is true."""
        return self.count(where) > 0

    def sum(self, values: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Return float64 (n,): the sum of ``values``, 0 for an empty group."""
        if where is None:
            return np.bincount(self.of, values, minlength=self.n)
        return np.bincount(self.of[where], values[where], minlength=self.n)

    def max(self, values: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Return an array (n,) of the type of ``values``: the largest one, but at least 0."""
        largest = np.zeros(self.n, values.dtype)
        of, chosen = (self.of, values) if where is None else (self.of[where], values[where])
        np.maximum.at(largest, of, chosen)
        return largest

    def head(self, k: int, *keys: np.ndarray) -> np.ndarray:
        """Return int64 (m,): the first ``k`` rows of each group by ``keys``, ascending; group after group, in order.

        :param keys: (n_rows,) each, the most significant first, which is floating-point.
        """
        rows = np.arange(len(self.of))
        if k == 1:  # only rows with the smallest first key can be first: sorting fewer is much faster
            smallest = np.full(self.n, np.inf, keys[0].dtype)
            np.minimum.at(smallest, self.of, keys[0])
            rows = np.flatnonzero(keys[0] == smallest[self.of])
        # ``lexsort`` takes its most significant key last.
        order = rows[np.lexsort((*(key[rows] for key in reversed(keys)), self.of[rows]))]
        group = self.of[order]
        starts = np.searchsorted(group, np.arange(self.n))
        return np.asarray(order[np.arange(len(order)) - starts[group] < k])

    def mean_of_largest(self, values: np.ndarray, k: int) -> np.ndarray:
        """Return float64 (n,): the mean of the ``k`` largest ``values`` (of all where there are fewer), 0 for none."""
        largest = self.head(k, -values)
        kept = Groups(self.of[largest], self.n)
        return np.asarray(kept.sum(values[largest]) / np.maximum(kept.count(), 1))


def expand(starts: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two int64 (m,): positions in ``rows``, ascending, and every number from starts[row] up to starts[row + 1].

    :param starts: int64 (n + 1,), ascending: where the members of each of n lists begin.
    :param rows: int64: which of the lists, in any order.
    """
    begins = starts[rows]
    counts = starts[rows + 1] - begins
    positions = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(len(positions)) - np.repeat(np.cumsum(counts) - counts, counts)
    return positions, begins[positions] + within
