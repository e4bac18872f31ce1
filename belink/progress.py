"""Progress of long work: a bar on a terminal, log lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")
_LINE_EVERY = 10.0  # seconds between log lines where there is no terminal

log = logging.getLogger(__name__)


def track(items: Iterable[T], *, what: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Yield ``items`` while reporting progress: a bar on a terminal, a log line every ten seconds elsewhere.

    :param what: the name of the work, as shown.
    :param total: number of items, where they have no length.
    :param unit: what is counted, such as ``documents``.
    """
    from tqdm import tqdm

    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, unit=unit or "it", leave=False)
        return
    started = last_line = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last_line >= _LINE_EVERY:
            last_line = now
            of = f" of {total}" if total else ""
            log.info("%s: %d%s %s, %.0f s", what, done, of, unit, now - started)
