"""Fine-tune the encoder on the names of a linker's ontologies and on its annotated mentions, in minutes.

As in SapBERT (Liu et al. 2021, Self-Alignment Pretraining for Biomedical Entity Representations, arXiv 2010.11784),
pairs of names of one concept are drawn together and pushed away from the other concepts of their batch, here by the
multiple-negatives ranking loss. An annotated mention counts as a name of its concept. Held-out names are never seen.
The fine-tuned encoder is used only if it finds held-out mentions at least as well as the encoder it started from.
"""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from belink import artefacts, progress
from belink.errors import DeclarationError
from belink.records import Mention
from belink.retrieval import encoder as encode
from belink.text.normalise import normalise
from belink.training import checkpoints, validation
from belink.training.holdout import is_held_out
from belink.weights import ResolvedModel, choose_device

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from belink import declarations

log = logging.getLogger(__name__)

FORMAT = 1
_MAX_LENGTH = 32  # tokens of a name while training; names are short
_WARMUP = 0.1  # share of the steps during which the learning rate rises
_BLOCK = 16  # batches among which pairs of similar length are grouped
_MAX_WEIGHT = 8  # a concept is drawn in proportion to its number of names, up to this many
_POOL = 20_000  # names of other concepts among which held-out mentions are looked for
_K = 10  # of recall@k
_VALIDATED = 0.01  # cost of validating, as a share of the training's
_MIN_VALIDATED = 64  # names, however short the training is
_DRAWN_AT_ONCE = 4096  # concepts drawn by one call of the random generator

Pair = tuple[str, str]
Query = tuple[str, tuple[str, ...]]  # text and gold concepts
Sample = tuple[list[Query], dict[str, tuple[str, ...]]]  # queries, and the names of the concepts among which they look


@dataclass(frozen=True, kw_only=True)
class ConceptNames:
    """What the concepts are called: normalised, without held-out names."""

    of_concept: Mapping[str, tuple[str, ...]]  # names from the ontologies by concept id
    precedents: tuple[tuple[str, str], ...]  # (annotated text, concept id), each once

    @classmethod
    def read(cls, table: "pa.Table", precedents: Sequence[tuple[str, str]], held_out: float) -> "ConceptNames":
        """Return the names that training may see.

        :param table: names of ontologies, with columns concept_id and text.
        :param precedents: text and concept id of annotated mentions; may repeat.
        :param held_out: share of names that are left out, 0 to 1.
        """
        names: dict[str, dict[str, None]] = {}
        for concept, text in zip(table["concept_id"].to_pylist(), table["text"].to_pylist(), strict=True):
            key = normalise(text)
            if key and not is_held_out(concept, key, held_out):
                names.setdefault(concept, {})[key] = None
        distinct = dict.fromkeys((normalise(text), concept) for text, concept in precedents if concept in names)
        return cls(
            of_concept={concept: tuple(its_names) for concept, its_names in names.items()},
            precedents=tuple((text, concept) for text, concept in distinct if text),
        )


@dataclass(frozen=True, kw_only=True)
class FinetuningReport:
    """One fine-tuning, as its manifest records it."""

    path: Path
    steps: int
    seconds: float
    history: tuple[tuple[int, float], ...]  # (optimiser step, mean loss since the entry before)
    recall_before: float | None  # dense recall@10 of held-out mentions; None if there are none
    recall_after: float | None
    new: bool  # False: the encoder was already there

    @property
    def kept(self) -> bool:
        """Whether the fine-tuned encoder finds at least as much as the one it started from."""
        return self.recall_before is None or self.recall_after is None or self.recall_after >= self.recall_before


def finetune(
    names: ConceptNames,
    mentions: Sequence[Mention],
    base: ResolvedModel,
    encoder: "declarations.EncoderConfig",
    config: "declarations.AdaptationConfig",
    target: Path,
    record: "progress.Record | None" = None,
) -> FinetuningReport:
    """Fine-tune the encoder into the folder ``target``, which sentence-transformers can load.

    A complete ``target`` is not trained again. A killed run continues from its last checkpoint.

    Recall is measured before and after, and on a small sample during the training; see :mod:`.validation`.

    :param mentions: held-out mentions with gold concepts, to measure recall with: none of those that linkers are
        evaluated on, see :func:`belink.training.splits.held_out_mentions`.
    :param record: called with ``encoder/loss``, ``encoder/recall_at_10``, …, the value and the optimiser step.
    :raises DeclarationError: too few names; see :func:`plan_batches`.
    :raises ModelError: ``base`` is no encoder, or training diverged.
    """
    # The manifest is written last, so a folder that has one is complete.
    if artefacts.exists(target):
        return read_report(target)
    # All batches are fixed before the first step, so a continued run sees what an uninterrupted one would have seen.
    batches = plan_batches(names, config)
    identity = artefacts.key([base.sha256, encoder.model_dump(mode="json"), config.model_dump(mode="json"), batches])
    work = checkpoints.prepare_work(target.with_name(f".work-{target.name}"), identity)
    model = encode.load_model(base.path, encoder)
    device, dtype = choose_device()
    # Measured before training, which changes the model in place.
    before = dense_recall(model, names, mentions)
    sample = validation_sample(names, mentions, sum(map(len, batches)))
    outcome = _run(model, batches, config, work, device, str(dtype) == "torch.bfloat16", sample, record)
    after = dense_recall(model, names, mentions)
    for recall, step in ((before, 0), (after, len(batches))):
        if record is not None and recall is not None:
            record(f"encoder/recall_at_{_K}", recall, step)
    log.info("fine-tuned the encoder: dense recall@%d of held-out mentions %s → %s", _K, before, after)
    manifest = {
        "format": FORMAT,
        "base": {"reference": base.reference, "sha256": base.sha256},
        "adaptation": config.model_dump(mode="json"),
        "pairs": sum(map(len, batches)),
        **outcome,
        "recall_before": before,
        "recall_after": after,
        "platform": checkpoints.describe_platform(device, dtype),
    }

    def fill(folder: Path) -> dict[str, Any]:
        model.save(str(folder), create_model_card=False)
        return manifest

    artefacts.make(target, fill)
    shutil.rmtree(work, ignore_errors=True)
    return _report(target, new=True)


def read_report(path: Path) -> FinetuningReport:
    """Return the report in the manifest of the fine-tuned encoder at ``path``."""
    return _report(path, new=False)


def plan_batches(names: ConceptNames, config: "declarations.AdaptationConfig") -> list[list[Pair]]:
    """Return the batches of all steps: pairs of names of one concept, no concept twice in a batch.

    :raises DeclarationError: fewer than two concepts have two names, so a batch would have no wrong answer.
    """
    rng = np.random.default_rng(config.seed)
    concepts = [concept for concept, names_of_concept in names.of_concept.items() if len(names_of_concept) > 1]
    if len(concepts) < 2:
        raise DeclarationError(
            f"adaptation: expected two or more concepts with at least two names, found {len(concepts)}; "
            "set adaptation.steps = 0"
        )
    drawn_concepts = _draw_concepts(names, concepts, rng)
    # ``iter(int, 1)`` never ends, because ``int()`` is never 1. The list is dealt out anew each time that it is
    # through.
    drawn_precedents = (names.precedents[i] for _ in iter(int, 1) for i in rng.permutation(len(names.precedents)))
    # A batch has no concept twice, so few annotated concepts cannot fill their share of it.
    n_annotated = len({concept for _, concept in names.precedents})
    n_from_mentions = min(round(config.batch_size * config.mentions), n_annotated // 2)
    batches: list[list[Pair]] = []
    while len(batches) < config.steps:
        pairs: list[tuple[str, Pair]] = []
        for _ in range(_BLOCK * n_from_mentions):
            text, concept = next(drawn_precedents)
            pairs.append((concept, (text, _another_name(names.of_concept[concept], text, rng))))
        for _ in range(_BLOCK * (config.batch_size - n_from_mentions)):
            names_of_concept = names.of_concept[concept := next(drawn_concepts)]
            first, second = rng.choice(len(names_of_concept), 2, replace=False)
            pairs.append((concept, (names_of_concept[first], names_of_concept[second])))
        block = _deal(pairs, config.batch_size)
        # The batches of a block are sorted by length. In that order the model would see all short names first.
        batches += [block[i] for i in rng.permutation(len(block))]
    # The last block has more batches than are left to do.
    return batches[: config.steps]


def _draw_concepts(names: ConceptNames, concepts: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Yield concepts at random for ever; one with more names comes more often."""
    weights = np.array([min(len(names.of_concept[concept]), _MAX_WEIGHT) for concept in concepts], float)
    while True:
        for i in rng.choice(len(concepts), _DRAWN_AT_ONCE, p=weights / weights.sum()):
            yield concepts[i]


def _deal(pairs: list[tuple[str, Pair]], size: int) -> list[list[Pair]]:
    """Return batches of pairs of similar length; a batch at random would be mostly padding.

    A pair is left out if every batch with room already has its concept.
    """
    batches: list[dict[str, Pair]] = [{} for _ in range(_BLOCK)]
    # Shortest first, and each into the first batch with room, so a batch holds pairs of like length.
    for concept, pair in sorted(pairs, key=lambda of: max(map(len, of[1]))):
        for batch in batches:
            if len(batch) < size and concept not in batch:
                batch[concept] = pair
                break
    return [list(batch.values()) for batch in batches if len(batch) > 1]


def _another_name(names: Sequence[str], text: str, rng: np.random.Generator) -> str:
    others = [name for name in names if name != text] or names
    return others[int(rng.integers(len(others)))]


def dense_recall(model: Any, names: ConceptNames, mentions: Sequence[Mention]) -> float | None:
    """Return the share, 0 to 1, of ``mentions`` with a gold concept among the ten nearest; ``None`` without mentions.

    The pool holds the names of their own concepts and about 20,000 names of others. A concept is as near as its
    nearest name.
    """
    queries = _queries(names, mentions)
    return _recall(model, queries, _recall_pool(names, {g for _, gold in queries for g in gold}, _POOL))


def validation_sample(names: ConceptNames, mentions: Sequence[Mention], n_pairs: int) -> Sample:
    """Return some of the queries and of the pool of :func:`dense_recall`, the same on every call.

    A step encodes each name forward and backward, which costs three times a forward pass. All measurements together
    cost a hundredth of that, and more only where a training is very short.

    :param n_pairs: pairs of names in all batches of the training.
    """
    room = max(int(_VALIDATED * n_pairs * 2 * 3 / (validation.POINTS + 1)), _MIN_VALIDATED)
    queries = _queries(names, mentions)
    chosen: list[Query] = []
    gold: set[str] = set()
    for i in np.random.default_rng(0).permutation(len(queries)):
        of_query = gold | (set(queries[i][1]) & names.of_concept.keys())
        # Half of the names are for concepts that are not asked for.
        if len(chosen) + 1 + sum(len(names.of_concept[concept]) for concept in of_query) > room // 2:
            break
        chosen.append(queries[i])
        gold = of_query
    if not chosen:
        return [], {}
    used = len(chosen) + sum(len(names.of_concept[concept]) for concept in gold)
    # One name a concept: in so small a pool, more concepts leave more to tell apart.
    first_names = {concept: of[:1] for concept, of in names.of_concept.items() if concept not in gold}
    with_first = replace(names, of_concept={**{concept: names.of_concept[concept] for concept in gold}, **first_names})
    return sorted(chosen), _recall_pool(with_first, gold, room - used)


def _figures(model: Any, sample: Sample) -> dict[str, float]:
    """Return the recall on a sample with queries; ``model`` stays as it was."""
    was_training, recall = model.training, _recall(model, *sample)
    model.train(was_training)
    return {f"recall_at_{_K}": recall or 0.0}


def _queries(names: ConceptNames, mentions: Sequence[Mention]) -> list[Query]:
    """Return each distinct text with its gold concepts, of which the linker has one."""
    queries = {(normalise(m.long_form or m.text), m.gold) for m in mentions if m.gold}
    # Sets of strings have another order in every process.
    return sorted((text, gold) for text, gold in queries if text and any(g in names.of_concept for g in gold))


def _recall(model: Any, queries: Sequence[Query], pool: Mapping[str, Sequence[str]]) -> float | None:
    """Return the share of ``queries`` with a gold concept among the ten nearest of ``pool``; ``None`` without any."""
    if not queries:
        return None
    owner = np.repeat(np.arange(len(pool)), [len(its_names) for its_names in pool.values()])
    vectors = encode.encode(model, [name for its_names in pool.values() for name in its_names])
    cosines = encode.encode(model, [text for text, _ in queries]) @ vectors.T  # (queries, names)
    starts = np.searchsorted(owner, np.arange(len(pool)))
    # ``reduceat`` gives a wrong value for an empty segment, but every concept of the pool has a name.
    by_concept = np.maximum.reduceat(cosines, starts, axis=1)  # (queries, concepts)
    nearest = np.argsort(-by_concept, axis=1, kind="stable")[:, :_K]
    ids = list(pool)
    hits = [any(ids[c] in gold for c in row) for row, (_, gold) in zip(nearest, queries, strict=True)]
    return round(float(np.mean(hits)), 4)


def _recall_pool(names: ConceptNames, gold: set[str], room: int) -> dict[str, tuple[str, ...]]:
    """Return the names of the gold concepts and, up to ``room`` names, of others drawn with a fixed seed."""
    pool = {concept: names.of_concept[concept] for concept in sorted(gold & names.of_concept.keys())}
    others = sorted(names.of_concept.keys() - gold)
    # A fixed seed gives the same pool before and after training, so the two recalls compare.
    for i in np.random.default_rng(0).permutation(len(others)):
        if (room := room - len(names.of_concept[others[i]])) < 0:
            break
        pool[others[i]] = names.of_concept[others[i]]
    return pool


def _run(
    model: Any,
    batches: Sequence[Sequence[Pair]],
    config: "declarations.AdaptationConfig",
    work: Path,
    device: "torch.device",
    bf16: bool,
    sample: Sample,
    record: "progress.Record | None" = None,
) -> dict[str, Any]:
    """Train ``model`` in place and return what its manifest records of the run."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers.trainer_callback import PrinterCallback

    steps = len(batches)
    arguments = SentenceTransformerTrainingArguments(
        **checkpoints.trainer_arguments(work, steps, config, device),
        per_device_train_batch_size=config.batch_size,
        warmup_steps=round(steps * _WARMUP),
        weight_decay=0.01,
        bf16=bf16,
    )
    checkpoint = checkpoints.newest_checkpoint(work)
    clock = checkpoints.training_clock(
        work, checkpoints.checkpoint_step(checkpoint), steps, what="fine-tuning the encoder"
    )
    pairs = [pair for batch in batches for pair in batch]
    # The limit is stored with the model, so it is put back before the model is saved.
    max_length, model.max_seq_length = model.max_seq_length, _MAX_LENGTH
    with checkpoints.quiet_transformers():
        trainer = _planned_trainer(batches)(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict({"one": [one for one, _ in pairs], "other": [other for _, other in pairs]}),
            loss=MultipleNegativesRankingLoss(
                model,
                scale=1 / config.temperature,
                # Both names of a pair are names, so each is searched with the other, with a softmax for each direction.
                directions=("query_to_doc", "doc_to_query"),
                partition_mode="per_direction",
            ),
            callbacks=[clock, *checkpoints.recording("encoder", record)],
        )
        trainer.remove_callback(PrinterCallback)
        if sample[0]:
            trainer.add_callback(validation.validating("encoder", steps, lambda: _figures(model, sample), record))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    checkpoints.check_weights(model, work)
    model.max_seq_length = max_length
    return {
        "steps": int(trainer.state.global_step),
        "seconds": round(clock.seconds(), 1),
        "history": checkpoints.loss_history(trainer),
        "validation": {"n": len(sample[0]), "history": validation.validation_history(trainer)},
    }


def _planned_trainer(batches: Sequence[Sequence[Pair]]) -> Any:
    """Return the trainer of sentence-transformers, taking the batches as they were planned."""
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.base.sampler import DefaultBatchSampler

    class Planned(DefaultBatchSampler):
        def __len__(self) -> int:
            return len(batches)

        def __iter__(self) -> Iterator[list[int]]:
            ends = np.cumsum([len(batch) for batch in batches]).tolist()
            # The data set holds the batches one after the other, so each is a run of neighbouring rows.
            return (list(range(end - len(batch), end)) for end, batch in zip(ends, batches, strict=True))

    class PlannedTrainer(SentenceTransformerTrainer):
        def get_batch_sampler(self, dataset: Any, batch_size: int, drop_last: bool, *_: Any, **__: Any) -> Any:
            return Planned(dataset, batch_size, drop_last)

        def add_model_card_callback(self, *_: Any) -> None:
            """Do nothing: no card is written, and collecting its examples would show a progress bar."""

    return PlannedTrainer


def _report(path: Path, *, new: bool) -> FinetuningReport:
    manifest = artefacts.read_manifest(path)
    figures = {name: manifest[name] for name in ("steps", "seconds", "recall_before", "recall_after")}
    history = tuple((int(step), float(loss)) for step, loss in manifest["history"])
    return FinetuningReport(path=path, history=history, new=new, **figures)
