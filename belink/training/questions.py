"""Make set-wise questions with known answers, for training and for measuring, from names and annotated corpora.

An ontology needs no labels: a synonym is hidden from the index and plays the mention, its concept is the answer, and
the other concepts that retrieval finds are the wrong options. A stable hash holds out a share of names and of corpus
documents, which are never trained on in any release.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from belink import progress
from belink.records import Candidate, Document, Mention, Question
from belink.text.normalise import normalise
from belink.training.holdout import is_held_out, uniform

if TYPE_CHECKING:
    import pyarrow as pa

    from belink.declarations import TrainingConfig

_SYNONYM_SCOPES = ("exact",)  # other scopes play mentions only in an ontology without exact synonyms
_SPARE = 3  # names drawn for each question needed: some are ambiguous, held out or not found
_INSERTED = 0.5  # share of the questions without the right concept that are kept, with that concept put in


class Retrieve(Protocol):
    """Retrieval as questions need it: the distinct candidates of each mention, best first."""

    def __call__(
        self, mentions: Sequence[Mention], *, hide_own_name: bool = False, hide_precedent: bool = False
    ) -> list[list[Candidate]]: ...


def ontology_questions(
    names: "pa.Table", retrieve: Retrieve, *, training: "TrainingConfig", options: int, n: int | None = None
) -> list[Question]:
    """Return training questions from an ontology's own names, without any held-out name.

    An ontology with few synonyms gives fewer than ``n``. The same input and ``training.seed`` give the same questions.

    :param names: names of all ontologies, with columns concept_id, text and scope, as ``Release.names`` gives them.
    :param options: the largest number of concepts in a question.
    :param n: the largest number of questions; ``training.questions`` by default.
    """
    n = training.questions if n is None else n
    rng = np.random.default_rng(training.seed)
    hidden_names = _draw(names, n * _SPARE, training.held_out, held_out=False, rng=rng)
    questions: list[Question] = []
    # Retrieval is the slow part. In chunks it stops as soon as there are enough questions.
    for chunk in _chunks(hidden_names, max(n, 256)):
        candidates_of = retrieve([hidden.mention for hidden in chunk], hide_own_name=True)
        for hidden, candidates in zip(chunk, candidates_of, strict=True):
            trainable = [c for c in (_without_held_out_name(c, training.held_out) for c in candidates) if c is not None]
            question = _training_question(hidden, trainable, training, options, rng)
            if question is not None:
                questions.append(question)
            if len(questions) == n:
                return questions
    return questions


def held_out_questions(
    names: "pa.Table", retrieve: Retrieve, *, training: "TrainingConfig", options: int, n: int
) -> list[Question]:
    """Return questions to measure with: at most ``n`` held-out names, with their options in retrieval's order.

    If retrieval misses the concept, the answer is "None of the above" and the question is :attr:`Question.missed`. A
    share ``training.nil_share`` is asked again without the right concept (:attr:`Question.made_nil`). The names are the
    same on every call, and mostly the same in the next release of the ontology.
    """
    hidden_names = _draw(names, n, training.held_out, held_out=True, rng=None)
    candidates_of = retrieve([hidden.mention for hidden in hidden_names], hide_own_name=True)
    questions = []
    for hidden, candidates in zip(hidden_names, candidates_of, strict=True):
        (gold,) = hidden.mention.gold
        questions.append(as_retrieved(hidden.mention, candidates, options))
        # A hash rather than a generator decides, so that the next release asks the same names again.
        if uniform("nil", gold, normalise(hidden.mention.text)) < training.nil_share:
            questions.append(_without_gold(hidden.mention, candidates, options))
    return [question for question in questions if question.candidates]


def corpus_questions(
    documents: Iterable[Document],
    retrieve: Retrieve,
    *,
    training: "TrainingConfig",
    options: int,
    held_out: bool,
    limit: int | None = None,
    share: float | None = None,
) -> list[Question]:
    """Return questions from annotated mentions, of the held-out documents or of all others.

    Held-out questions keep retrieval's order and repeated mentions; a share ``training.nil_share`` is asked again
    without the right concept. Training questions are made as in :func:`ontology_questions`, and each pair of text and
    gold is asked once, in one of its sentences: a frequent mention teaches no more than a rare one. Mentions without
    annotation are left out.

    :param documents: with abbreviations already spelled out.
    :param options: the largest number of concepts in a question.
    :param limit: the largest number of mentions; they are drawn from all over the corpus.
    :param share: of documents that are held out, 0 to 1; ``None`` takes ``training.held_out_documents``.
    """
    share = training.held_out_documents if share is None else share
    rng = np.random.default_rng(training.seed)
    mentions: list[Mention] = []
    for document in documents:
        if is_held_out(document.id, "", share) == held_out:
            mentions += [mention for mention in document.mentions if mention.gold or mention.is_nil]
    if not held_out:
        shuffled = (mentions[i] for i in rng.permutation(len(mentions)))
        # The dictionary keeps the last of several, which after shuffling is a random one.
        mentions = list({(normalise(m.long_form or m.text), m.gold): m for m in shuffled}.values())
    if limit is not None and len(mentions) > limit:
        mentions = [mentions[i] for i in sorted(rng.permutation(len(mentions))[:limit])]
    # The index holds training mentions as names of their concepts, so each would otherwise find itself.
    candidates_of = retrieve(mentions, hide_precedent=not held_out)
    if held_out:
        return _as_retrieved_and_without(mentions, candidates_of, training, options)
    made = [
        _training_question(_HiddenName(mention, None), candidates, training, options, rng)
        for mention, candidates in zip(mentions, candidates_of, strict=True)
    ]
    return [question for question in made if question is not None]


def mention_questions(
    mentions: Sequence[Mention], retrieve: Retrieve, *, training: "TrainingConfig", options: int
) -> list[Question]:
    """Return questions to measure with, of ``mentions`` whose gold is known, with their options in retrieval's order.

    A share ``training.nil_share`` is asked again without the right concept.
    """
    return _as_retrieved_and_without(mentions, retrieve(mentions), training, options)


def _as_retrieved_and_without(
    mentions: Sequence[Mention], candidates_of: Sequence[Sequence[Candidate]], training: "TrainingConfig", options: int
) -> list[Question]:
    questions = []
    for mention, candidates in zip(mentions, candidates_of, strict=True):
        questions.append(as_retrieved(mention, candidates, options))
        if is_made_nil(mention, training.nil_share):
            questions.append(_without_gold(mention, candidates, options))
    return [question for question in questions if question.candidates]


def found_questions(
    documents: Iterable[Document],
    find: "Callable[[Document], Document]",
    retrieve: Retrieve,
    *,
    training: "TrainingConfig",
    options: int,
    limit: int | None = None,
) -> list[Question]:
    """Return questions from what a name finder finds in held-out documents, as raw text is linked.

    A found mention that is annotated has the gold of its annotation. Any other has no concept, though it may overlap an
    annotation: a link of a longer or a shorter span is wrong, and its probability has to say so. Mentions that are
    annotated with an id that no release knows are left out.

    :param find: returns a document with the mentions that are found in its text.
    :param options: the largest number of concepts in a question.
    :param limit: the largest number of mentions; they are drawn from all over the corpus.
    """
    mentions: list[Mention] = []
    held_out = [document for document in documents if is_held_out(document.id, "", training.held_out_documents)]
    for document in progress.track(held_out, what="finding mentions", unit="documents"):
        annotated = {(mention.start, mention.end): mention for mention in document.mentions}
        judged = document.judged_spans
        for mention in find(replace(document, mentions=())).mentions:
            if judged is not None and (mention.start, mention.end) not in judged:
                continue
            gold = annotated.get((mention.start, mention.end))
            if gold is None:
                mentions.append(replace(mention, is_nil=True))
            elif gold.gold or gold.is_nil:
                mentions.append(replace(mention, gold=gold.gold, is_nil=gold.is_nil))
    if limit is not None and len(mentions) > limit:
        drawn = np.random.default_rng(training.seed).permutation(len(mentions))[:limit]
        mentions = [mentions[i] for i in sorted(drawn)]
    questions = [as_retrieved(m, c, options) for m, c in zip(mentions, retrieve(mentions), strict=True)]
    return [question for question in questions if question.candidates]


def is_made_nil(mention: Mention, share: float) -> bool:
    """Whether this annotated mention is also asked without its concept; the same on every call."""
    return bool(mention.gold) and uniform("nil", mention.document, str(mention.start), mention.text) < share


@dataclass(frozen=True, slots=True)
class _HiddenName:
    """A name that plays a mention."""

    mention: Mention
    right: Candidate | None  # the concept under another of its names, to put in when retrieval misses it


def _draw(
    names: "pa.Table", n: int, share: float, *, held_out: bool, rng: np.random.Generator | None
) -> list[_HiddenName]:
    """Return at most ``n`` synonyms that can play a mention: of one concept, which has another name to be found by.

    :param share: the held-out share of names, 0 to 1.
    :param rng: draws at random; ``None`` takes the fixed order of a hash, so that a new release asks the same names.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if n == 0:
        return []
    synonyms = names.filter(pc.field("scope").isin(pa.array(_SYNONYM_SCOPES)))
    if synonyms.num_rows == 0:
        synonyms = names.filter(pc.field("scope") != "label")
    hidden_names: list[_HiddenName] = []
    order = _hash_order(synonyms) if rng is None else rng.permutation(synonyms.num_rows)
    # One name in 1 / share is held out, so that many more are looked at to find ``n``.
    step = max(4 * n, 1000) if not held_out else max(int(4 * n / max(share, 1e-3)), 1000)
    for start in range(0, len(order), step):
        part = synonyms.take(pa.array(order[start : start + step]))
        of_part = names.filter(pc.is_in(names["concept_id"], pc.unique(part["concept_id"])))
        by_concept: dict[str, list[tuple[str, str]]] = {}
        for concept, text, scope in _rows(of_part):
            by_concept.setdefault(concept, []).append((text, scope))
        ambiguous = _ambiguous(names, part)
        for concept, text, _ in _rows(part):
            key = normalise(text)
            if is_held_out(concept, key, share) != held_out or text.lower() in ambiguous:
                continue
            right = _other_name(concept, key, by_concept[concept], share)
            if right is not None:
                hidden_names.append(_HiddenName(Mention(text=text, end=len(text), gold=(concept,)), right))
            if len(hidden_names) == n:
                return hidden_names
    return hidden_names


def _rows(table: "pa.Table") -> Iterator[tuple[str, str, str]]:
    return zip(*(table[column].to_pylist() for column in ("concept_id", "text", "scope")), strict=True)


def _hash_order(synonyms: "pa.Table") -> "np.ndarray":
    keys = [uniform("order", concept, text) for concept, text, _ in _rows(synonyms)]
    return np.argsort(np.array(keys), kind="stable")


def _ambiguous(names: "pa.Table", part: "pa.Table") -> set[str]:
    """Return the lower-cased names of ``part`` that several concepts have, so that no single answer is right."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # Arrow lower-cases millions of names at once. ``normalise`` would take a Python call for each.
    lowered = pa.table({"text": pc.utf8_lower(names["text"]), "concept_id": names["concept_id"]})
    lowered = lowered.filter(pc.is_in(lowered["text"], pc.unique(pc.utf8_lower(part["text"]))))
    counts = lowered.group_by("text").aggregate([("concept_id", "count_distinct")])
    return set(counts.filter(pc.field("concept_id_count_distinct") > 1)["text"].to_pylist())


def _other_name(concept: str, hidden: str, names: list[tuple[str, str]], share: float) -> Candidate | None:
    """Return the concept under a name that is neither hidden nor held out, preferably its label.

    ``None`` if it has no such name, or if the hidden name normalises to the label: every option shows its label, so
    the answer would be given away.

    :param names: (text, scope) of the concept's names.
    """
    label = next((text for text, scope in names if scope == "label"), "")
    if hidden in ("", normalise(label)):
        return None
    # The label is never held out: every option shows it anyway.
    if label:
        return Candidate(id=concept, label=label, name=label, ontology="", release="", scope="label")
    for text, _ in names:
        key = normalise(text)
        if key and key != hidden and not is_held_out(concept, key, share):
            return Candidate(id=concept, label="", name=text, ontology="", release="")
    return None


def _without_held_out_name(candidate: Candidate, share: float) -> Candidate | None:
    """Return a candidate by its label if the name that matched is held out; ``None`` if it has no label.

    Otherwise training would show the very pair of held-out name and label that is asked for later.
    """
    key = normalise(candidate.name)
    if key == normalise(candidate.label) or not is_held_out(candidate.id, key, share):
        return candidate
    return replace(candidate, name=candidate.label, scope="label") if candidate.label else None


def _training_question(
    hidden: _HiddenName,
    candidates: Sequence[Candidate],
    training: "TrainingConfig",
    options: int,
    rng: np.random.Generator,
) -> Question | None:
    """Return a question with shuffled options; ``None`` without options, or if the missed concept is not put in."""
    mention = hidden.mention
    right = next((c for c in candidates if c.id in mention.gold), None)
    wrong = [c for c in candidates if c.id not in mention.gold]
    # Retrieval finds fewer concepts for some mentions, so training shows lists of different lengths.
    n_shown = int(rng.integers(min(training.min_options, options), options + 1))
    # Both numbers are always drawn, so that what becomes of one question does not change those after it.
    nil, insert = rng.random(2)
    if mention.is_nil or nil < training.nil_share:
        right = None
        mention = replace(mention, gold=(), is_nil=True)
    elif right is None:
        if hidden.right is None or insert >= _INSERTED:
            return None
        right = _with_weakest_features(hidden.right, candidates)
    shown = [*([right] if right else []), *wrong[: n_shown - (right is not None)]]
    if not shown:
        return None
    # Small models prefer places; a right option that is always first would teach them that place.
    shown = [shown[i] for i in rng.permutation(len(shown))]
    answer = shown.index(right) if right else len(shown)
    return Question(mention=mention, candidates=tuple(shown), answer=answer)


def _with_weakest_features(right: Candidate, candidates: Sequence[Candidate]) -> Candidate:
    """Return ``right`` with the scores of the weakest candidate, since retrieval has none for it."""
    if not candidates:
        return right
    weakest = min(candidates, key=lambda candidate: candidate.score)
    return replace(right, lexical=weakest.lexical, dense=weakest.dense, score=weakest.score)


def as_retrieved(mention: Mention, candidates: Sequence[Candidate], options: int) -> Question:
    """Return a question with the first ``options`` candidates, in retrieval's order."""
    shown = tuple(candidates[:options])
    answer = next((i for i, candidate in enumerate(shown) if candidate.id in mention.gold), len(shown))
    return Question(mention=mention, candidates=shown, answer=answer)


def _without_gold(mention: Mention, candidates: Sequence[Candidate], options: int) -> Question:
    """Return the question whose gold concepts are not among the options, so that NIL is right."""
    shown = tuple(candidate for candidate in candidates if candidate.id not in mention.gold)[:options]
    made_nil = replace(mention, gold=(), is_nil=True)
    return Question(mention=made_nil, candidates=shown, answer=len(shown), made_nil=True)


def _chunks(items: Sequence[_HiddenName], size: int) -> Iterator[Sequence[_HiddenName]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
