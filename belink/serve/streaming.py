"""Links of a long text as they are made: JSON Lines, for callers who show progress.

The first line has ``lineage`` and ``n_mentions``, each further one ``links`` and ``n_done``. The answer is whole when
``n_done`` equals ``n_mentions``. A failure on the way is a last line with ``detail``. Who leaves early ends the work.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from concurrent.futures import Future

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from belink.records import Document
from belink.serve import answers
from belink.serve.batching import Batcher, Closed, Linked, Part
from belink.serve.schemas import Text
from belink.text.control import visible_json

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/x-ndjson"


def wants_lines(accept: str) -> bool:
    """Return whether an Accept header names JSON Lines."""
    return any(part.partition(";")[0].strip().casefold() == MEDIA_TYPE for part in accept.split(","))


async def stream(batcher: Batcher, body: Text) -> StreamingResponse:
    """Return the links of a text as lines; it returns as soon as the mentions are found.

    :raises Overloaded: too many requests are open.
    :raises Closed: no linker is loaded.
    :raises TooLarge: the text has too many mentions.
    """
    loop = asyncio.get_running_loop()
    parts: asyncio.Queue[Part | None] = asyncio.Queue()
    future = batcher.stream(
        Document(id="", text=body.text), body.min_probability, lambda part: _hand_over(loop, parts, part)
    )
    future.add_done_callback(lambda _: _hand_over(loop, parts, None))
    try:
        first = await parts.get()
        if first is None:
            future.result()  # raises: before its first part a request can only fail
            raise Closed("the service is stopping")
    except BaseException:
        future.cancel()
        raise
    return _Lines(_lines(first, parts, future, body.candidates), future)


def _hand_over(loop: asyncio.AbstractEventLoop, parts: "asyncio.Queue[Part | None]", part: Part | None) -> None:
    # The event loop may be closed already where the process ends; nobody waits for the part then.
    if not loop.is_closed():
        loop.call_soon_threadsafe(parts.put_nowait, part)


async def _lines(
    first: Part, parts: "asyncio.Queue[Part | None]", future: "Future[Linked]", n_candidates: int
) -> AsyncIterator[bytes]:
    yield _line({"lineage": first.linker.lineage, "n_mentions": first.n_mentions})
    while (part := await parts.get()) is not None:
        links = [answers.linked_mention(link, n_candidates).model_dump(mode="json") for link in part.links]
        yield _line({"links": links, "n_done": part.n_done})
    if not future.cancelled() and (error := future.exception()) is not None:
        # The status is sent already. Only errors that are written for callers are told; others may hold paths.
        log.error("a streamed answer failed", exc_info=error)
        yield _line({"detail": str(error) if isinstance(error, Closed) else "the service failed; its log says why"})


def _line(value: object) -> bytes:
    return visible_json(json.dumps(value, ensure_ascii=False)).encode() + b"\n"


class _Lines(StreamingResponse):
    """Lines whose request is cancelled when the caller leaves, or the time is over."""

    def __init__(self, lines: AsyncIterator[bytes], future: "Future[Linked]") -> None:
        super().__init__(lines, media_type=MEDIA_TYPE)
        self._future = future

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._future.cancel()  # does nothing to one that is done
