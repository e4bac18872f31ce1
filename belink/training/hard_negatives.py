"""Wrong answers that look right: for a name of one concept, a near name of another.

In a batch drawn at random most wrong answers are told at a glance. SapBERT mines triplets from its batches (Liu et al.
2021, arXiv 2010.11784); here they are looked for among all names, before training, as Xiong et al. do with an index
(2021, Approximate Nearest Neighbor Negative Contrastive Learning for Dense Text Retrieval, arXiv 2007.00808).
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from belink.retrieval import encoder
from belink.retrieval.vectors import nearest_exactly

log = logging.getLogger(__name__)

_SEARCHED = 100_000  # names that negatives are looked for among: encoding MeSH's 540,000 would take as long as training
_MEANT = 64  # names that are asked for besides, since the nearest are mostly those of the concept itself


def mined(
    model: Any,
    batches: Sequence[Sequence[str]],
    of_concept: Mapping[str, Sequence[str]],
    precedents: Sequence[tuple[str, str]],
    nearest: int,
    seed: int,
) -> list[str]:
    """For every text, in order, one of the ``nearest`` names to it of concepts that no text of its batch means.

    :param model: a SentenceTransformer; similarity is the cosine of its vectors.
    :param batches: names or annotated texts; to every one of a batch all its negatives are wrong answers.
    :param of_concept: the names of every concept. Of more than 100,000, so many are drawn to look among.
    :param precedents: (annotated text, concept).
    :param nearest: at least 1.
    """
    rng = np.random.default_rng(seed)
    concepts: dict[str, set[str]] = {}
    for concept, known in of_concept.items():
        for name in known:
            concepts.setdefault(name, set()).add(concept)
    pool = list(concepts)
    for text, concept in precedents:
        concepts.setdefault(text, set()).add(concept)
    if len(pool) > _SEARCHED:
        pool = [pool[i] for i in np.sort(rng.choice(len(pool), _SEARCHED, replace=False))]
    asked = {text: row for row, text in enumerate(dict.fromkeys(text for batch in batches for text in batch))}
    vectors = encoder.encoded(model, [*pool, *asked])
    few = min(len(pool), nearest + _MEANT)
    found, _ = nearest_exactly(vectors[: len(pool)], vectors[len(pool) :], few)
    negatives: list[str] = []
    for batch in batches:
        meant = set().union(*(concepts.get(text, ()) for text in batch))
        for text in batch:
            near = [name for i in found[asked[text]] if not meant & concepts[name := pool[i]]]
            others = near[:nearest] or [name for name in pool if not meant & concepts[name]] or pool
            negatives.append(others[int(rng.integers(len(others)))])
    log.info("mined a hard negative for each of %d pairs among %d names", len(negatives), len(pool))
    return negatives
