"""What a registered version tells the one who comes to use it: the description that MLflow shows, in Markdown."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from belink import artefacts
from belink.declarations import LinkerConfig, SourceConfig
from belink.linker import bundle
from belink.records import GateResult

LONGEST = 5000  # characters that MLflow's databases take of a description
METHOD = "Shlyk, Montanelli, Hunter, SIGIR 2026, BeLink. arXiv:2605.22501"
_MEASURED = ("accuracy_at_1", "recall_at_1", "recall_at_10", "nil_f1", "ece", "mentions_per_second")


def model_card(
    folder: Path, linker: LinkerConfig, sources: Mapping[str, SourceConfig], gates: Sequence[GateResult]
) -> str:
    """The card of the bundle at ``folder``: what it is made of, how good it is, and under which licences.

    :param sources: the declarations of its ontologies.
    """
    manifest = artefacts.read_manifest(folder)
    evaluation = json.loads((folder / bundle.EVALUATION).read_text(encoding="utf-8"))
    releases = {name: artefacts.read_manifest(folder / "releases" / name) for name in manifest["releases"]}
    parts = [
        f"# {linker.title}",
        "Links mentions in biomedical text to concepts. "
        f"Load it: `mlflow.pyfunc.load_model('models:/{linker.name}@champion')`.",
        _ontologies(releases, sources),
        _corpora(linker),
        _metrics(evaluation),
        gate_table(gates),
        _made_with(manifest),
        _cite(releases, sources),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def shortened(card: str, longest: int = LONGEST) -> str:
    """``card``, where it is too long for a description cut at a line."""
    if len(card) <= longest:
        return card
    more = "\n\n… the rest stands in model_card.md among the run's artifacts.\n"
    return card[: longest - len(more)].rpartition("\n")[0].rstrip() + more


def gate_table(gates: Sequence[GateResult]) -> str:
    """Each gate with its value and bound, as a Markdown table."""
    lines = ["| gate | value | bound | | |", "| --- | ---: | ---: | --- | --- |"]
    for gate in gates:
        value = "not measured" if gate.value is None else f"{gate.value:.4g}"
        lines.append(
            f"| {gate.name} | {value} | {gate.bound:.4g} | {'pass' if gate.passed else 'FAIL'} | {gate.detail} |"
        )
    return "\n".join(lines)


def _ontologies(releases: Mapping[str, Mapping[str, Any]], sources: Mapping[str, SourceConfig]) -> str:
    lines = ["| ontology | release | concepts | licence |", "| --- | --- | ---: | --- |"]
    for name, release in releases.items():
        held_back = "" if release.get("redistributable", True) else " **Not to be passed on.**"
        title = sources[name].title if name in sources else name
        concepts, licence = release.get("counts", {}).get("concepts", 0), release.get("licence", "unknown")
        lines.append(f"| {title} | {name} {release['version']} | {concepts:,} | {licence}.{held_back} |")
    return "\n".join(lines)


def _corpora(linker: LinkerConfig) -> str:
    if not linker.corpora:
        return "Trained and measured on the ontologies' own names; no annotated corpus."
    lines = ["| corpus | used to | licence |", "| --- | --- | --- |"]
    uses = {"train": "train", "evaluate": "evaluate", "both": "train, evaluate (held-out documents)"}
    lines += [f"| {corpus.name} | {uses[corpus.use]} | {corpus.licence or 'unknown'} |" for corpus in linker.corpora]
    return "\n".join(lines)


def _metrics(evaluation: Mapping[str, Any]) -> str:
    challenger, champion = evaluation["challenger"], evaluation.get("champion")
    before = (champion or {}).get("metrics", {})
    lines = ["| metric | value | 95 % interval | champion then |", "| --- | ---: | --- | ---: |"]
    for name in _MEASURED:
        metric = challenger.get("metrics", {}).get(name)
        if metric is None or metric["value"] is None:
            continue
        known = metric["low"] is not None and metric["high"] is not None
        interval = f"{metric['low']:.4g} to {metric['high']:.4g}" if known else ""
        then = before.get(name, {}).get("value")
        lines.append(f"| {name} | {metric['value']:.4g} | {interval} | {'' if then is None else f'{then:.4g}'} |")
    n = challenger.get("n")
    return "\n".join(lines) + (f"\n\nOn {n:,} mentions that were not trained on." if n else "")


def _made_with(manifest: Mapping[str, Any]) -> str:
    rows = {
        "encoder": manifest["encoder"]["reference"],
        "base model": manifest["base_model"]["reference"],
        "adapter": manifest["adapter"] or "none: retrieval decides alone",
        "index": manifest["index"]["key"],
        "bundle": manifest["key"],
        "belink": manifest["belink"],
    }
    return "\n".join(f"- {name}: {value}" for name, value in rows.items())


def _cite(releases: Mapping[str, Mapping[str, Any]], sources: Mapping[str, SourceConfig]) -> str:
    cited = [
        release.get("citation") or (sources[name].citation if name in sources else "")
        for name, release in releases.items()
    ]
    return "\n".join(["Cite:", "", *(f"- {text}" for text in dict.fromkeys([*cited, METHOD]) if text)])
