"""Raw documents, as a reader of a format gives them → Documents whose mentions fit the text.

Files of the same format disagree on what offsets count from, and annotations drift by a character or two. So every
mention is compared with the text: one that fits is kept, one whose words stand within a few characters is moved there
and counted as repaired, any other is counted and set aside. Nothing is dropped silently.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from belink.corpora.offset_units import in_code_points
from belink.corpora.raw import Annotation, CorpusReport, Passage, RawDocument, Spans, lay_out
from belink.records import Document, Mention, Rejection
from belink.text import sentences
from belink.text.normalise import normalise
from belink.text.sentences import make_mention

DRIFT = 10  # characters by which the offsets of a mention may be wrong


class Misfit(ValueError):
    """A mention whose words are not in the text where its offsets say."""


def assemble(raw: RawDocument, report: CorpusReport, *, keep_source: bool = False) -> Document:
    """Return the document with its text, sentences and the mentions that fit; ``report`` counts the others.

    :param keep_source: keep what a writer needs to return the document as it came; it doubles the memory.
    """
    for note in raw.notes:
        report.note(note)
    # The unit comes first: what is left of a shift after it is drift.
    raw = in_code_points(raw, report)
    text, shifts = lay_out(raw.passages)
    spans = tuple(_sentence_spans(text, raw.passages, shifts))
    starts = [start for start, _ in spans]
    mentions: list[Mention] = []
    placed = [(a, shift) for passage, shift in zip(raw.passages, shifts, strict=True) for a in passage.annotations]
    # Annotations of the document as a whole count from its beginning, so no passage moves them.
    for annotation, shift in [*placed, *((a, 0) for a in raw.annotations)]:
        spans_given = tuple((start + shift, end + shift) for start, end in annotation.spans)
        try:
            if annotation.fault:
                raise Misfit(annotation.fault)
            fitted = fit(text, spans_given, annotation.text)
        except Misfit as misfit:
            report.note(Rejection(line=annotation.line, text=_shown(raw.id, annotation), reason=str(misfit)))
            continue
        if fitted != spans_given:
            before, after = (f"{piece[0][0]}-{piece[-1][1]}" for piece in (spans_given, fitted))
            reason = f"moved from {before} to {after}, where its words are"
            report.note(Rejection(line=annotation.line, text=_shown(raw.id, annotation), reason=reason, repaired=True))
        # The document's own spelling counts; what the file repeats is only noted.
        elif not _is_written(text, fitted, annotation.text):
            actual = " ".join(text[start:end] for start, end in fitted)
            reason = f"the text spells it {actual[:60]!r}; kept at its offsets"
            report.note(Rejection(line=annotation.line, text=_shown(raw.id, annotation), reason=reason, repaired=True))
        mentions.append(_mention(raw.id, text, fitted, annotation, spans, starts))
        report.nil += annotation.is_nil
    mentions.sort(key=lambda mention: (mention.start, mention.end))
    report.documents += 1
    report.mentions += len(mentions)
    source = raw.source if keep_source else None
    return Document(id=raw.id, text=text, sentences=spans, mentions=tuple(mentions), judged=raw.judged, source=source)


def fit(text: str, spans: Spans, words: str) -> Spans:
    """Return ``spans``, moved by at most ``DRIFT`` characters to where ``words`` stand. Blanks and case do not count.

    :param words: text of the mention as its file repeats it; ``""`` leaves the spans where they are.
    :raises Misfit: they lie outside the text, or other words stand there.
    """
    spans = tuple(sorted(spans))
    if not spans or any(start >= end or start < -DRIFT for start, end in spans):
        raise Misfit("no location with a length")
    bare = _bare(words)
    # The nearest place wins: a short word may stand several times within the drift.
    for shift in sorted(range(-DRIFT, DRIFT + 1), key=abs) if bare else (0,):
        moved = tuple((start + shift, end + shift) for start, end in spans)
        if moved[0][0] < 0 or moved[-1][1] > len(text):
            continue
        joined = _bare("".join(text[start:end] for start, end in moved))
        cover = _bare(text[moved[0][0] : moved[-1][1]])
        # Files repeat a discontinuous mention either as its pieces or as the whole stretch from first to last.
        if joined and (not bare or bare in (joined, cover)):
            return _trimmed(text, moved)
    if spans[0][0] >= 0 and spans[-1][1] <= len(text):
        actual = " ".join(text[start:end] for start, end in spans)
        # Tried only after the exact words nearby, which are better evidence.
        if _is_respelled(actual, words):
            return _trimmed(text, spans)
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


def _is_respelled(actual: str, words: str) -> bool:
    """Whether ``words`` are ``actual`` in plainer letters, as some tools repeat it: "TNF-a" for "TNF-α"."""
    if normalise(actual) == normalise(words) != "":
        return True
    pairs = list(zip(actual.lower(), words.lower(), strict=False))
    n_same = sum(a == b and a.isalnum() for a, b in pairs)
    # Only letters beyond ASCII and marks may differ. Two other words of the same length are no respelling.
    is_like = all(a == b or not (a.isascii() and a.isalnum()) for a, b in pairs)
    return len(actual) == len(words) and is_like and 2 * n_same >= len(pairs)


def _is_written(text: str, spans: Spans, words: str) -> bool:
    """Whether ``words`` stand at ``spans``, blanks and case apart."""
    joined, cover = _bare("".join(text[a:b] for a, b in spans)), _bare(text[spans[0][0] : spans[-1][1]])
    return _bare(words) in ("", joined, cover)


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
        is_nil=annotation.is_nil,
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
