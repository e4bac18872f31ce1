"""A gate passes or fails by its number and its bound, and fails where there is no number."""

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
NONE = LinkerGates(**{name: None for name in LinkerGates.model_fields})


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


def test_gates_that_are_switched_off_say_nothing() -> None:
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


def test_what_cannot_be_measured_fails() -> None:
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
def test_a_bound_itself_passes(right: int, passed: bool) -> None:
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
def test_a_loss_refuses_when_it_is_larger_than_tolerated_and_no_chance(
    challenger: list[bool], champion: list[bool], passed: bool
) -> None:
    assert one(check_linker_gates(ALL, measured(challenger), measured(champion)), "not_below_champion").passed == passed


@pytest.mark.heavy
def test_equal_challengers_are_refused_at_most_one_time_in_twenty_and_bad_ones_nearly_always() -> None:
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
def test_reranking_may_not_undo_what_retrieval_knew_by_more_than_chance(right: int, passed: bool) -> None:
    result = one(check_linker_gates(ALL, measured(shares(100, right), retrieved=shares(100, 80))), "reranking_helps")
    assert (result.value, result.passed) == (pytest.approx((right - 80) / 100), passed)


def test_reranking_may_lose_as_much_as_is_tolerated() -> None:
    tolerant = ALL.model_copy(update={"reranking_helps": 0.1})
    assert one(
        check_linker_gates(tolerant, measured(shares(100, 70), retrieved=shares(100, 80))), "reranking_helps"
    ).passed


def test_answering_nil_is_not_held_against_the_order_of_the_concepts() -> None:
    cautious = measured(shares(100, 80))
    silent = tuple(replace(p, predicted=None) if at < 30 else p for at, p in enumerate(cautious.predictions))
    assert one(check_linker_gates(ALL, evaluate(silent)), "reranking_helps").value == 0


@pytest.mark.parametrize(("n", "stated", "passed"), [(60, 0.7, True), (60, 0.99, False), (3000, 0.87, False)])
def test_miscalibration_refuses_where_luck_does_not_explain_it(n: int, stated: float, passed: bool) -> None:
    draw = np.random.default_rng(3)
    answers = measured(list(draw.random(n) < 0.7), resamples=2)
    said = tuple(replace(p, probability=stated, candidates=()) for p in answers.predictions)
    assert one(check_linker_gates(ALL, evaluate(said, resamples=2)), "ece").passed == passed


def test_right_nil_answers_do_not_hide_what_reranking_spoils() -> None:
    spoiled = measured(shares(100, 70), retrieved=shares(100, 80))
    nil = tuple(replace(p, gold=(), predicted=None, document="nil") for p in measured(shares(100, 100)).predictions)
    assert not one(check_linker_gates(ALL, evaluate([*spoiled.predictions, *nil])), "reranking_helps").passed


def test_a_slower_challenger_is_refused_by_its_ratio() -> None:
    slow, fast = measured(shares(100, 80), seconds=8.0), measured(shares(50, 40), seconds=1.0)
    result = one(check_linker_gates(ALL, slow, fast), "latency_ratio")
    assert (result.value, result.passed) == (pytest.approx(4.0), False)
