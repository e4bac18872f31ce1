"""Offsets in UTF-8 bytes or UTF-16 units → code points, recognised document by document.

Files do not say what their offsets count. Java and JavaScript tools count UTF-16 units, some C++ and Rust tools bytes;
both agree with code points until the first character beyond them, and are off for the rest of the document. The unit
under which most annotated words stand where they should is taken; code points win a tie.
"""

import bisect
import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import accumulate

from belink.corpora.raw import Annotation, CorpusReport, Passage, RawDocument, Spans, lay_out
from belink.records import Rejection

Measure = Callable[[str], int]  # units of one character

CODE_POINTS = "code points"
_UNITS: dict[str, Measure] = {
    # Characters beyond the basic plane take two units, a surrogate pair.
    "UTF-16 units": lambda character: 1 + (character > "\uffff"),
    "UTF-8 bytes": lambda character: len(character.encode("utf-8", "replace")),
    # Whoever counted had other line ends: the file or a parser of XML has turned them into these.
    "characters with two to a line end": lambda character: 1 + (character == "\n"),
    "characters with one to a line end": lambda character: int(character != "\r"),
}


def in_code_points(raw: RawDocument, report: CorpusReport) -> RawDocument:
    """Return the document with offsets in code points of it; ``report`` notes what they counted where it is another."""
    converted, reason = raw, ""
    if (unit := detect_unit(raw)) != CODE_POINTS:
        converted, reason = _converted(raw, _UNITS[unit]), f"offsets count {unit}; converted to code points"
    # Kept only where more words fit, so that it cannot undo what the unit has mended.
    if _may_count_in_passages(raw) and (n_fitting := _count_fitting(converted)) < sum(1 for _ in _with_words(raw)):
        moved = _from_passages(raw)
        if _count_fitting(moved) > n_fitting:
            converted, reason = moved, "offsets count in each passage; converted to offsets in the document"
    if reason:
        report.note(Rejection(line=None, text=raw.id[:500], reason=reason, repaired=True))
    return converted


def _may_count_in_passages(raw: RawDocument) -> bool:
    return raw.has_offsets and any(passage.offset and passage.annotations for passage in raw.passages)


def _from_passages(raw: RawDocument) -> RawDocument:
    """Return ``raw`` as if the offsets of annotations began anew in each passage.

    BioC says that they count in the document; some tools write them so all the same.
    """
    return replace(
        raw,
        passages=tuple(
            replace(each, annotations=tuple(_moved(a, partial(operator.add, each.offset)) for a in each.annotations))
            for each in raw.passages
        ),
    )


def detect_unit(raw: RawDocument) -> str:
    """Return the unit that the offsets of a document count, by its annotated words."""
    # In one line of ASCII all units agree.
    if all(passage.text.isascii() and "\n" not in passage.text for passage in raw.passages):
        return CODE_POINTS
    best, n_best = CODE_POINTS, _count_fitting(raw)
    if n_best == sum(1 for _ in _with_words(raw)):
        return CODE_POINTS
    for unit, measure in _UNITS.items():
        # Strictly more, so that code points win a tie.
        if (n_fitting := _count_fitting(_converted(raw, measure))) > n_best:
            best, n_best = unit, n_fitting
    return best


def length_in(unit: str, text: str) -> int:
    """Return how many units ``text`` has."""
    return len(text) if unit == CODE_POINTS else sum(map(_UNITS[unit], text))


def _with_words(raw: RawDocument) -> Iterator[Annotation]:
    annotations = (*raw.annotations, *(each for passage in raw.passages for each in passage.annotations))
    yield from (annotation for annotation in annotations if annotation.text and annotation.spans)


def _count_fitting(raw: RawDocument) -> int:
    """Return how many annotations have their words exactly at their offsets."""
    text, shifts = lay_out(raw.passages)
    parts = [(raw.annotations, 0), *zip((passage.annotations for passage in raw.passages), shifts, strict=True)]
    return sum(
        _fits(text, annotation, shift)
        for annotations, shift in parts
        for annotation in annotations
        if annotation.text and annotation.spans
    )


def _fits(text: str, annotation: Annotation, shift: int) -> bool:
    pieces = [text[max(0, start + shift) : max(0, end + shift)] for start, end in annotation.spans]
    if len(pieces) == 1:
        return pieces[0] == annotation.text  # to the letter: an offset that is one off may differ by a blank only
    return "".join("".join(pieces).split()) == "".join(annotation.text.split())


def _converted(raw: RawDocument, measure: Measure) -> RawDocument:
    """Return ``raw`` with every offset, which counts in units of ``measure``, in code points."""
    ends = [list(accumulate(map(measure, passage.text))) for passage in raw.passages]
    passages = list[Passage]()
    in_document = list[tuple[int, Callable[[int], int]]]()  # where each passage begins in units, and its conversion
    end_in_units = end = 0
    for passage, passage_ends in zip(raw.passages, ends, strict=True):
        # Blanks between passages are one unit each, whatever the unit is.
        gap = passage.offset - (end_in_units if raw.has_offsets else end)
        start, offset = end_in_units + gap, end + gap
        convert = partial(_to_code_points, start=start, offset=offset, sums=passage_ends)
        in_document.append((start, convert))
        passages.append(
            replace(
                passage,
                offset=offset,
                sentences=tuple((convert(at), words) for at, words in passage.sentences),
                annotations=tuple(_moved(annotation, convert) for annotation in passage.annotations),
            )
        )
        end_in_units = start + (passage_ends[-1] if passage_ends else 0)
        end = offset + len(passage.text)

    def convert_anywhere(position: int) -> int:
        chosen = [convert for start, convert in in_document if start <= position]
        return chosen[-1](position) if chosen else position

    annotations = tuple(_moved(annotation, convert_anywhere) for annotation in raw.annotations)
    return replace(raw, passages=tuple(passages), annotations=annotations)


def _to_code_points(position: int, *, start: int, offset: int, sums: list[int]) -> int:
    """Return ``position``, in units, as a code point of the document.

    :param start: where the passage begins, in units.
    :param offset: where it begins, in code points.
    :param sums: units up to the end of each of its characters.
    """
    local = position - start
    # A position inside a character becomes that character's beginning.
    inside = bisect.bisect_right(sums, local) if local >= 0 else local
    return offset + inside + max(0, local - (sums[-1] if sums else 0))


def _moved(annotation: Annotation, convert: Callable[[int], int]) -> Annotation:
    spans: Spans = tuple((convert(start), convert(end)) for start, end in annotation.spans)
    return replace(annotation, spans=spans)
