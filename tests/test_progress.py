"""Long work says how far it is: a bar on a terminal, log lines elsewhere."""

import io
import logging
import sys
import threading
import time
from types import SimpleNamespace

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


def test_work_that_counts_nothing_says_how_long_it_takes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.02)
    monkeypatch.setattr(progress, "_BAR_AFTER", 0.01)
    caplog.set_level(logging.INFO)
    said = threading.Event()
    caplog.handler.addFilter(lambda record: said.set() or True)

    @progress.working("building the index")
    def build(names: int) -> int:
        """Build it."""
        assert said.wait(10)
        return names

    assert build(3) == 3
    assert build.__doc__ == "Build it."
    assert caplog.messages[0] == "building the index: 0 s"
    lines = len(caplog.messages)
    time.sleep(0.1)
    assert len(caplog.messages) == lines, "what has ended says nothing more"


def test_work_is_silent_while_what_it_counts_tells_more(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(progress, "_last_line", now)
    monkeypatch.setattr(progress, "_BAR_AFTER", 0.01)
    caplog.set_level(logging.INFO)
    told = threading.Event()
    caplog.handler.addFilter(lambda record: told.set() or True)
    with progress.working("evaluating"):
        now = 8.0
        assert list(progress.track([1], what="evaluation", unit="mentions")) == [1]  # takes no time: no line
        assert told.wait(10)
        for number in progress.track(range(2), what="evaluation", unit="mentions"):
            now += 6.0 * number
        told.clear()
        now += 4.0
        assert not told.wait(0.2)
        now += 1.0
        assert told.wait(10)
    assert caplog.messages == ["evaluating: 8 s", "evaluation: 2 of 2 mentions, 6 s", "evaluating: 19 s"]


def test_a_terminal_shows_how_long_work_takes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_BAR_AFTER", 0.01)
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    caplog.set_level(logging.INFO)
    with progress.working("building the index"):
        time.sleep(0.5)
    assert "building the index: 00:00" in sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert caplog.messages == []


def test_a_failure_ends_what_is_said_of_the_work(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="broken"), progress.working("building the index"):
        raise ValueError("broken")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("progress of")]
