"""Two releases of an ontology → the changes between them.

Only live concepts with the ontology's own prefixes count: those that a linker may answer with. ``removed`` and
``obsoleted`` are concepts that were live; ``merged`` are the ones among them that lead to a live concept (replaced_by,
alternative id). Names are compared letter by letter, as pairs of concept and text: ``names_added`` and
``names_removed`` include those of concepts that came and went, and ``names_moved`` are removed ones whose text is
newly a name of another concept.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import artefacts, markdown
from belink.errors import ReleaseError
from belink.ontology import release

if TYPE_CHECKING:
    import duckdb

CHANGES = (
    "added", "removed", "obsoleted", "merged", "reinstated", "relabelled",
    "names_added", "names_removed", "names_moved",
)  # fmt: skip

# ``NOT IN`` is true of nothing once the list holds a NULL; no column of ids in a release may be NULL. ``UNION`` without
# ``ALL`` leaves out rows that were reached before, so a cycle of replacements ends. Labels may be NULL, hence ``IS
# DISTINCT FROM``.
_TABLES = """
CREATE TEMP TABLE before AS SELECT id, label FROM old.concept WHERE own AND NOT obsolete;
CREATE TEMP TABLE after AS SELECT id, label FROM new.concept WHERE own AND NOT obsolete;
CREATE TEMP TABLE added AS SELECT id, label FROM after WHERE id NOT IN (SELECT id FROM old.concept);
CREATE TEMP TABLE reinstated AS
    SELECT id, label FROM after WHERE id IN (SELECT id FROM old.concept WHERE obsolete);
CREATE TEMP TABLE removed AS SELECT id, label FROM before WHERE id NOT IN (SELECT id FROM new.concept);
CREATE TEMP TABLE obsoleted AS
    SELECT id, label FROM before WHERE id IN (SELECT id FROM new.concept WHERE obsolete);
CREATE TEMP TABLE merged AS
    WITH RECURSIVE step(source, target) AS (
        SELECT concept_id, replacement_id FROM new.replaced_by UNION SELECT alt_id, concept_id FROM new.alt_id),
    reached(id, target) AS (
        SELECT id, id FROM (SELECT id FROM removed UNION SELECT id FROM obsoleted)
        UNION SELECT reached.id, step.target FROM reached JOIN step ON step.source = reached.target
        WHERE reached.target NOT IN (SELECT id FROM new.concept WHERE NOT obsolete))
    SELECT reached.id, before.label, string_agg(target, ', ' ORDER BY target) AS "into"
    FROM reached JOIN before ON before.id = reached.id
    WHERE target IN (SELECT id FROM new.concept WHERE NOT obsolete) GROUP BY reached.id, before.label;
CREATE TEMP TABLE relabelled AS
    SELECT id, before.label AS was, after.label AS "is" FROM before JOIN after USING (id)
    WHERE before.label IS DISTINCT FROM after.label;
CREATE TEMP TABLE names_added AS
    SELECT concept_id AS id, text AS name FROM new.name WHERE concept_id IN (SELECT id FROM after)
    EXCEPT SELECT concept_id, text FROM old.name WHERE concept_id IN (SELECT id FROM before);
CREATE TEMP TABLE names_removed AS
    SELECT concept_id AS id, text AS name FROM old.name WHERE concept_id IN (SELECT id FROM before)
    EXCEPT SELECT concept_id, text FROM new.name WHERE concept_id IN (SELECT id FROM after);
CREATE TEMP TABLE names_moved AS
    SELECT r.name, r.id AS "from", string_agg(a.id, ', ' ORDER BY a.id) AS "to"
    FROM names_removed r JOIN names_added a ON a.name = r.name GROUP BY r.name, r.id;
"""


@dataclass(frozen=True, kw_only=True)
class Diff:
    """The number of each change, and examples; the module says what is counted."""

    ontology: str
    old: str  # versions
    new: str
    added: int  # live in the new release, unknown to the old one
    removed: int  # live in the old release, unknown to the new one
    obsoleted: int  # live in the old release, there but obsolete in the new one
    merged: int  # removed or obsoleted, and leading to a live concept
    reinstated: int  # obsolete in the old release, live in the new one
    relabelled: int  # live in both, under another label
    names_added: int
    names_removed: int
    names_moved: int
    live: tuple[int, int]  # live concepts before and after
    examples: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)  # by change, in alphabetical order

    def to_dict(self) -> dict[str, Any]:
        """Return the diff as JSON writes it."""
        return {**asdict(self), "live": list(self.live)}

    def markdown(self) -> str:
        """Return a Markdown table of the counts, then the examples of each change."""
        counts = [(change.replace("_", " "), f"{getattr(self, change):,}") for change in CHANGES]
        counts.append(("live concepts", f"{self.live[0]:,} → {self.live[1]:,}"))
        parts = [
            f"# {markdown.escape(self.ontology)}: {markdown.escape(self.old)} → {markdown.escape(self.new)}",
            markdown.table(["change", "count"], counts, right=["count"]),
        ]
        for change, rows in self.examples.items():
            if rows:
                shown = f" (first {len(rows)})" if len(rows) < getattr(self, change) else ""
                parts += [
                    f"## {change.replace('_', ' ')}{shown}",
                    markdown.table([*rows[0]], [[*r.values()] for r in rows]),
                ]
        return "\n\n".join(parts) + "\n"


def diff(old: Path, new: Path, *, examples: int = 20) -> Diff:
    """Return the changes from the release at ``old`` to the one at ``new``.

    :param examples: how many of each change to list.
    :raises ReleaseError: one of them is no release, or they are of two ontologies.
    """
    with tables_of_changes(old, new) as (connection, before, after):
        counts = {change: _count(connection, change) for change in CHANGES}
        return Diff(
            ontology=after["ontology"],
            old=before["version"],
            new=after["version"],
            **counts,
            live=(_count(connection, "before"), _count(connection, "after")),
            examples={change: _first(connection, change, examples) for change in CHANGES},
        )


@contextmanager
def tables_of_changes(
    old: Path, new: Path
) -> Iterator[tuple["duckdb.DuckDBPyConnection", dict[str, Any], dict[str, Any]]]:
    """Yield a connection with one table for each of :data:`CHANGES`, and the manifests of both releases.

    :raises ReleaseError: one of them is no release, or they are of two ontologies.
    """
    before, after = (_manifest(folder) for folder in (old, new))
    if before["ontology"] != after["ontology"]:
        raise ReleaseError(
            f"expected releases of one ontology, found {before['ontology']} and {after['ontology']}; give two of one"
        )
    with release.compare(old, new) as connection:
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        yield connection, before, after


def _manifest(folder: Path) -> dict[str, Any]:
    if not artefacts.exists(folder):
        raise ReleaseError(f"{folder}: expected a release, found none; ingest it first")
    return artefacts.read_manifest(folder)


def _count(connection: "duckdb.DuckDBPyConnection", table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608  one of the tables above
    return int(row[0]) if row else 0


def _first(connection: "duckdb.DuckDBPyConnection", table: str, limit: int) -> list[dict[str, Any]]:
    # ``ORDER BY ALL`` makes the examples the same in every run.
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY ALL LIMIT ?", [limit])  # noqa: S608
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
