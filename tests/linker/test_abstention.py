"""The bound that a refresh chooses for a declared precision."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.linker.abstention import MIN_LINKS, Abstention, choose_bound

LINKS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=MIN_LINKS, max_size=120)
PRECISION = st.floats(0, 1)


def precision_of(links: list[tuple[float, bool]], bound: float) -> tuple[float, int]:
    kept = [right for probability, right in links if probability >= bound]
    return (sum(kept) / len(kept) if kept else 0.0), len(kept)


def chosen(links: list[tuple[float, bool]], declared: float) -> Abstention:
    return choose_bound([p for p, _ in links], [right for _, right in links], declared)


@pytest.mark.heavy
@given(LINKS, PRECISION)
def test_the_bound_is_the_least_that_reaches_the_precision_or_else_the_nearest(
    links: list[tuple[float, bool]], declared: float
) -> None:
    answer = chosen(links, declared)
    by_bound = {step / 100: precision_of(links, step / 100) for step in range(101)}
    usable = {bound: precision for bound, (precision, n) in by_bound.items() if n >= MIN_LINKS}
    reaching = [bound for bound, precision in usable.items() if precision >= declared]
    assert answer.is_reached == bool(reaching)
    expected = min(reaching) if reaching else max(usable, key=lambda bound: (usable[bound], -bound))
    assert answer.bound == expected
    assert answer.precision == pytest.approx(usable[expected])
    assert answer.kept == pytest.approx(by_bound[expected][1] / len(links))


@given(LINKS, PRECISION, PRECISION)
def test_a_higher_precision_never_has_a_lower_bound(links: list[tuple[float, bool]], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert chosen(links, low).bound <= chosen(links, high).bound


def test_on_a_handful_of_links_nothing_is_measured_and_nothing_is_bounded() -> None:
    answer = choose_bound([0.9] * (MIN_LINKS - 1), [False] * (MIN_LINKS - 1), 0.9)
    assert (answer.bound, answer.precision, answer.n) == (0.0, None, MIN_LINKS - 1)
    assert "not measured" in str(answer)
    assert not answer.is_reached


def test_a_precision_that_is_not_reached_is_reported() -> None:
    probabilities = np.linspace(0.5, 1, 100)
    reached = choose_bound(probabilities, list(probabilities > 0.7), 0.95)
    assert str(reached).startswith("raw text: a bound of 0.6")
    missed = choose_bound(probabilities, [i % 2 == 0 for i in range(100)], 0.95)
    assert "PRECISION 0.95 IN RAW TEXT IS NOT REACHED" in str(missed)
    assert missed.precision == pytest.approx(0.5, abs=0.03)


def test_it_comes_back_from_json_as_it_was() -> None:
    answer = choose_bound([0.4] * 20 + [0.8] * 40, [False] * 20 + [True] * 40, 0.9)
    assert Abstention.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer
    assert Abstention.from_dict(None) is None
