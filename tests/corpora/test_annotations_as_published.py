"""Annotations whose words or offsets other tools write otherwise than the text: kept where they can mean one place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.corpora.assemble import assemble
from belink.corpora.bioc import read_node
from belink.corpora.raw import CorpusReport
from belink.records import Document

TITLE = "A title that is longer than offsets may drift."


def passage(text: str, offset: int, *annotations: tuple[str, int, int]) -> dict[str, Any]:
    return {
        "offset": offset,
        "text": text,
        "annotations": [
            {"infons": {"identifier": "MESH:D1"}, "text": words, "locations": [{"offset": start, "length": length}]}
            for words, start, length in annotations
        ],
    }


def read(*passages: dict[str, Any]) -> tuple[Document, CorpusReport]:
    report = CorpusReport()
    return assemble(read_node({"id": "1", "passages": list(passages)}), report), report


@pytest.mark.parametrize(
    ("actual", "words"),
    [
        ("SARS\u2010CoV\u20102", "SARS CoV 2"),  # as PubTator repeats them, reported to bconv
        ("TNF-α", "TNF-a"),
        ("TNF-α", "TNF-alpha"),
        ("IL-1ß", "IL-1b"),
        ("Sjögren", "Sjogren"),
        ("5′-nucleotidase", "5'-nucleotidase"),
    ],
)
def test_a_mention_that_is_repeated_in_plain_letters_is_kept_as_the_text_has_it(actual: str, words: str) -> None:
    document, report = read(passage(f"Much {actual} was seen.", 0, (words, 5, len(actual))))
    assert [(m.text, m.gold) for m in document.mentions] == [(actual, ("MESH:D1",))]
    assert (report.rejected, report.repaired) == (0, 1)
    assert "kept at its offsets" in report.rejections[0].reason


@pytest.mark.parametrize(
    ("actual", "words"), [("gout", "pain"), ("TNF-α", "IL-1b"), ("αβγ", "abc"), ("type 1", "type 2")]
)
def test_other_words_are_still_set_aside(actual: str, words: str) -> None:
    document, report = read(passage(f"Much {actual} was seen.", 0, (words, 5, len(actual))))
    assert (document.mentions, report.rejected) == ((), 1)


@given(st.lists(st.sampled_from(["gout", "asthma", "β-thalassemia", "pain"]), min_size=1, max_size=4))
def test_offsets_that_begin_anew_in_each_passage_are_recognised(words: list[str]) -> None:
    texts = [f"Patients with much {word} were seen." for word in words]
    passages, offset = [passage(TITLE, 0)], len(TITLE) + 1
    for text, word in zip(texts, words, strict=True):
        passages.append(passage(text, offset, (word, text.index(word), len(word))))
        offset += len(text) + 1
    document, report = read(*passages)
    assert [m.text for m in document.mentions] == words
    assert report.rejected == 0
    assert any("count in each passage" in each.reason for each in report.rejections)


def test_offsets_in_the_document_stay_even_if_some_are_wrong() -> None:
    text = "Patients with gout and asthma were seen."
    start = len(TITLE) + 1
    document, report = read(
        passage(TITLE, 0), passage(text, start, ("gout", start + 14, 4), ("asthma", start + 23, 6), ("pain", 14, 4))
    )
    assert [m.text for m in document.mentions] == ["gout", "asthma"]
    assert report.rejected == 1
