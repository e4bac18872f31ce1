"""Character trigrams of names as sparse TF-IDF vectors, and the nearest names of a query.

scikit-learn makes the vectors and sparse_dot_topn searches them. On the 542,995 chemical names of MeSH none of the
methods in ``tests/benchmarks/bench_lexical.py`` finds more of the right concepts among ten or twenty. The search reads
rare trigrams only (twice as fast there, the same recall); the names that it finds are then compared by all trigrams.

All data are memory-mapped arrays; nothing is unpickled. scikit-learn is imported only for texts that are no names.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from belink.errors import IndexMismatch

if TYPE_CHECKING:
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import HashingVectorizer

FORMAT = 1
_BUCKETS = 1 << 20
_SHARD = 100_000  # names turned into vectors at a time
_RARE = 0.05  # trigrams in a larger share of the names are not searched,
_ALWAYS_SEARCHED = 1_000  # unless they are in no more names than this,
_NEVER_SEARCHED = 60_000  # nor in more than this: 2.7 million names of taxa are searched in two thirds of the time
_PARTS = ("data", "indices", "indptr")


class TrigramIndex:
    """The trigram vectors of an index's names, opened for reading."""

    def __init__(self, idf: np.ndarray, rows: "sp.csr_matrix", columns: "sp.csr_matrix") -> None:
        self._idf = idf  # float32 (n_buckets,)
        self._rows = rows  # (n_names, n_buckets), unit rows
        self._columns = columns  # (n_buckets, n_names), common trigrams empty

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the vectors that :func:`build` wrote into ``folder``, memory-mapped.

        :raises IndexMismatch: they were written in another format.
        """
        import scipy.sparse as sp

        about = json.loads((folder / "lexical.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise IndexMismatch(
                f"{folder}: expected lexical vectors of format {FORMAT}, found {about['format']}; build the index again"
            )

        def opened(name: str, shape: tuple[int, int]) -> "sp.csr_matrix":
            # sparse_dot_topn takes writable arrays only; "c" gives such and never writes to the file.
            parts = [np.load(folder / f"lexical-{name}-{part}.npy", mmap_mode="c") for part in _PARTS]
            return sp.csr_matrix(tuple(parts), shape=shape, copy=False)

        idf = np.load(folder / "lexical-idf.npy")
        n_names = about["names"]
        rows, columns = opened("rows", (n_names, _BUCKETS)), opened("columns", (_BUCKETS, n_names))
        return cls(idf, rows, columns)

    @cached_property
    def _vectorizer(self) -> "HashingVectorizer":
        return _vectorizer()

    def vectors(self, texts: Sequence[str], rows: np.ndarray | None = None) -> "sp.csr_matrix":
        """Return float32 (n, n_buckets) unit rows, sparse; an empty text is a row of zeros.

        :param rows: int64 (n,): where a name equals the text, its row, else -1. Stored vectors are returned for those,
            which do not need scikit-learn, whose import takes a second.
        """
        import scipy.sparse as sp

        if rows is None:
            return _weighted(self._vectorizer.transform(texts), self._idf)
        new = np.flatnonzero(rows < 0)
        stored = self._rows[rows[rows >= 0]]
        if not len(new):
            return stored
        made = self.vectors([texts[i] for i in new.tolist()])
        # Puts stored and new vectors back into the order of the texts.
        order = np.argsort(np.concatenate([np.flatnonzero(rows >= 0), new]))
        return sp.vstack([stored, made], format="csr")[order]

    def search(self, vectors: "sp.csr_matrix", k: int) -> list[np.ndarray]:
        """Return, for each of ``vectors``, the int32 rows of at most ``k`` names, roughly by cosine, best first."""
        if not k or not vectors.shape[0]:
            return [np.empty(0, np.int32)] * vectors.shape[0]
        from sparse_dot_topn import sp_matmul_topn

        # Only the k largest products of each row are kept, so the full product is never in memory.
        top = sp_matmul_topn(vectors, self._columns, top_n=k, sort=True, n_threads=_threads())
        return [top.indices[top.indptr[i] : top.indptr[i + 1]] for i in range(vectors.shape[0])]

    def join(self, counts: "sp.csr_matrix", rows: np.ndarray) -> "sp.csr_matrix":
        """Return float32 (n, n_buckets): the unweighted vectors in ``rows``, and ``counts`` between them.

        Without weights a vector is the trigrams' counts but for its length, which weighting makes one again.

        :param rows: int64 (n,), -1 for each row of ``counts``, in their order.
        """
        import scipy.sparse as sp

        is_new = rows < 0
        stored = self._rows[rows[~is_new]]
        stored.data /= self._idf[stored.indices]
        # Where each row of the result lies among the stored ones, which the new ones follow.
        at = np.empty(len(rows), np.int64)
        at[~is_new], at[is_new] = np.arange(stored.shape[0]), np.arange(stored.shape[0], len(rows))
        return sp.vstack([stored, counts], format="csr")[at]

    def cosines(self, vectors: "sp.csr_matrix", which: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return float32 (n,), 0 to 1: the cosine, by all trigrams, of ``vectors[which[i]]`` and name ``rows[i]``."""
        products = self._rows[rows].multiply(vectors[which])
        return np.asarray(products.sum(axis=1), np.float32).ravel().clip(0, 1)


def _threads() -> int:
    """Return as many threads as PyTorch and FAISS take, which OpenMP's own variable bounds."""
    declared = os.environ.get("OMP_NUM_THREADS", "")
    return int(declared) if declared.isdigit() and int(declared) else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Borrowed:
    """Vectors that an earlier index has of the same names, which need not be made again."""

    vectors: TrigramIndex
    rows: np.ndarray  # int64 (n_names,): where each name has its vector in there, -1 for none


def build(names: Iterable[str], n_names: int, folder: Path, borrowed: Borrowed | None = None) -> None:
    """Write the trigram vectors of the ``n_names`` normalised ``names`` into ``folder``.

    :param names: those that are not ``borrowed``, in the order of their rows.
    """
    from sklearn.preprocessing import normalize

    rows = _counts(names)
    if borrowed is not None:
        rows = borrowed.vectors.join(rows, borrowed.rows)
    has = np.bincount(rows.indices, minlength=_BUCKETS)  # names a trigram
    idf = (np.log((1 + n_names) / (1 + has)) + 1).astype(np.float32)
    rows = _weighted(rows, idf)
    _save(folder, "rows", rows)
    rare = has <= min(max(_RARE * n_names, _ALWAYS_SEARCHED), _NEVER_SEARCHED)
    # Products with common trigrams are most of the work and tell names apart least.
    rows.data *= rare[rows.indices]
    rows.eliminate_zeros()
    # Transposed, since sparse_dot_topn multiplies rows of queries by columns of names. Rows are of unit length again.
    _save(folder, "columns", normalize(rows, copy=False).T.tocsr())
    np.save(folder / "lexical-idf.npy", idf)
    (folder / "lexical.json").write_text(json.dumps({"format": FORMAT, "names": n_names}), encoding="utf-8")


def _counts(names: Iterable[str]) -> "sp.csr_matrix":
    """Return float32 (n, n_buckets): how often each of ``names`` has each trigram."""
    import scipy.sparse as sp

    vectorizer = _vectorizer()
    remaining = iter(names)
    shards = [vectorizer.transform(shard) for shard in iter(lambda: list(islice(remaining, _SHARD)), [])]
    rows = sp.vstack([sp.csr_matrix((0, _BUCKETS), dtype=np.float32), *shards], format="csr", dtype=np.float32)
    shards.clear()
    rows.sort_indices()
    return rows


def _vectorizer() -> "HashingVectorizer":
    from sklearn.feature_extraction.text import HashingVectorizer

    # Names are normalised already; a word's trigrams include the spaces around it. There are about 50,000 trigrams:
    # hashed into so many buckets they hardly meet, and no vocabulary has to be gathered before the first vector.
    return HashingVectorizer(
        analyzer="char_wb",
        ngram_range=(3, 3),
        n_features=_BUCKETS,
        alternate_sign=False,
        norm=None,
        lowercase=False,
        dtype=np.float32,
    )


def _weighted(counts: "sp.csr_matrix", idf: np.ndarray) -> "sp.csr_matrix":
    """Return TF-IDF weights, changed in place, as unit rows; as scikit-learn's TfidfTransformer with its defaults."""
    from sklearn.preprocessing import normalize

    counts.data *= idf[counts.indices]
    return normalize(counts, copy=False)


def _save(folder: Path, name: str, matrix: "sp.csr_matrix") -> None:
    for part in _PARTS:
        np.save(folder / f"lexical-{name}-{part}.npy", getattr(matrix, part))
