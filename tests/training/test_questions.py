from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pytest

from belink.declarations import TrainingConfig
from belink.records import Candidate, Document, Mention, Question
from belink.text.normalise import normalise
from belink.training import questions

PARTS = ("heart", "lung", "liver", "kidney", "skin", "brain", "bone", "eye", "ear", "colon", "breast", "spleen")
KINDS = (("carcinoma", "cancer"), ("inflammation", "itis"), ("failure", "insufficiency"), ("pain", "ache"))
CONCEPTS = [(f"X:{i}", part, kind) for i, (part, kind) in enumerate((p, k) for p in PARTS for k in KINDS)]


def names() -> pa.Table:
    rows = []
    for concept, part, (kind, other) in CONCEPTS:
        rows += [(concept, f"{part} {kind}", "label"), (concept, f"{kind} of the {part}", "exact")]
        rows += [(concept, f"{part} {other}", "exact"), (concept, f"disease of {part}", "broad")]
    rows += [("X:0", "Shared Name", "exact"), ("X:1", "shared name", "exact"), ("X:900", "lonely", "label")]
    rows += [("X:0", "Heart-Carcinoma", "exact")]  # the label again, as far as the index can tell
    concept, text, scope = zip(*rows, strict=True)
    return pa.table({"concept_id": list(concept), "text": list(text), "scope": list(scope)})


LABELS = {c: t for c, t, s in zip(*names().to_pydict().values(), strict=True) if s == "label"}


class Retriever:
    """Retrieval by shared words, best first, that records its queries."""

    def __init__(self, skip: str = "") -> None:
        self.asked: list[tuple[str, bool]] = []
        self.hid_precedents: list[bool] = []
        self.skip = skip  # mentions with this word do not find their concept

    def __call__(self, mentions, *, hide_own_name: bool = False, hide_precedent: bool = False):
        self.asked += [(mention.text, hide_own_name) for mention in mentions]
        self.hid_precedents.append(hide_precedent)
        return [self._one(mention, hide_own_name) for mention in mentions]

    def _one(self, mention: Mention, hide: bool) -> list[Candidate]:
        own = normalise(mention.text)
        best: dict[str, Candidate] = {}
        for concept, text, _ in zip(*names().to_pydict().values(), strict=True):
            key = normalise(text)
            if (hide and key == own) or (self.skip and self.skip in own and concept in mention.gold):
                continue
            words, asked = set(key.split()), set(own.split())
            score = len(words & asked) / len(words | asked)
            if (
                score > 0
                and score > best.get(concept, Candidate(id="", label="", name="", ontology="", release="")).score
            ):
                best[concept] = Candidate(
                    id=concept,
                    label=LABELS[concept],
                    name=text,
                    ontology="x",
                    release="1",
                    score=score,
                    exact=key == own,
                )
        return sorted(best.values(), key=lambda c: -c.score)[:20]


TRAINING = TrainingConfig(questions=60, held_out=0.2, min_options=3, seed=5)


@pytest.fixture(scope="module")
def made() -> list[Question]:
    return questions.ontology_questions(names(), Retriever(), training=TRAINING, options=6)


def test_a_synonym_plays_the_mention_and_its_concept_is_the_answer(made):
    assert len(made) == 60
    known = set(zip(*names().select(["concept_id", "text"]).to_pydict().values(), strict=True))
    for question in made:
        if question.mention.is_nil:
            continue
        right = question.candidates[question.answer]
        assert question.mention.gold == (right.id,)
        assert (right.id, question.mention.text) in known
        assert normalise(right.name) != normalise(question.mention.text), "the answer would be given away"
        assert normalise(right.label) != normalise(question.mention.text)


def test_retrieval_does_not_see_the_hidden_name():
    retriever = Retriever()
    questions.ontology_questions(names(), retriever, training=TRAINING, options=6)
    questions.held_out_questions(names(), retriever, training=TRAINING, options=6, n=10)
    assert retriever.asked
    assert all(hidden for _, hidden in retriever.asked)


def test_labels_shared_names_and_inexact_synonyms_never_play_mentions(made):
    mentions = {normalise(question.mention.text) for question in made}
    assert not mentions & {normalise(label) for label in LABELS.values()}
    assert "shared name" not in mentions
    assert not any(mention.startswith("disease of") for mention in mentions)


def test_held_out_names_are_neither_asked_nor_shown_in_training(made):
    shown = {(question.mention.gold, question.mention.text) for question in made}
    shown |= {((c.id,), c.name) for question in made for c in question.candidates}
    synonyms = {((c,), t) for c, t, s in zip(*names().to_pydict().values(), strict=True) if s == "exact"}
    held = {pair for pair in synonyms if questions.is_held_out(pair[0][0], normalise(pair[1]), TRAINING.held_out)}
    assert len(held) > 10
    assert not {pair for pair in shown & held if normalise(pair[1]) != normalise(LABELS[pair[0][0]])}


def test_held_out_questions_ask_held_out_names_only():
    asked = questions.held_out_questions(names(), Retriever(), training=TRAINING, options=6, n=1000)
    assert len(asked) > 8
    for question in asked:
        for gold in question.mention.gold:
            assert questions.is_held_out(gold, normalise(question.mention.text), TRAINING.held_out)


def test_the_declared_share_of_questions_has_no_right_option():
    training = TRAINING.model_copy(update={"questions": 80, "nil_share": 0.3, "held_out": 0.0})
    made = questions.ontology_questions(names(), Retriever(), training=training, options=6)
    nil = [question for question in made if question.mention.is_nil]
    assert 0.15 < len(nil) / len(made) < 0.45
    assert all(question.answer == len(question.candidates) and question.mention.gold == () for question in nil)
    none = training.model_copy(update={"nil_share": 0.0})
    made = questions.ontology_questions(names(), Retriever(), training=none, options=6)
    assert not any(question.mention.is_nil for question in made)


def test_options_are_shuffled(made):
    places = Counter(question.answer for question in made if not question.mention.is_nil)
    assert len(places) >= 4


def test_the_number_of_options_is_drawn_between_the_bounds(made):
    assert {len(question.candidates) for question in made} == {3, 4, 5, 6}


def test_a_missed_concept_is_put_in_for_a_share_of_the_questions(monkeypatch):
    found = {}
    training = TRAINING.model_copy(update={"nil_share": 0.0, "questions": 200, "held_out": 0.0})
    for share in (0.0, 1.0):
        monkeypatch.setattr(questions, "_INSERTED", share)
        made = questions.ontology_questions(names(), Retriever(skip="itis"), training=training, options=6)
        found[share] = [question for question in made if "itis" in question.mention.text]
    assert found[0.0] == []
    assert len(found[1.0]) == len(PARTS)
    for question in found[1.0]:
        right = question.candidates[question.answer]
        assert right.name == LABELS[right.id]
        assert right.score == min(candidate.score for candidate in question.candidates) > 0


def test_a_missed_concept_stays_missed_in_held_out_questions():
    training = TRAINING.model_copy(update={"nil_share": 0.0})
    asked = questions.held_out_questions(names(), Retriever(skip="itis"), training=training, options=6, n=1000)
    missed = [question for question in asked if "itis" in question.mention.text]
    assert missed
    for question in missed:
        assert question.missed
        assert question.answer == len(question.candidates)
        assert question.mention.gold
        assert not question.mention.is_nil
    assert any(not question.missed for question in asked)


def test_the_same_input_gives_the_same_questions_and_another_seed_gives_others(made):
    again = questions.ontology_questions(names(), Retriever(), training=TRAINING, options=6)
    assert again == made
    other = questions.ontology_questions(
        names(), Retriever(), training=TRAINING.model_copy(update={"seed": 6}), options=6
    )
    assert other != made


def test_a_new_release_is_measured_on_the_same_names():
    before = questions.held_out_questions(names(), Retriever(), training=TRAINING, options=6, n=8)
    new = pa.table({"concept_id": ["N:1"] * 2, "text": ["novel ill", "strange ache"], "scope": ["label", "exact"]})
    more = pa.concat_tables([new, names().take(list(reversed(range(names().num_rows))))])
    after = questions.held_out_questions(more, Retriever(), training=TRAINING, options=6, n=8)
    assert [question.mention.text for question in after] == [question.mention.text for question in before]


@pytest.mark.parametrize(
    ("concept", "name", "expected"),
    [("MONDO:0005148", "niddm", 0.9263), ("MONDO:0005148", "t2d", 0.5953), ("227508", "", 0.446)],
)
def test_the_hash_that_holds_out_names_never_changes(concept, name, expected):
    for share in (0.1, expected - 0.001, expected + 0.001, 0.99):
        assert questions.is_held_out(concept, name, share) == (expected < share)


def test_an_ontology_without_synonyms_gives_no_questions():
    bare = names().filter(pa.compute.field("scope") == "label")
    assert questions.ontology_questions(bare, Retriever(), training=TRAINING, options=6) == []
    assert questions.held_out_questions(bare, Retriever(), training=TRAINING, options=6, n=5) == []


def test_zero_questions_do_not_call_retrieval():
    retrieve = Retriever()
    training = TRAINING.model_copy(update={"questions": 0})
    assert questions.ontology_questions(names(), retrieve, training=training, options=6) == []
    assert retrieve.asked == []


def test_other_synonyms_play_mentions_if_there_are_no_exact_ones(monkeypatch):
    monkeypatch.setattr(questions, "_INSERTED", 1.0)
    loose = names().filter(pa.compute.field("scope") != "exact")
    training = TRAINING.model_copy(update={"held_out": 0.0, "nil_share": 0.0})
    table = loose.append_column("n", pa.array(range(loose.num_rows))).drop(["n"])
    made = questions.ontology_questions(table, Retriever(), training=training, options=6)
    assert made == [], "all of them are shared by several concepts"
    unique = pa.table({"concept_id": ["X:0"], "text": ["cardiac tumour"], "scope": ["related"]})
    made = questions.ontology_questions(
        pa.concat_tables([loose, unique]),
        Retriever(),
        training=training,
        options=6,
    )
    assert [question.mention.text for question in made] in ([], ["cardiac tumour"])


def documents() -> list[Document]:
    made = []
    for i in range(30):
        text = f"Patient {i} had heart cancer and a rare thing."
        gold = Mention(text="heart cancer", start=14, end=26, sentence=text, gold=("X:0",), document=str(i))
        nil = replace(gold, text="rare thing", gold=(), is_nil=True)
        unknown = replace(gold, text="Patient", gold=())
        made.append(Document(id=str(i), text=text, mentions=(gold, gold, nil, unknown)))
    return made


def test_a_document_is_either_trained_on_or_held_out():
    training = TRAINING.model_copy(update={"nil_share": 0.0})
    trained = questions.corpus_questions(documents(), Retriever(), training=training, options=6, held_out=False)
    measured = questions.corpus_questions(documents(), Retriever(), training=training, options=6, held_out=True)
    assert trained
    assert measured
    assert not {q.mention.document for q in trained} & {q.mention.document for q in measured}
    assert {q.mention.text for q in trained} == {"heart cancer"}, "a thing that finds nothing cannot be asked"
    assert len(measured) == 2 * len({q.mention.document for q in measured}), "repeated mentions count when measuring"
    assert len(trained) == 1, "but what means the same is trained on once, in whatever document"
    retriever = Retriever()
    questions.corpus_questions(documents(), retriever, training=training, options=6, held_out=True)
    assert not any(hidden for _, hidden in retriever.asked)


def test_a_share_of_held_out_mentions_is_also_asked_without_its_concept():
    training = TRAINING.model_copy(update={"nil_share": 0.5, "held_out": 1.0})
    asked = questions.corpus_questions(documents(), Retriever(), training=training, options=6, held_out=True)
    made_nil = [q for q in asked if q.mention.is_nil]
    assert 0.2 < len(made_nil) / len(asked) < 0.8
    assert all(q.answer == len(q.candidates) and "X:0" not in {c.id for c in q.candidates} for q in made_nil)
    assert all(q.candidates[q.answer].id == "X:0" for q in asked if not q.mention.is_nil)


def test_training_mentions_are_retrieved_without_their_precedents():
    retriever = Retriever()
    questions.corpus_questions(documents(), retriever, training=TRAINING, options=6, held_out=False)
    assert retriever.hid_precedents == [True]
    questions.corpus_questions(documents(), retriever, training=TRAINING, options=6, held_out=True)
    assert retriever.hid_precedents == [True, False]


def test_a_limit_draws_mentions_from_all_over_the_corpus():
    few = questions.corpus_questions(documents(), Retriever(), training=TRAINING, options=6, held_out=True, limit=3)
    assert len(few) <= 3


def test_of_several_gold_concepts_training_shows_one():
    both = [replace(d, mentions=(replace(d.mentions[0], gold=("X:0", "X:2")),)) for d in documents()]
    training = TRAINING.model_copy(update={"nil_share": 0.0, "held_out": 0.0})
    for question in questions.corpus_questions(both, Retriever(), training=training, options=6, held_out=False):
        assert sum(candidate.id in ("X:0", "X:2") for candidate in question.candidates) == 1
        assert question.candidates[question.answer].id == "X:0"


def test_a_found_mention_becomes_a_question_and_is_nil_without_an_annotation_of_its_span():
    text = "lung pain, heart failure and liver ache"
    annotated = (
        Mention(text="lung pain", start=0, end=9, gold=("X:7",), document="d"),
        Mention(text="failure", start=17, end=24, gold=("X:2",), document="d"),
        Mention(text="and", start=25, end=28, document="d"),
    )
    documents = [Document(id=f"d{i}", text=text, mentions=annotated) for i in range(40)]
    spans = ((0, 9), (11, 24), (25, 28), (29, 39))  # annotated, longer, annotated with no known id, not annotated

    def find(document: Document) -> Document:
        assert not document.mentions
        found = (Mention(text=text[a:b], start=a, end=b, document=document.id, is_found=True) for a, b in spans)
        return replace(document, mentions=tuple(found))

    training = TrainingConfig(held_out=0.5)
    asked = questions.found_questions(documents, find, Retriever(), training=training, options=4)
    n_held_out = sum(questions.is_held_out(document.id, "", 0.5) for document in documents)
    kinds = Counter((question.mention.text, question.mention.gold, question.mention.is_nil) for question in asked)
    assert kinds == {
        ("lung pain", ("X:7",), False): n_held_out,
        ("heart failure", (), True): n_held_out,
        ("liver ache", (), True): n_held_out,
    }
    for question in asked:
        assert question.mention.is_found and not question.made_nil
        assert (question.answer == len(question.candidates)) == question.mention.is_nil
    few = questions.found_questions(documents, find, Retriever(), training=training, options=4, limit=6)
    assert len(few) == 6
