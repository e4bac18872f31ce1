"""Read-only answers from a home's own MLflow database, without importing MLflow.

Linking asks the registry one question: which folder does ``sample@champion`` stand for? ``belink status`` asks for tags
as well. Importing MLflow's client costs two seconds of CPU; reading the database costs five milliseconds. Every other
store (a server, PostgreSQL), and a SQLite file whose schema is not the one below, is asked through MLflow
(``aliases``).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

SCHEMA = "dc11669786a5"
"""The schema that the queries below are written for: the migration that MLflow 3.17 ends with."""

_WORKSPACE = "default"  # MLflow keeps the models of a store without workspaces in this one
_DELETED = "Deleted_Internal"  # the stage by which MLflow hides a deleted version


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store; ``None`` for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


class Lookup:
    """One open, read-only connection to a store whose schema is known."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def linkers(self, kind_tag: str) -> list[str]:
        """Return the registered models whose tag ``kind_tag`` is ``linker``, in alphabetical order."""
        query = "SELECT name FROM registered_model_tags WHERE key = ? AND value = 'linker' AND workspace = ?"
        return sorted(str(name) for (name,) in self._connection.execute(query, (kind_tag, _WORKSPACE)))

    def aliases(self, linker: str) -> dict[str, str]:
        """Return alias → version; ``{}`` for a linker that was never registered."""
        query = "SELECT alias, version FROM registered_model_aliases WHERE name = ? AND workspace = ?"
        return {str(alias): str(version) for alias, version in self._connection.execute(query, (linker, _WORKSPACE))}

    def linker_tags(self, linker: str) -> dict[str, str]:
        """Return the tags of a registered model."""
        query = "SELECT key, value FROM registered_model_tags WHERE name = ? AND workspace = ?"
        return dict(self._connection.execute(query, (linker, _WORKSPACE)))

    def version_tags(self, linker: str, version: str) -> dict[str, str]:
        """Return the tags of a version; ``{}`` where there is no such version."""
        query = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ? AND workspace = ?"
        return dict(self._connection.execute(query, (linker, version, _WORKSPACE)))

    def run(self, linker: str, version: str) -> tuple[str, dict[str, str]]:
        """Return the address of the files of the run that made a version, and the run's parameters.

        ``("", {})`` where there is no such run.
        """
        query = (
            "SELECT runs.run_uuid, runs.artifact_uri FROM model_versions "
            "JOIN runs ON runs.run_uuid = model_versions.run_id "
            "WHERE model_versions.name = ? AND model_versions.version = ? AND model_versions.workspace = ?"
        )
        row = self._connection.execute(query, (linker, version, _WORKSPACE)).fetchone()
        if row is None:
            return "", {}
        params = self._connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", (row[0],))
        return str(row[1] or ""), dict(params)

    def location(self, linker: str, version: str) -> str | None:
        """Return the address of a version's files; ``None`` where there is no such version."""
        query = (
            # MLflow's own client uses `storage_location` where there is one: `source` may be a `models:/` URI, which is
            # no folder.
            "SELECT coalesce(nullif(storage_location, ''), source) FROM model_versions "
            "WHERE name = ? AND version = ? AND workspace = ? AND current_stage != ?"
        )
        # MLflow keeps the row of a deleted version and only changes its stage.
        row = self._connection.execute(query, (linker, version, _WORKSPACE, _DELETED)).fetchone()
        return None if row is None or row[0] is None else str(row[0])


@contextmanager
def lookup(uri: str) -> Iterator[Lookup | None]:
    """Yield a :class:`Lookup` in the store at ``uri``; ``None`` where only MLflow can read it."""
    path = sqlite_file(uri)
    connection = _connect(path) if path is not None else None
    if connection is None:
        yield None
        return
    with closing(connection):
        yield Lookup(connection)


def _connect(path: Path) -> sqlite3.Connection | None:
    """Return a read-only connection; ``None`` where the file is not there, is damaged or has another schema."""
    try:
        # as_uri() quotes "?" and "#", which would end the path in a SQLite URI.
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    except sqlite3.OperationalError:
        return None
    try:
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.DatabaseError, TypeError):
        version = None
    if version != SCHEMA:
        connection.close()
        return None
    return connection
