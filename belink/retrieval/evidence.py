"""What all names of a candidate's concept say, and how annotated training text used the concept."""

import numpy as np

from belink.retrieval.groups import Groups
from belink.retrieval.index import Index
from belink.retrieval.name_table import MENTION
from belink.retrieval.queries import QueryBatch

_N_NEAREST = 3  # names of a concept whose mean cosine is told


def describe(
    index: Index,
    batch: QueryBatch,
    dense: np.ndarray | None,
    mention: np.ndarray,
    text: np.ndarray,
    concept: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return the fields of :class:`belink.records.Evidence`, one entry a candidate; without the apposition's score.

    :param dense: float32 (n_texts, dimension): the vectors of the batch's texts; ``None`` leaves cosines out.
    :param mention: int64 (n,): the mention of each candidate.
    :param text: int64 (n,): the text of the batch that found it best.
    :param concept: int64 (n,): its concept, a row of the name table.
    """
    table, n = index.table, len(concept)
    candidate, owner = table.of_concepts(concept)
    name, scope = table.owner_names(owner), table.owner_scope[owner]
    # Hidden names say nothing here either, or evidence would betray what retrieval must not see.
    shown = ~batch.is_hidden(mention[candidate], name, scope)
    candidate, owner, name, scope = candidate[shown], owner[shown], name[shown], scope[shown]
    names, times = Groups(candidate, n), table.owner_times[owner]
    is_annotation = times > 0
    is_own = batch.is_own_name(mention[candidate], name)
    # A text that was never annotated would divide by zero.
    annotated = np.maximum(_times_annotated(index, batch)[mention], 1)
    evidence = {
        # Precedents are no names of the ontology.
        "n_names": names.count(scope < MENTION),
        "n_annotations": names.sum(times).astype(np.int64),
        "n_annotated_names": names.count(is_annotation),
        # The sum is over all own names of the mention, the divisor is of the one annotated most, so a share can exceed
        # 1.
        "share_annotated": np.minimum(names.sum(times, is_own) / annotated, 1.0),
        "id_kind_log_rate": table.id_kind_log_rates[concept],
    }
    if index.latin_names is not None:
        evidence["prominence"] = index.latin_names.prominence[concept]
    if dense is not None:
        cosine = _cosines(index, dense, text[candidate], name)
        evidence["mean_nearest_cosine"] = names.mean_of_largest(cosine, _N_NEAREST)
        evidence["nearest_annotation_cosine"] = names.max(cosine, is_annotation)
    return evidence


def _times_annotated(index: Index, batch: QueryBatch) -> np.ndarray:
    """Return int64 (n_mentions,): how often training text annotates the mention's text, with whatever concept.

    Of several own names (a long form, another spelling) the one that is annotated most often counts.
    """
    table = index.table
    mention, column = np.nonzero(batch.own_names >= 0)
    name = batch.own_names[mention, column]
    position, owner = table.owners(name)
    times = Groups(position, len(name)).sum(table.owner_times[owner])
    return Groups(mention, len(batch.own_names)).max(times.astype(np.int64))


def _cosines(index: Index, dense: np.ndarray, text: np.ndarray, name: np.ndarray) -> np.ndarray:
    """Return float32 (n,), -1 to 1: of ``dense[text[i]]`` and the name in row ``name[i]``; texts come in any order."""
    # ``Vectors.cosines`` takes its rows in the order of texts.
    by_text = np.argsort(text, kind="stable")
    cosine = np.empty(len(name), np.float32)
    cosine[by_text] = index.vectors.cosines(dense, text[by_text], name[by_text])
    return cosine
