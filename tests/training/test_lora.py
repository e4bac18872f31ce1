import json
import math
import os
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from belink import artefacts
from belink.declarations import RerankerConfig, TrainingConfig
from belink.errors import DeclarationError, ModelError
from belink.linker.reranker import Reranker
from belink.records import Candidate, Mention, Question
from belink.training import checkpoints, lora
from belink.weights import ResolvedModel, resolve
from tests.support import warm
from tests.support.tiny import tiny_causal_lm

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("float32")]


NAMES = ("breast carcinoma", "type 2 diabetes mellitus", "β-thalassaemia major", "melanoma", "Alzheimer disease")
CONFIG = RerankerConfig(options=4, sentence=False, orders=1)
TRAINING = TrainingConfig(batch_size=4, lora_rank=4, learning_rate=5e-3, checkpoint_every=4)


def make_questions(n: int, right: int | None = None) -> list[Question]:
    """Make questions whose mention is the name of one option, at random or always at position ``right``."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(n):
        shown = [NAMES[i] for i in rng.permutation(len(NAMES))[: rng.integers(2, 5)]]
        answer = int(rng.integers(len(shown))) if right is None else right
        candidates = tuple(
            Candidate(id=name, label=name, name=name, ontology="x", release="1", score=1 / (i + 1), lexical=0.5)
            for i, name in enumerate(shown)
        )
        made.append(Question(mention=Mention(text=shown[answer]), candidates=candidates, answer=answer))
    return made


@pytest.fixture(scope="module")
def trained(base_model: ResolvedModel, tmp_path_factory: pytest.TempPathFactory) -> lora.TrainReport:
    training = TRAINING.model_copy(update={"epochs": 6.0})
    target = tmp_path_factory.mktemp("adapters") / "key"
    return lora.train(make_questions(40, right=1), base_model, training, CONFIG, target, device="cpu")


def ask(reranker: Reranker, questions: list[Question]) -> list[np.ndarray]:
    return reranker.logits([q.mention for q in questions], [q.candidates for q in questions])


def test_training_lowers_the_loss_and_reports_its_history(trained):
    assert trained.new
    assert trained.steps == 60
    assert trained.examples == 40
    assert trained.loss < 0.9 * trained.first_loss  # the letters of a tiny random model cannot go far apart
    assert [step for step, _ in trained.history] == [10, 20, 30, 40, 50, 60]
    assert trained.seconds > 0
    assert trained.resumed_at == 0


def test_the_architecture_of_qwen3_learns_the_same(tmp_path):
    folder = tiny_causal_lm(tmp_path / "qwen3", architecture="Qwen3")
    qwen3, questions = resolve(f"path:{folder}", tmp_path), make_questions(40, right=1)
    config = CONFIG.model_copy(update={"format": "letter-first"})
    training = TRAINING.model_copy(update={"epochs": 6.0, "gradient_checkpointing": True})
    report = lora.train(questions, qwen3, training, config, tmp_path / "adapter", device="cpu")
    assert report.loss < 0.9 * report.first_loss
    answers = ask(Reranker.load(qwen3, report.path, config, device="cpu"), questions)
    assert np.mean([answer.argmax() == 1 for answer in answers]) > 0.8


def test_the_adapter_folder_matches_its_manifest_and_names_no_local_path(trained, base_model):
    manifest = artefacts.read_manifest(trained.path)
    assert sorted(p.name for p in trained.path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
    ]
    for name, digest in manifest["sha256"].items():
        assert artefacts.sha256(trained.path / name) == digest
    assert manifest["base"] == {"reference": base_model.reference, "sha256": base_model.sha256}
    assert manifest["questions"]["n"] == 40
    assert manifest["training"]["lora_rank"] == 4
    assert manifest["platform"]["device"] == "cpu"
    config = json.loads((trained.path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == base_model.reference
    assert not list(trained.path.parent.glob(".work-*"))
    assert not list(trained.path.parent.glob(".tmp-*"))


def test_a_reloaded_adapter_gives_the_logits_of_the_trained_model(base_model, tmp_path, monkeypatch):
    import torch

    kept = {}
    save = lora._save

    def spy(model, folder, of):
        kept["model"] = model
        save(model, folder, of)

    monkeypatch.setattr(lora, "_save", spy)
    questions = make_questions(24)
    report = lora.train(questions, base_model, TRAINING, CONFIG, tmp_path / "adapter", device="cpu")
    reloaded = Reranker.load(base_model, report.path, CONFIG, device="cpu")
    for question, found in zip(questions, ask(reloaded, questions), strict=True):
        ids = torch.tensor([reloaded.form.tokens(question.mention, question.candidates)])
        with torch.inference_mode():
            expected = kept["model"].eval()(input_ids=ids).logits[0, -1, : len(question.candidates) + 1]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    fresh = Reranker.load(base_model, None, CONFIG, device="cpu")
    assert not np.allclose(ask(fresh, questions)[0], ask(reloaded, questions)[0], atol=1e-2)
    assert fresh.fingerprint != reloaded.fingerprint


@pytest.mark.parametrize("change", [{}, {"lora_layers": 1}])
def test_a_fresh_adapter_gives_the_logits_of_the_base_model(base_model, change):
    import torch

    reranker = Reranker.load(base_model, None, CONFIG, device="cpu")
    questions = make_questions(6)
    before = ask(reranker, questions)
    reranker.model = lora.add_adapter(reranker.model, TRAINING.model_copy(update=change))
    with torch.no_grad():
        for one, other in zip(before, ask(reranker, questions), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    trainable = [name for name, p in reranker.model.named_parameters() if p.requires_grad]
    assert trainable
    assert all("lora_" in name for name in trainable)
    assert not any("lm_head" in name for name in trainable)
    if "lora_layers" in change:
        assert all(".layers.1." in name for name in trainable)


def test_an_existing_adapter_is_not_trained_again(trained, base_model):
    before = (trained.path / "manifest.json").stat().st_mtime_ns
    again = lora.train(make_questions(40), base_model, TRAINING, CONFIG, trained.path)
    assert not again.new
    assert again.history == trained.history
    assert (trained.path / "manifest.json").stat().st_mtime_ns == before


def test_the_same_questions_train_the_same_adapter_validated_or_not(base_model, tmp_path):
    made = [
        lora.train(
            make_questions(16), base_model, TRAINING, CONFIG, tmp_path / name, device="cpu", validation_questions=asked
        ).path
        for name, asked in (("a", []), ("b", make_questions(9)))
    ]
    assert artefacts.sha256(made[0] / "adapter_model.safetensors") == artefacts.sha256(
        made[1] / "adapter_model.safetensors"
    )


def test_held_out_questions_are_asked_at_points_of_the_training(base_model, tmp_path):
    recorded, asked = {}, make_questions(9, right=1)
    report = lora.train(
        make_questions(40, right=1),
        base_model,
        TRAINING.model_copy(update={"epochs": 2.0}),
        CONFIG,
        tmp_path / "adapter",
        device="cpu",
        validation_questions=asked,
        record=lambda name, value, step: recorded.setdefault(name, {}).update({step: value}),
    )
    assert list(recorded["lora/validation_accuracy"]) == list(recorded["lora/validation_loss"]) == [0, 5, 10, 15, 20]
    for step, adapter in ((0, None), (20, report.path)):
        letters = ask(Reranker.load(base_model, adapter, CONFIG, device="cpu"), asked)
        right = [answer.argmax() == question.answer for answer, question in zip(letters, asked, strict=True)]
        losses = [np.logaddexp.reduce(a) - a[q.answer] for a, q in zip(letters, asked, strict=True)]
        assert recorded["lora/validation_accuracy"][step] == pytest.approx(np.mean(right))
        assert recorded["lora/validation_loss"][step] == pytest.approx(np.mean(losses), abs=1e-3)
    kept = artefacts.read_manifest(report.path)["validation"]
    assert (kept["n"], [entry["step"] for entry in kept["history"]]) == (9, [0, 5, 10, 15, 20])


def test_training_without_questions_is_refused(base_model, tmp_path):
    with pytest.raises(DeclarationError, match="at least one question, found none"):
        lora.train([], base_model, TRAINING, CONFIG, tmp_path / "adapter")
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_linear_layers_is_refused():
    from transformers import GPT2Config, GPT2LMHeadModel

    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_positions=8, n_embd=4, n_layer=1, n_head=1))
    with pytest.raises(ModelError, match="gpt2: expected linear layers"):
        lora.add_adapter(gpt2, TRAINING)


def test_an_adapter_is_refused_with_another_base_model_or_question_format(trained, base_model):
    other = ResolvedModel(path=base_model.path, reference="path:/other", sha256="0" * 64)
    with pytest.raises(ModelError, match="expected an adapter of path:/other"):
        Reranker.load(other, trained.path, CONFIG)
    with pytest.raises(ModelError, match="expected an adapter trained on questions"):
        Reranker.load(base_model, trained.path, CONFIG.model_copy(update={"format": "letter-first"}))
    with pytest.raises(ModelError, match=r"manifest\.json"):
        Reranker.load(base_model, trained.path.parent, CONFIG)


def test_the_loss_of_retrieval_alone_is_small_only_where_its_features_tell_the_answer():
    rng, told = np.random.default_rng(1), make_questions(200)
    untold = [replace(q, mention=Mention(text="x"), answer=int(rng.integers(len(q.candidates)))) for q in told]
    assert lora._retrieval_loss(told) < 0.1
    assert lora._retrieval_loss(untold) > 0.5


@pytest.mark.parametrize("learning_rate", [math.inf, 1e30])
def test_training_that_diverges_is_ended_without_an_adapter(base_model, tmp_path, monkeypatch, learning_rate):
    monkeypatch.setattr(lora, "_WARMUP", 0.0)  # the first step of a warm-up has no learning rate
    training = TRAINING.model_copy(update={"learning_rate": learning_rate})
    for n_questions in (4, 80):  # one step, so that no loss shows it; then enough steps for a log entry
        target = tmp_path / f"adapter-{n_questions}"
        with pytest.raises(ModelError, match=r"diverged.*lower"):
            lora.train(make_questions(n_questions), base_model, training, CONFIG, target, device="cpu")
        assert list(tmp_path.iterdir()) == [], "neither an adapter nor checkpoints of one"


def test_letters_that_a_question_does_not_offer_are_not_in_its_loss(base_model, tmp_path):
    """Questions of one option: cross-entropy over two letters cannot exceed what 26 random ones would give."""
    one = [Question(mention=q.mention, candidates=q.candidates[:1], answer=0) for q in make_questions(16)]
    report = lora.train(
        one, base_model, TRAINING.model_copy(update={"learning_rate": 0.0}), CONFIG, tmp_path / "a", device="cpu"
    )
    found = ask(Reranker.load(base_model, None, CONFIG, device="cpu"), one)
    expected = np.mean([np.logaddexp(*letters) - letters[0] for letters in found])
    assert report.loss == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("epochs", [0.5, 1.0, 2.25])
def test_every_question_is_trained_on_for_the_declared_epochs(epochs):
    training = TRAINING.model_copy(update={"epochs": epochs, "batch_size": 8})
    planned = lora._plan_batches(list(range(100)), training)
    taken = np.bincount([i for batch in planned for i in batch], minlength=100)
    assert taken.sum() == round(100 * epochs)
    assert taken.max() - taken.min() <= 1
    assert all(len(batch) <= 8 for batch in planned)
    padded = sum(max(batch) * len(batch) for batch in planned)
    assert padded < 1.2 * sum(sum(batch) for batch in planned), "questions of like length stay together"


def test_a_killed_run_continues_from_its_last_checkpoint(base_model, tmp_path, monkeypatch):
    questions = make_questions(64)
    training = TRAINING.model_copy(update={"epochs": 2.0})
    script = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from pathlib import Path
        from belink.linker import reranker as rerank
        from belink.training import lora as train
        from belink import weights
        from belink.weights import ResolvedModel
        from tests.training.test_lora import CONFIG, TRAINING, make_questions
        weights._cpu_has_bfloat16 = lambda: False
        path, reference, sha256 = {str(base_model.path)!r}, {base_model.reference!r}, {base_model.sha256!r}
        base_model = ResolvedModel(path=Path(path), reference=reference, sha256=sha256)
        training = TRAINING.model_copy(update={{"epochs": 2.0}})
        train.train(make_questions(64), base_model, training, CONFIG, Path({str(tmp_path)!r}) / "killed", device="cpu",
                    validation_questions=make_questions(6))
    """)
    work = tmp_path / ".work-killed"
    process = warm.Process(["-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while len(list(work.glob("checkpoint-*"))) < 2 and process.returncode is None:  # so that the first one is whole
        assert time.monotonic() < deadline, "no checkpoints were written"
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not artefacts.exists(tmp_path / "killed")
    (work / "checkpoint-999").mkdir()  # what a kill in the middle of saving leaves
    (work / "checkpoint-999" / "adapter_model.safetensors").write_bytes(b"half")
    collate, taken = lora._collate, []
    monkeypatch.setattr(lora, "_collate", lambda items: taken.append(1) or collate(items))
    recorded = {}
    report = lora.train(
        questions,
        base_model,
        training,
        CONFIG,
        tmp_path / "killed",
        device="cpu",
        validation_questions=make_questions(6),
        record=lambda name, value, step: recorded.setdefault(name, {}).update({step: value}),
    )
    assert recorded["lora/loss"] == dict(report.history), "with the steps before the kill"
    assert recorded["lora/learning_rate"].keys() == {10, 20, 30}
    assert report.resumed_at >= 4
    n_validated = sum(2 for point in (8, 16, 24, 32) if point > report.resumed_at)  # two batches at each point
    assert len(taken) == 32 - report.resumed_at + 1 + n_validated, "the remaining batches, and one to check the model"
    assert report.steps == 32
    assert [step for step, _ in report.history] == [10, 20, 30]
    assert not work.exists()
    straight = lora.train(
        questions,
        base_model,
        training,
        CONFIG,
        tmp_path / "straight",
        device="cpu",
        validation_questions=make_questions(6),
    )
    curves = [artefacts.read_manifest(each.path)["validation"]["history"] for each in (report, straight)]
    assert [each["step"] for each in curves[0]] == list(recorded["lora/validation_loss"]) == [0, 8, 16, 24, 32]
    for name in ("accuracy", "loss"):
        np.testing.assert_allclose(*([each[name] for each in curve] for curve in curves), atol=1e-3)
    found = [ask(Reranker.load(base_model, r.path, CONFIG, device="cpu"), questions[:8]) for r in (report, straight)]
    for resumed, whole in zip(*found, strict=True):
        np.testing.assert_allclose(resumed, whole, atol=1e-3)


def test_checkpoints_of_another_run_are_removed(base_model, tmp_path):
    work = checkpoints.prepare_work(tmp_path / "work", "one")
    (work / "checkpoint-4").mkdir()
    assert (checkpoints.prepare_work(work, "one") / "checkpoint-4").is_dir()
    assert not (checkpoints.prepare_work(work, "two") / "checkpoint-4").exists()
