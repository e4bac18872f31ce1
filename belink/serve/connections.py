"""How many connections are open at once, and how long one may stay without a request.

uvicorn closes a connection that is silent after an answer. It keeps one for ever that never sends a request, or that
sends its headers a byte at a time. Each of them holds an open file.
"""

import asyncio
import resource

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 20.0
"""Seconds in which a connection must have sent the headers of its next request."""


def most_connections() -> int:
    """Return how many connections may be open: half of the open files that the system allows this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The other half is for releases, models and the registry.
    return 10_000 if soft == resource.RLIM_INFINITY else max(8, min(10_000, soft // 2))


class Connection(H11Protocol):
    """A connection that is closed when its headers are late, or when it is idle and its place is needed."""

    header_seconds = HEADER_SECONDS
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection; if too many are open, close the idle one whose time would end first."""
        # Of the base class: it adds this connection to `self.connections`.
        super().connection_made(transport)
        self._expect_headers()
        if len(self.connections) > most_connections():
            # This connection waits for headers itself, so the list is never empty.
            idle = [other for other in self.connections if isinstance(other, Connection) and other.idle_until]
            min(idle, key=lambda other: other.idle_until).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read on; the clock for headers stops once they are whole."""
        super().data_received(data)
        # uvicorn sets `cycle` once the headers are whole. The body has a time limit of its own, in `guard`.
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel()
        elif self._late is None:
            self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._cancel()
        super().connection_lost(exc)

    @property
    def idle_until(self) -> float:
        """When the connection will be closed for its silence, in the event loop's seconds; 0 while it is answered."""
        # The second timer is uvicorn's, for a connection that is kept open after an answer.
        waiting = self._late or self.timeout_keep_alive_task
        return waiting.when() if waiting is not None else 0.0

    def _expect_headers(self) -> None:
        self._late = self.loop.call_later(self.header_seconds, self.transport.abort)

    def _cancel(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
