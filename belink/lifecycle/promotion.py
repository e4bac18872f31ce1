"""The steps of a refresh that compare the challenger with the champion, and decide between them.

The challenger is drafted as a bundle without evaluation. Both answer the same questions, and gates hold the figures
against their bounds. The bundle is assembled with all of that in it and registered. It becomes champion if no gate
failed.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import artefacts, progress
from belink.corpora import feedback
from belink.errors import CorpusError, GateRefused
from belink.evaluation import metrics
from belink.evaluation.corrections import repeated_errors
from belink.evaluation.gates import check_linker_gates, failed_gates
from belink.evaluation.metrics import as_json
from belink.evaluation.predictions import Seen, write_predictions
from belink.evaluation.run import evaluations, predict_in_turns, seen_in_training
from belink.lifecycle.calibrate import learn_lexicon
from belink.lifecycle.coverage import coverage, shared_ids
from belink.lifecycle.outcome import RefreshOutcome, Verdict
from belink.lifecycle.refresh import Champion, RefreshRun, inputs, sound, warn_of_ignored_corrections
from belink.lifecycle.retrain import Decision, base_model
from belink.linker import bundle
from belink.linker.linker import Linker
from belink.records import GateResult
from belink.registry import aliases
from belink.training import splits
from belink.training.splits import EvaluationItem

if TYPE_CHECKING:
    from belink.ontology.diff import Diff
    from belink.retrieval.index import IndexReport
    from belink.weights import ResolvedModel

log = logging.getLogger(__name__)

NOT_WITHDRAWN, APPROVED = "not_withdrawn", "approved"  # gates that `settle` adds to the declared ones


@dataclass(frozen=True, kw_only=True)
class Challenger:
    """A drafted bundle, and the parts it was made of."""

    path: Path
    parts: bundle.Parts


_NO_MODEL = bundle.ModelReference(reference="", sha256="")


@progress.working("putting the bundle together")
def draft(
    run: RefreshRun, releases: Mapping[str, Path], index: Path, decision: Decision, calibration: Path
) -> Challenger:
    """Return the challenger as a bundle that links but was not evaluated yet."""
    from belink.weights import resolve

    linker, cache = run.linker, run.settings.cache
    warn_of_ignored_corrections(run)
    sha256 = {name: str(artefacts.read_manifest(path)["sha256"]) for name, path in releases.items()}
    # The key is the adapter's; a linker without one records here when its encoder was fine-tuned.
    is_trained = decision.adapter is not None or linker.adaptation.steps > 0
    adapter = {"drift": round(decision.drift, 6), "trained": _when(decision)} if is_trained else {}
    parts = bundle.Parts(
        linker=linker,
        releases=dict(releases),
        index=index,
        adapter=decision.adapter,
        adapted=decision.encoder,
        detector=_detector(run),
        lexicon=learn_lexicon(run, releases, index),
        calibration=calibration,
        encoder=_reference(resolve(linker.encoder.model, cache)) if linker.encoder.model else _NO_MODEL,
        base_model=None if decision.adapter is None else _reference(base_model(run)),
        inputs={
            **inputs(run, sha256),
            "adapter": adapter,
            **({"defaults": run.defaults} if run.defaults else {}),
            **({feedback.IGNORED: True} if run.ignores_corrections else {}),
        },
    )
    return Challenger(path=bundle.assemble(parts, run.settings.home / "drafts" / linker.name), parts=parts)


def _detector(run: RefreshRun) -> bundle.ModelReference | None:
    from belink.weights import resolve

    if not run.linker.detector.model:
        return None
    return _reference(resolve(run.linker.detector.model, run.settings.cache))


def _reference(model: "ResolvedModel") -> bundle.ModelReference:
    return bundle.ModelReference(reference=model.reference, sha256=model.sha256)


@progress.working("evaluating")
def evaluate(run: RefreshRun, challenger: Challenger, champion: Champion | None) -> Path:
    """Return a folder with both linkers' answers to the same questions, and their figures.

    ``challenger.jsonl`` and ``champion.jsonl`` hold the answers, ``evaluation.json`` the figures of both. An existing
    evaluation of the same two linkers on the same questions is kept.

    :raises CorpusError: there is nothing to ask, since no concept has two names.
    """
    folders, champion = [challenger.path / "releases" / name for name in challenger.parts.releases], sound(champion)
    items = splits.evaluation_items(run.linker, folders, run.settings.data)
    if not items:
        raise CorpusError(
            f"{run.linker.name}: expected names to hide and ask, or annotated text, to measure on; found none. A "
            "concept needs a second name for that: add synonyms to the ontology's file, or declare annotated text "
            "([[corpora]])"
        )
    bundles = {"challenger": challenger.path, **({"champion": champion.path} if champion else {})}
    # The items are part of the key: another sample of a corpus is another evaluation.
    corrected = splits.taught_corrections(run.linker, folders, run.settings.data)
    key = artefacts.key(
        {
            "bundles": {who: path.name for who, path in bundles.items()},
            "items": [item_content(item) for item in items],
            **({"corrections": run.corpora} if corrected else {}),
        }
    )

    def fill(folder: Path) -> dict[str, Any]:
        seen = _seen(run, champion, folders)
        seconds, figures = {}, {}
        linkers = {who: Linker(folder, run.settings.cache) for who, folder in bundles.items()}
        for who, (predictions, took) in predict_in_turns(linkers, items, seen).items():
            write_predictions(predictions, folder / f"{who}.jsonl")
            seconds[who], figures[who] = took, as_json(metrics.evaluate(predictions, seconds=took))
        repeated = repeated_errors(linkers["challenger"], corrected) if corrected else None
        text = json.dumps({"champion": None, **figures}, indent=1, ensure_ascii=False)  # null: no champion yet
        (folder / bundle.EVALUATION).write_text(text + "\n", encoding="utf-8")
        corrections = {} if repeated is None else {"repeated_errors": repeated}
        return {"key": key, "items": len(items), "seconds": seconds, **corrections}

    target = run.settings.home / "evaluations" / run.linker.name / key
    artefacts.make(target, fill)
    return target


def item_content(item: EvaluationItem) -> dict[str, Any]:
    """Return an item as the key of an evaluation holds it: whole, by the names that stored keys were made with."""
    content = asdict(item)
    mention = content["mention"]
    mention["nil"], mention["found"] = mention.pop("is_nil"), mention.pop("is_found")
    return content


@progress.working("checking the gates")
def judge(
    run: RefreshRun, challenger: Challenger, evaluation: Path, impacts: Mapping[str, Mapping[str, Any]]
) -> list[GateResult]:
    """Return each declared gate with its value and bound.

    :param evaluation: the folder that :func:`evaluate` returns.
    :param impacts: what :func:`belink.lifecycle.watch.watch` returns.
    """
    recall = artefacts.read_manifest(challenger.parts.index)["recall_at_10"]
    figures = evaluations(evaluation)
    declared = run.linker.gates
    if not run.linker.encoder.model:
        # Without vectors there is no approximate search whose recall could be too low.
        declared = declared.model_copy(update={"min_index_recall_at_10": None})
    return check_linker_gates(
        declared,
        figures["challenger"],
        figures.get("champion"),
        index_recall_at_10=recall,
        repeated=artefacts.read_manifest(evaluation).get("repeated_errors"),
        unexplained=sum(impact["unexplained_changes"] for impact in impacts.values()) if impacts else None,
    )


@progress.working("completing the bundle")
def assemble(
    run: RefreshRun, challenger: Challenger, evaluation: Path, gates: Sequence[GateResult], diffs: Mapping[str, "Diff"]
) -> Path:
    """Return the challenger's bundle with its evaluation, gates and what changed since the champion."""
    parts = replace(
        challenger.parts,
        evaluation=json.loads((evaluation / bundle.EVALUATION).read_text(encoding="utf-8")),
        gates=gates,
        diffs={name: diff.markdown() for name, diff in diffs.items()},
    )
    return bundle.assemble(parts, run.settings.bundles / run.linker.name)


@progress.working("promoting")
def promote(
    run: RefreshRun,
    version: str,
    champion: Champion | None,
    releases: Mapping[str, Path],
    index: "IndexReport",
    decision: Decision,
    gates: Sequence[GateResult],
    impact: Mapping[str, Any] | None = None,
) -> RefreshOutcome:
    """Return the outcome of a refresh: ``champion`` moves to ``version`` if every gate passed.

    :param impact: see :func:`settle`.
    :raises RegistryError: the champion is not the one that the challenger was compared with.
    """
    # `register` gives a bundle that it holds already its old version, so a repeated refresh ends here.
    if champion is not None and champion.version == version:
        outcome = RefreshOutcome(
            linker=run.linker.name, outcome="unchanged", version=version, champion=version, gates=gates
        )
        aliases.note_refresh(run.settings, outcome.to_dict())
    else:
        outcome = settle(run, version, champion, gates, impact=impact)
    return replace(
        outcome,
        encoded=index.encoded,
        reused=index.reused,
        trained=decision.train,
        why=decision.reason,
        defaults=run.defaults,
        coverage=coverage(run, releases),
        shared_ids=shared_ids(run, releases),
    )


def reopen(run: RefreshRun, version: str) -> Challenger:
    """Return a version that the registry holds, to be judged again.

    :param version: its number, or an alias.
    :raises RegistryError: there is no such version.
    """
    folder, _ = aliases.bundle_path(run.settings, run.linker.name, version)
    manifest = bundle.check(folder)
    # Only what `evaluate` and `judge` read: the bundle itself stays as it is.
    parts = bundle.Parts(
        linker=run.linker,
        releases={name: folder / "releases" / name for name in manifest["releases"]},
        index=folder / bundle.INDEX,
        calibration=folder / bundle.CALIBRATION,
        encoder=bundle.ModelReference(reference=manifest["encoder"]["reference"], sha256=manifest["encoder"]["sha256"]),
        base_model=bundle.ModelReference(**base) if (base := manifest.get("base_model")) else None,
    )
    return Challenger(path=folder, parts=parts)


def settle(
    run: RefreshRun,
    version: str,
    champion: Champion | None,
    gates: Sequence[GateResult],
    approval: GateResult | None = None,
    *,
    impact: Mapping[str, Any] | None = None,
) -> RefreshOutcome:
    """Return the outcome: ``champion`` moves to ``version`` if every gate passed and, if declared, a person agrees.

    :param approval: what the person said; ``None`` if nobody was asked yet.
    :param impact: what :func:`belink.lifecycle.watch.for_outcome` returns.
    :raises RegistryError: the champion is not the one that the challenger was compared with.
    """
    name, settings = run.linker.name, run.settings
    # Without this, a refresh of unchanged sources would undo a rollback: the gates pass as they did before.
    if aliases.is_withdrawn(settings, name, version):
        detail = f"version {version} was rolled back; belink promote {name} {version} takes it all the same"
        gates = [*gates, GateResult(name=NOT_WITHDRAWN, value=1.0, bound=0.0, passed=False, detail=detail)]
    if run.linker.approval.required and not failed_gates(list(gates)):  # nobody is asked about a refused version
        nobody = f"a person decides: the deployment evaluate-and-promote asks, belink promote {name} {version} answers"
        gates = [*gates, approval or approval_gate(False, nobody)]
    refused = failed_gates(list(gates))
    verdict: Verdict = "rejected" if refused else "promoted"
    # The verdict comes first. A process that is killed here leaves the old champion, and the next refresh promotes.
    aliases.settle(settings, name, version, refused, [gate.name for gate in gates if not gate.measured])
    now = champion.version if champion else None
    if not refused:
        # `expect` refuses where somebody moved the alias during the evaluation.
        now = aliases.promote(settings, name, version, expect=now)["champion"]
    outcome = RefreshOutcome(
        linker=name,
        outcome=verdict,
        version=version,
        champion=now,
        gates=gates,
        abstention=aliases.abstention(settings, name, version),
        impact=impact,
    )
    aliases.note_refresh(settings, outcome.to_dict())
    return outcome


def approval_gate(said_yes: bool, detail: str) -> GateResult:
    """Return a person's answer as a gate."""
    return GateResult(name=APPROVED, value=float(said_yes), bound=1.0, passed=said_yes, detail=detail)


def awaits_approval(outcome: RefreshOutcome) -> bool:
    """Whether nothing but a person's answer keeps a version from being champion."""
    return outcome.failed_gates == [APPROVED]


def refuse_release(run: RefreshRun, error: GateRefused) -> RefreshOutcome:
    """Return the outcome of a refresh whose release a gate refused: nothing was built, the champion stays."""
    outcome = RefreshOutcome(
        linker=run.linker.name,
        outcome="rejected",
        version=None,
        champion=aliases.champion(run.settings, run.linker.name),
        gates=[GateResult(**gate) for gate in error.gates],  # type: ignore[arg-type]
        reason=str(error),
    )
    aliases.note_refresh(run.settings, outcome.to_dict())
    return outcome


def _seen(run: RefreshRun, champion: Champion | None, folders: Sequence[Path]) -> Seen:
    """Return what the challenger has seen in training, and which concepts are new in its releases."""
    seen = seen_in_training(splits.training_mentions(run.linker, folders, run.settings.data))
    if champion is None:
        return seen
    before = [champion.path / "releases" / name for name in champion.manifest["releases"]]
    return replace(seen, new_concepts=splits.concept_ids(folders) - splits.concept_ids(before))


def _when(decision: Decision) -> str:
    """Return when the adapter, or else the encoder, was trained; the time of its manifest if no bundle records it."""
    folder = decision.adapter or decision.encoder
    if decision.trained or folder is None:
        return decision.trained
    made = (folder / artefacts.MANIFEST).stat().st_mtime  # written last, so when training ended
    return datetime.fromtimestamp(made, UTC).isoformat(timespec="seconds")
