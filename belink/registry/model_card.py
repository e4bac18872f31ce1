"""Write the model card of a registered version: the Markdown description that MLflow shows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from belink import artefacts
from belink.declarations import LinkerConfig, SourceConfig
from belink.linker import bundle
from belink.linker.abstention import Abstention
from belink.markdown import Markdown, table
from belink.records import GateResult
from belink.templates import render

LONGEST = 5000  # characters that MLflow's databases take of a description
METHOD = "Shlyk, Montanelli, Hunter, SIGIR 2026, BeLink. arXiv:2605.22501"
_METRICS = ("accuracy_at_1", "recall_at_1", "recall_at_10", "nil_precision", "nil_recall", "ece", "mentions_per_second")
_MOST_SHARED = 10  # concepts of several ontologies that a card lists
_USES = {"train": "train", "evaluate": "evaluate", "both": "train, evaluate (held-out documents)"}


def model_card(
    folder: Path,
    linker: LinkerConfig,
    sources: Mapping[str, SourceConfig],
    gates: Sequence[GateResult],
    shared: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the card of the bundle at ``folder``: what it is made of, its figures, its gates and its licences.

    :param sources: the declarations of its ontologies, by name.
    :param shared: concepts that several of them have: ``id``, and ``labels``, ontology → label.
    """
    manifest = artefacts.read_manifest(folder)
    evaluation = json.loads((folder / bundle.EVALUATION).read_text(encoding="utf-8"))
    calibration = json.loads((folder / bundle.CALIBRATION).read_text(encoding="utf-8"))
    releases = {name: artefacts.read_manifest(folder / "releases" / name) for name in manifest["releases"]}
    return render(
        "belink.registry",
        "model_card.md",
        linker=linker,
        ontologies=_ontologies(releases, sources),
        corpora=_corpora(linker),
        metrics=_metrics(evaluation),
        n=evaluation["challenger"].get("n"),
        gates=gate_table(gates),
        unmeasured=[gate.name for gate in gates if not gate.measured],
        shared=_shared(shared),
        n_shared=len(shared),
        abstention=Abstention.from_dict(calibration.get("abstention")),
        manifest=manifest,
        citations=_citations(releases, sources),
    )


def summary_line(manifest: Mapping[str, Any], evaluation: Mapping[str, Any], gates: Sequence[GateResult]) -> str:
    """Return a version in one line: its accuracy, its releases and its gates.

    :param evaluation: as a bundle holds it.
    """
    accuracy = evaluation["challenger"].get("metrics", {}).get("accuracy_at_1", {})
    failed = [gate.name for gate in gates if not gate.passed]
    unmeasured = [gate.name for gate in gates if not gate.measured and gate.passed]
    passed = (
        f"all {len(gates)} gates passed" if not unmeasured else f"gates passed, not measured: {', '.join(unmeasured)}"
    )
    parts = [
        f"accuracy {accuracy['value']:.3f} on {evaluation['challenger'].get('n', 0):,} mentions"
        if accuracy.get("value") is not None
        else "accuracy not measured",
        ", ".join(f"{name} {release['version']}" for name, release in manifest["releases"].items()),
        f"gates failed: {', '.join(failed)}" if failed else passed if gates else "no gates",
    ]
    return " · ".join(parts)


def shortened(card: str, longest: int = LONGEST) -> str:
    """Return ``card``, cut at the end of a line if it is longer than a description may be."""
    if len(card) <= longest:
        return card
    more = "\n\n… the rest stands in model_card.md among the run's artifacts.\n"
    return card[: longest - len(more)].rpartition("\n")[0].rstrip() + more


def gate_table(gates: Sequence[GateResult]) -> Markdown:
    """Return a Markdown table of each gate with its value and bound."""
    rows = [
        [
            gate.name,
            "not measured" if gate.value is None else f"{gate.value:.4g}",
            f"{gate.bound:.4g}",
            gate.verdict,
            gate.detail,
        ]
        for gate in gates
    ]
    return table(["gate", "value", "bound", "verdict", "detail"], rows, right=["value", "bound"])


def _ontologies(releases: Mapping[str, Mapping[str, Any]], sources: Mapping[str, SourceConfig]) -> Markdown:
    rows = []
    for name, release in releases.items():
        restriction = "" if release.get("redistributable", True) else "; not to be passed on"
        title = sources[name].title if name in sources else name
        concepts, licence = release.get("counts", {}).get("concepts", 0), release.get("licence", "unknown")
        rows.append([title, f"{name} {release['version']}", f"{concepts:,}", f"{licence}{restriction}"])
    return table(["ontology", "release", "concepts", "licence"], rows, right=["concepts"])


def _shared(shared: Sequence[Mapping[str, Any]]) -> Markdown | None:
    if not shared:
        return None
    rows = [
        # Labels keep the order of the declaration, and a link shows the first of them.
        [each["id"], *next(iter(each["labels"].items())), "; ".join(f"{of}: {label}" for of, label in others)]
        for each in shared[:_MOST_SHARED]
        for others in [list(each["labels"].items())[1:]]
    ]
    return table(["id", "first in", "label", "also"], rows)


def _corpora(linker: LinkerConfig) -> Markdown | None:
    if not linker.corpora:
        return None
    rows = [[corpus.name, _USES[corpus.use], corpus.licence or "unknown"] for corpus in linker.corpora]
    return table(["corpus", "used to", "licence"], rows)


def _metrics(evaluation: Mapping[str, Any]) -> Markdown:
    """Return the challenger's metrics with their intervals beside those of the champion of that time."""
    measured = evaluation["challenger"].get("metrics", {})
    of_champion = (evaluation.get("champion") or {}).get("metrics", {})
    rows = []
    for name in _METRICS:
        metric = measured.get(name)
        if metric is None or metric["value"] is None:
            continue
        has_interval = metric["low"] is not None and metric["high"] is not None
        interval = f"{metric['low']:.4g} to {metric['high']:.4g}" if has_interval else ""
        before = of_champion.get(name, {}).get("value")
        rows.append([name, f"{metric['value']:.4g}", interval, "" if before is None else f"{before:.4g}"])
    columns = ["metric", "value", "95 % interval", "champion then"]
    return table(columns, rows, right=["value", "champion then"])


def _citations(releases: Mapping[str, Mapping[str, Any]], sources: Mapping[str, SourceConfig]) -> list[str]:
    of_ontologies = [
        # The release's own citation goes first: it was written down when the release was read.
        release.get("citation") or (sources[name].citation if name in sources else "")
        for name, release in releases.items()
    ]
    return [text for text in dict.fromkeys([*of_ontologies, METHOD]) if text]
