"""A table (CTD's, or any CSV, TSV or Parquet) → a release, by the declaration's column mapping and set-wise.

Delimited files are first brought to one form: UTF-8, tabs between the cells, no quoting (``delimited.py``; files with
quotes through Python's csv). DuckDB reads that, or the Parquet file as it is. Several rows with one id are one concept:
its first label is the label, the others and all synonyms are names of it.
"""

import csv
import re
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from belink.declarations import Columns, SourceConfig
from belink.errors import DeclarationError, SourceError
from belink.ontology.readers.archive import is_tar, is_zip, open_source
from belink.ontology.readers.delimited import Layout, Sieve, in_utf8, scan, sifted, text_lines
from belink.ontology.readers.files import is_obo_edition
from belink.ontology.release_writer import REJECTED_TEXT, ReleaseWriter

_PARQUET = b"PAR1"
_QUOTING = ",;"  # delimiters of formats in which quotes mean something; CTD's TSV has bare ones in names
_DELIMITERS = "\t,;|"
_CURIE = r"[A-Za-z][A-Za-z0-9_.\-]*:[^\s|]+"
_HEAD = 1 << 20  # bytes in which the first row is looked for
_ONE_LINE = {ord(mark): " " for mark in "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"}
_CREATED = re.compile(r"Report created:\s*\w{3} (\w{3}) +(\d+) [\d:]+ \w+ (\d{4})")  # CTD
_CURIE_OF = "if(contains({0}, ':') OR {1} = '', {0}, {1} || ':' || {0})"  # CTD writes DO:DOID:… beside OMIM:…
_LISTS = ("synonyms", "parents", "alt_ids", "xrefs", "tree_numbers")


def as_given(source: SourceConfig, files: Sequence[Path]) -> SourceConfig:
    """Return the declaration as it holds for ``files``: a taxonomy declared as a dump may come as a table, too."""
    if source.format != "taxdump" or source.columns is None:
        return source
    is_table = bool(files) and not any(
        path.is_dir() or ".dmp" in path.suffixes or is_zip(path) or is_tar(path) for path in files
    )
    if is_table and not is_obo_edition(list(files), source.format):
        return source.model_copy(update={"format": "table"})
    # Of a dump its reader knows the columns. Without them its releases are those of declarations that had none.
    return source.model_copy(update={"columns": None})


def read(paths: Sequence[Path], source: SourceConfig, into: ReleaseWriter) -> None:
    """Write the tables at ``paths``, all of the declared columns, into a release.

    Ids without a prefix, also of parents and alternative ids, get the declaration's first one.

    :raises DeclarationError: no column mapping.
    :raises SourceError: a file that cannot be read, or holds no row of that shape.
    """
    if source.columns is None:
        raise DeclarationError(f"{source.name}: a table needs a [columns] section, found none; add id and label")
    lists = ", ".join(f"{name} VARCHAR[]" for name in _LISTS)
    into.sql(f"CREATE TEMP TABLE cell (id VARCHAR, label VARCHAR, definition VARCHAR, {lists})")
    with tempfile.TemporaryDirectory(prefix=".reading-", dir=into.path.parent) as folder:
        for path in paths:
            with path.open("rb") as stream:
                parquet = stream.read(len(_PARQUET)) == _PARQUET
            if parquet:
                _stage_parquet(path, source.columns, into)
                continue
            with in_utf8(path, Path(folder)) as text:
                _stage_text(text, source, source.columns, into, Path(folder))
    _set_aside_ids(into)
    if not into.sql("SELECT count(*) FROM cell")[0][0]:
        raise SourceError(f"{', '.join(map(str, paths))}: expected rows with an id and a label, found no such row")
    _write(source, into)
    _keep_branches(source, into)
    into.sql("DROP TABLE temp.cell")


class _Shape(NamedTuple):
    """How a delimited file is written."""

    delimiter: str
    columns: tuple[str, ...]
    header: bool  # its first row holds the columns' names
    created: str  # what its comments say of its date, as YYYY-MM-DD; "" for nothing


def _stage_text(path: Path, source: SourceConfig, columns: Columns, into: ReleaseWriter, scratch: Path) -> None:
    shape = _shape(path, source, columns)
    if shape.created:
        into.version = shape.created
    layout = Layout(
        columns=shape.columns,
        delimiter=shape.delimiter,
        required=(columns.id, columns.label),
        comment=source.comment or "",
    )
    positional = [f"c{i}" for i in range(len(shape.columns))]  # DuckDB's own names know no case
    if shape.delimiter in _QUOTING:
        plain = _unquoted(path, layout, shape.header, into, scratch)
        rows = scan("$path", positional, "\t")
    else:
        plain = sifted(path, layout, into, scratch)
        rows = scan("$path", positional, shape.delimiter, skip=int(shape.header))
    at = {name: f"c{shape.columns.index(name)}" for name in _mapped(columns)}
    _stage(rows, at, set(), plain, columns, into)


def _stage_parquet(path: Path, columns: Columns, into: ReleaseWriter) -> None:
    types = {
        name: kind for name, kind, *_ in into.sql("DESCRIBE SELECT * FROM read_parquet($path)", {"path": str(path)})
    }
    if missing := [name for name in _mapped(columns) if name not in types]:
        raise SourceError(f"{path}: expected the columns {', '.join(missing)}, found {', '.join(types)[:300]}")
    at = {name: '"' + name.replace('"', '""') + '"' for name in _mapped(columns)}
    _stage("read_parquet($path)", at, {name for name in at if types[name].endswith("[]")}, path, columns, into)


def _mapped(columns: Columns) -> list[str]:
    """Return the names of the file's columns that the declaration uses."""
    names = [name for key in ("id", "label", "definition", *_LISTS) for name in _names_of(getattr(columns, key))]
    return list(dict.fromkeys(names))


def _names_of(declared: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the columns that a key of the declaration names: none, one or several."""
    return (declared,) if isinstance(declared, str) and declared else tuple(declared or ())


def _stage(rows: str, at: dict[str, str], as_list: set[str], path: Path, columns: Columns, into: ReleaseWriter) -> None:
    """Fill temp.cell: every row, with its cells split into values.

    :param at: name of a column of the file → its name in ``rows``.
    :param as_list: the columns that hold lists already.
    """

    def single(name: str | None) -> str:
        return f"coalesce(trim({at[name]}::VARCHAR), '')" if name else "''"

    def several(declared: str | tuple[str, ...] | None) -> str:
        lists = [
            f"{at[name]}::VARCHAR[]" if name in as_list else f"string_split({at[name]}::VARCHAR, $separator)"
            for name in _names_of(declared)
        ]
        if not lists:
            return "[]"
        values = lists[0] if len(lists) == 1 else f"flatten([{', '.join(lists)}])"
        return f"list_filter(list_transform({values}, lambda v: trim(v)), lambda v: v <> '')"

    cells = [f"{single(getattr(columns, key))} AS {key}" for key in ("id", "label", "definition")]
    cells += [f"{several(getattr(columns, key))} AS {key}" for key in _LISTS]
    values = {"path": str(path), "prefix": into.source.prefixes[0] if into.source.prefixes else ""}
    values["xrefs_prefix"] = columns.xrefs_prefix
    if any("$separator" in cell for cell in cells):
        values["separator"] = columns.separator
    into.sql(
        f"""
        INSERT INTO cell SELECT {_CURIE_OF.format("id", "$prefix")}, label, definition, synonyms,
            list_transform(parents, lambda v: {_CURIE_OF.format("v", "$prefix")}),
            list_transform(alt_ids, lambda v: regexp_replace({_CURIE_OF.format("v", "$prefix")}, '^DO:DOID:', 'DOID:')),
            list_transform(xrefs, lambda v: {_CURIE_OF.format("v", "$xrefs_prefix")}), tree_numbers
        FROM (SELECT {", ".join(cells)} FROM {rows})
        """,  # noqa: S608  columns are quoted, values bound
        values,
    )


def _shape(path: Path, source: SourceConfig, columns: Columns) -> _Shape:
    """Return delimiter and columns, from the declaration and the first row.

    :raises SourceError: the first row does not have the declared columns under any delimiter.
    """
    with open_source(path) as stream:
        head = stream.read(_HEAD).decode("utf-8-sig", "replace")
    listed = head.splitlines()
    comments = [line for line in listed if source.comment and line.startswith(source.comment)]
    created = _CREATED.search("\n".join(comments))
    day = datetime.strptime(" ".join(created.groups()), "%b %d %Y").date().isoformat() if created else ""
    first = next((line for line in listed if line.strip() and line not in comments), "")
    mapped = _mapped(columns)
    for delimiter in _DELIMITERS:
        cells = _cells(first, delimiter)
        if source.header:
            if len(cells) == len(source.header):
                return _Shape(delimiter, source.header, cells == list(source.header), day)
        elif all(name in cells for name in mapped):
            return _Shape(delimiter, tuple(cells), True, day)
        elif all(re.fullmatch(r"column\d+", name) and int(name[6:]) < len(cells) for name in mapped):
            return _Shape(delimiter, tuple(f"column{i}" for i in range(len(cells))), False, day)
    expected = f"{len(source.header)} columns" if source.header else f"the columns {', '.join(mapped)}"
    raise SourceError(
        f"{path}: expected {expected} in its first row, found {first[:100]!r}; correct [columns] or header"
    )


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter not in _QUOTING:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _unquoted(path: Path, layout: Layout, header: bool, into: ReleaseWriter, scratch: Path) -> Path:
    """Write a copy without quotes: a line for each row, tabs between cells, blanks for tabs and newlines in cells."""
    target = scratch / f"{path.name}.unquoted"
    sieve = Sieve(path, layout, into)
    required = [(name, layout.columns.index(name)) for name in layout.required]
    with open_source(path) as stream, target.open("w", encoding="utf-8", newline="") as out:
        for position, (line, cells) in enumerate(_quoted_rows(sieve, text_lines(sieve, stream))):
            if header and not position:
                continue
            if len(cells) != len(layout.columns):
                fault = f"expected {len(layout.columns)} columns, found {len(cells)}"
            else:
                fault = next((f"expected a value in {n}, found none" for n, k in required if not cells[k].strip()), "")
            if fault:
                sieve.reject(line, layout.delimiter.join(cells), fault)
            else:
                sieve.kept += 1
                out.write("\t".join(cell.translate(_ONE_LINE) for cell in cells) + "\n")
    sieve.check()
    return target


def _quoted_rows(sieve: Sieve, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which a row begins, and its cells.

    After a fault reading continues with the next line, so that a stray quote costs one line and not the rest of the
    file.
    """
    again: deque[tuple[int, str]] = deque()
    lines_of_row: list[tuple[int, str]] = []

    def feed() -> Iterator[str]:
        while item := again.popleft() if again else next(lines, None):
            lines_of_row.append(item)
            yield item[1] + "\n"

    while True:
        try:
            for cells in csv.reader(feed(), delimiter=sieve.layout.delimiter, strict=True):
                yield lines_of_row[0][0], cells
                lines_of_row.clear()
            return
        except csv.Error as error:
            line, text = lines_of_row[0]
            sieve.reject(line, text, f"expected quotes in pairs, found: {error}")
            again.extendleft(reversed(lines_of_row[1:]))
            lines_of_row.clear()


def _set_aside_ids(into: ReleaseWriter) -> None:
    """Turn rows whose id is not a CURIE, or whose label is blank, into rejections."""
    shape = {"shape": _CURIE}
    into.sql(
        f"""
        INSERT INTO rejection
        SELECT NULL, left(id || ' ' || label, {REJECTED_TEXT}),
            if(label = '', 'expected a label, found none', 'expected a CURIE as id, found another text'), false
        FROM cell WHERE NOT regexp_full_match(id, $shape) OR label = '' ORDER BY cell.rowid
        """,  # noqa: S608  a constant
        shape,
    )
    into.sql("DELETE FROM cell WHERE NOT regexp_full_match(id, $shape) OR label = ''", shape)


def _write(source: SourceConfig, into: ReleaseWriter) -> None:
    """Write temp.cell to the tables of the release, in the order in which ids first occur."""
    into.sql(
        """
        INSERT INTO concept
        SELECT id, split_part(id, ':', 1), first(label ORDER BY cell.rowid),
            coalesce(first(definition ORDER BY cell.rowid) FILTER (definition <> ''), ''), false,
            len($prefixes) = 0 OR list_contains($prefixes, split_part(id, ':', 1))
        FROM cell GROUP BY id ORDER BY min(cell.rowid)
        """,
        {"prefixes": list(source.prefixes)},
    )
    into.sql(
        """
        INSERT INTO name
        WITH listed AS (
            SELECT id, label AS text, cell.rowid AS row, 0 AS place FROM cell
            UNION ALL SELECT id, unnest(synonyms), cell.rowid, generate_subscripts(synonyms, 1) FROM cell),
        once AS (SELECT id, text, min(row * 1000000 + place) AS place FROM listed GROUP BY id, text)
        SELECT id, text, if(once.text = concept.label, 'label', 'exact') AS scope, '', '', ''
        FROM once JOIN concept USING (id)
        WHERE list_contains($scopes, if(once.text = concept.label, 'label', 'exact')) ORDER BY place, text
        """,
        {"scopes": list(source.names.scopes)},
    )
    for table, column, values in (
        ("parent", "parents", "id, value"),
        ("alt_id", "alt_ids", "id, value"),
        ("xref", "xrefs", "id, value"),
        ("membership", "tree_numbers", "id, 'tree_number', value"),
    ):
        into.sql(
            f"""
            INSERT INTO {table} SELECT {values} FROM (
                SELECT id, unnest({column}) AS value, cell.rowid AS row, generate_subscripts({column}, 1) AS place
                FROM cell)
            WHERE id <> value GROUP BY id, value ORDER BY min(row * 1000000 + place)
            """  # noqa: S608  the names above
        )


def _keep_branches(source: SourceConfig, into: ReleaseWriter) -> None:
    """Keep the concepts at or below the declared CURIEs and tree numbers."""
    if not source.branches:
        return
    roots = [branch for branch in source.branches if ":" in branch]
    numbers = [branch for branch in source.branches if ":" not in branch]
    below = into.sql(
        """
        SELECT DISTINCT concept_id FROM membership, (SELECT unnest($numbers) AS branch)
        WHERE kind = 'tree_number' AND starts_with(value, branch)
            AND (len(branch) = 1 OR substr(value, len(branch) + 1, 1) IN ('', '.', '/'))
        """,
        {"numbers": numbers},
    )
    if not (roots or below):
        raise SourceError(
            f"{source.name}: expected tree numbers below {', '.join(numbers)}, found none; correct `branches`"
        )
    into.keep_branches([*roots, *(row[0] for row in below)])
