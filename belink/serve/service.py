"""What the routes of the HTTP service share: which linkers answer, and the thread that asks them."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import HTTPException

from belink.linker.group import LinkerGroup
from belink.linker.linker import Linker
from belink.serve import schemas
from belink.serve.batching import Batcher, Closed
from belink.serve.following import Follower, Served
from belink.serve.metrics import Metrics
from belink.settings import Settings

T = TypeVar("T")
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Problem, "description": description}
    for status, description in {
        400: "The body is not JSON.",
        401: "The token is missing or wrong.",
        415: "The Content-Type is not JSON.",
        421: "The Host header names another server.",
        413: "The body is too large, or its answer would be.",
        500: "The service failed.",
        503: "Too many requests are open, or no linker is loaded; Retry-After says when to ask again.",
        504: "Not answered within the time limit.",
    }.items()
}


class Service:
    """What the routes share: the followers, one a linker, the batcher and the counters."""

    def __init__(self, settings: Settings, followers: Sequence[Follower], queue: int, metrics: Metrics) -> None:
        self.settings, self.followers, self.metrics = settings, tuple(followers), metrics
        self._group: LinkerGroup | None = None
        self.batcher = Batcher(lambda: self.linker, waiting=queue, linked=metrics.linked)
        # Not asyncio's own pool: slow questions to the registry would take the threads that `to_thread` needs.
        self._slow = ThreadPoolExecutor(2, "belink-history")

    async def run_slow(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what ``function`` returns; it runs on one of two separate threads and delays no other route."""
        return await asyncio.get_running_loop().run_in_executor(self._slow, function, *arguments)

    def close(self) -> None:
        """End the threads."""
        self.batcher.close()
        for follower in self.followers:
            follower.stop()
        self._slow.shutdown(wait=False, cancel_futures=True)

    @property
    def linker(self) -> Linker | LinkerGroup | None:
        """What answers now: the linker, or several as one; ``None`` until all are loaded."""
        # One answer for a group that is not complete would look like "no such concept".
        linkers = tuple(linker for follower in self.followers if (linker := follower.linker) is not None)
        if len(linkers) < len(self.followers):
            return None
        if len(linkers) == 1:
            return linkers[0]
        group = self._group
        if group is None or group.linkers != linkers:  # requests of one batch share the same object
            self._group = group = LinkerGroup(linkers)
        return group

    def served(self) -> list[Served]:
        """Return the version of each linker that answers now.

        :raises Closed: one is not loaded yet.
        """
        served = [follower.current for follower in self.followers if follower.current is not None]
        if len(served) < len(self.followers):
            raise Closed("no champion is loaded yet")
        return served

    def name(self, linker: str | None) -> str:
        """Return the name of the linker that a request asks about, the first where it names none.

        :raises HTTPException: 404 for one that is not served here.
        """
        names = [follower.name for follower in self.followers]
        if linker is not None and linker not in names:
            raise HTTPException(404, f"{linker[:100]}: expected one of {', '.join(names)}")
        return linker or names[0]
