"""Predictions → what a linker is worth, each figure with its n and a 95 % bootstrap interval.

**Accuracy@1, strict**: the answer is one of the mention's gold ids, and no id outside them has the same probability (a
tie is not knowledge). **Lenient**: any of the tied first ids is among them. A mention annotated as having no concept is
right, both ways, when the answer is NIL. Accuracy counts every annotated mention, recall and MRR those with a gold id.

**recall@k**: a gold id among retrieval's first k concepts, before re-ranking. **MRR**: reciprocal rank of the first
gold id by final probability. **ECE**: expected calibration error of the answer's probability, over 15 bins of equal
mass. **Coverage at p % precision**: the largest share of all mentions that can be answered with a concept, the most
probable first, while so many answers are right. **NIL precision and recall** alone count the mentions whose concept an
exam took away, too: how many of those there are says nothing about text.

Intervals resample documents, since mentions of one document are alike (a name without document is one by itself); below
20 documents, mentions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from belink.errors import CorpusError
from belink.evaluation.predictions import CONCEPT_REMOVED, STRATA, Prediction, keyed, leniently_right, strictly_right

BINS = 15
RESAMPLES = 1000
SEED = 13
_FEWEST_DOCUMENTS = 20
_CHUNK = 2_000_000  # mentions × resamples held at once

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A figure with its interval; ``None`` for what could not be measured."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What :func:`evaluate` found."""

    n: int
    n_documents: int
    resampled: Literal["documents", "mentions"]
    metrics: dict[str, Metric]
    strata: dict[str, dict[str, Metric]]  # stratum → accuracy_at_1, recall_at_1, recall_at_10
    predictions: tuple[Prediction, ...] = field(repr=False)  # without those whose concept was taken away


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two sets of answers to the same mentions; differences are first minus second."""

    n: int
    unmatched: int  # mentions that only one of the two answered
    first: float
    second: float
    difference: float
    low: float  # 95 %, two-sided
    high: float
    upper: float  # 95 %, one-sided: the difference is below it
    p: float  # two-sided: of a difference this far from none


def evaluate(
    predictions: Sequence[Prediction], *, seconds: float | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> Evaluation:
    """All figures of ``predictions``; the same ones give the same figures.

    :param seconds: what linking them took, those with the stratum ``CONCEPT_REMOVED`` included.
    :raises CorpusError: there are none, or none whose concept was not taken away.
    """
    every, speed = predictions, len(predictions) / seconds if seconds else None
    predictions = [prediction for prediction in every if CONCEPT_REMOVED not in prediction.strata]
    if not predictions:
        raise CorpusError("expected annotated mentions to measure on, found none; does the corpus carry concept ids?")
    columns = _columns(predictions)
    sample = _Sample(predictions, resamples, seed)
    metrics = {name: sample.mean(*value) for name, value in _shares(columns).items()}
    of_every = _Sample(every, resamples, seed)
    metrics |= {name: of_every.mean(*value) for name, value in _shares_of_nil(_columns(every)).items()}
    metrics["ece"] = sample.metric(lambda weights: _ece(columns, weights), len(predictions))
    for percent in (90, 95):
        metrics[f"coverage_at_precision_{percent}"] = sample.metric(
            _coverage_at(columns, percent / 100), len(predictions)
        )
    metrics["mentions_per_second"] = Metric(value=speed, n=len(predictions))
    return Evaluation(
        n=len(predictions),
        n_documents=len({prediction.document for prediction in predictions if prediction.document}),
        resampled=sample.unit,
        metrics=metrics,
        strata=_strata(predictions, columns, sample),
        predictions=tuple(predictions),
    )


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """``evaluation`` without its predictions, as JSON can write it."""
    metrics = evaluation.metrics
    head = ("accuracy_at_1", "recall_at_1", "recall_at_10", "recall_at_20", "mentions_per_second")
    accuracy = metrics["accuracy_at_1"]
    return {
        "n": evaluation.n,
        **{name: metrics[name].value for name in head},
        "accuracy_ci95": [accuracy.low, accuracy.high],
        "documents": evaluation.n_documents,
        "resampled": evaluation.resampled,
        "metrics": {name: asdict(metric) for name, metric in metrics.items()},
        "strata": {
            stratum: {name: asdict(metric) for name, metric in of_one.items()}
            for stratum, of_one in evaluation.strata.items()
        },
    }


def paired_bootstrap(
    first: Sequence[Prediction], second: Sequence[Prediction], *, resamples: int = 2000, seed: int = SEED
) -> Comparison:
    """The difference in strict accuracy on the mentions that both answered, resampling both together.

    :raises CorpusError: they have no mention in common.
    """
    others = dict(keyed(second))
    pairs = [(one, others[key]) for key, one in keyed(first) if key in others]
    if not pairs:
        raise CorpusError("expected two sets of predictions on the same mentions, found none in common")
    right = np.array([[strictly_right(one), strictly_right(other)] for one, other in pairs], dtype=np.float64)
    difference = right[:, 0] - right[:, 1]
    sample = _Sample([one for one, _ in pairs], resamples, seed)
    drawn = sample.means(difference, np.ones(len(pairs)))
    low, upper, high = (float(bound) for bound in np.quantile(drawn, [0.025, 0.95, 0.975]))
    rarer = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    return Comparison(
        n=len(pairs),
        unmatched=len(first) + len(second) - 2 * len(pairs),
        first=float(right[:, 0].mean()),
        second=float(right[:, 1].mean()),
        difference=float(difference.mean()),
        low=low,
        high=high,
        upper=upper,
        p=min(1.0, 2 * (rarer + 1) / (resamples + 1)),
    )


def reliability(predictions: Sequence[Prediction]) -> list[tuple[float, float, int]]:
    """(mean probability, share right, n) of each bin of equal mass, by rising probability."""
    columns = _columns(predictions)
    order = np.argsort(columns["probability"], kind="stable")
    bins = _bins(np.ones((1, len(order))))[0]
    groups = [order[bins == number] for number in range(BINS)]
    return [
        (float(columns["probability"][group].mean()), float(columns["strict"][group].mean()), len(group))
        for group in groups
        if len(group)
    ]


def ece_by_chance(predictions: Sequence[Prediction], *, draws: int = 400, seed: int = SEED) -> float:
    """The expected calibration error that 95 % of perfectly calibrated linkers stay below on as many mentions.

    Whether an answer is right is drawn from its stated probability, so this is the error of luck alone.
    """
    columns = _columns(predictions)
    rng = np.random.default_rng(seed)
    even = np.ones((1, len(predictions)))
    found = []
    for _ in range(draws):
        columns["strict"] = (rng.random(len(predictions)) < columns["probability"]).astype(np.float64)
        found.append(float(_ece(columns, even)[0]))
    return float(np.quantile(found, 0.95))


def risk_coverage(predictions: Sequence[Prediction]) -> tuple[Floats, Floats]:
    """(coverage, precision), each (n_kept,) float64: concepts answered, the most probable first, ties together."""
    columns = _columns(predictions)
    kept, right, whole = _kept(columns, np.ones((1, len(predictions))))
    at = whole & (kept[0] > 0)
    return kept[0, at] / len(predictions), right[0, at] / kept[0, at]


# --- what is counted ---


def _columns(predictions: Sequence[Prediction]) -> dict[str, Floats]:
    """(n,) float64 each; what does not apply to a mention is 0 and masked by ``linkable``, ``answered`` or ``nil``."""
    rows = [_row(prediction) for prediction in predictions]
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}


def _row(prediction: Prediction) -> dict[str, float]:
    gold = set(prediction.gold)
    ids = [option.id for option in prediction.candidates]
    rank = next((at for at, identifier in enumerate(ids) if identifier in gold), len(ids) + 1_000_000)
    final = sorted(prediction.candidates, key=lambda option: -option.probability)
    reciprocal = next((1 / at for at, option in enumerate(final, 1) if option.id in gold), 0.0)
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
    """Metric → (value, mask), each (n,): its mean over the mask."""
    everything = np.ones_like(columns["strict"])
    linkable = columns["linkable"]
    return {
        "accuracy_at_1": (columns["strict"], everything),
        "accuracy_at_1_lenient": (columns["lenient"], everything),
        **{f"recall_at_{k}": (columns[f"recall_at_{k}"], linkable) for k in (1, 10, 20)},
        "mrr": (columns["reciprocal"], linkable),
    }


def _shares_of_nil(columns: Mapping[str, Floats]) -> dict[str, tuple[Floats, Floats]]:
    return {
        "nil_precision": (columns["nil"], columns["unanswered"]),
        "nil_recall": (columns["unanswered"], columns["nil"]),
    }


def _strata(
    predictions: Sequence[Prediction], columns: Mapping[str, Floats], sample: "_Sample"
) -> dict[str, dict[str, Metric]]:
    shares = _shares(columns)
    found: dict[str, dict[str, Metric]] = {}
    present = {stratum for prediction in predictions for stratum in prediction.strata}
    for stratum in [*(stratum for stratum in STRATA if stratum in present), *sorted(present - {*STRATA})]:
        inside = np.array([stratum in prediction.strata for prediction in predictions], dtype=np.float64)
        found[stratum] = {
            name: sample.mean(shares[name][0], shares[name][1] * inside)
            for name in ("accuracy_at_1", "recall_at_1", "recall_at_10")
        }
    return found


def _ece(columns: Mapping[str, Floats], weights: Floats) -> Floats:
    """(b,) for weights (b, n)."""
    order = np.argsort(columns["probability"], kind="stable")
    probability, right = columns["probability"][order], columns["strict"][order]
    weights = weights[:, order]
    place = _bins(weights) + BINS * np.arange(len(weights))[:, None]
    gap = np.bincount(place.ravel(), (weights * (probability - right)).ravel(), minlength=BINS * len(weights))
    return np.asarray(np.abs(gap.reshape(-1, BINS)).sum(axis=1) / weights.sum(axis=1), dtype=np.float64)


def _bins(weights: Floats) -> npt.NDArray[np.intp]:
    """(b, n) bin of each item, for weights (b, n) of items in rising order: every bin has about the same mass."""
    middle = np.cumsum(weights, axis=1) - weights / 2
    share = middle / weights.sum(axis=1, keepdims=True)
    return np.asarray(np.minimum(share * BINS, BINS - 1), dtype=np.intp)


def _coverage_at(columns: Mapping[str, Floats], precision: float) -> Callable[[Floats], Floats]:
    def coverage(weights: Floats) -> Floats:
        kept, right, whole = _kept(columns, weights)
        enough = whole & (kept > 0) & (right >= precision * kept - 1e-9)
        return np.asarray(np.where(enough, kept, 0.0).max(axis=1) / weights.sum(axis=1), dtype=np.float64)

    return coverage


def _kept(columns: Mapping[str, Floats], weights: Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Kept and right mass (b, n) as the bound on the probability falls; and where (n,) equal ones are complete."""
    order = np.argsort(-columns["probability"], kind="stable")
    probability = columns["probability"][order]
    whole = np.append(probability[1:] != probability[:-1], True)
    weights = weights[:, order] * columns["answered"][order]
    return np.cumsum(weights, axis=1), np.cumsum(weights * columns["strict"][order], axis=1), whole


class _Sample:
    """The resamples that all figures of one evaluation share: how often each document was drawn."""

    def __init__(self, predictions: Sequence[Prediction], resamples: int, seed: int) -> None:
        n_documents = len({prediction.document for prediction in predictions if prediction.document})
        self.unit: Literal["documents", "mentions"] = "documents" if n_documents >= _FEWEST_DOCUMENTS else "mentions"
        names = [p.document if p.document and self.unit == "documents" else at for at, p in enumerate(predictions)]
        number = {name: at for at, name in enumerate(dict.fromkeys(names))}
        self._of = np.array([number[name] for name in names], dtype=np.intp)
        self._drawn = _drawn(len(number), resamples, seed)  # (b, documents)

    def means(self, values: Floats, mask: Floats) -> Floats:
        """(b,) mean of ``values`` (n,) over ``mask`` (n,) in each resample; NaN where it holds nothing."""
        n_documents = self._drawn.shape[1]
        total = self._drawn @ np.bincount(self._of, values * mask, minlength=n_documents)
        count = self._drawn @ np.bincount(self._of, mask, minlength=n_documents)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / count, dtype=np.float64)

    def mean(self, values: Floats, mask: Floats) -> Metric:
        if not mask.any():
            return Metric(value=None)
        value = float((values * mask).sum() / mask.sum())
        return _metric(value, self.means(values, mask), int(np.count_nonzero(mask)))

    def metric(self, statistic: Callable[[Floats], Floats], n: int) -> Metric:
        """``statistic`` maps weights (b, n) to (b,)."""
        value = float(statistic(np.ones((1, n)))[0])
        step = max(1, _CHUNK // n)
        parts = [
            statistic(self._drawn[at : at + step][:, self._of].astype(np.float64))
            for at in range(0, len(self._drawn), step)
        ]
        return _metric(value, np.concatenate(parts), n)


def _drawn(n: int, resamples: int, seed: int) -> npt.NDArray[np.float32]:
    """(resamples, n): how often each of ``n`` comes up in ``n`` draws with replacement; exact in float32."""
    draw = np.random.default_rng(seed)
    counts = np.empty((resamples, n), dtype=np.float32)
    step = max(1, _CHUNK // n)
    for at in range(0, resamples, step):
        rows = min(step, resamples - at)
        places = draw.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts[at : at + rows] = np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n)
    return counts


def _metric(value: float, drawn: Floats, n: int) -> Metric:
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    # Resampling inflates ECE a little: an interval that leaves its own figure out would only puzzle.
    return Metric(value=value, low=min(float(low), value), high=max(float(high), value), n=n)
