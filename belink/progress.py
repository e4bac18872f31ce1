"""Progress of long work: a bar on a terminal, log lines elsewhere."""

import contextvars
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
Record = Callable[[str, float, int], None]  # name of a metric, its value, the step
# Seconds between log lines where there is no terminal. A line waits for the item in work, so that this and an item of
# five seconds stay within the ten that a refresh may be silent.
_LINE_EVERY = 5.0
_BAR_AFTER = 1.0  # seconds; shorter work shows no bar

log = logging.getLogger(__name__)
_last_line = 0.0  # when a line of progress was last written, by time.monotonic()


def _tell(line: str, *values: object) -> None:
    global _last_line  # one program has one log
    _last_line = time.monotonic()
    log.info(line, *values)


def track(
    items: Iterable[T], *, what: str, total: int | None = None, unit: str = "", size: Callable[[T], int] | None = None
) -> Iterator[T]:
    """Yield ``items`` while reporting progress: a bar on a terminal, a log line every few seconds elsewhere.

    :param what: the name of the work, as shown.
    :param total: the number of units, where it is not the length of ``items``.
    :param unit: what is counted, such as ``documents``.
    :param size: how many units an item holds, such as ``len`` for batches; ``None`` counts each as one.
    """
    from tqdm import tqdm

    # The length of batches is not the number of what they hold.
    if total is None and size is None and isinstance(items, Sized):
        total = len(items)
    is_terminal = sys.stderr.isatty()
    of = f" of {total}" if total else ""
    done, started = 0, time.monotonic()
    last_line = started
    with tqdm(
        desc=what, total=total, unit=unit or "it", leave=False, delay=_BAR_AFTER, disable=not is_terminal
    ) as progress_bar:
        for item in items:
            yield item
            n = 1 if size is None else size(item)
            done += n
            progress_bar.update(n)
            now = time.monotonic()
            if not is_terminal and now - last_line >= _LINE_EVERY:
                last_line = now
                _tell("%s: %d%s %s, %.0f s", what, done, of, unit, now - started)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show within the block, or during a call of the function that it decorates, that ``what`` goes on and how long.

    It is for work that cannot tell how far it is. A terminal shows the time; elsewhere a line is logged every few
    seconds in which :func:`track` has logged none.
    """
    ended = threading.Event()
    # Prefect finds the run that a line belongs to in the context.
    context = contextvars.copy_context()
    thread = threading.Thread(
        target=context.run, args=(_show_time, what, time.monotonic(), ended), name=f"progress of {what}", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _show_time(what: str, started: float, ended: threading.Event) -> None:
    from tqdm import tqdm

    is_terminal = sys.stderr.isatty()
    with tqdm(
        desc=what, bar_format="{desc}: {elapsed}", leave=False, delay=_BAR_AFTER, disable=not is_terminal
    ) as elapsed:
        while not ended.wait(_BAR_AFTER):
            elapsed.update()
            now = time.monotonic()
            if not is_terminal and now - max(started, _last_line) >= _LINE_EVERY:
                _tell("%s: %.0f s", what, now - started)


@contextmanager
def hide_bars_of_transformers() -> Iterator[None]:
    """Switch the progress bars of transformers off within the block."""
    from transformers.utils import logging

    bars: Any = logging  # the module has no type hints
    were_enabled = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if were_enabled:
            bars.enable_progress_bar()
