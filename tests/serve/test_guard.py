"""Who leaves before the answer is whole ends the work on it, whatever answers; a whole answer is never cut short."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from belink.serve.guard import LEFT, Guard

Steps = Callable[[Any, Any], Awaitable[None]]
_HEAD = {"type": "http.response.start", "status": 200, "headers": []}
_WHOLE = {"type": "http.response.body", "body": b"x"}
_PART = {**_WHOLE, "more_body": True}


async def run(steps: Steps, *, leaves: bool) -> tuple[list[int], list[str], list[bool]]:
    """The statuses that are counted, what is sent, and whether the application came to its end."""
    counted, sent, ended = list[int](), list[str](), list[bool]()
    gone = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        try:
            await receive()
            await steps(receive, send)
            ended.append(True)
        except asyncio.CancelledError:
            ended.append(False)
            raise

    messages = iter([{"type": "http.request", "body": b"{}", "more_body": False}])

    async def receive() -> Any:
        if (message := next(messages, None)) is not None:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])
        # Servers say so of a caller whose answer is whole, too.
        if leaves or (message["type"] == "http.response.body" and not message.get("more_body")):
            gone.set()

    guard = Guard(
        application, max_bytes=9, seconds=20, token=None, hosts=(), observe=lambda *each: counted.append(each[2])
    )
    if leaves:
        asyncio.get_running_loop().call_later(0.05, gone.set)
    scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}
    await asyncio.wait_for(guard(scope, receive, send), timeout=10)
    return counted, sent, ended


async def never(receive: Any, send: Any) -> None:
    await asyncio.sleep(60)


async def part(receive: Any, send: Any) -> None:
    await send(_HEAD)
    await send(_PART)
    await asyncio.sleep(60)


@pytest.mark.parametrize(("steps", "status"), [(never, LEFT), (part, 200)])
def test_who_leaves_ends_the_work(steps: Steps, status: int) -> None:
    counted, _, ended = asyncio.run(run(steps, leaves=True))
    assert (counted, ended) == ([status], [False])


async def whole(receive: Any, send: Any) -> None:
    await send(_HEAD)
    await send(_PART)
    await send(_WHOLE)
    await asyncio.sleep(0.1)  # what an application still does once its answer is sent


async def listening(receive: Any, send: Any) -> None:
    await send(_HEAD)
    await send(_WHOLE)
    assert (await receive())["type"] == "http.disconnect"


@pytest.mark.parametrize("steps", [whole, listening])
def test_a_whole_answer_comes_to_its_end(steps: Steps) -> None:
    counted, sent, ended = asyncio.run(run(steps, leaves=False))
    assert (counted, ended, sent[-1]) == ([200], [True], "http.response.body")


def test_what_an_application_raises_is_told_and_counted() -> None:
    async def fails(receive: Any, send: Any) -> None:
        raise RuntimeError("/secret")

    counted, sent, _ = asyncio.run(run(fails, leaves=False))
    assert counted == [500] and sent == ["http.response.start", "http.response.body"]
