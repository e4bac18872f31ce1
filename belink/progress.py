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
    """``items``, each reported once it has been taken; ``total`` where ``items`` has no length."""
    from tqdm import tqdm

    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, unit=unit or "it", leave=False)
        return
    started = said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said >= _LINE_EVERY:
            said = now
            of = f" of {total}" if total else ""
            log.info("%s: %d%s %s, %.0f s", what, done, of, unit, now - started)
