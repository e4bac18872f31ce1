"""Train a LoRA adapter for the re-ranker on set-wise questions.

The loss is cross-entropy over the option letters at the last position; no other token is predicted. The batches of all
epochs are fixed before the first step, so a run that was killed continues with the very next one.
"""

import json
import logging
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from belink import artefacts, progress
from belink.errors import DeclarationError, ModelError
from belink.linker import conditional_logit, features, prompts
from belink.linker import reranker as rerank
from belink.training import checkpoints, validation
from belink.weights import choose_device

if TYPE_CHECKING:
    import torch

    from belink import declarations
    from belink.records import Question
    from belink.weights import ResolvedModel

log = logging.getLogger(__name__)

FORMAT = 1
LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")
"""Finds the number of a layer in the dotted name of a module or parameter."""
_BLOCK = 16  # batches among which questions of similar length are grouped
_LORA_ALPHA = 32  # the adapter's output is multiplied by this over its rank
_WARMUP = 0.05  # share of the steps during which the learning rate rises
_RETRIEVAL_PENALTY = 1.0  # of the weights behind ``loss_retrieval``; see conditional_logit.fit


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """One training run, as its manifest records it. Losses are in nats a question."""

    path: Path
    examples: int
    steps: int
    seconds: float  # of training, over all the runs that a resumed one took
    loss: float  # mean over the last tenth of the history
    first_loss: float
    loss_retrieval: float  # of a model of retrieval's features alone, fitted to the same questions
    history: tuple[tuple[int, float], ...]  # (optimiser step, mean loss since the entry before)
    resumed_at: int  # the step that this run began with; 0 for a fresh one
    new: bool  # False: the adapter was already there


@dataclass(frozen=True, kw_only=True, slots=True)
class _Example:
    tokens: tuple[int, ...]
    answer: int
    n_letters: int  # that the question offers, "None of the above" included


def train(
    questions: "Sequence[Question]",
    base: "ResolvedModel",
    training: "declarations.TrainingConfig",
    reranker: "declarations.RerankerConfig",
    target: Path,
    *,
    work: Path | None = None,
    device: str | None = None,
    validation_questions: "Sequence[Question]" = (),
    record: "progress.Record | None" = None,
) -> TrainReport:
    """Train the adapter at ``target``: adapter_model.safetensors, adapter_config.json and manifest.json.

    A complete ``target`` is not trained again. A killed run of the same questions and settings continues from its last
    checkpoint.

    :param work: the folder for checkpoints, removed at the end; by default a hidden one beside ``target``.
    :param device: "cuda", "mps" or "cpu"; ``None`` takes the best there is.
    :param validation_questions: held-out ones that are asked at a few points and never evaluated on: see
        :mod:`.validation` and :func:`belink.training.splits.validation_questions`.
    :param record: called with ``lora/loss``, ``lora/learning_rate``, …, the value and the optimiser step.
    :raises DeclarationError: no questions.
    :raises ModelError: the base model cannot be used (see :meth:`rerank.Reranker.load`, :func:`add_adapter`), or
        training diverged.
    """
    if artefacts.exists(target):
        return _report(target, artefacts.read_manifest(target), resumed_at=0, new=False)
    if not questions:
        raise DeclarationError(
            "training: expected at least one question, found none; the ontologies have no concept with two names "
            "outside the held-out share, so declare a corpus, or set training.questions = 0 and train nothing"
        )
    form = prompts.form(rerank.load_tokenizer(base), reranker)
    chosen, dtype = choose_device(device)
    examples = _examples(questions, form)
    identity = _identity(examples, base, training, reranker)
    work = checkpoints.prepare_work(work or target.with_name(f".work-{target.name}"), identity)
    model = add_adapter(rerank.cast(rerank.load_model(base, form), dtype), training)
    outcome = _run(model, examples, _examples(validation_questions, form), training, work, chosen, record)
    resumed_at = outcome.pop("resumed_at")
    manifest = {
        **_recipe(base, training, reranker),
        "questions": {"n": len(questions), "sha256": identity},
        "examples": len(questions),
        "loss_retrieval": _retrieval_loss(questions),
        **outcome,
        "platform": checkpoints.describe_platform(chosen, dtype),
    }

    def fill(folder: Path) -> dict[str, Any]:
        _save(model, folder, base)
        return {**manifest, "sha256": {path.name: artefacts.sha256(path) for path in sorted(folder.iterdir())}}

    manifest = artefacts.make(target, fill)
    shutil.rmtree(work, ignore_errors=True)
    if record is not None:
        record("lora/loss_of_retrieval_alone", manifest["loss_retrieval"], manifest["steps"])
    return _report(target, manifest, resumed_at=resumed_at, new=True)


def _recipe(
    base: "ResolvedModel", training: "declarations.TrainingConfig", reranker: "declarations.RerankerConfig"
) -> dict[str, Any]:
    """Return what the manifest records of how an adapter is trained, besides the questions."""
    return {
        "format": FORMAT,
        "prompts": prompts.VERSION,
        "asking": rerank.question_settings(reranker),
        "base": {"reference": base.reference, "sha256": base.sha256},
        "reranker": reranker.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
    }


def _examples(questions: "Sequence[Question]", form: prompts.Form) -> list[_Example]:
    return [
        _Example(tokens=tuple(form.tokens(q.mention, q.candidates)), answer=q.answer, n_letters=len(q.candidates) + 1)
        for q in questions
    ]


def add_adapter(model: Any, training: "declarations.TrainingConfig") -> Any:
    """Return ``model`` with a fresh LoRA adapter on its linear layers, in float32; nothing else is trainable.

    Its matrix B is zero, so the model answers as before.

    :raises ModelError: the model has no linear layers, as GPT-2, which has convolutions instead.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    head = model.get_output_embeddings()
    linear = {n for n, part in model.named_modules() if isinstance(part, torch.nn.Linear) and part is not head}
    # The dot in front lets the pattern match a name that begins with "layers".
    layers = {name: int(match[1]) for name in linear if (match := LAYER.search(f".{name}"))}
    if training.lora_layers and layers:
        lowest = max(layers.values()) + 1 - training.lora_layers
        # Linear parts outside of any numbered layer get no adapter either.
        linear = {name for name in linear if layers.get(name, -1) >= lowest}
    # PEFT would fail with a message about target modules that names no remedy.
    if not linear:
        raise ModelError(
            f"{model.config.model_type}: expected linear layers, which an adapter is trained for, found"
            " none; declare another reranker.model"
        )
    # LoRA's matrix A is random, so the seed is set before the adapter is made.
    torch.manual_seed(training.seed)
    config = LoraConfig(
        r=training.lora_rank,
        lora_alpha=_LORA_ALPHA,
        target_modules=sorted(linear),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)  # peft keeps adapter weights in float32, whatever the base model's dtype


def _run(
    model: Any,
    examples: Sequence[_Example],
    held_out: Sequence[_Example],
    training: "declarations.TrainingConfig",
    work: Path,
    device: "torch.device",
    record: "progress.Record | None" = None,
) -> dict[str, Any]:
    """Train ``model`` in place and return what its manifest records of the run."""
    from transformers import TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    batches = _plan_batches([len(example.tokens) for example in examples], training)
    steps = len(batches)
    arguments = TrainingArguments(
        **checkpoints.trainer_arguments(work, steps, training, device),
        per_device_train_batch_size=1,  # an item of the data set is a whole batch; see _plan_batches
        warmup_steps=math.ceil(steps * _WARMUP),
        weight_decay=0.0,
        gradient_checkpointing=training.gradient_checkpointing,
        # The reentrant variant needs inputs that require a gradient, which a frozen embedding does not give.
        gradient_checkpointing_kwargs={"use_reentrant": False} if training.gradient_checkpointing else None,
        # An item is a list of questions without columns, so the Trainer must not match names with the model's
        # arguments.
        remove_unused_columns=False,
    )
    checkpoint = checkpoints.newest_checkpoint(work)
    first_step = checkpoints.checkpoint_step(checkpoint)
    clock = checkpoints.training_clock(work, first_step, steps)
    trainer = _letter_trainer(len(batches))(
        model=model,
        args=arguments,
        train_dataset=[[examples[i] for i in batch] for batch in batches],
        data_collator=_collate,
        callbacks=[clock, *checkpoints.recording("lora", record)],
    )
    trainer.remove_callback(PrinterCallback)
    if held_out:
        # Sorted by length, to save padding.
        ordered = sorted(held_out, key=lambda example: len(example.tokens))
        asked = [ordered[i : i + training.batch_size] for i in range(0, len(ordered), training.batch_size)]
        trainer.add_callback(validation.validating("lora", steps, lambda: trainer.figures_of(model, asked), record))
    with checkpoints.quiet_transformers():
        # On resuming, the Trainer skips as many batches as the checkpoint has seen, so their order must be the same.
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    checkpoints.check_weights(model, work)
    # Finite weights can still give an infinite loss, and the history has only means of several steps.
    checkpoints.check_loss(trainer.loss_of(model, [examples[i] for i in batches[0]]), steps, work)
    history = checkpoints.loss_history(trainer)
    tail = [loss for _, loss in history[-max(1, len(history) // 10) :]]
    return {
        "steps": int(trainer.state.global_step),
        "seconds": round(clock.seconds(), 1),
        "history": history,
        "validation": {"n": len(held_out), "history": validation.validation_history(trainer)},
        "loss": float(np.mean(tail)) if tail else float("nan"),
        "first_loss": history[0][1] if history else float("nan"),
        "resumed_at": first_step,
    }


def _letter_trainer(n_batches: int) -> Any:
    """Return transformers' Trainer with the loss over letters, taking the batches in their planned order."""
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import Trainer

    class LetterTrainer(Trainer):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            logits = model(input_ids=inputs["input_ids"], use_cache=False).logits
            rows = torch.arange(len(logits), device=logits.device)
            letters = logits[rows, inputs["last"]]  # (batch, n_letters of the model)
            offered = torch.arange(letters.shape[-1], device=letters.device) < inputs["n_letters"][:, None]
            # A question may offer fewer options than the model has letters. Unused letters must not take probability.
            letters = letters.masked_fill(~offered, -torch.inf)
            loss = cross_entropy(letters, inputs["answer"])
            return (loss, letters) if return_outputs else loss

        def loss_of(self, model: Any, batch: list[_Example]) -> float:
            inputs = {name: tensor.to(self.args.device) for name, tensor in _collate([batch]).items()}
            with torch.inference_mode():
                return float(self.compute_loss(model.eval(), inputs))

        def figures_of(self, model: Any, batches: list[list[_Example]]) -> dict[str, float]:
            """Return ``accuracy``, the share of the questions that are answered right, and their mean ``loss``."""
            was_training, n, n_right, loss = model.training, 0, 0, 0.0
            model.eval()
            # Not inference mode: a tensor that the model keeps from here is used by the next step.
            with torch.no_grad():
                for batch in progress.track(batches, what="validating", unit="batches"):
                    inputs = {name: tensor.to(self.args.device) for name, tensor in _collate([batch]).items()}
                    mean, letters = self.compute_loss(model, inputs, return_outputs=True)
                    n_right += int((letters.argmax(-1) == inputs["answer"]).sum())
                    loss += float(mean) * len(batch)
                    n += len(batch)
            model.train(was_training)
            return {"accuracy": n_right / n, "loss": loss / n}

        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            # The Trainer's own sampler would shuffle the planned batches.
            return torch.utils.data.SequentialSampler(range(n_batches))

    return LetterTrainer


def _collate(items: "list[list[_Example]]") -> "dict[str, torch.Tensor]":
    import torch

    # The data loader's batch is always one item, and that is a whole batch of questions.
    (batch,) = items
    ids, last = rerank.pad([example.tokens for example in batch])
    return {
        "input_ids": ids,
        "last": last,
        "n_letters": torch.tensor([example.n_letters for example in batch]),
        "answer": torch.tensor([example.answer for example in batch]),
    }


def _plan_batches(lengths: Sequence[int], training: "declarations.TrainingConfig") -> list[list[int]]:
    """Return the batches of all epochs, each a list of question numbers.

    Questions are shuffled by the seed and then grouped by length within blocks, to save padding.
    """
    rng = np.random.default_rng(training.seed)
    n_examples = round(training.epochs * len(lengths))
    order: list[int] = []
    while len(order) < n_examples:
        order += rng.permutation(len(lengths)).tolist()
    # ``epochs`` may be a fraction, so the last pass over the questions may be a part of one.
    order = order[: max(n_examples, 1)]
    block_size = training.batch_size * _BLOCK
    batches: list[list[int]] = []
    for start in range(0, len(order), block_size):
        block = sorted(order[start : start + block_size], key=lambda i: lengths[i])
        block_batches = [block[i : i + training.batch_size] for i in range(0, len(block), training.batch_size)]
        batches += [block_batches[i] for i in rng.permutation(len(block_batches))]
    return batches


def _retrieval_loss(questions: "Sequence[Question]") -> float:
    """Return the loss of a conditional logit over retrieval's features, fitted to ``questions`` themselves.

    It is what the language model has to beat. Its weights are free in sign, unlike the calibration's: a question may
    betray its answer by how it was made, such as a hidden name that its concept's neighbourhood lacks.
    """
    designs = [features.design(question.mention, question.candidates) for question in questions]
    # The floor keeps a constant feature, such as the bias, from a division by zero.
    scales = np.maximum(np.concatenate(designs).std(axis=0), 1e-3)
    designs = [design / scales for design in designs]
    answers = [question.answer for question in questions]
    weights = conditional_logit.fit(designs, answers, centre=np.zeros(len(scales)), penalty=_RETRIEVAL_PENALTY)
    logs = [np.log(np.maximum(conditional_logit.softmax(design @ weights), 1e-9)) for design in designs]
    return float(-np.mean([of[answer] for of, answer in zip(logs, answers, strict=True)]))


def _identity(
    examples: Sequence[_Example],
    base: "ResolvedModel",
    training: "declarations.TrainingConfig",
    reranker: "declarations.RerankerConfig",
) -> str:
    """Return 16 hex digits that name everything training depends on."""
    content = [(example.tokens, example.answer, example.n_letters) for example in examples]
    return artefacts.key([base.sha256, training.model_dump(mode="json"), rerank.question_settings(reranker), content])


def _save(model: Any, folder: Path, base: "ResolvedModel") -> None:
    """Write the adapter; its configuration names the base model by reference, not by a path on this machine."""
    # With "auto", PEFT looks up the base model's configuration, on the Hub if need be, to see whether embeddings were
    # resized.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    # PEFT writes a model card in which nothing is filled in.
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text("utf-8"))
    config["base_model_name_or_path"] = base.reference
    file.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", "utf-8")


def _report(path: Path, manifest: dict[str, Any], *, resumed_at: int, new: bool) -> TrainReport:
    names = ("examples", "steps", "seconds", "loss", "first_loss", "loss_retrieval")
    history = tuple((int(step), float(loss)) for step, loss in manifest["history"])
    return TrainReport(
        path=path, history=history, resumed_at=resumed_at, new=new, **{name: manifest[name] for name in names}
    )
