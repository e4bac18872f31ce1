"""Held-out questions → one probability out of the language model's letters and retrieval's evidence.

A conditional logit over the options (see ``evidence``), drawn towards retrieval's own order where there is little to
learn from: the temperature is the weight of the model's log-probability. It is fitted twice, with the language model
and without, so that what retrieval settles alone has a probability too. Questions made to have no concept are no part
of the fit: they would make NIL as probable as they are many. They only bound where it is answered. All figures of the
report are cross-fitted: no question is judged by weights that it helped to fit.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from belink.errors import BundleError
from belink.linker import features
from belink.linker.calibration_error import expected_calibration_error
from belink.records import Candidate, Mention
from belink.text.normalise import normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from belink.records import Question

VERSION = 9
MODEL = ("option_log_probability", "none_log_probability")
"""Features that only the language model gives: its log-probability of an option, and of "None of the above"."""

_FOLDS = 5
_PENALTY = 2.0  # of the squared distance from the centre, against a log-likelihood summed over questions
_SHY = 4.0  # times that for what training text says of concepts: it holds less of mentions that training never saw
_ENOUGH = 500  # questions; with fewer the centre, which is retrieval's order, is held on to the more strongly
_NIL_COSTS = 0.001  # share of the mentions with a concept whose right answer NIL may take
_NEVER = 2.0  # a bound that no probability reaches

# Where the weights stand without evidence, for features of unit variance: retrieval's order, an exact match above
# all, and a language model that is trusted only once it has shown what it adds.
_CENTRE = {
    "score": 0.8,
    "rank": 0.8,
    "sole_exact": 3.0,
    "exact": 1.0,
    "none.any_exact": -1.0,
    "option_log_probability": 0.1,
    "none_log_probability": 0.1,
}
_OF_TEXT = frozenset(("first_new", *features.CONCEPT))
_SIGNS = (*features.SIGNS, *(1 for _ in MODEL))
_NAMES = (*features.OPTION, *(f"none.{name}" for name in features.NONE), *MODEL)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Fitted weights and bounds; what turns evidence into the one probability of a link."""

    scales: tuple[float, ...] = (1.0,) * len(_NAMES)  # each feature is divided by its standard deviation
    alone: tuple[float, ...] = tuple(_CENTRE.get(name, 0.0) for name in _NAMES[: -len(MODEL)])
    with_model: tuple[float, ...] | None = None  # None: fitted without a language model
    settled_above: float = _NEVER  # retrieval's own probability from which on the language model is not asked
    sole_exact_settles: bool = True  # the only exact match is taken without asking
    none_above: float = 0.0  # NIL is answered where its probability is the highest and at least this
    report: dict[str, float] = field(default_factory=dict)  # cross-fitted figures, see :func:`fit`

    def probabilities(
        self, logits: "NDArray[np.float32] | None", mention: Mention, candidates: Sequence[Candidate]
    ) -> "NDArray[np.float64]":
        """Shape (n_candidates + 1,), summing to 1, "None of the above" last.

        :param logits: the re-ranker's, (n_candidates + 1,); ``None`` where it was not asked.
        :raises ValueError: logits of another length.
        """
        if logits is not None and len(logits) != len(candidates) + 1:
            raise ValueError(f"expected {len(candidates) + 1} logits for the options and NIL, found {len(logits)}")
        if not candidates:
            return np.ones(1)
        if logits is None or self.with_model is None:
            design = _design(mention, candidates, None) / np.array(self.scales[: len(self.alone)])
            return features.softmax(design @ np.array(self.alone))
        design = _design(mention, candidates, logits) / np.array(self.scales)
        return features.softmax(design @ np.array(self.with_model))

    def settled(self, mention: Mention, candidates: Sequence[Candidate]) -> "NDArray[np.float64] | None":
        """The probabilities where retrieval alone answers well enough; ``None`` where the model is to be asked.

        Several exact matches are an ambiguous name, which retrieval cannot settle.
        """
        alone = self.probabilities(None, mention, candidates)
        if not candidates or self.with_model is None:
            return alone
        return alone if _is_settled(candidates, alone, self.settled_above, self.sole_exact_settles) else None

    def choice(self, probabilities: "NDArray[np.float64]") -> int:
        """The answer's position: the most probable option, or the last for NIL."""
        best = int(np.argmax(probabilities[:-1])) if len(probabilities) > 1 else 0
        nil = float(probabilities[-1])
        is_nil = len(probabilities) == 1 or (nil >= self.none_above and nil > probabilities[best])
        return len(probabilities) - 1 if is_nil else best

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with the features' names, so that another version's weights are not mistaken for these."""
        return {**rules(), **asdict(self)}

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> "Calibration":
        """The calibration that :meth:`to_dict` wrote.

        :raises BundleError: it was fitted to other features.
        """
        if not follows(found):
            raise BundleError(
                f"calibration: expected version {VERSION} over {len(_NAMES)} features, found version "
                f"{found.get('version')} over {len(found.get('features', ()))}; refresh the linker to fit it again"
            )
        return cls(
            scales=tuple(found["scales"]),
            alone=tuple(found["alone"]),
            with_model=None if found["with_model"] is None else tuple(found["with_model"]),
            settled_above=found["settled_above"],
            sole_exact_settles=found["sole_exact_settles"],
            none_above=found["none_above"],
            report=dict(found["report"]),
        )


def rules() -> dict[str, Any]:
    """What weights are fitted to; others need another fit."""
    return {"version": VERSION, "features": list(_NAMES)}


def follows(found: dict[str, Any]) -> bool:
    """Whether ``found``, a calibration.json, holds weights of these :func:`rules`."""
    return {name: found.get(name) for name in rules()} == rules()


def fit(
    questions: "Sequence[Question]", logits: "Sequence[NDArray[np.float32]] | None", *, min_gain: float = 0.0
) -> Calibration:
    """The calibration fitted on held-out questions; without any, one that keeps retrieval's order.

    :param logits: the re-ranker's for each question; ``None`` for a linker without a language model.
    :param min_gain: right answers, 0 to 1, that a question to the language model must be expected to win.

    Its ``report`` holds, cross-fitted: ``n`` questions; ``accuracy_retrieval`` (retrieval's first, always answered),
    ``accuracy_model`` (the language model's best option), ``accuracy_alone`` and ``accuracy`` (fitted without and with
    the model; the cascade included) over the questions whose concept exists, misses of retrieval counted as wrong;
    ``accuracy_with_nil`` over all of them, NIL answered by :meth:`Calibration.choice`; ``nil_precision`` and
    ``nil_recall`` of that; ``settled``, the share that does not reach the model; and, over the questions that were not
    made to have no concept, ``ece`` of the best concept's probability (bins of equal mass), ``log_loss_alone`` and
    ``log_loss`` per question.
    """
    kept = [i for i, question in enumerate(questions) if question.candidates]
    questions = [questions[i] for i in kept]
    logits = None if logits is None else [logits[i] for i in kept]
    if not questions:
        return Calibration(with_model=None if logits is None else _centre(_NAMES))
    letters = [None] * len(questions) if logits is None else logits
    designs = [_design(q.mention, q.candidates, of) for q, of in zip(questions, letters, strict=True)]
    answers = [question.answer for question in questions]
    real = [i for i, question in enumerate(questions) if not question.made_nil]
    scales = _scales([designs[i] for i in real] or designs)
    designs = [design / scales[: design.shape[1]] for design in designs]
    n_alone = len(_NAMES) - len(MODEL)
    alone = [design[:, :n_alone] for design in designs]
    folds = _folds(questions)
    worth = _worth(questions, real)
    crossed_alone = _cross(alone, answers, folds, worth)
    crossed = crossed_alone if logits is None else _cross(designs, answers, folds, worth)
    bounds = _cascade(questions, crossed_alone, crossed, min_gain) if logits is not None else (_NEVER, True)
    settled = [_is_settled(q.candidates, p, *bounds) for q, p in zip(questions, crossed_alone, strict=True)]
    final = [a if s else c for a, c, s in zip(crossed_alone, crossed, settled, strict=True)]
    none_above = _none_above(questions, final)
    fitted = Calibration(
        scales=tuple(float(scale) for scale in scales),
        alone=_weights(alone, answers, worth),
        with_model=None if logits is None else _weights(designs, answers, worth),
        settled_above=bounds[0],
        sole_exact_settles=bounds[1],
        none_above=none_above,
    )
    report = _report(questions, logits, crossed_alone, crossed, final, fitted.choice)
    report["settled"] = float(np.mean(settled)) if logits is not None else 1.0
    return Calibration(**{**_fields(fitted), "report": report})


def _design(
    mention: Mention, candidates: Sequence[Candidate], logits: "NDArray[np.float32] | None"
) -> "NDArray[np.float64]":
    """Shape (n + 1, n_features), in the order of ``_NAMES``; the model's columns left out without logits."""
    design = features.design(mention, candidates)
    if logits is None:
        return design
    log_probability = np.asarray(logits, dtype=float)
    log_probability = log_probability - np.logaddexp.reduce(log_probability)
    model = np.zeros((len(design), len(MODEL)))
    model[:-1, 0] = log_probability[:-1]
    model[-1, 1] = log_probability[-1]
    return np.hstack([design, model])


def _scales(designs: "Sequence[NDArray[np.float64]]") -> "NDArray[np.float64]":
    """Standard deviations (n_features,): option features over options, the list's over lists; else 1."""
    options = np.concatenate([design[:-1] for design in designs])
    lists = np.stack([design[-1] for design in designs])
    scales = np.ones(len(_NAMES))
    n_option = len(features.OPTION)
    for column, name in enumerate(_NAMES[: options.shape[1]]):
        is_option = column < n_option or name == MODEL[0]
        deviation = float((options if is_option else lists)[:, column].std())
        if deviation > 1e-6 and name not in ("exact", "sole_exact", "none.any_exact"):
            scales[column] = deviation
    return scales


def _centre(names: Sequence[str]) -> tuple[float, ...]:
    return tuple(_CENTRE.get(name, 0.0) for name in names)


def _worth(questions: "Sequence[Question]", among: Sequence[int]) -> dict[int, float]:
    """What each question of ``among`` counts: a text counts once in a document, however often it stands there.

    One paper's 120 mentions of one abbreviation say no more of how annotators choose than its first.
    """
    texts = {i: (questions[i].mention.document, normalise(questions[i].mention.text)) for i in among}
    times = Counter(texts.values())
    return {i: 1 / times[text] for i, text in texts.items()}


def _weights(
    designs: "Sequence[NDArray[np.float64]]", answers: Sequence[int], worth: Mapping[int, float]
) -> tuple[float, ...]:
    """:param worth: what each question that may be learned from counts."""
    names = _NAMES[: designs[0].shape[1]]
    shy = np.array([_SHY if name in _OF_TEXT else 1.0 for name in names])
    fitted = features.fit(
        [designs[i] for i in worth],
        [answers[i] for i in worth],
        centre=np.array(_centre(names)),
        penalty=_PENALTY * shy * max(1.0, _ENOUGH / max(sum(worth.values()), 1)),
        signs=_SIGNS[: len(names)],
        worth=list(worth.values()),
    )
    return tuple(float(weight) for weight in fitted)


def _folds(questions: "Sequence[Question]") -> list[int]:
    """By a hash of the mention, so that the same mention never judges itself."""
    keys = [normalise(question.mention.text).encode() for question in questions]
    return [int.from_bytes(blake2b(key, digest_size=4).digest(), "big") % _FOLDS for key in keys]


def _cross(
    designs: "Sequence[NDArray[np.float64]]", answers: Sequence[int], folds: Sequence[int], worth: Mapping[int, float]
) -> "list[NDArray[np.float64]]":
    """Probabilities of each question, by weights of those of the other folds that have a ``worth``."""
    found: list[NDArray[np.float64]] = [np.ones(1)] * len(designs)
    for fold in range(_FOLDS):
        weights = np.array(_weights(designs, answers, {i: of for i, of in worth.items() if folds[i] != fold}))
        for i in (i for i, of in enumerate(folds) if of == fold):
            found[i] = features.softmax(designs[i] @ weights)
    return found


def _right(question: "Question", probabilities: "NDArray[np.float64]") -> bool:
    """The best concept, NIL left aside, is the right one."""
    return int(np.argmax(probabilities[:-1])) == question.answer


def _is_settled(candidates: Sequence[Candidate], alone: "NDArray[np.float64]", above: float, sole_exact: bool) -> bool:
    exact = sum(candidate.exact for candidate in candidates)
    if exact > 1:
        return False
    return (exact == 1 and sole_exact) or float(alone[:-1].max()) >= above


def _cascade(
    questions: "Sequence[Question]",
    alone: "Sequence[NDArray[np.float64]]",
    crossed: "Sequence[NDArray[np.float64]]",
    min_gain: float,
) -> tuple[float, bool]:
    """From which of retrieval's probabilities on, and whether of sole exact matches, a question to the model wins less
    than ``min_gain``.

    What it wins is expected: by how much the model's choice is more probable than retrieval's, by weights of other
    questions. Counted, wins and losses are a few in a hundred questions, and a bound between them is chance. A model
    that makes the right answers it would be asked for no likelier is asked about ambiguous names alone.
    """
    known = [i for i, question in enumerate(questions) if not question.mention.nil]
    exact = {i: sum(candidate.exact for candidate in questions[i].candidates) for i in known}
    saved = {i: min_gain - _gain(alone[i][:-1], crossed[i][:-1]) for i in known}
    sole_exact = sum(saved[i] for i in known if exact[i] == 1) >= 0
    certainty = {i: float(alone[i][:-1].max()) for i in known if exact[i] == 0 or (exact[i] == 1 and not sole_exact)}
    bound, total, most = _NEVER, 0.0, 0.0
    order = sorted(certainty, key=lambda i: -certainty[i])
    for place, i in enumerate(order, 1):
        total += saved[i]
        tied = place < len(order) and certainty[order[place]] == certainty[i]
        if total >= most and not tied:
            bound, most = certainty[i], total
    asked = [i for i, of in certainty.items() if of < bound]
    likelier = sum(_log(crossed[i][questions[i].answer]) - _log(alone[i][questions[i].answer]) for i in asked)
    return (bound, sole_exact) if likelier >= 0 else (0.0, True)


def _gain(alone: "NDArray[np.float64]", crossed: "NDArray[np.float64]") -> float:
    """Right answers, 0 to 1, that the best of ``crossed`` is expected to have more than the best of ``alone``."""
    return float(crossed.max() - crossed[alone.argmax()])


def _log(probability: float) -> float:
    return float(np.log(max(probability, 1e-12)))


def _none_above(questions: "Sequence[Question]", final: "Sequence[NDArray[np.float64]]") -> float:
    """The lowest bound on NIL's probability at which NIL costs next to no right answers; never, where it gains none.

    How many mentions have no concept depends on the text and is not what calibration questions tell, where a declared
    share was made so; what a wrong NIL costs does not.
    """
    claims = [
        (float(p[-1]), q.mention.nil, not q.mention.nil and _right(q, p))
        for q, p in zip(questions, final, strict=True)
        if p[-1] > p[:-1].max()
    ]
    affordable = int(_NIL_COSTS * sum(not question.mention.nil for question in questions))
    bound, cost = _NEVER, 0
    for probability, is_nil, loses in sorted(claims, reverse=True):
        cost += loses
        if cost > affordable:
            break
        if is_nil:
            bound = probability
    return bound


def _report(
    questions: "Sequence[Question]",
    logits: "Sequence[NDArray[np.float32]] | None",
    alone: "Sequence[NDArray[np.float64]]",
    crossed: "Sequence[NDArray[np.float64]]",
    final: "Sequence[NDArray[np.float64]]",
    choice: "Callable[[NDArray[np.float64]], int]",
) -> dict[str, float]:
    known = [i for i, question in enumerate(questions) if not question.mention.nil]
    report = {"n": float(len(questions))}

    def accuracy(of: "Sequence[NDArray[np.float64]] | Sequence[NDArray[np.float32]]") -> float:
        return float(np.mean([_right(questions[i], np.asarray(of[i], dtype=float)) for i in known])) if known else 0.0

    scores = [np.array([*(candidate.score for candidate in q.candidates), 0.0]) for q in questions]
    report["accuracy_retrieval"] = accuracy(scores)
    report["accuracy_alone"] = accuracy(alone)
    report["accuracy_fitted"] = accuracy(crossed)
    report["accuracy"] = accuracy(final)
    if logits is not None:
        report["accuracy_model"] = accuracy(logits)
    chosen = [choice(p) for p in final]
    is_nil = [c == len(q.candidates) for c, q in zip(chosen, questions, strict=True)]
    right = [q.mention.nil if nil else c == q.answer for c, q, nil in zip(chosen, questions, is_nil, strict=True)]
    report["accuracy_with_nil"] = float(np.mean(right))
    true_nil = sum(nil and q.mention.nil for nil, q in zip(is_nil, questions, strict=True))
    report["nil_precision"] = true_nil / max(sum(is_nil), 1)
    report["nil_recall"] = true_nil / max(len(questions) - len(known), 1)
    real = [i for i, question in enumerate(questions) if not question.made_nil]
    report["ece"] = expected_calibration_error(
        [float(final[i][:-1].max()) for i in real], [_right(questions[i], final[i]) for i in real]
    )
    for name, of in (("log_loss_alone", alone), ("log_loss", crossed)):
        losses = [-_log(of[i][questions[i].answer]) for i in real]
        report[name] = float(np.mean(losses)) if losses else 0.0
    return report


def _fields(fitted: Calibration) -> dict[str, Any]:
    return {name: getattr(fitted, name) for name in Calibration.__dataclass_fields__}
