"""Accuracy of a linker on unseen mentions, cross-validated over the documents of its corpora.

    BELINK_DATA=… python tests/benchmarks/bench_folds.py [--home FOLDER] [--model] [disease] [chemical]

A hash deals the documents into three folds. The index holds the annotated mentions of two of them. Of the third, one
half fits the probabilities and the other half is evaluated, then the other way round. A mention is unseen if no
document of the two folds has its text. The encoder is the declared one, without fine-tuning. Without ``--model`` no
language model is asked, so that a run takes minutes once the names are encoded (on two cores 5 min for disease, 40 for
chemical). With it the declared model is trained on the two folds and asked where the cascade asks it, half an hour a
fold or more. Prints one Markdown row a corpus: unseen mentions, then distinct texts of a document, each with the gain
over retrieval's first candidate; then, of all mentions, the share that the model is asked about and the share right.
Intervals are 95 %, by document.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bench_accuracy import FILES, argument_parser, chosen_linkers

from belink import artefacts, declarations, settings, weights
from belink.cli import commands
from belink.declarations import LinkerConfig
from belink.linker import calibration, fitting
from belink.linker import reranker as rerank
from belink.linker.calibration_error import expected_calibration_error
from belink.linker.reranker import Reranker
from belink.ontology import release
from belink.records import Candidate, Document, Mention, Question
from belink.retrieval.encoder import Encoder
from belink.retrieval.index import Index, build_index
from belink.retrieval.retrieve import retrieve
from belink.text.normalise import normalise
from belink.training import lora, splits
from belink.training.questions import as_retrieved, corpus_questions, ontology_questions
from belink.weights import ResolvedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 3
HEAD = (
    "| corpus | unseen | first | among the options | chosen | over first | distinct | first | chosen | over first "
    "| calibration error | asked | all, chosen |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One mention, answered by weights that its document did not help to fit."""

    corpus: str
    document: str
    text: str
    unseen: bool
    first: bool  # retrieval's first candidate is right
    offered: bool  # the concept is among the options
    right: bool
    probability: float
    asked: bool  # the language model was


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all folds of a linker share."""

    linker: LinkerConfig
    folders: Sequence[Path]
    encoder: Encoder
    read: dict[str, list[Document]]
    home: Path
    names: Path  # an index without any annotated mention, which lends its vectors
    base: ResolvedModel | None  # None: no language model is asked


def part(document: str, of: int, salt: str) -> int:
    digest = blake2b(f"{salt}{document}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % of


def fold(of: Setting, number: int) -> list[Answered]:
    linker = of.linker
    training = [m for told in of.read.values() for d in told if part(d.id, FOLDS, "f") != number for m in d.mentions]
    seen = {normalise(mention.text) for mention in training}
    known = [(mention.long_form or mention.text, mention.gold[0]) for mention in training if len(mention.gold) == 1]
    index = Index.load(build_index(of.folders, linker, of.encoder, of.home / f"fold-{number}", of.names, known).path)
    asked: list[tuple[str, Question]] = []
    for corpus, documents in of.read.items():
        told = [m for d in documents if part(d.id, FOLDS, "f") == number for m in d.mentions if m.gold]
        found = retrieve(index, of.encoder, told, linker.retrieval)
        asked += [(corpus, as_retrieved(m, c, linker.reranker.options)) for m, c in zip(told, found, strict=True)]
    logits = None if of.base is None else letters(of, of.base, number, index, [q for _, q in asked])
    answered = []
    for half in (0, 1):
        fits = [i for i, (_, q) in enumerate(asked) if part(q.mention.document, 2, "h") != half]
        of_fits = None if logits is None else [logits[i] for i in fits]
        fitted = fitting.fit([asked[i][1] for i in fits], of_fits, min_gain=linker.reranker.min_gain)
        for i, (corpus, q) in enumerate(asked):
            if part(q.mention.document, 2, "h") == half:
                unseen = normalise(q.mention.text) not in seen
                answered.append(answer(fitted, corpus, q, None if logits is None else logits[i], unseen))
    return answered


def letters(
    of: Setting, base: ResolvedModel, number: int, index: Index, asked: Sequence[Question]
) -> "list[NDArray[np.float32]]":
    """Logits for ``asked`` by the declared model, trained on the other folds' documents, none of them held out."""
    linker, reranker = of.linker, of.linker.reranker
    recipe = linker.training.model_copy(update={"held_out": 0.0})

    def ask(mentions: Sequence[Mention], **hidden: bool) -> list[list[Candidate]]:
        return retrieve(index, of.encoder, mentions, linker.retrieval, **hidden)

    names = splits.concept_names(of.folders, linker.prefixes)
    made = ontology_questions(names, ask, training=recipe, options=reranker.options)
    for documents in of.read.values():
        told = [document for document in documents if part(document.id, FOLDS, "f") != number]
        made += corpus_questions(told, ask, training=recipe, options=reranker.options, held_out=False)
    depends = [recipe.model_dump(), rerank.question_settings(reranker), reranker.options, linker.retrieval.model_dump()]
    key = artefacts.key([base.sha256, index.path.name, *depends])
    adapter = lora.train(made, base, recipe, reranker, index.path.parent / f"adapter-{key}").path
    model = Reranker.load(base, adapter, reranker)
    return model.logits([q.mention for q in asked], [q.candidates for q in asked])


def answer(
    fitted: calibration.Calibration, corpus: str, q: Question, logits: "NDArray[np.float32] | None", unseen: bool
) -> Answered:
    settled = fitted.settled(q.mention, q.candidates)
    found = fitted.probabilities(logits, q.mention, q.candidates) if settled is None else settled
    probabilities = found[:-1]
    best = int(probabilities.argmax()) if len(probabilities) else -1
    return Answered(
        corpus=corpus,
        document=q.mention.document,
        text=normalise(q.mention.text),
        unseen=unseen,
        first=bool(q.candidates) and q.answer == 0,
        offered=q.answer < len(q.candidates),
        right=best == q.answer,
        probability=float(probabilities.max(initial=0.0)),
        asked=settled is None,
    )


def share(items: Sequence[Answered], of: str) -> str:
    return f"{100 * np.mean([getattr(item, of) for item in items]):.1f}"


def gain(items: Sequence[Answered]) -> str:
    """Points that the choice gains over retrieval's first, with its interval."""
    documents = {item.document: i for i, item in enumerate({item.document: item for item in items}.values())}
    which = [documents[item.document] for item in items]
    n = np.bincount(which)
    won = np.bincount(which, [item.right - item.first for item in items])
    drawn = np.random.default_rng(0).multinomial(len(n), np.full(len(n), 1 / len(n)), size=2000)
    low, high = np.percentile(100 * (drawn @ won) / (drawn @ n), [2.5, 97.5])
    return f"{100 * won.sum() / n.sum():+.1f} ({low:+.1f} to {high:+.1f})"


def row(corpus: str, answered: Sequence[Answered]) -> str:
    items = [item for item in answered if item.unseen]
    distinct = list({(item.document, item.text): item for item in items}.values())
    error = expected_calibration_error([i.probability for i in items], [i.right for i in items])
    cells = [corpus, f"{len(items):,}", share(items, "first"), share(items, "offered"), share(items, "right")]
    cells += [gain(items), f"{len(distinct):,}", share(distinct, "first"), share(distinct, "right"), gain(distinct)]
    cells += [f"{error:.3f}", f"{share(answered, 'asked')} %", share(answered, "right")]
    return f"| {' | '.join(cells)} |"


def measure(home: settings.Settings, name: str, data: Path, *, model: bool) -> list[str]:
    linker = declarations.load_linker(name)
    for ontology, files in FILES[name].items():
        commands.ingest_ontology(home, ontology, [data / file for file in files], None)
    folders = [folder for ontology in linker.ontologies if (folder := release.latest(home, ontology))]
    encoder = Encoder.load(linker.encoder, home.cache)
    folder = home.home / "folds" / name
    setting = Setting(
        linker=linker,
        folders=folders,
        encoder=encoder,
        read={
            corpus.name: splits.corpus_documents(corpus, folders, data)
            for corpus in linker.corpora
            if not corpus.feedback
        },
        home=folder,
        names=build_index(folders, linker, encoder, folder / "names").path,
        base=weights.resolve(linker.reranker.model, home.cache) if model else None,
    )
    items = [item for number in range(FOLDS) for item in fold(setting, number)]
    return [row(corpus, [item for item in items if item.corpus == corpus]) for corpus in setting.read]


def main() -> None:
    parser = argument_parser(__doc__, Path(".belink/folds"))
    parser.add_argument(
        "--model", action="store_true", help="train the declared language model on each fold, and ask it"
    )
    chosen = parser.parse_args()
    linkers, home, data = chosen_linkers(chosen)
    rows = [row for linker in linkers for row in measure(home, linker, data, model=chosen.model)]
    print("\n".join([HEAD, *rows]))  # noqa: T201


if __name__ == "__main__":
    main()
