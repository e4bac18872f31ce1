"""Where concept ids stand in a file of annotations: JSON (Lines), BioC, PubTator, CSV and TSV.

Files are taken as text and ids as pieces of it, so that an id can be changed and every other byte kept. A value may
hold several ids between ``|``, ``,``, ``;``, ``+`` or blanks.
"""

import csv
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from belink.errors import CorpusError

Layout = Literal["json", "bioc-xml", "pubtator", "csv", "tsv"]
KEYS = frozenset(
    {"concept_id", "concept_ids", "curie", "gold", "gold_id", "gold_ids", "identifier", "identifiers", "predicted"}
)
ANY = "id"  # of a concept, or of anything: ids of ontologies that are not asked for are no business of ours

_SUFFIXES: dict[str, Layout] = {
    ".jsonl": "json", ".ndjson": "json", ".json": "json", ".xml": "bioc-xml", ".csv": "csv", ".tsv": "tsv",
    ".pubtator": "pubtator",
}  # fmt: skip
_PIECE = re.compile(r"[^|,;+\s\"]+")
_CURIE = re.compile(r"[A-Za-z][\w.\-]*:\S+")
_BARE = re.compile(r"[A-Za-z]{0,3}\d{3,}")
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|[{}\[\]:,]')
_INFON = re.compile(r"<infon\s+key\s*=\s*([\"'])(.*?)\1\s*>([^<]*)</infon\s*>")
_ANNOTATION = re.compile(r"^[^\t|\n]+\t\d+\t\d+\t[^\t\n]*\t[^\t\n]*\t([^\t\r\n]+)", re.MULTILINE)
_RELATION = re.compile(r"^[^\t|\n]+\t[A-Za-z][^\t\n]*\t([^\t\r\n]+\t[^\t\r\n]+)\r?$", re.MULTILINE)
_TITLE = re.compile(r"^[^\s|]+\|t\|", re.MULTILINE)


class Span(NamedTuple):
    """One id as it stands in the text."""

    start: int
    end: int
    id: str  # as a CURIE
    bare: bool  # the text leaves the prefix out


def layout_of(path: Path, start: str) -> Layout:
    """How a file is laid out, by its name (``.gz`` left off) or else by how its content begins.

    :raises CorpusError: neither tells.
    """
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    beginning = start.lstrip("\ufeff \t\r\n")
    if beginning.startswith(("{", "[")):
        return "json"
    if beginning.startswith("<"):
        return "bioc-xml"
    if _TITLE.match(beginning):
        return "pubtator"
    first = beginning.partition("\n")[0]
    if "\t" in first or "," in first:
        return "tsv" if "\t" in first else "csv"
    raise CorpusError(
        f"{path}: expected JSON Lines, BioC, PubTator, CSV or TSV, found {beginning[:40]!r}; name it by its format"
    )


def id_spans(text: str, layout: Layout, prefixes: Collection[str], column: str | None = None) -> list[Span]:
    """Every concept id in ``text``, in order.

    :param prefixes: of the ontology; where there is one only, ids may stand without it (``D003920``).
    :param column: a field that holds ids, beside those known (:data:`KEYS`, ``id``, and an infon named by a prefix).
    :raises CorpusError: the text is not laid out so, or a table has no column of ids.
    """
    values = {"json": _json, "bioc-xml": _bioc, "pubtator": _pubtator, "csv": _table, "tsv": _table}[layout]
    only = next(iter(prefixes)) if len(prefixes) == 1 else None
    fields = _Fields(KEYS | ({column} if column else set()), {prefix.casefold(): prefix for prefix in prefixes})
    found = []
    for start, end, key in values(text, fields, layout):
        prefix = fields.prefixes.get(key.casefold())
        for piece in _PIECE.finditer(text, start, end):
            token = piece[0]
            if _CURIE.fullmatch(token):
                if key != ANY or key in fields.keys or token.partition(":")[0] in prefixes:
                    found.append(Span(*piece.span(), token, False))
            elif (whole := prefix or only) and (key != ANY or key in fields.keys) and _BARE.fullmatch(token):
                found.append(Span(*piece.span(), f"{whole}:{token}", True))
    return found


class _Fields(NamedTuple):
    keys: frozenset[str]
    prefixes: dict[str, str]  # case-folded → as it is

    def holds(self, key: str) -> bool:
        return key in self.keys or key == ANY or key.casefold() in self.prefixes


Values = Iterator[tuple[int, int, str]]  # start, end, key


def _json(text: str, fields: _Fields, layout: Layout) -> Values:
    _check_json(text)
    keys: list[str | None] = []  # of each open container: an object's present key, a list's own
    key: str | None = None
    is_object: list[bool] = []
    expects_key = False
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "{[":
            keys.append(key)
            is_object.append(mark == "{")
            expects_key = mark == "{"
        elif mark in "}]":
            key = keys.pop()
            is_object.pop()
            expects_key = False
        elif mark == ",":
            expects_key = bool(is_object) and is_object[-1]
        elif mark == ":":
            expects_key = False
        elif expects_key:
            key = token[1]
        elif key is not None and fields.holds(key) and "\\" not in mark:
            yield token.start(1), token.end(1), key


def _check_json(text: str) -> None:
    line = 0
    try:
        json.loads(text)
    except ValueError:
        for line, each in enumerate(text.split("\n"), 1):
            if each.strip():
                try:
                    json.loads(each)
                except ValueError as error:
                    raise CorpusError(f"expected JSON or JSON Lines, found in line {line}: {error}") from error


def _bioc(text: str, fields: _Fields, layout: Layout) -> Values:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        etree.fromstring(text.encode("utf-8", "surrogateescape"), parser)
    except etree.XMLSyntaxError as error:
        raise CorpusError(f"expected BioC XML, found: {error}; is the file complete?") from error
    for infon in _INFON.finditer(text):
        if fields.holds(infon[2]):
            yield *infon.span(3), infon[2]


def _pubtator(text: str, fields: _Fields, layout: Layout) -> Values:
    if not _TITLE.search(text):
        raise CorpusError("expected PubTator (lines such as 123|t|Title), found none; is it another format?")
    spans = [m.span(1) for pattern in (_ANNOTATION, _RELATION) for m in pattern.finditer(text)]
    for start, end in sorted(spans):
        yield start, end, "identifier"


def _table(text: str, fields: _Fields, layout: Layout) -> Values:
    separator = "\t" if layout == "tsv" else ","
    # In CSV a quoted cell may hold line ends; in TSV a quote is mostly just a quote, and must not swallow rows.
    quoted = r'[^"]' if layout == "csv" else r'[^"\r\n]'
    cell = re.compile(rf'(?:"((?:{quoted}|"")*)"|([^{separator}\r\n]*))({separator}|\r\n|\n|\r|\Z)')
    header: list[str] = next(csv.reader([text.lstrip("\ufeff").partition("\n")[0]], delimiter=separator), [])
    chosen = {position: name for position, name in enumerate(header) if fields.holds(name)}
    if not chosen:
        raise CorpusError(f"expected a column of ids, found the columns {', '.join(header)}; say which with --column")
    position = column = row = 0
    while position < len(text):
        found = cell.match(text, position)
        if found is None or column >= len(header):
            line = text.count("\n", 0, position) + 1
            raise CorpusError(f"expected {len(header)} cells a row, found more in line {line}; is a quote left open?")
        if row and column in chosen:
            yield *found.span(1 if found[1] is not None else 2), chosen[column]
        column, row = (column + 1, row) if found[3] == separator else (0, row + 1)
        position = found.end()
