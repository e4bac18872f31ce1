"""The queue of mentions to judge, one at a time over HTTP; the file may hold those of several linkers."""

import threading
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query

from belink.corpora import feedback
from belink.corpora.feedback import Correction, Place, Record
from belink.errors import CorpusError
from belink.linker.review import QueueItem, read_queue
from belink.serve import schemas
from belink.serve.rates import RateLimit
from belink.serve.service import PROBLEMS, Service
from belink.settings import Settings

_PER_MINUTE = 600  # looks of one client; a person who holds down an arrow key needs half of that
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    429: {"model": schemas.Problem, "description": "Too many requests; Retry-After says when to go on."},
}


class Judgements:
    """The corrections of some spans; each look reads only what was stored since the last one. Threads may share it."""

    def __init__(self, settings: Settings, linker: str, places: Collection[Place]) -> None:
        self._settings, self._linker, self._places = settings, linker, frozenset(places)
        self._records: list[Record] = []
        self._offset = 0
        self._lock = threading.Lock()

    def now(self) -> dict[Place, Correction]:
        """Return the newest correction in force of each span that has one."""
        with self._lock:
            path = feedback.corrections_file(self._settings, self._linker)
            if path.is_file() and path.stat().st_size < self._offset:  # somebody has put back an older file
                self._records, self._offset = [], 0
            added, self._offset = feedback.read_added(self._settings, self._linker, self._offset)
            self._records += [each for each in added if not isinstance(each, Correction) or each.place in self._places]
            records = list(self._records)
        return {each.place: each for each in feedback.standing(records).in_force}


def add(app: FastAPI, service: Service, path: Path) -> None:
    """Add the queue in the file ``path`` to ``app``.

    :raises CorpusError: it is none, or is of a linker that is not served.
    """
    items = read_queue(path)
    n = len(items)
    names = [_linker(service, item, path) for item in items]
    places = [item.place for item in items]  # each splits sentences, so they are found once
    of_linker = {
        name: Judgements(service.settings, name, {p for p, of in zip(places, names, strict=True) if of == name})
        for name in dict.fromkeys(names)
    }
    limit = RateLimit(_PER_MINUTE, "looks at the queue")

    # A plain function: FastAPI runs it on a thread, where reading the disk delays no other route.
    @app.get("/review", responses=_PROBLEMS, dependencies=[Depends(limit.check)])
    def review(position: Annotated[int | None, Query(ge=0, lt=n)] = None) -> dict[str, Any]:
        """Return one mention of the queue with its judgement, if any; by default the first without one."""
        judgements = {name: each.now() for name, each in of_linker.items()}
        judged = [judgements[name].get(place) for name, place in zip(names, places, strict=True)]
        if position is None:
            position = next((i for i, judgement in enumerate(judged) if judgement is None), n - 1)
        return {
            "position": position,
            "n": n,
            "n_judged": sum(judgement is not None for judgement in judged),
            "linker": names[position],
            "item": items[position].to_dict(),
            "judgement": _shown(judged[position]),
        }


def _linker(service: Service, item: QueueItem, path: Path) -> str:
    served = [follower.name for follower in service.followers]
    if item.linker and item.linker not in served:
        raise CorpusError(
            f"{path}: expected mentions of {', '.join(served)}, found one of {item.linker}; belink serve "
            f"{' '.join([*served, item.linker])} judges both"
        )
    return item.linker or served[0]


def _shown(correction: Correction | None) -> dict[str, Any] | None:
    if correction is None:
        return None
    keys = ("id", "verdict", "concept", "who", "at")
    return {key: getattr(correction, key) for key in keys}
