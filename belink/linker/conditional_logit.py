"""A conditional logit: the convex model that turns the features of options into probabilities.

The utility of an option is linear in its features, and a softmax over the utilities of a question's options gives
their probabilities (McFadden, 1974, "Conditional logit analysis of qualitative choice behavior").
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit(
    designs: "Sequence[NDArray[np.float64]]",
    answers: Sequence[int],
    *,
    centre: "NDArray[np.float64]",
    penalty: "float | NDArray[np.float64]",
    signs: Sequence[int] = (),
    question_weights: "Sequence[float] | NDArray[np.float64]" = (),
) -> "NDArray[np.float64]":
    """Return the weights (n_features,) of maximum likelihood, drawn towards ``centre``.

    :param designs: one a question, shape (n_options, n_features). Features should be of like size, for they are
        penalised alike.
    :param answers: the right row of each.
    :param centre: where the weights stand without evidence, (n_features,).
    :param penalty: of the squared distance from ``centre``, one or (n_features,). The log-likelihood is summed, so the
        penalty counts less the more questions there are.
    :param signs: for each weight 1 if it must be 0 or more, -1 if 0 or less, 0 for either.
    :param question_weights: what each question counts; 1 where none are given.
    """
    from scipy.optimize import minimize

    if not designs:
        return np.array(centre, dtype=float)
    stacked = np.concatenate(designs)
    lengths = np.array([len(design) for design in designs])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    counts = np.asarray(question_weights, dtype=float) if len(question_weights) else np.ones(len(designs))
    # The utilities of the right rows enter the loss linearly, so their sum over the questions is computed once.
    observed = counts @ stacked[starts + np.asarray(answers)]
    row_counts = np.repeat(counts, lengths)

    def loss(weights: "NDArray[np.float64]") -> "tuple[float, NDArray[np.float64]]":
        utility = stacked @ weights
        # The largest utility of each question is subtracted before ``exp``, which would overflow on large ones.
        top = np.maximum.reduceat(utility, starts)
        odds = np.exp(utility - np.repeat(top, lengths))
        total = np.add.reduceat(odds, starts)
        distance = weights - centre
        value = counts @ (np.log(total) + top) - observed @ weights + 0.5 * (penalty * distance) @ distance
        expected = stacked.T @ (row_counts * odds / np.repeat(total, lengths))
        return float(value), expected - observed + penalty * distance

    # L-BFGS-B takes such bounds directly. The loss is convex, so the start decides only the number of iterations.
    bounds = [(0 if sign > 0 else None, 0 if sign < 0 else None) for sign in signs] or None
    start = np.array(centre, dtype=float)
    result = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return np.asarray(result.x, dtype=float)


def softmax(utility: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return probabilities of the same shape (n,), summing to 1."""
    odds = np.exp(utility - utility.max())
    return np.asarray(odds / odds.sum())
