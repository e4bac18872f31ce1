"""Ontology names and annotated corpora → set-wise questions with known answers, to train on and to measure with.

Without any labels an ontology asks its own questions: a synonym is hidden from the index and plays the mention, its
concept is the answer, and what retrieval finds beside it are the wrong options. A held-out share of names (and of
corpus documents), chosen by a stable hash, is never trained on, in any release and by any process.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from belink.records import Candidate, Document, Mention, Question
from belink.text.normalise import normalise
from belink.training.holdout import is_held_out, uniform

if TYPE_CHECKING:
    import pyarrow as pa

    from belink.declarations import TrainingConfig

_ONLY_SYNONYMS = ("exact",)  # scopes whose names mean what the concept means; others only where there are none of these
_SPARE = 3  # names drawn for each question wanted: some are ambiguous, held out or not found


class Retrieve(Protocol):
    """What questions ask of retrieval: distinct concepts for each mention, best first."""

    def __call__(
        self, mentions: Sequence[Mention], *, hide_own_name: bool = False, hide_precedent: bool = False
    ) -> list[list[Candidate]]: ...


def ontology_questions(
    names: "pa.Table", retrieve: Retrieve, *, training: "TrainingConfig", options: int, n: int | None = None
) -> list[Question]:
    """Training questions from an ontology's own names, at most ``n`` (``training.questions``), never a held-out one.

    Fewer come back where the ontology has fewer synonyms to hide. Same input and ``training.seed``, same questions.

    :param names: columns concept_id, text, scope, as ``Release.names`` gives them; several ontologies concatenated.
    :param options: concepts shown at most.
    """
    wanted = training.questions if n is None else n
    rng = np.random.default_rng(training.seed)
    drawn = _draw(names, wanted * _SPARE, training.held_out, held_out=False, rng=rng)
    made: list[Question] = []
    for chunk in _chunks(drawn, max(wanted, 256)):
        found = retrieve([item.mention for item in chunk], hide_own_name=True)
        for item, candidates in zip(chunk, found, strict=True):
            shown = [c for c in map(_without_held_out(training.held_out), candidates) if c is not None]
            question = _training_question(item, shown, training, options, rng)
            if question is not None:
                made.append(question)
            if len(made) == wanted:
                return made
    return made


def held_out_questions(
    names: "pa.Table", retrieve: Retrieve, *, training: "TrainingConfig", options: int, n: int
) -> list[Question]:
    """Questions to measure with, at most ``n``: held-out names, options in retrieval's order, nothing put in.

    What retrieval misses is answered "None of the above" and is :attr:`Question.missed`. A share ``training.nil_share``
    is asked once more with the right concept taken out (:attr:`Question.made_nil`). The same names on every call, and
    mostly the same in the next release of the ontology.
    """
    drawn = _draw(names, n, training.held_out, held_out=True, rng=None)
    found = retrieve([item.mention for item in drawn], hide_own_name=True)
    made = []
    for item, candidates in zip(drawn, found, strict=True):
        (gold,) = item.mention.gold
        made.append(as_found(item.mention, candidates, options))
        if uniform("nil", gold, normalise(item.mention.text)) < training.nil_share:
            made.append(_without_right(item.mention, candidates, options))
    return [question for question in made if question.candidates]


def corpus_questions(
    documents: Iterable[Document],
    retrieve: Retrieve,
    *,
    training: "TrainingConfig",
    options: int,
    held_out: bool,
    limit: int | None = None,
) -> list[Question]:
    """Questions from annotated mentions, at most ``limit``, those of the held-out documents or those of all others.

    Held-out ones keep retrieval's order, repeated mentions included, and a share ``training.nil_share`` is asked once
    more with the right concept taken out. Training ones are made as :func:`ontology_questions` makes them, each text
    that means the same once, in one of its sentences: a frequent mention teaches no more than a rare one. Mentions with
    neither a gold concept nor ``nil`` are passed over. Abbreviations should be spelled out before.
    """
    rng = np.random.default_rng(training.seed)
    mentions: list[Mention] = []
    for document in documents:
        if is_held_out(document.id, "", training.held_out) == held_out:
            mentions += [mention for mention in document.mentions if mention.gold or mention.nil]
    if not held_out:
        shuffled = (mentions[i] for i in rng.permutation(len(mentions)))
        mentions = list({(normalise(m.long_form or m.text), m.gold): m for m in shuffled}.values())
    if limit is not None and len(mentions) > limit:
        mentions = [mentions[i] for i in sorted(rng.permutation(len(mentions))[:limit])]
    found = retrieve(mentions, hide_precedent=not held_out)
    if held_out:
        made = []
        for mention, candidates in zip(mentions, found, strict=True):
            made.append(as_found(mention, candidates, options))
            if is_made_nil(mention, training.nil_share):
                made.append(_without_right(mention, candidates, options))
        return [question for question in made if question.candidates]
    questions = []
    for mention, candidates in zip(mentions, found, strict=True):
        question = _training_question(_Hidden(mention, None), candidates, training, options, rng)
        if question is not None:
            questions.append(question)
    return questions


def is_made_nil(mention: Mention, share: float) -> bool:
    """Whether this annotated mention is asked with its concept taken away, too; the same on every call."""
    return bool(mention.gold) and uniform("nil", mention.document, str(mention.start), mention.text) < share


@dataclass(frozen=True, slots=True)
class _Hidden:
    mention: Mention
    right: Candidate | None  # the right concept under another name than the mention, for when retrieval misses it


def _draw(names: "pa.Table", n: int, share: float, *, held_out: bool, rng: np.random.Generator | None) -> list[_Hidden]:
    """At most ``n`` synonyms that can play a mention: of one concept only, which has another name to be found by.

    Drawn at random, or without ``rng`` in the fixed order of a hash, so that a new release asks the same names again.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if n == 0:
        return []
    scopes = pc.field("scope").isin(pa.array(_ONLY_SYNONYMS))
    synonyms = names.filter(scopes)
    if synonyms.num_rows == 0:
        synonyms = names.filter(pc.field("scope") != "label")
    chosen: list[_Hidden] = []
    order = _hash_order(synonyms) if rng is None else rng.permutation(synonyms.num_rows)
    step = max(4 * n, 1000) if not held_out else max(int(4 * n / max(share, 1e-3)), 1000)
    for start in range(0, len(order), step):
        part = synonyms.take(pa.array(order[start : start + step]))
        known = names.filter(pc.is_in(names["concept_id"], pc.unique(part["concept_id"])))
        by_concept: dict[str, list[tuple[str, str]]] = {}
        for concept, text, scope in _rows(known):
            by_concept.setdefault(concept, []).append((text, scope))
        ambiguous = _ambiguous(names, part)
        for concept, text, _ in _rows(part):
            key = normalise(text)
            if is_held_out(concept, key, share) != held_out or text.lower() in ambiguous:
                continue
            right = _other_name(concept, key, by_concept[concept], share)
            if right is not None:
                chosen.append(_Hidden(Mention(text=text, end=len(text), gold=(concept,)), right))
            if len(chosen) == n:
                return chosen
    return chosen


def _rows(table: "pa.Table") -> Iterator[tuple[str, str, str]]:
    return zip(*(table[column].to_pylist() for column in ("concept_id", "text", "scope")), strict=True)


def _hash_order(synonyms: "pa.Table") -> "np.ndarray":
    keys = [uniform("order", concept, text) for concept, text, _ in _rows(synonyms)]
    return np.argsort(np.array(keys), kind="stable")


def _ambiguous(names: "pa.Table", part: "pa.Table") -> set[str]:
    """Lower-cased names of ``part`` that more than one concept bears: they have no one right answer."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lowered = pa.table({"text": pc.utf8_lower(names["text"]), "concept_id": names["concept_id"]})
    lowered = lowered.filter(pc.is_in(lowered["text"], pc.unique(pc.utf8_lower(part["text"]))))
    counted = lowered.group_by("text").aggregate([("concept_id", "count_distinct")])
    return set(counted.filter(pc.field("concept_id_count_distinct") > 1)["text"].to_pylist())


def _other_name(concept: str, hidden: str, known: list[tuple[str, str]], share: float) -> Candidate | None:
    """The concept under a name that is neither the hidden one nor held out, the label before others.

    ``None`` where there is none, or where the hidden name is the label's twin: the label stands beside every option.
    """
    label = next((text for text, scope in known if scope == "label"), "")
    if hidden in ("", normalise(label)):
        return None
    if label:
        return Candidate(id=concept, label=label, name=label, ontology="", release="", scope="label")
    for text, _ in known:
        key = normalise(text)
        if key and key != hidden and not is_held_out(concept, key, share):
            return Candidate(id=concept, label="", name=text, ontology="", release="")
    return None


def _without_held_out(share: float):  # type: ignore[no-untyped-def]
    """A function that shows a candidate by its label where the matching name is a held-out one.

    Otherwise training would show the very pair (held-out name, label) that is asked for later.
    """

    def shown(candidate: Candidate) -> Candidate | None:
        key = normalise(candidate.name)
        if key == normalise(candidate.label) or not is_held_out(candidate.id, key, share):
            return candidate
        return replace(candidate, name=candidate.label, scope="label") if candidate.label else None

    return shown


def _training_question(
    item: _Hidden, candidates: Sequence[Candidate], training: "TrainingConfig", options: int, rng: np.random.Generator
) -> Question | None:
    """``None`` where nothing can be asked: no option, or a miss that is not among those filled in."""
    mention = item.mention
    right = next((c for c in candidates if c.id in mention.gold), None)
    wrong = [c for c in candidates if c.id not in mention.gold]
    n_shown = int(rng.integers(min(training.min_options, options), options + 1))
    nil, insert = rng.random(2)
    if mention.nil or nil < training.nil_share:
        right = None
        mention = replace(mention, gold=(), nil=True)
    elif right is None:
        if item.right is None or insert >= training.inserted:
            return None
        right = _as_last(item.right, candidates)
    shown = [*([right] if right else []), *wrong[: n_shown - (right is not None)]]
    if not shown:
        return None
    if training.order == "shuffled":
        shown = [shown[i] for i in rng.permutation(len(shown))]
    else:
        shown.sort(key=lambda candidate: -candidate.score)
    answer = shown.index(right) if right else len(shown)
    return Question(mention=mention, candidates=tuple(shown), answer=answer)


def _as_last(right: Candidate, candidates: Sequence[Candidate]) -> Candidate:
    """``right`` with the evidence of the weakest candidate, as retrieval has none for it."""
    if not candidates:
        return right
    weakest = min(candidates, key=lambda candidate: candidate.score)
    return replace(right, lexical=weakest.lexical, dense=weakest.dense, score=weakest.score)


def as_found(mention: Mention, candidates: Sequence[Candidate], options: int) -> Question:
    """``mention`` with its ``options`` first candidates in retrieval's order, nothing put in."""
    shown = tuple(candidates[:options])
    answer = next((i for i, candidate in enumerate(shown) if candidate.id in mention.gold), len(shown))
    return Question(mention=mention, candidates=shown, answer=answer)


def _without_right(mention: Mention, candidates: Sequence[Candidate], options: int) -> Question:
    shown = tuple(candidate for candidate in candidates if candidate.id not in mention.gold)[:options]
    made_nil = replace(mention, gold=(), nil=True)
    return Question(mention=made_nil, candidates=shown, answer=len(shown), made_nil=True)


def _chunks(items: Sequence[_Hidden], size: int) -> Iterator[Sequence[_Hidden]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
