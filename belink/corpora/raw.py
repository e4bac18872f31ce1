"""What the reader of a format hands over: documents in passages, with annotations as the file gives them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from belink.records import JudgedSpan, Rejection
from belink.text.concept_ids import standardise

_MAX_GAP = 10_000  # blanks between passages; offsets that ask for more are mistaken
_MAX_REJECTIONS = 1000  # kept in a report; the rest is only counted
_NIL = frozenset({"", "-", "-1", "nil", "none", "null", "na", "n/a", "cui-less", "cuiless", "unknown"})
_SEPARATORS = re.compile(r"[|,;+]")

Spans = tuple[tuple[int, int], ...]


@dataclass(kw_only=True)
class CorpusReport:
    """Counts of what reading a corpus kept, repaired and set aside; filled while the documents are read."""

    documents: int = 0
    mentions: int = 0  # kept, with NIL and unannotated ones
    nil: int = 0  # annotated as having no concept
    repaired: int = 0  # kept after their offsets were moved
    rejected: int = 0  # set aside
    rejections: list[Rejection] = field(default_factory=list)  # the first thousand of both

    def note(self, rejection: Rejection) -> None:
        """Count a mention that was repaired or set aside."""
        if rejection.repaired:
            self.repaired += 1
        else:
            self.rejected += 1
        if len(self.rejections) < _MAX_REJECTIONS:
            self.rejections.append(rejection)


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """An annotated span as its file gives it. Offsets count from where those of its passage do."""

    spans: Spans
    text: str = ""  # "" where the file does not repeat it
    gold: tuple[str, ...] = ()
    is_nil: bool = False
    type: str = ""
    line: int | None = None
    fault: str = ""  # why the reader could make no span of it; "" where it could


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A piece of text at a document offset, with the sentences (offset, text) that the file marks in it."""

    offset: int
    text: str
    sentences: tuple[tuple[int, str], ...] = ()
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RawDocument:
    """A document as its file gives it, in passages; ``annotations`` are those that belong to no passage."""

    id: str
    passages: tuple[Passage, ...]
    annotations: tuple[Annotation, ...] = ()
    has_offsets: bool = True  # False: the format has no offsets of passages, the reader counted code points
    notes: tuple[Rejection, ...] = ()  # what the reader repaired on the way
    judged: tuple[JudgedSpan, ...] | None = None  # where only these spans are annotated; see Document
    source: dict[str, Any] | None = None  # the document as its file gives it, where a writer can put links into it


def gold_ids(written: str, default_prefix: str) -> tuple[tuple[str, ...], bool]:
    """Return the ids in one identifier field, and whether it says that no concept fits. ``| , ; +`` separate ids.

    With the prefix ``MESH``, ``D003920|OMIM:222100`` gives ``MESH:D003920`` and ``OMIM:222100``. The usual ways to
    write "no concept" give no id and NIL; beside ids they are ignored.
    """
    ids: list[str] = []
    for part in _SEPARATORS.split(written):
        identifier = part.strip()
        # Corpora write NIL with a prefix as well: "MESH:-1".
        if identifier.rpartition(":")[2].strip().casefold() in _NIL:
            continue
        # "MESH_D003920" and an address name the same id; other ids pass unchanged.
        if default_prefix and ("_" in identifier or "/" in identifier):
            identifier = standardise(identifier, (default_prefix,))
        if ":" not in identifier and default_prefix:
            identifier = f"{default_prefix}:{identifier}"
        if identifier not in ids:
            ids.append(identifier)
    return tuple(ids), not ids


def whole_number(value: object) -> int:
    """Return a count or offset, given as a number or in digits.

    :raises ValueError: it is not a whole number of at most 12 digits.
    """
    # ``bool`` is a subclass of ``int`` in Python.
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    # The bound comes before ``int``, whose time grows with the square of the number of digits.
    elif isinstance(value, str) and len(value.strip()) <= 12:
        number = int(value)
    else:
        raise ValueError(f"not a whole number: {str(value)[:20]!r}")
    if abs(number) >= 10**12:
        raise ValueError(f"not an offset: {number}")
    return number


def lay_out(passages: Sequence[Passage]) -> tuple[str, list[int]]:
    """Return the document's text, and by how many characters each passage was moved to fit into it."""
    pieces: list[str] = []
    shifts: list[int] = []
    length = 0
    for passage in passages:
        gap = _gap(passage, length)
        pieces += ["\n" * gap, passage.text]
        shifts.append(length + gap - passage.offset)
        length += gap + len(passage.text)
    return "".join(pieces), shifts


def clean(text: str) -> str:
    """Return ``text`` with lone surrogates, which no encoding can write, replaced one for one."""
    return re.sub(r"[\ud800-\udfff]", "\ufffd", text)


def laid_out_length(passages: Sequence[Passage]) -> int:
    """Return how many characters the text of ``passages`` has, with the blanks between them."""
    length = 0
    for passage in passages:
        length += _gap(passage, length) + len(passage.text)
    return length


def _gap(passage: Passage, length: int) -> int:
    """Return the number of blanks between the text so far, of ``length``, and ``passage``."""
    gap = passage.offset - length
    # Offsets that overlap the text before, or leave a huge gap, are mistakes. One blank then separates the passages.
    if not passage.text or not 0 <= gap <= _MAX_GAP:
        return 1 if length and passage.text else 0
    return gap
