"""Raw documents, as a reader of a format gives them → Documents whose mentions fit the text.

Files of the same format disagree on what offsets count from, and annotations drift by a character or two. So every
mention is compared with the text: one that fits is kept, one whose words stand within a few characters is moved there
and counted as repaired, any other is counted and set aside. Nothing is dropped silently.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from belink.records import Document, Mention, Rejection
from belink.text import sentences
from belink.text.sentences import make_mention

DRIFT = 10  # characters by which the offsets of a mention may be wrong
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
    nil: bool = False
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


class Misfit(ValueError):
    """A mention whose words are not in the text where its offsets say."""


def gold_ids(written: str, default_prefix: str) -> tuple[tuple[str, ...], bool]:
    """Return the ids in one identifier field, and whether it says that no concept fits. ``| , ; +`` separate ids.

    With the prefix ``MESH``, ``D003920|OMIM:222100`` gives ``MESH:D003920`` and ``OMIM:222100``. The usual ways to
    write "no concept" give no id and NIL; beside ids they are ignored.
    """
    ids: list[str] = []
    for part in _SEPARATORS.split(written):
        identifier = part.strip()
        if identifier.rpartition(":")[2].strip().casefold() in _NIL:
            continue
        if ":" not in identifier and default_prefix:
            identifier = f"{default_prefix}:{identifier}"
        if identifier not in ids:
            ids.append(identifier)
    return tuple(ids), not ids


def whole_number(value: object) -> int:
    """Return a count or offset, given as a number or in digits.

    :raises ValueError: it is not a whole number of at most 12 digits.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and len(value.strip()) <= 12:
        number = int(value)
    else:
        raise ValueError(f"not a whole number: {str(value)[:20]!r}")
    if abs(number) >= 10**12:
        raise ValueError(f"not an offset: {number}")
    return number


def assemble(raw: RawDocument, report: CorpusReport) -> Document:
    """Return the document with its text, sentences and the mentions that fit; ``report`` counts the others."""
    text, shifts = _lay_out(raw.passages)
    spans = tuple(_sentence_spans(text, raw.passages, shifts))
    starts = [start for start, _ in spans]
    mentions: list[Mention] = []
    placed = [(a, shift) for passage, shift in zip(raw.passages, shifts, strict=True) for a in passage.annotations]
    for annotation, shift in [*placed, *((a, 0) for a in raw.annotations)]:
        given = tuple((start + shift, end + shift) for start, end in annotation.spans)
        try:
            if annotation.fault:
                raise Misfit(annotation.fault)
            fitted = fit(text, given, annotation.text)
        except Misfit as misfit:
            report.note(Rejection(line=annotation.line, text=_shown(raw.id, annotation), reason=str(misfit)))
            continue
        if fitted != given:
            reason = f"moved from {given[0][0]} to {fitted[0][0]}, where the text reads so"
            shown = _shown(raw.id, annotation)
            report.note(Rejection(line=annotation.line, text=shown, reason=reason, repaired=True))
        mentions.append(_mention(raw.id, text, fitted, annotation, spans, starts))
        report.nil += annotation.nil
    mentions.sort(key=lambda mention: (mention.start, mention.end))
    report.documents += 1
    report.mentions += len(mentions)
    return Document(id=raw.id, text=text, sentences=spans, mentions=tuple(mentions))


def fit(text: str, spans: Spans, words: str) -> Spans:
    """Return ``spans``, moved by at most ``DRIFT`` characters to where ``words`` stand. Blanks and case do not count.

    :param words: text of the mention as its file repeats it; ``""`` leaves the spans where they are.
    :raises Misfit: they lie outside the text, or other words stand there.
    """
    spans = tuple(sorted(spans))
    if not spans or any(start >= end or start < -DRIFT for start, end in spans):
        raise Misfit("no location with a length")
    bare = _bare(words)
    for shift in sorted(range(-DRIFT, DRIFT + 1), key=abs) if bare else (0,):
        moved = tuple((start + shift, end + shift) for start, end in spans)
        if moved[0][0] < 0 or moved[-1][1] > len(text):
            continue
        joined = _bare("".join(text[start:end] for start, end in moved))
        cover = _bare(text[moved[0][0] : moved[-1][1]])
        if joined and (not bare or bare in (joined, cover)):
            return _trimmed(text, moved)
    if len(spans) == 1 and bare:  # the length may be what is wrong
        begin = max(0, spans[0][0] - DRIFT)
        starts = [m.start() for m in re.finditer(re.escape(words), text[begin : spans[0][0] + DRIFT + len(words)])]
        if starts:
            start = begin + min(starts, key=lambda at: abs(begin + at - spans[0][0]))
            return _trimmed(text, ((start, start + len(words)),))
    if spans[-1][1] > len(text) or spans[0][0] < 0:
        raise Misfit(f"{spans[0][0]} to {spans[-1][1]} lies outside the text of {len(text)} characters")
    actual = " ".join(text[start:end] for start, end in spans)
    raise Misfit(f"expected {words[:60]!r} at {spans[0][0]}, the text reads {actual[:60]!r}")


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
    if not passage.text or not 0 <= gap <= _MAX_GAP:
        return 1 if length and passage.text else 0
    return gap


def _lay_out(passages: Sequence[Passage]) -> tuple[str, list[int]]:
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


def _sentence_spans(text: str, passages: Sequence[Passage], shifts: Sequence[int]) -> Iterator[tuple[int, int]]:
    for passage, shift in zip(passages, shifts, strict=True):
        begin = passage.offset + shift
        marked = [(offset + shift, words) for offset, words in passage.sentences if words.strip()]
        spans = [(start, start + len(words)) for start, words in marked]
        agree = all(text[start : start + len(words)] == words for start, words in marked)
        apart = all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
        # Marked sentences count only where they fit the text; offsets of many files do not.
        if marked and agree and apart and spans[0][0] >= begin:
            yield from (_trim(text, start, end) for start, end in spans)
        else:
            yield from ((begin + start, begin + end) for start, end in sentences.split(passage.text))


def _mention(
    document: str, text: str, fitted: Spans, annotation: Annotation, spans: Spans, starts: Sequence[int]
) -> Mention:
    return replace(
        make_mention(document, text, fitted[0][0], fitted[-1][1], spans, starts),
        text=" ".join(text[a:b] for a, b in fitted),
        spans=fitted if len(fitted) > 1 else (),
        gold=annotation.gold,
        nil=annotation.nil,
        type=annotation.type,
    )


def _trimmed(text: str, spans: Spans) -> Spans:
    return tuple(_trim(text, start, end) for start, end in spans if text[start:end].strip())


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    return start, start + len(piece.strip())


def _bare(text: str) -> str:
    return "".join(text.split()).casefold()


def _shown(document: str, annotation: Annotation) -> str:
    where = " ".join(f"{start}-{end}" for start, end in annotation.spans[:4])
    return f"{document}: {annotation.text} [{where}]"[:500]
