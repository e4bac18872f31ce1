"""Corrections over HTTP, and the queue of mentions that are most worth one.

Nothing is stored unless the service is started with ``--feedback``. Then a correction keeps the sentence around its
span, the verdict, who gave it and when, and which version was corrected; see :mod:`belink.corpora.feedback`.
"""

import threading
import time
from collections import OrderedDict, deque
from math import ceil
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request

from belink.corpora import feedback
from belink.corpora.feedback import Correction
from belink.errors import CorpusError
from belink.linker.review import QueueItem, read_queue
from belink.ontology.gold_ids import current_id
from belink.serve import schemas
from belink.serve.following import Served
from belink.serve.service import PROBLEMS, Service, require_json
from belink.training.holdout import is_held_out

_PER_MINUTE = 120  # corrections of one client; a person with a keyboard needs half of that
_MOST_CLIENTS = 1_000
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    403: {"model": schemas.Problem, "description": "The service stores no corrections."},
    404: {"model": schemas.Problem, "description": "There is no such linker or correction."},
    429: {"model": schemas.Problem, "description": "Too many corrections; Retry-After says when to go on."},
}


class RateLimit:
    """At most so many requests of a client a minute; threads may share it."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, client: str) -> float:
        """Return the seconds that ``client`` has to wait; 0 counts the request."""
        now = time.monotonic()
        with self._lock:
            times = self._times.setdefault(client, deque())
            self._times.move_to_end(client)
            if len(self._times) > _MOST_CLIENTS:
                self._times.popitem(last=False)
            while times and times[0] <= now - 60:
                times.popleft()
            if len(times) >= self._per_minute:
                return times[0] + 60 - now
            times.append(now)
            return 0.0


def add(app: FastAPI, service: Service, *, taken: bool, queue: Path | None) -> None:
    """Add these paths to ``app``.

    :param taken: whether corrections are stored.
    :param queue: the file that ``belink review`` wrote.
    :raises CorpusError: it is no such file.
    """
    limit = RateLimit(_PER_MINUTE)

    def allowed(request: Request) -> None:
        if not taken:
            raise HTTPException(403, "this service stores no corrections; belink serve LINKER --feedback does")
        if seconds := limit.wait(request.client.host if request.client else ""):
            raise HTTPException(
                429,
                f"expected at most {_PER_MINUTE} corrections a minute, found more; go on in {ceil(seconds)} s",
                {"Retry-After": str(ceil(seconds))},
            )

    checks = [Depends(require_json), Depends(allowed)]

    # Plain functions: FastAPI runs them on threads, where waiting for the disk delays no other route.
    @app.post("/feedback", status_code=201, responses=_PROBLEMS, dependencies=checks)
    def correct(body: schemas.Correction) -> schemas.StoredCorrection:
        """Store a correction; the linker's next refresh learns from it."""
        return _store(service, body)

    @app.post("/feedback/{id}/withdraw", status_code=201, responses=_PROBLEMS, dependencies=checks)
    def withdraw(id: str, body: schemas.Undo) -> schemas.Withdrawn:
        """Take a correction out of force. Its record stays; one that withdraws it is added."""
        try:
            record = feedback.withdraw(service.settings, service.name(body.linker), id, body.who)
        except CorpusError as error:
            raise HTTPException(404, str(error)) from error
        return schemas.Withdrawn(id=record.id, at=record.at, withdraws=record.withdraws)

    if queue is not None:
        _review(app, service, read_queue(queue))


def _store(service: Service, body: schemas.Correction) -> schemas.StoredCorrection:
    name = service.name(body.linker)
    served = next(each for follower, each in zip(service.followers, service.served(), strict=True)
                  if follower.name == name)  # fmt: skip
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
        held_out=is_held_out(correction.group, "", linker.declaration.training.held_out),
    )


def _label(concept: str | None, served: Served) -> str | None:
    if concept is None:
        return None
    return next((label for release in served.releases if (label := release.label(concept))), None)


def _review(app: FastAPI, service: Service, items: list[QueueItem]) -> None:
    n = len(items)
    places = [item.place for item in items]  # each splits sentences, so they are found once

    @app.get("/review", responses=_PROBLEMS)
    def review(position: Annotated[int | None, Query(ge=0, lt=n)] = None) -> dict[str, Any]:
        """Return one mention of the queue with its judgement, if any; by default the first without one."""
        name = service.name(None)
        counting = feedback.standing(feedback.read_records(service.settings, name))
        judgements = {each.place: each for each in counting.in_force}
        judged = [judgements.get(place) for place in places]
        if position is None:
            position = next((i for i, judgement in enumerate(judged) if judgement is None), n - 1)
        return {
            "position": position,
            "n": n,
            "n_judged": sum(judgement is not None for judgement in judged),
            "linker": name,
            "item": items[position].to_dict(),
            "judgement": _judgement(judged[position]),
        }


def _judgement(correction: Correction | None) -> dict[str, Any] | None:
    if correction is None:
        return None
    keys = ("id", "verdict", "concept", "who", "at")
    return {key: getattr(correction, key) for key in keys}
