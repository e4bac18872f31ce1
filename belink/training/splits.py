"""Releases and corpora → what a linker is trained on, calibrated on and examined by: three sets that share nothing.

``questions`` keeps a share of names and documents from training; here a stable hash divides what is kept, so that no
calibration is judged by what it was fitted to, in this release or in a later one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from belink import declarations
from belink.corpora import files
from belink.declarations import CorpusConfig, EvaluationConfig, LinkerConfig
from belink.ontology import release as releases
from belink.ontology.gold_ids import migrate_gold, successors
from belink.records import Candidate, Document, Mention, Question
from belink.text import abbreviations
from belink.text.normalise import normalise
from belink.training import questions
from belink.training.holdout import is_held_out, uniform
from belink.training.questions import Retrieve

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = "names"  # what exam items that are held-out names come from; others name their corpus
_ENOUGH = 500  # questions, or exam items, from annotated text; with fewer, names are asked besides


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationItem:
    """One mention that a linker is examined by."""

    mention: Mention  # ``gold`` or ``nil`` says what is right
    source: str
    hide_own_name: bool = False  # the linker must not find the mention's text as a name: it is one
    without: tuple[str, ...] = ()  # concepts taken away, so that the right answer is NIL


def concept_names(folders: Iterable[Path], prefixes: Sequence[str] = ()) -> "pa.Table":
    """Columns concept_id, text, scope: every name that a linker over these releases offers."""
    import pyarrow as pa

    tables = []
    for folder in folders:
        with releases.open_release(folder) as release:
            tables.append(release.names(prefixes=prefixes))
    return pa.concat_tables(tables)


def concept_ids(folders: Iterable[Path]) -> set[str]:
    """Every live concept of the releases' own prefixes."""
    ids: set[str] = set()
    for folder in folders:
        with releases.open_release(folder) as release:
            ids.update(release.concepts_table()["id"].to_pylist())
    return ids


def training_questions(
    linker: LinkerConfig, folders: Sequence[Path], data: Path | None, retrieve: Retrieve
) -> list[Question]:
    """Questions from the ontologies' names and from the corpora that train, never a held-out one."""
    training, options = linker.training, linker.reranker.options
    asked = questions.ontology_questions(
        concept_names(folders, linker.prefixes), retrieve, training=training, options=options
    )
    for corpus in linker.corpora:
        if corpus.use != "evaluate":
            read = corpus_documents(corpus, folders, data)
            asked += questions.corpus_questions(read, retrieve, training=training, options=options, held_out=False)
    return asked


def calibration_questions(
    linker: LinkerConfig, folders: Sequence[Path], data: Path | None, retrieve: Retrieve
) -> list[Question]:
    """Held-out questions that nothing is examined by: what authors wrote, and names where there is too little of it.

    Hidden names are asked unlike text is: never with an exact match, and rarely as annotators would.
    """
    training, options, wanted = linker.training, linker.reranker.options, linker.evaluation
    asked: list[Question] = []
    for corpus in linker.corpora:
        if corpus.use == "both":
            asked += questions.corpus_questions(
                corpus_documents(corpus, folders, data),
                retrieve,
                training=training,
                options=options,
                held_out=True,
                limit=round(wanted.corpus_items / wanted.share),
            )
    asked = [question for question in asked if not _examines(question.mention, wanted)]
    if len(asked) < _ENOUGH:
        drawn = round(wanted.items / wanted.share)
        of_names = questions.held_out_questions(
            concept_names(folders, linker.prefixes), retrieve, training=training, options=options, n=drawn
        )
        asked += [question for question in of_names if not _examines(question.mention, wanted)]
    return asked


def held_out_mentions(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[Mention]:
    """The mentions of :func:`calibration_questions` that have a concept."""
    asked = calibration_questions(linker, folders, data, _anything)
    return [question.mention for question in asked if question.mention.gold]


def evaluation_items(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[EvaluationItem]:
    """What challenger and champion are both measured on: mentions of held-out documents, and held-out names where
    there are too few of those.

    The same for the same releases and corpora; mostly the same in the next release.
    """
    training, wanted = linker.training, linker.evaluation
    every = training.model_copy(update={"nil_share": 0.0})
    items = [
        item for corpus in linker.corpora if corpus.use != "train" for item in _of_corpus(linker, corpus, folders, data)
    ]
    if len(items) >= _ENOUGH:
        return items
    drawn = questions.held_out_questions(
        concept_names(folders, linker.prefixes),
        _anything,
        training=every,
        options=1,
        n=round(wanted.items / wanted.share),
    )
    of_names = [q.mention for q in drawn if _examines(q.mention, wanted)]
    return [item for mention in of_names for item in _name_items(mention, training.nil_share)] + items


def _of_corpus(
    linker: LinkerConfig, corpus: CorpusConfig, folders: Sequence[Path], data: Path | None
) -> list[EvaluationItem]:
    """The mentions of a corpus's held-out documents; of all documents, where it only evaluates."""
    all_held_out, training, wanted = corpus.use == "evaluate", linker.training, linker.evaluation
    asked = training.model_copy(update={"nil_share": 0.0, **({"held_out": 1.0} if all_held_out else {})})
    drawn = questions.corpus_questions(
        corpus_documents(corpus, folders, data),
        _anything,
        training=asked,
        options=1,
        held_out=True,
        limit=wanted.corpus_items if all_held_out else round(wanted.corpus_items / wanted.share),
    )
    asked_of = [q.mention for q in drawn if all_held_out or _examines(q.mention, wanted)]
    return [item for mention in asked_of for item in _document_items(mention, corpus.name, training.nil_share)]


def corpus_gold_ids(linker: LinkerConfig, data: Path | None) -> set[str]:
    """Every concept id that the linker's corpora use."""
    return {
        gold
        for corpus in linker.corpora
        for document in files.read_corpus(declarations.corpus_file(corpus, data))
        for mention in document.mentions
        for gold in mention.gold
    }


def training_mentions(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[Mention]:
    """The annotated mentions that training may use: those of documents that are not held out."""
    return [m for document in training_documents(linker, folders, data) for m in document.mentions]


def training_documents(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[Document]:
    """The annotated documents that training may use: those that are not held out."""
    return [
        document
        for corpus in linker.corpora
        if corpus.use != "evaluate"
        for document in corpus_documents(corpus, folders, data)
        if not is_held_out(document.id, "", linker.training.held_out)
    ]


def precedents(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[tuple[str, str]]:
    """Text and concept id of the annotated mentions that training may use, one a mention; for the index.

    An abbreviation counts as what it stands for; a mention of several concepts names none of them.
    """
    mentions = training_mentions(linker, folders, data)
    return [(mention.long_form or mention.text, mention.gold[0]) for mention in mentions if len(mention.gold) == 1]


def corpus_documents(corpus: CorpusConfig, folders: Sequence[Path], data: Path | None) -> list[Document]:
    """The corpus, its abbreviations spelled out and its gold ids brought to these releases.

    An id that a release replaced becomes its successors; a mention none of whose ids is left counts as unannotated.
    """
    path = declarations.corpus_file(corpus, data)
    return list(_documents(path, path.stat().st_mtime_ns, tuple(folders)))


@lru_cache(maxsize=4)  # a refresh asks for the same documents when it trains, calibrates and examines
def _documents(path: Path, changed: int, folders: tuple[Path, ...]) -> tuple[Document, ...]:
    read = list(files.read_corpus(path))
    current = successors(read, folders)
    return tuple(
        abbreviations.expand(replace(document, mentions=tuple(migrate_gold(document.mentions, current)[0])))
        for document in read
    )


def _document_items(mention: Mention, source: str, nil_share: float) -> list[EvaluationItem]:
    item = EvaluationItem(mention=mention, source=source)
    return [item, _taken(item)] if questions.is_made_nil(mention, nil_share) else [item]


def _name_items(mention: Mention, nil_share: float) -> list[EvaluationItem]:
    item = EvaluationItem(mention=mention, source=NAMES, hide_own_name=True)
    return [item, _taken(item)] if uniform("nil", normalise(mention.text)) < nil_share else [item]


def _taken(item: EvaluationItem) -> EvaluationItem:
    """The same question with its concept taken away."""
    return replace(item, mention=replace(item.mention, gold=(), nil=True), without=item.mention.gold)


def _anything(
    mentions: Sequence[Mention], *, hide_own_name: bool = False, hide_precedent: bool = False
) -> list[list[Candidate]]:
    """In place of retrieval where only the mentions are wanted: questions without candidates are left out."""
    return [[Candidate(id="", label="", name="", ontology="", release="")] for _ in mentions]


def _examines(mention: Mention, wanted: EvaluationConfig) -> bool:
    """Which part of what is held out: a document as a whole, a name wherever it stands.

    What examines at one share does so at any larger one.
    """
    return uniform("examines", mention.document or normalise(mention.text)) < wanted.share
