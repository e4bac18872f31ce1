"""A loaded linker is evaluated on items and on a corpus."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from belink import settings
from belink.corpora.files import read_corpus
from belink.evaluation import run
from belink.evaluation.end_to_end import evaluate_raw_text
from belink.evaluation.predictions import CONCEPT_REMOVED, Seen, read_predictions
from belink.lifecycle import calibrate as calibration_steps
from belink.lifecycle import ontology, promotion, refresh, retrain
from belink.linker import features
from belink.linker.linker import Linker
from belink.records import Candidate, Document, Mention
from belink.training.splits import EvaluationItem
from tests.support import small
from tests.support.corpora import write_jsonl

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory, models: dict[str, str]) -> Linker:
    """A drafted linker without adapter, made by the steps alone."""
    folder = tmp_path_factory.mktemp("measured")
    here = settings.load(folder / "home")
    refresh_run = refresh.start(here, str(small.linker(folder, models)), retrain="never")
    files = ontology.fetch(refresh_run.ontologies[small.ONTOLOGY], [small.release(folder / "files", small.RELEASES[1])])
    release = {small.ONTOLOGY: ontology.ingest(refresh_run.ontologies[small.ONTOLOGY], files).path}
    index = refresh.build_index(refresh_run, release, None).path
    decision = retrain.decide(refresh_run, release, None, {})
    assert (decision.train, decision.adapter) == (False, None)
    calibration = calibration_steps.calibrate(refresh_run, release, index, decision, None)
    return Linker(promotion.draft(refresh_run, release, index, decision, calibration).path, here.cache)


def named(linker: Linker, n: int) -> list[tuple[str, str]]:
    """(name, concept id) of names with one owner."""
    found = ((name, _owners(linker, name)) for name in linker.index.names())
    return list(islice(((name, owners[0].id) for name, owners in found if len(owners) == 1), n))


def _owners(linker: Linker, name: str) -> list[Candidate]:
    (found,) = linker.candidates([Mention(text=name)])
    return [candidate for candidate in found if candidate.exact]


def test_hidden_names_are_not_retrieved_and_removed_concepts_not_offered(linker: Linker) -> None:
    (name, concept), *_ = named(linker, 1)
    mention = Mention(text=name, gold=(concept,))
    plain = EvaluationItem(mention=mention, source="names")
    items = [plain, replace(plain, hide_own_name=True), replace(plain, without=(concept,)), plain]
    _, offered, seconds = run.link_items(linker, items)
    assert offered[0][0].id == concept
    assert offered[0][0].exact
    assert not any(candidate.exact for candidate in offered[1])
    assert concept not in [candidate.id for candidate in offered[2]]
    again, first = ([(c.id, c.name) for c in offered[at]] for at in (3, 0))
    assert again == first, "items keep their order"
    assert seconds > 0


def test_an_evaluation_says_how_far_it_is(
    linker: Linker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("belink.progress._LINE_EVERY", 0.0)
    caplog.set_level("INFO")
    items = [EvaluationItem(mention=Mention(text=name, gold=(id,)), source="names") for name, id in named(linker, 40)]
    run.predict_in_turns({"one": linker}, items, Seen())
    assert "evaluation: 32 of 40 mentions" in caplog.text
    assert "finding candidates: 8 of 8 mentions" in caplog.text


def test_predictions_have_a_stratum_for_their_source(linker: Linker) -> None:
    (name, concept), *_ = named(linker, 1)
    items = [
        EvaluationItem(mention=Mention(text=name, gold=(concept,)), source="names"),
        EvaluationItem(mention=Mention(text=name, is_nil=True), source="sample", without=(concept,)),
    ]
    sat = run.predict_in_turns({"one": linker, "other": linker}, items, Seen(new_concepts={concept}))
    found, seconds = sat["one"]
    assert sat["other"][0] == found
    assert seconds > 0
    assert [[s for s in prediction.strata if s.startswith("from ")] for prediction in found] == [
        ["from names"], ["from sample"],
    ]  # fmt: skip
    assert "concept new in this release" in found[0].strata
    assert [CONCEPT_REMOVED in prediction.strata for prediction in found] == [False, True]


def test_a_corpus_is_evaluated_on_every_annotated_mention(linker: Linker, tmp_path: Path) -> None:
    known = named(linker, 6)
    text = " and ".join(name for name, _ in known)
    mentions, at = [], 0
    for name, concept in known:
        mentions.append(Mention(text=name, start=at, end=at + len(name), gold=(concept,)))
        at += len(name) + len(" and ")
    corpus = tmp_path / "corpus.jsonl"
    missed = Mention(text=text[:3], start=0, end=3, gold=("MONDO:9999999",))
    write_jsonl([Document(id="d", text=text, mentions=(*mentions, missed))], corpus)
    annotated = sum(bool(m.gold) for d in read_corpus(corpus) for m in d.mentions)
    assert annotated == 7

    answer = run.evaluate_corpus(linker, corpus, write=tmp_path / "predictions.jsonl")
    keys = {"n", "accuracy_at_1", "accuracy_ci95", "recall_at_1", "recall_at_10", "recall_at_20", "mentions_per_second"}
    assert keys <= answer.keys()
    assert answer["n"] == 7
    assert answer["recall_at_1"] == pytest.approx(6 / 7), "an id that no release knows counts as missed"
    assert json.dumps(answer)
    kept = read_predictions(tmp_path / "predictions.jsonl")
    assert [prediction.text for prediction in kept if prediction.gold == (known[0][1],)] == [known[0][0]]

    page = tmp_path / "report.html"
    again = run.evaluate_corpus(linker, corpus, against=tmp_path / "predictions.jsonl", report=page)
    assert again["comparison"]["difference"] == 0
    assert "corpus.jsonl" in page.read_text(encoding="utf-8")


def test_a_replaced_gold_id_counts_as_its_successor(linker: Linker, tmp_path: Path) -> None:
    from belink.ontology.release import open_release

    with open_release(linker.path / "releases" / small.ONTOLOGY) as release:
        old, new = release.rows(
            "SELECT concept_id, replacement_id FROM replaced_by JOIN concept ON concept.id = replacement_id "
            "WHERE NOT obsolete LIMIT 1"
        )[0]
        label = release.concept(new).label
    corpus = tmp_path / "corpus.jsonl"
    mention = Mention(text=label, start=0, end=len(label), gold=(old,))
    write_jsonl([Document(id="d", text=label, mentions=(mention,))], corpus)
    assert run.evaluate_corpus(linker, corpus)["recall_at_1"] == 1.0


def test_nil_is_answered_with_more_candidates_than_options(linker: Linker) -> None:
    mention = Mention(text="a thing that no ontology names")
    candidates = linker.candidates([mention])
    n_options = linker.declaration.reranker.options
    assert len(candidates[0]) > n_options, "or there is nothing to mistake for NIL"
    believing = replace(linker.calibration, alone=(0.0,) * len(linker.calibration.alone), nil_factor=1.0)
    at = [feature.name for feature in features.RETRIEVAL].index("nil.bias")
    believing = replace(believing, alone=tuple(9.0 if i == at else w for i, w in enumerate(believing.alone)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linker, "calibration", believing)
        (link,) = linker.choose([mention], candidates)
    assert link.candidate is None
    assert link.probability == link.nil_probability > 0.9
    assert len(link.options) == n_options


def test_raw_text_counts_a_link_only_with_the_annotated_span_and_id(linker: Linker) -> None:
    (one, concept_of_one), (two, concept_of_two), (three, _) = [
        (name, concept) for name, concept in named(linker, 200) if len(name) > 8 and linker.link_text(f"Some {name}.")
    ][:3]
    text = f"Some {one}. Also {two}. And {three}."

    def at(name: str, gold: tuple[str, ...], end: int = 0) -> Mention:
        start = text.index(name)
        return Mention(text=name, start=start, end=start + len(name) + end, gold=gold)

    right = Document(id="1", text=text, mentions=(at(one, (concept_of_one,)), at(two, (concept_of_two,))))
    wrong = replace(right, mentions=(at(one, (concept_of_two,)), at(two, (concept_of_two,), end=-1)))
    answers = linker.link_text(text, min_probability=0.0)
    n_linked = sum(link.id is not None for link in answers)
    n_right = sum((link.text, link.id) in ((one, concept_of_one), (two, concept_of_two)) for link in answers)
    assert n_right
    figures = evaluate_raw_text(linker, [right, wrong])
    assert figures is not None
    unbounded = figures["unbounded"]
    assert (figures["n_annotated"], figures["n_found"]) == (4, 2 * len(answers))
    assert unbounded["n_linked"] == 2 * n_linked
    assert unbounded["precision"] == pytest.approx(n_right / (2 * n_linked), abs=1e-4)
    assert unbounded["recall"] == pytest.approx(n_right / 4, abs=1e-4)
    assert unbounded["f1"] == pytest.approx(2 * n_right / (2 * n_linked + 4), abs=1e-4)
    assert figures["bound"] == linker.bound()
    typed = replace(wrong, mentions=tuple(replace(mention, type="Gene") for mention in wrong.mentions))
    assert evaluate_raw_text(linker, [right, typed], ["Gene"])["n_annotated"] == 2  # type: ignore[index]
    assert evaluate_raw_text(linker, [replace(right, text=" ")]) is None


def test_a_bound_turns_links_of_raw_text_into_nil(linker: Linker) -> None:
    (name, concept), *_ = [each for each in named(linker, 200) if len(each[0]) > 8]
    mention = Mention(text=name, start=5, end=5 + len(name), gold=(concept,))
    document = Document(id="1", text=f"Some {name}.", mentions=(mention,))
    declared = linker.declaration
    try:
        linker.declaration = declared.model_copy(update={"min_probability": 1.0})
        figures = evaluate_raw_text(linker, [document])
    finally:
        linker.declaration = declared
    assert figures is not None
    assert (figures["bound"], figures["n_linked"], figures["precision"]) == (1.0, 0, None)
    assert (figures["nil_precision"], figures["nil_recall"]) == (0.0, None)
