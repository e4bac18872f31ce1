"""The steps of a refresh that set the challenger against the champion, and what came of it.

The challenger is drafted as a bundle without evaluation; both answer the same exam; gates hold the figures against
their bounds; the bundle is assembled with all of that in it, registered, and becomes champion if no gate failed.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from belink import artefacts
from belink.errors import GateRefused
from belink.evaluation import run
from belink.evaluation.gates import check_linker_gates, failed_gates
from belink.evaluation.metrics import Evaluation, as_json, evaluate, paired_bootstrap
from belink.evaluation.predictions import Seen, read_predictions, write_predictions
from belink.lifecycle.refresh import Champion, Start, inputs, load_encoder, outcome, sound
from belink.lifecycle.retrain import Decision, base_model, learned
from belink.linker import bundle
from belink.linker.linker import Linker
from belink.records import GateResult
from belink.registry import aliases
from belink.registry.model_card import gate_table, model_card, shortened
from belink.registry.store import RunRecord
from belink.training import splits

if TYPE_CHECKING:
    from belink.ontology.diff import Diff
    from belink.retrieval.index import IndexReport

log = logging.getLogger(__name__)

NOT_WITHDRAWN, APPROVED = "not_withdrawn", "approved"
Verdict = Literal["promoted", "rejected"]


@dataclass(frozen=True, kw_only=True)
class Challenger:
    """A drafted bundle, and the parts it was made of."""

    path: Path
    parts: bundle.Parts


def drafted(
    begun: Start, releases: Mapping[str, Path], index: Path, decision: Decision, calibration: Path
) -> Challenger:
    """The challenger as a bundle that links but was not evaluated yet."""
    from belink.weights import resolve

    linker, cache = begun.linker, begun.settings.cache
    encoder = resolve(linker.encoder.model, cache)
    base = base_model(begun)
    sha256 = {name: str(artefacts.read_manifest(path)["sha256"]) for name, path in releases.items()}
    adapter = {} if decision.adapter is None else {"drift": round(decision.drift, 6), "trained": _when(decision)}
    parts = bundle.Parts(
        linker=linker,
        releases=dict(releases),
        index=index,
        adapter=decision.adapter,
        adapted=decision.encoder,
        detector=_detector(begun),
        lexicon=learned(begun, releases, index),
        calibration=calibration,
        encoder=bundle.ModelReference(reference=encoder.reference, sha256=encoder.sha256),
        base_model=bundle.ModelReference(reference=base.reference, sha256=base.sha256),
        inputs={**inputs(begun, sha256), "adapter": adapter},
    )
    return Challenger(path=bundle.assemble(parts, begun.settings.home / "drafts" / linker.name), parts=parts)


def _detector(begun: Start) -> bundle.ModelReference | None:
    from belink.weights import resolve

    if not begun.linker.detector.model:
        return None
    found = resolve(begun.linker.detector.model, begun.settings.cache)
    return bundle.ModelReference(reference=found.reference, sha256=found.sha256)


def evaluated(begun: Start, challenger: Challenger, current: Champion | None) -> Path:
    """Both linkers' answers and figures in the same exam, in a folder.

    ``challenger.jsonl`` and ``champion.jsonl`` hold the answers, ``evaluation.json`` the figures of both. Found, if the
    same two have sat the same exam before.
    """
    folders, current = [challenger.path / "releases" / name for name in challenger.parts.releases], sound(current)
    items = splits.evaluation_items(begun.linker, folders, begun.settings.data)
    sitting = {"challenger": challenger.path, **({"champion": current.path} if current else {})}
    key = artefacts.key(
        {"bundles": {who: path.name for who, path in sitting.items()}, "items": [asdict(item) for item in items]}
    )
    target = begun.settings.home / "evaluations" / begun.linker.name / key
    if artefacts.exists(target):
        return target
    known = _known(begun, challenger, current, folders)
    with artefacts.build(target) as folder:
        seconds, figures = {}, {}
        for who, (predictions, took) in run.predict_in_turns(_opened(begun, challenger, sitting), items, known).items():
            write_predictions(predictions, folder / f"{who}.jsonl")
            seconds[who], figures[who] = took, as_json(evaluate(predictions, seconds=took))
        text = json.dumps({"champion": None, **figures}, indent=1, ensure_ascii=False)
        (folder / bundle.EVALUATION).write_text(text + "\n", encoding="utf-8")
        artefacts.write_manifest(folder, {"key": key, "items": len(items), "seconds": seconds})
    return target


def judged(begun: Start, challenger: Challenger, exam_folder: Path) -> list[GateResult]:
    """Each declared gate with its value and bound."""
    recall = artefacts.read_manifest(challenger.parts.index)["recall_at_10"]
    seconds = artefacts.read_manifest(exam_folder)["seconds"]
    sat = {who: evaluate(read_predictions(exam_folder / f"{who}.jsonl"), seconds=took) for who, took in seconds.items()}
    return check_linker_gates(begun.linker.gates, sat["challenger"], sat.get("champion"), index_recall_at_10=recall)


def assembled(
    begun: Start, challenger: Challenger, exam_folder: Path, gates: Sequence[GateResult], diffs: Mapping[str, "Diff"]
) -> Path:
    """The challenger's bundle with its evaluation, gates and what changed since the champion."""
    parts = replace(
        challenger.parts,
        evaluation=json.loads((exam_folder / bundle.EVALUATION).read_text(encoding="utf-8")),
        gates=gates,
        diffs={name: diff.markdown() for name, diff in diffs.items()},
    )
    return bundle.assemble(parts, begun.settings.bundles / begun.linker.name)


def registered(begun: Start, folder: Path, index: "IndexReport", exam_folder: Path, gates: Sequence[GateResult]) -> str:
    """The version under which MLflow holds the bundle."""
    manifest, linker = artefacts.read_manifest(folder), begun.linker
    evaluation = (folder / bundle.EVALUATION).read_text(encoding="utf-8")
    reports = {path.name: path.read_text(encoding="utf-8") for path in sorted((folder / "diffs").glob("*.md"))}
    datasets = {}
    for name in manifest["releases"]:
        release = artefacts.read_manifest(folder / "releases" / name)
        url = begun.sources[name].url
        place = url if isinstance(url, str) else release["sources"][0]["name"]
        datasets[f"{name} {release['version']}"] = (place, release["sha256"])
    for corpus in linker.corpora:
        datasets[corpus.name] = (corpus.url or corpus.file, begun.corpora[corpus.name])
    card = model_card(folder, linker, begun.sources, gates)
    record = RunRecord(
        params={
            **_flat(linker.model_dump(mode="json", exclude={"corpora"})),
            "encoder.sha256": manifest["encoder"]["sha256"],
            "reranker.sha256": manifest["base_model"]["sha256"],
            "adapter": manifest["adapter"],
            "index": manifest["index"]["key"],
        },
        metrics={
            **_figures(json.loads(evaluation)),
            "index_names": index.names,
            "index_recall_at_10": index.recall_at_10,
        },
        reports={
            **{f"diff-{name}": text for name, text in reports.items()},
            "model_card.md": card,
            "gates.md": gate_report(gates),
            "index.md": index_report(index),
            bundle.EVALUATION: evaluation,
            "report.html": _report(exam_folder, linker.title, gates, manifest["lineage"]),
        },
        datasets=datasets,
        tags={
            **{f"belink.{name}": value for name, value in manifest["lineage"].items() if name != "bundle"},
            **_hashes(manifest),
        },
        description=shortened(card),
        share_restricted=begun.share_restricted,
    )
    return aliases.register(begun.settings, folder, record)


def concluded(
    begun: Start,
    version: str,
    current: Champion | None,
    index: "IndexReport",
    decision: Decision,
    gates: Sequence[GateResult],
) -> dict[str, Any]:
    """``champion`` moved to ``version`` if every gate passed, and the refresh's answer.

    :raises RegistryError: the champion is not the one that the challenger was compared with.
    """
    if current is not None and current.version == version:
        answer = outcome(begun, "unchanged", version, version, (index.encoded, index.reused), gates)
        aliases.note_refresh(begun.settings, answer)
        return {**answer, "trained": decision.train, "why": decision.reason}
    answer = settled(begun, version, current, gates, (index.encoded, index.reused))
    return {**answer, "trained": decision.train, "why": decision.reason}


def reopened(begun: Start, version: str) -> Challenger:
    """A version that the registry holds, to be judged again.

    :param version: its number, or an alias.
    :raises RegistryError: there is none such.
    """
    folder, _ = aliases.bundle_path(begun.settings, begun.linker.name, version)
    manifest = bundle.check(folder)
    parts = bundle.Parts(
        linker=begun.linker,
        releases={name: folder / "releases" / name for name in manifest["releases"]},
        index=folder / bundle.INDEX,
        calibration=folder / bundle.CALIBRATION,
        encoder=bundle.ModelReference(reference=manifest["encoder"]["reference"], sha256=manifest["encoder"]["sha256"]),
        base_model=bundle.ModelReference(**manifest["base_model"]),
    )
    return Challenger(path=folder, parts=parts)


def settled(
    begun: Start,
    version: str,
    current: Champion | None,
    gates: Sequence[GateResult],
    encoded_reused: tuple[int, int] = (0, 0),
    approval: GateResult | None = None,
) -> dict[str, Any]:
    """``champion`` moved to ``version`` if every gate passed and, where the linker asks for it, a person said yes.

    :param approval: what the person said; ``None``: nobody was asked yet.
    :raises RegistryError: the champion is not the one that the challenger was compared with.
    """
    name, settings = begun.linker.name, begun.settings
    if aliases.is_withdrawn(settings, name, version):
        detail = f"version {version} was rolled back; belink promote {name} {version} takes it all the same"
        gates = [*gates, GateResult(name=NOT_WITHDRAWN, value=1.0, bound=0.0, passed=False, detail=detail)]
    if begun.linker.approval.required and not failed_gates(list(gates)):
        nobody = f"a person decides: the deployment evaluate-and-promote asks, belink promote {name} {version} answers"
        gates = [*gates, approval or approval_gate(False, nobody)]
    refused = failed_gates(list(gates))
    verdict: Verdict = "rejected" if refused else "promoted"
    aliases.settle(settings, name, version, verdict, tuple(refused))
    champion = current.version if current else None
    if not refused:
        champion = aliases.promote(settings, name, version, expect=champion)["champion"]
    answer = outcome(begun, verdict, version, champion, encoded_reused, gates)
    aliases.note_refresh(settings, answer)
    return answer


def approval_gate(said_yes: bool, detail: str) -> GateResult:
    """A person's word as a gate."""
    return GateResult(name=APPROVED, value=float(said_yes), bound=1.0, passed=said_yes, detail=detail)


def awaits_approval(answer: Mapping[str, Any]) -> bool:
    """Whether nothing but a person's word keeps a version from being champion."""
    return [gate["name"] for gate in answer["gates"] if not gate["passed"]] == [APPROVED]


def release_refused(begun: Start, current: Champion | None, error: GateRefused) -> dict[str, Any]:
    """The answer of a refresh whose release a gate refused: nothing was built, the champion stays."""
    answer = outcome(begun, "rejected", None, current.version if current else None, (0, 0))
    answer = {**answer, "gates": list(error.gates), "reason": str(error)}
    aliases.note_refresh(begun.settings, answer)
    return answer


def gate_report(gates: Sequence[GateResult]) -> str:
    """A Markdown table."""
    return gate_table(gates) + "\n"


def index_report(index: "IndexReport") -> str:
    """A Markdown table."""
    rows = {
        "names": f"{index.names:,}",
        "encoded": f"{index.encoded:,}",
        "reused": f"{index.reused:,}",
        "recall@10 against exact search": f"{index.recall_at_10:.4f}",
        "seconds": f"{index.seconds:.1f}",
    }
    return (
        "\n".join(["| index | |", "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows.items())]) + "\n"
    )


def _evaluations(exam_folder: Path) -> dict[str, Evaluation]:
    """The figures of the challenger and, where there is one, the champion."""
    seconds = artefacts.read_manifest(exam_folder)["seconds"]
    return {
        who: evaluate(read_predictions(exam_folder / f"{who}.jsonl"), seconds=took) for who, took in seconds.items()
    }


def _report(exam_folder: Path, title: str, gates: Sequence[GateResult], lineage: Mapping[str, str]) -> str:
    """The challenger's HTML page."""
    from belink.evaluation.report import html

    sat = _evaluations(exam_folder)
    challenger, champion = sat["challenger"], sat.get("champion")
    comparison = paired_bootstrap(challenger.predictions, champion.predictions) if champion else None
    return html(challenger, title=title, gates=gates, comparison=comparison, facts=lineage)


def _opened(begun: Start, challenger: Challenger, folders: Mapping[str, Path]) -> dict[str, Linker]:
    """The linkers of some bundles; those with the challenger's encoder share the one that is loaded already."""
    shared = load_encoder(begun, challenger.parts.adapted)
    linkers = {}
    for who, folder in folders.items():
        linkers[who] = linker = Linker(folder, begun.settings.cache)
        if linker.index.manifest["encoder"] == shared.fingerprint:
            linker.encoder = shared
    return linkers


def _known(begun: Start, challenger: Challenger, current: Champion | None, folders: Sequence[Path]) -> Seen:
    """What the challenger has seen, and what is new in its releases."""
    seen = run.seen_in_training(splits.training_mentions(begun.linker, folders, begun.settings.data))
    if current is None:
        return seen
    before = [current.path / "releases" / name for name in current.manifest["releases"]]
    return replace(seen, new_concepts=splits.concept_ids(folders) - splits.concept_ids(before))


def _when(decision: Decision) -> str:
    """When the adapter was trained; the time of its manifest where no bundle has recorded it yet."""
    if decision.trained or decision.adapter is None:
        return decision.trained
    made = (decision.adapter / artefacts.MANIFEST).stat().st_mtime
    return datetime.fromtimestamp(made, UTC).isoformat(timespec="seconds")


def _figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of both, named as MLflow takes them."""
    return {
        f"{prefix}{name}": metric["value"]
        for prefix, who in (("", "challenger"), ("champion_", "champion"))
        for name, metric in (evaluation[who] or {"metrics": {}})["metrics"].items()
        if metric["value"] is not None
    }


def _hashes(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The sha256 of what a version is made of, where one would look for it."""
    files = manifest["files"]
    named = {
        "index": next((name for name in files if name.endswith(".faiss")), f"{bundle.INDEX}/vectors.npy"),
        "adapter": f"{bundle.ADAPTER}/adapter_model.safetensors",
    }
    hashes = {name: str(files[file]["sha256"]) for name, file in named.items() if file in files}
    hashes |= {"encoder": manifest["encoder"]["sha256"], "base_model": manifest["base_model"]["sha256"]}
    return {f"belink.{name}.sha256": value for name, value in hashes.items()}


def _flat(document: Mapping[str, Any], above: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{above}{name}."))
        else:
            flat[f"{above}{name}"] = value
    return flat
