"""What every request passes first: host name, token, size and time limits; and headers that restrict browsers.

One plain ASGI wrapper, because a body must be counted while it arrives and a time limit must cover its arrival too.
"""

import asyncio
import hmac
import ipaddress
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from belink.serve.metrics import Observe

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/", "/docs", "/health", "/ready"})  # asked for before a token can be: probes, pages
OPEN_FOLDER = "/web/"
LEFT = 499  # status of a request whose caller has gone, in the counters alone; so nginx calls it
TRUSTED = "belink.trusted"  # key of the scope: whether the caller bears the token
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# The page may load only this service's own files, stand in no frame and send no form elsewhere. This holds even if a
# name from an ontology smuggles markup into it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Guard:
    """An ASGI application that wraps another."""

    def __init__(
        self,
        application: Application,
        *,
        max_bytes: int,
        seconds: float,
        token: str | None,
        hosts: tuple[str, ...],
        observe: Observe,
    ) -> None:
        """Wrap ``application``.

        :param max_bytes: of a request's body.
        :param seconds: that a request may take, its arrival included.
        :param token: that callers must bear; ``None`` lets everybody in.
        :param hosts: names, besides loopback's, by which the service may be asked where there is no token.
        """
        self._application, self._max_bytes, self._seconds = application, max_bytes, seconds
        self._token, self._hosts, self._observe = token, hosts, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; pass on anything else."""
        # Startup and shutdown ("lifespan") have neither headers nor a body.
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        try:
            await self._limited(scope, receive, sending)
        except _Left:
            status = status or LEFT
        except TimeoutError:
            # Once the head of an answer is sent, its status cannot change; the connection just ends.
            if not status:
                await refuse(sending, 504, f"not answered within {self._seconds:g} s; send less at a time")
        except Exception:  # a handler did not expect it: the caller learns no details
            log.exception("%s %s failed", scope["method"], _route(scope))
            if not status:
                await refuse(sending, 500, "the service failed; its log says why")
        finally:
            # Any word may stand as a method, and each would make a new time series in Prometheus.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._observe(_route(scope), method, status, time.perf_counter() - started)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if not self._is_ours(host):
            # 421 Misdirected Request, RFC 9110 section 15.5.20.
            await refuse(send, 421, f"expected this service's name as Host, found {host[:100]!r}; belink serve "
                         "--allow-host NAME admits another")  # fmt: skip
            return
        # Open paths get here without a token. `/ready` says more to a caller that has one.
        scope[TRUSTED] = self._bears_token(scope)
        if not self._may_enter(scope):
            await refuse(send, 401, "expected Authorization: Bearer with this service's token, found none or another",
                         [(b"www-authenticate", b"Bearer")])  # fmt: skip
            return
        # The body is read whole before FastAPI sees the request, so the limits on size and time hold for all routes.
        async with asyncio.timeout(self._seconds) as limit:
            body = await self._body(scope, receive)
            if body is None:
                await refuse(send, 413, f"expected at most {self._max_bytes} bytes, found more; send less at a time")
                return
            replayed, left = False, asyncio.create_task(_until_left(receive))

            async def replay() -> Message:
                nonlocal replayed
                if replayed:
                    # By the second message Starlette notices that a client has gone.
                    return await asyncio.shield(left)
                replayed = True
                return {"type": "http.request", "body": body, "more_body": False}

            is_sent = False

            async def sending(message: Message) -> None:
                nonlocal is_sent
                is_sent = message["type"] == "http.response.body" and not message.get("more_body")
                await send(message)
                # An answer in parts may take longer as a whole; the limit holds for each part.
                if message.get("more_body") and not limit.expired():
                    limit.reschedule(asyncio.get_running_loop().time() + self._seconds)

            await _while_there(self._application(scope, replay, sending), left, lambda: is_sent)

    def _may_enter(self, scope: Scope) -> bool:
        path = scope["path"]
        return scope[TRUSTED] or path in OPEN_PATHS or path.startswith(OPEN_FOLDER)

    def _is_ours(self, host: str) -> bool:
        """Return whether ``host``, a Host header, names this service.

        This stops DNS rebinding: a foreign web page whose host name is made to resolve to this machine. Its requests
        carry that name as Host, never an address, and no token.
        """
        if self._token is not None or not host or "*" in self._hosts:
            return True
        try:
            # `urlsplit` takes off the port and the brackets of an IPv6 address. "localhost." with a dot is the same
            # name.
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self._hosts or name == "localhost" or name.endswith(".localhost") or _is_address(name)

    def _bears_token(self, scope: Scope) -> bool:
        """Return whether the caller may know everything: there is no token, or the caller has it."""
        if self._token is None:
            return True
        authorization = dict(scope["headers"]).get(b"authorization", b"")
        # The time of this comparison does not depend on how much is right. Bytes, since `compare_digest` refuses
        # strings beyond ASCII.
        return hmac.compare_digest(authorization, b"Bearer " + self._token.encode())

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the whole body; ``None`` as soon as it proves too large."""
        # A declared length is refused before anything is read. The count below catches a false or missing one.
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and (len(declared) > 18 or int(declared) > self._max_bytes):  # int() refuses 4,300 digits
            return None
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                return None
            if not message.get("more_body", False):
                return bytes(body)


class _Left(Exception):
    """The caller has gone before the answer was whole."""


async def _until_left(receive: Receive) -> Message:
    """Return the message that says that the caller has gone."""
    while (message := await receive())["type"] != "http.disconnect":
        await asyncio.sleep(0)
    return message


async def _while_there(answering: Awaitable[None], left: "asyncio.Task[Message]", is_sent: Callable[[], bool]) -> None:
    """Wait for an answer, and end the work on it as soon as nobody waits for it any more.

    :param is_sent: whether the last part of the answer is sent; servers say of such a caller, too, that it has gone.
    :raises _Left: the caller has gone.
    """
    answer = asyncio.ensure_future(answering)
    try:
        await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done() or is_sent():
            await answer
            return
        raise _Left
    finally:
        for task in (answer, left):
            task.cancel()
        # What the work holds is let go of before the request counts as ended.
        await asyncio.gather(answer, left, return_exceptions=True)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def refuse(send: Send, status: int, detail: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    """Answer with ``status`` and a JSON document whose ``detail`` says why."""
    body = json.dumps({"detail": detail}).encode()
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


def _route(scope: Scope) -> str:
    """Return the route that answered; counters by path would grow with whatever people ask for."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "/web" if str(scope["path"]).startswith(OPEN_FOLDER) else "other"
