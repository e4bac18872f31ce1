"""Words are free of marks and whole across line ends, unless the written form is itself a word of a name."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.text.normalise import aligned_words
from belink.text.words import as_read, find_words

KNOWN = {"copd", "asthma", "epilepsy", "b*27", "nadp+", "hypertension", "ca2+", "sjogren"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#COPD *asthma +asthma =asthma >COPD ~asthma", ["COPD", "asthma", "asthma", "asthma", "COPD", "asthma"]),
        ("COPD&asthma Dx=asthma", ["COPD", "asthma", "Dx", "asthma"]),
        ("<p>asthma</p>", ["p", "asthma", "p"]),
        ("asthma³ asthma\x00 \x1basthma", ["asthma", "asthma", "asthma"]),
        ("●COPD «epilepsy» “asthma”", ["COPD", "epilepsy", "asthma"]),
        ("HLA-B*27 and B*27+, NADP+ or Ca²⁺", ["HLA", "B*27", "and", "B*27", "NADP+", "or", "Ca²⁺"]),
        ("Sjo\u0308gren's 1,2-x 5'-y", ["Sjo\u0308gren", "1,2", "x", "5'", "y"]),
        ("hyper-\ntension", ["hyper-\ntension"]),
        ("hyper‐\r\n   tension and", ["hyper‐\r\n   tension", "and"]),
        ("non-\nhodgkin", ["non", "hodgkin"]),
        ("hyper-tension", ["hyper", "tension"]),
        ("hy-\nper-\ntension", ["hy-\nper-\ntension"]),
        ("„asthma“ \uf0b7asthma ⚠️asthma 1️⃣asthma", ["asthma", "asthma", "asthma", "1", "asthma"]),
        ("asthmaª asthmaᵇ asthma\u200bepilepsy", ["asthma", "asthma", "asthma", "epilepsy"]),
        ("\u202aasthma\u202c asth\u200ema", ["asthma", "asth\u200ema"]),
        ("👩‍⚕️asthma", ["asthma"]),
        ("##", []),
    ],
)
def test_each_word_is_found_in_its_own_place(text: str, expected: list[str]) -> None:
    pieces = [text[start:end].removesuffix("'s") for _, start, end in find_words(text, KNOWN.__contains__)]
    assert [piece.rstrip("'") for piece in pieces] == [piece.rstrip("'") for piece in expected]


def spans(text: str) -> list[tuple[int, int]]:
    return [(start, end) for _, start, end in find_words(text, KNOWN.__contains__)]


@given(st.characters(categories=["Sm", "Sc", "So", "Sk", "Ps", "Pe", "Pi", "Pf", "Pd", "Pc", "Cc", "Cf", "Co", "Me"]))
def test_no_mark_hides_the_word_that_it_is_glued_to(mark: str) -> None:
    assert (3, 9) in spans(f"a {mark}asthma{mark} b") or mark in "’`´"


@given(st.sampled_from("-‐‑–−¬\u00ad"), st.sampled_from(["\n", "\r\n", "\r", "\f", "\v", "\n\f", "\u2028", "\x85"]),
       st.integers(1, 11), st.sampled_from(["", " ", "\t", "\xa0"]))  # fmt: skip
def test_a_word_is_whole_wherever_and_however_a_line_breaks_it(hyphen: str, end: str, at: int, blank: str) -> None:
    broken = "hypertension"[:at] + hyphen + blank + end + "hypertension"[at:]
    assert spans(f"a {broken} b")[1] == (2, 2 + len(broken))
    assert as_read(broken) == "hypertension"


def test_words_broken_at_line_ends_are_joined() -> None:
    assert as_read("chronic obstructive pul-\r\n  monary disease") == "chronic obstructive pulmonary disease"


@given(st.text(st.sampled_from("aβ1 .,'-\n#*³\x00é\u0301<"), max_size=40), st.booleans())
def test_words_lie_in_the_text_and_in_order(text: str, known: bool) -> None:
    words = find_words(text, lambda word: known)
    assert all(0 <= start < end <= len(text) for _, start, end in words)
    assert all(one[2] <= other[1] for one, other in itertools.pairwise(words))
    if known and "-\n" not in text:
        assert words == aligned_words(text)
