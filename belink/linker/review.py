"""The mentions that are most worth a person's judgement, as a queue.

A judgement of one mention teaches a linker about every mention with the same text. So the score of a text is the number
of wrong links that one judgement is expected to mend: ``(1 − p) · n``, where ``p`` is the probability of the answer to
its least sure mention and ``n`` the number of its mentions. It counts double where the answer is a concept that the
release before did not have: nobody has seen such links yet.
"""

import json
import zlib
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from belink import textfiles
from belink.corpora.feedback import Place, cut_sentence
from belink.errors import CorpusError, first_line
from belink.linker.group import link_stream
from belink.linker.linker import Linker
from belink.records import Document, Link, link_json
from belink.text.normalise import normalise

_NEW = 2.0  # factor of concepts that are new
_CANDIDATES = 10  # listed a mention


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueItem:
    """A mention to be judged, with what the linker answers."""

    document: str
    text: str  # the sentence around it
    start: int  # in ``text``, code points
    end: int
    mention: str
    id: str | None  # the answer; None: NIL
    label: str | None
    probability: float  # of the answer
    n_mentions: int  # with the same text, in all documents
    is_new: bool  # the answer is a concept that the release before did not have
    score: float
    candidates: tuple[dict[str, Any], ...] = ()
    linker: str = ""  # that answered; "" in a queue of an older belink

    @property
    def place(self) -> Place:
        """Where a correction of it stands, see ``belink.corpora.feedback``."""
        return cut_sentence(self.text, self.start, self.end)

    def to_dict(self) -> dict[str, Any]:
        """Return the item as JSON writes it."""
        return asdict(self)


def review_queue(
    linker: Linker,
    documents: Iterable[Document],
    n: int,
    *,
    new_concepts: Container[str] = (),
    judged: Container[Place] = (),
) -> list[QueueItem]:
    """Return the ``n`` mentions with the highest score, best first; one for each text.

    :param documents: their mentions are found where they mark none.
    :param new_concepts: ids that the release before did not have.
    :param judged: places that somebody has judged; they are left out.
    """
    counts: Counter[str] = Counter()
    least_sure: dict[str, tuple[Link, Place]] = {}
    # No bound: a doubtful link is what a person should see.
    for document, links in link_stream(linker, documents, min_probability=0.0):
        for link in links:
            key = normalise(link.mention.long_form or link.text)
            counts[key] += 1
            if key in least_sure and least_sure[key][0].probability <= link.probability:
                continue
            place = cut_sentence(document.text, link.start, link.end)
            if cut_sentence(*place) not in judged:
                least_sure[key] = link, place
    name = linker.declaration.name
    items = [
        _item(link, place, counts[key], link.id in new_concepts, name) for key, (link, place) in least_sure.items()
    ]
    # The text decides between equal scores, so that the same documents give the same queue.
    return sorted(items, key=lambda item: (-item.score, item.mention, item.text))[:n]


def _item(link: Link, place: Place, n_mentions: int, is_new: bool, linker: str) -> QueueItem:
    node = link_json(link, n_candidates=_CANDIDATES)
    text, start, end = place
    return QueueItem(
        document=link.document,
        text=text,
        start=start,
        end=end,
        mention=link.text,
        id=link.id,
        label=link.label,
        probability=node["probability"],
        n_mentions=n_mentions,
        is_new=is_new,
        score=round((1 - link.probability) * n_mentions * (_NEW if is_new else 1.0), 4),
        candidates=tuple(node["candidates"]),
        linker=linker,
    )


def write_queue(items: Iterable[QueueItem], path: Path) -> None:
    """Write a queue as JSONL, whole or not at all."""
    with textfiles.write_whole(path) as out:
        for item in items:
            out.write(json.dumps(item.to_dict(), ensure_ascii=False).encode() + b"\n")


def read_queue(path: Path) -> list[QueueItem]:
    """Return the queue that :func:`write_queue` wrote.

    :raises CorpusError: the file is none, or is empty.
    """
    try:
        with textfiles.open_utf8(path) as lines:
            items = [_read_item(json.loads(line)) for line in lines if line.strip()]
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError) as error:
        raise CorpusError(f"{path}: expected a queue as belink review writes it, found {first_line(error)}") from error
    if not items:
        raise CorpusError(f"{path}: expected a queue as belink review writes it, found no mention")
    return items


def _read_item(node: dict[str, Any]) -> QueueItem:
    return QueueItem(**{**node, "candidates": tuple(node["candidates"])})
