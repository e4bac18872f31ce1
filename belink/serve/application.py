"""The HTTP service: its paths, limits and errors. Read this first.

    POST /link        text, or documents (belink's own form or BioC JSON) → links
    GET  /search      concepts for a name or an id          GET /concepts/{id}   what the release says of one
    GET  /lineage     what answers are made with            GET /history, /diff  versions, gates, releases
    GET  /health      the process lives                     GET /ready           a linker is loaded
    GET  /metrics     for Prometheus                        GET /                the page

Questions for the model go through the batcher's one thread; releases are read in the thread of the request.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.staticfiles import StaticFiles

from belink import declarations
from belink.errors import BelinkError, ReleaseError
from belink.registry import history
from belink.serve import answers, schemas
from belink.serve.batching import Batcher, Closed, Overloaded
from belink.serve.connections import Connection
from belink.serve.following import Follower, Served
from belink.serve.guard import TRUSTED, Guard
from belink.serve.metrics import Metrics
from belink.settings import Settings
from belink.text.control import visible_json

if TYPE_CHECKING:
    import uvicorn

T = TypeVar("T")
WEB = Path(__file__).parent / "web"
_NAME = Annotated[str, Query(min_length=1, max_length=200)]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
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


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a caller may send, and who may call."""

    queue: int = 128  # requests open at once; above, 503
    max_bytes: int = 1 << 20  # of a request's body; above, 413
    seconds: float = 60.0  # for a request; above, 504
    token: str | None = None  # that callers must bear; never logged
    origins: tuple[str, ...] = ()  # that browsers may ask from; () for this service's own page only
    hosts: tuple[str, ...] = ()  # names, besides loopback's, by which it may be asked without a token; "*" for any


class Service:
    """What the routes share: the follower, the batcher and the counters."""

    def __init__(self, settings: Settings, follower: Follower, limits: Limits, metrics: Metrics) -> None:
        self.settings, self.follower, self.metrics = settings, follower, metrics
        self.batcher = Batcher(lambda: follower.linker, waiting=limits.queue, linked=metrics.linked)
        self._slow = ThreadPoolExecutor(2, "belink-history")

    async def run_slow(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what ``function`` returns, run on one of two separate threads, where it delays no other request."""
        return await asyncio.get_running_loop().run_in_executor(self._slow, function, *arguments)

    def close(self) -> None:
        """End the threads."""
        self.batcher.close()
        self.follower.stop()
        self._slow.shutdown(wait=False, cancel_futures=True)

    def served(self) -> Served:
        """Return the version that answers now.

        :raises Closed: none is loaded yet.
        """
        if self.follower.current is None:
            raise Closed("no champion is loaded yet")
        return self.follower.current


def application(settings: Settings, follower: Follower, limits: Limits, metrics: Metrics) -> FastAPI:
    """Return the service over what ``follower`` serves; its threads stop with the application."""
    service = Service(settings, follower, limits, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="belink",
        summary=f"Links mentions in biomedical text to concepts: {follower.name}@{follower.alias}",
        version=_version(),
        lifespan=lifespan,
        default_response_class=_Json,
        docs_url=None,  # both would load scripts from elsewhere
        redoc_url=None,
    )
    _links(app, service)
    _concepts(app, service)
    _operations(app, service)
    _history(app, service)
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
    if limits.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(limits.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return app


def _links(app: FastAPI, service: Service) -> None:
    @app.post("/link", response_model=schemas.Answer, responses=_PROBLEMS, dependencies=[Depends(_require_json)])
    async def link(body: schemas.Text | schemas.Documents | schemas.BiocCollection) -> Response:
        """Link a text or documents; one version answers the whole request."""
        documents = await asyncio.to_thread(answers.request_documents, body)
        bound = None if isinstance(body, schemas.BiocCollection) else body.min_probability
        linked = await _answer(service.batcher.link(documents, bound))
        return _json(answers.answer(body, linked.documents, linked.linker.lineage))

    @app.get("/search", response_model=schemas.SearchAnswer, responses=_PROBLEMS)
    async def search(q: _NAME, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> Response:
        """Find concepts by name or id; an obsolete id gives its successors."""
        result = await _answer(
            service.batcher.ask(lambda linker: answers.search_answer(q, *linker.look_up(q, limit), linker.lineage))
        )
        return _json(result)


def _require_json(request: Request) -> None:
    """Refuse a body that is not sent as JSON.

    Browsers send other types for any page without asking this service first, so none of them is read.
    """
    content_type = request.headers.get("content-type", "")
    essence = content_type.partition(";")[0].strip().lower()
    if essence != "application/json" and not (essence.startswith("application/") and essence.endswith("+json")):
        raise HTTPException(415, f"expected Content-Type: application/json, found {content_type[:100] or 'none'}")


def _concepts(app: FastAPI, service: Service) -> None:
    missing: dict[int | str, dict[str, Any]] = {404: {"model": schemas.Problem, "description": "No release has it."}}

    @app.get("/concepts/{id:path}", response_model=schemas.ConceptAnswer, responses={**_PROBLEMS, **missing})
    def concept(id: str) -> Response:
        """Describe a concept: label, synonyms, parents, definition, and the successors of an obsolete one."""
        served = service.served()
        described = answers.concept_answer(id, served.releases, served.linker.lineage)
        if described is None:
            raise HTTPException(404, f"{id[:100]}: no concept of {served.linker.lineage['releases']}")
        return _json(described)


def _operations(app: FastAPI, service: Service) -> None:
    follower = service.follower

    @app.get("/lineage", responses=_PROBLEMS)
    async def lineage() -> dict[str, Any]:
        """Say which version answers, and what it is made from."""
        served = service.served()
        declared = served.linker.declaration
        return {
            "linker": follower.name,
            "alias": follower.alias,
            "version": served.version,
            "since": served.since,
            "title": declared.title,
            "min_probability": served.linker.bound(),
            "abstention": None if (chosen := served.linker.calibration.abstention) is None else chosen.to_dict(),
            "releases": {release.ontology: release.version for release in served.releases},
            "lineage": served.linker.lineage,
        }

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "ok"}

    @app.get("/ready", responses={503: {"description": "No linker answers yet."}})
    async def ready(request: Request) -> JSONResponse:
        """Say whether a linker is loaded and, to callers with the token, which one and why not a newer one."""
        current, refused = follower.current, follower.refused
        if not request.scope[TRUSTED]:
            return JSONResponse({"ready": current is not None}, status_code=200 if current else 503)
        document = {
            "ready": current is not None,
            "linker": follower.name,
            "alias": follower.alias,
            "version": current.version if current else None,
            "since": current.since if current else None,
            "refused": None
            if refused is None
            else {"version": refused.version, "reason": refused.reason, "at": refused.at, "attempts": refused.attempts},
            "registry": follower.unreachable or "ok",
        }
        return JSONResponse(document, status_code=200 if current else 503)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Return counters in the text format of Prometheus."""
        page = service.metrics.page(follower.current, follower.refused is not None, service.batcher.depth)
        return Response(page, media_type="text/plain; version=0.0.4")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(WEB / "index.html")


def _history(app: FastAPI, service: Service) -> None:
    settings, name = service.settings, service.follower.name

    @app.get("/history", responses=_PROBLEMS)
    async def history_of_versions() -> dict[str, Any]:
        """List the linker's versions with their gates, newest first, and the releases of its ontologies."""
        return {
            "linker": name,
            "versions": await service.run_slow(history.versions, settings, name),
            "releases": await service.run_slow(history.known_releases, settings, name),
        }

    @app.get("/diff", responses={**_PROBLEMS, 404: {"model": schemas.Problem}})
    async def diff(ontology: _NAME, old: _NAME, new: _NAME) -> dict[str, Any]:
        """Compare two releases of one of the linker's ontologies."""
        return await service.run_slow(history.compared, settings, name, ontology, old, new)


def _errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # The input itself is left out: it may be large, private, or not Unicode.
        detail = [{key: problem[key] for key in ("loc", "msg", "type")} for problem in error.errors()]
        return JSONResponse({"detail": detail}, status_code=422)

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
        return JSONResponse({"detail": "the registry does not answer"}, 503, {"Retry-After": "5"})


async def _answer(future: "Future[T]") -> T:
    """Wait for the linking thread. Leaving early (a time limit, a client gone) cancels the request."""
    return await asyncio.wrap_future(future)


class _Json(JSONResponse):
    """JSON whose control characters stand in JSON's own escapes: answers are read on terminals, too."""

    def render(self, content: Any) -> bytes:
        return visible_json(super().render(content).decode()).encode()


def _json(model: BaseModel) -> Response:
    return Response(visible_json(model.model_dump_json()), media_type="application/json")


def _version() -> str:
    from importlib.metadata import version

    return version("belink")


def run(
    settings: Settings,
    linker: str,
    *,
    host: str,
    port: int,
    limits: Limits,
    every: float = 5.0,
    wait: bool = False,
) -> None:
    """Serve ``LINKER[@ALIAS]`` until the process is told to stop.

    :param every: seconds between two looks at the registry.
    :param wait: start without a champion, and serve the first one there is.
    :raises BelinkError: there is no such linker, and ``wait`` is false.
    """
    import uvicorn

    name, _, alias = linker.partition("@")
    if name.endswith(".toml"):
        name = declarations.load_linker(name).name
    metrics = Metrics()
    follower = Follower(settings, name, alias or "champion", every=every, happened=metrics.happened)
    follower.start(wait=wait)
    app = application(settings, follower, limits, metrics)
    uvicorn.Server(configuration(app, host, port)).run()


def configuration(app: FastAPI, host: str, port: int) -> "uvicorn.Config":
    """Return how uvicorn runs ``app``: whom it listens to, and how long."""
    import uvicorn

    # Texts and queries are private: no access log; the counters say how much is asked.
    return uvicorn.Config(
        app, host=host, port=port, http=Connection, access_log=False, log_level="warning", timeout_graceful_shutdown=30
    )
