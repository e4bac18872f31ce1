"""Read access to a release: one immutable DuckDB file with its manifest.

Only this module and ``release_writer.py`` import duckdb. DuckDB allows one writing process or many reading ones; a
release in its place is never written again, so readers never meet a writer. Many rows are returned as Arrow tables.
"""

import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from belink import artefacts
from belink.errors import BelinkError, ReleaseError, first_line
from belink.ontology.release_ids import standard_ids, successors
from belink.ontology.release_writer import HAS_TYPE, ReleaseWriter, configuration
from belink.records import Concept, Name, Rejection, Scope
from belink.settings import Settings
from belink.text.concept_ids import standardise

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["Release", "ReleaseWriter", "attached", "compare", "latest", "list_releases", "open_release", "release_path"]

DATABASE = "release.duckdb"
FORMAT = 1
REFUSED = "rejected"  # stands for the release that a gate refused last, where a version is asked for
_NAMES = """
SELECT n.concept_id, n.text, n.scope FROM name n JOIN concept c ON c.id = n.concept_id
WHERE {} ORDER BY c.rowid, n.scope <> 'label', n.rowid
"""
_MAX_PREFIXES = 100  # that are recognised in ids, the most frequent ones; a file may have thousands by mistake
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+\-]{0,99}")


def release_path(settings: Settings, ontology: str, version: str) -> Path:
    """Return the folder of the release ``version`` of ``ontology``, which need not exist.

    :raises ReleaseError: a name or version that cannot be the name of a folder.
    """
    return settings.releases / folder_name(ontology, "name") / folder_name(version, "version")


def folder_name(text: str, kind: str) -> str:
    """Return ``text`` unchanged where it is safe as the name of a folder.

    :param kind: what ``text`` is, for the message.
    :raises ReleaseError: it has other characters than letters, digits and ``. _ + -``, or begins with a mark.
    """
    if not _SAFE.fullmatch(text):
        raise ReleaseError(
            f"expected of a {kind} that it holds letters, digits, '.', '_', '+' and '-' only, found {text[:100]!r};"
            " give another one"
        )
    return text


def list_releases(settings: Settings, ontology: str) -> list[Path]:
    """Return the folders of the complete releases of ``ontology``, oldest first (by when they were made)."""
    return _complete(settings.releases / folder_name(ontology, "name"))


def list_refused(settings: Settings, ontology: str) -> list[Path]:
    """Return the folders of the releases of ``ontology`` that a gate refused, oldest first."""
    return _complete(settings.quarantine / folder_name(ontology, "name"))


def _complete(folder: Path) -> list[Path]:
    # Names with a dot in front are builds in progress.
    paths = [path for path in folder.glob("[!.]*") if artefacts.exists(path)]
    return sorted(paths, key=lambda path: (str(artefacts.read_manifest(path).get("created", "")), path.name))


def is_sound(path: Path) -> bool:
    """Whether the database of the release at ``path`` has the bytes that it was made with."""
    return artefacts.damaged_file(path) is None


def latest(settings: Settings, ontology: str) -> Path | None:
    """Return the folder of the release of ``ontology`` made last; ``None`` where there is none yet."""
    paths = list_releases(settings, ontology)
    return paths[-1] if paths else None


def open_release(path: Path) -> "Release":
    """Open the release at ``path`` read-only; close it, or use it as a context manager.

    :raises ReleaseError: there is no complete release, or its database cannot be read.
    """
    return Release(path)


@contextmanager
def compare(old: Path, new: Path, memory: str = "6GiB") -> "Iterator[duckdb.DuckDBPyConnection]":
    """Yield a connection with two releases as the schemas ``old`` and ``new``, both read-only."""
    with attached({"old": old, "new": new}, memory) as connection:
        yield connection


@contextmanager
def attached(folders: Mapping[str, Path], memory: str = "6GiB") -> "Iterator[duckdb.DuckDBPyConnection]":
    """Yield a new connection with the releases of ``folders`` as read-only schemas named by their keys.

    For one thread.

    Data beyond ``memory`` goes to the system's temporary folder.
    """
    import duckdb

    connection = duckdb.connect(config=configuration(memory=memory))
    try:
        for alias, folder in folders.items():
            # The alias goes into the statement as it is.
            if not alias.isidentifier():
                raise ValueError(f"expected an identifier, found {alias!r}")
            artefacts.read_manifest(folder)
            try:
                connection.execute(f"ATTACH {_quoted(folder / DATABASE)} AS {alias} (READ_ONLY)")
            except duckdb.Error as error:
                raise _unreadable(folder, error) from error
        yield connection
    finally:
        connection.close()


def first_group(pattern: str, text: str) -> str | None:
    """Return the first group of the first match of ``pattern`` in ``text``; ``None`` for no match.

    Declared patterns may come from anybody: DuckDB's engine (RE2) takes time linear in ``text`` for each of them.

    :raises ReleaseError: the pattern needs what a linear engine does not have.
    """
    import duckdb

    try:
        # A database in memory, opened only for its engine of patterns.
        with duckdb.connect() as connection:
            query = "SELECT regexp_extract($text, $pattern, 1) WHERE regexp_matches($text, $pattern)"
            row = connection.execute(query, {"text": text, "pattern": pattern}).fetchone()
    except duckdb.Error as error:
        raise ReleaseError(
            f"version: expected a pattern without references back or around, found {pattern!r} ({first_line(error)})"
        ) from error
    return None if row is None else str(row[0])


def shared_concepts(folders: Mapping[str, Path], prefixes: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the live concepts that several ontologies of a linker offer, those of different labels first.

    :param folders: ontology → its release, in the declared order: a link shows the label of the first that has the id.
    :param prefixes: those that the linker offers; ``()`` for each ontology's own.
    :returns: ``id``, and ``labels``: ontology → label, in the order of ``folders``.
    """
    if len(folders) < 2:
        return []
    rows = " UNION ALL ".join(
        f"SELECT c.id, {number} AS number, c.label FROM r{number}.concept c WHERE {_chosen(True, True, prefixes)}"  # noqa: S608
        for number in range(len(folders))
    )
    # ``false`` sorts before ``true``, so concepts with different labels come first.
    query = f"""
        SELECT id, list(number ORDER BY number), list(label ORDER BY number) FROM ({rows}) GROUP BY id
        HAVING count(*) > 1 ORDER BY count(DISTINCT lower(label)) = 1, id
    """  # noqa: S608  numbers and marks of this function
    names = list(folders)
    with attached({f"r{number}": path for number, path in enumerate(folders.values())}) as connection:
        # Each release's part of the query has marks of its own for the same prefixes.
        found = connection.execute(query, list(prefixes) * len(folders)).fetchall()
    return [
        {"id": each, "labels": {names[number]: label for number, label in zip(numbers, labels, strict=True)}}
        for each, numbers, labels in found
    ]


class Release:
    """A read-only handle on one release. Methods may be called from several threads."""

    def __init__(self, path: Path) -> None:
        import duckdb

        try:
            self.manifest: dict[str, Any] = artefacts.read_manifest(path)
        except BelinkError as error:
            raise ReleaseError(f"{path}: expected a release, found no complete one; ingest it again") from error
        if self.manifest.get("format") != FORMAT:
            raise ReleaseError(
                f"{path}: expected a release of format {FORMAT}, found {self.manifest.get('format')!r}; ingest it again"
            )
        self.path = path
        self.ontology: str = self.manifest["ontology"]
        self.version: str = self.manifest["version"]
        self.prefixes: tuple[str, ...] = tuple(self.manifest.get("prefixes", ()))
        by_prefix = self.manifest.get("counts", {}).get("by_prefix", {})
        # Declared prefixes come first, so that the bound never cuts one of them off.
        self.prefixes_in_use = tuple(dict.fromkeys((*self.prefixes, *by_prefix)))[:_MAX_PREFIXES]
        # A DuckDB connection is for one thread at a time, so each call takes a cursor of its own, under this lock.
        self._lock = threading.Lock()
        try:
            self._connection = duckdb.connect(str(path / DATABASE), read_only=True, config=configuration())
        except duckdb.Error as error:
            raise _unreadable(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def cursor(self) -> "duckdb.DuckDBPyConnection":
        """Return a new cursor, for the calling thread alone."""
        with self._lock:
            return self._connection.cursor()

    def table(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> "pa.Table":
        """Return the rows of ``query`` as an Arrow table."""
        with self.cursor() as cursor:
            return cursor.sql(query, params=parameters).to_arrow_table()

    def rows(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of ``query`` as tuples; for small results."""
        with self.cursor() as cursor:
            return cursor.execute(query, parameters).fetchall()

    def names(self, *, own: bool = True, live: bool = True, prefixes: Sequence[str] = ()) -> "pa.Table":
        """Return columns ``concept_id``, ``text``, ``scope``, in the order of the source, a concept's label first.

        :param own: only concepts of the ontology's own prefixes.
        :param live: no names of obsolete concepts.
        :param prefixes: instead of ``own``: only concepts of these prefixes.
        """
        return self.table(_NAMES.format(_chosen(own, live, prefixes)), list(prefixes))

    def name_batches(
        self, *, own: bool = True, live: bool = True, prefixes: Sequence[str] = (), rows: int = 100_000
    ) -> "Iterator[pa.RecordBatch]":
        """Yield the rows of :meth:`names` in batches, for releases whose names do not fit into memory."""
        # The cursor stays open while batches are taken: Arrow's reader fetches them from DuckDB one by one.
        with self.cursor() as cursor:
            query = cursor.sql(_NAMES.format(_chosen(own, live, prefixes)), params=list(prefixes))
            yield from query.to_arrow_reader(rows)

    def concepts_table(self, *, own: bool = True, live: bool = True, prefixes: Sequence[str] = ()) -> "pa.Table":
        """Return columns ``id``, ``label`` (null for none), ``prefix``, ``obsolete``, in the order of the source."""
        return self.table(
            f"SELECT id, label, prefix, obsolete FROM concept c WHERE {_chosen(own, live, prefixes)} ORDER BY rowid",  # noqa: S608
            list(prefixes),
        )

    def parents(self) -> "pa.Table":
        """Return columns ``concept_id``, ``parent_id``: every is_a, also to concepts that are not in the release."""
        return self.table("SELECT concept_id, parent_id FROM parent ORDER BY rowid")

    def coverage(self, prefixes: Sequence[str] = ()) -> dict[str, Any]:
        """Return live ``concepts``, how many of them are ``linked``, and ``left_out``: prefix → count, most first.

        :param prefixes: those that a linker offers; ``()`` for the ontology's own.
        """
        counts = self.rows(
            f"SELECT prefix, {_chosen(True, False, prefixes)} AS linked, count(*) FROM concept c "  # noqa: S608
            "WHERE NOT obsolete GROUP BY ALL ORDER BY count(*) DESC, prefix",
            list(prefixes),
        )
        return {
            "concepts": sum(count for _, _, count in counts),
            "linked": sum(count for _, linked, count in counts if linked),
            "prefixes": [prefix for prefix, linked, _ in counts if linked],
            "left_out": {prefix or "no prefix": count for prefix, linked, count in counts if not linked},
        }

    def concept(self, concept_id: str) -> Concept | None:
        """Return everything the release says of one concept, its id in any form; ``None`` for an unknown id."""
        concept_id = self.standard_id(concept_id)
        rows = self.rows("SELECT label, definition, obsolete FROM concept WHERE id = ?", [concept_id])
        if not rows:
            return None
        label, definition, obsolete = rows[0]
        names = self.rows(
            # The label is a column of the concept, and would stand there twice.
            "SELECT text, scope, type, language, source FROM name WHERE concept_id = ? AND scope <> 'label' "
            "ORDER BY rowid",
            [concept_id],
        )
        return Concept(
            id=concept_id,
            label=label,
            definition=definition,
            synonyms=tuple(
                Name(text=text, scope=cast(Scope, scope), type=kind, language=language, source=source)
                for text, scope, kind, language, source in names
            ),
            obsolete=obsolete,
            replaced_by=self._values("replaced_by", "replacement_id", concept_id),
            consider=self._values("consider", "alternative_id", concept_id),
            alt_ids=self._values("alt_id", "alt_id", concept_id),
            parents=self._values("parent", "parent_id", concept_id),
            relationships=tuple(self._pairs("relationship", "predicate, object_id", concept_id)),
            xrefs=self._values("xref", "xref", concept_id),
            memberships=tuple(self._pairs("membership", "kind, value", concept_id)),
        )

    def label(self, concept_id: str) -> str | None:
        """Return the label of a concept; ``None`` where it has none, or is not in the release."""
        rows = self.rows("SELECT label FROM concept WHERE id = ?", [concept_id])
        return cast("str | None", rows[0][0]) if rows else None

    def successor(self, concept_id: str) -> tuple[str, ...]:
        """Return the live ids that stand for one concept, as :meth:`successors` does."""
        return self.successors([concept_id])[concept_id]

    def successors(self, ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Return each of ``ids`` (in any form) with the live ids that stand for it here, in alphabetical order.

        A live id stands for itself. Otherwise replaced_by and alternative ids are followed, through obsolete concepts
        too; ``()`` where they lead to nothing live, or the id is unknown.
        """
        return successors(self, ids)

    def standard_id(self, identifier: str) -> str:
        """Return ``identifier`` in the form that this release uses: ``MONDO_0005002`` and its address are one id.

        Unchanged where the release knows it as it is, or has no such prefix.
        """
        return standard_ids(self, [identifier])[identifier]

    def with_xref(self, identifier: str) -> tuple[str, ...]:
        """Return the concepts that list ``identifier``, in any form, as a cross-reference; in alphabetical order."""
        prefixes = self.rows(
            "SELECT prefix FROM (SELECT split_part(xref, ':', 1) AS prefix FROM xref) "
            "GROUP BY prefix ORDER BY count(*) DESC, prefix LIMIT $most",
            {"most": _MAX_PREFIXES},
        )
        xrefs = {identifier, standardise(identifier, tuple(prefix for (prefix,) in prefixes))}
        query = "SELECT DISTINCT concept_id FROM xref WHERE xref IN (SELECT unnest($xrefs)) ORDER BY concept_id"
        return tuple(row[0] for row in self.rows(query, {"xrefs": sorted(xrefs)}))

    def types(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the types of those concepts that have any: UMLS's semantic types ("T047,T191"), a taxon's rank."""
        columns = "concept_id, string_agg(value, ',' ORDER BY value)"
        where = f"{HAS_TYPE} AND concept_id IN (SELECT unnest($ids))"
        return dict(self.rows(f"SELECT {columns} FROM membership WHERE {where} GROUP BY ALL", {"ids": ids}))  # noqa: S608

    def rejections(self, limit: int = 100) -> list[Rejection]:
        """Return what was set aside or repaired, in the order of reading."""
        return [
            Rejection(line=line, text=text, reason=reason, repaired=repaired)
            for line, text, reason, repaired in self.rows(
                "SELECT line, text, reason, repaired FROM rejection ORDER BY rowid LIMIT ?", [limit]
            )
        ]

    def _values(self, table: str, column: str, concept_id: str) -> tuple[str, ...]:
        return tuple(row[0] for row in self._pairs(table, column, concept_id))

    def _pairs(self, table: str, columns: str, concept_id: str) -> list[Any]:
        return self.rows(f"SELECT {columns} FROM {table} WHERE concept_id = ? ORDER BY rowid", [concept_id])  # noqa: S608


def _chosen(own: bool, live: bool, prefixes: Sequence[str]) -> str:
    """Return a condition on ``concept c``; the caller binds ``prefixes``, one mark each."""
    conditions = ["NOT c.obsolete"] if live else []
    if prefixes:
        conditions.append(f"c.prefix IN ({', '.join('?' * len(prefixes))})")
    elif own:
        conditions.append("c.own")
    return " AND ".join(conditions) or "true"


def _quoted(path: Path) -> str:
    # ATTACH takes no parameters, so the path is a literal with its quotes doubled.
    return "'" + str(path).replace("'", "''") + "'"


def _unreadable(folder: Path, error: Exception) -> ReleaseError:
    first = str(error).splitlines()[0]
    return ReleaseError(f"{folder / DATABASE}: expected a readable release, found {first}; ingest it again")
