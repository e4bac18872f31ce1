"""Names that the declaration of an ontology adds to its concepts: what texts call them and the source does not."""

import logging

from belink.ontology.release import Release
from belink.ontology.release_writer import ReleaseWriter
from belink.text.concept_ids import standardise

TYPE = "added"
"""The type of these names in a release, also of those that the source has as exact synonyms itself."""

log = logging.getLogger(__name__)


def add(into: ReleaseWriter) -> None:
    """Add the declared names to the concepts that are in the release.

    A declared name belongs to its concept alone: a synonym of another concept that differs at most in case is left out
    (NCBI calls the genus Mus "mice", papers mean the house mouse). Labels stay. Ids count in any form. A replaced or
    alternative id leads to its successor, where it has one. Names of an id that the source does not list are left out.
    What is left out is written down as a repair.
    """
    declared = into.source.names.added
    if not declared:
        return
    prefixes = into.prefixes()
    pairs = [(standardise(concept, prefixes), name) for concept, names in declared.items() for name in names]
    into.sql(
        "CREATE TEMP TABLE added AS SELECT unnest($concepts) AS concept_id, unnest($names) AS text",
        {"concepts": [concept for concept, _ in pairs], "names": [name for _, name in pairs]},
    )
    _follow_replacements(into)
    no_concept = "FROM added WHERE concept_id NOT IN (SELECT id FROM concept WHERE NOT obsolete)"
    into.sql(
        f"INSERT INTO rejection SELECT NULL, concept_id || ' ' || text, $reason, true {no_concept} ORDER BY rowid",
        {"reason": "the declaration adds this name, but the source has no live concept of the id"},
    )
    if n_unknown := into.sql(f"DELETE {no_concept}")[0][0]:
        log.info("%d added names were left out: the source has no live concepts of their ids", n_unknown)
    of_others = """
        FROM name WHERE scope <> 'label' AND lower(text) IN (SELECT lower(text) FROM added)
            AND (concept_id, lower(text)) NOT IN (SELECT (concept_id, lower(text)) FROM added)
    """
    into.sql(
        f"INSERT INTO rejection SELECT NULL, concept_id || ' ' || text, $reason, true {of_others} ORDER BY rowid",
        {"reason": "the declaration gives this name to another concept"},
    )
    into.sql(f"DELETE {of_others}")
    into.sql(
        """
        UPDATE name SET type = $type
        WHERE scope = 'exact' AND (concept_id, lower(text)) IN (SELECT (concept_id, lower(text)) FROM added)
        """,
        {"type": TYPE},
    )
    into.sql(
        """
        INSERT INTO name SELECT concept_id, text, 'exact', $type, '', '' FROM added
        WHERE (concept_id, lower(text)) NOT IN (
            SELECT (concept_id, lower(text)) FROM name WHERE scope IN ('label', 'exact'))
        ORDER BY rowid
        """,
        {"type": TYPE},
    )
    into.sql("DROP TABLE temp.added")


def _follow_replacements(into: ReleaseWriter) -> None:
    """Give names of an id that is no live concept to the one concept that it leads to, over any number of steps."""
    into.sql(
        """
        CREATE TEMP TABLE successor AS
        WITH RECURSIVE live AS (SELECT id FROM concept WHERE NOT obsolete),
        step(source, target) AS (
            SELECT concept_id, replacement_id FROM replaced_by UNION SELECT alt_id, concept_id FROM alt_id),
        reached(source, id) AS (
            SELECT DISTINCT concept_id, concept_id FROM added WHERE concept_id NOT IN (FROM live)
            UNION SELECT reached.source, step.target FROM reached JOIN step ON step.source = reached.id
            WHERE reached.id NOT IN (FROM live))
        SELECT source, min(id) AS id FROM reached WHERE id IN (FROM live) GROUP BY source HAVING count(DISTINCT id) = 1
        """
    )
    into.sql("UPDATE added SET concept_id = successor.id FROM successor WHERE successor.source = added.concept_id")
    into.sql("DELETE FROM added WHERE rowid NOT IN (SELECT min(rowid) FROM added GROUP BY concept_id, lower(text))")
    into.sql("DROP TABLE temp.successor")


def read(release: Release) -> list[str]:
    """Return the added names that ``release`` has."""
    return [text for _, text in pairs(release)]


def pairs(release: Release) -> list[tuple[str, str]]:
    """Return (concept id, name) of the added names that ``release`` has."""
    rows = release.rows("SELECT concept_id, text FROM name WHERE type = ? ORDER BY rowid", [TYPE])
    return [(concept, text) for concept, text in rows]
