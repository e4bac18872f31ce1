"""Proposals for ids that a release dropped without a successor: live concepts with the same or a similar name."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from belink.ontology import release as releases
from belink.text.normalise import normalise

MAX_IDS = 200  # of one file that are compared with every name; a person decides on each of them
MAX_PROPOSALS = 3  # similar names for one id
MIN_SIMILARITY = 0.9  # Jaro-Winkler, 0 to 1


def propose(labels: Mapping[str, str], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return for each id the concepts of a release that a person may put in its place, best first.

    :param labels: id → the label that it had.
    :param folder: the release that proposals come from.
    :returns: ``id``, ``label``, ``by`` ("same name", "similar name") and ``score``, 1 for the same name.
    """
    # Every label is compared with every name, which takes time in proportion to both.
    compared = dict(sorted(labels.items())[:MAX_IDS])
    with releases.open_release(folder) as release:
        # Names of very different length are left out before the costly comparison.
        rows = release.rows(
            """
            WITH old AS (SELECT unnest($ids) AS old_id, unnest($keys) AS key),
            live AS (
                SELECT concept_id, lower(text) AS name FROM name JOIN concept ON concept.id = concept_id
                WHERE own AND NOT obsolete)
            SELECT old_id, concept_id, max(if(name = key, 1, jaro_winkler_similarity(name, key))) AS score
            FROM old, live WHERE concept_id <> old_id AND abs(length(name) - length(key)) <= 10
            GROUP BY old_id, concept_id HAVING score >= $least ORDER BY old_id, score DESC, concept_id
            """,
            {
                "ids": list(compared),
                "keys": [label.lower() for label in compared.values()],
                "least": MIN_SIMILARITY,
            },
        )
        proposals: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for old_id, concept_id, score in _best(rows):
            label = release.label(concept_id)
            # SQL compares in lower case; names that differ only in marks are the same by ``normalise``.
            is_same = score == 1 or normalise(label or "") == normalise(compared[old_id])
            how = "same name" if is_same else "similar name"
            proposals[old_id].append({"id": concept_id, "label": label, "by": how, "score": round(score, 2)})
    return dict(proposals)


def _best(rows: Sequence[tuple[Any, ...]]) -> list[tuple[str, str, float]]:
    """Return the first few rows of each id; of those with the same name all."""
    counts: dict[str, int] = defaultdict(int)
    best = []
    for old_id, concept_id, score in rows:
        counts[old_id] += 1
        if score == 1 or counts[old_id] <= MAX_PROPOSALS:
            best.append((str(old_id), str(concept_id), float(score)))
    return best
