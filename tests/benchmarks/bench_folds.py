"""Accuracy of a linker on unseen mentions, cross-validated over the documents of its corpora.

    BELINK_DATA=… python tests/benchmarks/bench_folds.py [--home FOLDER] [--finetuned] [--model] [--concepts N]
        [disease] [chemical]

A hash deals the documents into three folds. The index holds the annotated mentions of two of them. Of the third, one
half fits the probabilities and the other half is evaluated, then the other way round. A mention is unseen if no
document of the two folds has its text.

The encoder is the declared one as published. With ``--finetuned`` it is also fine-tuned on each pair of training folds,
as declared, and compared with the published one on the same mentions (on one core some ten minutes a fold, and the
names are encoded anew for each). Without ``--model`` no language model is asked. With it the declared one is trained on
the two folds and asked where the cascade asks it, half an hour a fold or more. ``--concepts N`` keeps of the ontology's
concepts those that are annotated, those that trigrams find for a mention, and N others at random; fine-tuning sees the
names of all.

Prints two Markdown rows for each corpus and encoder: of every unseen mention, and of distinct ones (each pair of text
and gold ids once). Intervals are 95 %, by document. The predictions are kept in the home's folder ``folds``.
"""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
from bench_accuracy import FILES, argument_parser, chosen_linkers

from belink import artefacts, declarations, settings, weights
from belink.cli import commands
from belink.declarations import LinkerConfig
from belink.evaluation import metrics
from belink.evaluation.predictions import Option, Prediction, write_predictions
from belink.linker import fitting
from belink.linker import reranker as rerank
from belink.linker.calibration import Calibration
from belink.linker.reranker import Reranker
from belink.ontology import release
from belink.records import Candidate, Document, Mention, Question
from belink.retrieval.encoder import Encoder, NoEncoder
from belink.retrieval.index import Index, build_index
from belink.retrieval.retrieve import retrieve
from belink.text.normalise import normalise
from belink.training import encoder_finetuning, lora, splits
from belink.training.questions import as_retrieved, corpus_questions, ontology_questions
from belink.weights import ResolvedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 3
NEAR = 20  # concepts of a mention that --concepts keeps
HEAD = (
    "| corpus | encoder | count | n | first | recall@10 | chosen | over first | over the encoder as published | ECE "
    "| coverage at 95 % precision |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all folds of a linker share."""

    linker: LinkerConfig
    folders: Sequence[Path]  # the releases
    indexed: Sequence[Path]  # the same, or what --concepts keeps of them
    documents: dict[str, list[Document]]  # by corpus
    home: Path
    cache: Path
    base: ResolvedModel | None  # None: no language model is asked


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One mention of the third fold."""

    corpus: str
    question: Question
    candidates: Sequence[Candidate]  # more than the question's options
    unseen: bool


def part(document: str, of: int, salt: str) -> int:
    digest = blake2b(f"{salt}{document}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % of


def training_mentions(setting: Setting, number: int) -> list[Mention]:
    """Return the mentions of the two folds that are not ``number``."""
    documents = (document for corpus in setting.documents.values() for document in corpus)
    return [mention for d in documents if part(d.id, FOLDS, "f") != number for mention in d.mentions]


def precedents(mentions: Sequence[Mention]) -> list[tuple[str, str]]:
    return [(mention.long_form or mention.text, mention.gold[0]) for mention in mentions if len(mention.gold) == 1]


def finetuned_encoder(setting: Setting, number: int) -> Encoder:
    """Return the declared encoder, fine-tuned as declared on all names and on the two other folds' mentions."""
    linker = setting.linker
    names = encoder_finetuning.ConceptNames.read(
        splits.concept_names(setting.folders, linker.prefixes),
        precedents(training_mentions(setting, number)),
        linker.training.held_out,
    )
    base = weights.resolve(linker.encoder.model, setting.cache)
    depends = [
        base.sha256, linker.encoder.model_dump(mode="json"), linker.adaptation.model_dump(mode="json"),
        list(names.of_concept.items()), names.precedents,
    ]  # fmt: skip
    folder = setting.home / f"fold-{number}" / f"encoder-{artefacts.key(depends)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    encoder_finetuning.finetune(names, [], base, linker.encoder, linker.adaptation, folder)
    return Encoder.finetuned(linker.encoder, folder)


def ask(setting: Setting, number: int, encoder: Encoder, lender: Path | None) -> tuple[Index, list[Asked]]:
    """Return the index of the two other folds, and what it finds for the mentions of fold ``number``."""
    linker, training = setting.linker, training_mentions(setting, number)
    seen, known = {normalise(mention.text) for mention in training}, precedents(training)
    folder = setting.home / f"fold-{number}"
    index = Index.load(build_index(setting.indexed, linker, encoder, folder, lender, known).path)
    asked = []
    for corpus, documents in setting.documents.items():
        mentions = [m for d in documents if part(d.id, FOLDS, "f") == number for m in d.mentions if m.gold or m.is_nil]
        for m, candidates in zip(mentions, retrieve(index, encoder, mentions, linker.retrieval), strict=True):
            question = as_retrieved(m, candidates, linker.reranker.options)
            unseen = normalise(m.text) not in seen
            asked.append(Asked(corpus=corpus, question=question, candidates=candidates, unseen=unseen))
    return index, asked


def predict(setting: Setting, number: int, encoder: Encoder, lender: Path | None) -> Iterator[tuple[str, Prediction]]:
    """Yield corpus and prediction of each unseen mention of fold ``number``."""
    index, asked = ask(setting, number, encoder, lender)
    questions = [each.question for each in asked]
    logits = None if setting.base is None else letters(setting, setting.base, number, encoder, index, questions)
    for half in (0, 1):
        fits = [i for i, q in enumerate(questions) if part(q.mention.document, 2, "h") != half]
        of_fits = None if logits is None else [logits[i] for i in fits]
        fitted = fitting.fit([questions[i] for i in fits], of_fits, min_gain=setting.linker.reranker.min_gain)
        for i, each in enumerate(asked):
            if each.unseen and part(each.question.mention.document, 2, "h") == half:
                yield each.corpus, prediction(fitted, each, None if logits is None else logits[i])


def letters(
    setting: Setting, base: ResolvedModel, number: int, encoder: Encoder, index: Index, asked: Sequence[Question]
) -> "list[NDArray[np.float32]]":
    """Logits for ``asked`` by the declared model, trained on the other folds' documents, none of them held out."""
    linker, reranker = setting.linker, setting.linker.reranker
    recipe = linker.training.model_copy(update={"held_out": 0.0})

    def search(mentions: Sequence[Mention], **hidden: bool) -> list[list[Candidate]]:
        return retrieve(index, encoder, mentions, linker.retrieval, **hidden)

    names = splits.concept_names(setting.indexed, linker.prefixes)
    made = ontology_questions(names, search, training=recipe, options=reranker.options)
    for documents in setting.documents.values():
        told = [document for document in documents if part(document.id, FOLDS, "f") != number]
        made += corpus_questions(told, search, training=recipe, options=reranker.options, held_out=False)
    depends = [recipe.model_dump(), rerank.question_settings(reranker), reranker.options, linker.retrieval.model_dump()]
    key = artefacts.key([base.sha256, index.path.name, *depends])
    adapter = lora.train(made, base, recipe, reranker, index.path.parent / f"adapter-{key}").path
    model = Reranker.load(base, adapter, reranker)
    return model.logits([q.mention for q in asked], [q.candidates for q in asked])


def prediction(fitted: Calibration, asked: Asked, logits: "NDArray[np.float32] | None") -> Prediction:
    """Return the answer as the linker would give it, NIL included."""
    mention, options = asked.question.mention, asked.question.candidates
    settled = fitted.settled(mention, options)
    probabilities = fitted.probabilities(logits, mention, options) if settled is None else settled
    best = fitted.choice(probabilities)
    of_options = [*probabilities[:-1].tolist(), *[0.0] * (len(asked.candidates) - len(options))]
    return Prediction(
        document=mention.document,
        start=mention.start,
        end=mention.end,
        text=mention.text,
        gold=mention.gold,
        predicted=options[best].id if best < len(options) else None,
        probability=float(probabilities[best]),
        candidates=tuple(
            Option(id=candidate.id, score=candidate.score, probability=probability)
            for candidate, probability in zip(asked.candidates, of_options, strict=True)
        ),
    )


def first_alone(answer: Prediction) -> Prediction:
    """Return the answer of retrieval's first candidate."""
    first = answer.candidates[:1]
    return replace(answer, predicted=first[0].id if first else None, probability=2.0)  # no tie with any option


def difference(answers: Sequence[Prediction], others: Sequence[Prediction]) -> str:
    compared = metrics.paired_bootstrap(answers, others)
    return f"{100 * compared.difference:+.1f} ({100 * compared.low:+.1f} to {100 * compared.high:+.1f})"


def rows(corpus: str, encoder: str, answers: Sequence[Prediction], published: Sequence[Prediction]) -> list[str]:
    """Return the row of every mention and that of distinct ones."""
    evaluated = metrics.evaluate(answers)
    table = []
    for count, items, of_count, others in (
        ("every", answers, evaluated.metrics, published),
        (
            "distinct",
            metrics.distinct_predictions(answers),
            evaluated.distinct,
            metrics.distinct_predictions(published),
        ),
    ):
        shares = {name: f"{100 * (metric.value or 0.0):.1f}" for name, metric in of_count.items()}
        chosen, ece, coverage = (of_count[name] for name in ("accuracy_at_1", "ece", "coverage_at_precision_95"))
        cells = [corpus, encoder, count, f"{len(items):,}", shares["recall_at_1"], shares["recall_at_10"]]
        cells += [f"{shares['accuracy_at_1']} ({100 * (chosen.low or 0):.1f} to {100 * (chosen.high or 0):.1f})"]
        cells += [difference(items, [first_alone(item) for item in items])]
        cells += ["" if items is others or answers is published else difference(items, others)]
        cells += [f"{ece.value:.3f}", f"{shares['coverage_at_precision_95']}"]
        cells[-1] += f" ({100 * (coverage.low or 0):.0f} to {100 * (coverage.high or 0):.0f})"
        table.append(f"| {' | '.join(cells)} |")
    return table


def kept_concepts(
    folders: Sequence[Path], linker: LinkerConfig, mentions: Sequence[Mention], home: Path, n: int
) -> set[str]:
    """Return the ids that ``--concepts`` keeps: annotated, found by trigrams for a mention, and ``n`` at random."""
    index = Index.load(build_index(folders, linker, NoEncoder(), home / "trigrams").path)
    config = linker.retrieval.model_copy(update={"candidates": NEAR})
    found = {candidate.id for each in retrieve(index, NoEncoder(), mentions, config) for candidate in each}
    others = sorted({*splits.concept_names(folders, linker.prefixes)["concept_id"].to_pylist()} - found)
    drawn = np.random.default_rng(0).choice(len(others), min(n, len(others)), replace=False)
    return {gold for mention in mentions for gold in mention.gold} | found | {others[i] for i in drawn}


def reduced(folder: Path, kept: set[str], home: Path) -> Path:
    """Return a copy of the release in ``folder`` with the concepts in ``kept`` alone."""
    manifest = artefacts.read_manifest(folder)

    def fill(into: Path) -> dict[str, object]:
        shutil.copy(folder / release.DATABASE, into / release.DATABASE)
        with duckdb.connect(str(into / release.DATABASE)) as connection:
            connection.execute("CREATE TEMP TABLE kept AS SELECT unnest(?) AS id", [sorted(kept)])
            connection.execute("DELETE FROM name WHERE concept_id NOT IN (FROM kept)")
            connection.execute("DELETE FROM concept WHERE id NOT IN (FROM kept)")
        return {**manifest, "database_sha256": artefacts.sha256(into / release.DATABASE)}

    target = home / "reduced" / artefacts.key([manifest["database_sha256"], sorted(kept)])
    target.parent.mkdir(parents=True, exist_ok=True)
    artefacts.make(target, fill)
    return target


def prepare(home: settings.Settings, name: str, data: Path, options: argparse.Namespace) -> Setting:
    linker = declarations.load_linker(name)
    for ontology, files in FILES[name].items():
        commands.ingest_ontology(home, ontology, [data / file for file in files], None)
    folders = [folder for ontology in linker.ontologies if (folder := release.latest(home, ontology))]
    read = {c.name: splits.corpus_documents(c, folders, data) for c in linker.corpora if not c.feedback}
    folder = home.home / "folds" / name
    indexed = folders
    if options.concepts is not None:
        mentions = [mention for documents in read.values() for d in documents for mention in d.mentions]
        kept = kept_concepts(folders, linker, mentions, folder, options.concepts)
        indexed = [reduced(each, kept, folder) for each in folders]
    return Setting(
        linker=linker,
        folders=folders,
        indexed=indexed,
        documents=read,
        home=folder,
        cache=home.cache,
        base=weights.resolve(linker.reranker.model, home.cache) if options.model else None,
    )


def measure(home: settings.Settings, name: str, data: Path, options: argparse.Namespace) -> list[str]:
    setting = prepare(home, name, data, options)
    answers: dict[tuple[str, str], list[Prediction]] = {}
    for encoder in ("as published", "fine-tuned") if options.finetuned else ("as published",):
        for number in range(FOLDS):
            if encoder == "fine-tuned":
                model, lender = finetuned_encoder(setting, number), None
            else:
                model = Encoder.load(setting.linker.encoder, setting.cache)
                # An index without any annotated mention lends its vectors to those of the folds.
                lender = build_index(setting.indexed, setting.linker, model, setting.home / "names").path
            for corpus, answer in predict(setting, number, model, lender):
                answers.setdefault((corpus, encoder), []).append(answer)
    for (corpus, encoder), of_corpus in answers.items():
        write_predictions(of_corpus, setting.home / f"{corpus}-{encoder.replace(' ', '-')}.jsonl")
    return [
        row
        for corpus, encoder in sorted(answers)
        for row in rows(corpus, encoder, answers[corpus, encoder], answers[corpus, "as published"])
    ]


def main() -> None:
    parser = argument_parser(__doc__, Path(".belink/folds"))
    parser.add_argument("--finetuned", action="store_true", help="fine-tune the encoder on each fold, and compare")
    parser.add_argument("--model", action="store_true", help="train the declared language model on each fold")
    parser.add_argument("--concepts", type=int, help="concepts to keep at random, beside those that mentions need")
    chosen = parser.parse_args()
    linkers, home, data = chosen_linkers(chosen)
    table = [row for linker in linkers for row in measure(home, linker, data, chosen)]
    print("\n".join([HEAD, *table]))  # noqa: T201


if __name__ == "__main__":
    main()
