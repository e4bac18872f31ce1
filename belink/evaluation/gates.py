"""Hold a challenger's figures against its declared bounds: what must pass before it becomes champion.

A gate without a number, such as a latency without timings, fails. Gates that compare with a champion are left out if
there is none. A gate on fewer than ``min_mentions`` mentions is *not measured*: its number could mean anything. Such a
gate passes unless the linker declares ``require_measured``, and says so wherever gates are shown.

``not_below_champion`` fails on a loss that is both larger than tolerated and more than chance: on the same mentions,
the difference in accuracy lies below the tolerance, and its one-sided 95 % bound (paired bootstrap) below zero. If the
bound alone had to keep the tolerance, most equal challengers would fail; by the difference alone, one in eight would.
Failed, in % of 1,500 simulated comparisons with a tolerance of 2 points, where 10 % of the answers differ:

============  ============  ==========  ================  ================
mentions      truly equal   2 below     4 below           6 below
============  ============  ==========  ================  ================
100                    4          14                33                59
300                    5          27                71                96
1,000                  2          48                98               100
============  ============  ==========  ================  ================

So with few mentions a real loss can pass: measure on 300 or more. ``reranking_helps`` follows the same rule for the
order of the concepts; answering NIL has metrics of its own. ``ece`` is above zero even for perfect probabilities, the
more so with few mentions: it fails above its bound and above what 95 % of perfectly calibrated linkers would show on as
many mentions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from belink.declarations import LinkerGates
from belink.errors import CorpusError
from belink.evaluation.metrics import Comparison, Evaluation, Metric, ece_by_chance, paired_bootstrap
from belink.evaluation.predictions import Prediction
from belink.records import GateResult

# Floating-point error must not fail a value that equals its bound.
_ROUNDING = 1e-9
_LISTED = 20  # repeated errors that a gate names


def check_linker_gates(
    declared: LinkerGates,
    challenger: Evaluation,
    champion: Evaluation | None = None,
    *,
    index_recall_at_10: float | None = None,
    repeated: Sequence[str] | None = None,
    unexplained: int | None = None,
) -> list[GateResult]:
    """Return one result for each declared gate, in the order of the declaration.

    :param champion: the champion's answers to the same mentions, timed in the same run; ``None`` if there is none.
    :param index_recall_at_10: the index's recall against exact search, from its manifest.
    :param repeated: corrected mentions that the challenger gets wrong again, in words; ``None`` without corrections.
    :param unexplained: links of watched texts that change without a cause in the releases; ``None`` if none was
        compared.
    """
    metrics = challenger.metrics
    accuracy, recall = metrics["accuracy_at_1"], metrics["recall_at_10"]
    index_detail = "the index against exact search"
    results = [
        (challenger.n, _at_least("accuracy_at_1", accuracy.value, declared.min_accuracy_at_1, _interval(accuracy))),
        _not_below_champion(declared.max_accuracy_loss, challenger, champion),
        (recall.n, _at_least("recall_at_10", recall.value, declared.min_recall_at_10, "retrieval's first ten")),
        *_of_strata(declared.min_stratum_accuracy or {}, challenger),
        (None, _at_least("index_recall_at_10", index_recall_at_10, declared.min_index_recall_at_10, index_detail)),
        (challenger.n, _latency_ratio(declared.max_latency_ratio, challenger, champion)),
        (challenger.n, _calibrated(declared.max_ece, challenger)),
        (recall.n, _reranking_helps(declared.reranking_helps, challenger)),
        (None, _repeated_errors(declared.max_repeated_errors, repeated)),
        (None, _unexplained_changes(declared.max_unexplained_changes, unexplained)),
    ]
    # An undeclared gate has no result.
    return [_enough(declared, result, n) for n, result in results if result is not None]


def failed_gates(results: list[GateResult]) -> list[str]:
    """Return the names of the gates that failed, in order."""
    return [result.name for result in results if not result.passed]


def _enough(declared: LinkerGates, result: GateResult, n: int | None) -> GateResult:
    """Return ``result``, or "not measured" if its number comes from too few mentions.

    :param n: mentions that the number comes from; ``None`` if it comes from no mentions.
    """
    # A gate without a number has failed already, and must not pass as "not measured".
    if n is None or n >= declared.min_mentions or result.value is None:
        return result
    detail = f"on {n} mentions; expected at least {declared.min_mentions} for the bound to mean anything"
    if declared.require_measured:
        detail += "; gates.require_measured refuses that"
    return replace(result, measured=False, passed=not declared.require_measured, detail=f"{detail} ({result.detail})")


def _of_strata(bounds: Mapping[str, float], challenger: Evaluation) -> list[tuple[int | None, GateResult | None]]:
    """Return the number of mentions and the result of each declared stratum; one without mentions has no number."""
    results: list[tuple[int | None, GateResult | None]] = []
    for stratum, bound in bounds.items():
        accuracy = challenger.strata.get(stratum, {}).get("accuracy_at_1", Metric(value=None))
        results.append((accuracy.n, _at_least(f"accuracy_at_1 {stratum}", accuracy.value, bound, _interval(accuracy))))
    return results


def _not_below_champion(
    tolerated: float | None, challenger: Evaluation, champion: Evaluation | None
) -> tuple[int | None, GateResult | None]:
    """Return the number of mentions compared, and the result."""
    if tolerated is None or champion is None:
        return None, None
    try:
        comparison = paired_bootstrap(challenger.predictions, champion.predictions)
    except CorpusError as error:
        return None, _without_number("not_below_champion", 0.0 - tolerated, str(error))
    # With fewer mentions in common than not, the comparison would say little of either linker.
    if comparison.unmatched > comparison.n:
        detail = (
            f"expected answers to the same mentions, found {comparison.n} in common and {comparison.unmatched} that "
            "are not"
        )
        return None, _without_number("not_below_champion", 0.0 - tolerated, detail)
    detail = (
        f"{comparison.first:.4f} against the champion's {comparison.second:.4f} on the same {comparison.n} mentions"
    )
    if comparison.unmatched:
        detail += f"; {comparison.unmatched} mentions answered by one of them only were left out"
    return comparison.n, _not_worse("not_below_champion", comparison, tolerated, detail)


def _not_worse(name: str, comparison: Comparison, tolerated: float, detail: str) -> GateResult:
    """Return a result that fails on a loss that is larger than tolerated and more than chance."""
    detail += f"; 95 % interval of the difference {comparison.low:+.4f} to {comparison.high:+.4f}"
    is_loss = comparison.difference < -tolerated - _ROUNDING
    # The gate passes, but whoever reads its result should see that the loss was large.
    if is_loss and comparison.upper >= 0:
        detail += "; the loss is above what is tolerated, but chance explains it"
    return GateResult(
        name=name,
        value=comparison.difference,
        bound=0.0 - tolerated,  # not -0.0
        passed=not (is_loss and comparison.upper < 0),
        detail=detail,
    )


def _latency_ratio(bound: float | None, challenger: Evaluation, champion: Evaluation | None) -> GateResult | None:
    if bound is None or champion is None:
        return None
    speed, champion_speed = (e.metrics["mentions_per_second"].value for e in (challenger, champion))
    # Predictions from a file have no timing.
    if not speed or not champion_speed:
        return _without_number("latency_ratio", bound, "expected both to be timed, found no seconds")
    seconds, champion_seconds = 1 / speed, 1 / champion_speed
    detail = f"{1000 * seconds:.2f} ms a mention against the champion's {1000 * champion_seconds:.2f}"
    return _at_most("latency_ratio", seconds / champion_seconds, bound, detail)


def _reranking_helps(tolerated: float | None, challenger: Evaluation) -> GateResult | None:
    """Compare re-ranking with retrieval's first candidate, on mentions that have a concept.

    Right NIL answers must not hide concepts that re-ranking has put into a worse order.
    """
    if tolerated is None:
        return None
    linkable = [prediction for prediction in challenger.predictions if prediction.gold]
    if not any(prediction.candidates for prediction in linkable):
        detail = "expected predictions with their candidates, found none"
        return _without_number("reranking_helps", 0.0 - tolerated, detail)
    # The answer is the most probable candidate, also where the linker itself answered NIL.
    best = [_most_probable(prediction) for prediction in linkable]
    # Without candidates there can be no tie, which strict accuracy would count as wrong.
    first = [replace(p, predicted=p.candidates[0].id if p.candidates else None, candidates=()) for p in linkable]
    # `gold` is part of the key of a mention, so both lists match pair by pair.
    comparison = paired_bootstrap(best, first)
    detail = (
        f"{comparison.first:.4f} against retrieval's first candidate {comparison.second:.4f} "
        f"on {comparison.n} mentions with a concept"
    )
    return _not_worse("reranking_helps", comparison, tolerated, detail)


def _most_probable(prediction: Prediction) -> Prediction:
    """Return ``prediction`` with its most probable candidate as the answer, and the probability of that."""
    if not prediction.candidates:
        return replace(prediction, predicted=None)
    best = max(prediction.candidates, key=lambda option: option.probability)
    # Ties are told by the probability: with that of NIL, two equal candidates would not count as one.
    return replace(prediction, predicted=best.id, probability=best.probability)


def _calibrated(bound: float | None, challenger: Evaluation) -> GateResult | None:
    value = challenger.metrics["ece"].value
    # `_at_most` handles both: an undeclared gate, and one without a number.
    if bound is None or value is None:
        return _at_most("ece", value, bound, "expected calibration error")
    chance = ece_by_chance(challenger.predictions)
    detail = f"expected calibration error; up to {chance:.4f} is chance on {challenger.n} mentions"
    passed = value <= max(bound, chance) + _ROUNDING
    return GateResult(name="ece", value=value, bound=bound, passed=passed, detail=detail)


def _repeated_errors(bound: int | None, repeated: Sequence[str] | None) -> GateResult | None:
    if bound is None or repeated is None:
        return None
    detail = "no corrected mention is wrong again"
    if repeated:
        more = f"; and {len(repeated) - _LISTED} more" if len(repeated) > _LISTED else ""
        detail = (
            f"corrected mentions that are wrong again: {'; '.join(repeated[:_LISTED])}{more}. belink feedback list "
            "shows them; withdraw those that are mistaken, or declare a higher gates.max_repeated_errors"
        )
    return _at_most("repeated_errors", float(len(repeated)), float(bound), detail)


def _unexplained_changes(bound: int | None, unexplained: int | None) -> GateResult | None:
    # Without a champion there is nothing to compare with, so nothing to refuse.
    if bound is None or unexplained is None:
        return None
    detail = "links of watched texts that change without a cause in the releases"
    return _at_most("unexplained_changes", float(unexplained), float(bound), detail)


def _at_least(name: str, value: float | None, bound: float | None, detail: str) -> GateResult | None:
    if bound is None:
        return None
    if value is None:
        return _without_number(name, bound, f"could not be measured ({detail})")
    return GateResult(name=name, value=value, bound=bound, passed=value >= bound - _ROUNDING, detail=detail)


def _at_most(name: str, value: float | None, bound: float | None, detail: str) -> GateResult | None:
    if bound is None:
        return None
    if value is None:
        return _without_number(name, bound, f"could not be measured ({detail})")
    return GateResult(name=name, value=value, bound=bound, passed=value <= bound + _ROUNDING, detail=detail)


def _without_number(name: str, bound: float, detail: str) -> GateResult:
    return GateResult(name=name, value=None, bound=bound, passed=False, detail=detail)


def _interval(accuracy: Metric) -> str:
    if accuracy.low is None or accuracy.high is None:
        return f"{accuracy.n} mentions"
    return f"{accuracy.n} mentions, 95 % interval {accuracy.low:.4f} to {accuracy.high:.4f}"
