"""A challenger's figures against its declaration's bounds: what must hold before it becomes champion.

Each gate has a number and a bound; one that cannot be measured fails. Gates that compare with a champion are left out
where there is none.

``not_below_champion`` refuses a loss that is both larger than tolerated and more than chance: on the same mentions, the
difference in accuracy lies below the tolerance, and its one-sided 95 % bound (paired bootstrap) below zero. Asking the
bound alone to keep the tolerance would refuse most equal challengers, asking the difference alone one in eight.
Refused, in % of 1,500 simulated comparisons with a tolerance of 2 points, where 10 % of the answers differ:

============  ============  ==========  ================  ================
mentions      truly equal   2 below     4 below           6 below
============  ============  ==========  ================  ================
100                    4          14                33                59
300                    5          27                71                96
1,000                  2          48                98               100
============  ============  ==========  ================  ================

So with few mentions a real loss can pass: measure on 300 or more. ``reranking_helps`` follows the same rule, the order
of the concepts being compared (answering NIL is another matter, and has its own figures). ``ece`` is above zero even
for perfect probabilities, the more so with few mentions; it refuses what is above its bound and above what nineteen in
twenty perfectly calibrated linkers would show on as many mentions.
"""

from dataclasses import replace

from belink.declarations import LinkerGates
from belink.errors import CorpusError
from belink.evaluation.metrics import Comparison, Evaluation, ece_by_chance, paired_bootstrap
from belink.records import GateResult

_ROUNDING = 1e-9


def check_linker_gates(
    declared: LinkerGates,
    challenger: Evaluation,
    champion: Evaluation | None = None,
    *,
    index_recall_at_10: float | None = None,
) -> list[GateResult]:
    """One result a declared gate, in the declaration's order.

    :param champion: the champion's answers to the same mentions, timed in the same run; ``None`` where there is none.
    :param index_recall_at_10: the index's recall against exact search, as its manifest has it.
    """
    metrics = challenger.metrics
    results = [
        _at_least("accuracy_at_1", metrics["accuracy_at_1"].value, declared.min_accuracy_at_1, _interval(challenger)),
        _not_below_champion(declared.max_accuracy_loss, challenger, champion),
        _at_least("recall_at_10", metrics["recall_at_10"].value, declared.min_recall_at_10, "retrieval's first ten"),
        _at_least(
            "index_recall_at_10", index_recall_at_10, declared.min_index_recall_at_10, "the index against exact search"
        ),
        _latency_ratio(declared.max_latency_ratio, challenger, champion),
        _calibrated(declared.max_ece, challenger),
        _reranking_helps(declared.reranking_helps, challenger),
    ]
    return [result for result in results if result is not None]


def failed_gates(results: list[GateResult]) -> list[str]:
    """The names of the gates that refuse, in order."""
    return [result.name for result in results if not result.passed]


def _not_below_champion(
    tolerated: float | None, challenger: Evaluation, champion: Evaluation | None
) -> GateResult | None:
    if tolerated is None or champion is None:
        return None
    try:
        found = paired_bootstrap(challenger.predictions, champion.predictions)
    except CorpusError as error:
        return _unmeasured("not_below_champion", 0.0 - tolerated, str(error))
    if found.unmatched > found.n:
        detail = f"expected answers to the same mentions, found {found.n} in common and {found.unmatched} that are not"
        return _unmeasured("not_below_champion", 0.0 - tolerated, detail)
    detail = f"{found.first:.4f} against the champion's {found.second:.4f} on the same {found.n} mentions"
    if found.unmatched:
        detail += f"; {found.unmatched} mentions answered by one of them only were left out"
    return _not_worse("not_below_champion", found, tolerated, detail)


def _not_worse(name: str, found: Comparison, tolerated: float, detail: str) -> GateResult:
    """Fails where the loss is larger than tolerated and no chance."""
    detail += f"; 95 % interval of the difference {found.low:+.4f} to {found.high:+.4f}"
    lost = found.difference < -tolerated - _ROUNDING
    if lost and found.upper >= 0:
        detail += "; the loss is above what is tolerated, but no more than chance explains"
    return GateResult(
        name=name,
        value=found.difference,
        bound=0.0 - tolerated,  # not -0.0
        passed=not (lost and found.upper < 0),
        detail=detail,
    )


def _latency_ratio(most: float | None, challenger: Evaluation, champion: Evaluation | None) -> GateResult | None:
    if most is None or champion is None:
        return None
    fast, other_fast = (one.metrics["mentions_per_second"].value for one in (challenger, champion))
    if not fast or not other_fast:
        return _unmeasured("latency_ratio", most, "expected both to be timed, found no seconds")
    own, other = 1 / fast, 1 / other_fast
    detail = f"{1000 * own:.2f} ms a mention against the champion's {1000 * other:.2f}"
    return _at_most("latency_ratio", own / other, most, detail)


def _reranking_helps(tolerated: float | None, challenger: Evaluation) -> GateResult | None:
    """On mentions that have a concept: none-of-the-above questions would let re-ranking spoil the others unseen."""
    if tolerated is None:
        return None
    linkable = [prediction for prediction in challenger.predictions if prediction.gold]
    if not any(prediction.candidates for prediction in linkable):
        return _unmeasured("reranking_helps", 0.0 - tolerated, "expected predictions with their candidates, found none")
    best = [
        replace(p, predicted=max(p.candidates, key=lambda o: o.probability).id if p.candidates else None)
        for p in linkable
    ]
    first = [replace(p, predicted=p.candidates[0].id if p.candidates else None, candidates=()) for p in linkable]
    found = paired_bootstrap(best, first)
    detail = (
        f"{found.first:.4f} against retrieval's first candidate {found.second:.4f} on {found.n} mentions with a concept"
    )
    return _not_worse("reranking_helps", found, tolerated, detail)


def _calibrated(most: float | None, challenger: Evaluation) -> GateResult | None:
    value = challenger.metrics["ece"].value
    if most is None or value is None:
        return _at_most("ece", value, most, "expected calibration error")
    chance = ece_by_chance(challenger.predictions)
    detail = f"expected calibration error; up to {chance:.4f} is chance on {challenger.n} mentions"
    passed = value <= max(most, chance) + _ROUNDING
    return GateResult(name="ece", value=value, bound=most, passed=passed, detail=detail)


def _at_least(name: str, value: float | None, bound: float | None, detail: str) -> GateResult | None:
    if bound is None:
        return None
    if value is None:
        return _unmeasured(name, bound, f"could not be measured ({detail})")
    return GateResult(name=name, value=value, bound=bound, passed=value >= bound - _ROUNDING, detail=detail)


def _at_most(name: str, value: float | None, bound: float | None, detail: str) -> GateResult | None:
    if bound is None:
        return None
    if value is None:
        return _unmeasured(name, bound, f"could not be measured ({detail})")
    return GateResult(name=name, value=value, bound=bound, passed=value <= bound + _ROUNDING, detail=detail)


def _unmeasured(name: str, bound: float, detail: str) -> GateResult:
    return GateResult(name=name, value=None, bound=bound, passed=False, detail=detail)


def _interval(evaluation: Evaluation) -> str:
    accuracy = evaluation.metrics["accuracy_at_1"]
    if accuracy.low is None or accuracy.high is None:
        return f"{evaluation.n} mentions"
    return f"{evaluation.n} mentions, 95 % interval {accuracy.low:.4f} to {accuracy.high:.4f}"
