"""A gate passes or fails by its number, fails without one, and is not measured on too few mentions."""

from dataclasses import replace

import numpy as np
import pytest

from belink.declarations import LinkerGates
from belink.evaluation.gates import check_linker_gates, failed_gates
from belink.evaluation.metrics import Evaluation, evaluate
from belink.evaluation.predictions import Option, Prediction
from belink.records import GateResult

ALL = LinkerGates(
    min_accuracy_at_1=0.7,
    max_accuracy_loss=0.02,
    min_recall_at_10=0.9,
    min_index_recall_at_10=0.95,
    max_latency_ratio=3.0,
    max_ece=0.1,
    reranking_helps=0.0,
)
BOUNDS = set(LinkerGates.model_fields) - {"min_mentions", "require_measured"}
NONE = LinkerGates(**{name: None for name in BOUNDS})


def measured(
    right: list[bool], *, retrieved: list[bool] | None = None, seconds: float | None = 1.0, resamples: int = 100
) -> Evaluation:
    """Answers that are right where ``right`` says so; retrieval's first where ``retrieved`` does."""
    first = right if retrieved is None else retrieved
    predictions = [
        Prediction(
            document="",
            start=at,
            end=at + 1,
            text="x",
            gold=("A",),
            predicted="A" if ok else "B",
            probability=0.5 + 0.4 * ok,
            candidates=tuple(
                Option(id=i, probability=0.5 + 0.4 * ok if (i == "A") == ok else 0.05)
                for i in (("A", "B") if top else ("B", "A"))
            ),
        )
        for at, (ok, top) in enumerate(zip(right, first, strict=True))
    ]
    return evaluate(predictions, seconds=seconds, resamples=resamples)


def one(results: list[GateResult], name: str) -> GateResult:
    return next(result for result in results if result.name == name)


def shares(n: int, right: int) -> list[bool]:
    return [at < right for at in range(n)]


def test_every_declared_gate_reports_value_bound_and_verdict() -> None:
    results = check_linker_gates(ALL, measured(shares(100, 80)), measured(shares(100, 80)), index_recall_at_10=0.97)
    assert [(r.name, r.value, r.bound, r.passed) for r in results] == [
        ("accuracy_at_1", pytest.approx(0.8), 0.7, True),
        ("not_below_champion", 0.0, -0.02, True),
        ("recall_at_10", 1.0, 0.9, True),
        ("index_recall_at_10", 0.97, 0.95, True),
        ("latency_ratio", pytest.approx(1.0), 3.0, True),
        ("ece", pytest.approx(0.18), 0.1, False),
        ("reranking_helps", 0.0, 0.0, True),
    ]
    assert failed_gates(results) == ["ece"]
    assert all(result.detail for result in results)


@pytest.mark.parametrize(("n", "right"), [(1, 1), (1, 0), (29, 29), (29, 0)])
def test_gates_on_too_few_mentions_are_not_measured(n: int, right: int) -> None:
    few = measured(shares(n, right))
    results = check_linker_gates(ALL, few, few, index_recall_at_10=0.5)
    assert {r.name for r in results if r.measured} == {"index_recall_at_10"}, "measured on names, not on mentions"
    assert failed_gates(results) == ["index_recall_at_10"]
    unmeasured = [r for r in results if not r.measured]
    assert len(unmeasured) == 6
    assert all(r.verdict == "not measured" and f"on {n} mentions; expected at least 30" in r.detail for r in unmeasured)
    strict = ALL.model_copy(update={"require_measured": True})
    refused = check_linker_gates(strict, few, few, index_recall_at_10=0.5)
    assert failed_gates(refused) == [r.name for r in refused]
    assert all("require_measured" in r.detail for r in refused if not r.measured)


def test_thirty_mentions_are_enough_by_default_and_the_declaration_may_ask_for_more() -> None:
    thirty = measured(shares(30, 15))
    assert all(r.measured for r in check_linker_gates(ALL, thirty, thirty))
    assert "accuracy_at_1" in failed_gates(check_linker_gates(ALL, thirty))
    more = ALL.model_copy(update={"min_mentions": 100})
    assert not any(r.measured for r in check_linker_gates(more, thirty) if r.value is not None)
    assert not check_linker_gates(ALL.model_copy(update={"min_mentions": 0}), measured([False]))[0].passed


def test_mentions_without_a_concept_do_not_make_recall_measured() -> None:
    linkable, nil = measured(shares(20, 0)).predictions, measured(shares(40, 40)).predictions
    unlinkable = tuple(replace(p, gold=(), predicted=None, document="nil") for p in nil)
    results = {r.name: r for r in check_linker_gates(ALL, evaluate([*linkable, *unlinkable], seconds=1))}
    assert results["accuracy_at_1"].measured
    assert not results["recall_at_10"].measured and not results["reranking_helps"].measured


def test_gates_that_are_switched_off_have_no_result() -> None:
    assert check_linker_gates(NONE, measured(shares(10, 1)), measured(shares(10, 9))) == []


def test_without_a_champion_only_comparisons_are_left_out() -> None:
    results = check_linker_gates(ALL, measured(shares(100, 80)), index_recall_at_10=1.0)
    assert [r.name for r in results] == [
        "accuracy_at_1",
        "recall_at_10",
        "index_recall_at_10",
        "ece",
        "reranking_helps",
    ]


def test_a_gate_without_a_number_fails() -> None:
    untimed = measured(shares(100, 90), seconds=None)
    bare = replace(untimed, predictions=tuple(replace(p, candidates=()) for p in untimed.predictions))
    elsewhere = replace(untimed, predictions=tuple(replace(p, document="other") for p in untimed.predictions))
    results = check_linker_gates(ALL, bare, elsewhere)
    unmeasured = {r.name for r in results if r.value is None}
    assert unmeasured == {"not_below_champion", "index_recall_at_10", "latency_ratio", "reranking_helps"}
    assert unmeasured <= set(failed_gates(results))
    assert all(
        "expected" in one(results, name).detail or "measured" in one(results, name).detail for name in unmeasured
    )


@pytest.mark.parametrize(("right", "passed"), [(70, True), (69, False), (71, True)])
def test_a_value_equal_to_its_bound_passes(right: int, passed: bool) -> None:
    assert one(check_linker_gates(ALL, measured(shares(100, right))), "accuracy_at_1").passed == passed


@pytest.mark.parametrize(
    ("challenger", "champion", "passed"),
    [
        (shares(300, 240), shares(300, 240), True),
        (shares(300, 250), shares(300, 240), True),
        (shares(300, 234), shares(300, 240), True),  # two points: as much as is tolerated
        (shares(300, 225), shares(300, 240), False),
        (shares(300, 0), shares(300, 300), False),
        # 3 points lost, but 33 answers won and 42 lost could be chance
        ([*[True] * 33, *[False] * 42, *[True] * 225], [*[False] * 33, *[True] * 42, *[True] * 225], True),
    ],
)
def test_a_loss_fails_if_it_is_larger_than_tolerated_and_more_than_chance(
    challenger: list[bool], champion: list[bool], passed: bool
) -> None:
    assert one(check_linker_gates(ALL, measured(challenger), measured(champion)), "not_below_champion").passed == passed


@pytest.mark.heavy
def test_equal_challengers_rarely_fail_and_much_worse_ones_nearly_always_do() -> None:
    draw = np.random.default_rng(7)

    def refused(loss: float) -> float:
        count = 0
        for _ in range(30):
            kind = draw.choice(3, size=300, p=[0.05 - loss / 2, 0.05 + loss / 2, 0.9])  # won, lost, both right
            result = check_linker_gates(
                NONE.model_copy(update={"max_accuracy_loss": 0.02}),
                measured(list(kind != 1), resamples=2),
                measured(list(kind != 0), resamples=2),
            )
            count += not result[0].passed
        return count / 30

    assert refused(0.0) <= 0.10
    assert refused(0.06) >= 0.9


@pytest.mark.parametrize(("right", "passed"), [(80, True), (79, True), (70, False), (90, True)])
def test_reranking_fails_if_it_loses_more_than_chance_against_retrieval(right: int, passed: bool) -> None:
    result = one(check_linker_gates(ALL, measured(shares(100, right), retrieved=shares(100, 80))), "reranking_helps")
    assert (result.value, result.passed) == (pytest.approx((right - 80) / 100), passed)


def test_reranking_may_lose_the_tolerated_share() -> None:
    tolerant = ALL.model_copy(update={"reranking_helps": 0.1})
    assert one(
        check_linker_gates(tolerant, measured(shares(100, 70), retrieved=shares(100, 80))), "reranking_helps"
    ).passed


def test_nil_answers_do_not_count_in_the_order_of_concepts() -> None:
    cautious = measured(shares(100, 80))
    silent = tuple(replace(p, predicted=None) if at < 30 else p for at, p in enumerate(cautious.predictions))
    assert one(check_linker_gates(ALL, evaluate(silent)), "reranking_helps").value == 0


@pytest.mark.parametrize(("n", "stated", "passed"), [(60, 0.7, True), (60, 0.99, False), (3000, 0.87, False)])
def test_miscalibration_fails_if_chance_does_not_explain_it(n: int, stated: float, passed: bool) -> None:
    draw = np.random.default_rng(3)
    answers = measured(list(draw.random(n) < 0.7), resamples=2)
    said = tuple(replace(p, probability=stated, candidates=()) for p in answers.predictions)
    assert one(check_linker_gates(ALL, evaluate(said, resamples=2)), "ece").passed == passed


def test_right_nil_answers_do_not_hide_a_worse_order() -> None:
    spoiled = measured(shares(100, 70), retrieved=shares(100, 80))
    nil = tuple(replace(p, gold=(), predicted=None, document="nil") for p in measured(shares(100, 100)).predictions)
    assert not one(check_linker_gates(ALL, evaluate([*spoiled.predictions, *nil])), "reranking_helps").passed


def test_a_slower_challenger_fails_by_its_ratio() -> None:
    slow, fast = measured(shares(100, 80), seconds=8.0), measured(shares(50, 40), seconds=1.0)
    result = one(check_linker_gates(ALL, slow, fast), "latency_ratio")
    assert (result.value, result.passed) == (pytest.approx(4.0), False)


@pytest.mark.parametrize(
    ("bound", "unexplained", "passed"), [(2, 2, True), (2, 3, False), (0, 0, True), (2, None, None), (None, 9, None)]
)
def test_unexplained_changes_are_bounded_only_where_declared_and_compared(
    bound: int | None, unexplained: int | None, passed: bool | None
) -> None:
    gates = LinkerGates(**{**NONE.model_dump(), "max_unexplained_changes": bound})
    results = check_linker_gates(gates, measured(shares(100, 80)), unexplained=unexplained)
    assert [(result.name, result.passed) for result in results] == (
        [] if passed is None else [("unexplained_changes", passed)]
    )


def test_two_equally_probable_concepts_behind_nil_are_a_tie() -> None:
    def prediction(at: int, other: float) -> Prediction:
        options = (Option(id="A", probability=0.2), Option(id="B", probability=other))
        nil = {"predicted": None, "probability": 0.6}
        return Prediction(document="", start=at, end=at + 1, text="x", gold=("A",), candidates=options, **nil)  # type: ignore[arg-type]

    figures = {other: evaluate([prediction(at, other) for at in range(20)], resamples=100) for other in (0.1, 0.2)}
    results = {other: one(check_linker_gates(ALL, each), "reranking_helps") for other, each in figures.items()}
    assert results[0.1].value == 0.0, "the gold concept stands alone at the top"
    assert results[0.2].value == -1.0, "chance would decide"
