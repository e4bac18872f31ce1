"""Rows → one new DuckDB file: the tables of a release, filled in columnar batches.

``SCHEMA`` is the only definition of the tables. Rows reach DuckDB as Arrow columns or as bound parameters, never as
part of a statement. Rows keep their order of arrival.
"""

import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from belink.declarations import SourceConfig
from belink.errors import ReleaseError, SourceError, first_line
from belink.records import Concept, Name, Rejection

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 20_000  # rows collected before they are handed to DuckDB
REJECTED_TEXT = 500  # characters kept of what was set aside

SCHEMA: dict[str, dict[str, str]] = {
    "concept": {
        "id": "VARCHAR NOT NULL",
        "prefix": "VARCHAR NOT NULL",  # the id up to its first colon; "" for an id without colon
        "label": "VARCHAR",  # NULL where the concept has none
        "definition": "VARCHAR NOT NULL",
        "obsolete": "BOOLEAN NOT NULL",
        "own": "BOOLEAN NOT NULL",  # the prefix is one of the declaration's; always true where it declares none
    },
    "name": {
        "concept_id": "VARCHAR NOT NULL",
        "text": "VARCHAR NOT NULL",
        "scope": "VARCHAR NOT NULL",
        "type": "VARCHAR NOT NULL",
        "language": "VARCHAR NOT NULL",
        "source": "VARCHAR NOT NULL",
    },
    "parent": {"concept_id": "VARCHAR NOT NULL", "parent_id": "VARCHAR NOT NULL"},
    "relationship": {
        "concept_id": "VARCHAR NOT NULL",
        "predicate": "VARCHAR NOT NULL",
        "object_id": "VARCHAR NOT NULL",
    },
    "xref": {"concept_id": "VARCHAR NOT NULL", "xref": "VARCHAR NOT NULL"},
    "alt_id": {"concept_id": "VARCHAR NOT NULL", "alt_id": "VARCHAR NOT NULL"},
    "replaced_by": {"concept_id": "VARCHAR NOT NULL", "replacement_id": "VARCHAR NOT NULL"},
    "consider": {"concept_id": "VARCHAR NOT NULL", "alternative_id": "VARCHAR NOT NULL"},
    "membership": {"concept_id": "VARCHAR NOT NULL", "kind": "VARCHAR NOT NULL", "value": "VARCHAR NOT NULL"},
    "rejection": {
        "line": "BIGINT",
        "text": "VARCHAR NOT NULL",
        "reason": "VARCHAR NOT NULL",
        "repaired": "BOOLEAN NOT NULL",
    },
}

Rows = dict[str, list[tuple[Any, ...]]]
SPILL = Path(tempfile.gettempdir()) / f"belink-spill-{uuid.uuid4().hex}"  # made and removed by DuckDB where needed
_CALLED_OBSOLETE = r"^\s*obsolete(\.|:|_|\s)"
HAS_TYPE = "kind IN ('semantic_type', 'rank')"  # memberships that say what a concept is: of UMLS, of a taxonomy
_BOOLEAN = ("obsolete", "own", "repaired")


def configuration(spill: Path = SPILL, memory: str = "3GiB") -> dict[str, Any]:
    """Return the settings of every connection: bounded memory, no extensions, no Python variables as tables."""
    return {
        "memory_limit": memory,
        "temp_directory": str(spill),
        # DuckDB would otherwise download an extension that a statement seems to need.
        "autoinstall_known_extensions": False,
        # DuckDB would otherwise take an unknown table name for a variable of the calling Python code.
        "python_enable_replacements": False,
    }


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    """Turn DuckDB's errors about disk, memory and input into errors that a user can act on; wrong statements stay."""
    import duckdb

    try:
        yield
    except (
        duckdb.IOException,
        duckdb.OutOfMemoryException,
        duckdb.FatalException,
        duckdb.TransactionException,
    ) as error:
        raise ReleaseError(
            f"{path.name}: expected to read the source and write the release, found: {first_line(error, 300)};"
            " is there room on the disk, and leave to write?"
        ) from error
    except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        raise SourceError(
            f"expected rows that DuckDB can read, found: {first_line(error, 300)}; is the file complete?"
        ) from error


def _array(column: str, values: Sequence[Any]) -> "pa.Array":
    import pyarrow as pa

    kind = pa.bool_() if column in _BOOLEAN else pa.int64() if column == "line" else pa.string()
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:  # half a surrogate pair, as JSON can write it, is no text
        return pa.array([v and v.encode("utf-8", "replace").decode() for v in values], kind)


class ReleaseWriter:
    """A new release file while it is filled; used by one thread.

    A reader calls :meth:`concepts` with everything it reads (streaming), or :meth:`insert` with columns, or :meth:`sql`
    where DuckDB itself reads the source, and :meth:`reject` for what it sets aside. It sets :attr:`version` where the
    source names one.
    """

    def __init__(self, path: Path, source: SourceConfig, version_hint: str | None = None, memory: str = "3GiB") -> None:
        import duckdb

        self.path = path
        self.source = source
        self.version: str | None = None  # what the source says of itself; set by the reader
        self.version_hint = version_hint  # what the caller asked for; a reader may pick a file by it
        self._spill = path.parent / ".spill"
        self._rows: Rows = {table: [] for table in SCHEMA}
        self._waiting = 0
        with _plain_errors(path):
            self._connection = duckdb.connect(str(path), config=configuration(self._spill, memory))
        for table, columns in SCHEMA.items():
            self.sql(f"CREATE TABLE {table} ({', '.join(f'{c} {t}' for c, t in columns.items())})")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                # A release is one file, so what is still in the write-ahead log goes into it.
                self.sql("CHECKPOINT")
        finally:
            with _plain_errors(self.path):
                self._connection.close()
            shutil.rmtree(self._spill, ignore_errors=True)

    def concepts(self, concepts: Iterable[Concept]) -> None:
        """Add ``concepts`` as they come; names that the declaration does not keep are left out."""
        for concept in concepts:
            self._add(concept)

    def reject(self, rejection: Rejection) -> None:
        """Store what was set aside (or repaired), with line and reason."""
        self._put("rejection", (rejection.line, rejection.text[:REJECTED_TEXT], rejection.reason, rejection.repaired))

    def insert(self, table: str, columns: "Mapping[str, Sequence[Any]] | pa.Table") -> None:
        """Add columns of equal length to ``table``; for readers that have columns rather than concepts.

        Every column of the table must be given, see :data:`SCHEMA`; the declaration's filters are not applied.
        """
        import pyarrow as pa

        rows = columns if isinstance(columns, pa.Table) else pa.table({name: list(columns[name]) for name in columns})
        if set(rows.column_names) != set(SCHEMA[table]):
            raise ValueError(f"{table}: expected columns {', '.join(SCHEMA[table])}, found {rows.column_names}")
        self.flush()
        self._send(table, rows)

    def sql(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement over the tables of the release and return its rows; values go into ``parameters``.

        Rows added before are visible to it. Meant for readers that let DuckDB read (``read_csv``, temporary tables).
        """
        self.flush()
        with _plain_errors(self.path):
            return self._connection.execute(statement, parameters).fetchall()

    def drop_repeated(self) -> int:
        """Keep the first of several concepts with one id (their other rows stay); each repetition is a rejection."""
        # Rows keep their order of arrival, so the lowest ``rowid`` is the concept that came first.
        repeated = "FROM concept WHERE rowid NOT IN (SELECT min(rowid) FROM concept GROUP BY id)"
        if not self.sql("SELECT count(*) - count(DISTINCT id) FROM concept")[0][0]:
            return 0
        reason = "the id stands there twice; definition and label of the first are kept"
        self.sql(f"INSERT INTO rejection SELECT NULL, id, $reason, false {repeated} ORDER BY rowid", {"reason": reason})
        return int(self.sql(f"DELETE {repeated}")[0][0])

    def keep_branches(self, roots: Sequence[str]) -> None:
        """Keep only ``roots`` and the concepts below them, and obsolete concepts that lead to those, in any steps.

        :raises SourceError: a root is not in the source.
        """
        present = {
            row[0] for row in self.sql("SELECT id FROM concept WHERE list_contains($roots, id)", {"roots": roots})
        }
        if missing := sorted(set(roots) - present):
            raise SourceError(
                f"{self.source.name}: expected the branches {', '.join(missing)} in the source, found none of that id;"
                " correct `branches` in the declaration"
            )
        self.sql(
            """
            CREATE TEMP TABLE kept AS
            WITH RECURSIVE below(id) AS (
                SELECT unnest($roots) UNION SELECT concept_id FROM below JOIN parent ON parent_id = id)
            SELECT id FROM below
            """,
            {"roots": list(roots)},
        )
        self.sql(
            """
            INSERT INTO kept
            WITH RECURSIVE pointer(id, target) AS (
                SELECT concept_id, replacement_id FROM replaced_by
                UNION SELECT concept_id, alternative_id FROM consider),
            pointing(id) AS (
                SELECT id FROM kept
                UNION SELECT pointer.id FROM pointing JOIN pointer ON target = pointing.id
                    JOIN concept ON concept.id = pointer.id AND obsolete)
            SELECT id FROM pointing EXCEPT SELECT id FROM kept
            """
        )
        # The first column of every table but ``rejection`` is the concept that a row belongs to.
        for table, columns in SCHEMA.items():
            if table != "rejection":
                self.sql(f"DELETE FROM {table} WHERE {next(iter(columns))} NOT IN (SELECT id FROM kept)")  # noqa: S608
        self.sql("DROP TABLE kept")

    def mark_called_obsolete(self) -> None:
        """Make concepts obsolete whose label says so and whose entry does not; each counts as repaired."""
        # Some ontologies only prefix the label of an obsolete term. A linker must not answer with it.
        called = "NOT obsolete AND regexp_matches(label, $pattern, 'i')"
        pattern, reason = _CALLED_OBSOLETE, "its label says that it is obsolete, its entry does not; taken as obsolete"
        self.sql(
            f"INSERT INTO rejection SELECT NULL, id || ' ' || label, $reason, true FROM concept WHERE {called}",  # noqa: S608
            {"pattern": pattern, "reason": reason},
        )
        self.sql(f"UPDATE concept SET obsolete = true WHERE {called}", {"pattern": pattern})  # noqa: S608

    def counts(self) -> dict[str, Any]:
        """Return concepts, own, obsolete, names, rejected, repaired, rows (of all tables), by_prefix.

        Where concepts have types of their own (:meth:`belink.ontology.release.Release.types`), also typed.
        """
        numbers = self.sql(
            """
            SELECT count(*), count(*) FILTER (own), count(*) FILTER (obsolete), (SELECT count(*) FROM name),
                (SELECT count(*) FROM rejection WHERE NOT repaired), (SELECT count(*) FROM rejection WHERE repaired)
            FROM concept
            """
        )[0]
        counts: dict[str, Any] = dict(
            zip(("concepts", "own", "obsolete", "names", "rejected", "repaired"), numbers, strict=True)
        )
        tables = " + ".join(f"(SELECT count(*) FROM {table})" for table in SCHEMA if table != "rejection")  # noqa: S608
        counts["rows"] = self.sql(f"SELECT {tables}")[0][0]
        by_prefix = self.sql("SELECT prefix, count(*) FROM concept GROUP BY prefix ORDER BY count(*) DESC, prefix")
        counts["by_prefix"] = dict(by_prefix)
        typed = f"SELECT count(DISTINCT concept_id) FROM membership WHERE {HAS_TYPE}"  # noqa: S608
        if (n_typed := self.sql(typed)[0][0]) > 0:
            counts["typed"] = n_typed
        return counts

    def prefixes(self) -> list[str]:
        """Return the prefixes of the concepts that are in the release, the most frequent first."""
        rows = self.sql("SELECT prefix FROM concept GROUP BY prefix ORDER BY count(*) DESC, prefix")
        return [prefix for (prefix,) in rows]

    def is_own(self, prefix: str) -> bool:
        """Return whether concepts of this prefix belong to the ontology itself."""
        return not self.source.prefixes or prefix in self.source.prefixes

    def keeps(self, name: Name) -> bool:
        """Return whether the declaration keeps this name; without a language, source or type it passes that filter."""
        filters = self.source.names
        return (
            name.scope in filters.scopes
            and (not filters.languages or not name.language or name.language in filters.languages)
            and (not filters.sources or not name.source or name.source in filters.sources)
            and (not filters.types or not name.type or name.type in filters.types)
        )

    def flush(self) -> None:
        """Hand the collected rows to DuckDB."""
        import pyarrow as pa

        for table, rows in self._rows.items():
            if rows:
                columns = zip(SCHEMA[table], zip(*rows, strict=True), strict=True)
                self._send(table, pa.table({name: _array(name, values) for name, values in columns}))
                rows.clear()
        self._waiting = 0

    def _send(self, table: str, rows: "pa.Table") -> None:
        # DuckDB reads registered Arrow tables in place, without a copy.
        self._connection.register("incoming", rows)
        try:
            with _plain_errors(self.path):
                self._connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")  # noqa: S608  of SCHEMA
        finally:
            self._connection.unregister("incoming")

    def _put(self, table: str, row: tuple[Any, ...]) -> None:
        self._rows[table].append(row)
        self._waiting += 1
        if self._waiting >= BATCH:
            self.flush()

    def _add(self, concept: Concept) -> None:
        if not concept.id:
            raise ReleaseError("expected a concept with an id, found an empty one; the reader should set it aside")
        prefix = concept.id.partition(":")[0] if ":" in concept.id else ""
        rows = self._rows
        if concept.label is not None and "label" in self.source.names.scopes:
            rows["name"].append((concept.id, concept.label, "label", "", "", ""))
        rows["name"].extend(
            (concept.id, name.text, name.scope, name.type, name.language, name.source)
            for name in concept.synonyms
            if self.keeps(name)
        )
        rows["parent"].extend((concept.id, parent) for parent in concept.parents)
        rows["relationship"].extend((concept.id, *related) for related in concept.relationships)
        rows["xref"].extend((concept.id, xref) for xref in concept.xrefs)
        rows["alt_id"].extend((concept.id, alt_id) for alt_id in concept.alt_ids)
        rows["replaced_by"].extend((concept.id, other) for other in concept.replaced_by)
        rows["consider"].extend((concept.id, other) for other in concept.consider)
        rows["membership"].extend((concept.id, *membership) for membership in concept.memberships)
        # The concept is counted last, after its other rows, so a batch never ends between them.
        self._put(
            "concept", (concept.id, prefix, concept.label, concept.definition, concept.obsolete, self.is_own(prefix))
        )
