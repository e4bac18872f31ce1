"""Held-out questions → a fitted :class:`belink.linker.calibration.Calibration`.

The weights are drawn towards retrieval's own order where there is little to learn from. NIL is as probable as held-out
text has mentions without a concept: marked ones, and names that the name finder finds where annotators saw none, or saw
a longer or shorter mention. Marked mentions have no such false ones, so found mentions have features of their own.
Questions made to have no concept are no part of the fit: they would make NIL as probable as they are many.

All figures of the report are cross-fitted: no question is judged by weights that it helped to fit.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from belink import progress
from belink.linker import conditional_logit, features
from belink.linker.abstention import choose_bound
from belink.linker.calibration import DISABLED, Calibration, is_settled, with_nil_lowered
from belink.linker.calibration_error import expected_calibration_error
from belink.text.normalise import normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from belink.records import Question

    Probabilities = Sequence[NDArray[np.float64]]
    Logits = Sequence[NDArray[np.float32]]

_FOLDS = 5
_PENALTY = 2.0  # of the squared distance from the centre, against a log-likelihood summed over questions
_TEXT_FEATURE_PENALTY = 4.0  # times that for features of training text: they hold less of mentions it never saw
_MIN_QUESTIONS = 500  # with fewer the centre, which is retrieval's order, is held on to the more strongly
_HELD = 1e6  # a penalty that holds a weight at its centre
_NIL_COSTS = 0.001  # right answers a marked mention with a concept that NIL may be expected to take, cross-fitted
_SMALLEST_PROBABILITY = 1e-12


def fit(
    questions: "Sequence[Question]", logits: "Logits | None", *, min_gain: float = 0.0, precision: float = 0.9
) -> Calibration:
    """Return the calibration fitted on held-out questions; without any, one that keeps retrieval's order.

    :param logits: the re-ranker's for each question; ``None`` for a linker without one.
    :param min_gain: right answers a question, 0 to 1, by which the re-ranker must be expected to improve on retrieval.
    :param precision: of links in raw text, 0 to 1, for which ``abstention`` holds the bound.

    Its ``report`` holds, cross-fitted: ``n`` questions; ``accuracy_retrieval`` (retrieval's first, always answered),
    ``accuracy_model`` (the re-ranker's best option), ``accuracy_alone`` and ``accuracy`` (fitted without and with
    the re-ranker; the cascade included) over the questions whose concept exists, misses of retrieval counted as wrong;
    ``accuracy_with_nil`` over all of them, NIL answered by :meth:`Calibration.choice`; ``nil_precision`` and
    ``nil_recall`` of that; ``settled``, the share that skips the re-ranker; and, over the questions that were not
    made to have no concept, ``ece`` of the best concept's probability (bins of equal mass), ``log_loss_alone`` and
    ``log_loss`` per question.
    """
    answerable = [i for i, question in enumerate(questions) if question.candidates]
    questions = [questions[i] for i in answerable]
    logits = None if logits is None else [logits[i] for i in answerable]
    if not questions:
        return Calibration(with_model=None if logits is None else _centre(features.ALL))
    scales, designs = _scaled_designs(questions, logits)
    alone = [design[:, : len(features.RETRIEVAL)] for design in designs]
    folds = _folds(questions)
    counts = _counts(questions)
    crossed_alone = _cross_fit(questions, alone, folds, counts)
    crossed = crossed_alone if logits is None else _cross_fit(questions, designs, folds, counts)
    bounds = (DISABLED, True) if logits is None else _cascade(questions, crossed_alone, crossed, min_gain)
    settled = [is_settled(q.candidates, p, *bounds) for q, p in zip(questions, crossed_alone, strict=True)]
    final = [a if s else c for a, c, s in zip(crossed_alone, crossed, settled, strict=True)]
    nil_factor = float(np.exp(-_nil_caution(questions, final)))
    lowered = [
        probabilities if question.mention.is_found else with_nil_lowered(probabilities, nil_factor)
        for question, probabilities in zip(questions, final, strict=True)
    ]
    fitted = Calibration(
        scales=tuple(float(scale) for scale in scales),
        alone=_fit_weights(questions, alone, counts),
        with_model=None if logits is None else _fit_weights(questions, designs, counts),
        settled_above=bounds[0],
        sole_exact_settles=bounds[1],
        nil_factor=nil_factor,
        abstention=choose_bound(*_found_links(questions, lowered), precision),
    )
    report = _report(questions, logits, crossed_alone, crossed, lowered, fitted.choice)
    report["settled"] = float(np.mean(settled)) if logits is not None else 1.0
    return replace(fitted, report=report)


def _real(questions: "Sequence[Question]") -> list[int]:
    """The questions that were not made to have no concept."""
    return [i for i, question in enumerate(questions) if not question.made_nil]


def _scaled_designs(
    questions: "Sequence[Question]", logits: "Logits | None"
) -> "tuple[NDArray[np.float64], list[NDArray[np.float64]]]":
    """Scales (n_features,), over all features, and the design of each question, divided by them."""
    letters = [None] * len(questions) if logits is None else logits
    designs = [features.design(q.mention, q.candidates, each) for q, each in zip(questions, letters, strict=True)]
    scales = _scales([designs[i] for i in _real(questions)] or designs)
    return scales, [design / scales[: design.shape[1]] for design in designs]


def _scales(designs: "Probabilities") -> "NDArray[np.float64]":
    """Standard deviations (n_features,): option features over options, NIL's over lists; else 1."""
    options = np.concatenate([design[:-1] for design in designs])
    lists = np.stack([design[-1] for design in designs])
    scales = np.ones(len(features.ALL))
    for column, feature in enumerate(features.ALL[: options.shape[1]]):
        values = options if features.is_of_option(feature) else lists
        deviation = float(values[:, column].std())
        if deviation > 1e-6 and feature.scaled:
            scales[column] = deviation
    return scales


def _centre(chosen: Sequence[features.Feature]) -> tuple[float, ...]:
    return tuple(feature.centre for feature in chosen)


def _counts(questions: "Sequence[Question]") -> dict[int, float]:
    """What each question that may be learned from counts: a text counts once in a document, however often it occurs.

    One paper's 120 mentions of one abbreviation say no more of how annotators choose than its first.
    """
    mentions = {i: questions[i].mention for i in _real(questions)}
    texts = {i: (mention.document, normalise(mention.text), mention.is_found) for i, mention in mentions.items()}
    n_occurrences = Counter(texts.values())
    return {i: 1 / n_occurrences[text] for i, text in texts.items()}


def _fit_weights(
    questions: "Sequence[Question]", designs: "Probabilities", counts: Mapping[int, float]
) -> tuple[float, ...]:
    """Fit all weights to marked mentions, then those of found mentions to found ones, the others held.

    Found mentions are the easier part of the marked ones and some that are none; they say nothing else of the options.

    :param counts: what each question that may be learned from counts.
    """
    chosen = features.ALL[: designs[0].shape[1]]
    marked = {i: count for i, count in counts.items() if not questions[i].mention.is_found}
    counts_of_found = {i: count for i, count in counts.items() if questions[i].mention.is_found}
    caution = np.array([_TEXT_FEATURE_PENALTY if feature.of_text else 1.0 for feature in chosen])
    penalty = _PENALTY * caution * max(1.0, _MIN_QUESTIONS / max(sum(marked.values()), 1))
    weights = _fit_to(questions, designs, marked, np.array(_centre(chosen)), penalty)
    held = np.array([_PENALTY if feature.of_found else _HELD for feature in chosen])
    return tuple(float(weight) for weight in _fit_to(questions, designs, counts_of_found, weights, held))


def _fit_to(
    questions: "Sequence[Question]",
    designs: "Probabilities",
    counts: Mapping[int, float],
    centre: "NDArray[np.float64]",
    penalty: "NDArray[np.float64]",
) -> "NDArray[np.float64]":
    return conditional_logit.fit(
        [designs[i] for i in counts],
        [questions[i].answer for i in counts],
        centre=centre,
        penalty=penalty,
        signs=[feature.sign for feature in features.ALL[: len(centre)]],
        question_weights=list(counts.values()),
    )


def _folds(questions: "Sequence[Question]") -> list[int]:
    """By a hash of the mention, so that the same mention never judges itself."""
    keys = [normalise(question.mention.text).encode() for question in questions]
    return [int.from_bytes(blake2b(key, digest_size=4).digest(), "big") % _FOLDS for key in keys]


def _cross_fit(
    questions: "Sequence[Question]", designs: "Probabilities", folds: Sequence[int], counts: Mapping[int, float]
) -> "list[NDArray[np.float64]]":
    """Probabilities of each question, by weights fitted to the questions of the other folds."""
    probabilities: list[NDArray[np.float64]] = [np.ones(1)] * len(designs)
    for fold in progress.track(range(_FOLDS), what="calibration", unit="folds"):
        others = {i: count for i, count in counts.items() if folds[i] != fold}
        weights = np.array(_fit_weights(questions, designs, others))
        for i in (i for i, own in enumerate(folds) if own == fold):
            probabilities[i] = conditional_logit.softmax(designs[i] @ weights)
    return probabilities


def _is_right(question: "Question", probabilities: "NDArray[np.float64]") -> bool:
    """Whether the best concept, NIL left aside, is the right one."""
    return int(np.argmax(probabilities[:-1])) == question.answer


def _cascade(
    questions: "Sequence[Question]", alone: "Probabilities", crossed: "Probabilities", min_gain: float
) -> tuple[float, bool]:
    """Return from which of retrieval's probabilities on the re-ranker is skipped, and whether sole exact matches are.

    It is skipped where it improves on retrieval by less than ``min_gain`` right answers a question. The gain is an
    expectation: by how much the re-ranker's choice is more probable than retrieval's, by weights of other questions.
    Counted wins and losses are a few in a hundred questions, and a bound between them would be chance. A re-ranker that
    makes the right answers of the questions it would get no likelier sees ambiguous names alone.
    """
    with_concept = [i for i, question in enumerate(questions) if not question.mention.is_nil]
    n_exact = {i: sum(candidate.exact for candidate in questions[i].candidates) for i in with_concept}
    saved = {i: min_gain - _gain(alone[i][:-1], crossed[i][:-1]) for i in with_concept}
    sole_exact = sum(saved[i] for i in with_concept if n_exact[i] == 1) >= 0
    undecided = [i for i in with_concept if n_exact[i] == 0 or (n_exact[i] == 1 and not sole_exact)]
    certainty = {i: float(alone[i][:-1].max()) for i in undecided}
    bound, total, most = DISABLED, 0.0, 0.0
    order = sorted(certainty, key=lambda i: -certainty[i])
    for position, i in enumerate(order, 1):
        total += saved[i]
        is_tied = position < len(order) and certainty[order[position]] == certainty[i]
        if total >= most and not is_tied:
            bound, most = certainty[i], total
    reranked = [i for i, probability in certainty.items() if probability < bound]
    likelier = sum(_log(crossed[i][questions[i].answer]) - _log(alone[i][questions[i].answer]) for i in reranked)
    return (bound, sole_exact) if likelier >= 0 else (0.0, True)


def _gain(alone: "NDArray[np.float64]", crossed: "NDArray[np.float64]") -> float:
    """Right answers, 0 to 1, that the best of ``crossed`` is expected to have more than the best of ``alone``."""
    return float(crossed.max() - crossed[alone.argmax()])


def _log(probability: float) -> float:
    return float(np.log(max(probability, _SMALLEST_PROBABILITY)))


def _nil_caution(questions: "Sequence[Question]", final: "Probabilities") -> float:
    """Return by how much the logarithm of NIL's probability is lowered, 0 or more.

    A list without the right concept looks to the fit like one for which there is none. NIL would often be the likelier
    guess, and wrong for a marked mention that has a concept. The caution is the least by which NIL is expected to take
    ``_NIL_COSTS`` right answers a marked mention with a concept. An expectation, since counted losses are a few in a
    thousand: an improbable concept that happens to be right must not silence NIL for all. Found mentions need none.

    What NIL loses, the options do not gain: it is the probability that the right concept is not among them. Shared out
    over the options it would make them too probable, the more so the more retrieval misses.
    """
    marked = [(q, p) for q, p in zip(questions, final, strict=True) if not q.made_nil and not q.mention.is_found]
    # A share of few mentions is less than one answer, which no fit can tell from none.
    affordable = max(1.0, _NIL_COSTS * sum(not q.mention.is_nil for q, _ in marked))
    best = [(_log(p[-1]) - _log(p[:-1].max()), float(p[:-1].max())) for _, p in marked]
    costs = 0.0
    for lead, probability in sorted(best, reverse=True):
        costs += probability
        if lead <= 0 or costs > affordable:
            return max(lead, 0.0)
    return 0.0


def _found_links(questions: "Sequence[Question]", final: "Probabilities") -> tuple[list[float], list[bool]]:
    """Return the probability of each found mention that is linked, and whether the link is right."""
    links = [
        (float(p.max()), int(np.argmax(p)) == q.answer)
        for q, p in zip(questions, final, strict=True)
        if q.mention.is_found and np.argmax(p) < len(q.candidates)
    ]
    return [probability for probability, _ in links], [is_right for _, is_right in links]


def _report(
    questions: "Sequence[Question]",
    logits: "Logits | None",
    alone: "Probabilities",
    crossed: "Probabilities",
    final: "Probabilities",
    choice: "Callable[[NDArray[np.float64]], int]",
) -> dict[str, float]:
    """The figures that :func:`fit` describes."""
    with_concept = [i for i, question in enumerate(questions) if not question.mention.is_nil]
    report = {"n": float(len(questions))}

    def accuracy(each: "Probabilities | Logits") -> float:
        right = [_is_right(questions[i], np.asarray(each[i], dtype=float)) for i in with_concept]
        return float(np.mean(right)) if right else 0.0

    scores = [np.array([*(candidate.score for candidate in q.candidates), 0.0]) for q in questions]
    report["accuracy_retrieval"] = accuracy(scores)
    report["accuracy_alone"] = accuracy(alone)
    report["accuracy_fitted"] = accuracy(crossed)
    report["accuracy"] = accuracy(final)
    if logits is not None:
        report["accuracy_model"] = accuracy(logits)
    chosen = [choice(p) for p in final]
    is_nil = [c == len(q.candidates) for c, q in zip(chosen, questions, strict=True)]
    right = [q.mention.is_nil if nil else c == q.answer for c, q, nil in zip(chosen, questions, is_nil, strict=True)]
    report["accuracy_with_nil"] = float(np.mean(right))
    true_nil = sum(nil and q.mention.is_nil for nil, q in zip(is_nil, questions, strict=True))
    report["nil_precision"] = true_nil / max(sum(is_nil), 1)
    report["nil_recall"] = true_nil / max(len(questions) - len(with_concept), 1)
    real = _real(questions)
    report["ece"] = expected_calibration_error(
        [float(final[i][:-1].max()) for i in real], [_is_right(questions[i], final[i]) for i in real]
    )
    for name, probabilities in (("log_loss_alone", alone), ("log_loss", crossed)):
        losses = [-_log(probabilities[i][questions[i].answer]) for i in real]
        report[name] = float(np.mean(losses)) if losses else 0.0
    return report
