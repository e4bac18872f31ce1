"""Work for somebody who may stop waiting: a request whose time is up, or whose sender is gone.

Whoever works for others says so with :func:`waited_for`; loops that may take long, in whatever module, call
:func:`go_on`, which ends them by :class:`Abandoned` once nobody waits. Without :func:`waited_for` it costs a look-up.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Abandoned(Exception):
    """Nobody waits for this work any more."""


# A context variable holds for one thread or task, so requests that run side by side do not see each other's.
_is_wanted: ContextVar[Callable[[], bool] | None] = ContextVar("is_wanted", default=None)


@contextmanager
def waited_for(is_wanted: Callable[[], bool]) -> Iterator[None]:
    """Let :func:`go_on` end the work in this block, on this thread, as soon as ``is_wanted`` says no."""
    before = _is_wanted.set(is_wanted)
    try:
        yield
    finally:
        _is_wanted.reset(before)


def go_on() -> None:
    """Do nothing while somebody waits; call it about every millisecond of work.

    :raises Abandoned: nobody does.
    """
    is_wanted = _is_wanted.get()
    if is_wanted is not None and not is_wanted():
        raise Abandoned
