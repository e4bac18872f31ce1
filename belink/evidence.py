"""What retrieval knows of each option, as numbers, and the convex model that turns such numbers into probabilities.

Used twice with one definition: training adds retrieval's log-probabilities inside the loss, so that the language model
learns only what retrieval lacks; calibration combines both. The model is McFadden's conditional logit (1974): the
utility of an option is linear in its features, that of "None of the above" in features of the whole list, and a
softmax over them is the probability.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from belink.records import Candidate

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPTION = ("score", "rank", "lead", "exact", "sole_exact", "lexical", "dense")
"""Features of an option, in the order of :func:`options`' columns."""

NONE = ("bias", "best_score", "lead", "any_exact", "best_lexical", "best_dense", "n_options")
"""Features of "None of the above", in the order of :func:`none`'s entries."""


def options(candidates: Sequence[Candidate]) -> "NDArray[np.float64]":
    """Shape (n, len(OPTION)): one row a candidate; higher speaks for it.

    Ranks come from the scores, so candidates may be in any order. ``rank`` is -log(rank), 0 for the best; ``lead`` is
    how far the best stands before the second, 0 for all others; ``exact`` and ``sole_exact`` are 0 or 1.
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
    rows[:, 3] = exact
    rows[:, 4] = exact * (exact.sum() == 1)
    rows[:, 5] = [candidate.lexical for candidate in candidates]
    rows[:, 6] = [candidate.dense for candidate in candidates]
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
    penalty: float,
) -> "NDArray[np.float64]":
    """Weights (n_features,) of the conditional logit: maximum likelihood, drawn towards ``centre``.

    :param designs: one a question, shape (n_options + 1, n_features), "None of the above" in the last row; features
        should be of like size, for they are penalised alike.
    :param answers: the right row of each.
    :param centre: where the weights stand without evidence, (n_features,).
    :param penalty: of the squared distance from ``centre``; the log-likelihood is summed, so that it counts less the
        more questions there are.
    """
    from scipy.optimize import minimize

    if not designs:
        return np.array(centre, dtype=float)
    stacked = np.concatenate(designs)
    lengths = np.array([len(design) for design in designs])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    right = stacked[starts + np.asarray(answers)]

    def loss(weights: "NDArray[np.float64]") -> "tuple[float, NDArray[np.float64]]":
        utility = stacked @ weights
        top = np.maximum.reduceat(utility, starts)
        odds = np.exp(utility - np.repeat(top, lengths))
        total = np.add.reduceat(odds, starts)
        away = weights - centre
        value = (np.log(total) + top).sum() - (right @ weights).sum() + 0.5 * penalty * (away @ away)
        expected = stacked.T @ (odds / np.repeat(total, lengths))
        return float(value), expected - right.sum(axis=0) + penalty * away

    found = minimize(loss, np.array(centre, dtype=float), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(found.x, dtype=float)


def softmax(utility: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Probabilities, same shape (n,), summing to 1."""
    odds = np.exp(utility - utility.max())
    return np.asarray(odds / odds.sum())


def _lead(score: "NDArray[np.float64]") -> float:
    if len(score) < 2:
        return float(score.max())
    second, best = np.partition(score, -2)[-2:]
    return float(best - second)
