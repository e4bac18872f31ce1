"""An evaluation for people: one HTML file that needs nothing beside it, and a Markdown summary for model cards.

Names, ids and mentions come from files of others: everything is escaped, and the page allows itself no script.
"""

import base64
import html as markup
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from belink import artefacts
from belink.evaluation.metrics import Comparison, Evaluation, Metric
from belink.evaluation.plots import DARK, LIGHT, plots
from belink.evaluation.predictions import Prediction, strictly_right
from belink.records import GateResult

_SHOWN_ERRORS = 25
_NAMES = {
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
_PLOTS = {
    "reliability": ("Reliability", "On the dashed line, a probability means what it says. Bins of equal size."),
    "coverage": (
        "Accuracy against coverage",
        "Answering only the most probable mentions, and how often that is right.",
    ),
    "strata": ("Accuracy by stratum", "The line is the accuracy of all mentions."),
}
_STYLE = """
:root { color-scheme: light dark; --ink: #24292f; --soft: #57606a; --paper: #ffffff; --card: #f6f8fa; --rule: #d8dee4;
  --good: #116329; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #dbe2ea; --soft: #9aa5b1; --paper: #14181d; --card: #1d232a;
  --rule: #363f49; --good: #57c271; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .6rem; }
p, figcaption { color: var(--soft); margin: .25rem 0 .75rem; max-width: 48rem; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .75rem 0 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .75rem;
  margin: 1.5rem 0 0; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: .5rem; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { font-weight: 600; color: var(--soft); font-size: .85rem; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.short { white-space: nowrap; } td.long { overflow-wrap: anywhere; min-width: 11rem; }
.pass { color: var(--good); font-weight: 600; } .fail { color: var(--bad); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1.5rem; }
figure { margin: 0; } figure.wide { grid-column: 1 / -1; } figure h3 { font-size: .95rem; margin: 0; }
img { max-width: 100%; height: auto; display: block; }
"""


def html(
    evaluation: Evaluation,
    *,
    title: str,
    gates: Sequence[GateResult] = (),
    comparison: Comparison | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    """The report as one page, light or dark as the reader's system is.

    :param comparison: against the champion, or another predictions file.
    :param facts: what was measured and on what, shown below the title in order.
    """
    sections = [
        f"<h1>{_text(title)}</h1>",
        f"<p>{_text(_basis(evaluation))}</p>",
        _facts(facts or {}),
        _tiles(evaluation),
        _section("Gates", _gate_table(gates)) if gates else "",
        _section("Compared on the same mentions", f"<p>{_text(_compared(comparison))}</p>") if comparison else "",
        _section("Figures", _metric_table(evaluation)),
        _section("Pictures", _pictures(evaluation)),
        _section("Strata", _stratum_table(evaluation)) if evaluation.strata else "",
        _errors(evaluation),
    ]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(filter(None, sections))
        + "\n</main></body></html>\n"
    )


def markdown(
    evaluation: Evaluation,
    *,
    title: str,
    gates: Sequence[GateResult] = (),
    comparison: Comparison | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    """The same in Markdown, without pictures and errors: a model version's description, a Prefect artifact."""
    parts = [f"## {_plain(title)}", _basis(evaluation)]
    if facts:
        parts.append("\n".join(f"- {_plain(name)}: {_plain(value)}" for name, value in facts.items()))
    if gates:
        rows = [[g.name, _number(g.value), _number(g.bound), _verdict(g), g.detail] for g in gates]
        parts += ["### Gates", _table(["gate", "value", "bound", "", "detail"], rows)]
    if comparison:
        parts += ["### Compared on the same mentions", _compared(comparison)]
    rows = [[_NAMES.get(name, name), *_cells(name, metric)] for name, metric in evaluation.metrics.items()]
    parts += ["### Figures", _table(["figure", "value", "95 % interval", "n"], rows)]
    if evaluation.strata:
        rows = [
            [stratum, *_cells("accuracy_at_1", of_one["accuracy_at_1"])]
            for stratum, of_one in evaluation.strata.items()
        ]
        parts += ["### Accuracy@1 by stratum", _table(["stratum", "accuracy@1", "95 % interval", "n"], rows)]
    return "\n\n".join(parts) + "\n"


def write(path: Path, page: str) -> None:
    """Write ``page`` to ``path``, whole or not at all."""
    with artefacts.atomic_write(path) as aside:
        aside.write_text(page, encoding="utf-8", errors="replace")


# --- sections ---


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts.items())
    return f'<dl class="facts">{rows}</dl>' if rows else ""


def _tiles(evaluation: Evaluation) -> str:
    shown = ("accuracy_at_1", "recall_at_10", "ece", "coverage_at_precision_95", "mentions_per_second")
    tiles = []
    for name in shown:
        metric = evaluation.metrics[name]
        if metric.value is None:
            continue
        value, interval, _ = _cells(name, metric)
        label = _text(_NAMES[name])
        tiles.append(f'<div class="tile"><span>{label}</span><b>{_text(value)}</b><span>{_text(interval)}</span></div>')
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _gate_table(gates: Sequence[GateResult]) -> str:
    rows = [
        [
            _cell(gate.name),
            _cell(_number(gate.value), "number"),
            _cell(_number(gate.bound), "number"),
            _cell(_verdict(gate), "pass" if gate.passed else "fail"),
            _cell(gate.detail, "long"),
        ]
        for gate in gates
    ]
    return _rows(["gate", "#value", "#bound", "", "detail"], rows)


def _metric_table(evaluation: Evaluation) -> str:
    rows = []
    for name, metric in evaluation.metrics.items():
        value, interval, n = _cells(name, metric)
        rows.append([_cell(_NAMES.get(name, name)), *(_cell(text, "number") for text in (value, interval, n))])
    return _rows(["figure", "#value", "#95 % interval", "#n"], rows)


def _stratum_table(evaluation: Evaluation) -> str:
    rows = []
    for stratum, of_one in evaluation.strata.items():
        accuracy, interval, n = _cells("accuracy_at_1", of_one["accuracy_at_1"])
        recalls = [_cells(name, of_one[name])[0] for name in ("recall_at_1", "recall_at_10")]
        rows.append([_cell(stratum), *(_cell(text, "number") for text in (n, accuracy, interval, *recalls))])
    return _rows(["stratum", "#n", "#accuracy@1", "#95 % interval", "#recall@1", "#recall@10"], rows)


def _pictures(evaluation: Evaluation) -> str:
    light, dark = plots(evaluation, LIGHT), plots(evaluation, DARK)
    figures = []
    for name, (heading, caption) in _PLOTS.items():
        if name not in light:
            continue
        wide = ' class="wide"' if name == "strata" else ""
        figures.append(
            f'<figure{wide}><h3>{heading}</h3><picture><source media="(prefers-color-scheme: dark)" '
            f'srcset="{_data(dark[name])}"><img alt="{heading}; the table of figures has the numbers" '
            f'src="{_data(light[name])}"></picture><figcaption>{caption}</figcaption></figure>'
        )
    return f'<div class="plots">{"".join(figures)}</div>'


def _errors(evaluation: Evaluation) -> str:
    wrong = sorted((p for p in evaluation.predictions if not strictly_right(p)), key=lambda p: -p.probability)
    if not wrong:
        return ""
    rows = [
        [
            _cell(f"{prediction.probability:.3f}", "number"),
            _cell(prediction.text, "long"),
            _cell(", ".join(prediction.gold) or "NIL", "long"),
            _cell(prediction.predicted or "NIL", "long"),
            _cell(_gold_rank(prediction), "short"),
            _cell(prediction.document, "long"),
        ]
        for prediction in wrong[:_SHOWN_ERRORS]
    ]
    table = _rows(["#probability", "mention", "gold", "answer", "gold was", "document"], rows)
    head = f"<p>The surest {len(rows):,} of {len(wrong):,} answers that are not strictly right.</p>"
    return _section("Wrong, though sure", head + table)


def _gold_rank(prediction: Prediction) -> str:
    if not prediction.gold:
        return "–"
    ranks = [at for at, option in enumerate(prediction.candidates, 1) if option.id in prediction.gold]
    return f"candidate {ranks[0]}" if ranks else "not retrieved"


# --- words and cells ---


def _basis(evaluation: Evaluation) -> str:
    documents = f" in {evaluation.n_documents:,} documents" if evaluation.n_documents else ""
    return f"{evaluation.n:,} mentions{documents}; 95 % intervals by resampling {evaluation.resampled}."


def _compared(comparison: Comparison) -> str:
    left_out = f" {comparison.unmatched:,} mentions answered by one only are left out." if comparison.unmatched else ""
    first, second = (f"{100 * share:.1f} %" for share in (comparison.first, comparison.second))
    difference, low, high = (f"{100 * d:+.1f}" for d in (comparison.difference, comparison.low, comparison.high))
    return (
        f"Accuracy@1 {first} against {second} on {comparison.n:,} mentions: {difference} points, 95 % interval "
        f"{low} to {high}, p = {comparison.p:.3f} (paired bootstrap).{left_out}"
    )


def _cells(name: str, metric: Metric) -> tuple[str, str, str]:
    """Value, interval and n as they are shown."""
    if metric.value is None:
        return "not measured", "", str(metric.n or "")
    if name == "mentions_per_second":
        return f"{metric.value:,.1f}", "", f"{metric.n:,}"
    interval = ""
    if metric.low is not None and metric.high is not None:
        interval = f"{_shown(name, metric.low)} – {_shown(name, metric.high)}"
    return _shown(name, metric.value), interval, f"{metric.n:,}"


def _shown(name: str, value: float) -> str:
    return f"{value:.3f}" if name in ("ece", "mrr") else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"


def _verdict(gate: GateResult) -> str:
    return "passed" if gate.passed else "failed"


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{_text(heading)}</h2>{content}</section>"


def _rows(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; heads that begin with # stand over numbers."""
    head = "".join(
        f'<th class="number">{_text(name[1:])}</th>' if name.startswith("#") else f"<th>{_text(name)}</th>"
        for name in heads
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{_text(text)}</td>' if kind else f"<td>{_text(text)}</td>"


def _text(text: str) -> str:
    return markup.escape(text, quote=True)


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([_plain(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """``text`` on one line with the marks of Markdown and HTML taken literally."""
    return re.sub(r"([\\`*{}\[\]<>|#])", r"\\\1", " ".join(text.split()))
