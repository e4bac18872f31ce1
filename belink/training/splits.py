"""Split releases and corpora into what a linker is trained on, calibrated on and evaluated on; the three are disjoint.

``questions`` holds out a share of names and documents from training. Here a stable hash divides what is held out, so
that no calibration is evaluated on what it was fitted to, in this release or in a later one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from belink import artefacts, declarations
from belink.corpora import files
from belink.declarations import CorpusConfig, EvaluationConfig, LinkerConfig
from belink.ontology import release as releases
from belink.ontology.gold_ids import migrate_gold, successors
from belink.ontology.prominence import measure_prominence
from belink.records import Candidate, Document, Mention, Question
from belink.text import abbreviations
from belink.text.caching import Recent
from belink.text.normalise import normalise
from belink.training import questions
from belink.training.holdout import is_held_out, uniform
from belink.training.latin_questions import LatinMention, latin_mentions
from belink.training.questions import Retrieve

if TYPE_CHECKING:
    import pyarrow as pa

CORRECTED = "corrected by people"  # the source of evaluation items that are corrections, and their stratum
NAMES = "names"  # the source of evaluation items that are held-out names; other items name their corpus
_LATIN_MENTIONS: Recent[list[LatinMention]] = Recent(2)
_MIN_FROM_TEXT = 500  # questions or items from annotated text; with fewer, held-out names are added


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationItem:
    """One mention that a linker is evaluated on."""

    mention: Mention  # ``gold`` or ``is_nil`` says what is right
    source: str
    hide_own_name: bool = False  # the mention is a name of the ontology, which retrieval must not see
    without: tuple[str, ...] = ()  # concepts removed from the candidates, so that the right answer is NIL


def concept_names(folders: Iterable[Path], prefixes: Sequence[str] = ()) -> "pa.Table":
    """Return every name that a linker over these releases offers, with columns concept_id, text and scope."""
    import pyarrow as pa

    tables = []
    for folder in folders:
        with releases.open_release(folder) as release:
            tables.append(release.names(prefixes=prefixes))
    return pa.concat_tables(tables)


def concept_ids(folders: Iterable[Path]) -> set[str]:
    """Return every live concept of the releases' own prefixes."""
    ids: set[str] = set()
    for folder in folders:
        with releases.open_release(folder) as release:
            ids.update(release.concepts_table()["id"].to_pylist())
    return ids


def training_questions(
    linker: LinkerConfig, folders: Sequence[Path], data: Path | None, retrieve: Retrieve
) -> list[Question]:
    """Return questions from the ontologies' names and the training corpora, without anything held out."""
    training, options = linker.training, linker.reranker.options
    made = questions.ontology_questions(
        concept_names(folders, linker.prefixes), retrieve, training=training, options=options
    )
    for corpus in linker.corpora:
        if corpus.use != "evaluate":
            documents = corpus_documents(corpus, folders, data)
            made += questions.corpus_questions(documents, retrieve, training=training, options=options, held_out=False)
    return made


def calibration_questions(
    linker: LinkerConfig,
    folders: Sequence[Path],
    data: Path | None,
    retrieve: Retrieve,
    find: "Callable[[Document], Document] | None" = None,
) -> list[Question]:
    """Return held-out questions that are not evaluated on: from text, and from names if there is too little text.

    Hidden names are unlike text: they never have an exact match, and annotators rarely write like them. Corrections are
    left out: people correct what is wrong, so probabilities fitted to that would be too low everywhere else.

    :param find: returns a document with the mentions that the linker finds in its text. They are asked as well, so that
        the fit knows false ones. ``None`` leaves them out.
    """
    training, options, config = linker.training, linker.reranker.options, linker.evaluation
    made: list[Question] = []
    for corpus in linker.corpora:
        if corpus.use == "both" and not corpus.feedback:
            made += questions.corpus_questions(
                corpus_documents(corpus, folders, data),
                retrieve,
                training=training,
                options=options,
                held_out=True,
                # Evaluation takes ``share`` of what is held out. The same number is drawn here, and what is left after
                # it calibrates.
                limit=round(config.corpus_items / config.share),
            )
            if find is not None:
                made += questions.found_questions(
                    corpus_documents(corpus, folders, data),
                    find,
                    retrieve,
                    training=training,
                    options=options,
                    limit=round(config.corpus_items / config.share),
                )
    made = [question for question in made if not _is_evaluated(question.mention, config)]
    if sum(not question.mention.is_found for question in made) < _MIN_FROM_TEXT:
        made += _questions_from_names(linker, folders, retrieve)
    return made


def _questions_from_names(linker: LinkerConfig, folders: Sequence[Path], retrieve: Retrieve) -> list[Question]:
    """Return questions made of names that are not evaluated on: hidden names, or forms of Latin ones."""
    training, options, config = linker.training, linker.reranker.options, linker.evaluation
    if linker.names == "latin":
        mentions = [
            each.mention for each in _latin_mentions(linker, folders) if not _is_evaluated(each.mention, config)
        ]
        return questions.mention_questions(mentions, retrieve, training=training, options=options)
    from_names = questions.held_out_questions(
        concept_names(folders, linker.prefixes),
        retrieve,
        training=training,
        options=options,
        n=round(config.items / config.share),
    )
    return [question for question in from_names if not _is_evaluated(question.mention, config)]


def _latin_mentions(linker: LinkerConfig, folders: Sequence[Path]) -> list[LatinMention]:
    """Return mentions made of the releases' Latin names, for calibration and evaluation together."""
    import pyarrow as pa

    n = round(linker.evaluation.items / linker.evaluation.share)

    def make() -> list[LatinMention]:
        prominence = []
        for folder in folders:
            with releases.open_release(folder) as release:
                prominence.append(measure_prominence(release, linker.prefixes))
        return latin_mentions(concept_names(folders, linker.prefixes), pa.concat_tables(prominence), n)

    # The evaluation asks of copies of the releases that the calibration has.
    content = [artefacts.read_manifest(folder).get("database_sha256") or str(folder) for folder in folders]
    return _LATIN_MENTIONS.get((*content, *linker.prefixes, n), make)


def validation_questions(
    linker: LinkerConfig, folders: Sequence[Path], data: Path | None, retrieve: Retrieve, n_trained: int
) -> list[Question]:
    """Return a few of :func:`calibration_questions`, the same on every call, to ask while an adapter is trained.

    Only their candidates are retrieved. Nothing of it is evaluated on.

    :param n_trained: training questions; a sixtieth as many are drawn, but 30 to 100.
    """

    def key(mention: Mention) -> tuple[str, int, str]:
        return mention.document, mention.start, mention.text

    mentions = {key(q.mention) for q in calibration_questions(linker, folders, data, _no_retrieval)}
    order = sorted(mentions, key=lambda of: uniform("validated", of[0], str(of[1]), of[2]))
    chosen = set(order[: min(max(n_trained // 60, 30), 100)])

    def retrieve_chosen(
        mentions: Sequence[Mention], *, hide_own_name: bool = False, hide_precedent: bool = False
    ) -> list[list[Candidate]]:
        asked = [mention for mention in mentions if key(mention) in chosen]
        found = iter(retrieve(asked, hide_own_name=hide_own_name, hide_precedent=hide_precedent))
        # A question without candidates is left out.
        return [next(found) if key(mention) in chosen else [] for mention in mentions]

    return calibration_questions(linker, folders, data, retrieve_chosen)


def held_out_mentions(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[Mention]:
    """Return the mentions of :func:`calibration_questions` that have a concept."""
    made = calibration_questions(linker, folders, data, _no_retrieval)
    return [question.mention for question in made if question.mention.gold]


def evaluation_items(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[EvaluationItem]:
    """Return what challenger and champion are both evaluated on.

    These are mentions of held-out documents, and held-out names if there are too few of those. The same releases and
    corpora give the same items; the next release gives mostly the same.
    """
    training, config = linker.training, linker.evaluation
    # Questions without a concept are made below, as items that say which candidates to remove.
    without_nil = training.model_copy(update={"nil_share": 0.0})
    items = [
        item for corpus in linker.corpora if corpus.use != "train" for item in _of_corpus(linker, corpus, folders, data)
    ]
    if len(items) >= _MIN_FROM_TEXT:
        return items
    if linker.names == "latin":
        return [item for each in _latin_mentions(linker, folders) for item in _latin_items(each, linker)] + items
    drawn = questions.held_out_questions(
        concept_names(folders, linker.prefixes),
        _no_retrieval,
        training=without_nil,
        options=1,
        n=round(config.items / config.share),
    )
    from_names = [q.mention for q in drawn if _is_evaluated(q.mention, config)]
    return [item for mention in from_names for item in _name_items(mention, training.nil_share)] + items


def _of_corpus(
    linker: LinkerConfig, corpus: CorpusConfig, folders: Sequence[Path], data: Path | None
) -> list[EvaluationItem]:
    """Return items from a corpus's held-out documents, or from all of them if it is not used for training.

    Of corrections, every held-out document is evaluated on, since none calibrates.
    """
    all_held_out, training, config = corpus.use == "evaluate", linker.training, linker.evaluation
    all_evaluate = all_held_out or corpus.feedback
    drawn = questions.corpus_questions(
        corpus_documents(corpus, folders, data),
        _no_retrieval,
        training=training.model_copy(update={"nil_share": 0.0}),
        options=1,
        held_out=True,
        limit=config.corpus_items if all_evaluate else round(config.corpus_items / config.share),
        share=1.0 if all_held_out else None,
    )
    mentions = [q.mention for q in drawn if all_evaluate or _is_evaluated(q.mention, config)]
    if corpus.feedback:
        return [EvaluationItem(mention=mention, source=CORRECTED) for mention in mentions]
    return [item for mention in mentions for item in _document_items(mention, corpus.name, training.nil_share)]


def taught_corrections(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[Document]:
    """Return the corrected sentences that the linker learns from, with gold ids of these releases."""
    return _not_held_out(linker, [corpus for corpus in linker.corpora if corpus.feedback], folders, data)


def _not_held_out(
    linker: LinkerConfig, corpora: Iterable[CorpusConfig], folders: Sequence[Path], data: Path | None
) -> list[Document]:
    return [
        document
        for corpus in corpora
        if corpus.use != "evaluate"
        for document in corpus_documents(corpus, folders, data)
        if not is_held_out(document.id, "", linker.training.held_out_documents)
    ]


def corpus_gold_ids(linker: LinkerConfig, data: Path | None) -> set[str]:
    """Return every concept id that the linker's corpora use."""
    return {
        gold
        for corpus in linker.corpora
        for document in files.read_corpus(declarations.corpus_file(corpus, data))
        for mention in document.mentions
        for gold in mention.gold
    }


def training_mentions(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[Mention]:
    """Return the annotated mentions of documents that are not held out."""
    return [m for document in training_documents(linker, folders, data) for m in document.mentions]


def training_documents(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[Document]:
    """Return the documents of the training corpora that are not held out."""
    return _not_held_out(linker, linker.corpora, folders, data)


def precedents(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[tuple[str, str]]:
    """Return (text, concept id) of each annotated mention that training may use; the index offers them as names.

    An abbreviation counts as its long form. A mention of several concepts is a name of none of them.
    """
    return _text_and_concept(training_mentions(linker, folders, data))


def corrected_precedents(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[tuple[str, str]]:
    """Return those of :func:`precedents` that people have said in corrections."""
    return _text_and_concept(m for document in taught_corrections(linker, folders, data) for m in document.mentions)


def texts_without_concept(linker: LinkerConfig, folders: Sequence[Path], data: Path | None) -> list[str]:
    """Return the texts of which people have said in corrections that no concept fits.

    A text that also has a corrected concept is left out: it depends on the sentence, which the re-ranker reads.
    """
    mentions = [m for document in taught_corrections(linker, folders, data) for m in document.mentions]
    with_concept = {_key(mention) for mention in mentions if mention.gold}
    return sorted({_key(mention) for mention in mentions if mention.is_nil} - with_concept)


def _key(mention: Mention) -> str:
    return normalise(mention.long_form or mention.text)


def _text_and_concept(mentions: Iterable[Mention]) -> list[tuple[str, str]]:
    """Return the text, or the long form that it stands for, and the id of each mention of one concept."""
    return [(mention.long_form or mention.text, mention.gold[0]) for mention in mentions if len(mention.gold) == 1]


def corpus_documents(corpus: CorpusConfig, folders: Sequence[Path], data: Path | None) -> list[Document]:
    """Return the corpus with abbreviations spelled out and gold ids migrated to these releases.

    A replaced id becomes its successors. A mention whose ids are all gone counts as unannotated.
    """
    path = declarations.corpus_file(corpus, data)
    # The modification time is part of the key, so a corpus that changes is read again.
    return list(_documents(path, path.stat().st_mtime_ns, tuple(folders)))


@lru_cache(maxsize=4)  # a refresh reads the same documents to train, to calibrate and to evaluate
def _documents(path: Path, changed: int, folders: tuple[Path, ...]) -> tuple[Document, ...]:
    documents = list(files.read_corpus(path))
    # Ids are migrated once for all documents, because each release is opened for it.
    current = successors(documents, folders)
    return tuple(
        abbreviations.expand(replace(document, mentions=tuple(migrate_gold(document.mentions, current)[0])))
        for document in documents
    )


def _document_items(mention: Mention, source: str, nil_share: float) -> list[EvaluationItem]:
    item = EvaluationItem(mention=mention, source=source)
    return [item, _without_concept(item)] if questions.is_made_nil(mention, nil_share) else [item]


def _name_items(mention: Mention, nil_share: float) -> list[EvaluationItem]:
    item = EvaluationItem(mention=mention, source=NAMES, hide_own_name=True)
    # The hash takes the name alone, so that a change of its concept's id does not change the item.
    return [item, _without_concept(item)] if uniform("nil", normalise(mention.text)) < nil_share else [item]


def _latin_items(made: LatinMention, linker: LinkerConfig) -> list[EvaluationItem]:
    """Return the items of a mention made of a Latin name, none where it calibrates."""
    if not _is_evaluated(made.mention, linker.evaluation):
        return []
    item = EvaluationItem(mention=made.mention, source=made.kind)
    is_asked_without = questions.is_made_nil(made.mention, linker.training.nil_share)
    return [item, _without_concept(item)] if is_asked_without else [item]


def _without_concept(item: EvaluationItem) -> EvaluationItem:
    """Return the same item with its concept removed."""
    return replace(item, mention=replace(item.mention, gold=(), is_nil=True), without=item.mention.gold)


def _no_retrieval(
    mentions: Sequence[Mention], *, hide_own_name: bool = False, hide_precedent: bool = False
) -> list[list[Candidate]]:
    """Stand in for retrieval if only the mentions matter; questions without candidates would be left out."""
    return [[Candidate(id="", label="", name="", ontology="", release="")] for _ in mentions]


def _is_evaluated(mention: Mention, config: EvaluationConfig) -> bool:
    """Whether a held-out mention is evaluated on; all mentions of a document are, or none.

    What is evaluated on at one share is so at every larger one.
    """
    # A salt of its own makes this draw independent of the one that held the document out.
    return uniform("examines", mention.document or normalise(mention.text)) < config.share
