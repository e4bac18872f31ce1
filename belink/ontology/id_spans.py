"""Positions of concept ids in a file of annotations: JSON (Lines), BioC, PubTator, CSV and TSV.

A file is taken as text and an id as a piece of it, so that an id can be replaced and every other byte kept. A value may
hold several ids, separated by ``|``, ``,``, ``;``, ``+`` or blanks.
"""

import bisect
import csv
import json
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from belink.errors import CorpusError
from belink.text.concept_ids import standardise

Layout = Literal["json", "bioc-xml", "pubtator", "csv", "tsv"]
KEYS = frozenset(
    {
        "concept_id",
        "concept_ids",
        "curie",
        "gold",
        "gold_id",
        "gold_ids",
        "identifier",
        "identifiers",
        "ids",
        "predicted",
    }
)
ANY = "id"  # a field that may hold the id of anything: only ids of the ontology count in it

_SUFFIXES: dict[str, Layout] = {
    ".jsonl": "json", ".ndjson": "json", ".json": "json", ".xml": "bioc-xml", ".csv": "csv", ".tsv": "tsv",
    ".pubtator": "pubtator",
}  # fmt: skip
_PIECE = re.compile(r"[^|,;+\s\"<>]+")
_CURIE = re.compile(r"[A-Za-z][\w.\-]*:\S+")
# Three digits at least: "B12" or a small number is no id.
BARE_ID = re.compile(r"[A-Za-z]{0,3}\d{3,}")  # an id without its prefix
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|[{}\[\]:,]')
# A key without quotes and brackets: one that could run on would be searched again from every infon.
_INFON = re.compile(
    r"<infon\s(?:[^<>]*\s)?key\s*=\s*([\"'])([^\"'<>]*)\1[^<>]*>(?:<!\[CDATA\[)?([^<\]]*)(?:\]\]>)?</infon\s*>"
)
_ANNOTATION = re.compile(r"^[^\t|\n]+\t\d+\t\d+\t[^\t\n]*\t[^\t\n]*\t([^\t\r\n]+)", re.MULTILINE)
_RELATION = re.compile(r"^[^\t|\n]+\t[A-Za-z][^\t\n]*\t([^\t\r\n]+\t[^\t\r\n]+)\r?$", re.MULTILINE)
_PART = re.compile(r"</?(?:collection|document|passage|sentence|annotation|relation)\b")
_LABEL = re.compile(r"(?:.*[_ ])?(?:label|name)", re.IGNORECASE)
_COMPANION = re.compile(r"(?:.*[_ ])?(?:label|name|release|version)", re.IGNORECASE)
_COMMENTS = re.compile(r"\A(?:#[^\n]*\n\s*)+")
_TITLE = re.compile(r"^[^\s|]+\|t\|", re.MULTILINE)


class Span(NamedTuple):
    """One id at its place in the text."""

    start: int
    end: int
    id: str  # as a CURIE
    beginning: str  # what the text writes before the local part: "MONDO:", "MONDO_", an address, or "" for no prefix
    group: int = -1  # number of the object, annotation or row that it stands in


class Companion(NamedTuple):
    """A label or a version beside an id, at its place in the text."""

    start: int
    end: int
    kind: Literal["label", "version"]
    group: int  # as of the ids beside it


def layout_of(path: Path, start: str) -> Layout:
    """Return the layout of a file: by how its content begins, else by its suffix (``.gz`` left off).

    :raises CorpusError: neither tells.
    """
    beginning = start.lstrip("\ufeff \t\r\n")
    # The content goes first, because PubTator files come with any suffix.
    if _TITLE.match(_COMMENTS.sub("", beginning, count=1)):
        return "pubtator"
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if beginning.startswith(("{", "[")):
        return "json"
    if beginning.startswith("<"):
        return "bioc-xml"
    first = beginning.partition("\n")[0]
    if any(separator in first for separator in "\t,;"):
        return "tsv" if "\t" in first else "csv"
    raise CorpusError(
        f"{path}: expected JSON Lines, BioC, PubTator, CSV or TSV, found {beginning[:40]!r}; name it by its format"
    )


def id_spans(text: str, layout: Layout, prefixes: Collection[str], column: str | None = None) -> list[Span]:
    """Return every concept id in ``text``, in order, in whichever form it is written.

    :param prefixes: of the ontology. Where it has only one, ids may stand without it (``D003920``).
    :param column: a field with ids, beside :data:`KEYS`, ``id``, and infons named by a prefix.
    :raises CorpusError: the text has another layout, no field ``column``, or is a table without a column of ids.
    """
    values = {"json": _json, "bioc-xml": _bioc, "pubtator": _pubtator, "csv": _table, "tsv": _table}[layout]
    only = next(iter(prefixes)) if len(prefixes) == 1 else None
    ordered = tuple(sorted(prefixes))
    fields = _Fields(KEYS | ({column} if column else set()), {prefix.casefold(): prefix for prefix in prefixes})
    if layout in ("csv", "tsv") and not any(map(fields.holds, header := _header(text, layout))):
        raise CorpusError(f"expected a column of ids, found the columns {', '.join(header)}; say which with --column")
    spans, seen = [], set[str]()
    for start, end, key, group in values(text, fields.holds, layout):
        # No id needs an escape, but some writers put one before each slash.
        if layout == "json" and "\\" in text[start:end].replace("\\/", ""):
            continue
        seen.add(key)
        # A field "id" may hold the id of a document, so only ids of the ontology's own prefixes count in it.
        is_id_field = key != ANY or key in fields.keys
        prefix = fields.prefixes.get(key.casefold()) or only
        for piece in _PIECE.finditer(text, start, end):
            token = piece[0]
            if not token.isprintable():
                continue  # bytes that are no text, and control characters, belong to no id
            identifier = standardise(token.replace("\\/", "/"), ordered)
            local = identifier.partition(":")[2]
            if _CURIE.fullmatch(identifier) and (at := token.rfind(local)) >= 0:
                if is_id_field or identifier.partition(":")[0] in prefixes:
                    # What stands before the local part is kept, so that a successor can be written in the same form.
                    start_of_id, end_of_id = piece.start(), piece.start() + at + len(local)
                    spans.append(Span(start_of_id, end_of_id, identifier, token[:at], group))
            elif prefix and is_id_field and BARE_ID.fullmatch(token):
                spans.append(Span(*piece.span(), f"{prefix}:{token}", "", group))
    if column and column not in seen:
        raise CorpusError(f"expected a field or column {column!r}, found none of that name; correct --column")
    return spans


def companions(text: str, layout: Layout) -> list[Companion]:
    """Return the values in ``text``, in order, that may be the label of an id beside them, or the version it is of."""
    if layout == "pubtator":
        return []
    values = {"json": _json, "bioc-xml": _bioc, "csv": _table, "tsv": _table}[layout]
    return [
        Companion(start, end, "label" if _LABEL.fullmatch(key) else "version", group)
        for start, end, key, group in values(text, _COMPANION.fullmatch, layout)
    ]


class _Fields(NamedTuple):
    keys: frozenset[str]
    prefixes: dict[str, str]  # case-folded → as it is

    def holds(self, key: str) -> bool:
        return key in self.keys or key == ANY or key.casefold() in self.prefixes


Values = Iterator[tuple[int, int, str, int]]  # start, end, key, group
Holds = Callable[[str], object]  # whether a field is wanted, by its key


def _json(text: str, holds: Holds, layout: Layout) -> Values:
    _check_json(text)
    keys: list[
        str | None
    ] = []  # of each open container: the current key of an object, the key that a list stands under
    key: str | None = None
    is_object: list[bool] = []
    groups, n_objects = [0], 0  # of each open container, the number of the object that it is or lies in
    expects_key = False
    # A JSON parser gives no positions. Tokens are found by pattern, in a text that ``_check_json`` has parsed.
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "{[":
            keys.append(key)
            is_object.append(mark == "{")
            n_objects += mark == "{"
            groups.append(n_objects if mark == "{" else groups[-1])
            expects_key = mark == "{"
        elif mark in "}]":
            key = keys.pop()
            is_object.pop()
            groups.pop()
            expects_key = False
        elif mark == ",":
            expects_key = bool(is_object) and is_object[-1]
        elif mark == ":":
            expects_key = False
        # A string is a key where one is expected: after an opening brace, or after a comma inside an object.
        elif expects_key:
            key = token[1]
        elif key is not None and holds(key):
            yield token.start(1), token.end(1), key, groups[-1]


def _check_json(text: str) -> None:
    line = 0
    try:
        # A text that is no single JSON value may be JSON Lines.
        json.loads(text)
    except (ValueError, RecursionError):
        for line, each in enumerate(text.split("\n"), 1):
            if each.strip():
                try:
                    json.loads(each)
                except (ValueError, RecursionError) as error:
                    raise CorpusError(f"expected JSON or JSON Lines, found in line {line}: {error}") from error


def _bioc(text: str, holds: Holds, layout: Layout) -> Values:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        # Parsed only to refuse damaged files. Positions come from the patterns below, since lxml gives no byte offsets.
        etree.fromstring(text.encode("utf-8", "surrogateescape"), parser)
    except etree.XMLSyntaxError as error:
        raise CorpusError(f"expected BioC XML, found: {error}; is the file complete?") from error
    # The number of tags before an infon tells which annotation it stands in.
    parts = [part.start() for part in _PART.finditer(text)]
    for infon in _INFON.finditer(text):
        if holds(infon[2]):
            yield *infon.span(3), infon[2], bisect.bisect(parts, infon.start())


def _pubtator(text: str, holds: Holds, layout: Layout) -> Values:
    if not _TITLE.search(text):
        raise CorpusError("expected PubTator (lines such as 123|t|Title), found none; is it another format?")
    spans = [m.span(1) for pattern in (_ANNOTATION, _RELATION) for m in pattern.finditer(text)]
    for start, end in sorted(spans):
        yield start, end, "identifier", start


def _first_line(text: str) -> str:
    return re.split(r"[\r\n]", text.lstrip("\ufeff"), maxsplit=1)[0]


def _separator(text: str, layout: Layout) -> str:
    """Return what separates the cells of a table: spreadsheets of many countries write CSV with semicolons."""
    first = _first_line(text)
    return "\t" if layout == "tsv" else ";" if ";" in first and "," not in first else ","


def _header(text: str, layout: Layout) -> list[str]:
    first = _first_line(text)
    try:
        return next(csv.reader([first], delimiter=_separator(text, layout)), [])
    except csv.Error as error:
        raise CorpusError(f"expected a header of columns, found {first[:60]!r} ({error})") from error


def _table(text: str, holds: Holds, layout: Layout) -> Values:
    separator = _separator(text, layout)
    # In CSV a quoted cell may hold line ends; in TSV a quote is mostly just a quote, and must not swallow rows.
    quoted = r'[^"]' if layout == "csv" else r'[^"\r\n]'
    cell = re.compile(rf'(?:"((?:{quoted}|"")*)"|([^{separator}\r\n]*))({separator}|\r\n|\n|\r|\Z)')
    header = _header(text, layout)
    chosen = {position: name for position, name in enumerate(header) if holds(name)}
    position = column = row = 0
    while position < len(text):
        match = cell.match(text, position)
        if match is None or column >= len(header):
            line = text.count("\n", 0, position) + 1
            raise CorpusError(f"expected {len(header)} cells a row, found more in line {line}; is a quote left open?")
        if row and column in chosen:
            yield *match.span(1 if match[1] is not None else 2), chosen[column], row
        column, row = (column + 1, row) if match[3] == separator else (0, row + 1)
        position = match.end()
