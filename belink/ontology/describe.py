"""A file of an ontology → what a declaration of it has to say: format, prefixes, version, title, licence.

The file is read as a refresh would read it, into a release that is thrown away, so that what is counted is what will be
there. Title and licence come from the header, where it states them.
"""

import csv
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

from belink import artefacts, settings, textfiles
from belink.declarations import Columns, Format, SourceConfig
from belink.errors import SourceError, first_line
from belink.ontology.ingest import Ingested, ingest
from belink.ontology.readers.files import SUFFIXES, plain_errors, sniff

_HEAD = 1 << 20  # bytes in which a header is looked for
_ROWS = 2000  # of a table, that tell what stands between the values of a cell
_MIN_SPLIT = 0.1  # share of the cells with a value
_DAY = r"(\d{4}-\d{2}-\d{2})"
_TABLES = (".csv", ".tsv", ".txt", ".tab", ".parquet")
_END_OF_HEADER = {"obo": "[Term]", "owl": "</owl:Ontology>", "obograph": '"nodes"'}
_STATED = {  # format → how a header states title, licence and its own id
    "obo": (
        r'^property_value:\s*\S*title\s+"([^"]+)"',
        r'^property_value:\s*\S*licen[sc]e\s+"?([^"\n]+?)"?(?:\s+xsd:\w+)?\s*$',
        r"^ontology:\s*(\S+)",
    ),
    "owl": (
        r"<(?:\w+:)?title[^>]*>([^<]+)<",
        r"""<(?:\w+:)?license(?:[^>]*resource=["']([^"']+)|[^>]*>([^<]+)<)""",
        r"""<owl:Ontology[^>]*about=["']([^"']+)""",
    ),
    "obograph": (
        r'"pred"\s*:\s*"[^"]*title"\s*,\s*"val"\s*:\s*"([^"]+)"',
        r'"pred"\s*:\s*"[^"]*license"\s*,\s*"val"\s*:\s*"([^"]+)"',
        r'"id"\s*:\s*"([^"]+)"',
    ),
}
_LICENCES = (  # part of an address → the short name
    (r"creativecommons\.org/publicdomain/zero/1\.0", "CC0 1.0"),
    (r"creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)", "CC {0} {1}"),
)
_COLUMNS = {  # key → names that columns of tables have, best first
    "id": r"id|.*[_ ]id|\w*id|curie|code|accession|identifier",
    "label": r"label|name|.*[_ ]name|term|title|preferred.*",
    "synonyms": r".*(synonym|alias|(other|common)[_ ]name).*",
    "definition": r"definition|description",
    "parents": r".*parent.*",
    "alt_ids": r"alt.*",
    "xrefs": r"xrefs?|.*mapping.*",
}


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a file says of the ontology in it."""

    format: Format
    version_rule: str  # for the declaration's ``version``
    version: str  # that rule's answer for this file
    prefixes: tuple[str, ...]  # the ontology's own; () where nothing speaks for one
    by_prefix: Mapping[str, int] = field(default_factory=dict)  # concepts, most first
    names: int = 0
    rejected: int = 0
    title: str = ""  # "" where the header states none
    licence: str = ""
    licence_url: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)  # tables: key → name of the column, or ``separator``
    comment: str | None = None  # tables: what lines begin with that are no rows
    over_bound: Mapping[str, float] = field(default_factory=dict)  # gate that would refuse the file → what it measured


def describe(name: str, path: Path) -> Description:
    """Return what a declaration of the ontology in ``path`` has to say.

    :param name: of the ontology to be; ids of a table that have no prefix get it in capitals.
    :raises SourceError: the file is of no format that belink reads, or has no concept.
    """
    # A table names no prefix, so one is made of the ontology's name. Other formats bring prefixes with their ids.
    format, columns, comment = _format(path)
    prefixes = (re.sub(r"[^A-Za-z0-9]+", "", name).upper() or "X",) if format == "table" else ()
    source = SourceConfig(
        name=name,
        title=name,
        format=format,
        prefixes=prefixes,
        licence="unknown",
        columns=Columns(**columns) if columns else None,
        comment=comment,
    )
    rule, done = _read(source, path)
    title, licence, ontology_id = _header(path, format)
    by_prefix = dict(sorted(done.counts["by_prefix"].items(), key=lambda item: (-item[1], item[0])))
    # Ids without a colon belong to no prefix.
    by_prefix.pop("", None)
    short, url = _licence(licence)
    return Description(
        format=format,
        version_rule=rule,
        version=done.ontology.version,
        prefixes=_own(by_prefix, ontology_id),
        by_prefix=by_prefix,
        names=done.ontology.names,
        rejected=done.ontology.rejected,
        title=title,
        licence=short,
        licence_url=url,
        columns=columns,
        comment=comment,
        over_bound={
            gate.name: gate.value for gate in done.ontology.gates if not gate.passed and gate.value is not None
        },
    )


def _format(path: Path) -> tuple[Format, dict[str, str], str | None]:
    """Return the format, and of a table its columns and its mark of comments."""
    try:
        with plain_errors(path):
            return sniff(path), {}, None
    except SourceError:
        if not any(suffix in _TABLES for suffix in path.suffixes):
            raise
    names, comment, rows = _head_of_table(path)
    columns: dict[str, str] = {}
    for key, pattern in _COLUMNS.items():
        for each in names:
            # Each column serves one key at most, and the keys are tried in order: "id" first, then "label".
            if each not in columns.values() and re.fullmatch(pattern, each.strip(), re.IGNORECASE):
                columns[key] = each
                break
    if missing := [key for key in ("id", "label") if key not in columns]:
        raise SourceError(
            f"{path}: expected a header with columns for {' and '.join(missing)}, found {', '.join(names)[:200]}; "
            "write the declaration by hand, with [columns]"
        )
    if "synonyms" in columns and _are_split_by_semicolons(rows, names.index(columns["synonyms"])):
        columns["separator"] = ";"
    return "table", columns, comment


def _are_split_by_semicolons(rows: Sequence[Sequence[str]], column: int) -> bool:
    """Whether a semicolon stands between the values of the cells of ``column``, and no "|" does."""
    cells = [row[column] for row in rows if len(row) > column and row[column].strip()]
    # A semicolon may also stand in a name.
    return not any("|" in cell for cell in cells) and sum(";" in cell for cell in cells) > _MIN_SPLIT * len(cells)


def _head_of_table(path: Path) -> tuple[list[str], str | None, list[list[str]]]:
    """Return the columns' names, what comments begin with, and the first rows; none of a Parquet file."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return list(pq.read_schema(path).names), None, []
        except pa.ArrowInvalid as error:
            raise SourceError(f"{path}: expected a Parquet file, found: {first_line(error)}") from error
    with plain_errors(path), textfiles.open_bytes(path) as stream:
        lines = textfiles.glimpse(stream, _HEAD).splitlines()
    listed = [line for line in lines if line.strip() and not line.startswith("#")]
    first = listed[0] if listed else ""
    delimiter = max("\t,;|", key=first.count)
    try:
        names = next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error as error:
        raise SourceError(f"{path}: expected a header of columns, found: {error}") from error
    rows: list[list[str]] = []
    with suppress(csv.Error):  # what is wrong with a row, its reader says
        rows.extend(csv.reader(listed[1:_ROWS], delimiter=delimiter))
    return names, "#" if lines and lines[0].startswith("#") else None, rows


class _Reading(NamedTuple):
    """A release that was made to be counted."""

    ontology: Ingested
    counts: dict[str, Any]


def _read(source: SourceConfig, path: Path) -> tuple[str, _Reading]:
    """Return the version's rule, and what a release has that is thrown away."""
    rules = ["header", _DAY] if re.search(_DAY, path.name) else ["header"]
    with tempfile.TemporaryDirectory() as folder:
        home = settings.load(Path(folder))

        def reading(rule: str) -> tuple[str, _Reading]:
            done = ingest(source.model_copy(update={"version": rule}), [path], home, refuse=False)
            return rule, _Reading(done, artefacts.read_manifest(done.path)["counts"])

        for rule in rules:
            try:
                return reading(rule)
            except SourceError as error:
                # The words are those of ``ingest``: this one error means that the next rule is tried.
                if "to name its version" not in str(error):
                    raise
        return reading("last-modified")


def _header(path: Path, format: Format) -> tuple[str, str, str]:
    """Return title, licence and id as the header states them; ``""`` for what it does not."""
    if format not in SUFFIXES:
        return "", "", ""
    with plain_errors(path), textfiles.open_bytes(path) as stream:
        # Beyond the header the same fields describe single terms.
        head = textfiles.glimpse(stream, _HEAD).partition(_END_OF_HEADER[format])[0]
    stated = []
    for pattern in _STATED[format]:
        match = re.search(pattern, head, re.MULTILINE)
        stated.append(unescape(next((group for group in match.groups() if group), "")).strip() if match else "")
    title, licence, ontology_id = stated
    return title, licence, ontology_id


def _licence(stated: str) -> tuple[str, str]:
    """Return a licence's short name and its address, from what the header states."""
    for pattern, name in _LICENCES:
        if match := re.search(pattern, stated):
            return name.format(*(group.upper() for group in match.groups())), stated
    return stated, stated if stated.startswith("http") else ""


def _own(by_prefix: Mapping[str, int], ontology_id: str) -> tuple[str, ...]:
    """Return the prefix that the ontology's id names (``cl/subsets/upper`` names CL), else the most frequent one."""
    short = re.sub(r"\.(owl|obo|json)$", "", ontology_id.partition("/obo/")[2] or ontology_id).split("/")[0]
    named = [prefix for prefix in by_prefix if prefix.lower() == short.lower()]
    return tuple(named[:1] or list(by_prefix)[:1])
