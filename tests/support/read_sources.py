"""Readers tried on files made on the spot: what of them stands in a release afterwards."""

import gzip
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belink.declarations import SourceConfig
from belink.ontology.release_writer import SCHEMA, ReleaseWriter

DATA = Path(os.environ.get("BELINK_DATA", "/nonexistent"))


@dataclass
class Read:
    version: str | None
    tables: dict[str, list[tuple[Any, ...]]]
    left: list[str]  # files beside the database when the reader was through

    def names(self, concept_id: str) -> list[tuple[str, str]]:
        return [(row[1], row[2]) for row in self.tables["name"] if row[0] == concept_id]

    def labels(self) -> dict[str, str | None]:
        return {row[0]: row[2] for row in self.tables["concept"] if not row[4]}

    def reasons(self) -> list[tuple[int | None, str]]:
        return [(row[0], row[2]) for row in self.tables["rejection"]]


def read(
    reader: Callable[[Sequence[Path], SourceConfig, ReleaseWriter], None],
    paths: Sequence[Path],
    source: SourceConfig,
    version: str | None = None,
) -> Read:
    """What ``reader`` makes of ``paths``; rows in the order in which they were written."""
    with tempfile.TemporaryDirectory() as folder:
        with ReleaseWriter(Path(folder) / "release.duckdb", source, version) as into:
            reader(paths, source, into)
            tables = {table: into.sql(f"SELECT * FROM {table} ORDER BY rowid") for table in SCHEMA}
            left = sorted(path.name for path in Path(folder).iterdir() if path.name not in ("release.duckdb", ".spill"))
            return Read(into.version, tables, [name for name in left if not name.startswith("release.duckdb")])


def counts(
    reader: Callable[[Sequence[Path], SourceConfig, ReleaseWriter], None], paths: Sequence[Path], source: SourceConfig
) -> dict[str, Any]:
    """Only the counts, for files of real size."""
    with tempfile.TemporaryDirectory() as folder:
        with ReleaseWriter(Path(folder) / "release.duckdb", source) as into:
            reader(paths, source, into)
            return into.counts()


def write(path: Path, content: str | bytes, *, packed: bool = False) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw) if packed else raw)
    return path
