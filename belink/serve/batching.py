"""Requests of several clients to one model: a bounded queue and one thread that links.

The thread takes a slice of mentions at a time, evenly from every open request. So small requests are answered together,
and none waits behind a large one. Nothing is delayed to gather a batch: while one slice is linked,
the next requests arrive. A request is answered by the linker that it was admitted under, whatever is champion by then.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from belink.linker.group import LinkerGroup
from belink.linker.linker import Linker
from belink.records import Document, Link, Mention
from belink.serve.schemas import MOST_MENTIONS, TooLarge
from belink.waiting import Abandoned, waited_for

log = logging.getLogger(__name__)

T = TypeVar("T")
_SLICE = 32  # mentions linked at a time; a small request waits at most for one slice
_ADMIT_SECONDS = 0.1  # spent on finding mentions in new requests before open ones go on


class Overloaded(Exception):
    """More requests are open than the queue holds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full; try again in {retry_after} s")
        self.retry_after = retry_after  # seconds


class Closed(Exception):
    """No linker is loaded, or the service is stopping."""


@dataclass(frozen=True, kw_only=True)
class Linked:
    """The answer to a request for links: by one linker, or one group of linkers, from start to end."""

    documents: list[tuple[Document, list[Link]]]
    linker: Linker | LinkerGroup


@dataclass(frozen=True, kw_only=True)
class Part:
    """The next links of a streamed text, in order of their offsets; the first part has none."""

    links: list[Link]
    linker: Linker | LinkerGroup
    n_done: int  # mentions linked so far
    n_mentions: int  # of the whole text


@dataclass(kw_only=True, eq=False)
class _Open:
    """A request that is being linked."""

    future: "Future[Linked]"
    linker: Linker | LinkerGroup
    min_probability: float | None  # the caller's bound
    documents: list[Document]
    mentions: list[Mention] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    on_part: Callable[[Part], None] | None = None
    n_delivered: int = 0  # links that `on_part` has been called with

    @property
    def n_left(self) -> int:
        return len(self.mentions) - len(self.links)

    def deliver(self) -> None:
        """Call ``on_part`` with the links that no later link can change."""
        if self.on_part is None:
            return
        links, until = self.links, len(self.links)
        if isinstance(self.linker, LinkerGroup):
            # Overlapping answers are settled together, so a part ends where no found mention goes on.
            until, covered = self.n_delivered, -1
            for number, mention in enumerate(self.mentions[: len(links) + 1]):
                if mention.start >= covered:
                    until = max(until, number)
                covered = max(covered, mention.end)
            until = until if self.n_left else len(links)
        part = links[self.n_delivered : until]
        self.n_delivered = until
        if isinstance(self.linker, LinkerGroup):
            _, part = self.linker.settle(self.documents[0], part)
        self.on_part(Part(links=part, linker=self.linker, n_done=len(links), n_mentions=len(self.mentions)))


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    future: "Future[Any]"
    documents: tuple[Document, ...] = ()
    min_probability: float | None = None
    question: Callable[[Linker | LinkerGroup], Any] | None = None  # instead of documents
    on_part: Callable[[Part], None] | None = None


class Batcher:
    """The queue and its thread; :meth:`link` and :meth:`ask` may be called from any thread."""

    def __init__(
        self,
        current: Callable[[], Linker | LinkerGroup | None],
        *,
        waiting: int,
        linked: Callable[[Sequence[Link], float], None] = lambda links, seconds: None,
    ) -> None:
        """Start the thread.

        :param current: the linker that requests admitted from now on are answered by.
        :param waiting: requests that may be open at once.
        :param linked: called after each slice with its links and the seconds it took.
        """
        self._current, self._linked, self._limit = current, linked, waiting
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        # A semaphore beside the queue: a place is taken until the answer, and not only until the request leaves the
        # queue.
        self._places = threading.Semaphore(waiting)
        self._open: list[_Open] = []
        self._closed = False
        self._count = 0
        self._counting = threading.Lock()  # of `_count`, `_closed` and what comes into the queue
        self._seconds = 0.1  # a request's, smoothed; for Retry-After
        self._thread = threading.Thread(target=self._run, name="belink-linking", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """The number of requests that are waiting or being linked."""
        return self._count

    def link(self, documents: Sequence[Document], min_probability: float | None = None) -> "Future[Linked]":
        """Return a future of the links of ``documents``; cancelling it stops the work.

        :raises Overloaded: too many requests are open.
        """
        return self._submit(_Waiting(future=Future(), documents=tuple(documents), min_probability=min_probability))

    def stream(
        self, document: Document, min_probability: float | None, on_part: Callable[[Part], None]
    ) -> "Future[Linked]":
        """Return a future of the links of one text, of which ``on_part`` gets each part as soon as it is linked.

        The text is prepared as a whole, so abbreviations hold for all of it. ``on_part`` runs on the linking thread.

        :raises Overloaded: too many requests are open.
        """
        waiting = _Waiting(future=Future(), documents=(document,), min_probability=min_probability, on_part=on_part)
        return self._submit(waiting)

    def ask(self, question: Callable[[Linker | LinkerGroup], T]) -> "Future[T]":
        """Return a future of what ``question`` returns, called with the current linker on the linking thread.

        :raises Overloaded: too many requests are open.
        """
        return self._submit(_Waiting(future=Future(), question=question))

    def close(self) -> None:
        """Stop the thread; open requests fail with :class:`Closed`."""
        with self._counting:
            self._closed = True
            self._queue.put(None)
        # The thread is a daemon: one that hangs in a model does not keep the process from ending.
        self._thread.join(timeout=10)

    def _submit(self, waiting: _Waiting) -> "Future[Any]":
        # One lock with `close`: a request that came into the queue behind its end would never be answered.
        with self._counting:
            if self._closed:
                raise Closed("the service is stopping")
            if not self._places.acquire(blocking=False):
                # The time that a full queue takes at the present speed, at least a second and at most a minute.
                raise Overloaded(retry_after=min(60, 1 + int(self._limit * self._seconds)))
            self._count += 1
            self._queue.put(waiting)
        return waiting.future

    def _done(self, future: "Future[Any]", result: Any = None, error: BaseException | None = None) -> None:
        """Complete ``future``, unless it was cancelled, and free its place in the queue."""
        # After this call nobody can cancel the future any more. Without it, a cancellation at this moment would make
        # `set_result` raise.
        if future.set_running_or_notify_cancel():
            future.set_exception(error) if error is not None else future.set_result(result)
        with self._counting:
            self._count -= 1
        self._places.release()

    def _run(self) -> None:
        while not self._closed:
            try:
                self._admit()
                self._advance()
            except Exception as error:  # the fault of one request must not end the service
                log.exception("linking failed")
                self._fail_all(error)
        self._fail_all(Closed("the service is stopping"))

    def _fail_all(self, error: BaseException) -> None:
        for request in self._open:
            self._done(request.future, error=error)
        self._open.clear()
        # An error of one round fails what is open; requests that still wait in the queue are untouched by it.
        while self._closed and not self._queue.empty():
            if (waiting := self._queue.get()) is not None:
                self._done(waiting.future, error=error)

    def _admit(self) -> None:
        """Open the requests that are waiting; block until there is one if none is open."""
        until = time.monotonic() + _ADMIT_SECONDS
        while len(self._open) < _SLICE and not (self._open and time.monotonic() > until):
            try:
                # Blocking only while nothing is open; `close` puts `None` into the queue to end the wait.
                waiting = self._queue.get(block=not self._open)
            except queue.Empty:
                return
            if waiting is None:
                return
            if not waiting.future.cancelled():
                self._begin(waiting)
            else:
                self._done(waiting.future)

    def _begin(self, waiting: _Waiting) -> None:
        linker = self._current()
        try:
            if linker is None:
                raise Closed("no champion is loaded yet")
            if waiting.question is not None:
                with waited_for(lambda: not waiting.future.cancelled()):
                    self._done(waiting.future, waiting.question(linker))
                return
            request = _Open(
                future=waiting.future,
                linker=linker,
                min_probability=waiting.min_probability,
                documents=[],
                on_part=waiting.on_part,
            )
            with waited_for(lambda: not waiting.future.cancelled()):
                request.documents += map(linker.prepare, waiting.documents)
            request.mentions = [mention for document in request.documents for mention in document.mentions]
            # Checked again here: how many mentions a text without marks has is known only now.
            if len(request.mentions) > MOST_MENTIONS:
                raise TooLarge(
                    f"expected at most {MOST_MENTIONS:,} mentions, found {len(request.mentions):,}; send less at a time"
                )
            request.deliver()
        except Exception as error:
            self._done(waiting.future, error=error)
            return
        self._open.append(request)

    def _advance(self) -> None:
        """Link one slice, and answer the requests that it completes."""
        for request in [request for request in self._open if request.future.cancelled()]:
            self._open.remove(request)
            self._done(request.future)
        if self._open:
            # One slice goes through one linker. During a swap, the requests of the older one are answered first.
            batch = [request for request in self._open if request.linker is self._open[0].linker]
            share = max(1, _SLICE // len(batch))
            self._link_slice([(request, min(share, request.n_left)) for request in batch])
        for request in [request for request in self._open if not request.n_left]:
            self._open.remove(request)
            self._done(request.future, _answer(request))

    def _link_slice(self, taken: Sequence[tuple[_Open, int]]) -> None:
        taken = [(request, n) for request, n in taken if n][:_SLICE]
        mentions = [mention for request, n in taken for mention in request.mentions[len(request.links) :][:n]]
        if not mentions:
            return
        started = time.perf_counter()
        try:
            with waited_for(lambda: not all(request.future.cancelled() for request, _ in taken)):
                # Without a bound, because requests of one slice may set different ones. Each bound is applied below.
                links = iter(taken[0][0].linker.link(mentions, min_probability=0.0))
        except Abandoned:
            return  # the requests are cancelled: the next round takes them off the list
        except Exception as error:
            if len(taken) > 1:  # linked one by one, only the request at fault fails
                for request_share in taken:
                    self._link_slice([request_share])
                return
            log.exception("linking failed")
            ((request, _),) = taken
            self._open.remove(request)
            self._done(request.future, error=error)
            return
        seconds = time.perf_counter() - started
        # An exponential moving average, of which the newest slice is a tenth.
        self._seconds += 0.1 * (seconds / len(taken) - self._seconds)
        for request, n in taken:
            request_links = [request.linker.abstain(next(links), request.min_probability) for _ in range(n)]
            request.links += request_links
            self._linked(request_links, seconds * n / len(mentions))
            request.deliver()


def _answer(request: _Open) -> Linked:
    links = iter(request.links)
    linked = [(document, [next(links) for _ in document.mentions]) for document in request.documents]
    # Overlapping answers of several linkers are settled for a whole document, so only once all its slices are done.
    if isinstance(request.linker, LinkerGroup):
        linked = [request.linker.settle(*each) for each in linked]
    return Linked(documents=linked, linker=request.linker)
