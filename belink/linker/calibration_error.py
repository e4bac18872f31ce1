"""Expected calibration error: how far stated probabilities lie from the shares that turn out right.

Items are ordered by probability and divided into 15 bins of equal mass. The error is the mean over bins of the distance
between mean probability and share right, weighted by mass. Bins of equal width would mostly be empty: answers are
rarely improbable. (Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI; equal mass
as in Nixon et al. 2019, Measuring Calibration in Deep Learning, arXiv 1904.01685.)
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

N_BINS = 15

Floats = npt.NDArray[np.float64]


def expected_calibration_error(
    probabilities: Sequence[float] | Floats, right: Sequence[bool] | npt.NDArray[np.bool_] | Floats
) -> float:
    """Return the error, 0 to 1, of ``probabilities`` (n,) whose answers are right or not; 0 without items."""
    if not len(probabilities):
        return 0.0
    columns = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    return float(weighted_calibration_errors(*columns, np.ones((1, len(columns[0]))))[0])


def weighted_calibration_errors(probabilities: Floats, right: Floats, weights: Floats) -> Floats:
    """Return (b,) errors, one for each row of ``weights`` (b, n), such as how often a resample drew each item.

    :param probabilities: (n,) stated, 0 to 1.
    :param right: (n,) 1 for right answers, 0 for wrong ones.
    """
    # A stable sort puts ties into the same bins in every run.
    order = np.argsort(probabilities, kind="stable")
    gaps = (probabilities - right)[order]
    weights = weights[:, order]
    flat_bins = equal_mass_bins(weights) + N_BINS * np.arange(len(weights))[:, None]
    # One ``bincount`` serves all resamples: row b has the bins b * N_BINS to (b + 1) * N_BINS - 1.
    by_bin = np.bincount(flat_bins.ravel(), (weights * gaps).ravel(), minlength=N_BINS * len(weights))
    return np.asarray(np.abs(by_bin.reshape(-1, N_BINS)).sum(axis=1) / weights.sum(axis=1), dtype=np.float64)


def equal_mass_bins(weights: Floats) -> npt.NDArray[np.intp]:
    """Return the bin (b, n) of each item, for ``weights`` (b, n) of items by rising probability."""
    # An item belongs to the bin in which the middle of its mass lies.
    middle = np.cumsum(weights, axis=1) - weights / 2
    share = middle / weights.sum(axis=1, keepdims=True)
    return np.asarray(np.minimum(share * N_BINS, N_BINS - 1), dtype=np.intp)
