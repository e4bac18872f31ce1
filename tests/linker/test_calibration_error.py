import numpy as np
import pytest

from belink.linker.calibration_error import N_BINS, expected_calibration_error, weighted_calibration_errors


@pytest.mark.parametrize(
    ("probabilities", "right", "expected"),
    [
        ([0.9] * 150, ([True] * 9 + [False]) * 15, 0.0),
        ([0.8] * 150, [True, False] * 75, 0.3),
        ([0.1, 0.9], [True, False], 0.9),
        ([0.9, 0.1], [False, True], 0.9),  # bins follow the probability, not the order given
        ([], [], 0.0),
    ],
)
def test_the_error_is_the_mean_distance_of_probability_and_share_right(
    probabilities: list[float], right: list[bool], expected: float
) -> None:
    assert expected_calibration_error(probabilities, right) == pytest.approx(expected)


def test_a_weight_counts_as_that_many_items() -> None:
    rng = np.random.default_rng(0)
    probabilities, right = rng.random(120), (rng.random(120) < 0.5).astype(float)
    times = np.full(120, 2)
    (weighted,) = weighted_calibration_errors(probabilities, right, times[None].astype(float))
    assert weighted == pytest.approx(expected_calibration_error(np.repeat(probabilities, 2), np.repeat(right, 2)))
    none = np.zeros((1, 120))
    none[0, 7] = 1
    assert weighted_calibration_errors(probabilities, right, none)[0] == pytest.approx(abs(probabilities[7] - right[7]))


def test_bins_have_equal_mass() -> None:
    """Two items a bin: one right, one wrong, so that a bin's error is its mean probability's distance from a half."""
    probabilities = [k / (2 * N_BINS) for k in range(2 * N_BINS)]
    expected = np.mean([abs((2 * b + 0.5) / (2 * N_BINS) - 0.5) for b in range(N_BINS)])
    assert expected_calibration_error(probabilities, [True, False] * N_BINS) == pytest.approx(expected)
