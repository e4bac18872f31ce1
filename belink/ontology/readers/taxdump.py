r"""NCBI's taxonomy dump → a release, set-wise in DuckDB: no Python object for a taxon.

Files are those of ``taxdump`` and ``new_taxdump`` (https://ftp.ncbi.nlm.nih.gov/pub/taxonomy/, taxdump_readme.txt):
``names.dmp`` and ``nodes.dmp``, and where present ``merged.dmp`` and ``delnodes.dmp``, in a .zip, a .tar.gz or a
folder, or given one by one. Cells stand between ``\t|\t``, a line ends with ``\t|``. A concept id is the declaration's
first prefix and the taxon's number.
"""

import re
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from belink.declarations import SourceConfig
from belink.errors import SourceError
from belink.ontology.readers import archive
from belink.ontology.readers.delimited import Layout, scan, sifted
from belink.ontology.release_writer import REJECTED_TEXT, ReleaseWriter

PREFIX = "NCBITaxon"  # where the declaration has none
TABLES = ("names", "nodes", "merged", "delnodes")
_FIXED = {"names": ("id", "text", "unique_name", "class"), "merged": ("id", "successor_id"), "delnodes": ("id",)}
_NODES = ("id", "parent", "rank")  # the rest is not read: nodes.dmp has 13 columns, new_taxdump's has 18
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

# Name class → scope, as the OBO edition of the taxonomy has them where a class says no more than "another name". The
# order is that of preference: a text that a taxon has under two classes keeps the first.
SCOPES: dict[str, str] = {
    "scientific name": "label",
    "synonym": "exact",
    "equivalent name": "exact",
    "genbank common name": "exact",
    "common name": "exact",
    "genbank synonym": "exact",
    "anamorph": "exact",
    "genbank anamorph": "exact",
    "teleomorph": "exact",
    "acronym": "broad",  # several viruses share one
    "genbank acronym": "broad",
    "includes": "narrow",
    "blast name": "related",  # of the group that a taxon stands for: "bony fishes"
    "misspelling": "related",
    "misnomer": "related",
    "unpublished name": "related",
}
NO_NAMES = {
    "authority": "a name with author and year, as no text has it",
    "in-part": "a name of which the taxon has only a part",
    "type material": "a specimen or a strain's number in a collection",
}
"""Name classes that are not read, each with the reason. Classes that NCBI may add are read as related."""


def read(paths: Sequence[Path], source: SourceConfig, into: ReleaseWriter) -> None:
    """Write the dump at ``paths`` into a release.

    A merged taxon is an obsolete concept with its successor, a deleted one an obsolete concept without. The rank is a
    membership of the kind ``rank``.

    :param paths: a folder, a .zip or .tar.gz, or the .dmp files themselves.
    :raises SourceError: no names.dmp or nodes.dmp, or no line of one is sound.
    """
    with tempfile.TemporaryDirectory(prefix=".reading-", dir=into.path.parent) as folder:
        scratch = Path(folder)
        files = _files(paths, scratch)
        if missing := [f"{table}.dmp" for table in ("names", "nodes") if table not in files]:
            raise SourceError(
                f"{paths[0] if paths else 'taxdump'}: expected {' and '.join(missing)}, found none; "
                "give NCBI's taxdump or new_taxdump"
            )
        load = _Load(files, source, into, scratch)
        into.version = _version(paths, files)
        _stage(load)
        _write_taxa(load)
        _write_names(load)
        _write_retired(load)
        for table in TABLES:
            into.sql(f"DROP TABLE IF EXISTS temp.{table}")
    if source.branches:
        into.keep_branches(source.branches)


class _Load(NamedTuple):
    """One dump while it is read into a release."""

    files: Mapping[str, Path]
    source: SourceConfig
    into: ReleaseWriter
    scratch: Path

    @property
    def prefix(self) -> str:
        return self.source.prefixes[0] if self.source.prefixes else PREFIX

    def stage(self, table: str, columns: Sequence[str], expressions: Sequence[str]) -> None:
        """Make the temporary table ``table`` of the sound lines of its file; cells come trimmed, empty ones as ``''``.

        :param columns: of the file, all of them.
        """
        path = self.files[table]
        layout = Layout(columns=tuple(columns), delimiter="|", trailing=True)
        sound = sifted(path, layout, self.into, self.scratch)
        cells = ", ".join(f"coalesce(trim({column}, chr(9) || ' '), '') AS {column}" for column in columns)
        chosen = ", ".join(expressions)
        self.into.sql(
            f"CREATE TEMP TABLE {table} AS SELECT {chosen} FROM (SELECT {cells} "  # noqa: S608  constants
            f"FROM {scan('$path', (*columns, 'rest'), '|')})",
            {"path": str(sound)},
        )
        if sound.parent == self.scratch:
            sound.unlink()


def _is_wanted(name: str) -> bool:
    return name.removesuffix(".gz") in {f"{table}.dmp" for table in TABLES}


def _files(paths: Sequence[Path], scratch: Path) -> dict[str, Path]:
    """Return table name (``names``) → file; members of an archive are unpacked into ``scratch``."""
    tables: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(inner for inner in path.rglob("*.dmp*") if inner.is_file() and _is_wanted(inner.name))
        elif archive.is_zip(path):
            inside = archive.unpack(path, _is_wanted, scratch)
        elif archive.is_tar(path):
            inside = archive.unpack_tar(path, _is_wanted, scratch)
        elif _is_wanted(path.name):
            inside = [path]
        else:
            raise SourceError(
                f"{path}: expected NCBI's taxdump as .zip, .tar.gz, folder or .dmp files, found another file; "
                "correct `format` or the file"
            )
        for file in inside:
            earlier = tables.setdefault(file.name.split(".")[0], file)
            if earlier != file:
                raise SourceError(f"{file}: expected one {file.name}, found {earlier} as well; name one dump only")
    return tables


def _version(paths: Sequence[Path], files: Mapping[str, Path]) -> str | None:
    """Return the day of the dump: from the name of the archive, else when its nodes.dmp was written."""
    for path in paths:
        if named := _DATE.search(path.name):
            return named[0]
    for path in paths:
        if path.is_file() and (day := _packed_on(path)):
            return day.isoformat()
    return datetime.fromtimestamp(files["nodes"].stat().st_mtime, UTC).date().isoformat()


def _packed_on(path: Path) -> date | None:
    if archive.is_zip(path):
        with zipfile.ZipFile(path) as content:
            days = [
                date(*member.date_time[:3]) for member in content.infolist() if member.filename.endswith("nodes.dmp")
            ]
            return max(days, default=None)
    if archive.is_tar(path):
        with tarfile.open(path) as content:
            for member in content:
                if member.name.endswith("nodes.dmp"):
                    return datetime.fromtimestamp(member.mtime, UTC).date()
    return None


def _stage(load: _Load) -> None:
    """Make temp.nodes, names, merged and delnodes; what is no taxon's number is set aside."""
    with archive.open_source(load.files["nodes"]) as stream:
        n_columns = max(stream.readline().count(b"|"), len(_NODES))
    rest = [f"c{i}" for i in range(len(_NODES), n_columns)]
    number = "try_cast(id AS BIGINT) AS id"
    load.stage("nodes", (*_NODES, *rest), (number, "try_cast(parent AS BIGINT) AS parent", "rank", "id AS written"))
    load.stage("names", _FIXED["names"], (number, "text", "class", "id AS written"))
    for table in ("merged", "delnodes"):
        if table in load.files:
            columns = _FIXED[table]
            successor = [f"try_cast({column} AS BIGINT) AS successor" for column in columns[1:]]
            load.stage(table, columns, (number, *successor, "id AS written"))
        else:
            load.into.sql(f"CREATE TEMP TABLE {table} (id BIGINT, successor BIGINT, written VARCHAR)")
    for table in TABLES:
        wrong = "id IS NULL" if table != "names" else "id IS NULL OR text = ''"
        load.into.sql(
            f"INSERT INTO rejection SELECT NULL, left(written, {REJECTED_TEXT}), "  # noqa: S608  constants
            f"'{table}.dmp: expected the number of a taxon and what belongs to it, found another line', false "
            f"FROM temp.{table} WHERE {wrong}"
        )
        load.into.sql(f"DELETE FROM temp.{table} WHERE {wrong}")  # noqa: S608  constants


def _write_taxa(load: _Load) -> None:
    """Write live concepts in the order of nodes.dmp, their parents and their ranks."""
    prefix = {"prefix": load.prefix}
    load.into.sql(
        """
        INSERT INTO concept
        WITH label AS (SELECT id, min(text) AS text FROM temp.names WHERE class = 'scientific name' GROUP BY id)
        SELECT $prefix || ':' || nodes.id, $prefix, label.text, '', false, $own
        FROM temp.nodes LEFT JOIN label ON label.id = nodes.id ORDER BY nodes.rowid
        """,
        {**prefix, "own": load.into.is_own(load.prefix)},
    )
    load.into.sql(
        "INSERT INTO parent SELECT $prefix || ':' || id, $prefix || ':' || parent FROM temp.nodes "
        "WHERE parent IS NOT NULL AND id <> parent ORDER BY nodes.rowid",
        prefix,
    )
    load.into.sql(
        "INSERT INTO membership SELECT $prefix || ':' || id, 'rank', rank FROM temp.nodes WHERE rank <> '' "
        "ORDER BY nodes.rowid",
        prefix,
    )


def _write_names(load: _Load) -> None:
    """Write the names of live taxa, the label first; a text that a taxon has twice is written once."""
    load.into.sql(
        """
        INSERT INTO name
        WITH ranked AS (
            SELECT id, text, class, coalesce(list_position($classes, class), 99) AS preference, names.rowid AS row
            FROM temp.names WHERE NOT list_contains($no_names, class)
                AND (len($types) = 0 OR list_contains($types, class))),
        once AS (
            SELECT id, text, arg_min(class, (preference, row)) AS class, min(preference) AS preference, min(row) AS row
            FROM ranked GROUP BY id, text)
        SELECT $prefix || ':' || once.id, once.text, coalesce($scopes[nullif(preference, 99)], 'related') AS scope,
            once.class, '', ''
        FROM once SEMI JOIN temp.nodes ON nodes.id = once.id
        WHERE list_contains($kept, scope) ORDER BY once.id, preference, row
        """,
        {
            "prefix": load.prefix,
            "classes": list(SCOPES),
            "scopes": list(SCOPES.values()),
            "no_names": list(NO_NAMES),
            "types": list(load.source.names.types),
            "kept": list(load.source.names.scopes),
        },
    )


def _write_retired(load: _Load) -> None:
    """Write merged and deleted taxa as obsolete concepts without a name."""
    load.into.sql(
        """
        INSERT INTO concept
        SELECT $prefix || ':' || id, $prefix, NULL, '', true, $own FROM (
            SELECT id FROM temp.merged UNION SELECT id FROM temp.delnodes)
        ANTI JOIN (SELECT id FROM temp.nodes) USING (id) ORDER BY id
        """,
        {"prefix": load.prefix, "own": load.into.is_own(load.prefix)},
    )
    load.into.sql(
        "INSERT INTO replaced_by SELECT DISTINCT $prefix || ':' || id, $prefix || ':' || successor FROM temp.merged "
        "ANTI JOIN (SELECT id FROM temp.nodes) USING (id) WHERE successor IS NOT NULL ORDER BY ALL",
        {"prefix": load.prefix},
    )
