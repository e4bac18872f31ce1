"""The steps of a refresh that train: whether to, the encoder's fine-tuning, the re-ranker's adapter.

A new release rarely needs a new adapter: names change by a few in a hundred, and what was learned is how to choose. So
the champion's is kept until the declared share of names has changed, or the recipe or a corpus is another.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import artefacts, progress
from belink.declarations import LinkerConfig, TrainingConfig, check_language_model, read_stored_linker, without_removed
from belink.errors import DeclarationError
from belink.lifecycle import dependencies
from belink.lifecycle.refresh import (
    Champion,
    RefreshRun,
    build_index,
    compare,
    newest_releases,
    read_champion,
    retriever,
    start,
)
from belink.linker import bundle
from belink.registry.runs import recorder
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
    encoder: Path | None = None  # where the fine-tuned encoder lies, or will; None: the declared one as it is


def decide(
    run: RefreshRun, releases: Mapping[str, Path], champion: Champion | None, diffs: Mapping[str, "Diff"]
) -> Decision:
    """Return whether an adapter is trained, by the linker's declared rules and ``run.retrain``."""
    encoder = encoder_folder(run, releases)
    if why_untrained := _why_untrained(run.linker):  # no language model is fetched
        untrained = Decision(train=False, reason=why_untrained, encoder=encoder)
        return _decide_encoder(run, releases, champion, diffs, untrained)
    adapter = adapter_folder(run, releases)
    # This holds for `always` too: the key covers all that training depends on, so it would make the same artefact.
    if artefacts.is_reusable(adapter) and (encoder is None or artefacts.is_reusable(encoder)):
        reason = "it was trained on these very releases before"
        return Decision(train=False, reason=reason, adapter=adapter, encoder=encoder)
    kept, why_not = _keep(run, champion)
    if kept is None and run.retrain == "never":
        return Decision(train=False, reason=f"training was ruled out, and {why_not}")
    if kept is None:
        return Decision(train=True, reason=why_not, adapter=adapter, encoder=encoder)
    # `diffs` begin at the champion. The drift it records covers the releases between the training and the champion.
    drift, bound = kept.drift + _share_changed(releases, diffs), run.linker.retrain.names_changed
    if run.retrain == "never":
        return replace(kept, drift=drift)  # what changed now counts when training is allowed again
    reason = f"{drift:.1%} of the names changed since it was trained, {bound:.0%} may"
    if run.retrain == "always":
        return Decision(train=True, reason="it was asked for", adapter=adapter, encoder=encoder)
    if why_not or drift > bound:
        return Decision(train=True, reason=why_not or reason, adapter=adapter, encoder=encoder)
    return replace(kept, reason=reason, drift=drift)


def _decide_encoder(
    run: RefreshRun,
    releases: Mapping[str, Path],
    champion: Champion | None,
    diffs: Mapping[str, "Diff"],
    finetuned: Decision,
) -> Decision:
    """Return which encoder a linker without an adapter takes, by the rules that hold for an adapter.

    :param finetuned: the decision that fine-tunes one on ``releases``.
    """
    if finetuned.encoder is None or artefacts.is_reusable(finetuned.encoder):
        return finetuned
    made = {} if champion is None or not champion.is_whole else champion.manifest["inputs"].get("adapter", {})
    # A bundle with an adapter, or made before this was recorded, has an encoder that was fine-tuned for another choice.
    if champion is None or not made or champion.manifest["adapter"] is not None:
        return replace(finetuned, encoder=None) if run.retrain == "never" else finetuned
    kept = replace(
        finetuned,
        encoder=_champions_encoder(run, champion),
        drift=made["drift"] + _share_changed(releases, diffs),
        trained=made["trained"],
    )
    if run.retrain == "never":
        return kept
    too_many = kept.drift > run.linker.retrain.names_changed
    return finetuned if run.retrain == "always" or too_many or _why_encoder_not_kept(run, champion) else kept


@progress.working("fine-tuning the encoder")
def finetune_encoder(run: RefreshRun, releases: Mapping[str, Path], decision: Decision) -> Decision:
    """Return ``decision`` with its encoder fine-tuned; without one, if it finds less than the declared one as it is."""
    if decision.encoder is None:
        return decision
    from belink.training import encoder_finetuning
    from belink.weights import resolve

    linker, folders, data = run.linker, list(releases.values()), run.settings.data
    # A fine-tuning that did not help is kept as well, with its report. Otherwise every refresh would repeat it.
    if artefacts.is_reusable(decision.encoder):
        report = encoder_finetuning.read_report(decision.encoder)
    else:
        names = encoder_finetuning.ConceptNames.read(
            splits.concept_names(folders, linker.prefixes),
            splits.precedents(linker, folders, data),
            linker.training.held_out,
        )
        base = resolve(linker.encoder.model, run.settings.cache)
        held_out = splits.held_out_mentions(linker, folders, data)
        report = encoder_finetuning.finetune(
            names,
            held_out,
            base,
            linker.encoder,
            linker.adaptation,
            decision.encoder,
            recorder(run.settings, run.mlflow_run),
        )
    if not report.kept:
        log.warning("the fine-tuned encoder finds less than the declared one, which is used instead: %s", report.path)
    return decision if report.kept else replace(decision, encoder=None)


@progress.working("training the re-ranker")
def train(run: RefreshRun, releases: Mapping[str, Path], index: Path, encoder: Path | None = None) -> "TrainReport":
    """Return the adapter trained on the names of ``releases`` and on the corpora; an existing one is kept."""
    from belink.training import lora

    linker, adapter, questions, held_out = run.linker, adapter_folder(run, releases), [], []
    # Questions are costly to make. `lora.train` does not read them where the adapter is there.
    if not artefacts.is_reusable(adapter):
        retrieve, folders, data = retriever(run, index, encoder), list(releases.values()), run.settings.data
        questions = splits.training_questions(linker, folders, data, retrieve)
        held_out = splits.validation_questions(linker, folders, data, retrieve, len(questions))
    return lora.train(
        questions,
        base_model(run),
        linker.training,
        linker.reranker,
        adapter,
        validation_questions=held_out,
        record=recorder(run.settings, run.mlflow_run),
    )


def train_newest(settings: Settings, linker: str) -> "TrainReport":
    """Return the adapter trained on the newest releases of a linker's ontologies and on its corpora.

    :raises DeclarationError: the linker declares nothing to train on, or no language model.
    """
    run = start(settings, linker)
    check_language_model(run.linker)
    if _why_untrained(run.linker):
        raise DeclarationError(
            f"{run.linker.name}: expected something to train on, found training.questions = 0 and no corpora; declare "
            "either (belink new writes a declaration to start from), or refresh without training"
        )
    # The champion is only read for vectors to reuse; the decision to train is the user's.
    releases, champion = newest_releases(run), read_champion(run)
    decision = Decision(train=True, reason="", encoder=encoder_folder(run, releases))
    decision = finetune_encoder(run, releases, decision)
    index = build_index(run, releases, champion, decision.encoder).path
    return train(run, releases, index, decision.encoder)


def index_newest(settings: Settings, linker: str) -> "IndexReport":
    """Return the index over the newest releases of a linker's ontologies, by the encoder that a refresh would take.

    :raises ReleaseError: one of them has no release yet.
    """
    run = start(settings, linker)
    releases, champion = newest_releases(run), read_champion(run)
    decision = decide(run, releases, champion, compare(champion, releases))
    decision = finetune_encoder(run, releases, decision)
    return build_index(run, releases, champion, decision.encoder)


def base_model(run: RefreshRun) -> "ResolvedModel":
    """Return the weights that the adapter belongs to."""
    from belink.weights import resolve

    return resolve(run.linker.reranker.model, run.settings.cache)


def adapter_folder(run: RefreshRun, releases: Mapping[str, Path]) -> Path:
    """Return where the adapter lies, or will lie, that is trained on ``releases``."""
    key = dependencies.adapter_key(run.linker, releases, run.corpora, base_sha256=base_model(run).sha256)
    return run.settings.adapters / run.linker.name / key


def encoder_folder(run: RefreshRun, releases: Mapping[str, Path]) -> Path | None:
    """Return where the fine-tuned encoder lies, or will lie; ``None`` if the linker declares none."""
    from belink.weights import resolve

    if not run.linker.adaptation.steps:
        return None
    base = resolve(run.linker.encoder.model, run.settings.cache)
    key = dependencies.encoder_key(run.linker, releases, run.corpora, base_sha256=base.sha256)
    return run.settings.home / "encoders" / run.linker.name / key


def _why_untrained(linker: LinkerConfig) -> str:
    """Return why the linker never has an adapter; ``""`` for one that has."""
    if not linker.reranker.model:
        return "the linker declares no language model"
    # A few corrections are no reason to train a language model where nothing else is; they teach names and the finder.
    texts = any(corpus.use != "evaluate" and not corpus.feedback for corpus in linker.corpora)
    has_data = linker.training.questions > 0 or texts
    return "" if has_data else "nothing is declared to train on"


def _keep(run: RefreshRun, champion: Champion | None) -> tuple[Decision | None, str]:
    """Return the decision that keeps the champion's adapter, and why not to keep it (``""``: no reason).

    The decision is ``None`` if the adapter cannot be used at all.
    """
    from belink.linker import prompts, reranker

    if champion is None:
        return None, "there is no champion yet"
    if not champion.is_whole:
        return None, "the champion cannot be used"
    key = champion.manifest["adapter"]
    if key is None:
        return None, "the champion has none"
    source = champion.path / bundle.ADAPTER
    manifest, linker = artefacts.read_manifest(source), run.linker
    # The adapter's weights fit this base model and this form of question only, so no rule may keep it for others.
    trained_for = (manifest["base"]["sha256"], manifest["prompts"], manifest["asking"])
    if trained_for != (base_model(run).sha256, prompts.VERSION, reranker.question_settings(linker.reranker)):
        return None, "the champion's belongs to another base model or another form of question"
    # The home gets a name of its own for the files: `belink gc` may remove the champion's bundle one day.
    adapter = artefacts.adopt(source, run.settings.adapters / linker.name / key)
    # Encoder and adapter are kept together: training questions come from candidates that this encoder found.
    encoder = _champions_encoder(run, champion)
    made = champion.manifest["inputs"].get("adapter", {})
    kept = Decision(
        train=False,
        reason="the champion's is kept",
        adapter=adapter,
        drift=made.get("drift", 0.0),
        trained=made.get("trained", ""),
        encoder=encoder,
    )
    return kept, _why_not_kept(run, champion, manifest["training"])


def _champions_encoder(run: RefreshRun, champion: Champion) -> Path | None:
    """Return the home's own copy of the champion's fine-tuned encoder; ``None`` if it has none."""
    key = champion.manifest["encoder"].get("adapted")
    if not key:
        return None
    return artefacts.adopt(champion.path / bundle.ENCODER, run.settings.home / "encoders" / run.linker.name / key)


def _why_not_kept(run: RefreshRun, champion: Champion, training: Mapping[str, Any]) -> str:
    """Return why the champion's adapter is trained anew; ``""`` if nothing speaks against it.

    :param training: what its manifest says of how it was trained.
    """
    # An option that belink has only since, or no longer has, speaks against nothing.
    if TrainingConfig.model_validate(without_removed("training", dict(training))) != run.linker.training:
        return "the declared training is another than the champion's"
    return _why_encoder_not_kept(run, champion)


def _why_encoder_not_kept(run: RefreshRun, champion: Champion) -> str:
    """Return why the champion's encoder is fine-tuned anew; ``""`` if nothing speaks against it."""
    linker, before = run.linker, read_stored_linker(champion.path / bundle.LINKER)
    encoders = [each.encoder.model_dump(exclude={"batch_size"}) for each in (linker, before)]
    if linker.adaptation != before.adaptation or (linker.adaptation.steps and encoders[0] != encoders[1]):
        return "the encoder is adapted otherwise than the champion's"
    if champion.manifest["inputs"].get("corpora") != dict(run.corpora):
        return "the corpora are others than the champion's"
    return ""


def _share_changed(releases: Mapping[str, Path], diffs: Mapping[str, "Diff"]) -> float:
    """Return the share of names that came, went or moved, of all names."""
    names: int = sum(artefacts.read_manifest(path)["counts"]["names"] for path in releases.values())
    # A renamed concept counts twice, as one name gone and one added. `max` is for releases without names.
    return sum(diff.names_added + diff.names_removed for diff in diffs.values()) / max(names, 1)
