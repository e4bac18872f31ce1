"""The encoder is fine-tuned on concept names, continues after a kill, and is kept only if it finds more."""

import json
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from belink import artefacts
from belink import weights as model_references
from belink.declarations import AdaptationConfig, EncoderConfig
from belink.errors import DeclarationError, ModelError
from belink.records import Mention
from belink.retrieval.encoder import Encoder
from belink.training import checkpoints, encoder_finetuning
from belink.training.encoder_finetuning import ConceptNames
from belink.training.holdout import is_held_out
from belink.weights import ResolvedModel

pytestmark = pytest.mark.heavy


CONFIG = EncoderConfig(pooling="mean")
PARTS = ("cardiac", "renal", "hepatic", "pulmonary", "gastric", "dermal", "neural", "ocular", "osseous", "vascular")
TWINS = ("heart", "kidney", "liver", "lung", "stomach", "skin", "nerve", "eye", "bone", "vessel")
KINDS = ("tumour", "failure", "infection", "fibrosis")
SAME = ("neoplasm", "insufficiency", "contagion", "scarring")
ADAPTATION = AdaptationConfig(steps=12, batch_size=16, learning_rate=2e-3, checkpoint_every=3)


def table() -> pa.Table:
    """Return forty concepts with two names each; their words tell which belong together, their letters do not."""
    rows = [
        (f"X:{i}{j}", text)
        for i, (part, twin) in enumerate(zip(PARTS, TWINS, strict=True))
        for j, (kind, same) in enumerate(zip(KINDS, SAME, strict=True))
        for text in (f"{part} {kind}", f"{twin} {same}")
    ]
    return pa.table({"concept_id": [c for c, _ in rows], "text": [t for _, t in rows]})


PRECEDENTS = [("Failing heart", "X:01"), ("failing heart", "X:01"), ("sick kidney", "X:11"), ("unknown", "Y:1")]
HELD_OUT = [
    Mention(text=f"{same}, {part}", gold=(f"X:{i}{j}",)) for i, part in enumerate(PARTS) for j, same in enumerate(SAME)
]


@pytest.fixture(scope="module")
def base(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    return model_references.resolve(models["encoder"], tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def no_dropout(base: ResolvedModel, tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    """Return ``base`` without dropout, so that a run and its continuation can be compared."""
    folder = tmp_path_factory.mktemp("no-dropout") / "encoder"
    shutil.copytree(base.path, folder)
    config = json.loads((folder / "config.json").read_text())
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (folder / "config.json").write_text(json.dumps(config))
    return model_references.resolve(f"path:{folder}", folder)


@pytest.fixture(scope="module")
def names() -> ConceptNames:
    return ConceptNames.read(table(), PRECEDENTS, 0.0)


@pytest.fixture(scope="module")
def report(
    base: ResolvedModel, names: ConceptNames, tmp_path_factory: pytest.TempPathFactory
) -> encoder_finetuning.FinetuningReport:
    longer = ADAPTATION.model_copy(update={"steps": 60})
    return encoder_finetuning.finetune(
        names, HELD_OUT, base, CONFIG, longer, tmp_path_factory.mktemp("encoders") / "key"
    )


def test_held_out_names_and_mentions_of_unknown_concepts_are_left_out() -> None:
    read = ConceptNames.read(table(), PRECEDENTS, 0.3)
    every = {(concept, name) for concept, of in read.of_concept.items() for name in of}
    assert every
    assert not any(is_held_out(concept, name, 0.3) for concept, name in every)
    assert len(every) < table().num_rows
    assert ConceptNames.read(table(), PRECEDENTS, 0.0).precedents == (
        ("failing heart", "X:01"),
        ("sick kidney", "X:11"),
    )


def test_batches_hold_pairs_of_one_concept_and_no_concept_twice(names: ConceptNames) -> None:
    batches = encoder_finetuning.plan_batches(names, ADAPTATION)
    assert len(batches) == 12
    assert batches == encoder_finetuning.plan_batches(names, ADAPTATION), "the same on every call"
    assert batches != encoder_finetuning.plan_batches(names, ADAPTATION.model_copy(update={"seed": 1}))
    owner = {name: concept for concept, of in names.of_concept.items() for name in of}
    owner.update(names.precedents)
    drawn: Counter[str] = Counter()
    for batch in batches:
        concepts = [owner[one] for one, _ in batch]
        assert concepts == [owner[other] for _, other in batch]
        assert len(set(concepts)) == len(concepts) <= 16
        assert all(one != other for one, other in batch)
        drawn.update(one for one, _ in batch)
    assert drawn["failing heart"] and drawn["sick kidney"]


def test_pairs_of_similar_length_share_a_batch(names: ConceptNames) -> None:
    lengths = [[max(map(len, pair)) for pair in batch] for batch in encoder_finetuning.plan_batches(names, ADAPTATION)]
    within = np.mean([np.std(of) for of in lengths])
    assert within < 0.6 * np.std([length for of in lengths for length in of])


def test_an_ontology_with_single_names_is_refused() -> None:
    alone = ConceptNames.read(pa.table({"concept_id": ["X:1"], "text": ["one"]}), [], 0.0)
    with pytest.raises(DeclarationError, match=r"two names.*adaptation\.steps = 0"):
        encoder_finetuning.plan_batches(alone, ADAPTATION)
    one = ConceptNames.read(pa.table({"concept_id": ["X:1", "X:1"], "text": ["one", "single"]}), [], 0.0)
    with pytest.raises(DeclarationError, match=r"two names.*found 1"):
        encoder_finetuning.plan_batches(one, ADAPTATION)


def test_finetuning_raises_recall_of_held_out_mentions(
    report: encoder_finetuning.FinetuningReport, base: ResolvedModel, names: ConceptNames
) -> None:
    assert report.new and report.kept
    assert report.steps == 60
    assert report.history[-1][1] < report.history[0][1]
    assert report.recall_before is not None and report.recall_after is not None
    assert report.recall_after > report.recall_before
    adapted = Encoder.finetuned(CONFIG, report.path)
    assert adapted.fingerprint != Encoder(CONFIG, base).fingerprint
    first, second, other = adapted.encode(["cardiac tumour", "heart neoplasm", "renal tumour"])
    assert first @ second > first @ other


def test_the_folder_has_no_pickled_file_and_names_no_local_path(
    report: encoder_finetuning.FinetuningReport,
) -> None:
    files = [path for path in report.path.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pkl", ".pth")]
    texts = "".join(path.read_text("utf-8") for path in files if path.suffix in (".json", ".md", ".txt"))
    assert str(report.path.parent) not in texts
    manifest = artefacts.read_manifest(report.path)
    assert manifest["adaptation"]["steps"] == 60
    assert not report.path.with_name(f".work-{report.path.name}").exists()


def test_an_existing_encoder_is_not_trained_again(
    report: encoder_finetuning.FinetuningReport, base: ResolvedModel, names: ConceptNames
) -> None:
    again = encoder_finetuning.finetune(names, HELD_OUT, base, CONFIG, ADAPTATION, report.path)
    assert not again.new
    assert (again.history, again.recall_after) == (report.history, report.recall_after)


def test_a_killed_run_continues_from_its_last_checkpoint(
    no_dropout: ResolvedModel,
    names: ConceptNames,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    recorded: dict[str, dict[int, float]] = {}

    def record(name: str, value: float, step: int) -> None:
        recorded.setdefault(name, {})[step] = value

    whole = encoder_finetuning.finetune(names, HELD_OUT, no_dropout, CONFIG, ADAPTATION, tmp_path / "whole", record)
    assert recorded["encoder/loss"] == dict(whole.history)
    assert recorded["encoder/recall_at_10"] == {0: whole.recall_before, whole.steps: whole.recall_after}
    curve = recorded["encoder/validation_recall_at_10"]
    assert list(curve) == [0, 3, 6, 9, 12]
    assert "widget" not in capfd.readouterr().err, "the trainer shows no progress bar of its own"
    real_clock = checkpoints.training_clock

    def dying_clock(work: Path, first_step: int, steps: int, what: str = "") -> object:
        clock = real_clock(work, first_step, steps, what)
        on_step_end = clock.on_step_end

        def die_at_step_8(args: object, state: object, control: object, **more: object) -> None:
            on_step_end(args, state, control, **more)
            if getattr(state, "global_step") == 8:  # noqa: B009
                raise KeyboardInterrupt

        clock.on_step_end = die_at_step_8
        return clock

    monkeypatch.setattr(checkpoints, "training_clock", dying_clock)
    with pytest.raises(KeyboardInterrupt):
        encoder_finetuning.finetune(names, HELD_OUT, no_dropout, CONFIG, ADAPTATION, tmp_path / "killed")
    assert not artefacts.exists(tmp_path / "killed")
    recorded.clear()
    first_steps: list[int] = []

    def noting_clock(work: Path, first_step: int, steps: int, what: str = "") -> object:
        first_steps.append(first_step)
        return real_clock(work, first_step, steps, what)

    monkeypatch.setattr(checkpoints, "training_clock", noting_clock)
    resumed = encoder_finetuning.finetune(names, HELD_OUT, no_dropout, CONFIG, ADAPTATION, tmp_path / "killed", record)
    assert recorded["encoder/validation_recall_at_10"] == curve, "with the points before the kill"
    assert first_steps == [6]
    assert resumed.steps == whole.steps
    one, other = (Encoder.finetuned(CONFIG, r.path).encode(["cardiac tumour", "sick eye"]) for r in (whole, resumed))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_validation_leaves_the_weights_as_they_are(
    base: ResolvedModel, names: ConceptNames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny encoder has dropout, so that a random number drawn by the validation would show."""
    import random

    import torch

    real, drawn = encoder_finetuning._recall, []

    def drawing(*of: Any) -> float | None:
        drawn.append((torch.rand(1), random.random(), np.random.random()))  # noqa: NPY002
        return real(*of)

    monkeypatch.setattr(encoder_finetuning, "_recall", drawing)
    finetune = partial(encoder_finetuning.finetune, names, HELD_OUT, base, CONFIG, ADAPTATION)
    finetune(tmp_path / "validated")
    assert len(drawn) == 2 + 5, "before, after, and at five points"
    monkeypatch.setattr(encoder_finetuning, "validation_sample", lambda *_: ([], {}))
    finetune(tmp_path / "not")
    one, other = (artefacts.sha256(tmp_path / name / "model.safetensors") for name in ("validated", "not"))
    assert one == other


def test_the_sample_costs_a_hundredth_of_the_training_and_is_the_same_on_every_call() -> None:
    rows = [(f"X:{i}", f"{kind} {i}") for i in range(2000) for kind in ("disease", "disorder", "syndrome")]
    many = ConceptNames.read(
        pa.table({"concept_id": [c for c, _ in rows], "text": [text for _, text in rows]}), [], held_out=0.0
    )
    mentions = [Mention(text=f"illness {i}", gold=(f"X:{i}",)) for i in range(0, 2000, 3)]
    for n_pairs in (30 * 256, 300 * 256):
        queries, pool = encoder_finetuning.validation_sample(many, mentions, n_pairs)
        n_encoded = len(queries) + sum(map(len, pool.values()))
        assert 0.008 < 5 * n_encoded / (n_pairs * 2 * 3) <= 0.01
        assert {gold for _, of in queries for gold in of} < pool.keys(), "with concepts that nobody asks for"
        assert (queries, pool) == encoder_finetuning.validation_sample(many, list(reversed(mentions)), n_pairs)
    assert encoder_finetuning.validation_sample(many, [], 256) == ([], {})


@pytest.mark.parametrize("steps", [1, 12])
def test_finetuning_that_diverges_is_ended_without_an_encoder(
    base: ResolvedModel, names: ConceptNames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(encoder_finetuning, "_WARMUP", 0.0)  # the first step of a warm-up has no learning rate
    diverging = ADAPTATION.model_copy(update={"steps": steps, "learning_rate": float("inf")})
    with pytest.raises(ModelError, match=r"diverged.*lower"):
        encoder_finetuning.finetune(names, HELD_OUT, base, CONFIG, diverging, tmp_path / "encoder")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_with_lower_recall_is_not_kept(report: encoder_finetuning.FinetuningReport, tmp_path: Path) -> None:
    folder = tmp_path / "worse"
    folder.mkdir()
    manifest = artefacts.read_manifest(report.path)
    (folder / artefacts.MANIFEST).write_text(json.dumps({**manifest, "recall_before": 0.9, "recall_after": 0.8}))
    assert not encoder_finetuning.read_report(folder).kept
    (folder / artefacts.MANIFEST).write_text(json.dumps({**manifest, "recall_before": None, "recall_after": None}))
    assert encoder_finetuning.read_report(folder).kept
