"""The operations of the service, as HTTP routes and assistants' tools ask for them, and the thread that answers."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel

from belink.linker.group import LinkerGroup
from belink.linker.linker import Linker
from belink.serve import answers, schemas
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
    """The followers, one a linker, the batcher and the counters; and the operations over them."""

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

    async def link(self, body: schemas.Text | schemas.Documents | schemas.BiocCollection) -> BaseModel:
        """Return the links of a text or documents; one version answers the whole request."""
        # Splitting a large text takes longer than the event loop may be blocked.
        documents = await asyncio.to_thread(answers.request_documents, body)
        # A BioC collection has no place for belink's settings.
        bound = None if isinstance(body, schemas.BiocCollection) else body.min_probability
        # Leaving early (a time limit, a client gone) cancels the request.
        linked = await asyncio.wrap_future(self.batcher.link(documents, bound))
        return answers.answer(body, linked.documents, linked.linker.lineage)

    async def search(self, query: str, limit: int) -> schemas.SearchAnswer:
        """Return the concepts for a name or an id, best first."""
        return await asyncio.wrap_future(
            self.batcher.ask(lambda linker: answers.search_answer(query, *linker.look_up(query, limit), linker.lineage))
        )

    def concept(self, id: str) -> schemas.ConceptAnswer | None:
        """Return what the first release that holds ``id`` says of it; ``None`` where none does. May block."""
        for served in self.served():
            if (described := answers.concept_answer(id, served.releases, served.linker.lineage)) is not None:
                return described
        return None

    def no_concept(self, id: str) -> str:
        """Return the message for an id that no release has."""
        return f"{id[:100]}: no concept of {', '.join(each.linker.lineage['releases'] for each in self.served())}"

    def lineage(self) -> dict[str, Any]:
        """Return which versions answer, and what they are made from; the only linker's also at the top."""
        linkers = [_lineage(*each) for each in zip(self.followers, self.served(), strict=True)]
        return {**(linkers[0] if len(linkers) == 1 else {}), "linkers": linkers}

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


def _lineage(follower: Follower, served: Served) -> dict[str, Any]:
    declared = served.linker.declaration
    return {
        "linker": follower.name,
        "alias": follower.alias,
        "version": served.version,
        "since": served.since,
        "title": declared.title,
        "type": declared.type,
        "min_probability": served.linker.bound(),
        "abstention": None if (chosen := served.linker.calibration.abstention) is None else chosen.to_dict(),
        "releases": {release.ontology: release.version for release in served.releases},
        "lineage": served.linker.lineage,
    }


def require_json(request: Request) -> None:
    """Refuse a body that is not sent as JSON.

    Browsers send other types for any page without asking this service first, so none of them is read.
    """
    content_type = request.headers.get("content-type", "")
    essence = content_type.partition(";")[0].strip().lower()
    if essence != "application/json" and not (essence.startswith("application/") and essence.endswith("+json")):
        raise HTTPException(415, f"expected Content-Type: application/json, found {content_type[:100] or 'none'}")
