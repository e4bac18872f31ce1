"""Held-out links → the probability below which a linker answers NIL, chosen for a declared precision."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_LINKS = 30  # on fewer, a precision means nothing
_STEPS = 100  # bounds are hundredths, which people can read and a page's slider can show


@dataclass(frozen=True, kw_only=True)
class Abstention:
    """The bound on links of mentions that were found in raw text, and what it reached on held-out documents."""

    declared: float  # precision to reach, 0 to 1
    bound: float = 0.0  # a link less probable than this is answered as NIL
    precision: float | None = None  # of the held-out links that the bound keeps, span and concept; None: not measured
    kept: float | None = None  # share of the held-out links that it keeps
    n: int = 0  # held-out links

    @property
    def is_reached(self) -> bool:
        """Whether the bound gives the declared precision."""
        return self.precision is not None and self.precision >= self.declared

    def __str__(self) -> str:
        if self.precision is None or self.kept is None:
            why = "there is no annotated text to choose it on"
            if self.n:
                why = f"precision was not measured on {self.n} links of annotated text, {MIN_LINKS} are needed"
            return f"links in raw text have no bound: {why}; declare a corpus ([[corpora]]) and refresh to have one"
        figures = (
            f"a bound of {self.bound:.2f} keeps {self.kept:.0%} of {self.n:,} held-out links, "
            f"with precision {self.precision:.3f}"
        )
        if self.is_reached:
            return f"raw text: {figures} ({self.declared:.2f} is declared)"
        return f"PRECISION {self.declared:.2f} IN RAW TEXT IS NOT REACHED by any bound; the nearest: {figures}"

    def to_dict(self) -> dict[str, Any]:
        """Return the bound as JSON writes it; :meth:`from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any] | None) -> "Abstention | None":
        """Return what :meth:`to_dict` wrote; ``None`` for a linker from before bounds were chosen."""
        return None if stored is None else cls(**stored)


def choose_bound(
    probabilities: "Sequence[float] | NDArray[np.float64]", right: Sequence[bool], declared: float
) -> Abstention:
    """Return the least bound that gives links the declared precision, or the one that comes nearest.

    Every bound considered keeps at least ``MIN_LINKS`` links; where there are fewer, nothing is measured or bounded.

    :param probabilities: of links in held-out raw text, (n,); NIL answers are left out.
    :param right: whether span and concept of each are right.
    :param declared: precision to reach, 0 to 1.
    """
    import numpy as np

    probability, is_right = np.asarray(probabilities, dtype=float), np.asarray(right, dtype=bool)
    if len(probability) < MIN_LINKS:
        return Abstention(declared=declared, n=len(probability))
    bounds = np.arange(_STEPS + 1) / _STEPS
    n_kept = np.array([(probability >= bound).sum() for bound in bounds])
    n_right = np.array([is_right[probability >= bound].sum() for bound in bounds])
    # Precision is not monotone in the bound, so every bound is tried. -1 excludes those that keep too few links.
    precision = np.where(n_kept >= MIN_LINKS, n_right / np.maximum(n_kept, 1), -1.0)
    # Where no bound reaches the declared precision, the highest precision takes its place. ``argmax`` returns the least
    # such bound.
    reached = precision >= min(declared, float(precision.max()))
    chosen = int(np.argmax(reached))
    return Abstention(
        declared=declared,
        bound=float(bounds[chosen]),
        precision=float(precision[chosen]),
        kept=float(n_kept[chosen] / len(probability)),
        n=len(probability),
    )
