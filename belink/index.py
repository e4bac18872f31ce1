"""Names ↔ vectors: the unique normalised names of one or several releases, encoded once, searched with FAISS.

A vector belongs to (encoder fingerprint, normalised name), so an index borrows from the one before it every vector
whose name it already has: the cost of a release follows what changed. A name of several concepts is one vector with
several owners. Everything is memory-mapped; nothing is pickled.
"""

import json
import logging
import shutil
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from belink import artefact, releases, text
from belink.declarations import Linker
from belink.encode import Encoder
from belink.errors import BelinkError, IndexMismatch
from belink.lexical import LexicalIndex
from belink.records import Candidate, Scope

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

FORMAT = 1
SHARD = 8192  # names encoded between two writes; what a killed build loses at most
_QUERIES = 1000
_K = 10
_RECALL = 0.98  # recall@10 that a compressed index is widened for
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """An index that lies in its place, and what it took."""

    path: Path
    names: int  # unique normalised names
    encoded: int
    reused: int
    recall_at_10: float  # of FAISS against exact search
    seconds: float


def build_index(
    folders: Sequence[Path], linker: Linker, encoder: Encoder, target_parent: Path, previous: Path | None
) -> IndexReport:
    """The index over the releases in ``folders``, below ``target_parent`` and named by its content.

    Only live concepts of the linker's prefixes (or each ontology's own) are in it. A build that was killed goes on at
    the last shard it had encoded.

    :param previous: an index to borrow vectors from; used where its encoder and normalisation are the same.
    """
    started = time.perf_counter()
    sources = {m["ontology"]: {"version": m["version"], "sha256": m["sha256"]} for m in map(_manifest, folders)}
    identity = {
        "format": FORMAT,
        "text_version": text.VERSION,
        "encoder": encoder.fingerprint,
        "dimension": encoder.dimension,
        "releases": sources,
        "prefixes": list(linker.prefixes),
        "exact_below": linker.retrieval.exact_below,
    }
    target = target_parent / artefact.key(identity)
    if artefact.exists(target):
        return _report(target, started)
    with artefact.build(target) as folder:
        names, n_concepts = _write_names(folder, folders, linker.prefixes)
        vectors, reused = _write_vectors(folder, names, encoder, previous, target_parent / f".shards-{target.name}")
        LexicalIndex.build(names).save(folder / "lexical")
        recall = _write_search(folder, vectors, linker.retrieval.exact_below, linker.evaluation.index_queries)
        counts = {"names": len(names), "concepts": n_concepts, "encoded": len(names) - reused, "reused": reused}
        artefact.write_manifest(folder, {**identity, **counts, "recall_at_10": recall})
    shutil.rmtree(target_parent / f".shards-{target.name}", ignore_errors=True)
    return _report(target, started)


def _manifest(folder: Path) -> dict[str, Any]:
    return artefact.read_manifest(folder)


def _report(target: Path, started: float) -> IndexReport:
    found = artefact.read_manifest(target)
    return IndexReport(
        path=target,
        names=found["names"],
        encoded=found["encoded"],
        reused=found["reused"],
        recall_at_10=found["recall_at_10"],
        seconds=time.perf_counter() - started,
    )


def _write_names(folder: Path, folders: Sequence[Path], prefixes: Sequence[str]) -> tuple[list[str], int]:
    """concepts.arrow, names.arrow (sorted), and who owns each name (owners.arrow, offsets.npy)."""
    import pyarrow as pa

    concepts: list[tuple[str, str, str, str]] = []
    keys: list[str] = []
    owners: list[tuple[int, str, str]] = []
    for path in folders:
        with releases.open_release(path) as release:
            rows = {}
            for concept in release.concepts_table(prefixes=prefixes).to_pylist():
                rows[concept["id"]] = len(concepts)
                concepts.append((concept["id"], concept["label"] or "", release.ontology, release.version))
            for batch in release.name_batches(prefixes=prefixes):
                for concept_id, name, scope in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    if key := text.normalise(name):
                        keys.append(key)
                        owners.append((rows[concept_id], name, scope))
    # Two spellings with one key and one owner are one entry: the first, which is the label where it is one.
    order = sorted(range(len(keys)), key=lambda i: (keys[i], owners[i][0], i))
    kept = [i for n, i in enumerate(order) if n == 0 or _entry(keys, owners, i) != _entry(keys, owners, order[n - 1])]
    names = [keys[i] for n, i in enumerate(kept) if n == 0 or keys[i] != keys[kept[n - 1]]]
    starts = [n for n, i in enumerate(kept) if n == 0 or keys[i] != keys[kept[n - 1]]]
    np.save(folder / "offsets.npy", np.array([*starts, len(kept)], np.int64))
    owned = list(zip(*(owners[i] for i in kept), strict=True)) or [(), (), ()]
    _write(
        folder / "owners.arrow",
        pa.table({"concept": pa.array(owned[0], pa.int32()), "name": owned[1], "scope": owned[2]}),
    )
    _write(folder / "names.arrow", pa.table({"name": pa.array(names, pa.large_string())}))
    columns = list(zip(*concepts, strict=True)) or [(), (), (), ()]
    _write(folder / "concepts.arrow", pa.table(dict(zip(("id", "label", "ontology", "release"), columns, strict=True))))
    if not names:
        raise BelinkError(
            f"{', '.join(str(path) for path in folders)}: expected live concepts with names, found none; "
            "check the prefixes of the ontology's declaration"
        )
    return names, len(concepts)


def _entry(keys: Sequence[str], owners: Sequence[tuple[int, str, str]], i: int) -> tuple[str, int]:
    return keys[i], owners[i][0]


def _write(path: Path, table: "pa.Table") -> None:
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _read(path: Path) -> "pa.Table":
    import pyarrow as pa

    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _write_vectors(
    folder: Path, names: Sequence[str], encoder: Encoder, previous: Path | None, shards: Path
) -> "tuple[NDArray[np.float16], int]":
    """vectors.npy float16 (n_names, d), and how many were borrowed."""
    vectors = np.lib.format.open_memmap(
        folder / "vectors.npy", mode="w+", dtype=np.float16, shape=(len(names), encoder.dimension)
    )
    new = np.ones(len(names), bool)
    if previous is not None:
        for here, there, borrowed in _borrowed(names, previous, encoder):
            vectors[here] = borrowed[there]
            new[here] = False
    missing = np.flatnonzero(new)
    shards.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(missing), SHARD):
        rows = missing[start : start + SHARD]
        shard = shards / f"{artefact.key([names[i] for i in rows])}.npy"
        if not shard.exists():
            aside = shard.with_suffix(".part")
            with aside.open("wb") as stream:
                np.save(stream, encoder.encode([names[i] for i in rows]).astype(np.float16))
            aside.replace(shard)
            log.info("encoded %d of %d new names", min(start + SHARD, len(missing)), len(missing))
        vectors[rows] = np.load(shard)
    vectors.flush()
    return vectors, len(names) - len(missing)


def _borrowed(
    names: Sequence[str], previous: Path, encoder: Encoder
) -> "Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float16]]]":
    """(rows here, rows there, the vectors there), where both indices have the name."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = artefact.read_manifest(previous)
    if (found.get("encoder"), found.get("text_version")) != (encoder.fingerprint, text.VERSION):
        return
    there = pc.index_in(pa.array(names, pa.large_string()), value_set=_read(previous / "names.arrow")["name"])
    known = there.is_valid().to_numpy(zero_copy_only=False)
    rows = there.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    yield np.flatnonzero(known), rows[known], np.load(previous / "vectors.npy", mmap_mode="r")


def _write_search(folder: Path, vectors: "NDArray[np.float16]", exact_below: int, n_queries: int) -> float:
    """index.faiss where the names are too many for exact search; the measured recall@10 either way.

    The queries are names' own vectors; what counts is the ten neighbours found, the name itself among them.
    """
    import faiss

    queries = np.random.default_rng(0).choice(len(vectors), min(n_queries, len(vectors)), replace=False)
    asked = vectors[np.sort(queries)].astype(np.float32)
    truth = _exact(vectors, asked, _K)
    if len(vectors) < exact_below:
        _, found = _flat(vectors).search(asked, _K)
        return _overlap(found, truth)
    index, recall = _compressed(vectors, asked, truth)
    faiss.write_index(index, str(folder / "index.faiss"))
    return recall


def _compressed(
    vectors: "NDArray[np.float16]", asked: "NDArray[np.float32]", truth: "NDArray[np.int64]"
) -> tuple[Any, float]:
    """An inverted file over 8-bit vectors, visiting as many lists as its recall needs."""
    import faiss

    n, dimension = vectors.shape
    n_lists = int(4 * np.sqrt(n))
    index: Any = faiss.index_factory(dimension, f"IVF{n_lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).choice(n, min(n, 40 * n_lists), replace=False)
    index.train(vectors[np.sort(sample)].astype(np.float32))
    for start in range(0, n, 65_536):
        index.add(vectors[start : start + 65_536].astype(np.float32))
    index.nprobe = 16
    while True:
        _, found = index.search(asked, _K)
        recall = _overlap(found, truth)
        if recall >= _RECALL or index.nprobe * 2 > n_lists:
            return index, recall
        index.nprobe *= 2


def _flat(vectors: "NDArray[np.float16]") -> Any:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    for start in range(0, len(vectors), 65_536):
        index.add(np.ascontiguousarray(vectors[start : start + 65_536], dtype=np.float32))
    return index


def _exact(vectors: "NDArray[np.float16]", asked: "NDArray[np.float32]", k: int) -> "NDArray[np.int64]":
    """The true ``k`` nearest rows (n_queries, k), by a plain product over blocks."""
    scores = np.full((len(asked), 0), -np.inf, np.float32)
    rows = np.zeros((len(asked), 0), np.int64)
    for start in range(0, len(vectors), 65_536):
        block = asked @ vectors[start : start + 65_536].astype(np.float32).T
        scores = np.concatenate([scores, block], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
    return rows


def _overlap(found: "NDArray[np.int64]", truth: "NDArray[np.int64]") -> float:
    if truth.size == 0:
        return 1.0
    return float(np.mean([len(np.intersect1d(f, t)) / len(t) for f, t in zip(found, truth, strict=True)]))


class Index:
    """An index, loaded: names, owners and vectors by position. Read-only; safe to share between threads."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        """Use :meth:`load`."""
        self.path = path
        self.manifest = manifest
        self._names = _read(path / "names.arrow")["name"].combine_chunks()
        self._owners = _read(path / "owners.arrow")
        self._concepts = _read(path / "concepts.arrow")
        self._offsets: NDArray[np.int64] = np.load(path / "offsets.npy", mmap_mode="r")
        self.owner_concepts: NDArray[np.int32] = self._owners["concept"].to_numpy()
        self.vectors: NDArray[np.float16] = np.load(path / "vectors.npy", mmap_mode="r")

    @classmethod
    def load(cls, path: Path) -> Self:
        """The index at ``path``.

        :raises IndexMismatch: it was made by another format or normalisation.
        """
        manifest = artefact.read_manifest(path)
        expected = {"format": FORMAT, "text_version": text.VERSION}
        found = {name: manifest.get(name) for name in expected}
        if found != expected:
            raise IndexMismatch(
                f"{path}: expected an index of {json.dumps(expected)}, found {found}; refresh the linker"
            )
        return cls(path, manifest)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, concept_id: str) -> bool:
        return concept_id in self._concept_rows

    @cached_property
    def _concept_rows(self) -> dict[str, int]:
        return {concept_id: row for row, concept_id in enumerate(self._concepts["id"].to_pylist())}

    @cached_property
    def lexical(self) -> LexicalIndex:
        return LexicalIndex.load(self.path / "lexical")

    @cached_property
    def _faiss(self) -> Any:
        import faiss

        stored = self.path / "index.faiss"
        return faiss.read_index(str(stored), faiss.IO_FLAG_MMAP) if stored.is_file() else _flat(self.vectors)

    def names(self) -> list[str]:
        """Every normalised name, sorted."""
        found: list[str] = self._names.to_pylist()
        return found

    def find(self, key: str) -> int | None:
        """The position of a normalised name."""
        row = bisect_left(range(len(self)), key, key=lambda i: self._names[i].as_py())
        return row if row < len(self) and self._names[row].as_py() == key else None

    def owners(self, row: int) -> range:
        """Positions of the owners of the name at ``row``, for ``owner_concepts`` and :meth:`owner_name`."""
        return range(int(self._offsets[row]), int(self._offsets[row + 1]))

    def owner_name(self, owner: int) -> tuple[str, Scope]:
        """The name as its source writes it, and its scope."""
        return self._owners["name"][owner].as_py(), self._owners["scope"][owner].as_py()

    def concept(self, row: int) -> tuple[str, str, str, str]:
        """Id, label, ontology and release of the concept at ``row``."""
        columns = (self._concepts[name] for name in ("id", "label", "ontology", "release"))
        concept_id, label, ontology, release = (column[row].as_py() for column in columns)
        return concept_id, label, ontology, release

    def candidate(self, concept_id: str) -> Candidate:
        """A concept by its id, as search answers with it.

        :raises KeyError: it is not in the index.
        """
        found, label, ontology, release = self.concept(self._concept_rows[concept_id])
        return Candidate(
            id=found, label=label, name=label, ontology=ontology, release=release, scope="label", score=1.0
        )

    def search(self, vectors: "NDArray[np.float32]", k: int) -> "NDArray[np.int64]":
        """int64 (n, k): the positions of the nearest names, best first; -1 where there are fewer."""
        _, rows = self._faiss.search(np.ascontiguousarray(vectors, dtype=np.float32), min(k, len(self)))
        found: NDArray[np.int64] = rows
        return found
