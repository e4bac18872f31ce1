"""Character references in a text, as copies of web pages keep them, are read as the characters that they stand for."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.linker.name_finder import NameFinder
from belink.records import Mention
from belink.retrieval.queries import queries_of
from belink.text.normalise import aligned_words, normalise

NAMES = ["Sjögren syndrome", "alpha thalassemia", "type 2 diabetes mellitus", "Crohn's disease", "COVID-19", "asthma"]
FINDER = NameFinder.build(map(normalise, NAMES))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a Sj&ouml;gren syndrome", ["Sj&ouml;gren syndrome"]),
        ("a Sj&#246;gren syndrome", ["Sj&#246;gren syndrome"]),
        ("&alpha;-thalassemia and asthma&nbsp;attack", ["&alpha;-thalassemia", "asthma"]),
        ("type&nbsp;2 diabetes mellitus", ["type&nbsp;2 diabetes mellitus"]),
        ("Crohn&#39;s disease", ["Crohn&#39;s disease"]),
        ("2&ndash;14 days of COVID&#8209;19", ["COVID&#8209;19"]),
        ("&lt;asthma&gt;", ["asthma"]),
        ("fever & asthma; COPD&asthma", ["asthma", "asthma"]),
        ("&nosuchthing; asthma &#99999999; asthma &#0; asthma", ["asthma"] * 3),
    ],
)
def test_names_are_found_with_the_span_as_the_text_has_it(text: str, found: list[str]) -> None:
    assert [text[m.start : m.end] for m in FINDER.find(text)] == found


@given(st.lists(st.sampled_from(["ö", "é", "α", " ", "-", "a", "b", "1", "'", "&", "ß"]), max_size=12).map("".join))
def test_a_text_with_references_has_the_words_of_the_text_without(text: str) -> None:
    referenced = "".join(f"&#{ord(c)};" if not c.isascii() else html.escape(c) for c in text)
    assert [word for word, _, _ in aligned_words(referenced)] == [word for word, _, _ in aligned_words(text)]


def test_a_mention_with_references_is_looked_up_by_its_characters() -> None:
    assert queries_of(Mention(text="Sj&ouml;gren&nbsp;syndrome"))[0].text == "sjogren syndrome"
