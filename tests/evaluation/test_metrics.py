"""Figures equal those computed by hand, and intervals hold the true value as often as they say."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.errors import CorpusError
from belink.evaluation.metrics import as_json, evaluate, paired_bootstrap, reliability, risk_coverage
from belink.evaluation.predictions import (
    CONCEPT_REMOVED,
    Option,
    Prediction,
    Seen,
    leniently_right,
    predictions_from_links,
    read_predictions,
    strata,
    strictly_right,
    write_predictions,
)
from belink.ontology.gold_ids import GoldMigration, migrate_gold
from belink.records import Candidate, Link, Mention


def prediction(
    gold: str, predicted: str | None, probability: float = 0.9, candidates: str = "", document: str = "", **more: object
) -> Prediction:
    """``candidates`` is "id score probability, …"; ``gold`` ids separated by blanks."""
    options = [part.split() for part in candidates.split(",") if part.strip()]
    return Prediction(
        document=document,
        start=0,
        end=4,
        text="name",
        gold=tuple(gold.split()),
        predicted=predicted,
        probability=probability,
        candidates=tuple(Option(id=i, score=float(s), probability=float(p)) for i, s, p in options),
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("one", "strict", "lenient"),
    [
        (prediction("A", "A", 0.9, "A 1 .9, B 1 .1"), True, True),
        (prediction("A", "B", 0.9, "A 1 .1, B 1 .9"), False, False),
        (prediction("A", "A", 0.5, "A 1 .5, B 1 .5"), False, True),  # a tie with a wrong id
        (prediction("A", "B", 0.5, "A 1 .5, B 1 .5"), False, True),
        (prediction("A B", "B", 0.5, "A 1 .5, B 1 .5"), True, True),  # a tie of right ones
        (prediction("A B", "B", 0.9, "B 1 .9"), True, True),
        (prediction("A", "A", 0.9), True, True),  # no candidates kept
        (prediction("A", None, 0.9, "A 1 .1"), False, False),
        (prediction("", None, 0.9, "A 1 .1"), True, True),
        (prediction("", "A", 0.9, "A 1 .9"), False, False),
    ],
)
def test_strict_and_lenient_accuracy_differ_by_ties_alone(one: Prediction, strict: bool, lenient: bool) -> None:
    assert (strictly_right(one), leniently_right(one)) == (strict, lenient)


BY_HAND = [
    prediction("A", "A", 0.9, "A 9 .9, B 8 .05"),  # right, retrieval right
    prediction("B", "B", 0.8, "A 9 .1, B 8 .8"),  # right, retrieval second
    prediction("C", "A", 0.7, "A 9 .7, B 8 .2"),  # not retrieved
    prediction("B", None, 0.6, "A 9 .1, B 8 .3"),  # wrongly NIL, first by probability
    prediction("", None, 0.5, "A 9 .2"),  # rightly NIL
    prediction("", "A", 0.4, "A 9 .4"),  # wrongly linked
    prediction("D", "B", 0.35, ", ".join(f"X{k} {30 - k} .001" for k in range(11)) + ", B 2 .35, D 1 .3"),
    prediction("A", "A", 0.3, "A 5 .3, B 5 .3"),  # tie
]


def test_figures_equal_those_computed_by_hand() -> None:
    metrics = {name: metric.value for name, metric in evaluate(BY_HAND).metrics.items()}
    assert metrics == {
        "accuracy_at_1": pytest.approx(3 / 8),
        "accuracy_at_1_lenient": pytest.approx(4 / 8),
        "recall_at_1": pytest.approx(2 / 6),
        "recall_at_10": pytest.approx(4 / 6),
        "recall_at_20": pytest.approx(5 / 6),
        "mrr": pytest.approx((1 + 1 + 0 + 1 + 1 / 2 + 1) / 6),
        "nil_precision": pytest.approx(1 / 2),
        "nil_recall": pytest.approx(1 / 2),
        # eight mentions in fifteen bins: each is a bin of its own
        "ece": pytest.approx((0.1 + 0.2 + 0.7 + 0.6 + 0.5 + 0.4 + 0.35 + 0.3) / 8),
        "coverage_at_precision_90": pytest.approx(2 / 8),
        "coverage_at_precision_95": pytest.approx(2 / 8),
        "mentions_per_second": None,
    }
    counts = {name: metric.n for name, metric in evaluate(BY_HAND).metrics.items()}
    assert (counts["accuracy_at_1"], counts["recall_at_10"], counts["nil_precision"], counts["nil_recall"]) == (
        8,
        6,
        2,
        2,
    )


def test_items_with_their_concept_removed_count_for_nil_metrics_alone() -> None:
    taken = [replace(prediction("", said, 0.9, "A 9 .9"), strata=(CONCEPT_REMOVED,)) for said in ("A", None, None)]
    found, plain = evaluate([*BY_HAND, *taken], seconds=1), evaluate(BY_HAND, seconds=1)
    assert (found.n, found.predictions) == (plain.n, plain.predictions)
    own = ("nil_precision", "nil_recall", "mentions_per_second")
    assert {name: value for name, value in found.metrics.items() if name not in own} == {
        name: value for name, value in plain.metrics.items() if name not in own
    }
    assert [found.metrics[name].value for name in own] == pytest.approx([3 / 4, 3 / 5, 11])
    with pytest.raises(CorpusError, match="annotated mentions"):
        evaluate(taken)


def test_the_distinct_count_takes_each_text_and_gold_once_at_its_first_occurrence() -> None:
    repeated = [
        replace(prediction("A", "A", 0.9, "A 9 .9"), text="COPD", document="1"),
        replace(prediction("A", "B", 0.8, "B 9 .8, A 8 .1"), text="copd", document="2"),  # the same, answered wrongly
        replace(prediction("B", "A", 0.7, "A 9 .7"), text="COPD", document="3"),  # another concept of that name
        replace(prediction("A C", "C", 0.6, "C 9 .6"), text="copd", document="4"),
        replace(prediction("C A", "B", 0.5, "B 9 .5"), text="COPD", document="5"),  # the same ids in another order
        replace(prediction("", "A", 0.4, "A 9 .4"), text="copd", document="6"),
    ]
    found = evaluate(repeated)
    assert (found.n, found.n_distinct) == (6, 4)
    assert found.metrics["accuracy_at_1"].value == pytest.approx(2 / 6)
    assert found.distinct["accuracy_at_1"].value == pytest.approx(2 / 4)
    assert found.distinct["recall_at_1"].value == pytest.approx(2 / 3)
    answer = as_json(found)["distinct"]
    assert (answer["n"], answer["accuracy_at_1"]) == (4, pytest.approx(0.5))
    assert answer["rule"] == "each distinct pair of lower-cased text and gold ids once, at its first occurrence"
    assert answer["accuracy_ci95"][0] <= 0.5 <= answer["accuracy_ci95"][1]
    assert set(answer["metrics"]) >= {"accuracy_at_1", "recall_at_10", "ece", "coverage_at_precision_95"}


def test_mentions_that_are_all_distinct_have_equal_counts() -> None:
    found = evaluate([replace(one, text=f"name {number}") for number, one in enumerate(BY_HAND)])
    assert found.distinct == {name: found.metrics[name] for name in found.distinct}


def test_speed_is_mentions_over_seconds() -> None:
    assert evaluate(BY_HAND, seconds=0.5).metrics["mentions_per_second"].value == pytest.approx(16)


def test_ece_has_fifteen_bins_of_equal_mass() -> None:
    # 30 mentions, two a bin: probabilities k/30 and right in every second one
    found = [prediction("A", "A" if k % 2 else "B", k / 30) for k in range(30)]
    expected = np.mean([abs((2 * b / 30 + (2 * b + 1) / 30) / 2 - 0.5) for b in range(15)])
    assert evaluate(found).metrics["ece"].value == pytest.approx(expected)
    bins = reliability(found)
    assert [n for _, _, n in bins] == [2] * 15
    assert all(share == 0.5 for _, share, _ in bins)


@pytest.mark.heavy
def test_ece_is_small_for_calibrated_and_large_for_overconfident_answers() -> None:
    draw = np.random.default_rng(1)
    sure = draw.uniform(0.2, 1, 5000)
    honest = [prediction("A", "A" if draw.random() < p else "B", float(p)) for p in sure]
    boastful = [replace(one, probability=0.99) for one in honest]
    assert evaluate(honest).metrics["ece"].value < 0.03  # type: ignore[operator]
    value = evaluate(boastful).metrics["ece"].value
    assert value == pytest.approx(0.99 - np.mean([strictly_right(p) for p in honest]), abs=0.02)


def test_coverage_keeps_equally_probable_answers_together() -> None:
    tied = [prediction("A", "A", 0.9), prediction("A", "A", 0.5), prediction("A", "B", 0.5), prediction("A", "B", 0.1)]
    assert evaluate(tied).metrics["coverage_at_precision_90"].value == pytest.approx(1 / 4)
    coverage, precision = risk_coverage(tied)
    assert coverage.tolist() == pytest.approx([1 / 4, 3 / 4, 1])
    assert precision.tolist() == pytest.approx([1, 2 / 3, 1 / 2])


def test_coverage_is_zero_if_no_share_reaches_the_precision() -> None:
    assert evaluate([prediction("A", "B")]).metrics["coverage_at_precision_90"].value == 0


def test_metrics_without_any_mention_are_none() -> None:
    metrics = evaluate([prediction("A", "A")]).metrics
    assert metrics["nil_recall"].value is None and metrics["nil_recall"].low is None
    assert metrics["nil_precision"].value is None
    assert metrics["recall_at_1"].n == 1


def test_no_predictions_are_refused() -> None:
    with pytest.raises(CorpusError, match="found none"):
        evaluate([])


def test_figures_are_the_same_each_time() -> None:
    assert as_json(evaluate(BY_HAND)) == as_json(evaluate(list(BY_HAND)))


def test_json_has_the_keys_that_other_programs_read() -> None:
    found = as_json(evaluate(BY_HAND, seconds=2.0))
    assert found["n"] == 8 and found["accuracy_at_1"] == pytest.approx(0.375)
    assert found["accuracy_ci95"][0] <= 0.375 <= found["accuracy_ci95"][1]
    assert found["recall_at_20"] == pytest.approx(5 / 6) and found["mentions_per_second"] == pytest.approx(4)
    assert found["resampled"] == "mentions"


def test_intervals_follow_the_documents() -> None:
    """Twenty mentions a document that are all right or all wrong are twenty observations only in name."""
    draw = np.random.default_rng(2)
    alike = [prediction("A", "A" if draw.random() < 0.5 else "B", document=f"d{d}") for d in range(50)]
    spread = evaluate(alike).metrics["accuracy_at_1"]
    repeated = evaluate([one for one in alike for _ in range(20)])
    same = repeated.metrics["accuracy_at_1"]
    assert repeated.resampled == "documents" and repeated.n == 1000 and repeated.n_documents == 50
    assert same.high - same.low == pytest.approx(spread.high - spread.low, abs=0.03)  # type: ignore[operator]
    loose = evaluate([replace(one, document="") for one in repeated.predictions]).metrics["accuracy_at_1"]
    assert loose.high - loose.low < (same.high - same.low) / 3  # type: ignore[operator]


@pytest.mark.heavy
def test_a_95_percent_interval_holds_the_true_value_about_95_times_in_100() -> None:
    draw = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        found = [prediction("A", "A" if draw.random() < 0.8 else "B") for _ in range(200)]
        metric = evaluate(found, resamples=300).metrics["accuracy_at_1"]
        held += metric.low <= 0.8 <= metric.high  # type: ignore[operator]
    assert 178 <= held <= 200


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "A", "A B"]), st.sampled_from([None, "A", "B"]), st.floats(0, 1)),
        min_size=1,
        max_size=40,
    )
)
def test_every_share_lies_between_0_and_1_and_inside_its_interval(rows: list[tuple[str, str | None, float]]) -> None:
    metrics = evaluate([prediction(*row) for row in rows], resamples=50).metrics
    for metric in metrics.values():
        if metric.value is not None:
            assert 0 <= metric.low <= metric.value <= metric.high <= 1 + 1e-9  # type: ignore[operator]
    assert metrics["accuracy_at_1"].value <= metrics["accuracy_at_1_lenient"].value  # type: ignore[operator]
    assert metrics["coverage_at_precision_95"].value <= metrics["coverage_at_precision_90"].value  # type: ignore[operator]


# --- comparing ---


def answers(*right: bool) -> list[Prediction]:
    return [replace(prediction("A", "A" if r else "B"), start=at) for at, r in enumerate(right)]


def test_only_mentions_that_both_answered_are_compared() -> None:
    first, second = answers(True, True, False, True), answers(True, False, False)
    found = paired_bootstrap(first, list(reversed(second)))
    assert (found.n, found.unmatched) == (3, 1)
    assert (found.first, found.second, found.difference) == pytest.approx((2 / 3, 1 / 3, 1 / 3))


def test_equal_answers_differ_by_nothing() -> None:
    found = paired_bootstrap(answers(*[True, False] * 50), answers(*[True, False] * 50))
    assert (found.difference, found.low, found.high, found.upper, found.p) == (0, 0, 0, 0, 1)


def test_swapping_the_sides_of_a_comparison_swaps_the_sign() -> None:
    draw = np.random.default_rng(4)
    first, second = (answers(*(draw.random(300) < share)) for share in (0.8, 0.6))
    one, other = paired_bootstrap(first, second), paired_bootstrap(second, first)
    assert one.difference == pytest.approx(-other.difference)
    assert one.low > 0 and other.high < 0
    assert one.p < 0.01 and other.p < 0.01


def test_chance_alone_is_significant_about_one_time_in_twenty() -> None:
    draw = np.random.default_rng(5)
    found = [
        paired_bootstrap(answers(*(draw.random(200) < 0.7)), answers(*(draw.random(200) < 0.7)), resamples=300).p
        for _ in range(200)
    ]
    assert 1 <= sum(p < 0.05 for p in found) <= 22


def test_names_without_offsets_are_matched_by_text_gold_and_order() -> None:
    twice = [prediction("A", "A"), prediction("A", "B"), prediction("B", "B")]
    found = paired_bootstrap(twice, twice)
    assert (found.n, found.unmatched, found.difference) == (3, 0, 0)


def test_predictions_of_other_mentions_cannot_be_compared() -> None:
    with pytest.raises(CorpusError, match="none in common"):
        paired_bootstrap(answers(True), [prediction("B", "B", document="x")])


# --- from links ---


def candidate(identifier: str, score: float, *, exact: bool = False) -> Candidate:
    return Candidate(id=identifier, label="", name="n", ontology="o", release="1", score=score, exact=exact)


def test_predictions_keep_retrievals_order_and_leave_out_unannotated_mentions() -> None:
    a, b, c = candidate("A", 1.0), candidate("B", 2.0), candidate("C", 2.0)
    link = Link(
        mention=Mention(text="x", gold=("A",)), candidate=a, probability=0.7, options=((a, 0.7), (c, 0.2), (b, 0.1))
    )
    unannotated = replace(link, mention=Mention(text="y"))
    nil = replace(link, mention=Mention(text="z", is_nil=True), candidate=None)
    found = predictions_from_links([link, unannotated, nil])
    assert [(p.text, p.gold, p.predicted) for p in found] == [("x", ("A",), "A"), ("z", (), None)]
    assert [o.id for o in found[0].candidates] == ["B", "C", "A"]
    assert [o.probability for o in found[0].candidates] == [0.1, 0.2, 0.7]
    more = predictions_from_links([link], [[c, b, a, candidate("D", 0.5)]])
    assert [(o.id, o.probability) for o in more[0].candidates] == [("C", 0.2), ("B", 0.1), ("A", 0.7), ("D", 0.0)]


@pytest.mark.parametrize(
    ("mention", "exact", "expected"),
    [
        (Mention(text="Fever", gold=("A",)), 1,
         {"exact match", "no abbreviation", "mention seen in training", "concept seen in training"}),
        (Mention(text="DM", gold=("N",)), 2,
         {"exact match", "ambiguous name", "abbreviation", "mention not seen in training",
          "concept not seen in training", "concept new in this release"}),
        (Mention(text="congenital DM", long_form="congenital x", gold=("Z",)), 0,
         {"no exact match", "abbreviation", "mention not seen in training", "concept not seen in training"}),
        (Mention(text="Ca2+", is_nil=True), 0,
         {"no exact match", "no abbreviation", "mention not seen in training", "no concept fits"}),
    ],
)  # fmt: skip
def test_strata_of_a_mention(mention: Mention, exact: int, expected: set[str]) -> None:
    known = Seen(mentions={"fever"}, concepts={"A"}, new_concepts={"N"})
    offered = [candidate(str(k), 1.0, exact=k < exact) for k in range(3)]
    assert set(strata(mention, offered, known)) == expected


def test_strata_that_need_unknown_sets_are_left_out() -> None:
    assert strata(Mention(text="Fever", gold=("A",)), [], Seen()) == ("no exact match", "no abbreviation")


def test_strata_are_measured_by_themselves() -> None:
    found = [prediction("A", "A", strata=("s", "t")), prediction("A", "B", strata=("s",)), prediction("A", "B")]
    measured = evaluate(found).strata
    assert measured["s"]["accuracy_at_1"].value == pytest.approx(0.5)
    assert (measured["t"]["accuracy_at_1"].value, measured["t"]["accuracy_at_1"].n) == (1, 1)


def test_gold_ids_are_migrated_to_the_release_in_use() -> None:
    mentions = [Mention(text=t, gold=g) for t, g in (("a", ("A",)), ("b", ("B", "A")), ("c", ("C",)), ("d", ()))]
    found, counts = migrate_gold(mentions, {"A": ("A2",), "C": (), "B": ("A2", "B2")})
    assert [m.gold for m in found] == [("A2",), ("A2", "B2"), (), ()]
    assert not found[2].is_nil
    assert counts == GoldMigration(mentions=3, moved=2, lost=1)


# --- files ---


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz"])
def test_predictions_are_read_as_they_were_written(tmp_path: Path, name: str) -> None:
    write_predictions(BY_HAND, tmp_path / name)
    assert read_predictions(tmp_path / name) == BY_HAND
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"doc": 1}',
        '{"doc":"","start":0,"end":1,"text":"","gold":[],"predicted":null,"probability":"x"}',
        "\udcff",
    ],
)
def test_a_malformed_line_is_named_in_the_error(tmp_path: Path, line: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(line.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(CorpusError, match=r"p\.jsonl") as caught:
        read_predictions(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="No such file"):
        read_predictions(tmp_path / "none")


@pytest.mark.heavy
def test_ten_thousand_mentions_are_measured_in_seconds() -> None:
    import time

    draw = np.random.default_rng(6)
    found = [
        prediction("A", "A" if draw.random() < 0.8 else "B", float(draw.random()), document=f"d{k // 10}")
        for k in range(10_000)
    ]
    begin = time.process_time()
    evaluation = evaluate(found)
    assert time.process_time() - begin < 15
    assert all(low <= high for low, high in pairwise([0.0, evaluation.metrics["ece"].value or 0.0]))
