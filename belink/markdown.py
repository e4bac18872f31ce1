"""Write Markdown: tables, and text in which no character is taken for a mark.

Names and details come from the files of others, so everything is escaped unless it is :class:`Markdown` already.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from html import unescape

_MARKS = re.compile(r"([\\`*\[\]<>|#{}])")


class Markdown(str):
    """Text that is Markdown already, and is not escaped again."""

    __slots__ = ()


def escape(value: object) -> Markdown:
    """Return ``value`` on one line, with the marks of Markdown and HTML escaped; "" for ``None``.

    Character references are resolved first: a name that holds ``&lt;img&gt;`` must not become a tag either.
    """
    if isinstance(value, Markdown):
        return value
    text = "" if value is None else unescape(str(value))
    return Markdown(_MARKS.sub(r"\\\1", " ".join(text.split())))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[str] = ()) -> Markdown:
    """Return a table with one line a row.

    :param columns: the headings.
    :param right: the headings of the columns that are aligned to the right, as numbers are.
    """
    alignment = ["---:" if column in right else "---" for column in columns]
    lines: list[Iterable[str]] = [map(escape, columns), alignment]
    lines += [map(escape, row) for row in rows]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))
