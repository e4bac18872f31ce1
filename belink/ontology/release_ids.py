"""Ids in a release: the form in which it writes them, and what stands for those that are no longer live.

All ids are asked for at once: a query takes DuckDB about a millisecond, whether for one id or for thousands.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from belink.text.concept_ids import standardise

if TYPE_CHECKING:
    from belink.ontology.release import Release

_PRESENT = """
SELECT id FROM concept WHERE id IN (SELECT unnest($ids))
UNION SELECT alt_id FROM alt_id WHERE alt_id IN (SELECT unnest($ids))
"""
_LIVE = "SELECT id FROM concept WHERE id IN (SELECT unnest($ids)) AND NOT obsolete"
_REPLACEMENTS = """
SELECT concept_id, replacement_id FROM replaced_by WHERE concept_id IN (SELECT unnest($ids))
UNION SELECT alt_id, concept_id FROM alt_id WHERE alt_id IN (SELECT unnest($ids))
"""


def standard_ids(release: "Release", ids: Collection[str]) -> dict[str, str]:
    """Return each of ``ids`` with the form that ``release`` uses; see :meth:`Release.standard_id`."""
    # An id may look like another form of an id, so one that the release knows is never changed.
    present = {identifier for (identifier,) in release.rows(_PRESENT, {"ids": list(ids)})} if ids else set()
    return {each: each if each in present else standardise(each, release.prefixes_in_use) for each in ids}


def successors(release: "Release", ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return each of ``ids`` with the live ids that stand for it in ``release``; see :meth:`Release.successors`."""
    standard = standard_ids(release, ids)
    live: set[str] = set()
    replacements: dict[str, list[str]] = {}  # of each id that is not live
    waiting = set(standard.values())
    while waiting:  # one step of all ids at a time; a cycle of replacements ends at ids that were seen
        live |= {identifier for (identifier,) in release.rows(_LIVE, {"ids": list(waiting)})}
        retired = waiting - live
        replacements |= {identifier: [] for identifier in retired}
        for old, new in release.rows(_REPLACEMENTS, {"ids": list(retired)}) if retired else ():
            replacements[old].append(new)
        waiting = {new for old in retired for new in replacements[old]} - live - replacements.keys()
    return {identifier: _ends(standard[identifier], replacements) for identifier in ids}


def _ends(start: str, replacements: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the ids without an entry that the replacements of ``start`` lead to, in alphabetical order."""
    seen, waiting = {start}, [start]
    while waiting:
        targets = set(replacements.get(waiting.pop(), ())) - seen
        seen |= targets
        waiting.extend(targets)
    return tuple(sorted(seen - replacements.keys()))
