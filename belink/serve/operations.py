"""Paths for those who run the service: what answers, whether it is ready, its counters, its versions and releases."""

from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response

from belink.registry import history
from belink.serve import schemas
from belink.serve.examples import example_texts
from belink.serve.following import Follower
from belink.serve.guard import TRUSTED
from belink.serve.service import PROBLEMS, Service

_NAME = Annotated[str, Query(min_length=1, max_length=200)]
_VERSION = Annotated[str, Query(pattern=r"^[0-9]{1,9}$", description="The number of a version.")]
_LINKER = Annotated[str | None, Query(max_length=200, description="One of the linkers served; the first if left out.")]


def add(app: FastAPI, service: Service, *, taken: bool, has_queue: bool) -> None:
    """Add these paths to ``app``.

    :param taken: whether corrections are stored.
    :param has_queue: whether there is a queue to review.
    """
    _history(app, service)

    @app.get("/lineage", responses=PROBLEMS)
    async def lineage() -> dict[str, Any]:
        """Say which versions answer, and what they are made from; the only linker's also at the top."""
        return {**service.lineage(), "feedback": taken, "review": has_queue}

    @app.get("/examples", responses=PROBLEMS)
    async def examples() -> dict[str, list[str]]:
        """Return texts to try the service with, made of its linkers' own names."""
        return {"texts": await service.run_slow(example_texts, service.served())}

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "ok"}

    @app.get("/ready", responses={503: {"description": "No linker answers yet."}})
    async def ready(request: Request) -> JSONResponse:
        """Say whether each linker is loaded and, to callers with the token, which version and why not a newer one."""
        linkers = [_readiness(follower) for follower in service.followers]
        # Without the token only this: reasons of a refusal may hold paths.
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


def _history(app: FastAPI, service: Service) -> None:
    settings = service.settings

    @app.get("/history", responses={**PROBLEMS, 404: {"model": schemas.Problem}})
    async def history_of_versions(linker: _LINKER = None) -> dict[str, Any]:
        """List a linker's versions with their gates, newest first, and the releases of its ontologies."""
        name = service.name(linker)
        return {
            "linker": name,
            "linkers": [follower.name for follower in service.followers],
            # A registry on a server is asked several times for each version.
            "versions": await service.run_slow(history.versions, settings, name),
            "releases": await service.run_slow(history.known_releases, settings, name),
        }

    @app.get("/impact", responses={**PROBLEMS, 404: {"model": schemas.Problem}})
    async def impact(version: _VERSION, linker: _LINKER = None) -> dict[str, Any]:
        """Tell what a version changed in the texts that its linker watches, with examples from them."""
        name = service.name(linker)
        texts = await service.run_slow(history.impact, settings, name, version)
        if texts is None:
            raise HTTPException(404, f"{name}: no version {version}; GET /history lists them")
        return {"linker": name, "version": version, "texts": texts}

    @app.get("/diff", responses={**PROBLEMS, 404: {"model": schemas.Problem}})
    async def diff(ontology: _NAME, old: _NAME, new: _NAME, linker: _LINKER = None) -> dict[str, Any]:
        """Compare two releases of one of a linker's ontologies."""
        return await service.run_slow(history.compared, settings, service.name(linker), ontology, old, new)
