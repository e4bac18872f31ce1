"""Evidence → features: what retrieval and the re-ranker know of each option, as named columns of numbers.

:data:`OPTION`, :data:`NIL` and :data:`RERANKER` declare each feature once: how it is stored, which sign its weight may
take and where the weight stands without evidence. ``calibration`` fits the weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from belink.records import Candidate, Mention
from belink.text.caching import cache_short
from belink.text.normalise import normalise
from belink.text.variants import to_american

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Columns = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """A column of the design: a number of each option, or of the whole list for "None of the above"."""

    name: str
    stored_as: str = ""  # its name in calibration.json; "" for ``name``
    sign: int = 0  # 1: it can only speak for an option; -1: only against one; 0: either
    centre: float = 0.0  # the weight without evidence, for a feature of unit variance
    of_text: bool = False  # what annotated training text says; it holds less of mentions that training never saw
    of_found: bool = False  # not 0 only for mentions that a name finder found
    scaled: bool = True  # divided by its standard deviation

    @property
    def key(self) -> str:
        """The name in calibration.json."""
        return self.stored_as or self.name


# Without signs a few papers with many alike mentions teach that an exact match speaks against an option. The centre
# is retrieval's order, an exact match above all, and a re-ranker that counts little until it shows what it adds.
#
# Annotators prefer the concepts that they know: on mentions that training never saw, the features of the concept's
# names and annotations take accuracy from 70.4 to 73.8 % (NCBI-Disease) and from 72.4 to 77.6 % (BC5CDR disease) where
# precedents propose nothing. The words of a name are compared because cosines blur them: "type 1" and "type 2" are
# alike to trigrams and to the encoder.
OPTION = (
    Feature(name="score", sign=1, centre=0.8),
    Feature(name="rank", sign=1, centre=0.8),
    Feature(name="lead", sign=1),
    Feature(name="is_best_and_new", stored_as="first_new", sign=1, of_text=True),
    Feature(name="exact", sign=1, centre=1.0, scaled=False),
    Feature(name="sole_exact", sign=1, centre=3.0, scaled=False),
    Feature(name="lexical", sign=1),
    Feature(name="dense", sign=1),
    Feature(name="apposition_score", stored_as="apposed", sign=1),
    Feature(name="n_names", stored_as="names", of_text=True),
    Feature(name="mean_nearest_cosine", stored_as="nearby", sign=1, of_text=True),
    Feature(name="n_annotations", stored_as="meant", sign=1, of_text=True),
    Feature(name="is_annotated", stored_as="ever_meant", sign=1, of_text=True),
    Feature(name="n_annotated_names", stored_as="meant_as", sign=1, of_text=True),
    Feature(name="share_annotated", stored_as="meant_here", sign=1, of_text=True),
    Feature(name="nearest_annotation_cosine", stored_as="precedent", sign=1, of_text=True),
    Feature(name="id_kind_log_rate", stored_as="kind_meant", sign=1, of_text=True),
    Feature(name="is_short_form", sign=1, scaled=False),
    Feature(name="is_misspelling", sign=1, scaled=False),
    Feature(name="prominence", sign=1),
    Feature(name="is_moved", sign=1, scaled=False),
    Feature(name="nearness", sign=1, scaled=False),
    Feature(name="same_words", sign=1),
    Feature(name="numbers_lost", sign=-1),
    Feature(name="numbers_added", sign=-1),
    Feature(name="words_lost", sign=-1),
    Feature(name="words_added", sign=-1),
)
"""Features of an option; see :func:`options`."""

NIL = (
    Feature(name="nil.bias", stored_as="none.bias"),
    Feature(name="nil.best_score", stored_as="none.best_score"),
    Feature(name="nil.lead", stored_as="none.lead"),
    Feature(name="nil.any_exact", stored_as="none.any_exact", centre=-1.0, scaled=False),
    Feature(name="nil.best_lexical", stored_as="none.best_lexical"),
    Feature(name="nil.best_dense", stored_as="none.best_dense"),
    Feature(name="nil.n_options", stored_as="none.n_options"),
    Feature(name="nil.any_short_form", scaled=False),
    Feature(name="nil.any_misspelling", scaled=False),
    Feature(name="nil.any_moved", scaled=False),
    Feature(name="nil.nearness", scaled=False),
    Feature(name="nil.is_found", scaled=False, of_found=True),
    Feature(name="nil.is_found_and_annotated", scaled=False, of_found=True),
    Feature(name="nil.found.best_score", of_found=True),
    Feature(name="nil.found.lead", of_found=True),
    Feature(name="nil.found.any_exact", of_found=True),
    Feature(name="nil.found.best_lexical", of_found=True),
    Feature(name="nil.found.best_dense", of_found=True),
    Feature(name="nil.found.n_options", of_found=True),
    Feature(name="nil.found.has_long_form", scaled=False, sign=-1, of_found=True),
    Feature(name="nil.found.n_annotated", sign=-1, of_found=True),
    Feature(name="nil.found.n_not_annotated", sign=1, of_found=True),
)
"""Features of "None of the above"; see :func:`nil`."""

RERANKER = (
    Feature(name="option_log_probability", sign=1, centre=0.1),
    Feature(name="nil_log_probability", stored_as="none_log_probability", sign=1, centre=0.1),
)
"""The re-ranker's log-probability of an option, and of "None of the above"."""

RETRIEVAL = (*OPTION, *NIL)
ALL = (*RETRIEVAL, *RERANKER)

# "type ii" and "type 2" are the same number.
_ROMAN = dict(zip("i ii iii iv v vi vii viii ix x xi xii".split(), map(str, range(1, 13)), strict=True))
# Words that come and go between names of one concept.
_LOOSE_WORDS = frozenset("of the and in with due to by a an on or as for disease disorder syndrome type".split())


def design(
    mention: Mention, candidates: Sequence[Candidate], logits: "NDArray[np.float32] | None" = None
) -> "NDArray[np.float64]":
    """Return one row an option and a last one for "None of the above", shape (n + 1, n_features).

    :param logits: the re-ranker's, (n + 1,); ``None`` leaves its features out. Columns are in the order of :data:`ALL`,
        or of :data:`RETRIEVAL` without logits. Features of options are 0 in the last row, those of NIL in all others.
    """
    columns: dict[str, NDArray[np.float64] | float] = {**options(mention, candidates), **nil(mention, candidates)}
    if logits is not None:
        columns |= _of_reranker(logits)
    features = RETRIEVAL if logits is None else ALL
    rows = np.zeros((len(candidates) + 1, len(features)))
    for column, feature in enumerate(features):
        # NIL is one more option of the conditional logit. It shares no column with concepts, so its weights are its
        # own.
        rows[slice(-1) if is_of_option(feature) else -1, column] = columns[feature.name]
    return rows


def is_of_option(feature: Feature) -> bool:
    """Whether the feature has a value for each option, rather than one for "None of the above"."""
    return feature in OPTION or feature == RERANKER[0]


def options(mention: Mention, candidates: Sequence[Candidate]) -> "dict[str, NDArray[np.float64]]":
    """Return the features of :data:`OPTION` by name, float64 (n,) each.

    Ranks come from the scores, so candidates may be in any order. ``rank`` is -log(rank), 0 for the best; ``lead`` is
    how far the best stands before the second, 0 for all others; ``is_best_and_new`` is 1 for the best if training text
    never annotates it, so that annotated concepts are not preferred to it as to others. Flags are 0 or 1; ``n_…`` are
    log(1 + n). Words are compared in the best pairing of mention and long form with name and label: ``same_words`` is 0
    or 1, plurals and words like "disease" left aside; of numbers (roman ones too, single letters, anything with a
    digit) it counts only whether some are lost or added, of words how many.
    """
    if not candidates:
        return {feature.name: np.zeros(0) for feature in OPTION}
    score = np.array([candidate.score for candidate in candidates])
    # A stable sort keeps retrieval's order among equal scores.
    order = np.argsort(-score, kind="stable")
    best = np.arange(len(score)) == order[0]
    rank = np.empty(len(order))
    rank[order] = np.arange(1, len(order) + 1)
    exact = np.array([candidate.exact for candidate in candidates], dtype=float)
    evidence = _of_evidence(candidates)
    return {
        "score": score,
        "rank": -np.log(rank),
        "lead": np.where(best, _lead(score), 0.0),
        "is_best_and_new": best * (1.0 - evidence["is_annotated"]),
        "exact": exact,
        # Two exact matches are an ambiguous name, so neither of them gets the large weight of a sole one.
        "sole_exact": exact * (exact.sum() == 1),
        "lexical": np.array([candidate.lexical for candidate in candidates]),
        "dense": np.array([candidate.dense for candidate in candidates]),
        **evidence,
        **_of_words(mention, candidates),
    }


def nil(mention: Mention, candidates: Sequence[Candidate]) -> dict[str, float]:
    """Return the features of :data:`NIL` by name: what the whole list says of there being no right option.

    A mention that a name finder found may be no mention at all, which a marked one is not: ``nil.is_found`` is 1 or 0.
    So what its list says counts by weights of its own, ``nil.found.…``, which are 0 for marked mentions. Names that
    training text holds without annotating them are often false, and short forms that the text defines seldom:
    ``n_annotated`` and ``n_not_annotated`` are log(1 + n), ``has_long_form`` is 1 or 0.
    """
    if not candidates:
        return {feature.name: float(feature.name == "nil.bias") for feature in NIL}
    of_list = _of_list(candidates)
    is_annotated = any(candidate.evidence.share_annotated > 0 for candidate in candidates)
    n_not_annotated = mention.n_occurrences - mention.n_annotated
    nearness = max(candidate.evidence.nearness for candidate in candidates)
    return {
        "nil.bias": 1.0,
        **{f"nil.{name}": value for name, value in of_list.items()},
        "nil.any_short_form": float(any(candidate.evidence.is_short_form for candidate in candidates)),
        "nil.any_misspelling": float(any(candidate.evidence.is_misspelling for candidate in candidates)),
        "nil.any_moved": float(nearness > 0),
        "nil.nearness": nearness,
        "nil.is_found": float(mention.is_found),
        "nil.is_found_and_annotated": float(mention.is_found and is_annotated),
        **{f"nil.found.{name}": mention.is_found * value for name, value in of_list.items()},
        "nil.found.has_long_form": float(mention.is_found and mention.long_form != ""),
        "nil.found.n_annotated": mention.is_found * float(np.log1p(mention.n_annotated)),
        "nil.found.n_not_annotated": mention.is_found * float(np.log1p(n_not_annotated)),
    }


def _of_list(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Return numbers that say whether a right option is in the list: its scores, exact matches and length."""
    score = np.array([candidate.score for candidate in candidates])
    return {
        "best_score": float(score.max()),
        "lead": _lead(score),
        "any_exact": float(any(candidate.exact for candidate in candidates)),
        "best_lexical": max(candidate.lexical for candidate in candidates),
        "best_dense": max(candidate.dense for candidate in candidates),
        "n_options": float(np.log(len(candidates))),
    }


def _of_reranker(logits: "NDArray[np.float32]") -> "dict[str, NDArray[np.float64] | float]":
    log_probability = np.asarray(logits, dtype=float)
    # Logits have an arbitrary zero in each forward pass. Log-probabilities compare between questions.
    log_probability = log_probability - np.logaddexp.reduce(log_probability)
    return {"option_log_probability": log_probability[:-1], "nil_log_probability": float(log_probability[-1])}


def _of_evidence(candidates: Sequence[Candidate]) -> "dict[str, NDArray[np.float64]]":
    """Return the features of the concepts' names and annotations, float64 (n,) each."""
    evidence = [candidate.evidence for candidate in candidates]
    n_annotations = np.array([each.n_annotations for each in evidence], dtype=float)
    return {
        "apposition_score": np.array([each.apposition_score for each in evidence]),
        "n_names": np.log1p([each.n_names for each in evidence]),
        "mean_nearest_cosine": np.array([each.mean_nearest_cosine for each in evidence]),
        "n_annotations": np.log1p(n_annotations),
        "is_annotated": (n_annotations > 0).astype(float),
        "n_annotated_names": np.log1p([each.n_annotated_names for each in evidence]),
        "share_annotated": np.array([each.share_annotated for each in evidence]),
        "nearest_annotation_cosine": np.array([each.nearest_annotation_cosine for each in evidence]),
        "id_kind_log_rate": np.array([each.id_kind_log_rate for each in evidence]),
        "is_short_form": np.array([each.is_short_form for each in evidence], dtype=float),
        "is_misspelling": np.array([each.is_misspelling for each in evidence], dtype=float),
        "prominence": np.array([each.prominence for each in evidence]),
        "is_moved": np.array([each.nearness > 0 for each in evidence], dtype=float),
        "nearness": np.array([each.nearness for each in evidence]),
    }


def _lead(score: "NDArray[np.float64]") -> float:
    """Return the difference between the best score and the second."""
    # A sole option leads by its whole score, as if the second one had a score of 0.
    if len(score) < 2:
        return float(score.max())
    second, best = np.partition(score, -2)[-2:]
    return float(best - second)


class _Words(NamedTuple):
    """The words of a name, each in the singular; roman numbers as digits."""

    numbers: frozenset[str]
    content: frozenset[str]  # without those that come and go


@cache_short(200_000, longest=200)
def _words(text: str) -> _Words:
    words = to_american(normalise(text)).replace(",", " ").split()
    distinct = frozenset(_ROMAN.get(word, _singular(word)) for word in words)
    # Single letters tell concepts apart as digits do: "hepatitis B" and "hepatitis C".
    numbers = frozenset(word for word in distinct if len(word) == 1 or any(map(str.isdigit, word)))
    return _Words(numbers, distinct - _LOOSE_WORDS)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word


def _of_words(mention: Mention, candidates: Sequence[Candidate]) -> "dict[str, NDArray[np.float64]]":
    """Return the features that compare the words of the mention with those of each option, float64 (n,) each."""
    # The long form is compared as well: an abbreviation rarely shares a word with the names of its concept.
    word_sets = [_words(text) for text in {mention.text, mention.long_form or mention.text}]
    rows = [_compare_words(word_sets, candidate) for candidate in candidates]
    return {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}


def _compare_words(asked: Sequence[_Words], candidate: Candidate) -> dict[str, int]:
    """Return the smallest differences over all pairs of the mention's texts with the option's name and label."""
    # The label is compared as well, since any of the concept's names may be the one that matched.
    pairs = [(words, _words(name)) for name in {candidate.name, candidate.label or candidate.name} for words in asked]
    return {
        "same_words": any(words.content == offered.content for words, offered in pairs),
        "numbers_lost": all(not words.numbers <= offered.numbers for words, offered in pairs),
        "numbers_added": all(not offered.numbers <= words.numbers for words, offered in pairs),
        "words_lost": min(len(words.content - offered.content) for words, offered in pairs),
        "words_added": min(len(offered.content - words.content) for words, offered in pairs),
    }
