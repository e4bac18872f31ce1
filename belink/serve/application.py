"""The HTTP service: its paths, limits and errors. Read this first.

    POST /link        text, or documents (belink's own form or BioC JSON) → links
    GET  /search      concepts for a name or an id          GET /concepts/{id}   what the release says of one
    GET  /lineage     what answers are made with            GET /history, /diff  versions, gates, releases
    GET  /health      the process lives                     GET /ready           a linker is loaded
    GET  /metrics     for Prometheus                        GET /                the page

Questions for the model go through the batcher's one thread; releases are read in the thread of the request.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
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
from belink.errors import BelinkError, RegistryError, ReleaseError
from belink.linker.group import LinkerGroup
from belink.linker.linker import Linker
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
    """What the routes share: the followers, one a linker, the batcher and the counters."""

    def __init__(self, settings: Settings, followers: Sequence[Follower], limits: Limits, metrics: Metrics) -> None:
        self.settings, self.followers, self.metrics = settings, tuple(followers), metrics
        self._group: LinkerGroup | None = None
        self.batcher = Batcher(lambda: self.linker, waiting=limits.queue, linked=metrics.linked)
        self._slow = ThreadPoolExecutor(2, "belink-history")

    async def run_slow(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what ``function`` returns, run on one of two separate threads, where it delays no other request."""
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


def application(settings: Settings, followers: Sequence[Follower], limits: Limits, metrics: Metrics) -> FastAPI:
    """Return the service over what ``followers`` serve; its threads stop with the application.

    :param followers: one a linker; several answer as one, see :class:`belink.linker.group.LinkerGroup`.
    """
    service = Service(settings, followers, limits, metrics)
    served = ", ".join(f"{follower.name}@{follower.alias}" for follower in followers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="belink",
        summary=f"Links mentions in biomedical text to concepts: {served}",
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
        for each in served:
            if (described := answers.concept_answer(id, each.releases, each.linker.lineage)) is not None:
                return _json(described)
        releases = ", ".join(each.linker.lineage["releases"] for each in served)
        raise HTTPException(404, f"{id[:100]}: no concept of {releases}")


def _operations(app: FastAPI, service: Service) -> None:
    @app.get("/lineage", responses=_PROBLEMS)
    async def lineage() -> dict[str, Any]:
        """Say which versions answer, and what they are made from; the only linker's also at the top."""
        linkers = [_lineage(*each) for each in zip(service.followers, service.served(), strict=True)]
        return {**(linkers[0] if len(linkers) == 1 else {}), "linkers": linkers}

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "ok"}

    @app.get("/ready", responses={503: {"description": "No linker answers yet."}})
    async def ready(request: Request) -> JSONResponse:
        """Say whether each linker is loaded and, to callers with the token, which version and why not a newer one."""
        linkers = [_readiness(follower) for follower in service.followers]
        document: dict[str, Any] = {"ready": all(linker["ready"] for linker in linkers)}
        if request.scope[TRUSTED]:
            document = {**(linkers[0] if len(linkers) == 1 else document), "linkers": linkers}
        return JSONResponse(document, status_code=200 if document["ready"] else 503)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Return counters in the text format of Prometheus."""
        followers = service.followers
        served = [follower.current for follower in followers if follower.current is not None]
        refused = any(follower.refused is not None for follower in followers)
        page = service.metrics.page(served, refused, service.batcher.depth)
        return Response(page, media_type="text/plain; version=0.0.4")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(WEB / "index.html")


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


def _readiness(follower: Follower) -> dict[str, Any]:
    current, refused = follower.current, follower.refused
    return {
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


_LINKER = Annotated[str | None, Query(max_length=200, description="One of the linkers served; the first if left out.")]


def _history(app: FastAPI, service: Service) -> None:
    settings = service.settings

    @app.get("/history", responses={**_PROBLEMS, 404: {"model": schemas.Problem}})
    async def history_of_versions(linker: _LINKER = None) -> dict[str, Any]:
        """List a linker's versions with their gates, newest first, and the releases of its ontologies."""
        name = service.name(linker)
        return {
            "linker": name,
            "linkers": [follower.name for follower in service.followers],
            "versions": await service.run_slow(history.versions, settings, name),
            "releases": await service.run_slow(history.known_releases, settings, name),
        }

    @app.get("/diff", responses={**_PROBLEMS, 404: {"model": schemas.Problem}})
    async def diff(ontology: _NAME, old: _NAME, new: _NAME, linker: _LINKER = None) -> dict[str, Any]:
        """Compare two releases of one of a linker's ontologies."""
        return await service.run_slow(history.compared, settings, service.name(linker), ontology, old, new)


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
    if len(set(names)) < len(names):
        raise RegistryError(f"expected each linker once, found {', '.join(names)}")
    return followers


def configuration(app: FastAPI, host: str, port: int) -> "uvicorn.Config":
    """Return how uvicorn runs ``app``: whom it listens to, and how long."""
    import uvicorn

    # Texts and queries are private: no access log; the counters say how much is asked.
    return uvicorn.Config(
        app, host=host, port=port, http=Connection, access_log=False, log_level="warning", timeout_graceful_shutdown=30
    )
