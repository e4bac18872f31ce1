"""Text from files of others stays text in Markdown and HTML."""

import re

import jinja2
import pytest

from belink.markdown import Markdown, escape, table
from belink.templates import render


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain_name 1.5 %", "plain_name 1.5 %"),
        ("a|b\\", "a\\|b\\\\"),
        ("two\n lines", "two lines"),
        ("<img src=x onerror=alert(1)>", "\\<img src=x onerror=alert(1)\\>"),
        ("&lt;img&gt; &amp; co", "\\<img\\> & co"),
        ("[text](javascript:x) `code` *bold* # head", "\\[text\\](javascript:x) \\`code\\` \\*bold\\* \\# head"),
        (3, "3"),
        (None, ""),
        (Markdown("| a |"), "| a |"),
    ],
)
def test_marks_are_escaped(value: object, expected: str) -> None:
    assert escape(value) == expected


def test_a_table_keeps_its_columns_for_any_cell() -> None:
    text = table(["name", "n|"], [["a|b", 1], ["c\nd", None], ["e\\", "|"]], right=["n|"])
    lines = text.splitlines()
    assert lines[:2] == ["| name | n\\| |", "| --- | ---: |"]
    assert len(lines) == 5
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines} == {3}


def test_a_template_without_a_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("belink.registry", "model_card.md")
    with pytest.raises(jinja2.UndefinedError):
        render("belink.evaluation", "report.html", title="x")
