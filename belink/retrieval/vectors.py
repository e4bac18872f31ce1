"""The dense vectors of an index and their nearest-neighbour search, exact or compressed.

Vectors are unit rows of float16 in one memory-mapped file. Few are compared exactly. Of many, FAISS proposes neighbours
from compressed codes, which are read into memory (some 80 bytes a name), and the stored vectors rank them. Only this
module imports faiss.
"""

import mmap
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import faiss

RECIPE = "PCA{dimension},L2norm,IVF{lists},PQ{dimension}x4fs"
"""The recipe of a compressed index for ``faiss.index_factory``: four bits a dimension, compared in registers.

Without L2norm a search reads twice the lists for the same recall. Eight bits a dimension take twice the room and time.
"""

STORED = "vectors.npy"
COMPRESSED = "index.faiss"
ROWS = 65_536  # vectors copied or added at a time
FEWEST = 1_000  # vectors that a compressed index needs for its training
_SAMPLE = 262_144  # vectors that a compressed index is trained on, at most
_PROPOSED = 10  # neighbours that a compressed index proposes for each one queries for
_PROPOSED_AT_LEAST = 400
_LISTS_READ = 32  # lists of a compressed index read a query; raised by half at a time until the recall is reached
_RECALL = 0.99  # recall@10 against exact search


class Vectors:
    """The vectors of an index. Methods may be called from several threads."""

    def __init__(self, folder: Path, lists_read: int | None = None) -> None:
        """Open the vectors in ``folder``.

        :param lists_read: of a compressed index, for each query.
        """
        self._folder = folder
        self._lists_read = lists_read or _LISTS_READ
        self.stored: np.ndarray = np.load(folder / STORED, mmap_mode="r")  # float16 (n, dimension), unit rows

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest neighbours, best first: rows int64 (n, k) and cosines float32 (n, k).

        Where there are fewer than k, the row is -1.

        :param queries: float32 (n, dimension), unit rows.
        """
        if not len(queries) or not k:
            return np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        if self._compressed is None:
            scores, rows = self._exact.search(queries, k)
            return rows, scores
        # Compressed codes blur the order, so more are proposed than are needed, and the stored vectors decide.
        _, proposed = self._compressed.search(queries, max(_PROPOSED * k, _PROPOSED_AT_LEAST))
        which, at = np.nonzero(proposed >= 0)
        scores = np.full(proposed.shape, -np.inf, np.float32)
        scores[which, at] = self.cosines(queries, which, proposed[which, at])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(proposed, best, axis=1), np.take_along_axis(scores, best, axis=1)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return float32 (n, dimension): the vectors in ``rows``."""
        return to_float32(np.take(self._rows, rows, axis=0))

    def cosines(self, queries: np.ndarray, which: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return float32 (n,), -1 to 1: the cosine of ``queries[which[i]]`` and the vector in ``rows[i]``.

        :param which: int64 (n,), ascending.
        """
        cosines = np.empty(len(rows), np.float32)
        bounds = np.searchsorted(which, np.arange(len(queries) + 1))
        for vector, start, end in zip(queries, bounds[:-1], bounds[1:], strict=True):
            cosines[start:end] = self.of(rows[start:end]) @ vector
        return cosines.clip(-1, 1)

    def read_lists(self, n: int) -> None:
        """Read ``n`` lists of a compressed index for each query from now on; not while another thread searches."""
        import faiss

        if self._compressed is not None:
            faiss.extract_index_ivf(self._compressed).nprobe = n

    @property
    def n_lists(self) -> int:
        """Lists of a compressed index, of which a search reads some; 0 for an exact one."""
        import faiss

        return 0 if self._compressed is None else int(faiss.extract_index_ivf(self._compressed).nlist)

    @cached_property
    def _rows(self) -> np.ndarray:
        """(n, dimension): as they are stored or, where they lie in memory for exact search, float32 already."""
        import faiss

        if self._compressed is None:
            # A view into FAISS's own memory, without a copy. It is valid as long as the index, which is cached beside
            # it.
            inside: np.ndarray = faiss.rev_swig_ptr(self._exact.get_xb(), self._exact.ntotal * self._exact.d)
            return inside.reshape(self._exact.ntotal, self._exact.d)
        return at_random(self._folder / STORED)

    @cached_property
    def _exact(self) -> "faiss.IndexFlatIP":
        import faiss

        # FAISS compares a few queries one by one, five times slower than as a product of matrices.
        faiss.cvar.distance_compute_blas_threshold = 1
        index = faiss.IndexFlatIP(self.stored.shape[1])
        for part in parts(len(self.stored), ROWS):
            index.add(self.stored[part].astype(np.float32))
        return index

    @cached_property
    def _compressed(self) -> "faiss.Index | None":
        if not (self._folder / COMPRESSED).is_file():
            return None
        import faiss

        index = faiss.read_index(str(self._folder / COMPRESSED), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        faiss.extract_index_ivf(index).nprobe = self._lists_read
        return index


def to_float32(vectors: np.ndarray) -> np.ndarray:
    """Return ``vectors`` as float32, the same values.

    NumPy takes twenty times as long for this as PyTorch, longer than all the rest of a compressed search. But where
    nothing else has imported PyTorch there are few vectors, and the import alone takes a second.
    """
    torch = sys.modules.get("torch")
    if vectors.dtype == np.float32 or torch is None:
        return vectors.astype(np.float32, copy=False)
    converted: np.ndarray = torch.from_numpy(vectors).float().numpy()
    return converted


def parts(n: int, size: int) -> Iterator[slice]:
    """Yield ``range(n)`` in slices of ``size``."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def at_random(path: Path) -> np.ndarray:
    """Return the array in ``path``, memory-mapped for random access: without the advice some disks read 8 MiB a row."""
    array: Any = np.load(path, mmap_mode="r")
    if hasattr(array.base, "madvise"):
        array.base.madvise(mmap.MADV_RANDOM)
    return np.asarray(array)


def compress(folder: Path) -> None:
    """Write a compressed FAISS index of the vectors, at least ``FEWEST``, stored in ``folder``, in bounded memory."""
    import faiss

    vectors = np.load(folder / STORED, mmap_mode="r")
    n, dimension = vectors.shape
    # Rows are in the order of a hash, so the first ones are a random sample.
    sample = vectors[:_SAMPLE].astype(np.float32)
    # FAISS's wiki (Guidelines to choose an index): 4 to 16 times the root of n lists, and 39 training vectors or more
    # for each.
    n_lists = int(min(max(4 * np.sqrt(n), 64), 16_384, len(sample) // 40))
    recipe = RECIPE.format(dimension=min(dimension, 128), lists=n_lists)
    # The inner product of unit vectors is their cosine.
    index = faiss.index_factory(dimension, recipe, faiss.METRIC_INNER_PRODUCT)
    index.train(sample)
    for part in parts(n, ROWS):
        index.add(vectors[part].astype(np.float32))
    faiss.write_index(index, str(folder / COMPRESSED))


def measure_recall(folder: Path, n: int) -> dict[str, Any]:
    """Return ``recall_at_10`` of the index in ``folder``, and ``lists_read``, how many lists a search reads for it.

    Recall is the share of the ten nearest neighbours that a search returns, over ``n`` stored vectors, the vector
    itself left out. A neighbour as near as the tenth counts as one of the ten.
    """
    stored = Vectors(folder).stored
    n, k = min(n, len(stored)), min(10, len(stored) - 1)
    if k < 1 or n < 1:
        return {"recall_at_10": 1.0, "lists_read": _LISTS_READ}
    queries = np.asarray(stored[:n], np.float32)  # a random sample: rows are in the order of a hash
    # One neighbour more is asked for, since each query finds itself first.
    tenth = _without_self(*nearest_exactly(stored, queries, k + 1))[:, k - 1]
    vectors, lists_read = Vectors(folder), _LISTS_READ
    while True:
        vectors.read_lists(lists_read)
        scores = _without_self(*vectors.search(queries, k + 1))[:, :k]
        # The two searches round differently, hence the tolerance.
        recall = float((scores >= tenth[:, None] - 1e-4).mean())
        more = lists_read + (lists_read + 1) // 2
        if recall >= _RECALL or more > vectors.n_lists:
            return {"recall_at_10": round(recall, 4), "lists_read": lists_read}
        lists_read = more


def _without_self(rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the scores of the neighbours of vector i other than itself, best first."""
    # Query i is row i, because queries are the first rows.
    others = np.where(rows == np.arange(len(rows))[:, None], -np.inf, scores)
    return -np.sort(-others, axis=1)


def nearest_exactly(vectors: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows int64 (n, k) and scores float32 (n, k) of the nearest of ``vectors``, read part by part."""
    import faiss

    # ``keep_max``: a larger inner product is nearer.
    merged = faiss.ResultHeap(len(queries), k, keep_max=True)
    for part in parts(len(vectors), ROWS):
        shard = vectors[part].astype(np.float32)
        scores, rows = faiss.knn(queries, shard, min(k, len(shard)), metric=faiss.METRIC_INNER_PRODUCT)
        merged.add_result(scores, rows + part.start)
    merged.finalize()
    return merged.I, merged.D
