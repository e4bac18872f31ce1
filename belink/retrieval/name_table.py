"""Every normalised name once, with the concepts that own it, as memory-mapped Arrow and NumPy files.

Besides the ontologies' names it holds precedents: annotated mentions, as names of the concepts they are annotated with.
Names are ordered by a hash of their text. So a name is found by binary search, two tables are joined by walking both in
order, and the first n rows of a table are a random sample of it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from belink.retrieval.arrow_files import numbers, open_columns, row_array, text_scalar, write
from belink.retrieval.groups import expand
from belink.text.normalise import normalise

if TYPE_CHECKING:
    import pyarrow as pa

# The closest scope comes first; "mention" is a precedent. Stored tables hold the positions, so new ones come last.
SCOPES = ("label", "exact", "narrow", "broad", "related", "mention", "corrected")
MENTION, CORRECTED = SCOPES.index("mention"), SCOPES.index("corrected")
_BATCH = 100_000  # names handled as Python strings at a time
_LETTERS = ("name-letters.npy", "name-letters-rows.npy")
_SAME_LETTERS = 5  # characters from which on names that differ in blanks only are the same


@dataclass(frozen=True, kw_only=True, slots=True)
class OfRelease:
    """The names of one release."""

    ontology: str
    version: str
    concepts: "pa.Table"  # columns id, label
    names: "Iterable[pa.RecordBatch]"  # columns concept_id, text, scope; read once


def hashes(names: Sequence[str]) -> np.ndarray:
    """uint64 (n,): the order of names; the same on every machine."""
    digests = b"".join([blake2b(name.encode(), digest_size=8).digest() for name in names])
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def build(
    releases: Sequence[OfRelease],
    folder: Path,
    precedents: Iterable[tuple[str, str]] = (),
    corrected: Iterable[tuple[str, str]] = (),
    previous: "NameTable | None" = None,
) -> None:
    """Write the table of the names of ``releases`` into ``folder``. A concept that two of them hold is the first's.

    :param precedents: text and concept id of annotated mentions, repeated as often as they are; those of concepts that
        the releases do not hold are passed over.
    :param corrected: those of ``precedents`` that people have said themselves.
    :param previous: a table made by the same rules of normalising; names that it has are not normalised again.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    concepts = pa.concat_tables([_concepts(release) for release in releases])
    first = pc.index_in(concepts["id"], pc.unique(concepts["id"]))
    kept = np.unique(first.to_numpy(), return_index=True)[1]
    concepts = concepts.take(np.sort(kept))
    write(folder / "concepts.arrow", concepts)

    rows = pa.concat_tables(
        [_owners(releases, concepts["id"], previous), _precedents(precedents, corrected, concepts["id"])]
    )
    # A name that a concept has in several spellings or scopes is one owner row, of the closest scope.
    rows = rows.sort_by([(key, "ascending") for key in ("hash", "name", "concept", "scope")])
    first = _firsts(rows, "hash", "name", "concept")
    owners = rows.take(row_array(first))
    times = np.add.reduceat(rows["times"].to_numpy(), first, dtype=np.int64) if len(first) else first
    owners = owners.set_column(owners.schema.get_field_index("times"), "times", pa.array(times))
    first = _firsts(owners, "hash", "name")
    names = owners.take(row_array(first))
    write(folder / "names.arrow", names.select(["name"]))
    np.save(folder / "name-hashes.npy", names["hash"].to_numpy())
    np.save(folder / "name-owners.npy", np.append(first, len(owners)))
    for file, array in zip(_LETTERS, _by_letters(_lists(names["name"])), strict=True):
        np.save(folder / file, array)
    write(folder / "owners.arrow", owners.select(["concept", "scope", "text", "times"]).cast(_owner_schema()))
    concept = owners["concept"].to_numpy()
    np.save(folder / "concept-owners.npy", np.argsort(concept, kind="stable").astype(np.int32))
    np.save(folder / "concept-starts.npy", np.searchsorted(np.sort(concept), np.arange(len(concepts) + 1)))


def _firsts(rows: "pa.Table", *keys: str) -> np.ndarray:
    """Return int64 (n,): the rows that differ from the one before in any of ``keys``; equal ones stand together."""
    import pyarrow.compute as pc

    is_same = np.ones(len(rows), bool)
    for key in keys:
        column = rows[key].combine_chunks()
        is_same[1:] &= np.asarray(pc.equal(column[1:], column[:-1]))
    is_same[:1] = False
    return np.flatnonzero(~is_same)


def _owner_schema() -> "pa.Schema":
    import pyarrow as pa

    fields = {"concept": pa.int32(), "scope": pa.int8(), "text": pa.large_string(), "times": pa.int32()}
    return pa.schema(fields.items())


def _concepts(release: OfRelease) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.compute as pc

    n = release.concepts.num_rows
    return pa.table(
        {
            "id": release.concepts["id"].cast(pa.large_string()),
            "label": pc.fill_null(release.concepts["label"].cast(pa.large_string()), ""),
            "ontology": pa.array([release.ontology]).take(np.zeros(n, np.int64)).cast(pa.large_string()),
            "release": pa.array([release.version]).take(np.zeros(n, np.int64)).cast(pa.large_string()),
        }
    )


def _owners(releases: Sequence[OfRelease], ids: "pa.ChunkedArray", previous: "NameTable | None" = None) -> "pa.Table":
    """One row a name and concept: concept (row), scope (of SCOPES), text as the source writes it, name, times, hash."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pieces, start = [_rows(np.empty(0, np.int32), [], [], 0)], 0
    batches = [batch for release in releases for batch in release.names]
    if not batches:
        return pieces[0]
    # All at once, since each search makes a table of all that it searches.
    concepts = _concept_rows(pa.chunked_array([batch["concept_id"] for batch in batches]), ids)
    known = None if previous is None else previous.rows_of_texts([batch["text"] for batch in batches])
    for batch in batches:
        part = slice(start, start + len(batch))
        scopes = pc.index_in(batch["scope"].cast(pa.string()), pa.array(SCOPES))
        borrowed = None if previous is None or known is None else _borrowed(batch["text"], previous, known[part])
        pieces.append(_rows(concepts[part], scopes, batch["text"], 0, borrowed))
        start += len(batch)
    return pa.concat_tables(pieces)


def _concept_rows(concepts: "pa.Array | pa.ChunkedArray", ids: "pa.ChunkedArray") -> np.ndarray:
    """Return int32 (n,): the row of each of ``concepts`` among ``ids``, -1 for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = pc.index_in(concepts.cast(pa.large_string()), ids.combine_chunks())
    return np.asarray(pc.fill_null(rows, -1), np.int32)


def _borrowed(texts: "pa.Array", previous: "NameTable", rows: np.ndarray) -> tuple["pa.Array", np.ndarray]:
    """Return what :func:`_normalised` does, with the names of ``previous`` in ``rows`` (-1 for none) as they are."""
    import pyarrow as pa

    new = np.flatnonzero(rows < 0)
    made, hashed = _normalised(texts.take(row_array(new)).cast(pa.large_string()))
    # Borrowed names stand before those that are made; ``at`` finds each text's own among both.
    at = np.empty(len(rows), np.int64)
    at[rows >= 0], at[new] = np.arange(len(rows) - len(new)), np.arange(len(rows) - len(new), len(rows))
    old, old_hashes = previous.names_and_hashes(rows[rows >= 0])
    return pa.concat_arrays([old, made]).take(row_array(at)), np.concatenate([old_hashes, hashed])[at]


def _precedents(
    precedents: Iterable[tuple[str, str]], corrected: Iterable[tuple[str, str]], ids: "pa.ChunkedArray"
) -> "pa.Table":
    """The same of annotated mentions, each once however often it was annotated."""
    import pyarrow as pa

    times, by_people = Counter(precedents), {(normalise(text), concept) for text, concept in corrected}
    # By the normalised text: rows of one name are grouped, and a corpus must not hide what a person has said of it.
    scopes = [CORRECTED if (normalise(text), concept) in by_people else MENTION for text, concept in times]
    texts, concepts = [text for text, _ in times], [concept for _, concept in times]
    rows = _concept_rows(pa.array(concepts, pa.large_string()), ids)
    return _rows(rows, scopes, texts, list(times.values()))


def _rows(
    concepts: np.ndarray,
    scopes: Any,
    texts: Any,
    times: Any,
    normalised: tuple["pa.Array", np.ndarray] | None = None,
) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array(texts, pa.large_string()) if isinstance(texts, list) else texts.cast(pa.large_string())
    names, hashed = _normalised(texts) if normalised is None else normalised
    table = pa.table(
        {
            "concept": pa.array(concepts, pa.int32()),
            "scope": pa.array(scopes, pa.int8()) if isinstance(scopes, list) else scopes.cast(pa.int8()),
            "text": texts,
            "name": names,
            "times": pa.array(np.broadcast_to(np.asarray(times, np.int32), len(names))),
            "hash": pa.array(hashed),
        }
    )
    return table.filter(pc.and_(pc.greater_equal(table["concept"], 0), pc.not_equal(table["name"], "")))


def _normalised(texts: "pa.Array") -> tuple["pa.Array", np.ndarray]:
    """Return the normalised ``texts`` and uint64 (n,), their hashes."""
    import pyarrow as pa

    names = [normalise(text) for text in texts.to_pylist()]
    return pa.array(names, pa.large_string()), hashes(names)


def _lists(names: "pa.Array | pa.ChunkedArray") -> Iterator[list[str]]:
    for start in range(0, len(names), _BATCH):
        yield names.slice(start, _BATCH).to_pylist()


def _by_letters(names: Iterable[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """uint64 (n,), the hashes of names without their blanks, ascending; int32 (n,), the rows of those names."""
    hashed = np.concatenate([np.empty(0, np.uint64), *(hashes([n.replace(" ", "") for n in some]) for some in names)])
    order = np.argsort(hashed, kind="stable")
    return hashed[order], order.astype(np.int32)


class NameTable:
    """A table that :func:`build` wrote, opened for reading."""

    def __init__(self, folder: Path) -> None:
        self._names = open_columns(folder / "names.arrow")["name"]
        self._hashes = np.load(folder / "name-hashes.npy", mmap_mode="r")  # uint64 (n_names,), ascending
        self._folder = folder
        self._starts = np.load(folder / "name-owners.npy", mmap_mode="r")  # int64 (n_names + 1,) into the owners
        owners = open_columns(folder / "owners.arrow")
        self.owner_concept: np.ndarray = numbers(owners["concept"])  # int32 (n_owners,)
        self.owner_scope: np.ndarray = numbers(owners["scope"])  # int8 (n_owners,), of SCOPES
        self.owner_times: np.ndarray = numbers(owners["times"])  # int32 (n_owners,), mentions annotated so
        self._owner_text = owners["text"]
        self._of_concept = np.load(folder / "concept-owners.npy", mmap_mode="r")  # int32 (n_owners,), owner rows
        self._concept_starts = np.load(folder / "concept-starts.npy", mmap_mode="r")  # int64 (n_concepts + 1,)
        self._concepts = open_columns(folder / "concepts.arrow")

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(folder)

    @property
    def n_names(self) -> int:
        return len(self._hashes)

    @property
    def n_concepts(self) -> int:
        return len(self._concepts["id"])

    def names(self, rows: np.ndarray | None = None) -> Iterator[str]:
        """The normalised names, all of them or those in ``rows``, in that order."""
        chosen = self._names if rows is None else self._names.take(row_array(rows))
        for some in _lists(chosen):
            yield from some

    def name_lists(self) -> Iterator[list[str]]:
        """Yield all normalised names in the order of their rows, many at a time."""
        return _lists(self._names)

    def concept_rows(self, ids: "pa.Array | pa.ChunkedArray") -> np.ndarray:
        """Return int64 (n,): the row of each concept id, -1 where the table does not hold it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = pc.fill_null(pc.index_in(ids.cast(pa.large_string()), self._concepts["id"]), -1)
        return np.asarray(rows, np.int64)

    @cached_property
    def id_kind_log_rates(self) -> np.ndarray:
        """float64 (n_concepts,): how readily annotators mean concepts whose ids are of this kind, 0 or less.

        The logarithm of distinct annotated texts (and one more) for each concept of the kind, relative to the kind that
        has the most; 0 for all where there are no precedents. Of one kind are ids that share their prefix and the
        letters after it: ``MESH:D…``, ``MESH:C…``, ``OMIM:…``.
        """
        import pyarrow.compute as pc

        precedents = self.owner_concept[self.owner_scope >= MENTION]
        if not len(precedents):
            return np.zeros(self.n_concepts)
        kinds = pc.replace_substring_regex(self._concepts["id"], r"^([^:]*:[A-Za-z_]*).*$", r"\1").dictionary_encode()
        kind = numbers(kinds.indices)
        texts = np.bincount(kind[precedents], minlength=len(kinds.dictionary)) + 1
        rate = np.log(texts / np.bincount(kind))
        return np.asarray((rate - rate.max())[kind])

    @cached_property
    def _letters(self) -> tuple[np.ndarray, np.ndarray]:
        """See :func:`_by_letters`; tables of belink 0.1's first indices come without."""
        if not (self._folder / _LETTERS[0]).exists():
            return _by_letters(_lists(self._names))
        letters, rows = (np.load(self._folder / file, mmap_mode="r") for file in _LETTERS)
        return letters, rows

    def find(self, names: Sequence[str]) -> np.ndarray:
        """Return int64 (n,): the row of each normalised name, -1 where the table does not hold it."""
        rows = np.full(len(names), -1, np.int64)
        if not len(names) or not self.n_names:
            return rows
        query_hashes = hashes(names)
        for i, row in enumerate(np.searchsorted(self._hashes, query_hashes)):
            while row < self.n_names and self._hashes[row] == query_hashes[i]:  # several only where hashes collide
                if self._names[int(row)].as_py() == names[i]:
                    rows[i] = row
                    break
                row += 1
        return rows

    def find_spelled(self, names: Sequence[str]) -> np.ndarray:
        """int64 (n,): as :meth:`find`, and of a name that is not held the only one that has the same letters.

        "simvastatin hydroxy acid" is found as "simvastatin hydroxyacid"; names of four characters and less are not.
        """
        rows = self.find(names)
        spelled = {i: names[i].replace(" ", "") for i in np.flatnonzero(rows < 0).tolist()}
        missing = {i: letters for i, letters in spelled.items() if len(letters) >= _SAME_LETTERS}
        if not missing or not self.n_names:
            return rows
        known, of = self._letters
        query_hashes = hashes(list(missing.values()))
        first, last = (np.searchsorted(known, query_hashes, side=side) for side in ("left", "right"))
        for (i, letters), start, end in zip(missing.items(), first.tolist(), last.tolist(), strict=True):
            same = [row for row in of[start:end].tolist() if self._names[row].as_py().replace(" ", "") == letters]
            if len(same) == 1:
                rows[i] = same[0]
        return rows

    def rows_in(self, other: "NameTable") -> np.ndarray:
        """Return int64 (n_names,): the row of each name in ``other``, -1 where it does not hold it."""
        import pyarrow.compute as pc

        rows = np.full(self.n_names, -1, np.int64)
        if not other.n_names or not self.n_names:
            return rows
        at = np.minimum(np.searchsorted(other._hashes, self._hashes), other.n_names - 1)
        own_rows = np.flatnonzero(other._hashes[at] == self._hashes)
        # Of names whose hashes collide the first is compared; should it be the other one, a vector is made again.
        same = pc.equal(self._names.take(row_array(own_rows)), other._names.take(row_array(at[own_rows]))).to_numpy(
            zero_copy_only=False
        )
        rows[own_rows[same]] = at[own_rows][same]
        return rows

    def rows_of_texts(self, texts: "Sequence[pa.Array]") -> np.ndarray:
        """Return int64 (n,): the row of the name that each text is as some source writes it, -1 for none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        owners = pc.index_in(pa.chunked_array([text.cast(pa.large_string()) for text in texts]), self._owner_text)
        owners = np.asarray(pc.fill_null(owners, -1), np.int64)
        return np.where(owners >= 0, self.owner_names(owners), -1)

    def names_and_hashes(self, rows: np.ndarray) -> tuple["pa.Array", np.ndarray]:
        """Return the normalised names in ``rows``, and uint64 (n,), their hashes."""
        return self._names.take(row_array(rows)), self._hashes[rows]

    def owners(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Two int64 (m,): positions in ``rows``, ascending, and the owner rows of the names there."""
        return expand(self._starts, rows)

    def owner_names(self, owners: np.ndarray) -> np.ndarray:
        """int64 (n,): the name rows of ``owners`` (owner rows)."""
        return np.searchsorted(self._starts, owners, side="right") - 1

    def of_concepts(self, concepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Two int64 (m,): positions in ``concepts`` (rows), ascending, and the owner rows of their names."""
        which, at = expand(self._concept_starts, concepts)
        return which, self._of_concept[at].astype(np.int64)

    def owner_texts(self, owners: np.ndarray) -> list[str]:
        """The names of ``owners`` (owner rows) as their source writes them."""
        texts: list[str] = self._owner_text.take(row_array(owners)).to_pylist()
        return texts

    def concept_row(self, concept_id: str) -> int:
        """The row of a concept, -1 where the table does not hold it."""
        import pyarrow.compute as pc

        row: int = pc.index(self._concepts["id"], text_scalar(concept_id)).as_py()
        return row

    def concepts(self, rows: np.ndarray) -> dict[str, list[str]]:
        """``id``, ``label`` ("" where there is none), ``ontology`` and ``release`` of ``rows``, each as a column."""
        return {name: column.take(row_array(rows)).to_pylist() for name, column in self._concepts.items()}
