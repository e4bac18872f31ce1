"""Names by their characters: cosine of TF-IDF weighted character n-grams.

Hashed n-grams need no stored vocabulary, so the index is four arrays and the same text gives the same row in every
release; only the weights change with the names.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BUCKETS = 2**20
_NGRAMS = (2, 4)
_ARRAYS = ("data", "indices", "indptr", "idf")
_COMMON = 0.2  # n-grams of more than this share of the names find nothing in particular and cost the most


class LexicalIndex:
    """n-gram rows of the names, in the order of the index."""

    def __init__(self, rows: Any, idf: "NDArray[np.float32]") -> None:
        self._rows = rows  # scipy CSR float32 (n_names, _BUCKETS), unit rows
        self._idf = idf
        # Postings: what a query needs; common n-grams are looked at only when names are compared one by one.
        common = np.diff(rows.tocsc().indptr) > max(_COMMON * rows.shape[0], 50)
        self._rare = np.where(common, np.float32(0), np.float32(1))
        self._postings = rows.T.tocsr()

    @classmethod
    def build(cls, names: Sequence[str]) -> Self:
        """The index of normalised ``names``."""
        from scipy.sparse import diags_array

        counts = _counts(names)
        frequency = np.bincount(counts.indices, minlength=_BUCKETS)
        idf = (np.log((1 + len(names)) / (1 + frequency)) + 1).astype(np.float32)
        return cls(_unit((counts @ diags_array(idf)).tocsr()), idf)

    def save(self, folder: Path) -> None:
        """Write the arrays into ``folder``, which is made."""
        folder.mkdir()
        for name, array in zip(
            _ARRAYS, (self._rows.data, self._rows.indices, self._rows.indptr, self._idf), strict=True
        ):
            np.save(folder / f"{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The index that :meth:`save` wrote."""
        from scipy.sparse import csr_array

        data, indices, indptr, idf = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS)
        return cls(csr_array((data, indices, indptr), shape=(len(indptr) - 1, _BUCKETS)), np.asarray(idf))

    def rows_of(self, texts: Sequence[str]) -> Any:
        """CSR float32 (n_texts, n_buckets): unit rows of normalised ``texts``, to search and compare with."""
        from scipy.sparse import diags_array

        return _unit((_counts(texts) @ diags_array(self._idf)).tocsr())

    def search(self, queries: Any, k: int) -> "list[NDArray[np.int64]]":
        """For each row of ``queries`` at most ``k`` positions of names that share n-grams with it, best first."""
        from scipy.sparse import diags_array

        scores = ((queries @ diags_array(self._rare)).tocsr() @ self._postings).tocsr()
        found = []
        for start, end in zip(scores.indptr[:-1], scores.indptr[1:], strict=True):
            values, names = scores.data[start:end], scores.indices[start:end]
            if len(values) > k:
                best = np.argpartition(-values, k)[:k]
                values, names = values[best], names[best]
            found.append(names[np.argsort(-values, kind="stable")].astype(np.int64))
        return found

    def cosines(self, query: Any, names: "NDArray[np.int64]") -> "NDArray[np.float32]":
        """float32 (n,), 0 to 1: the similarity of one query row with each of ``names``, given by position."""
        return np.asarray((self._rows[names] @ query.T).toarray()[:, 0], dtype=np.float32)


def _counts(texts: Sequence[str]) -> Any:
    """Damped n-gram counts; short texts differ by which n-grams they have, not by how often."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=_NGRAMS, n_features=_BUCKETS, norm=None, alternate_sign=False, lowercase=False,
        dtype=np.float32,
    )  # fmt: skip
    counts = vectorizer.transform(texts).tocsr()
    counts.data = 1 + np.log(counts.data)
    return counts


def _unit(rows: Any) -> Any:
    from sklearn.preprocessing import normalize

    return normalize(rows, copy=False).astype(np.float32)
