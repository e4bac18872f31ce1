"""What an index of taxa holds besides names: names by their short keys, and how prominent each taxon is.

Papers write "E. coli" for Escherichia coli, and a dozen other species have that initial and epithet. Names are found by
:func:`belink.text.taxa.index_keys`. Which of several is meant is guessed by prominence where the document does not say.

A species that was moved to another genus keeps its epithet, and a taxonomy need not list its former name. So what a
text calls "Rana pipiens" is looked for among the species of that epithet in genera near Rana.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from belink.ontology import added_names
from belink.ontology.prominence import measure_prominence
from belink.ontology.release import Release
from belink.retrieval.name_table import SCOPES, NameTable, hashes
from belink.text.normalise import normalise
from belink.text.taxa import ShortForm, epithet_stem, index_keys
from belink.text.variants import is_misspelling

FORMAT = 3
"""Raise it with every change of what is written: the next refresh then makes the index anew. Earlier ones are read."""

_BATCH = 100_000  # names handled as Python strings at a time
_KEYS, _ROWS, _PROMINENCE = "short-keys.npy", "short-keys-rows.npy", "prominence.npy"
_EPITHETS, _EPITHET_ROWS, _PARENTS = "epithets.npy", "epithets-rows.npy", "parents.npy"
_OUTRANKED = "outranked.npy"
_KNOWN = 0.4  # prominence from which on a species is meant where the genus that a text names is not known
_MIN_EPITHET = 5  # letters; shorter ones have too many species
_NEAR = 3  # ranks above a genus at which another one is still near it: family, order, class
_FEW = 3  # species that have an epithet, where the genus that a text names is not known
_UNKNOWN_GENUS = 0.1  # how near a genus is that is not known


@dataclass(frozen=True, slots=True)
class Borrowed:
    """Keys that an earlier index has of the same names, found by the same rules."""

    names: "LatinNames"
    rows: np.ndarray  # int64 (n_names,): the row of each name in there, -1 for none


def build(
    folder: Path,
    table: NameTable,
    releases: Sequence[Release],
    prefixes: Sequence[str] = (),
    borrowed: Borrowed | None = None,
) -> None:
    """Write into ``folder`` what :class:`LatinNames` reads of the names in ``table`` and the releases they are from.

    :param prefixes: those that the linker offers; ``()`` for the ontologies' own.
    """
    np.save(folder / _OUTRANKED, _outranked(table, releases))
    prominence, parents = _measure(table, releases, prefixes)
    np.save(folder / _PROMINENCE, prominence)
    np.save(folder / _PARENTS, parents)
    keys, epithets = _Keys(), _Keys()
    if borrowed is not None:
        keys.add_hashed(*borrowed.names.keys_of(borrowed.rows))
        epithets.add_hashed(*borrowed.names.epithets_of(borrowed.rows))
    new = np.arange(table.n_names) if borrowed is None else np.flatnonzero(borrowed.rows < 0)
    for rows in _batches(new):
        of_names = [(row, of) for row, name in zip(rows, table.names(rows), strict=True) if (of := index_keys(name))]
        keys.add([(row, key) for row, of in of_names for key in of])
        epithets.add([(row, stem) for row, of in of_names if (stem := _stem(of[0]))])
    keys.save(folder / _KEYS, folder / _ROWS)
    epithets.save(folder / _EPITHETS, folder / _EPITHET_ROWS)


def _batches(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def _outranked(table: NameTable, releases: Sequence[Release]) -> np.ndarray:
    """Return int64 (n,): the owner rows of names that a declaration adds to another concept, ascending.

    The genus Drosophila has its name still, but what papers call so is a fruit fly.
    """
    added = {(concept, normalise(text)) for release in releases for concept, text in added_names.pairs(release)}
    rows = table.find(sorted({name for _, name in added}))
    _, owners = table.owners(rows[rows >= 0])
    ids = table.concepts(table.owner_concept[owners].astype(np.int64))["id"]
    names = table.names(table.owner_names(owners))
    is_other = [(concept, name) not in added for concept, name in zip(ids, names, strict=True)]
    return np.sort(owners[np.array(is_other, bool)]).astype(np.int64)


class _Keys:
    """Rows by the hashes of their keys."""

    def __init__(self) -> None:
        self._hashed, self._rows = [np.empty(0, np.uint64)], [np.empty(0, np.int32)]

    def add(self, pairs: Sequence[tuple[int, str]]) -> None:
        self.add_hashed(hashes([key for _, key in pairs]), np.array([row for row, _ in pairs], np.int32))

    def add_hashed(self, hashed: np.ndarray, rows: np.ndarray) -> None:
        self._hashed.append(hashed)
        self._rows.append(rows)

    def save(self, keys: Path, rows: Path) -> None:
        hashed, of = np.concatenate(self._hashed), np.concatenate(self._rows)
        order = np.lexsort((of, hashed))
        np.save(keys, hashed[order])
        np.save(rows, of[order])


def _stem(key: str) -> str:
    """Return the stem of the epithet of a species by its short key; ``""`` for other keys."""
    initial, _, epithet = key.partition(" ")
    return epithet_stem(epithet) if initial.isalpha() and epithet.isalpha() and len(epithet) >= _MIN_EPITHET else ""


class LatinNames:
    """What :func:`build` wrote, memory-mapped."""

    def __init__(self, folder: Path, table: NameTable) -> None:
        self._table = table
        self._keys = np.load(folder / _KEYS, mmap_mode="r")  # uint64 (n,), ascending: hashes of short keys
        self._rows = np.load(folder / _ROWS, mmap_mode="r")  # int32 (n,): the names that have them
        # float32 (n_concepts,), 0 or more; see ontology.prominence.
        self.prominence: np.ndarray = np.load(folder / _PROMINENCE, mmap_mode="r")
        # int64 (n,), ascending: owner rows; an index of before has none.
        self._outranked = np.load(folder / _OUTRANKED) if (folder / _OUTRANKED).exists() else np.empty(0, np.int64)
        self._folder = folder

    @classmethod
    def load(cls, folder: Path, table: NameTable) -> Self | None:
        """Return the Latin names of the index in ``folder``; ``None`` where it was built without them."""
        return cls(folder, table) if (folder / _KEYS).exists() else None

    def keys_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return hashed keys, uint64 (n,), of the names in ``rows`` (-1 for none), and their positions, int32 (n,)."""
        return self._lent(rows, self._keys, self._rows)

    def epithets_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the same of the stems of epithets; none of an index of before."""
        if self._moved is None:
            return np.empty(0, np.uint64), np.empty(0, np.int32)
        return self._lent(rows, *self._moved[:2])

    def _lent(self, rows: np.ndarray, keys: np.ndarray, key_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = np.full(self._table.n_names, -1, np.int32)
        at[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        positions = at[key_rows]
        return keys[positions >= 0], positions[positions >= 0]

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
            kept = np.array([form.stands_for(name) and form.key in index_keys(name) for name in names], bool)
            begins = kept & np.array(
                [name.removeprefix("candidatus ").startswith(form.letters) for name in names], bool
            )
            results.append(rows[begins if begins.any() else kept])
        return results

    def is_second(self, owner: np.ndarray, is_lower: np.ndarray) -> np.ndarray:
        """Return bool (n,): whether another concept of the same name goes before that of ``owner``, an owner row.

        It is one that the declaration gives the name to, or one whose everyday name it is, where the text has no
        capital: the platypus is no beetle of the genus Platypus.

        :param is_lower: bool (n,): whether the text is one word in lower case.
        """
        is_second: np.ndarray = np.isin(owner, self._outranked) | self.is_scientific(owner, is_lower)
        return is_second

    def is_scientific(self, owner: np.ndarray, among: np.ndarray) -> np.ndarray:
        """Return bool (n,): whether ``owner``, an owner row, is the scientific name of its taxon, written so.

        :param among: bool (n,): those that are looked at; all others are False.
        """
        rows = np.flatnonzero(among & (self._table.owner_scope[owner] == SCOPES.index("label")))
        is_scientific = np.zeros(len(owner), bool)
        is_scientific[rows] = [text[:1].isupper() for text in self._table.owner_texts(owner[rows])]
        return is_scientific

    def find_moved(self, binomials: Sequence[tuple[str, str]]) -> list[tuple[np.ndarray, float]]:
        """Return, for each genus and epithet that is no name, which names it may have been before, and how near it is.

        They have its epithet, and a genus that it misspells; else, of the genera near it, one of the nearest. Where it
        is not known, no more than a few well-known species may have the epithet. An index of before has no such names.

        :returns: int64 (n,), rows of names; and 1 for a misspelt genus, less with each rank up to the taxon that both
            genera share, the least for a genus that is not known; 0 with no names.
        """
        if self._moved is None:
            return [(np.empty(0, np.int64), 0.0)] * len(binomials)
        keys, rows, parents = self._moved
        stems = [epithet_stem(epithet) if len(epithet) >= _MIN_EPITHET else "" for _, epithet in binomials]
        queries = hashes(stems)
        first, last = (np.searchsorted(keys, queries, side=side) for side in ("left", "right"))
        results = []
        for (genus, _), stem, start, end in zip(binomials, stems, first.tolist(), last.tolist(), strict=True):
            near = np.unique(rows[start:end]).astype(np.int64) if stem else np.empty(0, np.int64)
            names = [name.removeprefix("candidatus ").split(" ") for name in self._table.names(near)]
            same = np.array([len(name) == 2 and epithet_stem(name[1]) == stem for name in names], bool)
            genera = [name[0] for name, kept in zip(names, same, strict=True) if kept]
            results.append(self._nearest(genus, near[same], genera, parents))
        return results

    def _nearest(
        self, genus: str, rows: np.ndarray, genera: Sequence[str], parents: np.ndarray
    ) -> tuple[np.ndarray, float]:
        misspelt = np.array([is_misspelling(genus, other) for other in genera], bool)
        if misspelt.any():
            return rows[misspelt], 1.0
        names, concepts = self._concepts(rows)
        _, of_genus = self._concepts(self._table.find([genus]))
        if not len(of_genus):
            is_known = self.prominence[concepts] >= _KNOWN
            few = 0 < len(np.unique(concepts[is_known])) <= _FEW
            return (rows[np.unique(names[is_known])], _UNKNOWN_GENUS) if few else (rows[:0], 0.0)
        below = _above(parents, concepts, 2 * _NEAR)
        ranks = np.full(len(concepts), _NEAR + 1)
        for line in _above(parents, of_genus, _NEAR):
            shared = (below[:, None, :] == line[line >= 0][:, None]).any(axis=2)
            ranks = np.where(shared.any(axis=1), np.minimum(ranks, shared.argmax(axis=1)), ranks)
        nearest = int(ranks.min(initial=_NEAR + 1))
        if nearest > _NEAR:
            return rows[:0], 0.0
        return rows[np.unique(names[ranks == nearest])], 1 - nearest / (_NEAR + 1)

    def _concepts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return two int64 (n,): places in ``rows``, of which -1 is no name, and the concepts of the names there."""
        place, owners = self._table.owners(rows[rows >= 0])
        return np.flatnonzero(rows >= 0)[place], self._table.owner_concept[owners].astype(np.int64)

    @cached_property
    def _moved(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        if not (self._folder / _EPITHETS).exists():
            return None
        keys, rows, parents = (
            np.load(self._folder / name, mmap_mode="r") for name in (_EPITHETS, _EPITHET_ROWS, _PARENTS)
        )
        return keys, rows, parents


def _above(parents: np.ndarray, concepts: np.ndarray, n: int) -> np.ndarray:
    """Return int64 (n_concepts, n + 1): each concept and those above it, upwards; -1 where there is none."""
    lines = [concepts]
    for _ in range(n):
        lines.append(np.where(lines[-1] >= 0, parents[lines[-1]], -1).astype(np.int64))
    return np.stack(lines, axis=1)


def _measure(table: NameTable, releases: Sequence[Release], prefixes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 (n_concepts,), how prominent each concept of ``table`` is, and int32 (n_concepts,), its parent.

    Of several releases the first that has a concept counts; -1 is no parent.
    """
    prominence, parents = np.zeros(table.n_concepts, np.float32), np.full(table.n_concepts, -1, np.int32)
    for release in reversed(releases):
        measured = measure_prominence(release, prefixes)
        rows, parent = table.concept_rows(measured["id"]), np.asarray(measured["parent"])
        above = np.where(parent >= 0, rows[parent], -1)
        prominence[rows[rows >= 0]] = np.asarray(measured["prominence"], np.float32)[rows >= 0]
        parents[rows[rows >= 0]] = above[rows >= 0]
    return prominence, parents
