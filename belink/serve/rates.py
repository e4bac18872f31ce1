"""Limits on how often a client may ask."""

import threading
import time
from collections import OrderedDict, deque
from math import ceil

from fastapi import HTTPException, Request

_MOST_CLIENTS = 1_000


class RateLimit:
    """At most so many requests of a client a minute; threads may share it."""

    def __init__(self, per_minute: int, what: str) -> None:
        """Count requests of a kind.

        :param what: in words, for the refusal.
        """
        self._per_minute, self._what = per_minute, what
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, request: Request) -> None:
        """Count ``request``.

        :raises HTTPException: 429, its client has to wait.
        """
        if seconds := ceil(self.wait(request.client.host if request.client else "")):
            raise HTTPException(
                429,
                f"expected at most {self._per_minute} {self._what} a minute, found more; go on in {seconds} s",
                {"Retry-After": str(seconds)},
            )

    def wait(self, client: str) -> float:
        """Return the seconds that ``client`` has to wait; 0 counts the request."""
        now = time.monotonic()
        with self._lock:
            times = self._times.setdefault(client, deque())
            self._times.move_to_end(client)
            if len(self._times) > _MOST_CLIENTS:
                self._times.popitem(last=False)
            while times and times[0] <= now - 60:
                times.popleft()
            if len(times) >= self._per_minute:
                return times[0] + 60 - now
            times.append(now)
            return 0.0
