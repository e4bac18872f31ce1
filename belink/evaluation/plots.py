"""Draw an evaluation as three PNG plots, for a light or a dark page."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from belink.evaluation.metrics import Evaluation, Metric, reliability, risk_coverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 160


@dataclass(frozen=True, kw_only=True, slots=True)
class Palette:
    """The colours of one page."""

    ink: str
    faint: str
    line: str
    other: str


LIGHT = Palette(ink="#24292f", faint="#c3cad3", line="#0b62a8", other="#b45309")
DARK = Palette(ink="#dbe2ea", faint="#46505c", line="#6cb6ff", other="#f0a04b")


def plots(evaluation: Evaluation, palette: Palette = LIGHT) -> dict[str, bytes]:
    """Return transparent PNGs by name: reliability, strata if there are any, coverage if anything was answered."""
    images = {"reliability": _png(_reliability(evaluation, palette))}
    if evaluation.strata:
        images["strata"] = _png(_strata(evaluation, palette))
    if any(prediction.predicted is not None for prediction in evaluation.predictions):
        images["coverage"] = _png(_coverage(evaluation, palette))
    return images


def _reliability(evaluation: Evaluation, palette: Palette) -> "Figure":
    figure, axes = _empty(palette, 5.2, 4.2)
    bins = reliability(evaluation.predictions)
    axes.plot([0, 1], [0, 1], color=palette.faint, linewidth=1, linestyle="--", zorder=1)
    stated, right = [mean for mean, _, _ in bins], [share for _, share, _ in bins]
    axes.plot(stated, right, color=palette.line, marker="o", markersize=5, linewidth=1.5, zorder=2)
    low = max(0.0, min(stated + right) - 0.05)
    axes.set(xlim=(low, 1.01), ylim=(low, 1.01), xlabel="stated probability", ylabel="share right")
    return figure


def _strata(evaluation: Evaluation, palette: Palette) -> "Figure":
    rows: list[tuple[str, Metric]] = [("all", evaluation.metrics["accuracy_at_1"])]
    rows += [(stratum, metrics["accuracy_at_1"]) for stratum, metrics in evaluation.strata.items()]
    figure, axes = _empty(palette, 10.0, 1.0 + 0.34 * len(rows))
    for y, (_, metric) in enumerate(reversed(rows)):
        if metric.value is not None and metric.low is not None and metric.high is not None:
            axes.plot([metric.low, metric.high], [y, y], color=palette.line, linewidth=2.2, alpha=0.55)
            axes.plot(metric.value, y, color=palette.line, marker="o", markersize=6)
    overall = rows[0][1].value
    if overall is not None:
        axes.axvline(overall, color=palette.faint, linewidth=1, zorder=0)
    labels = [f"{stratum}  (n = {metric.n:,})" for stratum, metric in reversed(rows)]
    # A dollar sign in the name of a source would start a formula in Matplotlib.
    axes.set_yticks(range(len(rows)), labels, parse_math=False)
    lows = [metric.low for _, metric in rows if metric.low is not None]
    axes.set(xlim=(max(0.0, min(lows, default=0.0) - 0.05), 1.01), xlabel="accuracy@1, strict, with 95 % intervals")
    return figure


def _coverage(evaluation: Evaluation, palette: Palette) -> "Figure":
    figure, axes = _empty(palette, 5.2, 4.2)
    coverage, precision = risk_coverage(evaluation.predictions)
    axes.plot(coverage, precision, color=palette.line, linewidth=1.6)
    # The first 5 % of the points are left out: the precision of a few answers jumps between 0 and 1.
    low = max(0.0, min(float(precision[len(precision) // 20 :].min()), 0.85) - 0.03)
    axes.set(xlim=(0, 1.01), ylim=(low, 1.005), xlabel="share of mentions answered", ylabel="accuracy of the answers")
    for percent in (90, 95):
        share = evaluation.metrics[f"coverage_at_precision_{percent}"].value
        axes.axhline(percent / 100, color=palette.faint, linewidth=1, linestyle="--", zorder=0)
        if share:
            axes.plot(share, percent / 100, color=palette.other, marker="o", markersize=6)
            axes.annotate(
                f"{100 * share:.0f} % at {percent} %",
                (share, percent / 100),
                xytext=(6, 6),
                textcoords="offset points",
                color=palette.other,
                fontsize=9,
            )
    return figure


def _empty(palette: Palette, width: float, height: float) -> tuple["Figure", "Axes"]:
    # Not pyplot: it keeps global state, and a service draws in several threads.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    # The page's own background shows through, whichever colour it has.
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    for side, spine in axes.spines.items():
        spine.set_color(palette.faint)
        spine.set_visible(side in ("left", "bottom"))
    axes.tick_params(colors=palette.ink, labelsize=9)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(palette.ink)
        label.set_fontsize(10)
    axes.grid(color=palette.faint, linewidth=0.5, alpha=0.5)
    axes.set_axisbelow(True)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
