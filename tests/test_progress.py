"""Long work says how far it is: a bar on a terminal, log lines elsewhere."""

import io
import logging
import sys

import pytest

from belink import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_log_lines_count_units_not_batches(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    caplog.set_level(logging.INFO)
    batches = [range(4), range(4, 9)]
    assert list(progress.track(batches, what="re-ranking", total=9, unit="questions", size=len)) == batches
    assert [line.rpartition(",")[0] for line in caplog.messages] == [
        "re-ranking: 4 of 9 questions",
        "re-ranking: 9 of 9 questions",
    ]


def test_short_work_is_silent(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO)
    terminal = Terminal()
    assert list(progress.track([1, 2], what="linking")) == [1, 2]
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress.track([1, 2], what="linking")) == [1, 2]
    assert (caplog.messages, terminal.getvalue()) == ([], "")


def test_a_terminal_shows_a_bar_and_no_lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "_BAR_AFTER", 0.0)
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert sum(progress.track([3, 4], what="linking", total=7, unit="mentions", size=int)) == 7
    assert "linking" in sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert caplog.messages == []
