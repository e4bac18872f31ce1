"""What the registry is told of an evaluated bundle: parameters, metrics, reports and datasets of its run.

Tags are those of :mod:`belink.registry.tags`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import artefacts, markdown, progress
from belink.evaluation.metrics import paired_bootstrap
from belink.evaluation.run import evaluations
from belink.lifecycle.refresh import RefreshRun
from belink.linker import bundle
from belink.ontology.release import shared_concepts
from belink.records import GateResult
from belink.registry import aliases, runs
from belink.registry.impacts import FILE as IMPACTS
from belink.registry.impacts import stored_text
from belink.registry.model_card import gate_table, model_card, shortened, summary_line
from belink.registry.store import RunRecord

if TYPE_CHECKING:
    from belink.retrieval.index import IndexReport


@contextmanager
def recorded(run: RefreshRun) -> Iterator[RefreshRun]:
    """Give ``run`` with an open MLflow run: training writes its losses there, and :func:`register` the bundle.

    :raises RegistryError: the registry cannot be reached.
    """
    with runs.open_run(run.settings, run.linker.name, run.started) as run_id:
        yield replace(run, mlflow_run=run_id)


@progress.working("registering the version")
def register(
    run: RefreshRun,
    folder: Path,
    index: "IndexReport",
    evaluation: Path,
    gates: Sequence[GateResult],
    impacts: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return the version under which MLflow holds the bundle at ``folder``.

    :param impacts: what :func:`belink.lifecycle.watch.watch` returns.
    """
    manifest, linker = artefacts.read_manifest(folder), run.linker
    figures = (folder / bundle.EVALUATION).read_text(encoding="utf-8")
    diffs = {path.name: path.read_text(encoding="utf-8") for path in sorted((folder / "diffs").glob("*.md"))}
    releases = {name: folder / "releases" / name for name in run.ontologies if name in manifest["releases"]}
    shared = shared_concepts(releases, linker.prefixes)
    card = model_card(folder, linker, {name: each.source for name, each in run.ontologies.items()}, gates, shared)
    plots, report = _plots_and_report(evaluation, linker.title, gates, manifest["lineage"])
    record = RunRecord(
        params={
            **_flat(linker.model_dump(mode="json", exclude={"corpora"})),  # corpora are logged as datasets
            **_hashes(manifest),
        },
        metrics={
            **_figures(json.loads(figures)),
            "index_names": index.names,
            **({} if index.recall_at_10 is None else {"index_recall_at_10": index.recall_at_10}),
        },
        reports={
            **{f"diff-{name}": text for name, text in diffs.items()},
            **{f"impact-{name}.md": impact["markdown"] for name, impact in impacts.items()},
            **({IMPACTS: stored_text(impacts)} if impacts else {}),
            "model_card.md": card,
            "gates.md": gate_report(gates),
            "index.md": index_report(index),
            bundle.EVALUATION: figures,
            "report.html": report,
        },
        plots={f"{name}.png": image for name, image in plots.items()},
        datasets=_datasets(run, folder, manifest),
        description=shortened(f"{summary_line(manifest, json.loads(figures), gates)}\n\n{card}"),
        run_id=run.mlflow_run,
        share_restricted=run.share_restricted,
    )
    return aliases.register(run.settings, folder, record)


def _datasets(run: RefreshRun, folder: Path, manifest: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what the bundle was made of, as MLflow lists it: name → (where from, sha256)."""
    datasets = {}
    for name in manifest["releases"]:
        release = artefacts.read_manifest(folder / "releases" / name)
        url = run.ontologies[name].source.url
        address = url if isinstance(url, str) else release["sources"][0]["name"]  # a file, or one of several addresses
        datasets[f"{name} {release['version']}"] = (address, release["sha256"])
    for corpus in run.linker.corpora:
        datasets[corpus.name] = (corpus.url or corpus.file, run.corpora[corpus.name])
    return datasets


def gate_report(gates: Sequence[GateResult]) -> str:
    """Return a Markdown table."""
    return f"{gate_table(gates)}\n"


def index_report(index: "IndexReport") -> str:
    """Return a Markdown table of what building the index cost and gave."""
    rows = {
        "names": f"{index.names:,}",
        "encoded": f"{index.encoded:,}",
        "reused": f"{index.reused:,}",
        "recall@10 against exact search": "no vectors" if index.recall_at_10 is None else f"{index.recall_at_10:.4f}",
        "seconds": f"{index.seconds:.1f}",
    }
    return f"{markdown.table(['index', ''], [*rows.items()], right=[''])}\n"


def _plots_and_report(
    evaluation: Path, title: str, gates: Sequence[GateResult], lineage: Mapping[str, str]
) -> tuple[dict[str, bytes], str]:
    """Return the challenger's plots, name → PNG, and its HTML page."""
    from belink.evaluation.plots import plots
    from belink.evaluation.report import render_html

    figures = evaluations(evaluation)
    challenger, champion = figures["challenger"], figures.get("champion")
    comparison = paired_bootstrap(challenger.predictions, champion.predictions) if champion else None
    light = plots(challenger)
    page = render_html(challenger, title=title, gates=gates, comparison=comparison, facts=lineage, light=light)
    return light, page


def _figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of both, named as MLflow takes them."""
    return {
        f"{prefix}{name}": metric["value"]
        for prefix, who in (("", "challenger"), ("champion_", "champion"))
        for name, metric in (evaluation[who] or {"metrics": {}})["metrics"].items()
        if metric["value"] is not None  # MLflow takes only numbers
    }


def _hashes(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the sha256 of each part of a version, as parameters."""
    files = manifest["files"]
    named = {
        "index": next((name for name in files if name.endswith(".faiss")), f"{bundle.INDEX}/vectors.npy"),
        "adapter": f"{bundle.ADAPTER}/adapter_model.safetensors",  # as PEFT names it
    }
    hashes = {name: str(files[file]["sha256"]) for name, file in named.items() if file in files}
    if encoder := manifest["encoder"]["sha256"]:  # "": the linker declares none
        hashes["encoder"] = encoder
    if base := bundle.base_sha256(manifest):
        hashes["reranker"] = base
    return {f"{name}.sha256": value for name, value in hashes.items()}


def _flat(document: Mapping[str, Any], above: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{above}{name}."))
        else:
            flat[f"{above}{name}"] = value
    return flat
