"""Corrections over HTTP, and the queue of mentions that are most worth one.

Nothing is stored unless the service is started with ``--feedback``. Then a correction keeps the sentence around its
span, the verdict, who gave it and when, and which version was corrected; see :mod:`belink.corpora.feedback`.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request

from belink.corpora import feedback
from belink.corpora.feedback import Correction
from belink.errors import CorpusError
from belink.ontology.gold_ids import current_id
from belink.serve import review, schemas
from belink.serve.following import Served
from belink.serve.rates import RateLimit
from belink.serve.service import PROBLEMS, Service, require_json
from belink.training.holdout import is_held_out

log = logging.getLogger(__name__)

_PER_MINUTE = 120  # corrections of one client; a person with a keyboard needs half of that
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    403: {"model": schemas.Problem, "description": "The service stores no corrections."},
    404: {"model": schemas.Problem, "description": "There is no such linker or correction."},
    429: {"model": schemas.Problem, "description": "Too many corrections; Retry-After says when to go on."},
}


def add(app: FastAPI, service: Service, *, taken: bool, queue: Path | None) -> None:
    """Add these paths to ``app``.

    :param taken: whether corrections are stored.
    :param queue: the file that ``belink review`` wrote.
    :raises CorpusError: it is no such file, or corrections cannot be stored.
    """
    if taken:
        for follower in service.followers:
            feedback.check_writable(service.settings, follower.name)
    limit = RateLimit(_PER_MINUTE, "corrections")

    def allowed(request: Request) -> None:
        if not taken:
            raise HTTPException(403, "this service stores no corrections; belink serve LINKER --feedback does")
        limit.check(request)

    checks = [Depends(require_json), Depends(allowed)]

    # Plain functions: FastAPI runs them on threads, where waiting for the disk delays no other route.
    @app.post("/feedback", status_code=201, responses=_PROBLEMS, dependencies=checks)
    def correct(body: schemas.Correction) -> schemas.StoredCorrection:
        """Store a correction; the linker's next refresh learns from it, unless it is held out or ignored."""
        return _store(service, body)

    @app.post("/feedback/{id}/withdraw", status_code=201, responses=_PROBLEMS, dependencies=checks)
    def withdraw(id: str, body: schemas.Undo) -> schemas.Withdrawn:
        """Take a correction out of force. Its record stays; one that withdraws it is added."""
        name = service.name(body.linker)
        try:
            with _storing():
                record = feedback.withdraw(service.settings, name, id, body.who)
        except CorpusError as error:
            raise HTTPException(404, str(error)) from error
        return schemas.Withdrawn(
            id=record.id, at=record.at, withdraws=record.withdraws, in_force=_in_force(service, name, id)
        )

    if queue is not None:
        review.add(app, service, queue)


def _store(service: Service, body: schemas.Correction) -> schemas.StoredCorrection:
    name = service.name(body.linker)
    served = _served(service, name)
    linker = served.linker
    try:
        concept = None if body.concept is None else current_id(body.concept, served.releases, linker.index.__contains__)
        correction = feedback.make_correction(
            body.text,
            body.start,
            body.end,
            body.verdict,
            body.who,
            concept=concept,
            answered=body.answered,
            document=body.document,
            lineage=linker.lineage,
        )
    except CorpusError as error:
        raise HTTPException(422, str(error)) from error
    with _storing():
        feedback.append(service.settings, name, [correction])
    return schemas.StoredCorrection(
        id=correction.id,
        at=correction.at,
        linker=name,
        version=served.version,
        verdict=correction.verdict,
        who=correction.who,
        concept=correction.concept,
        label=_label(correction.concept, served),
        sentence=correction.text,
        start=correction.start,
        end=correction.end,
        held_out=is_held_out(correction.group, "", linker.declaration.training.held_out_documents),
        ignored=linker.ignores_corrections,
    )


@contextmanager
def _storing() -> Iterator[None]:
    """Answer with what the disk says where it is full or may not be written to."""
    try:
        yield
    except OSError as error:
        log.error("a correction could not be stored: %s", error)
        raise HTTPException(503, f"not stored: {error.strerror or error}; tell whoever runs this service") from error


def _served(service: Service, name: str) -> Served:
    pairs = zip(service.followers, service.served(), strict=True)
    return next(served for follower, served in pairs if follower.name == name)


def _in_force(service: Service, name: str, correction_id: str) -> list[schemas.InForce]:
    """Return the corrections that count for the span of a correction, oldest first."""
    records = feedback.read_records(service.settings, name)
    place = next(each.place for each in records if isinstance(each, Correction) and each.id == correction_id)
    served = _served(service, name)
    return [
        schemas.InForce(
            id=each.id,
            at=each.at,
            verdict=each.verdict,
            who=each.who,
            concept=each.concept,
            label=_label(each.concept, served),
        )
        for each in feedback.standing(records).in_force
        if each.place == place
    ]


def _label(concept: str | None, served: Served) -> str | None:
    if concept is None:
        return None
    return next((label for release in served.releases if (label := release.label(concept))), None)
