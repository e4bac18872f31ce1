"""The encoder, aligned with what a linker's ontologies and annotators call the same: SapBERT's idea, in minutes.

Pairs of names of one concept are drawn together and pushed away from all other concepts of their batch (Liu et al.
2021, Self-Alignment Pretraining for Biomedical Entity Representations, arXiv 2010.11784; multiple-negatives ranking
loss). Annotated mentions are names of what they mean. Held-out names are never seen. What was learned is kept only
where it finds held-out mentions at least as well as the encoder that it started from.
"""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from belink import artefacts
from belink.errors import DeclarationError
from belink.records import Mention
from belink.retrieval import encoder as encode
from belink.text.normalise import normalise
from belink.training import checkpoints, hard_negatives
from belink.training.holdout import is_held_out
from belink.weights import ResolvedModel, choose_device

if TYPE_CHECKING:
    import pyarrow as pa

    from belink import declarations

log = logging.getLogger(__name__)

FORMAT = 1
_BLOCK = 16  # batches among which pairs of like length are put together
_MANY = 8  # names from which on a concept is not drawn more often for having more
_POOL = 20_000  # names that held-out mentions are looked for among, besides those of their own concepts
_K = 10  # recall@k

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class ConceptNames:
    """What the concepts are called; normalised, without held-out names."""

    of_concept: Mapping[str, tuple[str, ...]]  # of the ontologies
    precedents: tuple[tuple[str, str], ...]  # (annotated text, concept), each once

    @classmethod
    def read(cls, table: "pa.Table", precedents: Sequence[tuple[str, str]], held_out: float) -> "ConceptNames":
        """:param table: columns concept_id, text; ``precedents``: text and concept id, which may repeat."""
        found: dict[str, dict[str, None]] = {}
        for concept, text in zip(table["concept_id"].to_pylist(), table["text"].to_pylist(), strict=True):
            key = normalise(text)
            if key and not is_held_out(concept, key, held_out):
                found.setdefault(concept, {})[key] = None
        known = dict.fromkeys((normalise(text), concept) for text, concept in precedents if concept in found)
        return cls(of_concept={c: tuple(n) for c, n in found.items()}, precedents=tuple(p for p in known if p[0]))


@dataclass(frozen=True, kw_only=True)
class FinetuningReport:
    """One adaptation, as its manifest records it."""

    path: Path
    steps: int
    seconds: float
    history: tuple[tuple[int, float], ...]  # (optimiser step, mean loss since the entry before)
    recall_before: float | None  # dense recall@10 of held-out mentions; None: there were none
    recall_after: float | None
    new: bool  # False: it was there already

    @property
    def kept(self) -> bool:
        """Whether the adapted encoder finds at least as much as the one it was made from."""
        return self.recall_before is None or self.recall_after is None or self.recall_after >= self.recall_before


def finetune(
    names: ConceptNames,
    mentions: Sequence[Mention],
    base: ResolvedModel,
    encoder: "declarations.EncoderConfig",
    config: "declarations.AdaptationConfig",
    target: Path,
) -> FinetuningReport:
    """The adapted encoder as a folder at ``target`` that sentence-transformers loads; one that is there is kept.

    A killed run is continued from its last checkpoint.

    :param mentions: held-out ones with gold concepts, to measure with.
    :raises DeclarationError: see :func:`plan_batches`.
    :raises ModelError: ``base`` is no encoder.
    """
    if artefacts.exists(target):
        return read_report(target)
    batches = plan_batches(names, config)
    identity = artefacts.key([base.sha256, encoder.model_dump(mode="json"), config.model_dump(mode="json"), batches])
    work = checkpoints.workplace(target.with_name(f".work-{target.name}"), identity)
    model = encode.load_model(base.path, encoder)
    place, dtype = choose_device()
    before = recall(model, names, mentions)
    columns = _columns(model, batches, names, config)
    outcome = _run(model, batches, columns, config, work, place, str(dtype) == "torch.bfloat16")
    after = recall(model, names, mentions)
    log.info("adapted the encoder: dense recall@%d of held-out mentions %s → %s", _K, before, after)
    manifest = {
        "format": FORMAT,
        "base": {"reference": base.reference, "sha256": base.sha256},
        "adaptation": config.model_dump(mode="json"),
        "pairs": sum(map(len, batches)),
        **outcome,
        "recall_before": before,
        "recall_after": after,
        "platform": checkpoints.platform_of(place, dtype),
    }

    def fill(folder: Path) -> dict[str, Any]:
        model.save(str(folder), create_model_card=False)
        return manifest

    artefacts.make(target, fill)
    shutil.rmtree(work, ignore_errors=True)
    return _report(target, new=True)


def read_report(path: Path) -> FinetuningReport:
    """What the manifest at ``path`` says of the adaptation that left it."""
    return _report(path, new=False)


def plan_batches(names: ConceptNames, config: "declarations.AdaptationConfig") -> list[list[Pair]]:
    """The batches of all steps in order: pairs of one concept, no concept twice in a batch, lengths alike.

    :raises DeclarationError: fewer than two concepts have two names, so that no batch has a wrong answer.
    """
    rng = np.random.default_rng(config.seed)
    concepts = [concept for concept, of in names.of_concept.items() if len(of) > 1]
    if len(concepts) < 2:
        raise DeclarationError(
            f"adaptation: expected two or more concepts with at least two names, found {len(concepts)}; "
            "set adaptation.steps = 0"
        )
    often = np.array([min(len(names.of_concept[concept]), _MANY) for concept in concepts], float)
    of_names = (concepts[i] for _ in iter(int, 1) for i in rng.choice(len(concepts), 4096, p=often / often.sum()))
    of_mentions = (names.precedents[i] for _ in iter(int, 1) for i in rng.permutation(len(names.precedents)))
    # No concept is in a batch twice, so few annotated concepts cannot fill a half of each.
    from_mentions = min(round(config.batch_size * config.mentions), len({c for _, c in names.precedents}) // 2)
    batches: list[list[Pair]] = []
    while len(batches) < config.steps:
        drawn: list[tuple[str, Pair]] = []
        for _ in range(_BLOCK * from_mentions):
            text, concept = next(of_mentions)
            drawn.append((concept, (text, _other(names.of_concept[concept], text, rng))))
        for _ in range(_BLOCK * (config.batch_size - from_mentions)):
            known = names.of_concept[concept := next(of_names)]
            first, second = rng.choice(len(known), 2, replace=False)
            drawn.append((concept, (known[first], known[second])))
        dealt = _dealt(drawn, config.batch_size)
        batches += [dealt[i] for i in rng.permutation(len(dealt))]
    return batches[: config.steps]


def _dealt(drawn: list[tuple[str, Pair]], size: int) -> list[list[Pair]]:
    """Batches of pairs of like length: padded to its longest text, a random batch is mostly padding.

    A pair whose concept every batch that is not full has already is left out.
    """
    batches: list[dict[str, Pair]] = [{} for _ in range(_BLOCK)]
    for concept, pair in sorted(drawn, key=lambda of: max(map(len, of[1]))):
        for batch in batches:
            if len(batch) < size and concept not in batch:
                batch[concept] = pair
                break
    return [list(batch.values()) for batch in batches if len(batch) > 1]


def _other(known: Sequence[str], text: str, rng: np.random.Generator) -> str:
    others = [name for name in known if name != text] or known
    return others[int(rng.integers(len(others)))]


def recall(model: Any, names: ConceptNames, mentions: Sequence[Mention]) -> float | None:
    """Share, 0 to 1, of ``mentions`` with a right concept among the ten nearest by their best name; ``None`` for none.

    They are looked for among the names of their own concepts and of others, about 20,000 in all.
    """
    asked = {(normalise(m.long_form or m.text), m.gold) for m in mentions if m.gold}
    asked = {(text, gold) for text, gold in asked if text and any(g in names.of_concept for g in gold)}
    if not asked:
        return None
    wanted = {g for _, gold in asked for g in gold}
    rest = sorted(names.of_concept.keys() - wanted)
    order = np.random.default_rng(0).permutation(len(rest))
    pool = {c: names.of_concept[c] for c in sorted(wanted & names.of_concept.keys())}
    left = _POOL
    for i in order:
        if (left := left - len(names.of_concept[rest[i]])) < 0:
            break
        pool[rest[i]] = names.of_concept[rest[i]]
    owner = np.repeat(np.arange(len(pool)), [len(of) for of in pool.values()])
    vectors = encode.encoded(model, [name for of in pool.values() for name in of])
    questions = sorted(asked)
    cosines = encode.encoded(model, [text for text, _ in questions]) @ vectors.T
    starts = np.searchsorted(owner, np.arange(len(pool)))
    of_concepts = np.maximum.reduceat(cosines, starts, axis=1)
    nearest = np.argsort(-of_concepts, axis=1, kind="stable")[:, :_K]
    ids = list(pool)
    right = [any(ids[c] in gold for c in row) for row, (_, gold) in zip(nearest, questions, strict=True)]
    return round(float(np.mean(right)), 4)


def _columns(
    model: Any, batches: Sequence[Sequence[Pair]], names: ConceptNames, config: "declarations.AdaptationConfig"
) -> dict[str, list[str]]:
    """What the loss reads, a row a pair: a text, what is meant, and, where they are declared, what is not."""
    pairs = [pair for batch in batches for pair in batch]
    columns = {"one": [one for one, _ in pairs], "other": [other for _, other in pairs]}
    if config.hard_negatives:
        texts = [[one for one, _ in batch] for batch in batches]
        columns["not"] = hard_negatives.mined(
            model, texts, names.of_concept, names.precedents, config.hard_negatives, config.seed
        )
    return columns


def _run(
    model: Any,
    batches: Sequence[Sequence[Pair]],
    columns: Mapping[str, list[str]],
    config: "declarations.AdaptationConfig",
    work: Path,
    place: Any,
    bf16: bool,
) -> dict[str, Any]:
    """Train in place; what the manifest says of it."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers.trainer_callback import PrinterCallback

    steps = len(batches)
    arguments = SentenceTransformerTrainingArguments(
        **checkpoints.arguments(work, steps, config, place),
        per_device_train_batch_size=config.batch_size,
        warmup_steps=round(steps * config.warmup),
        weight_decay=0.01,
        bf16=bf16,
    )
    checkpoint = checkpoints.newest(work)
    clock = checkpoints.clock(work, checkpoints.step_of(checkpoint), steps, what="adapting the encoder")
    longest, model.max_seq_length = model.max_seq_length, config.max_length
    with checkpoints.quiet():
        trainer = _planned_trainer(batches)(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict(dict(columns)),
            loss=MultipleNegativesRankingLoss(
                model,
                scale=1 / config.temperature,
                # What is not meant is told apart from the text alone, so there is no other direction with it.
                directions=("query_to_doc",) if config.hard_negatives else ("query_to_doc", "doc_to_query"),
                partition_mode="per_direction",
            ),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    model.max_seq_length = longest
    return {
        "steps": int(trainer.state.global_step),
        "seconds": round(clock.seconds(), 1),
        "history": checkpoints.history(trainer),
    }


def _planned_trainer(batches: Sequence[Sequence[Pair]]) -> Any:
    """The trainer of sentence-transformers, taking the batches as they were planned."""
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.base.sampler import DefaultBatchSampler

    class Planned(DefaultBatchSampler):
        def __len__(self) -> int:
            return len(batches)

        def __iter__(self) -> Iterator[list[int]]:
            ends = np.cumsum([len(batch) for batch in batches]).tolist()
            return (list(range(end - len(batch), end)) for end, batch in zip(ends, batches, strict=True))

    class PlannedTrainer(SentenceTransformerTrainer):
        def get_batch_sampler(self, dataset: Any, batch_size: int, drop_last: bool, *_: Any, **__: Any) -> Any:
            return Planned(dataset, batch_size, drop_last)

        def add_model_card_callback(self, *_: Any) -> None:
            """No card is written here; looking for its examples would show a progress bar of its own."""

    return PlannedTrainer


def _report(path: Path, *, new: bool) -> FinetuningReport:
    manifest = artefacts.read_manifest(path)
    told = {name: manifest[name] for name in ("steps", "seconds", "recall_before", "recall_after")}
    history = tuple((int(step), float(loss)) for step, loss in manifest["history"])
    return FinetuningReport(path=path, history=history, new=new, **told)
