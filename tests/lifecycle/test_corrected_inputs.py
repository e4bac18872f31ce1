"""A refresh depends on the corrections in force: on none, it is the same as without the declaration."""

from pathlib import Path

import pytest

from belink import artefacts
from belink.corpora import feedback
from belink.corpora.feedback import make_correction
from belink.declarations import CorpusConfig, LinkerConfig
from belink.errors import DeclarationError
from belink.evaluation.gates import check_linker_gates
from belink.evaluation.metrics import evaluate
from belink.evaluation.predictions import Prediction
from belink.lifecycle import refresh, retrain
from belink.linker.name_finder import learn
from belink.records import Document, JudgedSpan, Mention, Verdict
from belink.settings import Settings
from belink.text.normalise import normalise
from belink.training import splits
from belink.training.holdout import is_held_out
from tests.support import small
from tests.support.made_releases import concept, release

FEEDBACK = "[[corpora]]\nfeedback = true\n"


def inputs(here: Settings, toml: Path) -> object:
    return refresh.inputs(refresh.start(here, str(toml)), dict.fromkeys([small.ONTOLOGY], "0"))


def test_no_correction_changes_no_key_and_a_new_one_does(
    here: Settings, tmp_path: Path, models: dict[str, str]
) -> None:
    plain = inputs(here, small.linker(tmp_path, models))
    toml = small.linker(tmp_path, models, more=FEEDBACK)
    assert inputs(here, toml) == plain
    correction = make_correction("A fever.", 2, 7, "other", "anna", concept="MONDO:0000001")
    feedback.append(here, "small", [correction])
    one = inputs(here, toml)
    assert one != plain
    assert inputs(here, toml) == one
    disagreeing = make_correction("A fever.", 2, 7, "nil", "ben")
    feedback.append(here, "small", [disagreeing])
    assert inputs(here, toml) == plain
    feedback.withdraw(here, "small", disagreeing.id, "ben")
    assert inputs(here, toml) == one
    feedback.withdraw(here, "small", correction.id, "anna")
    assert inputs(here, toml) == plain


def test_a_feedback_corpus_takes_no_file(here: Settings, tmp_path: Path, models: dict[str, str]) -> None:
    toml = small.linker(tmp_path, models, more=f'{FEEDBACK}file = "x.jsonl"\n')
    with pytest.raises(DeclarationError, match="expected none beside feedback = true"):
        refresh.start(here, str(toml))


def test_corrections_teach_measure_and_follow_the_release(
    here: Settings, tmp_path: Path, models: dict[str, str]
) -> None:
    folder = release(tmp_path / "1", concept(2, "fever", alt_ids=("X:1",)))
    texts = [f"Note {n} had a fever." for n in range(40)]
    feedback.append(
        here,
        "small",
        [make_correction(t, t.index("fever"), len(t) - 1, "other", "anna", concept="X:1") for t in texts],
    )
    run = refresh.start(here, str(small.linker(tmp_path, models, more=FEEDBACK)))
    (corpus,) = [corpus for corpus in run.linker.corpora if corpus.feedback]
    linker = run.linker.model_copy(update={"corpora": (corpus,)})
    taught = splits.taught_corrections(linker, [folder], None)
    items = [item for item in splits.evaluation_items(linker, [folder], None) if item.source == splits.CORRECTED]
    assert {m.gold for document in taught for m in document.mentions} == {("X:2",)}
    assert {item.mention.gold for item in items} == {("X:2",)}
    # Every correction has one use: it teaches or it measures.
    assert sorted([d.text for d in taught] + [item.mention.sentence for item in items]) == sorted(texts)
    assert taught and items
    assert set(splits.corrected_precedents(linker, [folder], None)) == {("fever", "X:2")}
    # Where all names are held out, because none is trained on, corrections teach all the same.
    names_held_out = linker.model_copy(update={"training": linker.training.model_copy(update={"held_out": 1.0})})
    assert len(splits.taught_corrections(names_held_out, [folder], None)) > len(taught)


def test_corrections_alone_train_no_language_model() -> None:
    declared = LinkerConfig(
        name="x", title="X", ontologies=("x",), corpora=(CorpusConfig.model_validate({"feedback": True}),)
    )
    untrained = declared.model_copy(update={"training": declared.training.model_copy(update={"questions": 0})})
    assert retrain._why_untrained(untrained) == "nothing is declared to train on"
    assert not retrain._why_untrained(declared)


def test_a_text_has_no_concept_where_all_corrections_of_it_say_so(
    here: Settings, tmp_path: Path, models: dict[str, str]
) -> None:
    folder = release(tmp_path / "1", concept(2, "fever"), concept(3, "cold"))
    taught = next(f"note {n}" for n in range(100) if not is_held_out(f"note {n}", "", 0.3))

    def say(text: str, mention: str, verdict: Verdict, concept: str | None = None, who: str = "anna") -> None:
        start = text.index(mention)
        made = make_correction(text, start, start + len(mention), verdict, who, concept=concept, document=taught)
        feedback.append(here, "small", [made])

    say("The Colds were here.", "Colds", "nil")
    say("A fever.", "fever", "nil")
    say("Another fever.", "fever", "right", "X:2")
    say("A gout.", "gout", "nil")
    say("A gout.", "gout", "other", "X:3", who="ben")  # a conflict teaches nothing
    run = refresh.start(here, str(small.linker(tmp_path, models, more=FEEDBACK)))
    corpora = tuple(corpus for corpus in run.linker.corpora if corpus.feedback)
    linker = run.linker.model_copy(update={"corpora": corpora})
    assert splits.texts_without_concept(linker, [folder], None) == [normalise("Colds")]


def document(text: str, mention: str, *, denied: bool = False, whole: bool = False) -> Document:
    start = text.index(mention)
    end = start + len(mention)
    spans = (JudgedSpan(start=start, end=end, verdict="no-mention" if denied else "other"),)
    mentions = () if denied else (Mention(text=mention, start=start, end=end, gold=("X:1",)),)
    return Document(id=text, text=text, mentions=mentions, judged=None if whole else spans)


def test_one_denial_stops_a_name_unless_it_is_mostly_a_mention() -> None:
    names = ["included", "hay fever"]
    once = [document("All were included here.", "included", denied=True)]
    assert learn(names, once).stop == {"included"}
    often = [*once, document("Patients included.", "included"), document("Also included.", "included")]
    assert not learn(names, often).stop


def test_names_of_a_corrected_sentence_that_nobody_judged_say_nothing() -> None:
    text = "Hay fever, hay fever and hay fever after asthma."
    lexicon = learn(["hay fever", "asthma"], [document(text, "asthma")])
    assert (lexicon.stop, lexicon.counts) == (frozenset(), {"asthma": (1, 1)})
    assert learn(["hay fever", "asthma"], [document(text, "asthma", whole=True)]).stop == {"hay fever"}


def test_repeated_errors_are_a_gate_that_lists_them() -> None:
    gates = refresh.LinkerConfig(name="x", title="x", ontologies=("x",)).gates
    right = Prediction(document="1", start=0, end=1, text="x", gold=("X:1",), predicted="X:1", probability=1.0)
    figures = evaluate([right], seconds=1.0)
    named = {gate.name: gate for gate in check_linker_gates(gates, figures, repeated=["a [fever]: is X:1"])}
    assert not named["repeated_errors"].passed
    assert "a [fever]: is X:1" in named["repeated_errors"].detail
    assert "repeated_errors" not in {gate.name for gate in check_linker_gates(gates, figures)}
    allowed = gates.model_copy(update={"max_repeated_errors": 1})
    assert all(g.passed for g in check_linker_gates(allowed, figures, repeated=["x"]) if g.name == "repeated_errors")


def test_a_stored_declaration_with_corrections_loads_again() -> None:
    stored = CorpusConfig(feedback=True).model_copy(update={"file": "/x/corpora/1.jsonl"}).model_dump()  # type: ignore[call-arg]
    assert CorpusConfig.model_validate(stored).file == "/x/corpora/1.jsonl"
    assert artefacts.key(stored)
