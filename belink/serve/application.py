"""The HTTP service: its paths, limits and errors. Read this first.

    POST /link        text, or documents (belink's own form or BioC JSON) → links
    GET  /search      concepts for a name or an id          GET /concepts/{id}   what the release says of one
    GET  /lineage     what answers are made with            GET /history, /diff  versions, gates, releases
    GET  /health      the process lives                     GET /ready           a linker is loaded
    GET  /metrics     for Prometheus                        GET /, /docs         the pages
    POST /feedback    a correction, stored                  GET /review          the mentions most worth a judgement
    GET  /examples    texts made of the linkers' names

Questions for the model go through the batcher's one thread; releases are read in the thread of the request.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.staticfiles import StaticFiles

from belink import declarations
from belink.errors import BelinkError, RegistryError, ReleaseError
from belink.serve import corrections, operations, schemas, streaming
from belink.serve.batching import Closed, Overloaded
from belink.serve.connections import Connection
from belink.serve.following import Follower
from belink.serve.guard import Application, Guard
from belink.serve.metrics import Metrics
from belink.serve.service import PROBLEMS, Service, require_json
from belink.settings import Settings
from belink.text.control import visible_json

if TYPE_CHECKING:
    import uvicorn

WEB = Path(__file__).parent / "web"
_NAME = Annotated[str, Query(min_length=1, max_length=200)]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a caller may send, and who may call."""

    queue: int = 128  # requests open at once; above, 503
    max_bytes: int = 1 << 20  # of a request's body; above, 413
    seconds: float = 60.0  # for a request; above, 504
    token: str | None = None  # that callers must bear; never logged
    origins: tuple[str, ...] = ()  # that browsers may ask from; () for this service's own page only
    hosts: tuple[str, ...] = ()  # names, besides loopback's, by which it may be asked without a token; "*" for any
    feedback: bool = False  # whether corrections are stored; else nothing of any text is
    review: Path | None = None  # the queue that ``belink review`` wrote, shown to be judged


def application(settings: Settings, followers: Sequence[Follower], limits: Limits, metrics: Metrics) -> FastAPI:
    """Return the service over what ``followers`` serve; its threads stop with the application.

    :param followers: one a linker; several answer as one, see :class:`belink.linker.group.LinkerGroup`.
    """
    service = Service(settings, followers, limits.queue, metrics)
    served = ", ".join(f"{follower.name}@{follower.alias}" for follower in followers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        # uvicorn gets here once open requests are answered, or after `timeout_graceful_shutdown`.
        service.close()

    app = FastAPI(
        title="belink",
        summary=f"Links mentions in biomedical text to concepts: {served}",
        version=package_version(),
        lifespan=lifespan,
        default_response_class=_Json,
        docs_url=None,  # both would load scripts from elsewhere; `web/docs.html` reads the same document
        redoc_url=None,
    )
    _links(app, service)
    _concepts(app, service)
    operations.add(app, service, taken=limits.feedback, has_queue=limits.review is not None)
    corrections.add(app, service, taken=limits.feedback, queue=limits.review)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(WEB / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def reference() -> FileResponse:
        return FileResponse(WEB / "docs.html")

    app.mount("/web", StaticFiles(directory=WEB), name="web")
    _errors(app)
    app.add_middleware(
        Guard,
        max_bytes=limits.max_bytes,
        seconds=limits.seconds,
        token=limits.token,
        hosts=limits.hosts,
        observe=metrics.request,
    )
    # Starlette runs the middleware that was added last first. Preflights carry no token, so CORS must answer them
    # before `Guard` refuses them.
    if limits.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(limits.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return app


def _links(app: FastAPI, service: Service) -> None:
    @app.post("/link", response_model=schemas.Answer, responses=PROBLEMS, dependencies=[Depends(require_json)])
    async def link(body: schemas.Text | schemas.Documents | schemas.BiocCollection, request: Request) -> Response:
        """Link a text or documents; one version answers the whole request.

        With `Accept: application/x-ndjson` a text is answered in lines as it is linked: first `lineage` and
        `n_mentions`, then `links` and `n_done`. The answer is whole when `n_done` equals `n_mentions`.
        """
        if isinstance(body, schemas.Text) and streaming.wants_lines(request.headers.get("accept", "")):
            return await streaming.stream(service.batcher, body)
        return _json(await service.link(body))

    @app.get("/search", response_model=schemas.SearchAnswer, responses=PROBLEMS)
    async def search(q: _NAME, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> Response:
        """Find concepts by name or id; an obsolete id gives its successors."""
        return _json(await service.search(q, limit))


def _concepts(app: FastAPI, service: Service) -> None:
    missing: dict[int | str, dict[str, Any]] = {404: {"model": schemas.Problem, "description": "No release has it."}}

    # `path`, because an id may hold slashes. A plain `def`: FastAPI runs it on a thread, where DuckDB may block.
    @app.get("/concepts/{id:path}", response_model=schemas.ConceptAnswer, responses={**PROBLEMS, **missing})
    def concept(id: str) -> Response:
        """Describe a concept: label, synonyms, parents, definition, and the successors of an obsolete one."""
        if (described := service.concept(id)) is not None:
            return _json(described)
        raise HTTPException(404, service.no_concept(id))


def _errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # The input itself is left out: it may be large, private, or not Unicode.
        detail = [{key: problem[key] for key in ("loc", "msg", "type")} for problem in error.errors()]
        return JSONResponse({"detail": detail}, status_code=422)

    @app.exception_handler(400)
    async def unreadable(_: Request, error: HTTPException) -> JSONResponse:
        # FastAPI raises it from what `json` raised, and says only that there was an error.
        reason = "brackets nested too deep" if isinstance(error.__cause__, RecursionError) else "bytes of another kind"
        return JSONResponse({"detail": f"expected one JSON document in UTF-8, found {reason}"}, status_code=400)

    @app.exception_handler(Overloaded)
    async def overloaded(_: Request, error: Overloaded) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503, {"Retry-After": str(error.retry_after)})

    @app.exception_handler(schemas.TooLarge)
    async def too_large(_: Request, error: schemas.TooLarge) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 413)

    @app.exception_handler(Closed)
    async def closed(_: Request, error: Closed) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "5"})

    @app.exception_handler(ReleaseError)
    async def no_release(_: Request, error: ReleaseError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 404)

    @app.exception_handler(BelinkError)
    async def no_registry(_: Request, error: BelinkError) -> JSONResponse:
        # The error itself may name paths and addresses of this machine, which are none of a caller's business.
        return JSONResponse({"detail": "the registry does not answer"}, 503, {"Retry-After": "5"})


class _Json(JSONResponse):
    """JSON whose control characters stand in JSON's own escapes: answers are read on terminals, too."""

    def render(self, content: Any) -> bytes:
        return visible_json(super().render(content).decode()).encode()


def _json(model: BaseModel) -> Response:
    return Response(visible_json(model.model_dump_json()), media_type="application/json")


def package_version() -> str:
    """Return the version of belink."""
    from importlib.metadata import version

    return version("belink")


def run(
    settings: Settings,
    linkers: Sequence[str],
    *,
    host: str,
    port: int,
    limits: Limits,
    every: float = 5.0,
    wait: bool = False,
) -> None:
    """Serve each ``LINKER[@ALIAS]`` until the process is told to stop; several answer as one.

    :param every: seconds between two looks at the registry.
    :param wait: start without a champion, and serve the first one there is.
    :raises BelinkError: there is no such linker, and ``wait`` is false; or one is named twice.
    """
    import uvicorn

    metrics = Metrics()
    followers = follow(settings, linkers, metrics, every=every)
    for follower in followers:
        # Before the port is opened: a service that cannot load its linker ends here with an error.
        follower.start(wait=wait)
    app = application(settings, followers, limits, metrics)
    uvicorn.Server(configuration(app, host, port)).run()


def follow(settings: Settings, linkers: Sequence[str], metrics: Metrics, *, every: float) -> list[Follower]:
    """Return a follower of each ``LINKER[@ALIAS]``, not started yet.

    :raises RegistryError: a linker is named twice.
    """
    followers = []
    for linker in linkers:
        name, _, alias = linker.partition("@")
        if name.endswith(".toml"):
            name = declarations.load_linker(name).name
        followers.append(Follower(settings, name, alias or "champion", every=every, happened=metrics.happened))
    names = [follower.name for follower in followers]
    # A group tells its linkers apart by name.
    if len(set(names)) < len(names):
        raise RegistryError(f"expected each linker once, found {', '.join(names)}")
    return followers


def configuration(app: FastAPI | Application, host: str, port: int) -> "uvicorn.Config":
    """Return how uvicorn runs ``app``: whom it listens to, and how long."""
    import uvicorn

    # Texts and queries are private: no access log; the counters say how much is asked.
    return uvicorn.Config(
        app, host=host, port=port, http=Connection, access_log=False, log_level="warning", timeout_graceful_shutdown=30
    )
