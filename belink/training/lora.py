"""Set-wise questions → a LoRA adapter for the re-ranker.

The loss is cross-entropy over the letters at the last position, nothing else of the text is predicted. With
``training.residual`` retrieval's own log-probabilities (a conditional logit fitted to the same questions first) are
added inside the loss: the language model learns what retrieval lacks instead of what it knows. Batches are fixed before
the first step, so a run that was killed continues with the very next one.
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

from belink import artefacts
from belink.errors import DeclarationError
from belink.linker import features, prompts
from belink.linker import reranker as rerank
from belink.training import checkpoints
from belink.weights import choose_device

if TYPE_CHECKING:
    import torch

    from belink import declarations
    from belink.records import Question
    from belink.weights import ResolvedModel

log = logging.getLogger(__name__)

FORMAT = 1
LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")
"""Which layer of a model a module or parameter lies in, by its dotted name."""
_BLOCK = 16  # batches among which questions of like length are put together
_PENALTY = 1.0  # of retrieval's weights; see evidence.fit


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """One training run, as its manifest records it."""

    path: Path
    examples: int
    steps: int
    seconds: float  # of training, over all runs that a resumed one took
    loss: float  # mean over the last tenth of the steps
    first_loss: float
    loss_retrieval: float  # what retrieval's own log-probabilities reach on the same questions
    history: tuple[tuple[int, float], ...]  # (optimiser step, mean loss since the entry before)
    resumed_at: int  # the step that this run began with; 0 for a fresh one
    new: bool  # False: the adapter was there already


@dataclass(frozen=True, kw_only=True, slots=True)
class _Example:
    tokens: tuple[int, ...]
    answer: int
    prior: tuple[float, ...]  # added to the letters' logits; as many as the question has options, None included


def train(
    questions: "Sequence[Question]",
    base: "ResolvedModel",
    training: "declarations.TrainingConfig",
    reranker: "declarations.RerankerConfig",
    target: Path,
    *,
    work: Path | None = None,
    device: str | None = None,
) -> TrainReport:
    """The adapter folder at ``target``: adapter_model.safetensors, adapter_config.json, manifest.json.

    A complete ``target`` is kept as it is. A run of the same questions and settings that was killed is continued from
    its last checkpoint in ``work`` (default: a hidden folder beside ``target``), which is removed in the end.

    :raises DeclarationError: no questions, or LoRA targets that the model does not have.
    :raises ModelError: the base model cannot be used; see :meth:`rerank.Reranker.load`.
    """
    if artefacts.exists(target):
        return _report(target, artefacts.read_manifest(target), resumed_at=0, new=False)
    if not questions:
        raise DeclarationError(
            "training: expected at least one question, found none; the ontologies have no concept with two names "
            "outside the held-out share, so declare a corpus, or set training.questions = 0 and train nothing"
        )
    form = prompts.form(rerank.load_tokenizer(base), reranker)
    place, dtype = choose_device(device)
    priors, loss_retrieval = _priors(questions, training.residual)
    examples = [
        _Example(tokens=tuple(form.tokens(q.mention, q.candidates)), answer=q.answer, prior=prior)
        for q, prior in zip(questions, priors, strict=True)
    ]
    identity = _identity(examples, base, training, reranker)
    work = checkpoints.workplace(work or target.with_name(f".work-{target.name}"), identity)
    model = add_adapter(rerank.rounded(rerank.load_model(base, form), dtype), training)
    outcome = _run(model, examples, training, work, place)
    manifest = {
        "format": FORMAT,
        "prompts": prompts.VERSION,
        "asking": rerank.asking(reranker),
        "base": {"reference": base.reference, "sha256": base.sha256},
        "reranker": reranker.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
        "questions": {"n": len(questions), "sha256": identity},
        "examples": len(questions),
        "loss_retrieval": loss_retrieval,
        **outcome,
        "platform": checkpoints.platform_of(place, dtype),
    }
    resumed_at = manifest.pop("resumed_at")

    def fill(folder: Path) -> dict[str, Any]:
        _save(model, folder, base)
        return {**manifest, "sha256": {path.name: artefacts.sha256(path) for path in sorted(folder.iterdir())}}

    manifest = artefacts.make(target, fill)
    shutil.rmtree(work, ignore_errors=True)
    return _report(target, manifest, resumed_at=resumed_at, new=True)


def add_adapter(model: Any, training: "declarations.TrainingConfig") -> Any:
    """``model`` with a fresh LoRA adapter (B = 0, so that it answers as before), only the adapter trainable, float32.

    :raises DeclarationError: no linear layer of the model has one of the declared names.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    wanted = training.lora_targets
    head = model.get_output_embeddings()
    linear = {n for n, part in model.named_modules() if isinstance(part, torch.nn.Linear) and part is not head}
    if wanted != "all-linear":
        endings = (wanted,) if isinstance(wanted, str) else wanted
        linear = {name for name in linear if name.rsplit(".", 1)[-1] in endings}
    layers = {name: int(found[1]) for name in linear if (found := LAYER.search(f".{name}"))}
    if training.lora_layers and layers:
        lowest = max(layers.values()) + 1 - training.lora_layers
        linear = {name for name in linear if layers.get(name, -1) >= lowest}
    if not linear:
        raise DeclarationError(
            f"training.lora_targets: expected names of linear layers of the model, found {wanted!r}; "
            'take "all-linear" or names such as "q_proj"'
        )
    torch.manual_seed(training.seed)
    config = LoraConfig(
        r=training.lora_rank,
        lora_alpha=training.lora_alpha,
        lora_dropout=training.lora_dropout,
        target_modules=sorted(linear),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)  # adapter weights in float32 whatever the base is in


def _run(
    model: Any, examples: Sequence[_Example], training: "declarations.TrainingConfig", work: Path, place: "torch.device"
) -> dict[str, Any]:
    """Train in place; what the manifest says of it."""
    from transformers import TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    planned = _plan([len(example.tokens) for example in examples], training)
    steps = math.ceil(len(planned) / training.accumulation)
    arguments = TrainingArguments(
        **checkpoints.arguments(work, steps, training, place),
        per_device_train_batch_size=1,  # an item is a whole batch, see _plan
        gradient_accumulation_steps=training.accumulation,
        warmup_steps=math.ceil(steps * training.warmup),
        weight_decay=0.0,
        gradient_checkpointing=training.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if training.gradient_checkpointing else None,
        remove_unused_columns=False,
    )
    checkpoint = checkpoints.newest(work)
    begun = checkpoints.step_of(checkpoint)
    clock = checkpoints.clock(work, begun, steps)
    trainer = _letter_trainer(len(planned))(
        model=model,
        args=arguments,
        train_dataset=[[examples[i] for i in batch] for batch in planned],
        data_collator=_collate,
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    with checkpoints.quiet():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    history = checkpoints.history(trainer)
    tail = [loss for _, loss in history[-max(1, len(history) // 10) :]]
    return {
        "steps": int(trainer.state.global_step),
        "seconds": round(clock.seconds(), 1),
        "history": history,
        "loss": float(np.mean(tail)) if tail else float("nan"),
        "first_loss": history[0][1] if history else float("nan"),
        "resumed_at": begun,
    }


def _letter_trainer(n_batches: int) -> Any:
    """The Trainer of transformers, with our loss, taking the batches in the planned order."""
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import Trainer

    class LetterTrainer(Trainer):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            logits = model(input_ids=inputs["input_ids"], use_cache=False).logits
            rows = torch.arange(len(logits), device=logits.device)
            # Letters that the question does not offer have a prior of -inf.
            offered = logits[rows, inputs["last"]] + inputs["prior"][:, : logits.shape[-1]]
            loss = cross_entropy(offered, inputs["answer"])
            return (loss, offered) if return_outputs else loss

        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return torch.utils.data.SequentialSampler(range(n_batches))

    return LetterTrainer


def _collate(items: "list[list[_Example]]") -> "dict[str, torch.Tensor]":
    import torch

    (batch,) = items
    ids, last = rerank.pad([example.tokens for example in batch])
    prior = torch.full((len(batch), 26), -torch.inf)
    for i, example in enumerate(batch):
        prior[i, : len(example.prior)] = torch.tensor(example.prior)
    return {
        "input_ids": ids,
        "last": last,
        "prior": prior,
        "answer": torch.tensor([example.answer for example in batch]),
    }


def _plan(lengths: Sequence[int], training: "declarations.TrainingConfig") -> list[list[int]]:
    """The batches of all epochs in order: shuffled by the seed, questions of like length together."""
    rng = np.random.default_rng(training.seed)
    wanted = round(training.epochs * len(lengths))
    order: list[int] = []
    while len(order) < wanted:
        order += rng.permutation(len(lengths)).tolist()
    order = order[: max(wanted, 1)]
    block = training.batch_size * _BLOCK
    planned: list[list[int]] = []
    for start in range(0, len(order), block):
        near = sorted(order[start : start + block], key=lambda i: lengths[i])
        made = [near[i : i + training.batch_size] for i in range(0, len(near), training.batch_size)]
        planned += [made[i] for i in rng.permutation(len(made))]
    return planned


def _priors(questions: "Sequence[Question]", share: float) -> "tuple[list[tuple[float, ...]], float]":
    """``share`` of retrieval's log-probability of each option, and the loss it has by itself (natural logarithm).

    The weights are free in sign, unlike the calibration's: they are to explain away whatever gives an answer away only
    because of how questions are made, such as a hidden name that its concept's neighbourhood lacks.
    """
    designs = [features.design(question.mention, question.candidates) for question in questions]
    scales = np.maximum(np.concatenate(designs).std(axis=0), 1e-3)
    designs = [design / scales for design in designs]
    answers = [question.answer for question in questions]
    weights = features.fit(designs, answers, centre=np.zeros(len(scales)), penalty=_PENALTY)
    logs = [np.log(np.maximum(features.softmax(design @ weights), 1e-9)) for design in designs]
    loss = float(-np.mean([of[answer] for of, answer in zip(logs, answers, strict=True)]))
    return [tuple((share * of).tolist()) for of in logs], loss


def _identity(
    examples: Sequence[_Example],
    base: "ResolvedModel",
    training: "declarations.TrainingConfig",
    reranker: "declarations.RerankerConfig",
) -> str:
    """16 hex digits of everything that training depends on."""
    asked = [(example.tokens, example.answer, [round(p, 6) for p in example.prior]) for example in examples]
    return artefacts.key([base.sha256, training.model_dump(mode="json"), rerank.asking(reranker), asked])


def _save(model: Any, folder: Path, base: "ResolvedModel") -> None:
    """Adapter weights and configuration, without the folder of this machine that the base model came from."""
    model.save_pretrained(str(folder), save_embedding_layers=False)
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
