"""Render an evaluation as one HTML page that needs no other file.

Names, ids and mentions are untrusted input: the template escapes every value, and the page allows no script.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from belink import artefacts
from belink.evaluation.metrics import DISTINCT_RULE, Comparison, Evaluation, Metric
from belink.evaluation.plots import DARK, LIGHT, plots
from belink.evaluation.predictions import Prediction, strictly_right
from belink.records import GateResult
from belink.templates import render

_MAX_ERRORS = 25
_METRIC_NAMES = {
    "accuracy_at_1": "accuracy@1, strict",
    "accuracy_at_1_lenient": "accuracy@1, lenient",
    "recall_at_1": "retrieval recall@1",
    "recall_at_10": "retrieval recall@10",
    "recall_at_20": "retrieval recall@20",
    "mrr": "mean reciprocal rank",
    "nil_precision": "NIL precision",
    "nil_recall": "NIL recall",
    "ece": "expected calibration error",
    "coverage_at_precision_90": "coverage at 90 % precision",
    "coverage_at_precision_95": "coverage at 95 % precision",
    "mentions_per_second": "mentions a second",
}
_RAW_TEXT = (
    ("precision of links", "precision", "n_linked"),
    ("recall of links", "recall", "n_annotated"),
    ("F1 of links", "f1", "n_annotated"),
    ("NIL precision", "nil_precision", "n_found"),
    ("NIL recall", "nil_recall", "n_found"),
)  # name, key, what it is counted on
_TILES = ("accuracy_at_1", "recall_at_10", "ece", "coverage_at_precision_95", "mentions_per_second")
_PLOTS = {
    "reliability": ("Reliability", "On the dashed line, a probability equals the share right. Bins of equal size."),
    "coverage": (
        "Accuracy against coverage",
        "Only the most probable mentions are answered; how many of these are right.",
    ),
    "strata": ("Accuracy by stratum", "The line is the accuracy of all mentions."),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricText:
    """A metric as the page shows it."""

    name: str
    value: str
    interval: str
    n: str


def render_html(
    evaluation: Evaluation,
    *,
    title: str,
    gates: Sequence[GateResult] = (),
    comparison: Comparison | None = None,
    facts: Mapping[str, str] | None = None,
    end_to_end: Mapping[str, Any] | None = None,
    light: Mapping[str, bytes] | None = None,
) -> str:
    """Return the report as one page, light or dark as the reader's system is.

    :param comparison: with the champion, or with another predictions file.
    :param facts: what was evaluated and on what, shown below the title in this order.
    :param end_to_end: the figures from raw text; see :func:`belink.evaluation.end_to_end.evaluate_raw_text`.
    :param light: the plots of a light page, where they are drawn already.
    """
    # The most confident errors come first; an improbable answer says itself that it may be wrong.
    errors = sorted((p for p in evaluation.predictions if not strictly_right(p)), key=lambda p: -p.probability)
    return render(
        "belink.evaluation",
        "report.html",
        title=title,
        basis=_basis(evaluation),
        facts=facts or {},
        tiles=[_text(name, metric) for name in _TILES if (metric := evaluation.metrics[name]).value is not None],
        gates=gates,
        comparison=_compare(comparison) if comparison else "",
        metrics=[_text(name, metric) for name, metric in evaluation.metrics.items()],
        rule=DISTINCT_RULE[0].upper() + DISTINCT_RULE[1:],
        n_distinct=f"{evaluation.n_distinct:,}",
        distinct=[_text(name, metric) for name, metric in evaluation.distinct.items()],
        end_to_end=_raw_text(end_to_end) if end_to_end else [],
        plots=_plots(light or plots(evaluation, LIGHT), plots(evaluation, DARK)),
        strata=[
            {
                "name": stratum,
                "accuracy": _text("accuracy_at_1", metrics["accuracy_at_1"]),
                "recall_at_1": _text("recall_at_1", metrics["recall_at_1"]),
                "recall_at_10": _text("recall_at_10", metrics["recall_at_10"]),
            }
            for stratum, metrics in evaluation.strata.items()
        ],
        errors=[{"prediction": error, "gold_rank": _gold_rank(error)} for error in errors[:_MAX_ERRORS]],
        n_errors=f"{len(errors):,}",
    )


def write_page(path: Path, page: str) -> None:
    """Write ``page`` to ``path``, whole or not at all."""
    with artefacts.atomic_write(path) as aside:
        # A lone surrogate in somebody's text must not cost the report.
        aside.write_text(page, encoding="utf-8", errors="replace")


def _plots(light: Mapping[str, bytes], dark: Mapping[str, bytes]) -> list[dict[str, object]]:
    # Both are embedded, and CSS shows one: an image cannot read the colours of its page.
    return [
        {
            "heading": heading,
            "caption": caption,
            "wide": name == "strata",
            "light": _data_uri(light[name]),
            "dark": _data_uri(dark[name]),
        }
        for name, (heading, caption) in _PLOTS.items()
        if name in light
    ]


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _gold_rank(prediction: Prediction) -> str:
    """Return the rank of the gold concept among retrieval's candidates, in words; "–" for a mention without one."""
    if not prediction.gold:
        return "–"
    ranks = [rank for rank, option in enumerate(prediction.candidates, 1) if option.id in prediction.gold]
    return f"candidate {ranks[0]}" if ranks else "not retrieved"


def _basis(evaluation: Evaluation) -> str:
    documents = f" in {evaluation.n_documents:,} documents" if evaluation.n_documents else ""
    return f"{evaluation.n:,} mentions{documents}; 95 % intervals by resampling {evaluation.resampled}."


def _compare(comparison: Comparison) -> str:
    left_out = f" {comparison.unmatched:,} mentions answered by one only are left out." if comparison.unmatched else ""
    first, second = (f"{100 * share:.1f} %" for share in (comparison.first, comparison.second))
    difference, low, high = (f"{100 * d:+.1f}" for d in (comparison.difference, comparison.low, comparison.high))
    return (
        f"Accuracy@1 {first} against {second} on {comparison.n:,} mentions: {difference} points, 95 % interval "
        f"{low} to {high}, p = {comparison.p:.3f} (paired bootstrap).{left_out}"
    )


def _raw_text(figures: Mapping[str, Any]) -> list[MetricText]:
    """Return the figures from raw text, with the bound and where only the most probable answer decides."""
    groups = ((f"links from {figures['bound']:.2f}", figures), ("no bound", figures["unbounded"]))
    texts = []
    for name, key, total in _RAW_TEXT:
        for condition, group in groups:
            # Counts of annotated and found mentions do not depend on the bound, so `unbounded` lacks them.
            n = group.get(total, figures.get(total))
            metric = Metric(value=group[key], low=None, high=None, n=n)
            texts.append(replace(_text(key, metric), name=f"{name}, {condition}"))
    ece = Metric(value=figures["ece"], low=None, high=None, n=figures["n_found"])
    return [*texts, _text("ece", ece)]


def _text(name: str, metric: Metric) -> MetricText:
    """Return the metric in words; a share in per cent, ECE and MRR as numbers."""
    shown = _METRIC_NAMES.get(name, name)
    if metric.value is None:
        return MetricText(name=shown, value="not measured", interval="", n=str(metric.n or ""))
    if name == "mentions_per_second":
        return MetricText(name=shown, value=f"{metric.value:,.1f}", interval="", n=f"{metric.n:,}")
    interval = ""
    if metric.low is not None and metric.high is not None:
        interval = f"{_number(name, metric.low)} – {_number(name, metric.high)}"
    return MetricText(name=shown, value=_number(name, metric.value), interval=interval, n=f"{metric.n:,}")


def _number(name: str, value: float) -> str:
    return f"{value:.3f}" if name in ("ece", "mrr") else f"{100 * value:.1f} %"
