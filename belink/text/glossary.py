"""Lists of abbreviations in a document, as papers print them, by whichever of three layouts they have.

Line by line ("GdR", and below it "deoxyguanosine"), item by item ("IBF: Ibuprofen; DCF: Diclofenac sodium"), or in
columns that blanks keep apart ("FSK Forskolin  CTX Cholera toxin"). No heading is asked for, as many lists have none or
have it at their end. What makes a list is that the letters of most of its short forms are found in what stands beside
them; the few between those then need no such proof ("CCh", "carbachol").
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from belink.text import short_forms

_FEWEST = 3  # entries whose letters fit
_GAP = 2  # entries in a row whose letters need not fit
_LONGEST = 150  # characters of a long form
_ITEM = re.compile(r"(?P<short>\S+(?: \S+)?)\s*(?::|=|,| [–-])\s+(?P<long>[^;]+)")
_HEADING = re.compile(r"^\W*(?:list of )?abbreviations?(?: used)?\b[\s:.]*", re.I)
_END = re.compile(r"\.(?:\s|$)")
_COLUMNS = re.compile(r"\s{2,}")

Entry = tuple[str, str]


def entries(text: str) -> Iterator[Entry]:
    """Short form and long form, both as ``text`` writes them, of every entry of every list in ``text``."""
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    stripped = [line.strip() for line in lines]
    pairs = [_entry(short.rstrip(" :="), long) for short, long in pairwise(stripped)]
    for first in (0, 1):
        yield from _lists(pairs[first::2])
    for line in lines:
        if line.count(";") >= _FEWEST - 1:
            yield from _lists([_item(item) for item in _HEADING.sub("", line).split(";")])
        if len(columns := _COLUMNS.split(line.strip())) >= _FEWEST:
            yield from _lists([_column(column) for column in columns])


def _entry(short: str, long: str) -> Entry | None:
    """``None`` where this cannot be one."""
    long = long.strip(" ;,.")
    if len(long) > _LONGEST or len(long) <= len(short) or not short_forms.is_short_form(short):
        return None
    return short, long


def _item(item: str) -> Entry | None:
    found = _ITEM.fullmatch(item.strip())
    return _entry(found["short"], _END.split(found["long"])[0]) if found else None


def _column(column: str) -> Entry | None:
    short, _, long = column.partition(" ")
    return _entry(short, long)


def _lists(found: Sequence[Entry | None]) -> Iterator[Entry]:
    """The entries from the first to the last that fits, of each run in which enough do."""
    run: list[Entry | None] = []
    fitting, since = 0, 0
    for entry in [*found, *[None] * (_GAP + 1)]:
        fits = entry is not None and short_forms.standing_for(*entry) == entry[1]
        if fits or (run and since < _GAP):
            run.append(entry)
            fitting, since = fitting + fits, 0 if fits else since + 1
            continue
        if fitting >= max(_FEWEST, (len(run) - since) / 2):
            yield from (of_run for of_run in run[: len(run) - since] if of_run)
        run, fitting, since = [], 0, 0
