"""Mentions → candidates: exact, lexical and dense retrieval, fused to distinct concepts.

Every name that one of the two searches finds is scored by both cosines, so that scores are comparable; a concept has
the score of its best name. A mention is asked as it stands and with its abbreviations spelled out, and the better of
the two counts.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from belink.declarations import Retrieval
from belink.encode import Encoder
from belink.index import Index
from belink.records import Candidate, Mention
from belink.text import normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 256  # mentions


def retrieve(
    index: Index,
    encoder: Encoder,
    mentions: Sequence[Mention],
    config: Retrieval,
    hide_own_name: bool = False,
    candidates: int | None = None,
) -> list[list[Candidate]]:
    """For each mention at most ``candidates`` (``config.candidates``) distinct concepts, best first.

    :param hide_own_name: answer as if the index did not hold the mention's own text as a name: how an ontology
        without labels asks itself questions.
    """
    n = config.candidates if candidates is None else candidates
    found: list[list[Candidate]] = []
    for start in range(0, len(mentions), _BATCH):
        batch = mentions[start : start + _BATCH]
        forms = [_forms(mention) for mention in batch]
        flat = [form for of_one in forms for form in of_one]
        scored = iter(_scored(index, encoder, flat, config)) if flat else iter(())
        for mention, of_one in zip(batch, forms, strict=True):
            hidden = index.find(normalise(mention.text)) if hide_own_name else None
            found.append(_fused(index, [next(scored) for _ in of_one], n, hidden))
    return found


def _forms(mention: Mention) -> list[str]:
    """The normalised texts a mention is asked by, the long form first."""
    return list(dict.fromkeys(form for text in (mention.long_form, mention.text) if (form := normalise(text))))


Scored = tuple["NDArray[np.int64]", "NDArray[np.float32]", "NDArray[np.float32]", "NDArray[np.float32]", "int | None"]


def _scored(index: Index, encoder: Encoder, forms: Sequence[str], config: Retrieval) -> Iterator[Scored]:
    """For each form: name rows, their fused, lexical and dense scores, and the row of the form itself."""
    vectors = encoder.encode(forms)
    grams = index.lexical.rows_of(forms)
    nearest = index.search(vectors, config.dense) if config.dense else np.empty((len(forms), 0), np.int64)
    similar = index.lexical.search(grams, config.lexical) if config.lexical else [np.empty(0, np.int64)] * len(forms)
    for i, form in enumerate(forms):
        own = index.find(form)
        rows = np.union1d(nearest[i][nearest[i] >= 0], similar[i])
        if own is not None:
            rows = np.union1d(rows, [own])
        dense = index.vectors[rows].astype(np.float32) @ vectors[i]
        lexical = index.lexical.cosines(grams[[i]], rows)
        score = config.lexical_weight * lexical + (1 - config.lexical_weight) * dense
        yield rows, score, lexical, dense, own


def _fused(index: Index, scored: Sequence[Scored], n: int, hidden: int | None) -> list[Candidate]:
    """Names → concepts; the best name of a concept counts, an exact one before every other."""
    best: dict[int, tuple[float, bool, float, float, int]] = {}
    for rows, score, lexical, dense, own in scored:
        for at in np.argsort(-score, kind="stable"):
            row = int(rows[at])
            if row == hidden:
                continue
            exact = row == own
            entry = (float(score[at]) + exact, exact, float(lexical[at]), float(dense[at]))
            for owner in index.owners(row):
                concept = int(index.owner_concepts[owner])
                if concept not in best or entry[0] > best[concept][0]:
                    best[concept] = (*entry, owner)
    ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:n]
    return [_candidate(index, concept, *evidence) for concept, evidence in ranked]


def _candidate(
    index: Index, concept: int, score: float, exact: bool, lexical: float, dense: float, owner: int
) -> Candidate:
    concept_id, label, ontology, release = index.concept(concept)
    name, scope = index.owner_name(owner)
    return Candidate(
        id=concept_id,
        label=label,
        name=name,
        ontology=ontology,
        release=release,
        scope=scope,
        exact=exact,
        lexical=lexical,
        dense=dense,
        score=score,
    )
