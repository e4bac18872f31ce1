import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.errors import BundleError
from belink.linker import calibration, conditional_logit, features, fitting
from belink.linker.calibration import Calibration
from belink.linker.calibration_error import expected_calibration_error
from belink.records import Candidate, Evidence, Mention, Question

pytestmark = pytest.mark.heavy  # seconds in all

RNG = np.random.default_rng
MENTION = Mention(text="m")


def candidate(i: int, score: float, exact: bool = False) -> Candidate:
    return Candidate(
        id=f"X:{i}", label=f"c{i}", name=f"c{i}", ontology="x", release="1",
        score=score, lexical=score, dense=score / 2, exact=exact,
    )  # fmt: skip


def world(n: int, *, model_knows: float, seed: int = 0, nil: float = 0.1) -> tuple[list[Question], list[np.ndarray]]:
    """Questions of six options whose answer is drawn from a known softmax of score and of the model's letters."""
    rng = RNG(seed)
    questions, logits = [], []
    for i in range(n):
        scores = np.sort(rng.random(6))[::-1]
        letters = rng.normal(size=7)
        utility = np.concatenate([4 * scores, [1.0]]) + model_knows * letters
        answer = int(rng.choice(7, p=conditional_logit.softmax(utility)))
        is_nil = answer == 6 and rng.random() < nil * 5
        mention = Mention(text=f"m{i}", gold=() if is_nil else (f"X:{answer}",), is_nil=is_nil)
        candidates = tuple(candidate(j, float(score)) for j, score in enumerate(scores))
        questions.append(Question(mention=mention, candidates=candidates, answer=answer))
        logits.append(letters.astype(np.float32))
    return questions, logits


def test_the_gradient_is_that_of_the_loss():
    from scipy.optimize import check_grad

    rng = RNG(1)
    designs = [rng.normal(size=(n, 4)) for n in (2, 5, 3)]
    answers = [1, 4, 0]
    seen = {}

    def minimize(loss, start, **_):
        seen["error"] = max(
            check_grad(lambda w: loss(w)[0], lambda w: loss(w)[1], rng.normal(size=4)) for _ in range(5)
        )
        return type("Found", (), {"x": start})

    import scipy.optimize

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scipy.optimize, "minimize", minimize)
        conditional_logit.fit(designs, answers, centre=np.ones(4), penalty=3.0)
    assert seen["error"] < 1e-5


def test_fitting_finds_the_weights_that_the_answers_were_drawn_with():
    rng = RNG(2)
    true = np.array([2.0, -1.0, 0.5])
    designs = [rng.normal(size=(5, 3)) for _ in range(4000)]
    answers = [int(rng.choice(5, p=conditional_logit.softmax(design @ true))) for design in designs]
    found = conditional_logit.fit(designs, answers, centre=np.zeros(3), penalty=1.0)
    np.testing.assert_allclose(found, true, atol=0.15)


def test_without_questions_the_weights_stay_at_the_centre():
    centre = np.array([1.0, 2.0])
    assert conditional_logit.fit([], [], centre=centre, penalty=1.0).tolist() == [1.0, 2.0]
    one = conditional_logit.fit([np.eye(2)], [0], centre=centre, penalty=1e6)
    np.testing.assert_allclose(one, centre, atol=1e-3)


def test_a_weight_of_known_sign_does_not_take_the_other():
    rng = RNG(2)
    true = np.array([2.0, -1.0, 0.5])
    designs = [rng.normal(size=(5, 3)) for _ in range(1000)]
    answers = [int(rng.choice(5, p=conditional_logit.softmax(design @ true))) for design in designs]
    first, second, third = conditional_logit.fit(designs, answers, centre=np.zeros(3), penalty=1.0, signs=(-1, 1, 1))
    assert first == second == 0.0
    assert 0.0 < third < 1.0


def test_no_calibration_learns_that_a_match_speaks_against_an_option():
    rng = RNG(3)
    questions = []
    for i in range(400):  # a paper that annotates its many exact matches as something else
        options = [candidate(j, float(score), exact=j == 0) for j, score in enumerate(np.sort(rng.random(5))[::-1])]
        mention = Mention(text=f"m{i}", gold=("X:1",))
        questions.append(Question(mention=mention, candidates=tuple(options), answer=1))
    fitted = fitting.fit(questions, None)
    weights = dict(zip((feature.name for feature in features.RETRIEVAL), fitted.alone, strict=True))
    assert min(weights[name] for name in ("exact", "sole_exact", "score", "rank", "n_annotations")) >= 0.0
    assert max(weights[name] for name in ("numbers_lost", "numbers_added", "words_lost", "words_added")) <= 0.0


def test_a_text_counts_once_in_a_document_however_often_it_occurs():
    def question(i: int, right: int, document: str, text: str) -> Question:
        options = (candidate(0, 0.9), replace(candidate(1, 0.8), evidence=Evidence(n_annotations=40)))
        mention = Mention(text=text, gold=(f"X:{right}",), document=document)
        return Question(mention=mention, candidates=options, answer=right)

    papers = [question(i, 0, f"paper {i}", f"m{i}") for i in range(30)]
    thirty_times = [question(i, 1, "one paper", "DMC") for i in range(30)]
    once, often = (fitting.fit([*papers, *more], None) for more in (thirty_times[:1], thirty_times))
    np.testing.assert_allclose(once.probabilities(None, MENTION, papers[0].candidates)[:2].argmax(), 0)
    np.testing.assert_allclose(
        [often.probabilities(None, MENTION, papers[0].candidates)[0]],
        [once.probabilities(None, MENTION, papers[0].candidates)[0]],
        atol=0.02,
    )


def test_only_the_best_option_is_marked_as_new_to_training():
    options = [candidate(0, 0.4), candidate(1, 0.9), candidate(2, 0.5)]
    assert features.options(MENTION, options)["is_best_and_new"].tolist() == [0, 1, 0]
    options[1] = replace(options[1], evidence=Evidence(n_annotations=3))
    assert not features.options(MENTION, options)["is_best_and_new"].any()


def test_evidence_does_not_depend_on_the_order_of_the_options():
    options = [candidate(0, 0.9), candidate(1, 0.2, exact=True), candidate(2, 0.5)]
    order = [2, 0, 1]
    named = features.options(MENTION, options)
    for name, values in features.options(MENTION, [options[i] for i in order]).items():
        np.testing.assert_allclose(values, named[name][order])
    assert features.nil(MENTION, [options[i] for i in order]) == pytest.approx(features.nil(MENTION, options))
    np.testing.assert_allclose(named["rank"], [0, -math.log(3), -math.log(2)])
    np.testing.assert_allclose(named["lead"], [0.4, 0, 0])
    assert named["sole_exact"].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("mention", "long_form", "name", "label", "expected"),
    [
        ("kidney diseases", "", "disease of kidney", "", (1, 0, 0, 0, 0)),
        ("diabetes type 1", "", "diabetes type 2", "", (0, 1, 1, 1, 1)),
        ("diabetes type II", "", "type 2 diabetes mellitus", "", (0, 0, 0, 0, 1)),
        ("familial melanoma", "", "melanoma", "", (0, 0, 0, 1, 0)),
        ("SGCB dystrophy 4", "", "dystrophy", "", (0, 1, 0, 2, 0)),
        ("DM", "diabetes mellitus", "DM", "diabetes mellitus", (1, 0, 0, 0, 0)),
        ("diabetes mellitus", "", "DM", "diabetes mellitus", (1, 0, 0, 0, 0)),
        ("x", "", "\u03b2-thalassaemia", "", (0, 1, 0, 1, 2)),
    ],
)
def test_names_with_similar_cosines_differ_in_their_words(mention, long_form, name, label, expected):
    asked = Mention(text=mention, long_form=long_form)
    named = features.options(asked, [Candidate(id="X:1", label=label, name=name, ontology="x", release="1")])
    words = ("same_words", "numbers_lost", "numbers_added", "words_lost", "words_added")
    assert tuple(named[name].item() for name in words) == expected


@pytest.mark.parametrize("n", [0, 3, 60])
def test_probabilities_sum_to_one_with_the_model_and_without(n: int):
    fitted = fitting.fit(*world(n, model_knows=1.0))
    candidates = [candidate(i, 1 / (i + 1)) for i in range(4)]
    for logits in (None, np.array([3, 1, 0, -2, 0.5], np.float32)):
        probabilities = fitted.probabilities(logits, MENTION, candidates)
        assert probabilities.shape == (5,)
        assert probabilities.sum() == pytest.approx(1)
        assert (probabilities > 0).all()
    assert fitted.probabilities(None, MENTION, []).tolist() == [1.0]
    with pytest.raises(ValueError, match="expected 5 logits"):
        fitted.probabilities(np.zeros(4, np.float32), MENTION, candidates)


@pytest.mark.parametrize("n", [0, 1, 12])
def test_a_handful_of_questions_leaves_the_order_of_retrieval(n: int):
    questions, logits = world(n, model_knows=-3.0)
    fitted = fitting.fit(questions, logits)
    candidates = [candidate(i, score) for i, score in enumerate((0.9, 0.6, 0.5, 0.1))]
    loud = np.array([0, 0, 0, 2.0, 0], np.float32)
    for logits_of_model in (None, loud):
        probabilities = fitted.probabilities(logits_of_model, MENTION, candidates)
        assert np.argmax(probabilities[:-1]) == 0


def test_a_model_weighs_as_much_as_it_knows():
    questions, logits = world(1500, model_knows=2.0)
    knowing = fitting.fit(questions, logits).report
    assert knowing["accuracy"] > knowing["accuracy_retrieval"] + 0.1
    assert knowing["log_loss"] < knowing["log_loss_alone"] - 0.2
    questions, logits = world(1500, model_knows=0.0)
    fitted = fitting.fit(questions, logits)
    assert abs(fitted.report["accuracy"] - fitted.report["accuracy_alone"]) < 0.01
    assert abs(fitted.with_model[-2]) < 0.15


@pytest.mark.parametrize("scale", [0.2, 1.0, 8.0])
def test_probabilities_are_calibrated_whatever_the_scale_of_the_logits(scale: float):
    questions, logits = world(2500, model_knows=1.5)
    fitted = fitting.fit(questions, [scale * of for of in logits])
    assert fitted.report["ece"] < 0.035
    fresh, fresh_logits = world(2500, model_knows=1.5, seed=9)
    found = [
        fitted.probabilities(scale * of, q.mention, q.candidates) for q, of in zip(fresh, fresh_logits, strict=True)
    ]
    right = [int(np.argmax(p[:-1])) == q.answer for p, q in zip(found, fresh, strict=True)]
    assert expected_calibration_error([p[:-1].max() for p in found], right) < 0.035


def test_fitting_says_how_far_it_is(caplog, monkeypatch):
    monkeypatch.setattr("belink.progress._LINE_EVERY", 0.0)
    caplog.set_level("INFO")
    fitting.fit(*world(20, model_knows=1.0))
    assert "calibration: 5 of 5 folds" in caplog.text


def test_the_report_is_cross_fitted():
    """Letters drawn at random fit themselves a little: judged by its own weights the model would seem to help."""
    questions, _ = world(40, model_knows=0.0, seed=3)
    rng = RNG(0)
    gains = []
    for _ in range(20):
        letters = [rng.normal(size=7).astype(np.float32) * 3 for _ in questions]
        report = fitting.fit(questions, letters).report
        gains.append(report["log_loss_alone"] - report["log_loss"])
    assert np.mean(gains) < 0


def test_the_same_mention_never_judges_itself():
    questions, _ = world(100, model_knows=0.0)
    twice = [*questions, *questions]
    folds = fitting._folds(twice)
    assert folds[:100] == folds[100:]
    assert len(set(folds)) == 5


def test_settled_questions_lose_no_accuracy_on_the_questions_that_set_the_bound():
    for seed in range(5):
        report = fitting.fit(*world(600, model_knows=1.5, seed=seed)).report
        assert report["accuracy"] >= report["accuracy_fitted"]
        assert 0 <= report["settled"] < 1


def test_a_larger_lead_is_settled_sooner():
    fitted = fitting.fit(*world(600, model_knows=1.0))
    assert fitted.settled_above <= 1
    assert fitted.settled(MENTION, [candidate(0, 3.0), candidate(1, 0.1)]) is not None
    assert fitted.settled(MENTION, [candidate(0, 0.5), candidate(1, 0.49), candidate(2, 0.48)]) is None


def test_the_only_exact_match_is_settled_unless_held_out_questions_speak_against_it():
    fitted = fitting.fit(*world(300, model_knows=1.0))
    exact = [candidate(0, 0.5, exact=True), candidate(1, 0.5)]
    assert fitted.settled(MENTION, exact) is not None
    assert np.argmax(fitted.probabilities(None, MENTION, exact)) == 0
    assert fitted.settled(MENTION, [candidate(0, 0.5, exact=True), candidate(1, 0.5, exact=True)]) is None
    questions, logits = [], []
    rng = RNG(4)
    for i in range(300):  # a source whose exact names are wrong as often as not, as the model knows
        answer = int(rng.integers(2))
        mention = Mention(text=f"m{i}", gold=(f"X:{answer}",))
        questions.append(
            Question(mention=mention, candidates=(candidate(0, 0.6, exact=True), candidate(1, 0.5)), answer=answer)
        )
        logits.append(np.where(np.arange(3) == answer, 4, 0).astype(np.float32))
    doubtful = fitting.fit(questions, logits)
    assert not doubtful.sole_exact_settles
    assert doubtful.settled(MENTION, exact) is None
    assert doubtful.report["accuracy"] > 0.9


def test_a_model_is_asked_as_far_as_it_helps():
    helpful = fitting.fit(*world(1500, model_knows=1.0)).report
    useless = [fitting.fit(*world(1500, model_knows=0.0, seed=seed)).report for seed in range(5)]
    settled = np.median([report["settled"] for report in useless])  # by luck some draws seem to gain a little
    assert settled > 0.9 > 0.1 > helpful["settled"]
    assert all(report["accuracy"] >= report["accuracy_alone"] for report in useless)


def test_a_model_that_wins_less_than_it_costs_is_asked_only_about_ambiguous_names():
    questions, logits = world(1500, model_knows=1.0)
    costing = [fitting.fit(questions, logits, min_gain=of) for of in (0.0, 0.02, 0.9)]
    settled = [fitted.report["settled"] for fitted in costing]
    assert settled[0] <= settled[1] < 0.9 < settled[2] == 1.0
    assert costing[2].report["accuracy"] == costing[2].report["accuracy_alone"] < costing[1].report["accuracy"]
    ambiguous = [candidate(0, 1.0, exact=True), candidate(1, 1.0, exact=True)]
    assert costing[2].settled(MENTION, ambiguous) is None


@pytest.mark.parametrize(("answers", "asked"), [((1, 1), True), ((0, 1), True), ((0, 0), False)])
def test_what_a_question_wins_is_expected_and_only_likelihood_has_a_veto(answers, asked):
    """Of ten questions the model answers two otherwise; that one of them is lost does not speak against it."""
    options = (candidate(0, 1.0), candidate(1, 0.9))
    questions = [Question(mention=MENTION, candidates=options, answer=answer) for answer in (*[0] * 8, *answers)]
    alone = [np.array([0.9, 0.05, 0.05])] * 8 + [np.array([0.5, 0.4, 0.1])] * 2
    crossed = [np.array([0.95, 0.03, 0.02])] * 8 + [np.array([0.42, 0.55, 0.03])] * 2
    assert fitting._cascade(questions, alone, crossed, 0.12) == ((0.9, True) if asked else (0.0, True))
    assert fitting._cascade(questions, alone, crossed, 0.14) == (0.5, True)  # 0.13 is what it wins


def test_without_a_model_everything_is_settled():
    questions, _ = world(200, model_knows=0.0)
    fitted = fitting.fit(questions, None)
    assert fitted.settled(MENTION, [candidate(0, 0.5), candidate(1, 0.5)]) is not None
    assert fitted.report["settled"] == 1
    assert "accuracy_model" not in fitted.report
    assert fitted.settled(MENTION, []) is not None


def test_an_answer_is_never_less_probable_than_nil_and_nil_costs_next_to_no_right_answers():
    questions, logits = world(1500, model_knows=4.0, nil=1.0)
    fitted = fitting.fit(questions, logits)
    for question, letters in zip(questions[:200], logits, strict=False):
        probabilities = fitted.probabilities(letters, question.mention, question.candidates)
        assert probabilities[fitted.choice(probabilities)] == probabilities.max()
    n_known = sum(not q.mention.is_nil for q in questions)
    best_option = fitted.report["accuracy"] * n_known / len(questions)
    won = fitted.report["nil_recall"] * (len(questions) - n_known) / len(questions)
    assert won > 0
    lost = best_option + won - fitted.report["accuracy_with_nil"]
    assert -1e-9 <= lost <= 0.001 * n_known / len(questions) + 1e-9
    assert fitted.choice(np.array([0.0, 0.01, 0.99])) == 2
    assert fitted.choice(np.array([0.2, 0.1, 0.7])) == 2
    assert fitted.choice(np.array([0.2, 0.5, 0.3])) == 1
    assert fitted.choice(np.ones(1)) == 0


def test_false_mentions_of_held_out_text_make_nil_likely_for_found_mentions_only():
    """Half of what the name finder finds is annotated as nothing; marked mentions all have their concept."""
    exact = (candidate(0, 0.9, exact=True), candidate(1, 0.5))
    marked = [Mention(text=f"m{i}", gold=("X:0",), document=f"d{i}") for i in range(600)]
    found = [replace(mention, is_found=True) for mention in marked[:300]]
    false = [Mention(text=f"f{i}", is_nil=True, is_found=True, document=f"d{i}") for i in range(300)]
    questions = [
        Question(mention=mention, candidates=exact, answer=2 if mention.is_nil else 0) for mention in (*marked, *found)
    ]
    plain = fitting.fit(questions, None)
    fitted = fitting.fit([*questions, *(Question(mention=m, candidates=exact, answer=2) for m in false)], None)
    of_marked, of_found = (fitted.probabilities(None, mention, exact)[-1] for mention in (MENTION, found[0]))
    assert of_found == pytest.approx(0.5, abs=0.05)
    assert of_marked == pytest.approx(plain.probabilities(None, MENTION, exact)[-1], abs=1e-3)
    assert of_marked < 0.02


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=12))
def test_whatever_the_probabilities_the_answer_is_never_less_probable_than_nil(utility: list[float]):
    probabilities = conditional_logit.softmax(np.array(utility))
    assert probabilities[Calibration().choice(probabilities)] == probabilities.max() >= probabilities[-1]


def missing_now_and_then(n: int) -> list[Question]:
    """Marked mentions whose list misses the concept where its best score is low, and found ones like them."""
    questions = []
    for i in range(n):
        score = 0.2 if i % 10 == 0 else 0.9
        is_missed = i % 10 == 0 and i % 30 != 0
        mention = Mention(text=f"m{i}", gold=("X:9",) if is_missed else ("X:0",), document=f"d{i}")
        options = (candidate(0, score), candidate(1, 0.1))
        for each in (mention, replace(mention, is_found=True)):
            questions.append(Question(mention=each, candidates=options, answer=2 if is_missed else 0))
    return questions


def test_nil_is_made_less_likely_for_marked_mentions_alone():
    """Two thirds of the low lists lack the concept: the likelier guess is NIL, and wrong for a marked mention."""
    fitted = fitting.fit(missing_now_and_then(900), None)
    low = (candidate(0, 0.2), candidate(1, 0.1))
    of_marked, of_found = (
        fitted.probabilities(None, Mention(text="m", is_found=found), low) for found in (False, True)
    )
    assert fitted.choice(of_marked) == 0
    assert fitted.choice(of_found) == 2
    assert of_found[-1] == pytest.approx(2 / 3, abs=0.1)


def test_what_nil_loses_makes_no_option_more_probable():
    """A third of the low lists hold the concept: that is how probable their best option is, found or marked."""
    questions = missing_now_and_then(900)
    fitted = fitting.fit(questions, None)
    low = (candidate(0, 0.2), candidate(1, 0.1))
    of_marked, of_found = (
        fitted.probabilities(None, Mention(text="m", is_found=found), low) for found in (False, True)
    )
    assert of_marked[0] == pytest.approx(1 / 3, abs=0.05)
    assert of_marked[-1] < of_marked[0]
    assert of_found.sum() == pytest.approx(1)
    assert of_marked.sum() < 0.8
    assert fitted.report["ece"] < 0.02


def test_a_calibration_stored_without_a_factor_is_read_as_it_was():
    stored = fitting.fit(missing_now_and_then(900), None).to_dict()
    assert Calibration.from_dict(stored).nil_factor == stored["nil_factor"] < 1
    del stored["nil_factor"]
    low = (candidate(0, 0.2), candidate(1, 0.1))
    assert Calibration.from_dict(stored).probabilities(None, Mention(text="m"), low).sum() == pytest.approx(1)


def test_one_odd_mention_does_not_silence_nil():
    """Of 240 marked mentions one has a concept that its list makes very improbable; NIL would take it."""
    questions = []
    for i in range(240):
        is_nil = i % 2 == 0
        mention = Mention(text=f"m{i}", is_nil=is_nil, gold=() if is_nil else ("X:0",), document=f"d{i}")
        options = (candidate(0, 0.1 + i / 2000 if is_nil else 0.9), candidate(1, 0.05))
        questions.append(Question(mention=mention, candidates=options, answer=2 if is_nil else 0))
    odd_options = (candidate(0, 0.02), candidate(1, 0.01))
    odd = Question(mention=Mention(text="odd", gold=("X:0",), document="odd"), candidates=odd_options, answer=0)
    fitted = fitting.fit([*questions, odd], None)
    answers = [fitted.choice(fitted.probabilities(None, MENTION, q.candidates)) for q in questions if q.mention.is_nil]
    assert answers == [2] * 120


def test_the_bound_comes_from_links_of_found_mentions_that_did_not_fit_them():
    exact = (candidate(0, 0.9, exact=True), candidate(1, 0.5))
    right = [Mention(text=f"m{i}", gold=("X:0",), is_found=True, document=f"d{i}") for i in range(160)]
    unlike = (candidate(0, 0.2), candidate(1, 0.19))
    false = [Mention(text=f"f{i}", is_nil=i % 5 > 1, gold=("X:0",) * (i % 5 < 2), is_found=True) for i in range(100)]
    asked = [Question(mention=mention, candidates=exact, answer=0) for mention in right]
    asked += [Question(mention=mention, candidates=unlike, answer=2 * mention.is_nil) for mention in false]
    marked = [Question(mention=Mention(text=f"t{i}", gold=("X:0",)), candidates=exact, answer=0) for i in range(300)]
    fitted = fitting.fit([*asked, *marked], None, precision=0.95)
    assert fitted.abstention is not None and fitted.abstention.is_reached
    assert fitted.abstention.n <= 260, "marked mentions have no bound"
    assert fitting.fit(marked, None).abstention.precision is None


def test_a_text_that_training_annotates_is_less_often_a_false_mention():
    found = Mention(text="m", is_found=True)
    known = replace(candidate(0, 0.9, exact=True), evidence=Evidence(share_annotated=0.5, n_annotations=2))
    named = {name: features.nil(found, [option]) for name, option in (("known", known), ("new", candidate(0, 0.9)))}
    assert (named["known"]["nil.is_found"], named["new"]["nil.is_found"]) == (1.0, 1.0)
    assert named["known"]["nil.is_found_and_annotated"] == 1.0 > named["new"]["nil.is_found_and_annotated"]
    assert not any(features.nil(MENTION, [known])[name] for name in ("nil.is_found", "nil.is_found_and_annotated"))


def test_counts_of_a_found_name_are_a_feature_of_found_mentions_alone():
    options = [candidate(0, 0.9, exact=True), candidate(1, 0.4)]
    found = Mention(text="AN", long_form="anemia", is_found=True, n_occurrences=4, n_annotated=1)
    named = features.nil(found, options)
    assert named["nil.found.n_annotated"] == pytest.approx(math.log(2))
    assert named["nil.found.n_not_annotated"] == pytest.approx(math.log(4))
    assert named["nil.found.has_long_form"] == 1
    assert named["nil.found.best_score"] == named["nil.best_score"] == 0.9
    marked = features.nil(replace(found, is_found=False), options)
    assert not any(value for name, value in marked.items() if name.startswith("nil.found."))
    assert features.nil(replace(found, long_form=""), options)["nil.found.has_long_form"] == 0


def test_taking_concepts_away_does_not_teach_how_often_nil_occurs():
    questions, logits = world(1000, model_knows=4.0, nil=0.0)
    taken = [
        replace(q, mention=replace(q.mention, text=f"taken {i}", gold=(), is_nil=True), answer=6, made_nil=True)
        for i, q in enumerate(questions[:400])
    ]
    plain = fitting.fit(questions, logits)
    fitted = fitting.fit([*questions, *taken], [*logits, *logits[:400]])
    for question, letters in zip(questions[:50], logits, strict=False):
        asked = (letters, question.mention, question.candidates)
        np.testing.assert_allclose(fitted.probabilities(*asked), plain.probabilities(*asked), atol=1e-6)
    assert fitted.report["ece"] == pytest.approx(plain.report["ece"], abs=0.01)
    nothing = fitting.fit(taken, logits[:400])
    assert nothing.report["log_loss"] == 0


def test_it_comes_back_from_json_as_it_was():
    fitted = fitting.fit(*world(120, model_knows=1.0))
    again = Calibration.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    plain = fitting.fit(world(120, model_knows=1.0)[0], None)
    assert Calibration.from_dict(json.loads(json.dumps(plain.to_dict()))) == plain


@pytest.mark.parametrize("change", [{"version": 0}, {"features": ["score"]}, {}])
def test_weights_of_another_version_are_refused(change):
    found = {**Calibration().to_dict(), **change} if change else {}
    with pytest.raises(BundleError, match="refresh the linker"):
        Calibration.from_dict(found)


@pytest.mark.parametrize("version", [9, 10, 11, 12])
def test_a_calibration_of_a_version_before_is_read_and_answers_as_its_weights_say(version: int):
    own = [feature.name for feature in features.NIL if feature.name.startswith("nil.found.")]
    of_taxa = ["is_short_form", "is_misspelling", "prominence", "nil.any_short_form", "nil.any_misspelling"]
    new = ["is_moved", "nearness", "nil.any_moved", "nil.nearness"]
    new += of_taxa if version < 12 else []
    new += own if version < 11 else []
    new += ["nil.is_found", "nil.is_found_and_annotated"] if version < 10 else []
    fitted = fitting.fit(*world(120, model_knows=1.0))
    stored = fitted.to_dict()
    lacks = [i for i, feature in enumerate(features.ALL) if feature.name in new]
    for name in ("features", "scales", "alone", "with_model"):
        stored[name] = [value for i, value in enumerate(stored[name]) if i not in lacks]
    stored |= {"version": version, "none_above": 2.0}
    del stored["abstention"]
    read = Calibration.from_dict(json.loads(json.dumps(stored)))
    options = [candidate(i, 1 / (i + 1)) for i in range(4)]
    for logits in (None, np.array([3, 1, 0, -2, 0.5], np.float32)):
        expected = fitted.probabilities(logits, MENTION, options)
        np.testing.assert_allclose(read.probabilities(logits, MENTION, options), expected)
    assert read.abstention is None
    assert not calibration.follows(stored), "a refresh fits it again"
    with pytest.raises(BundleError, match="refresh the linker"):
        Calibration.from_dict({**stored, "version": 8})
