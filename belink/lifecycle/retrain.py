"""The steps of a refresh that learn: whether to, the encoder's adaptation, the re-ranker's training, calibration.

A new release rarely needs a new adapter: names change by a few in a hundred, and what was learned is how to choose. So
the champion's is kept until the declared share of names has changed, the recipe or a corpus is another, or it is old.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import artefacts
from belink.declarations import LinkerConfig, read_stored_linker, without_removed
from belink.lifecycle.refresh import (
    Champion,
    Start,
    compared,
    indexed,
    is_due,
    newest_releases,
    retriever,
    sound,
    start,
)
from belink.lifecycle.refresh import champion as current_champion
from belink.linker import bundle
from belink.settings import Settings
from belink.training import splits

if TYPE_CHECKING:
    from belink.ontology.diff import Diff
    from belink.retrieval.index import IndexReport
    from belink.training.lora import TrainReport
    from belink.weights import ResolvedModel

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether an adapter is trained, and which one is used otherwise."""

    train: bool
    reason: str
    adapter: Path | None = None  # where it lies, or will lie once trained; None: retrieval alone
    drift: float = 0.0  # share of names changed since it was trained
    trained: str = ""  # when that was, ISO 8601; "" for this refresh
    encoder: Path | None = None  # where the adapted encoder lies, or will; None: the declared one as it is


def decided(
    begun: Start, releases: Mapping[str, Path], current: Champion | None, diffs: Mapping[str, "Diff"]
) -> Decision:
    """What the declared rules say of a new adapter."""
    target, encoder = _target(begun, releases), _encoder_target(begun, releases)
    if not _trains(begun.linker):
        return Decision(train=False, reason="nothing is declared to train on", encoder=encoder)
    if artefacts.exists(target) and (encoder is None or artefacts.exists(encoder)):
        reason = "it was trained on these very releases before"
        return Decision(train=False, reason=reason, adapter=target, encoder=encoder)
    kept, why_not = _kept(begun, current)
    if begun.retrain == "never":
        return kept or Decision(train=False, reason=f"training was ruled out, and {why_not}")
    if kept is None:
        return Decision(train=True, reason=why_not, adapter=target, encoder=encoder)
    drift, bound = kept.drift + _changed(releases, diffs), begun.linker.retrain.names_changed
    reason = f"{drift:.1%} of the names changed since it was trained, {bound:.0%} may"
    if begun.retrain == "always":
        return Decision(train=True, reason="it was asked for", adapter=target, encoder=encoder)
    if why_not or drift > bound:
        return Decision(train=True, reason=why_not or reason, adapter=target, encoder=encoder)
    return replace(kept, reason=reason, drift=drift)


def _trains(linker: LinkerConfig) -> bool:
    return linker.training.questions > 0 or any(corpus.use != "evaluate" for corpus in linker.corpora)


def adapted(begun: Start, releases: Mapping[str, Path], decision: Decision) -> Decision:
    """``decision`` with its encoder adapted, or without one where it finds less than the declared one as it is."""
    if decision.encoder is None:
        return decision
    from belink.training import encoder_finetuning
    from belink.weights import resolve

    linker, folders, data = begun.linker, list(releases.values()), begun.settings.data
    if not artefacts.exists(decision.encoder):
        known = encoder_finetuning.ConceptNames.read(
            splits.concept_names(folders, linker.prefixes),
            splits.precedents(linker, folders, data),
            linker.training.held_out,
        )
        base = resolve(linker.encoder.model, begun.settings.cache)
        held_out = splits.held_out_mentions(linker, folders, data)
        report = encoder_finetuning.finetune(known, held_out, base, linker.encoder, linker.adaptation, decision.encoder)
    else:
        report = encoder_finetuning.read_report(decision.encoder)
    if not report.kept:
        log.warning("the adapted encoder finds less than the declared one, which is used instead: %s", report.path)
    return decision if report.kept else replace(decision, encoder=None)


def trained(begun: Start, releases: Mapping[str, Path], index: Path, encoder: Path | None = None) -> "TrainReport":
    """The adapter trained on the names of ``releases`` and on the corpora; found, if it is there."""
    from belink.training.lora import train

    linker, adapter, asked = begun.linker, _target(begun, releases), []
    if not artefacts.exists(adapter):
        ask = retriever(begun, index, encoder)
        asked = splits.training_questions(linker, list(releases.values()), begun.settings.data, ask)
    return train(asked, base_model(begun), linker.training, linker.reranker, adapter)


def calibrated(
    begun: Start, releases: Mapping[str, Path], index: Path, decision: Decision, current: Champion | None
) -> Path:
    """calibration.json for an index and an adapter; the champion's own, where its adapter and settings are kept."""
    if (kept := _kept_calibration(begun, decision, current)) is not None:
        return kept
    from belink.linker import calibration
    from belink.linker.reranker import Reranker

    linker, adapter = begun.linker, decision.adapter
    key = artefacts.key(
        {
            "index": index.name,
            "adapter": adapter.name if adapter else None,
            "asked": _asking(linker),
            "corpora": dict(begun.corpora),
            **calibration.rules(),
        }
    )
    target = begun.settings.home / "calibrations" / linker.name / key
    if not artefacts.exists(target):
        questions = splits.calibration_questions(
            linker, list(releases.values()), begun.settings.data, retriever(begun, index, decision.encoder)
        )
        logits = None
        if adapter is not None:
            reranker = Reranker.load(base_model(begun), adapter, linker.reranker)
            logits = reranker.logits([q.mention for q in questions], [q.candidates for q in questions])
        fitted = calibration.fit(questions, logits, min_gain=linker.reranker.min_gain)
        with artefacts.build(target) as folder:
            (folder / bundle.CALIBRATION).write_text(json.dumps(fitted.to_dict(), indent=1) + "\n", encoding="utf-8")
            artefacts.write_manifest(folder, {"key": key, "questions": len(questions), "report": fitted.report})
    return target / bundle.CALIBRATION


def learned(begun: Start, releases: Mapping[str, Path], index: Path) -> Path | None:
    """lexicon.json: what the corpora that train teach about the index's names; ``None`` where none does."""
    linker = begun.linker
    if not linker.detector.learn or not any(corpus.use != "evaluate" for corpus in linker.corpora):
        return None
    from belink.linker import name_finder
    from belink.retrieval.index import Index

    key = artefacts.key(
        {
            "index": index.name,
            "corpora": {corpus.name: [begun.corpora[corpus.name], corpus.use] for corpus in linker.corpora},
            "held_out": linker.training.held_out,
            "version": name_finder.VERSION,
        }
    )
    target = begun.settings.home / "lexicons" / linker.name / key
    if not artefacts.exists(target):
        documents = splits.training_documents(linker, list(releases.values()), begun.settings.data)
        lexicon = name_finder.learn(Index.load(index).names(), documents)
        with artefacts.build(target) as folder:
            text = json.dumps(lexicon.to_dict(), ensure_ascii=False, indent=1)
            (folder / bundle.LEXICON).write_text(text + "\n", encoding="utf-8")
            artefacts.write_manifest(folder, {"key": key, "extra": len(lexicon.extra), "stop": len(lexicon.stop)})
    return target / bundle.LEXICON


def train_newest(settings: Settings, linker: str) -> "TrainReport":
    """The adapter trained on the newest releases of a linker's ontologies and on its corpora."""
    begun = start(settings, linker)
    releases, current = newest_releases(begun), current_champion(begun)
    decision = adapted(begun, releases, Decision(train=True, reason="", encoder=_encoder_target(begun, releases)))
    index = indexed(begun, releases, current, decision.encoder).path
    return trained(begun, releases, index, decision.encoder)


def index_newest(settings: Settings, linker: str) -> "IndexReport":
    """The index over the newest releases of a linker's ontologies, by the encoder that a refresh would take.

    :raises ReleaseError: one of them has no release yet.
    """
    begun = start(settings, linker)
    releases, current = newest_releases(begun), current_champion(begun)
    decision = adapted(begun, releases, decided(begun, releases, current, compared(current, releases)))
    return indexed(begun, releases, current, decision.encoder)


def base_model(begun: Start) -> "ResolvedModel":
    """The weights that the adapter belongs to."""
    from belink.weights import resolve

    return resolve(begun.linker.reranker.model, begun.settings.cache)


def _target(begun: Start, releases: Mapping[str, Path]) -> Path:
    """Where the adapter lies, or will, that is trained on ``releases``: named by everything it depends on."""
    from belink.linker import prompts
    from belink.linker import reranker as rerank

    linker = begun.linker
    key = artefacts.key(
        {
            "training": linker.training.model_dump(mode="json"),
            "asking": rerank.asking(linker.reranker),
            "options": linker.reranker.options,
            "base": base_model(begun).sha256,
            "encoder": linker.encoder.model_dump(mode="json", exclude={"batch_size"}),
            "adaptation": linker.adaptation.model_dump(mode="json"),
            "retrieval": linker.retrieval.model_dump(mode="json"),
            "corpora": dict(begun.corpora),
            "prefixes": linker.prefixes,
            "releases": {name: _content(path) for name, path in releases.items()},
            "prompts": prompts.VERSION,
        }
    )
    return begun.settings.adapters / linker.name / key


def _encoder_target(begun: Start, releases: Mapping[str, Path]) -> Path | None:
    """Where the adapted encoder lies, or will; ``None`` where the linker declares none."""
    from belink.weights import resolve

    linker = begun.linker
    if not linker.adaptation.steps:
        return None
    key = artefacts.key(
        {
            "adaptation": linker.adaptation.model_dump(mode="json"),
            "base": resolve(linker.encoder.model, begun.settings.cache).sha256,
            "encoder": linker.encoder.model_dump(mode="json", include={"pooling", "max_length"}),
            "corpora": dict(begun.corpora),
            "held_out": linker.training.held_out,
            "prefixes": linker.prefixes,
            "releases": {name: _content(path) for name, path in releases.items()},
        }
    )
    return begun.settings.home / "encoders" / linker.name / key


def _content(release: Path) -> list[str]:
    """What a release was read from and how: the same in every home, unlike the bytes of its database."""
    manifest = artefacts.read_manifest(release)
    return [manifest.get("content_sha256", manifest["sha256"]), manifest.get("reading", "")]


def _kept(begun: Start, current: Champion | None) -> tuple[Decision | None, str]:
    """The champion's adapter, where it can be asked at all; and what speaks against keeping it, if anything does."""
    from belink.linker import prompts
    from belink.linker import reranker as rerank

    if current is None:
        return None, "there is no champion yet"
    if not current.is_whole:
        return None, "the champion cannot be used"
    key = current.manifest["adapter"]
    if key is None:
        return None, "the champion has none"
    source = current.path / bundle.ADAPTER
    manifest, linker = artefacts.read_manifest(source), begun.linker
    asked_as = (manifest["base"]["sha256"], manifest["prompts"], manifest["asking"])
    if asked_as != (base_model(begun).sha256, prompts.VERSION, rerank.asking(linker.reranker)):
        return None, "the champion's belongs to another base model or another form of question"
    target = artefacts.adopt(source, begun.settings.adapters / linker.name / key)
    encoder = None
    if adapted_as := current.manifest["encoder"].get("adapted"):
        encoder = artefacts.adopt(
            current.path / bundle.ENCODER, begun.settings.home / "encoders" / linker.name / adapted_as
        )
    made = current.manifest["inputs"].get("adapter", {})
    kept = Decision(
        train=False,
        reason="the champion's is kept",
        adapter=target,
        drift=made.get("drift", 0.0),
        trained=made.get("trained", ""),
        encoder=encoder,
    )
    before = read_stored_linker(current.path / bundle.LINKER)
    if linker.adaptation != before.adaptation or (linker.adaptation.steps and linker.encoder != before.encoder):
        return kept, "the encoder is adapted otherwise than the champion's"
    if without_removed("training", manifest["training"]) != linker.training.model_dump(mode="json"):
        return kept, "the declared training is another than the champion's"
    if current.manifest["inputs"].get("corpora") != dict(begun.corpora):
        return kept, "the corpora are others than the champion's"
    if is_due(begun, current.manifest):
        return kept, f"it is older than {begun.linker.retrain.every_days} days"
    return kept, ""


def _changed(releases: Mapping[str, Path], diffs: Mapping[str, "Diff"]) -> float:
    """Share of names that came, went or moved, of all names."""
    names: int = sum(artefacts.read_manifest(path)["counts"]["names"] for path in releases.values())
    return sum(diff.names_added + diff.names_removed for diff in diffs.values()) / max(names, 1)


def _asking(linker: LinkerConfig) -> dict[str, Any]:
    """What of a declaration a calibration depends on, besides index and adapter."""
    return {
        "reranker": linker.reranker.model_dump(mode="json", exclude={"batch_tokens"}),
        "retrieval": linker.retrieval.model_dump(mode="json"),
        "encoder": linker.encoder.model_dump(mode="json", exclude={"batch_size"}),
        "held_out": linker.training.held_out,
        "evaluation": linker.evaluation.model_dump(mode="json"),
    }


def _kept_calibration(begun: Start, decision: Decision, current: Champion | None) -> Path | None:
    from belink.linker import calibration

    current = sound(current)
    if current is None or decision.train or decision.adapter is None:
        return None
    if current.manifest["adapter"] != decision.adapter.name:
        return None
    before = read_stored_linker(current.path / bundle.LINKER)
    found = json.loads((current.path / bundle.CALIBRATION).read_text(encoding="utf-8"))
    if _asking(before) != _asking(begun.linker) or not calibration.follows(found):
        return None
    if current.manifest["inputs"].get("corpora") != dict(begun.corpora):
        return None
    return current.path / bundle.CALIBRATION
