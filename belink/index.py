"""Names → vectors ↔ FAISS, borrowing from the index before.

An index belongs to a linker: the names of one or several releases, each name once, with its owners. A vector belongs to
(encoder, normalised name), so the index of a new release copies every vector that the one before has and encodes the
rest. What was encoded when a build is killed is kept beside the index and used by the next attempt.

Vectors are stored as float16 and compared exactly up to ``retrieval.exact_below`` names. Above, FAISS proposes
neighbours from compressed codes, which the stored vectors then rank; ``tests/benchmarks/bench_scale.py`` compares
recipes. Only this module imports faiss.
"""

import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from belink import artefact, nametable, text
from belink.declarations import Linker
from belink.errors import IndexMismatch, ReleaseError
from belink.lexical import Lexical
from belink.lexical import build as build_lexical
from belink.nametable import NameTable
from belink.records import Candidate
from belink.releases import Release, open_release

if TYPE_CHECKING:
    import faiss

log = logging.getLogger(__name__)

FORMAT = 2
VECTORS = "vectors.npy"
COMPRESSED = "index.faiss"
_SHARD = 8_192  # names encoded between two writes to the disk; what a killed build loses at most
_ROWS = 65_536  # vectors copied or added at a time
_SAMPLE = 262_144  # vectors that a compressed index is trained on, at most
_PROPOSED = 10  # neighbours that a compressed index proposes for each one asked for
_PROPOSED_AT_LEAST = 400
_LISTS_READ = 32  # of a compressed index, for each query; doubled
_RECALL = 0.99  # until recall@10 is this


class Encodes(Protocol):
    """What an index asks of an encoder."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexReport:
    """What building an index cost and gave."""

    path: Path
    names: int
    encoded: int  # names whose vectors were made
    reused: int  # names whose vectors an earlier index had
    recall_at_10: float  # against exact search, 0 to 1
    seconds: float


def build_index(
    releases: Sequence[Path],
    linker: Linker,
    encoder: Encodes,
    target_parent: Path,
    previous: Path | None = None,
    precedents: Sequence[tuple[str, str]] = (),
) -> IndexReport:
    """The index of ``releases`` under ``target_parent``; the one already there, where nothing changed.

    :param precedents: text and concept id of annotated mentions; they propose concepts as names do.
    :param previous: an index to borrow vectors from; one of another encoder or normalisation lends nothing.
    :raises ReleaseError: a release cannot be read.
    """
    from filelock import FileLock

    started = time.monotonic()
    about = _about(releases, linker, encoder, precedents)
    target = target_parent / artefact.key(about)
    target_parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target_parent / f".{target.name}.lock"):
        if artefact.exists(target):
            manifest = artefact.read_manifest(target)
            return _report(target, {**manifest, "encoded": 0, "reused": manifest["names"]}, started)
        work = target_parent / f".work-{target.name}"
        with artefact.build(target) as folder:
            manifest = {**about, **_fill(folder, releases, linker, encoder, _lender(previous, about), work, precedents)}
            files = sorted(path for path in folder.iterdir() if path.is_file())
            manifest["files"] = {path.name: artefact.sha256(path) for path in files}
            artefact.write_manifest(folder, manifest)
        shutil.rmtree(work, ignore_errors=True)
    return _report(target, manifest, started)


def _about(
    releases: Sequence[Path], linker: Linker, encoder: Encodes, precedents: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Everything that determines an index."""
    manifests = [artefact.read_manifest(path) for path in releases]
    return {
        "format": FORMAT,
        "text_version": text.VERSION,
        "encoder": encoder.fingerprint,
        "releases": {
            manifest["ontology"]: {key: manifest.get(key) for key in ("version", "sha256", "database_sha256")}
            for manifest in manifests
        },
        "prefixes": list(linker.prefixes),
        "exact_below": linker.retrieval.exact_below,
        "precedents": artefact.key(sorted(precedents)),
    }


def _report(path: Path, manifest: dict[str, Any], started: float) -> IndexReport:
    told = {key: manifest[key] for key in ("names", "encoded", "reused", "recall_at_10")}
    return IndexReport(path=path, seconds=round(time.monotonic() - started, 3), **told)


def _lender(previous: Path | None, about: dict[str, Any]) -> "Index | None":
    if previous is None or not artefact.exists(previous):
        return None
    manifest = artefact.read_manifest(previous)
    if any(manifest.get(key) != about[key] for key in ("format", "text_version", "encoder")):
        log.info("%s was made by another encoder or normalisation; every name is encoded again", previous)
        return None
    return Index.load(previous)


def _fill(
    folder: Path,
    releases: Sequence[Path],
    linker: Linker,
    encoder: Encodes,
    lender: "Index | None",
    work: Path,
    precedents: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    with ExitStack() as opened:
        sources = [opened.enter_context(open_release(path)) for path in releases]
        nametable.build([_of_release(source, linker.prefixes) for source in sources], folder, precedents)
    table = NameTable.load(folder)
    if not table.n_names:
        raise ReleaseError(
            f"{', '.join(str(path) for path in releases)}: expected live concepts with names, found none of the "
            f"prefixes {', '.join(linker.prefixes) or 'declared'}; check the ontology's declaration and the linker's"
        )
    encoded = _fill_vectors(folder, table, encoder, lender, work)
    build_lexical(table.names(), table.n_names, folder)
    if table.n_names >= linker.retrieval.exact_below:
        _compress(folder)
    counts = {"names": table.n_names, "concepts": table.n_concepts, "dimension": encoder.dimension}
    measured = _measured(folder, counts, linker.evaluation.index_queries)
    return {**counts, **measured, "encoded": encoded, "reused": table.n_names - encoded}


def _of_release(release: Release, prefixes: Sequence[str]) -> nametable.OfRelease:
    return nametable.OfRelease(
        ontology=release.ontology,
        version=release.version,
        concepts=release.concepts_table(prefixes=prefixes).select(["id", "label"]),
        names=release.name_batches(prefixes=prefixes),
    )


def _fill_vectors(folder: Path, table: NameTable, encoder: Encodes, lender: "Index | None", work: Path) -> int:
    """Write the vectors of all names; the number of those that had to be encoded."""
    vectors = np.lib.format.open_memmap(
        folder / VECTORS, mode="w+", dtype=np.float16, shape=(table.n_names, encoder.dimension)
    )
    missing = np.ones(table.n_names, bool)
    if lender is not None:
        here, there = table.shared(lender.table)
        for part in _parts(len(here), _ROWS):
            vectors[here[part]] = lender.vectors[there[part]]
        missing[here] = False
    rows = np.flatnonzero(missing)
    for part, shard in _encoded(table, rows, encoder, work):
        vectors[rows[part]] = shard
    vectors.flush()
    return len(rows)


def _encoded(table: NameTable, rows: np.ndarray, encoder: Encodes, work: Path) -> Iterator[tuple[slice, np.ndarray]]:
    """Each part of ``rows`` with its vectors, float16; those of an attempt that was killed are read back."""
    work.mkdir(exist_ok=True)
    for part in _parts(len(rows), _SHARD):
        names = list(table.names(rows[part]))
        stored = work / f"{artefact.key([encoder.fingerprint, names])}.npy"
        if stored.is_file():
            yield part, np.load(stored)
            continue
        shard = encoder.encode(names).astype(np.float16)
        unfinished = stored.with_suffix(".part")
        with unfinished.open("wb") as stream:
            np.save(stream, shard)
        unfinished.rename(stored)
        log.info("encoded %d of %d names", part.stop, len(rows))
        yield part, shard


def _parts(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def _compress(folder: Path) -> None:
    """Write a compressed FAISS index of the stored vectors, in bounded memory."""
    import faiss

    vectors = np.load(folder / VECTORS, mmap_mode="r")
    n, dimension = vectors.shape
    # Rows are in the order of a hash, so the first ones are a random sample.
    sample = vectors[:_SAMPLE].astype(np.float32)
    n_lists = int(min(max(4 * np.sqrt(n), 64), 16_384, len(sample) // 40))
    kept = min(dimension, 128)
    index = faiss.index_factory(dimension, f"PCA{kept},IVF{n_lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(sample)
    for part in _parts(n, _ROWS):
        index.add(vectors[part].astype(np.float32))
    faiss.write_index(index, str(folder / COMPRESSED))


def _measured(folder: Path, manifest: dict[str, Any], n: int) -> dict[str, Any]:
    """The recall of the index in ``folder``, and how many lists a compressed one reads to reach it.

    Recall is the share of the ten nearest names that a search finds, over ``n`` names asked for their neighbours, not
    themselves; one as near as the tenth counts as one of the ten.
    """
    index = Index(folder, manifest)
    n, k = min(n, index.table.n_names), min(10, index.table.n_names - 1)
    if k < 1 or n < 1:
        return {"recall_at_10": 1.0, "lists_read": _LISTS_READ}
    asked = np.asarray(index.vectors[:n], np.float32)  # a random sample: rows are in the order of a hash
    tenth = _without_self(*_nearest_exactly(index.vectors, asked, k + 1))[:, k - 1]
    lists_read = _LISTS_READ
    while True:
        index = Index(folder, {**manifest, "lists_read": lists_read})
        found = _without_self(*index.search(asked, k + 1))[:, :k]
        recall = float((found >= tenth[:, None] - 1e-4).mean())
        if recall >= _RECALL or 2 * lists_read > index.n_lists:
            return {"recall_at_10": round(recall, 4), "lists_read": lists_read}
        lists_read *= 2


def _without_self(rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The scores, best first, of what query i found other than row i."""
    others = np.where(rows == np.arange(len(rows))[:, None], -np.inf, scores)
    return -np.sort(-others, axis=1)


def _nearest_exactly(vectors: np.ndarray, asked: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows int64 (n, k) and scores float32 (n, k) of the nearest of ``vectors``, read part by part."""
    import faiss

    merged = faiss.ResultHeap(len(asked), k, keep_max=True)
    for part in _parts(len(vectors), _ROWS):
        shard = vectors[part].astype(np.float32)
        scores, rows = faiss.knn(asked, shard, min(k, len(shard)), metric=faiss.METRIC_INNER_PRODUCT)
        merged.add_result(scores, rows + part.start)
    merged.finalize()
    return merged.I, merged.D


class Index:
    """An index, opened for reading: its arrays are memory-mapped. Methods may be called from several threads."""

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.dimension: int = manifest["dimension"]
        self.table = NameTable.load(path)
        self.vectors: np.ndarray = np.load(path / VECTORS, mmap_mode="r")  # float16 (n_names, dimension), unit rows

    @classmethod
    def load(cls, path: Path) -> Self:
        """The index at ``path``.

        :raises IndexMismatch: nothing complete lies there, or another version of belink made it.
        """
        if not artefact.exists(path):
            raise IndexMismatch(f"{path}: expected an index, found no complete one; run belink index again")
        manifest = artefact.read_manifest(path)
        for key, expected in (("format", FORMAT), ("text_version", text.VERSION)):
            if manifest.get(key) != expected:
                raise IndexMismatch(
                    f"{path}: expected an index of {key} {expected}, found {manifest.get(key)}; run belink index again"
                )
        return cls(path, manifest)

    def check(self, encoder: Encodes) -> None:
        """:raises IndexMismatch: the vectors were made by another encoder."""
        if encoder.fingerprint != self.manifest["encoder"]:
            raise IndexMismatch(
                f"{self.path}: expected the encoder {self.manifest['encoder']} that made the vectors, found "
                f"{encoder.fingerprint}; run belink index again with this encoder"
            )

    def __contains__(self, concept_id: str) -> bool:
        return self.table.concept_row(concept_id) >= 0

    def candidate(self, concept_id: str) -> Candidate:
        """A concept by its id, as search answers with it.

        :raises KeyError: it is not in the index.
        """
        row = self.table.concept_row(concept_id)
        if row < 0:
            raise KeyError(concept_id)
        (concept,) = self.table.concepts(np.array([row]))
        return Candidate(**concept, name=concept["label"], scope="label", score=1.0)  # type: ignore[arg-type]

    def names(self) -> Iterator[str]:
        """Every normalised name once."""
        return self.table.names()

    def exact(self, names: Sequence[str]) -> list[list[int]]:
        """For each normalised name the rows of the concepts it names, the one it is the label of first."""
        rows = self.table.find(names)
        found: list[list[int]] = [[] for _ in names]
        known = np.flatnonzero(rows >= 0)
        which, owners = self.table.owners(rows[known])
        order = np.lexsort((self.table.owner_scope[owners], which))
        for i, concept in zip(known[which[order]], self.table.owner_concept[owners[order]], strict=True):
            found[i].append(int(concept))
        return found

    def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 (n, k) and cosines float32 (n, k) of the nearest names, best first; row -1 where there are fewer.

        :param vectors: float32 (n, dimension), unit rows.
        """
        if not len(vectors) or not k:
            return np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k), np.float32)
        if self._compressed is None:
            scores, rows = self._exact.search(vectors, k)
            return rows, scores
        _, proposed = self._compressed.search(vectors, max(_PROPOSED * k, _PROPOSED_AT_LEAST))
        which, at = np.nonzero(proposed >= 0)
        scores = np.full(proposed.shape, -np.inf, np.float32)
        scores[which, at] = self.cosines(vectors, which, proposed[which, at])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(proposed, best, axis=1), np.take_along_axis(scores, best, axis=1)

    def cosines(self, vectors: np.ndarray, which: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """float32 (n,), -1 to 1: the cosine of ``vectors[which[i]]`` and the name in ``rows[i]``; ``which`` ascends."""
        cosines = np.empty(len(rows), np.float32)
        bounds = np.searchsorted(which, np.arange(len(vectors) + 1))
        for vector, start, end in zip(vectors, bounds[:-1], bounds[1:], strict=True):
            cosines[start:end] = self._rows[rows[start:end]].astype(np.float32, copy=False) @ vector
        return cosines.clip(-1, 1)

    @cached_property
    def lexical(self) -> Lexical:
        return Lexical.load(self.path)

    @cached_property
    def _exact(self) -> "faiss.IndexFlatIP":
        import faiss

        # FAISS compares a few queries one by one, five times slower than as a product of matrices.
        faiss.cvar.distance_compute_blas_threshold = 1
        index = faiss.IndexFlatIP(self.dimension)
        for part in _parts(len(self.vectors), _ROWS):
            index.add(self.vectors[part].astype(np.float32))
        return index

    @cached_property
    def _rows(self) -> np.ndarray:
        """(n_names, dimension): as they are stored or, where they lie in memory for exact search, float32 already."""
        import faiss

        if self._compressed is not None:
            return self.vectors
        inside: np.ndarray = faiss.rev_swig_ptr(self._exact.get_xb(), self._exact.ntotal * self._exact.d)
        return inside.reshape(self._exact.ntotal, self._exact.d)

    @cached_property
    def _compressed(self) -> "faiss.Index | None":
        if not (self.path / COMPRESSED).is_file():
            return None
        import faiss

        index = faiss.read_index(str(self.path / COMPRESSED), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        faiss.extract_index_ivf(index).nprobe = self.manifest.get("lists_read", _LISTS_READ)
        return index

    @property
    def n_lists(self) -> int:
        """Lists of a compressed index, of which a search reads some; 0 for an exact one."""
        import faiss

        return 0 if self._compressed is None else int(faiss.extract_index_ivf(self._compressed).nlist)
