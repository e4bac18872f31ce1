"""The steps of a refresh that fit to held-out and annotated text: the calibration, and the lexicon of names."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from belink import artefacts, progress
from belink.declarations import read_stored_linker
from belink.lifecycle import dependencies
from belink.lifecycle.refresh import Champion, RefreshRun, retriever, sound
from belink.lifecycle.retrain import Decision, base_model
from belink.linker import bundle
from belink.records import Document
from belink.training import splits

log = logging.getLogger(__name__)


@progress.working("calibrating")
def calibrate(
    run: RefreshRun, releases: Mapping[str, Path], index: Path, decision: Decision, champion: Champion | None
) -> Path:
    """Return calibration.json for an index and an adapter; the champion's own, if its adapter and settings are kept."""
    if (kept := kept_calibration(run, decision, champion)) is not None:
        return kept
    adapter = decision.adapter
    key = dependencies.calibration_key(run.linker, index.name, adapter.name if adapter else None, run.corpora)

    def fill(folder: Path) -> dict[str, Any]:
        from belink.linker import fitting
        from belink.linker.reranker import Reranker

        questions = splits.calibration_questions(
            run.linker,
            list(releases.values()),
            run.settings.data,
            # This must be the encoder that made the index; cosines of two encoders cannot be compared.
            retriever(run, index, decision.encoder),
            _finder(run, releases, index),
        )
        # A linker without an adapter is calibrated on retrieval's features alone.
        logits = None
        if adapter is not None:
            reranker = Reranker.load(base_model(run), adapter, run.linker.reranker)
            logits = reranker.logits([q.mention for q in questions], [q.candidates for q in questions])
        fitted = fitting.fit(questions, logits, min_gain=run.linker.reranker.min_gain, precision=run.linker.precision)
        # Where nothing was measured, the outcome of the refresh says so.
        if (abstention := fitted.abstention) is not None and abstention.precision is not None:
            # Not an error: the linker works, but the share of right links may be below the declared precision.
            level = logging.INFO if abstention.is_reached else logging.WARNING
            log.log(level, "%s: %s", run.linker.name, abstention)
        (folder / bundle.CALIBRATION).write_text(json.dumps(fitted.to_dict(), indent=1) + "\n", encoding="utf-8")
        return {"key": key, "questions": len(questions), "report": fitted.report}

    target = run.settings.home / "calibrations" / run.linker.name / key
    artefacts.make(target, fill)
    return target / bundle.CALIBRATION


def _finder(run: RefreshRun, releases: Mapping[str, Path], index: Path) -> "Callable[[Document], Document] | None":
    """Return a finder of the index's names, as raw text is linked; ``None`` where a model finds mentions."""
    from belink.linker.latin_finder import build_finder
    from belink.linker.name_finder import NOTHING_LEARNED, Lexicon
    from belink.retrieval.index import Index
    from belink.text import abbreviations

    if run.linker.detector.model:
        return None
    learned = learn_lexicon(run, releases, index)
    lexicon = Lexicon.from_dict(json.loads(learned.read_text("utf-8"))) if learned else NOTHING_LEARNED
    finder = build_finder(Index.load(index), list(releases.values()), lexicon)

    def find(document: Document) -> Document:
        mentions = finder.find(document.text, document=document.id, sentences=document.sentences)
        # Linking raw text marks its mentions like this too, and the calibration has features of found mentions alone.
        found = tuple(replace(mention, is_found=True) for mention in mentions)
        return abbreviations.expand(replace(document, mentions=found))

    return find


def kept_calibration(run: RefreshRun, decision: Decision, champion: Champion | None) -> Path | None:
    """Return the champion's calibration.json if it holds for this refresh too; else ``None``."""
    from belink.linker import calibration

    champion = sound(champion)
    # What is saved is the language model's run over every question; without an adapter there is none.
    if champion is None or decision.train or decision.adapter is None:
        return None
    if champion.manifest["adapter"] != decision.adapter.name:
        return None
    before = read_stored_linker(champion.path / bundle.LINKER)
    fitted = json.loads((champion.path / bundle.CALIBRATION).read_text(encoding="utf-8"))
    # The index is not compared: an adapter that is kept keeps its calibration from one release to the next.
    same_questions = dependencies.calibration_content(before) == dependencies.calibration_content(run.linker)
    if not same_questions or not calibration.follows(fitted):
        return None
    if champion.manifest["inputs"].get("corpora") != dict(run.corpora):
        return None
    return champion.path / bundle.CALIBRATION


def learn_lexicon(run: RefreshRun, releases: Mapping[str, Path], index: Path) -> Path | None:
    """Return lexicon.json: what the corpora that train teach about the index's names; ``None`` if none does."""
    linker = run.linker
    if not linker.detector.learn or not any(corpus.use != "evaluate" for corpus in linker.corpora):
        return None
    key = dependencies.lexicon_key(linker, index.name, run.corpora)

    def fill(folder: Path) -> dict[str, Any]:
        from belink.linker import name_finder
        from belink.retrieval.index import Index

        documents = splits.training_documents(linker, list(releases.values()), run.settings.data)
        lexicon = name_finder.learn(Index.load(index).names(), documents)
        text = json.dumps(lexicon.to_dict(), ensure_ascii=False, indent=1)
        (folder / bundle.LEXICON).write_text(text + "\n", encoding="utf-8")
        return {"key": key, "extra": len(lexicon.extra), "stop": len(lexicon.stop)}

    target = run.settings.home / "lexicons" / linker.name / key
    artefacts.make(target, fill)
    return target / bundle.LEXICON
