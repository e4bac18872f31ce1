"""Evidence → one probability for each option and for "None of the above".

A :class:`Calibration` holds the weights of a conditional logit over the features of ``features``: one set with the
re-ranker's log-probabilities and one without, so that a mention that never reaches the re-ranker has a probability,
too. The temperature of the language model is the weight of its log-probability. ``fitting`` fits the weights.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from belink.errors import BundleError
from belink.linker import features
from belink.linker.abstention import Abstention
from belink.linker.conditional_logit import softmax
from belink.records import Candidate, Mention

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 13
"""Raise it with any change of what a weight means: weights of another version are refused."""

_OWN_LIST_WEIGHTS = tuple(f.name for f in features.NIL if f.name.startswith("nil.found."))
_OF_TAXA = ("is_short_form", "is_misspelling", "prominence", "nil.any_short_form", "nil.any_misspelling")
_OF_MOVED = ("is_moved", "nearness", "nil.any_moved", "nil.nearness")
_ADDED_SINCE = {
    9: ("nil.is_found", "nil.is_found_and_annotated", *_OWN_LIST_WEIGHTS, *_OF_TAXA, *_OF_MOVED),
    10: (*_OWN_LIST_WEIGHTS, *_OF_TAXA, *_OF_MOVED),
    11: (*_OF_TAXA, *_OF_MOVED),
    12: _OF_MOVED,
}
"""Earlier versions that are still read, and the features that they lack: those get the weight 0."""

DISABLED = 2.0
"""A bound that no probability reaches."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Fitted weights and bounds. Weights and scales are in the order of :data:`belink.linker.features.ALL`."""

    scales: tuple[float, ...] = (1.0,) * len(features.ALL)  # each feature is divided by its standard deviation
    alone: tuple[float, ...] = tuple(feature.centre for feature in features.RETRIEVAL)  # weights without the re-ranker
    with_model: tuple[float, ...] | None = None  # weights with the re-ranker; None: fitted without one
    settled_above: float = DISABLED  # retrieval's own probability from which on the re-ranker is skipped
    sole_exact_settles: bool = True  # the only exact match is taken without the re-ranker
    nil_factor: float = 1.0  # of NIL's probability for marked mentions, 0 to 1; 1: fitted before there was one
    abstention: Abstention | None = None  # the bound on links of found mentions; None: fitted before there was one
    report: dict[str, float] = field(default_factory=dict)  # cross-fitted figures, see ``fitting.fit``

    def probabilities(
        self, logits: "NDArray[np.float32] | None", mention: Mention, candidates: Sequence[Candidate]
    ) -> "NDArray[np.float64]":
        """Return the probability of each option and of NIL, shape (n_candidates + 1,), NIL last.

        They sum to 1 for found mentions. What they lack of 1 for a marked mention is the probability that it has a
        concept which is not among the candidates.

        :param logits: the re-ranker's, (n_candidates + 1,); ``None`` where it was skipped.
        :raises ValueError: logits of another length.
        """
        if logits is not None and len(logits) != len(candidates) + 1:
            raise ValueError(f"expected {len(candidates) + 1} logits for the options and NIL, found {len(logits)}")
        # NIL is the only option of an empty list, whatever the weights say.
        if not candidates:
            return np.ones(1)
        # A calibration fitted without the re-ranker has no weights for logits, so they are ignored.
        if self.with_model is None:
            logits = None
        # The columns of the re-ranker stand last in ``features.ALL``, so the first scales are those of ``alone``.
        weights = np.array(self.alone if logits is None or self.with_model is None else self.with_model)
        design = features.design(mention, candidates, logits)
        fitted = softmax(design / np.array(self.scales[: len(weights)]) @ weights)
        return fitted if mention.is_found else with_nil_lowered(fitted, self.nil_factor)

    def settled(self, mention: Mention, candidates: Sequence[Candidate]) -> "NDArray[np.float64] | None":
        """Return retrieval's own probabilities where they settle the answer; ``None`` where the re-ranker is needed."""
        alone = self.probabilities(None, mention, candidates)
        if not candidates or self.with_model is None:
            return alone
        return alone if is_settled(candidates, alone, self.settled_above, self.sole_exact_settles) else None

    def choice(self, probabilities: "NDArray[np.float64]") -> int:
        """Return the answer's position: the most probable option, or the last for NIL, if that is more probable."""
        return int(np.argmax(probabilities))

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as JSON writes it.

        The features' names are part of it, so that another version's weights are not mistaken for these.
        """
        return {**rules(), **asdict(self)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Calibration":
        """Return the calibration that :meth:`to_dict` wrote.

        :raises BundleError: it was fitted to other features.
        """
        # Weights of an earlier version stay usable where only features were added: a weight of 0 leaves each of those
        # out.
        missing = _missing_features(stored)
        if missing is None:
            raise BundleError(
                f"calibration: expected version {VERSION} over {len(features.ALL)} features, found version "
                f"{stored.get('version')} over {len(stored.get('features', ()))}; refresh the linker to fit it again"
            )
        return cls(
            scales=_with_missing(stored["scales"], missing, 1.0),
            alone=_with_missing(stored["alone"], missing, 0.0),
            with_model=None if stored["with_model"] is None else _with_missing(stored["with_model"], missing, 0.0),
            settled_above=stored["settled_above"],
            sole_exact_settles=stored["sole_exact_settles"],
            nil_factor=stored.get("nil_factor", 1.0),
            abstention=Abstention.from_dict(stored.get("abstention")),
            report=dict(stored["report"]),
        )


def with_nil_lowered(probabilities: "NDArray[np.float64]", factor: float) -> "NDArray[np.float64]":
    """Return ``probabilities``, (n_candidates + 1,), with that of NIL, the last, times ``factor``."""
    return np.append(probabilities[:-1], factor * probabilities[-1])


def rules() -> dict[str, Any]:
    """Return the version and the features that weights are fitted to; another version or feature needs another fit."""
    return {"version": VERSION, "features": [feature.key for feature in features.ALL]}


def follows(stored: dict[str, Any]) -> bool:
    """Whether ``stored``, a calibration.json, holds weights of these :func:`rules`."""
    return {name: stored.get(name) for name in rules()} == rules()


def _missing_features(stored: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the features that a stored calibration lacks; ``None`` for one that this version cannot read."""
    if follows(stored):
        return ()
    missing = _ADDED_SINCE.get(stored.get("version", 0))
    expected = [feature.key for feature in features.ALL if feature.name not in (missing or ())]
    return missing if stored.get("features") == expected else None


def _with_missing(values: Sequence[float], missing: Sequence[str], value: float) -> tuple[float, ...]:
    """Return ``values``, one a feature in order, with ``value`` put in at each feature that is ``missing``."""
    complete = list(values)
    for position, feature in enumerate(features.ALL):
        if feature.name in missing:
            # Features are visited in order, so every earlier position is already filled when this one is inserted.
            complete.insert(position, value)
    return tuple(complete)


def is_settled(candidates: Sequence[Candidate], alone: "NDArray[np.float64]", above: float, sole_exact: bool) -> bool:
    """Whether retrieval answers without the re-ranker.

    Several exact matches are an ambiguous name, which retrieval cannot settle.

    :param alone: probabilities by retrieval's evidence, (n_candidates + 1,), NIL last.
    :param above: the probability from which on an option is taken.
    :param sole_exact: whether the only exact match is taken, however probable.
    """
    n_exact = sum(candidate.exact for candidate in candidates)
    if n_exact > 1:
        return False
    return (n_exact == 1 and sole_exact) or float(alone[:-1].max()) >= above
