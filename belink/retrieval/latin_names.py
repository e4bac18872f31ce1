"""What an index of taxa holds besides names: names by their short keys, and how prominent each taxon is.

Papers write "E. coli" for Escherichia coli, and a dozen other species have that initial and epithet. Names are found by
:func:`belink.text.taxa.short_key`. Which of several is meant is guessed by prominence where the document does not say.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from belink.ontology.prominence import measure_prominence
from belink.ontology.release import Release
from belink.retrieval.name_table import NameTable, hashes
from belink.text.taxa import ShortForm, short_key

_KEYS, _ROWS, _PROMINENCE = "short-keys.npy", "short-keys-rows.npy", "prominence.npy"


def build(folder: Path, table: NameTable, releases: Sequence[Release], prefixes: Sequence[str] = ()) -> None:
    """Write into ``folder`` what :class:`LatinNames` reads of the names in ``table`` and the releases they are from.

    :param prefixes: those that the linker offers; ``()`` for the ontologies' own.
    """
    hashed, rows, start = [np.empty(0, np.uint64)], [np.empty(0, np.int32)], 0
    for names in table.name_lists():
        keys = {row: key for row, name in enumerate(names, start) if (key := short_key(name))}
        hashed.append(hashes(list(keys.values())))
        rows.append(np.fromiter(keys, np.int32, len(keys)))
        start += len(names)
    unordered = np.concatenate(hashed)
    order = np.argsort(unordered, kind="stable")
    np.save(folder / _KEYS, unordered[order])
    np.save(folder / _ROWS, np.concatenate(rows)[order])
    np.save(folder / _PROMINENCE, _prominence(table, releases, prefixes))


class LatinNames:
    """What :func:`build` wrote, memory-mapped."""

    def __init__(self, folder: Path, table: NameTable) -> None:
        self._table = table
        self._keys = np.load(folder / _KEYS, mmap_mode="r")  # uint64 (n,), ascending: hashes of short keys
        self._rows = np.load(folder / _ROWS, mmap_mode="r")  # int32 (n,): the names that have them
        # float32 (n_concepts,), 0 or more; see ontology.prominence.
        self.prominence: np.ndarray = np.load(folder / _PROMINENCE, mmap_mode="r")

    @classmethod
    def load(cls, folder: Path, table: NameTable) -> Self | None:
        """Return the Latin names of the index in ``folder``; ``None`` where it was built without them."""
        return cls(folder, table) if (folder / _KEYS).exists() else None

    def find(self, forms: Sequence[ShortForm]) -> list[np.ndarray]:
        """Return, for each of ``forms``, int64 (n,): the rows of the names that it may stand for, ascending.

        Names whose genus begins with the letters go before names that only hold them: "Ae." is Aedes, not Anopheles.
        """
        queries = hashes([form.key for form in forms])
        first, last = (np.searchsorted(self._keys, queries, side=side) for side in ("left", "right"))
        results = []
        for form, start, end in zip(forms, first.tolist(), last.tolist(), strict=True):
            rows = np.sort(self._rows[start:end]).astype(np.int64)
            names = list(self._table.names(rows))
            # Keys of other names may have the same hash.
            kept = np.array([form.stands_for(name) and short_key(name) == form.key for name in names], bool)
            begins = kept & np.array(
                [name.removeprefix("candidatus ").startswith(form.letters) for name in names], bool
            )
            results.append(rows[begins if begins.any() else kept])
        return results


def _prominence(table: NameTable, releases: Sequence[Release], prefixes: Sequence[str]) -> np.ndarray:
    """Return float32 (n_concepts,): how prominent each concept of ``table`` is in the first release that has it."""
    prominence = np.zeros(table.n_concepts, np.float32)
    for release in reversed(releases):
        measured = measure_prominence(release, prefixes)
        rows = table.concept_rows(measured["id"])
        prominence[rows[rows >= 0]] = np.asarray(measured["prominence"], np.float32)[rows >= 0]
    return prominence
