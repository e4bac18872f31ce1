"""Tools for assistants (Model Context Protocol): the operations of the HTTP service over standard input or HTTP.

    link_text   the mentions of a text and their concepts        search    concepts for a name or an id
    concept     what a release says of one concept               lineage   what answers are made with

Over HTTP the guard of the service stands before the tools: host name, token, size and time. A process on standard input
belongs to whoever started it, so there is no token; size and time are limited in the tools themselves.
"""

import asyncio
import sys
from collections.abc import Awaitable, Sequence
from contextlib import redirect_stdout
from typing import Annotated, Any, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ToolAnnotations
from pydantic import Field

from belink.errors import BelinkError
from belink.serve import schemas
from belink.serve.application import Limits, configuration, follow, package_version
from belink.serve.batching import Closed, Overloaded
from belink.serve.following import Follower
from belink.serve.guard import Application, Guard
from belink.serve.metrics import Metrics
from belink.serve.service import Service
from belink.settings import Settings

PATH = "/mcp"
T = TypeVar("T")
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_NAME = Annotated[str, Field(min_length=1, max_length=200)]
_INSTRUCTIONS = (
    "Link mentions in biomedical text to concepts of {titles}. Every answer carries its lineage: the version and the "
    "releases it was made with. An id of null is NIL: no concept is probable enough. Never invent an id; use search."
)


def server(service: Service, limits: Limits) -> MCPServer[Any]:
    """Return the tools over what ``service`` serves; nothing listens yet."""
    titles = ", ".join(sorted({served.linker.declaration.title for served in service.served()}))
    mcp: MCPServer[Any] = MCPServer(
        "belink", version=package_version(), instructions=_INSTRUCTIONS.format(titles=titles), log_level="WARNING"
    )

    @mcp.tool(annotations=_READS)
    async def link_text(
        text: Annotated[str, Field(description="Biomedical text; its mentions are found.")],
        min_probability: Annotated[
            schemas.Probability | None,
            Field(description="The answer is NIL where no concept is this probable; by default the linker's own."),
        ] = None,
        candidates: Annotated[int, Field(ge=0, le=25, description="Candidates listed a mention, best first.")] = 3,
    ) -> schemas.LinkedText:
        """Find the mentions of a text and link each to an ontology concept, with a calibrated probability."""
        size = len(text.encode(errors="replace"))
        if size > limits.max_bytes:
            raise ToolError(f"expected at most {limits.max_bytes} bytes, found {size}; send less at a time")
        body = schemas.Text(text=text, min_probability=min_probability, candidates=candidates)
        return schemas.LinkedText.model_validate(await _within(limits, service.link(body)), from_attributes=True)

    @mcp.tool(annotations=_READS)
    async def search(
        query: Annotated[_NAME, Field(description="A name or an id; an obsolete id gives its successors.")],
        limit: Annotated[int, Field(ge=1, le=100)] = 10,
    ) -> schemas.SearchAnswer:
        """Find concepts by name or id, best first."""
        return await _within(limits, service.search(query, limit))

    @mcp.tool(annotations=_READS)
    async def concept(
        id: Annotated[_NAME, Field(description="An id such as MONDO:0005015.")],
    ) -> schemas.ConceptAnswer:
        """Describe a concept: label, synonyms, parents, definition, and the successors of an obsolete one."""
        described = await _within(limits, asyncio.to_thread(service.concept, id))
        if described is None:
            raise ToolError(service.no_concept(id))
        return described

    @mcp.tool(annotations=_READS)
    async def lineage() -> dict[str, Any]:
        """Say which linkers and versions answer, since when, and which ontology releases they are made from."""
        return await _within(limits, asyncio.to_thread(service.lineage))

    return mcp


async def _within(limits: Limits, work: Awaitable[T]) -> T:
    """Return the result of ``work``.

    :raises ToolError: it took too long, or the service says why it cannot answer.
    """
    try:
        async with asyncio.timeout(limits.seconds):
            return await work
    except TimeoutError as error:
        raise ToolError(f"not answered within {limits.seconds:g} s; send less at a time") from error
    except (Closed, Overloaded, schemas.TooLarge) as error:
        raise ToolError(str(error)) from error
    except BelinkError as error:  # it may name paths of this machine
        raise ToolError("the registry does not answer") from error


def application(service: Service, limits: Limits) -> Application:
    """Return the tools as an ASGI application at ``/mcp``, behind the guard of the HTTP service."""
    # Without sessions and streams each call is one request with one answer, so the guard's time limit fits.
    app = server(service, limits).streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=limits.max_bytes,
        # The guard checks host names. The package's own check knows loopback only and would refuse --allow-host.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    return Guard(
        app,
        max_bytes=limits.max_bytes,
        seconds=limits.seconds,
        token=limits.token,
        hosts=limits.hosts,
        observe=service.metrics.request,
    )


def run(settings: Settings, linkers: Sequence[str], *, limits: Limits, every: float = 5.0) -> None:
    """Answer one assistant on standard input and output until the input ends.

    :param every: seconds between two looks at the registry.
    :raises BelinkError: there is no such linker, or it cannot be loaded.
    """
    # Standard output carries the protocol, and a stray line would end the session.
    with redirect_stdout(sys.stderr):
        service = _start(settings, linkers, limits, every)
    try:
        server(service, limits).run("stdio")
    finally:
        service.close()


def run_http(
    settings: Settings, linkers: Sequence[str], *, host: str, port: int, limits: Limits, every: float = 5.0
) -> None:
    """Serve the tools at ``http://HOST:PORT/mcp`` until the process is told to stop.

    :param every: seconds between two looks at the registry.
    :raises BelinkError: there is no such linker, or it cannot be loaded.
    """
    import uvicorn

    service = _start(settings, linkers, limits, every)
    try:
        uvicorn.Server(configuration(application(service, limits), host, port)).run()
    finally:
        service.close()


def _start(settings: Settings, linkers: Sequence[str], limits: Limits, every: float) -> Service:
    metrics = Metrics()
    followers: list[Follower] = follow(settings, linkers, metrics, every=every)
    for follower in followers:
        follower.start()
    return Service(settings, followers, limits.queue, metrics)
