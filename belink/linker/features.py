"""What retrieval knows of each option, as numbers, and the convex model that turns such numbers into probabilities.

Used twice with one definition: training adds retrieval's log-probabilities inside the loss, so that the language model
learns only what retrieval lacks; calibration combines both. The model is McFadden's conditional logit (1974): the
utility of an option is linear in its features, that of "None of the above" in features of the whole list, and a
softmax over them is the probability.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from belink.records import Candidate, Mention
from belink.text.normalise import normalise
from belink.text.variants import to_american

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS = ("same_words", "numbers_lost", "numbers_added", "words_lost", "words_added")
"""How an option's words differ from the mention's: what cosines blur ("type 1" and "type 2" are alike to both)."""

CONCEPT = ("names", "nearby", "meant", "ever_meant", "meant_as", "meant_here", "precedent", "kind_meant")
"""What all names of the option's concept say, and how training text used it; see :class:`belink.records.Candidate`.
Annotators prefer the concepts that they know: on mentions that training never saw these take accuracy from 70.4 to
73.8 % (NCBI-Disease) and from 72.4 to 77.6 % (BC5CDR disease) where precedents propose nothing."""

OPTION = ("score", "rank", "lead", "first_new", "exact", "sole_exact", "lexical", "dense", "apposed", *CONCEPT, *WORDS)
"""Features of an option, in the order of :func:`options`' columns."""

NONE = ("bias", "best_score", "lead", "any_exact", "best_lexical", "best_dense", "n_options")
"""Features of "None of the above", in the order of :func:`none`'s entries."""

SIGNS = tuple(0 if n == "names" else -1 if n in WORDS[1:] else 1 for n in OPTION) + (0,) * len(NONE)
"""For each column of :func:`design` 1 where it can only speak for an option, -1 where only against it, 0 for either.
Otherwise a few papers with many alike mentions teach that an exact match speaks against one."""

_ROMAN = dict(zip("i ii iii iv v vi vii viii ix x xi xii".split(), map(str, range(1, 13)), strict=True))
# Words that come and go between names of one concept.
_LOOSE = frozenset("of the and in with due to by a an on or as for disease disorder syndrome type".split())


def design(mention: Mention, candidates: Sequence[Candidate]) -> "NDArray[np.float64]":
    """Shape (n + 1, len(OPTION) + len(NONE)): :func:`options`, and :func:`none` in the last row's own columns."""
    n = len(candidates)
    rows = np.zeros((n + 1, len(OPTION) + len(NONE)))
    rows[:n, : len(OPTION)] = options(mention, candidates)
    rows[n, len(OPTION) :] = none(candidates)
    return rows


def options(mention: Mention, candidates: Sequence[Candidate]) -> "NDArray[np.float64]":
    """Shape (n, len(OPTION)): one row a candidate.

    Ranks come from the scores, so candidates may be in any order. ``rank`` is -log(rank), 0 for the best; ``lead`` is
    how far the best stands before the second, 0 for all others; ``first_new`` is 1 for the best if training never meant
    it, so that known concepts are not preferred to it as to others; ``exact``, ``sole_exact`` and ``ever_meant`` are 0
    or 1; ``names``, ``meant`` and ``meant_as`` are log(1 + n). Words are compared in the best pairing of mention and
    long form with name and label: ``same_words`` is 0 or 1, plurals and words like "disease" left aside; of numbers
    (roman ones too, single letters, anything with a digit) it counts only whether some are lost or added, of words how
    many.
    """
    rows = np.zeros((len(candidates), len(OPTION)))
    if not candidates:
        return rows
    score = np.array([candidate.score for candidate in candidates])
    order = np.argsort(-score, kind="stable")
    rank = np.empty(len(order))
    rank[order] = np.arange(1, len(order) + 1)
    exact = np.array([candidate.exact for candidate in candidates], dtype=float)
    rows[:, 0] = score
    rows[:, 1] = -np.log(rank)
    rows[order[0], 2] = _lead(score)
    rows[order[0], 3] = candidates[order[0]].meant == 0
    rows[:, 4] = exact
    rows[:, 5] = exact * (exact.sum() == 1)
    rows[:, 6] = [candidate.lexical for candidate in candidates]
    rows[:, 7] = [candidate.dense for candidate in candidates]
    rows[:, 8] = [candidate.apposed for candidate in candidates]
    rows[:, 9 : 9 + len(CONCEPT)] = [_of_concept(candidate) for candidate in candidates]
    asked = [_words(text) for text in {mention.text, mention.long_form or mention.text}]
    rows[:, -len(WORDS) :] = [_differences(asked, candidate) for candidate in candidates]
    return rows


def none(candidates: Sequence[Candidate]) -> "NDArray[np.float64]":
    """Shape (len(NONE),): what the whole list says of there being no right option; ``bias`` is 1."""
    if not candidates:
        return np.array([1.0] + [0.0] * (len(NONE) - 1))
    score = np.array([candidate.score for candidate in candidates])
    return np.array(
        [
            1.0,
            score.max(),
            _lead(score),
            float(any(candidate.exact for candidate in candidates)),
            max(candidate.lexical for candidate in candidates),
            max(candidate.dense for candidate in candidates),
            np.log(len(candidates)),
        ]
    )


def fit(
    designs: "Sequence[NDArray[np.float64]]",
    answers: Sequence[int],
    *,
    centre: "NDArray[np.float64]",
    penalty: "float | NDArray[np.float64]",
    signs: Sequence[int] = (),
    worth: "Sequence[float] | NDArray[np.float64]" = (),
) -> "NDArray[np.float64]":
    """Weights (n_features,) of the conditional logit: maximum likelihood, drawn towards ``centre``.

    :param designs: one a question, shape (n_options + 1, n_features), "None of the above" in the last row; features
        should be of like size, for they are penalised alike.
    :param answers: the right row of each.
    :param centre: where the weights stand without evidence, (n_features,).
    :param penalty: of the squared distance from ``centre``, one or (n_features,); the log-likelihood is summed, so that
        it counts less the more questions there are.
    """
    from scipy.optimize import minimize

    if not designs:
        return np.array(centre, dtype=float)
    stacked = np.concatenate(designs)
    lengths = np.array([len(design) for design in designs])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    each = np.asarray(worth, dtype=float) if len(worth) else np.ones(len(designs))
    right = each @ stacked[starts + np.asarray(answers)]
    of_rows = np.repeat(each, lengths)

    def loss(weights: "NDArray[np.float64]") -> "tuple[float, NDArray[np.float64]]":
        utility = stacked @ weights
        top = np.maximum.reduceat(utility, starts)
        odds = np.exp(utility - np.repeat(top, lengths))
        total = np.add.reduceat(odds, starts)
        away = weights - centre
        value = each @ (np.log(total) + top) - right @ weights + 0.5 * (penalty * away) @ away
        expected = stacked.T @ (of_rows * odds / np.repeat(total, lengths))
        return float(value), expected - right + penalty * away

    bounds = [(0 if sign > 0 else None, 0 if sign < 0 else None) for sign in signs] or None
    start = np.array(centre, dtype=float)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return np.asarray(found.x, dtype=float)


def softmax(utility: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Probabilities, same shape (n,), summing to 1."""
    odds = np.exp(utility - utility.max())
    return np.asarray(odds / odds.sum())


def _of_concept(candidate: Candidate) -> list[float]:
    """In the order of ``CONCEPT``."""
    return [
        float(np.log1p(candidate.names)),
        candidate.nearby,
        float(np.log1p(candidate.meant)),
        float(candidate.meant > 0),
        float(np.log1p(candidate.meant_as)),
        candidate.meant_here,
        candidate.precedent,
        candidate.kind_meant,
    ]


def _lead(score: "NDArray[np.float64]") -> float:
    if len(score) < 2:
        return float(score.max())
    second, best = np.partition(score, -2)[-2:]
    return float(best - second)


class _Words(NamedTuple):
    every: frozenset[str]
    numbers: frozenset[str]
    telling: frozenset[str]  # without those that come and go


@lru_cache(maxsize=200_000)
def _words(text: str) -> _Words:
    words = to_american(normalise(text)).replace(",", " ").split()
    every = frozenset(_ROMAN.get(word, _singular(word)) for word in words)
    numbers = frozenset(word for word in every if len(word) == 1 or any(map(str.isdigit, word)))
    return _Words(every, numbers, every - _LOOSE)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word


def _differences(asked: Sequence[_Words], candidate: Candidate) -> list[float]:
    """In the order of ``WORDS``."""
    same, numbers_lost, numbers_added, lost, added = False, True, True, 1000, 1000
    for name in {candidate.name, candidate.label or candidate.name}:
        offered = _words(name)
        for words in asked:
            same |= words.telling == offered.telling
            numbers_lost &= not words.numbers <= offered.numbers
            numbers_added &= not offered.numbers <= words.numbers
            lost = min(lost, len(words.telling - offered.telling))
            added = min(added, len(offered.telling - words.telling))
    return [float(same), float(numbers_lost), float(numbers_added), float(lost), float(added)]
