"""Lists of abbreviations in a document, in the three layouts that papers print.

Line by line ("GdR", and below it "deoxyguanosine"), item by item ("IBF: Ibuprofen; DCF: Diclofenac sodium"), or in
columns separated by blanks ("FSK Forskolin  CTX Cholera toxin"). No heading is required: many lists have none, or have
it at their end. A list is recognised by its short forms: the letters of most of them occur in the text beside them. The
few entries between those need no such proof ("CCh", "carbachol").
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from belink.text import short_forms

_MIN_FITTING = 3  # entries of a list whose letters fit
_MAX_GAP = 2  # consecutive entries whose letters need not fit
_MAX_LONG_FORM = 150  # characters
_ITEM = re.compile(r"(?P<short>\S+(?: \S+)?)\s*(?::|=|,| [–-])\s+(?P<long>[^;]+)")
_HEADING = re.compile(r"^\W*(?:list of )?abbreviations?(?: used)?\b[\s:.]*", re.I)
_END = re.compile(r"\.(?:\s|$)")
_COLUMNS = re.compile(r"\s{2,}")

Entry = tuple[str, str]


def find_entries(text: str) -> Iterator[Entry]:
    """Yield short form and long form, both as ``text`` writes them, of every entry of every list in ``text``."""
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    stripped = [line.strip() for line in lines]
    pairs = [_entry(short.rstrip(" :="), long) for short, long in pairwise(stripped)]
    for first in (0, 1):  # the short forms may be the even or the odd lines
        yield from _lists(pairs[first::2])
    for line in lines:
        if line.count(";") >= _MIN_FITTING - 1:
            yield from _lists([_item(item) for item in _HEADING.sub("", line).split(";")])
        if len(columns := _COLUMNS.split(line.strip())) >= _MIN_FITTING:
            yield from _lists([_column(column) for column in columns])


def _entry(short: str, long: str) -> Entry | None:
    """Return the pair without marks around it; ``None`` where it cannot be an entry."""
    long = long.strip(" ;,.")
    if len(long) > _MAX_LONG_FORM or len(long) <= len(short) or not short_forms.is_short_form(short):
        return None
    return short, long


def _item(item: str) -> Entry | None:
    match = _ITEM.fullmatch(item.strip())
    return _entry(match["short"], _END.split(match["long"])[0]) if match else None


def _column(column: str) -> Entry | None:
    short, _, long = column.partition(" ")
    return _entry(short, long)


def _lists(entries: Sequence[Entry | None]) -> Iterator[Entry]:
    """Yield the entries of each run in which enough of them fit, from the first to the last that does."""
    run: list[Entry | None] = []
    n_fitting, n_since = 0, 0  # entries that fit, and entries after the last of those
    # The empty entries at the end close the last run.
    for entry in [*entries, *[None] * (_MAX_GAP + 1)]:
        # An entry fits if its letters take up the whole long form, not only a part of it.
        fits = entry is not None and short_forms.find_long_form(*entry) == entry[1]
        if fits or (run and n_since < _MAX_GAP):
            run.append(entry)
            n_fitting, n_since = n_fitting + fits, 0 if fits else n_since + 1
            continue
        if n_fitting >= max(_MIN_FITTING, (len(run) - n_since) / 2):
            yield from (fitting for fitting in run[: len(run) - n_since] if fitting)
        run, n_fitting, n_since = [], 0, 0
