"""How likely papers are to mean a concept, before its name is looked at: what a release says of it without text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from belink.ontology.release import Release
from belink.text.caching import Recent

if TYPE_CHECKING:
    import pyarrow as pa

# The natural logarithm of how many times likelier a concept is for each. The weights of names, descendants and ids are
# those of a conditional logit that says which of several species with one short form has an article in Wikipedia; the
# weight of a cross-reference is assumed to be that of a name: tests/benchmarks/EXPERIMENTS.md, no. 99.
_OTHER_NAME, _XREF, _LOG_DESCENDANTS, _LOG_AGE = 2.0, 2.0, 0.5, 0.4


_MEASURED: "Recent[pa.Table]" = Recent(2)


def measure_prominence(release: Release, prefixes: Sequence[str] = ()) -> "pa.Table":
    """Return columns ``id``, ``prominence`` (float32, 0 or more) and ``parent`` of the concepts that a linker offers.

    Papers write of concepts that people gave a further name or a cross-reference (an article in Wikipedia), that have
    many concepts below them (strains), and that entered the ontology early, which their numbers say. ``parent`` is the
    row of the concept above (int64), -1 for none.

    :param prefixes: those that the linker offers; ``()`` for the ontology's own.
    """
    # A refresh needs it for the index and for the mentions that it measures with.
    key = (release.manifest.get("database_sha256") or str(release.path), *prefixes)
    return _MEASURED.get(key, lambda: _measure(release, prefixes))


def _measure(release: Release, prefixes: Sequence[str]) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.compute as pc

    concepts = release.concepts_table(prefixes=prefixes)
    ids = concepts["id"].combine_chunks()
    parents = release.parents()
    parent = np.full(len(ids), -1, np.int64)
    above, below = (_rows(parents[column], ids) for column in ("parent_id", "concept_id"))
    # Of several parents one counts. A parent that is no live concept of the linker's is none.
    linked = (above >= 0) & (below >= 0)
    parent[below[linked]] = above[linked]
    other_name, xref = (_is_in(release, query, ids) for query in (_WITH_OTHER_NAME, _WITH_XREF))
    prominence = _OTHER_NAME * other_name + _XREF * xref + _LOG_DESCENDANTS * np.log1p(count_descendants(parent))
    number = pc.replace_substring_regex(ids, r"^.*?([0-9]{1,15})?$", r"\1")
    number = np.asarray(pc.if_else(pc.equal(number, ""), "0", number).cast(pa.int64()), np.int64)
    # Without a number a concept counts as the youngest.
    number = np.where(number > 0, number, number.max(initial=1))
    prominence = prominence + _LOG_AGE * np.log(max(number.max(initial=1), 1) / number)
    return pa.table({"id": ids, "prominence": prominence.astype(np.float32), "parent": parent})


_WITH_OTHER_NAME = "SELECT DISTINCT concept_id FROM name WHERE scope = 'exact'"
_WITH_XREF = "SELECT DISTINCT concept_id FROM xref"


def _is_in(release: Release, query: str, ids: "pa.Array") -> np.ndarray:
    import pyarrow.compute as pc

    return np.asarray(pc.is_in(ids, release.table(query)["concept_id"]), bool)


def _rows(column: "pa.ChunkedArray", ids: "pa.Array") -> np.ndarray:
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(pc.index_in(column, ids), -1), np.int64)


def count_descendants(parent: np.ndarray) -> np.ndarray:
    """Return int64 (n,): how many rows lie below each, at any depth; too few for rows on a cycle or above one.

    :param parent: int64 (n,): the row above each, -1 for none.
    """
    below = np.zeros(len(parent), np.int64)
    uncounted = np.bincount(parent[parent >= 0], minlength=len(parent))  # children whose descendants are not counted
    ready = np.flatnonzero(uncounted == 0)
    # From the leaves upwards: a row is counted once all of its children are.
    while len(ready := ready[parent[ready] >= 0]):
        above = parent[ready]
        np.add.at(below, above, below[ready] + 1)
        np.subtract.at(uncounted, above, 1)
        above = np.unique(above)
        ready = above[uncounted[above] == 0]
    return below
