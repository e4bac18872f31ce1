"""Gates on a release: bounds that it must meet before anything is built on it.

They are measured on the ontology's own concepts, by SQL over the new release and the previous one. Labels are compared
as linking compares them (:func:`belink.text.normalise.normalise`): two labels that differ only in case are duplicates.
"""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from belink.declarations import ReleaseGates
from belink.ontology import release as releases
from belink.records import GateResult
from belink.text.normalise import normalise

if TYPE_CHECKING:
    import duckdb

_MIN_ITEMS = 30
ROWS = 100_000  # labels taken from DuckDB at a time


def release_gates(
    release: Path, previous: Path | None, gates: ReleaseGates, corpus_ids: Collection[str] = ()
) -> list[GateResult]:
    """Return each gate with its value and bound.

    Gates that compare with a previous release, or need a corpus, are left out where there is none.

    :param corpus_ids: concepts that annotated corpora use; their names must not get lost.
    """
    folders = {"new": release} if previous is None else {"new": release, "old": previous}
    with releases.attached(folders) as connection:
        results = []
        if previous is not None:
            results.append(_shrinkage(connection, gates.max_shrinkage))
        results += [
            _rejected(connection, gates.max_rejected),
            _dangling(connection, gates.max_dangling_replaced_by),
            _duplicate_labels(connection, gates.max_duplicate_labels),
            _cyclic(connection, gates.max_cyclic),
        ]
        if previous is not None and corpus_ids:
            results.append(_corpus_names_lost(connection, gates.max_corpus_names_lost, corpus_ids))
    return results


def _result(name: str, value: float, bound: float, detail: str) -> GateResult:
    return GateResult(name=name, value=value, bound=bound, passed=value <= bound, detail=detail)


def _measured_share(name: str, part: int, whole: int, bound: float, detail: str) -> GateResult:
    """Return the result for the share ``part / whole``; not measured, and so passed, on fewer than 30 items.

    One replacement that leads outside a slim is all of its replacements. A loss since the previous release is no
    estimate but a fact, and is measured on any number.
    """
    result = _result(name, _share(part, whole), bound, detail)
    if whole >= _MIN_ITEMS or not part:
        return result
    detail += f"; expected at least {_MIN_ITEMS} for the bound to mean anything"
    return replace(result, passed=True, measured=False, detail=detail)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _shrinkage(connection: "duckdb.DuckDBPyConnection", bound: float) -> GateResult:
    before, lost = _numbers(
        connection,
        """
        SELECT count(*), count(*) FILTER (id NOT IN (SELECT id FROM new.concept WHERE NOT obsolete))
        FROM old.concept WHERE own AND NOT obsolete
        """,
    )
    detail = f"{lost} of {before} concepts that were live are not any more"
    return _result("max_shrinkage", _share(lost, before), bound, detail)


def _rejected(connection: "duckdb.DuckDBPyConnection", bound: float) -> GateResult:
    tables = ("concept", "name", "parent", "relationship", "xref", "alt_id", "replaced_by", "consider", "membership")
    n_rows = " + ".join(f"(SELECT count(*) FROM new.{table})" for table in tables)  # noqa: S608  the names above
    rejected, n_kept = _numbers(connection, f"SELECT count(*), {n_rows} FROM new.rejection WHERE NOT repaired")  # noqa: S608
    detail = f"{rejected} clauses or rows set aside, {n_kept} kept"
    return _measured_share("max_rejected", rejected, rejected + n_kept, bound, detail)


def _dangling(connection: "duckdb.DuckDBPyConnection", bound: float) -> GateResult:
    # A replacement that is obsolete itself but leads on to a live concept (MONDO has 4 % of these) does not dangle, and
    # one in an ontology that the release does not hold cannot be judged from here.
    replacements, dangling = _numbers(
        connection,
        """
        WITH RECURSIVE sound(id) AS (
            SELECT id FROM new.concept WHERE NOT obsolete AND id IN (SELECT replacement_id FROM new.replaced_by)
            UNION SELECT concept_id FROM sound JOIN new.replaced_by ON replacement_id = sound.id)
        SELECT count(*), count(*) FILTER (replacement_id NOT IN (SELECT id FROM sound))
        FROM new.replaced_by JOIN new.concept ON concept.id = concept_id
        WHERE own AND (replacement_id IN (SELECT id FROM new.concept)
            OR split_part(replacement_id, ':', 1) IN (SELECT prefix FROM new.concept WHERE own))
        """,
    )
    detail = f"{dangling} of {replacements} replaced_by lead to no live concept"
    return _measured_share("max_dangling_replaced_by", dangling, replacements, bound, detail)


# Of a label that is plain ASCII without these marks, normalising changes no letter or digit. All labels that it makes
# equal have the same letters and digits, so that only those that share them need be normalised in Python.
_LETTERS = """
    CREATE OR REPLACE TEMP TABLE labelled AS
    SELECT label, regexp_full_match(label, '[ -&*-_a-~]*') AS plain,
        CASE WHEN plain THEN regexp_replace(lower(label), '[^a-z0-9]+', '', 'g') END AS letters
    FROM new.concept WHERE own AND NOT obsolete AND label IS NOT NULL
"""
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")


def _duplicate_labels(connection: "duckdb.DuckDBPyConnection", bound: float) -> GateResult:
    import pyarrow as pa

    connection.execute(_LETTERS)
    others = connection.execute("SELECT DISTINCT label FROM labelled WHERE NOT plain").fetchall()
    letters = [_NOT_LETTERS.sub("", normalise(label)) for (label,) in others]
    connection.register("incoming", pa.table({"label": [label for (label,) in others], "letters": letters}))
    connection.execute(
        "UPDATE labelled SET letters = incoming.letters FROM incoming WHERE labelled.label = incoming.label"
    )
    connection.unregister("incoming")
    alike = connection.execute(
        """
        SELECT label FROM labelled
        WHERE letters IN (SELECT letters FROM labelled GROUP BY letters HAVING count(*) > 1)
        """
    )
    owners: Counter[int] = Counter()  # by hash: millions of labels would fill the memory
    while rows := alike.fetchmany(ROWS):
        # A collision of two hashes could count two labels as one; with 64 bits that is negligible.
        owners.update(hash(normalise(label) or label) for (label,) in rows)
    live = _numbers(connection, "SELECT count(*) FROM new.concept WHERE own AND NOT obsolete")[0]
    shared = sum(count for count in owners.values() if count > 1)
    detail = f"{shared} of {live} live concepts share their normalised label"
    return _measured_share("max_duplicate_labels", shared, live, bound, detail)


def _cyclic(connection: "duckdb.DuckDBPyConnection", bound: int) -> GateResult:
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    connection.execute(
        # A sparse matrix needs numbers from 0 on in place of ids.
        "CREATE OR REPLACE TEMP TABLE node AS SELECT id, (row_number() OVER ()) - 1 AS position, own FROM new.concept"
    )
    edges = connection.execute(
        """
        SELECT child.position AS child, above.position AS above FROM new.parent
        JOIN node child ON child.id = concept_id JOIN node above ON above.id = parent_id
        """
    ).fetchnumpy()
    own = connection.execute("SELECT own FROM node ORDER BY position").fetchnumpy()["own"]
    child, above = edges["child"], edges["above"]
    cyclic = np.zeros(len(own), dtype=bool)
    if len(child):
        # A concept lies on a cycle if its strongly connected component has other members, or if it is its own parent.
        graph = coo_array((np.ones(len(child), dtype=np.int8), (child, above)), shape=(len(own), len(own)))
        _, component = connected_components(graph, directed=True, connection="strong")
        cyclic = np.bincount(component)[component] > 1
        cyclic[child[child == above]] = True
    on_cycle = int(np.count_nonzero(cyclic & own))
    first = connection.execute(
        "SELECT id FROM node WHERE position IN (SELECT unnest($positions)) ORDER BY id LIMIT 5",
        # Some examples are enough to look at, so the parameter is bounded.
        {"positions": np.flatnonzero(cyclic & own)[:1000].tolist()},
    ).fetchall()
    named = f", such as {', '.join(row[0] for row in first)}" if first else ""
    return _result("max_cyclic", on_cycle, bound, f"{on_cycle} concepts on an is_a cycle{named}")


def _corpus_names_lost(
    connection: "duckdb.DuckDBPyConnection", bound: float, corpus_ids: Collection[str]
) -> GateResult:
    """Measure the share of names that these concepts had, and neither they nor their successors have now."""
    ids = {"ids": sorted(set(corpus_ids))}
    # Names are normalised in Python, since SQL has no such function. Concepts of corpora are few enough for that.
    before = connection.execute(
        """
        SELECT n.concept_id, n.text FROM old.name n JOIN old.concept c ON c.id = n.concept_id
        WHERE NOT c.obsolete AND c.id IN (SELECT unnest($ids))
        """,
        ids,
    ).fetchall()
    after = connection.execute(
        """
        WITH RECURSIVE step(source, target) AS (
            SELECT concept_id, replacement_id FROM new.replaced_by UNION SELECT alt_id, concept_id FROM new.alt_id),
        standing(origin, id) AS (
            SELECT unnest($ids) AS origin, origin
            UNION SELECT origin, target FROM standing JOIN step ON source = standing.id)
        SELECT origin, n.text FROM standing JOIN new.name n ON n.concept_id = standing.id
        JOIN new.concept c ON c.id = n.concept_id WHERE NOT c.obsolete
        """,
        ids,
    ).fetchall()
    had = {(concept_id, normalise(text)) for concept_id, text in before}
    lost = had - {(concept_id, normalise(text)) for concept_id, text in after}
    detail = f"{len(lost)} of {len(had)} names of concepts in the corpora are gone"
    return _result("max_corpus_names_lost", _share(len(lost), len(had)), bound, detail)


def _numbers(connection: "duckdb.DuckDBPyConnection", query: str) -> tuple[int, ...]:
    row = connection.execute(query).fetchone()
    return tuple(int(value) for value in row or ())
