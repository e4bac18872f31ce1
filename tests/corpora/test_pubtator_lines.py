"""PubTator lines that do not belong where they stand are kept, repaired or set aside one by one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.corpora.files import CorpusReport, read_corpus, read_documents
from belink.records import Document

ONE = ["200|t|Gout in adults", "200|a|We studied gout.", "200\t0\t4\tGout\tDisease\tMESH:D006073"]
TWO = ["201|t|Asthma", "201|a|Nothing else.", "201\t0\t6\tAsthma\tDisease\tMESH:D001249"]


def read(path: Path, text: str) -> tuple[list[Document], CorpusReport]:
    path.write_text(text, encoding="utf-8", newline="")
    report = CorpusReport()
    return list(read_corpus(path, report=report)), report


def shown(documents: list[Document]) -> list[tuple[str, str, list[tuple[int, str, tuple[str, ...]]]]]:
    return [(d.id, d.text, [(m.start, m.text, m.gold) for m in d.mentions]) for d in documents]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@given(st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_blank_lines_change_nothing(tmp_path_factory: pytest.TempPathFactory, end: str, blanks: list[int]) -> None:
    path = tmp_path_factory.getbasetemp() / "x"
    whole = "".join(line + end for line in (*ONE, "", *TWO))
    spread = "".join(line + end * (1 + n) for line, n in zip((*ONE, *TWO), blanks, strict=True))
    expected, _ = read(path, whole)
    documents, report = read(path, spread)
    assert shown(documents) == shown(expected)
    assert [len(document.mentions) for document in documents] == [1, 1]
    assert (report.rejected, report.repaired) == (0, 0)


def test_a_blank_line_inside_a_structured_abstract_counts_in_its_offsets(tmp_path: Path) -> None:
    lines = [
        "201|t|Gout in adults",
        "201|a|BACKGROUND: gout.",
        "",
        "METHODS: lupus.",
        "",
        "201\t43\t48\tlupus\tDisease\tX:1",
    ]
    (document,), report = read(tmp_path / "x", "\n".join(lines))
    assert document.text == "Gout in adults\nBACKGROUND: gout.\n\nMETHODS: lupus."
    assert [(m.start, m.text) for m in document.mentions] == [(43, "lupus")]
    assert (report.rejected, report.repaired) == (0, 1)


def test_two_documents_of_one_id_stay_two(tmp_path: Path) -> None:
    documents, _ = read(tmp_path / "x", "\n".join([*ONE, *ONE]))
    assert [len(document.mentions) for document in documents] == [1, 1]


def test_lines_of_a_document_that_is_not_there_are_set_aside(tmp_path: Path) -> None:
    documents, report = read(tmp_path / "x", "\n".join([*ONE, "", TWO[2], "", *TWO]))
    assert [len(document.mentions) for document in documents] == [1, 1]
    assert [r.line for r in report.rejections] == [5]
    assert "found one of '201'" in report.rejections[0].reason


def test_comments_before_the_first_document_are_passed_over(tmp_path: Path) -> None:
    path, lines = tmp_path / "x.txt", ["#PubTator export", "", "# 2 documents", *ONE]
    assert shown(read(path, "\n".join(lines))[0]) == shown(read(path, "\n".join(ONE))[0])
    path.write_text("\n".join(lines))
    assert [document.id for document in read_documents(path)] == ["200"]


def test_relations_of_any_kind_are_no_mentions(tmp_path: Path) -> None:
    relations = "1\tCID\tD1\tD2\n1\tPositive_Correlation\t7157\tD2\tNovel\n1\tAssociation\tD1|D2\tc|SUB|A|1|T\tNo\n"
    (document,), report = read(tmp_path / "x", f"1|t|Gout\n1|a|\n1\t0\t4\tGout\tDisease\tX:1\n{relations}")
    assert [mention.text for mention in document.mentions] == ["Gout"]
    assert (report.rejected, report.repaired) == (0, 0)


def test_a_variant_with_bars_is_one_id(tmp_path: Path) -> None:
    (document,), _ = read(tmp_path / "x", "1|t|V600E\n1|a|\n1\t0\t5\tV600E\tProteinMutation\tp|SUB|V|600|E\n")
    assert document.mentions[0].gold == ("p|SUB|V|600|E",)


def test_blanks_around_the_id_of_a_line_do_not_count(tmp_path: Path) -> None:
    (document,), report = read(tmp_path / "x", "1|t|Gout\n1|a|\n1 \t 0\t4 \tGout\tDisease\tX:1\n")
    assert [mention.gold for mention in document.mentions] == [("X:1",)] and report.rejected == 0
