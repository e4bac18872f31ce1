"""Compute the figures of a linker from its predictions, each with its n and a 95 % bootstrap interval.

**Accuracy@1, strict**: the answer is one of the mention's gold ids, and no wrong id has the same probability, since a
tie is decided by chance. **Lenient**: any of the tied first ids is a gold id. A mention annotated as having no concept
is right, both ways, if the answer is NIL. Accuracy counts every annotated mention; recall and MRR those with a gold id.

**recall@k**: a gold id is among retrieval's first k concepts, before re-ranking. **MRR**: reciprocal rank of the first
gold id by final probability. **ECE**: expected calibration error of the answer's probability; see
:mod:`belink.linker.calibration_error`. **Coverage at p % precision**: the largest share of all mentions that can be
answered with a concept, the most probable first, while p % of these answers are right. **NIL precision and recall**
alone include the items whose concept was removed: how many of those there are says nothing about text.

Two counts are reported. ``metrics`` count every annotated mention. ``distinct`` counts each pair of lower-cased text
and gold ids once, at its first occurrence, as the published tables of unseen mentions do.

Intervals resample documents, since mentions of one document are alike (a name without document is one by itself). With
fewer than 20 documents they resample mentions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from belink.errors import CorpusError
from belink.evaluation.predictions import CONCEPT_REMOVED, STRATA, Prediction, keyed, leniently_right, strictly_right
from belink.linker.calibration_error import N_BINS, Floats, equal_mass_bins, weighted_calibration_errors

RESAMPLES = 1000
SEED = 13
DISTINCT_RULE = "each distinct pair of lower-cased text and gold ids once, at its first occurrence"
# Bootstrap intervals from few units are too narrow.
_MIN_DOCUMENTS = 20
_CHUNK = 2_000_000  # mentions × resamples held in memory at once
_COVERAGE_PERCENTS = (90, 95)
# More than for single figures: a gate decides by this bound.
_RESAMPLES_OF_COMPARISON = 2000
_CHANCE_DRAWS = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A figure with its 95 % interval; ``None`` if it could not be measured."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The figures of one set of predictions."""

    n: int  # annotated mentions, without the items whose concept was removed
    n_documents: int
    resampled: Literal["documents", "mentions"]
    metrics: dict[str, Metric]  # of every annotated mention
    n_distinct: int
    distinct: dict[str, Metric]  # of each distinct text and gold once; see DISTINCT_RULE
    strata: dict[str, dict[str, Metric]]  # stratum → accuracy_at_1, recall_at_1, recall_at_10
    predictions: tuple[Prediction, ...] = field(repr=False)  # without the items whose concept was removed


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two sets of answers to the same mentions; differences are first minus second."""

    n: int
    unmatched: int  # mentions that only one of the two answered
    first: float  # accuracies
    second: float
    difference: float
    low: float  # 95 %, two-sided
    high: float
    upper: float  # 95 %, one-sided: the difference is below it
    p: float  # two-sided, of a difference at least this far from zero


def evaluate(
    predictions: Sequence[Prediction], *, seconds: float | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> Evaluation:
    """Return all figures of ``predictions``; the same predictions give the same figures.

    :param seconds: the time that linking all of them took, to report the speed.
    :raises CorpusError: there are no predictions, or all are of items whose concept was removed.
    """
    with_removed = predictions
    # How many of these items there are is a setting and says nothing about text, so only the NIL metrics count them.
    predictions = [prediction for prediction in with_removed if CONCEPT_REMOVED not in prediction.strata]
    if not predictions:
        raise CorpusError("expected annotated mentions to measure on, found none; does the corpus carry concept ids?")
    columns, sample = _columns(predictions), _Sample(predictions, resamples, seed)
    metrics = _shares_metrics(columns, sample)
    nil_sample = _Sample(with_removed, resamples, seed)
    metrics |= {name: nil_sample.mean(*value) for name, value in _nil_shares(_columns(with_removed)).items()}
    metrics |= _probability_metrics(columns, sample)
    # All of them were linked in these seconds, also those that the other metrics leave out.
    speed = len(with_removed) / seconds if seconds else None
    metrics["mentions_per_second"] = Metric(value=speed, n=len(with_removed))
    distinct = distinct_predictions(predictions)
    distinct_columns, distinct_sample = _columns(distinct), _Sample(distinct, resamples, seed)
    return Evaluation(
        n=len(predictions),
        # Mentions that are names of the ontology have no document.
        n_documents=len({prediction.document for prediction in predictions if prediction.document}),
        resampled=sample.unit,
        metrics=metrics,
        n_distinct=len(distinct),
        distinct={
            **_shares_metrics(distinct_columns, distinct_sample),
            **_probability_metrics(distinct_columns, distinct_sample),
        },
        strata=_strata(predictions, columns, sample),
        predictions=tuple(predictions),
    )


def distinct_predictions(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return the first prediction of each distinct pair of lower-cased text and gold ids."""
    first: dict[tuple[str, frozenset[str]], Prediction] = {}
    for prediction in predictions:
        first.setdefault((prediction.text.lower(), frozenset(prediction.gold)), prediction)
    return list(first.values())


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return ``evaluation`` without its predictions, in values that JSON can write."""
    head = ("accuracy_at_1", "recall_at_1", "recall_at_10", "recall_at_20", "mentions_per_second")
    return {
        "n": evaluation.n,
        **{name: evaluation.metrics[name].value for name in head},
        "accuracy_ci95": _interval(evaluation.metrics["accuracy_at_1"]),
        "documents": evaluation.n_documents,
        "resampled": evaluation.resampled,
        "metrics": {name: asdict(metric) for name, metric in evaluation.metrics.items()},
        "distinct": {
            "rule": DISTINCT_RULE,
            "n": evaluation.n_distinct,
            "accuracy_at_1": evaluation.distinct["accuracy_at_1"].value,
            "accuracy_ci95": _interval(evaluation.distinct["accuracy_at_1"]),
            "metrics": {name: asdict(metric) for name, metric in evaluation.distinct.items()},
        },
        "strata": {
            stratum: {name: asdict(metric) for name, metric in metrics.items()}
            for stratum, metrics in evaluation.strata.items()
        },
    }


def _interval(metric: Metric) -> list[float | None]:
    return [metric.low, metric.high]


def paired_bootstrap(
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    *,
    resamples: int = _RESAMPLES_OF_COMPARISON,
    seed: int = SEED,
) -> Comparison:
    """Return the difference in strict accuracy on the mentions that both answered, resampling both together.

    :raises CorpusError: they have no mention in common.
    """
    others = dict(keyed(second))
    pairs = [(one, others[key]) for key, one in keyed(first) if key in others]
    if not pairs:
        raise CorpusError("expected two sets of predictions on the same mentions, found none in common")
    # Pairs are resampled as pairs, so what makes a mention hard for both linkers cancels out.
    right = np.array([[strictly_right(one), strictly_right(other)] for one, other in pairs], dtype=np.float64)
    difference = right[:, 0] - right[:, 1]
    sample = _Sample([one for one, _ in pairs], resamples, seed)
    resampled = sample.means(difference, np.ones(len(pairs)))
    low, upper, high = (float(bound) for bound in np.quantile(resampled, [0.025, 0.95, 0.975]))
    n_rarer = min(np.count_nonzero(resampled <= 0), np.count_nonzero(resampled >= 0))
    return Comparison(
        n=len(pairs),
        unmatched=len(first) + len(second) - 2 * len(pairs),
        first=float(right[:, 0].mean()),
        second=float(right[:, 1].mean()),
        difference=float(difference.mean()),
        low=low,
        high=high,
        upper=upper,
        # The + 1 keeps p above zero: Phipson & Smyth 2010, "Permutation P-values Should Never Be Zero".
        p=min(1.0, 2 * (n_rarer + 1) / (resamples + 1)),
    )


def reliability(predictions: Sequence[Prediction]) -> list[tuple[float, float, int]]:
    """Return (mean probability, share right, n) of each bin of equal mass, by rising probability."""
    columns = _columns(predictions)
    order = np.argsort(columns["probability"], kind="stable")
    bins = equal_mass_bins(np.ones((1, len(order))))[0]
    groups = [order[bins == number] for number in range(N_BINS)]
    return [
        (float(columns["probability"][group].mean()), float(columns["strict"][group].mean()), len(group))
        for group in groups
        if len(group)
    ]


def ece_by_chance(predictions: Sequence[Prediction], *, draws: int = _CHANCE_DRAWS, seed: int = SEED) -> float:
    """Return the expected calibration error below which 95 % of perfectly calibrated linkers stay on as many mentions.

    Whether an answer is right is drawn from its stated probability, so this is the error of chance alone.
    """
    probabilities = _columns(predictions)["probability"]
    rng = np.random.default_rng(seed)
    weights = np.ones((1, len(predictions)))
    errors = []
    for _ in range(draws):
        right = (rng.random(len(predictions)) < probabilities).astype(np.float64)
        errors.append(float(weighted_calibration_errors(probabilities, right, weights)[0]))
    return float(np.quantile(errors, 0.95))


def risk_coverage(predictions: Sequence[Prediction]) -> tuple[Floats, Floats]:
    """Return (coverage, precision), each (n,) float64: answering the most probable mentions first, ties together."""
    columns = _columns(predictions)
    kept, right, is_last_of_tie = _cumulate(columns, np.ones((1, len(predictions))))
    # Within a tie no bound on the probability separates the mentions, so only its end is a point of the curve.
    points = is_last_of_tie & (kept[0] > 0)
    return kept[0, points] / len(predictions), right[0, points] / kept[0, points]


# --- columns and shares ---


def _columns(predictions: Sequence[Prediction]) -> dict[str, Floats]:
    """Return columns (n,) float64; a value that does not apply is 0 and masked by ``linkable`` or ``answered``."""
    rows = [_row(prediction) for prediction in predictions]
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}


def _row(prediction: Prediction) -> dict[str, float]:
    gold = set(prediction.gold)
    ids = [option.id for option in prediction.candidates]
    # Retrieval's order; `final` below is the order after re-ranking.
    rank = next((rank for rank, identifier in enumerate(ids) if identifier in gold), np.inf)
    final = sorted(prediction.candidates, key=lambda option: -option.probability)
    reciprocal = next((1 / rank for rank, option in enumerate(final, 1) if option.id in gold), 0.0)
    return {
        "strict": strictly_right(prediction),
        "lenient": leniently_right(prediction),
        "probability": prediction.probability,
        "linkable": bool(gold),
        "nil": not gold,
        "answered": prediction.predicted is not None,
        "unanswered": prediction.predicted is None,
        "recall_at_1": rank < 1,
        "recall_at_10": rank < 10,
        "recall_at_20": rank < 20,
        "reciprocal": reciprocal,
    }


def _shares(columns: Mapping[str, Floats]) -> dict[str, tuple[Floats, Floats]]:
    """Return by metric (values, mask), each (n,); the metric is the mean of the values over the mask."""
    everything = np.ones_like(columns["strict"])
    linkable = columns["linkable"]
    return {
        "accuracy_at_1": (columns["strict"], everything),
        "accuracy_at_1_lenient": (columns["lenient"], everything),
        **{f"recall_at_{k}": (columns[f"recall_at_{k}"], linkable) for k in (1, 10, 20)},
        "mrr": (columns["reciprocal"], linkable),
    }


def _nil_shares(columns: Mapping[str, Floats]) -> dict[str, tuple[Floats, Floats]]:
    """Return NIL precision and recall as :func:`_shares` returns the others."""
    return {
        "nil_precision": (columns["nil"], columns["unanswered"]),
        "nil_recall": (columns["unanswered"], columns["nil"]),
    }


def _shares_metrics(columns: Mapping[str, Floats], sample: "_Sample") -> dict[str, Metric]:
    return {name: sample.mean(values, mask) for name, (values, mask) in _shares(columns).items()}


def _probability_metrics(columns: Mapping[str, Floats], sample: "_Sample") -> dict[str, Metric]:
    """Return the figures that depend on the order or the value of the answers' probabilities."""
    n, probabilities, right = len(columns["strict"]), columns["probability"], columns["strict"]
    metrics = {"ece": sample.metric(lambda weights: weighted_calibration_errors(probabilities, right, weights), n)}
    for percent in _COVERAGE_PERCENTS:
        metrics[f"coverage_at_precision_{percent}"] = sample.metric(_coverage_at(columns, percent / 100), n)
    return metrics


def _strata(
    predictions: Sequence[Prediction], columns: Mapping[str, Floats], sample: "_Sample"
) -> dict[str, dict[str, Metric]]:
    """Return the figures of each stratum, the named strata first, then those by source."""
    shares = _shares(columns)
    strata: dict[str, dict[str, Metric]] = {}
    present = {stratum for prediction in predictions for stratum in prediction.strata}
    for stratum in [*(stratum for stratum in STRATA if stratum in present), *sorted(present - {*STRATA})]:
        inside = np.array([stratum in prediction.strata for prediction in predictions], dtype=np.float64)
        strata[stratum] = {
            name: sample.mean(shares[name][0], shares[name][1] * inside)
            for name in ("accuracy_at_1", "recall_at_1", "recall_at_10")
        }
    return strata


def _coverage_at(columns: Mapping[str, Floats], precision: float) -> Callable[[Floats], Floats]:
    """Return a statistic that maps weights (b, n) to the coverage (b,) at ``precision``, 0 to 1."""

    def coverage(weights: Floats) -> Floats:
        kept, right, is_last_of_tie = _cumulate(columns, weights)
        # The tolerance of 1e-9 lets a precision of exactly 90 % count as reached.
        enough = is_last_of_tie & (kept > 0) & (right >= precision * kept - 1e-9)
        return np.asarray(np.where(enough, kept, 0.0).max(axis=1) / weights.sum(axis=1), dtype=np.float64)

    return coverage


def _cumulate(columns: Mapping[str, Floats], weights: Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return the mass answered and the mass right, (b, n) each, as the bound on the probability falls.

    The third array (n,) marks the last of each run of equal probabilities: only there is the run complete.
    """
    order = np.argsort(-columns["probability"], kind="stable")
    probability = columns["probability"][order]
    is_last_of_tie = np.append(probability[1:] != probability[:-1], True)
    # NIL answers have no mass here, but they stay in the total that coverage is a share of.
    weights = weights[:, order] * columns["answered"][order]
    return np.cumsum(weights, axis=1), np.cumsum(weights * columns["strict"][order], axis=1), is_last_of_tie


# --- resampling ---


class _Sample:
    """The resamples that all figures of one evaluation share: how often each document was drawn."""

    def __init__(self, predictions: Sequence[Prediction], resamples: int, seed: int) -> None:
        n_documents = len({prediction.document for prediction in predictions if prediction.document})
        self.unit: Literal["documents", "mentions"] = "documents" if n_documents >= _MIN_DOCUMENTS else "mentions"
        # The integer is a unit of its own, for a mention without document or where mentions are resampled.
        units = [p.document if p.document and self.unit == "documents" else i for i, p in enumerate(predictions)]
        numbers = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
        self._unit_of = np.array([numbers[unit] for unit in units], dtype=np.intp)  # (n,)
        self._counts = _draw(len(numbers), resamples, seed)  # (b, units)

    def means(self, values: Floats, mask: Floats) -> Floats:
        """Return (b,) the mean of ``values`` (n,) over ``mask`` (n,) in each resample; NaN if the mask is empty."""
        # Values are summed by unit first. The product then costs resamples × units, not resamples × mentions.
        n_units = self._counts.shape[1]
        total = self._counts @ np.bincount(self._unit_of, values * mask, minlength=n_units)
        count = self._counts @ np.bincount(self._unit_of, mask, minlength=n_units)
        # A resample may draw no mention of the mask. Its NaN is skipped by `nanquantile` in `_metric`.
        with np.errstate(invalid="ignore"):
            return np.asarray(total / count, dtype=np.float64)

    def mean(self, values: Floats, mask: Floats) -> Metric:
        """Return the mean of ``values`` (n,) over ``mask`` (n,) with its interval."""
        if not mask.any():
            return Metric(value=None)
        value = float((values * mask).sum() / mask.sum())
        return _metric(value, self.means(values, mask), int(np.count_nonzero(mask)))

    def metric(self, statistic: Callable[[Floats], Floats], n: int) -> Metric:
        """Return the value and interval of ``statistic``, which maps weights (b, n) to (b,)."""
        value = float(statistic(np.ones((1, n)))[0])
        # Weights by mention are large: 1,000 resamples of 100,000 mentions take 800 MB as float64.
        step = max(1, _CHUNK // n)
        parts = [
            statistic(self._counts[start : start + step][:, self._unit_of].astype(np.float64))
            for start in range(0, len(self._counts), step)
        ]
        return _metric(value, np.concatenate(parts), n)


def _draw(n: int, resamples: int, seed: int) -> npt.NDArray[np.float32]:
    """Return (resamples, n): how often each of ``n`` comes up in ``n`` draws with replacement; exact in float32."""
    rng = np.random.default_rng(seed)
    counts = np.empty((resamples, n), dtype=np.float32)
    step = max(1, _CHUNK // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        # Each row's numbers are shifted by n, so that one `bincount` counts all rows at once.
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts[start : start + rows] = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
    return counts


def _metric(value: float, resampled: Floats, n: int) -> Metric:
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    # Resampling inflates ECE a little; an interval that excludes its own figure would only puzzle.
    return Metric(value=value, low=min(float(low), value), high=max(float(high), value), n=n)
