"""Mentions → candidates: exact, lexical and dense evidence fused to distinct concepts, best first.

Each source proposes names; then every proposed name gets both cosines, also the one of the source that did not propose
it, so that fused scores compare. A concept counts as its best name does. An exact name has both cosines at 1, so no
other name of the same question ranks above it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from belink.declarations import Retrieval
from belink.index import Encodes, Index
from belink.nametable import SCOPES
from belink.records import Candidate, Mention, Scope
from belink.text import normalise

_TOGETHER = 1_024  # mentions whose names are scored at a time
# What separates equal names of several concepts: the label comes before a synonym, a loose synonym last.
_SCOPE_LOSS = np.array([0.0, 0.001, 0.002, 0.002, 0.002], np.float32)  # as SCOPES
# Where a text spells an abbreviation out, the long form says what is meant; the short one is the same for many.
_SHORT_FORM = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class _Proposed:
    """Names proposed for queries, in the order of queries; one row a query and name."""

    query: np.ndarray  # int64 (n,)
    name: np.ndarray  # int64 (n,), row of the name table
    exact: np.ndarray  # bool (n,)
    lexical: np.ndarray  # float32 (n,)
    dense: np.ndarray  # float32 (n,)
    score: np.ndarray  # float32 (n,), fused


@dataclass(frozen=True, kw_only=True, slots=True)
class _Matches:
    """Proposed names as matches of mentions, in the order of mentions; one row a mention, key and name."""

    mention: np.ndarray  # int64 (n,)
    proposed: np.ndarray  # int64 (n,), row of the proposed names
    score: np.ndarray  # float32 (n,)


def retrieve(
    index: Index,
    encoder: Encodes,
    mentions: Sequence[Mention],
    config: Retrieval,
    *,
    hide_own_name: bool = False,
    candidates: int | None = None,
) -> list[list[Candidate]]:
    """For each mention distinct live concepts, best first, at most ``candidates`` (``config.candidates``).

    Asked for are the mention's text and its long form; an empty list means that nothing is left of both.

    :param hide_own_name: act as if the index did not hold the mention's text (or long form) as a name: what training
        on an ontology's own names, and evaluation on them, needs.
    :raises IndexMismatch: the index was made by another encoder.
    """
    index.check(encoder)
    limit = config.candidates if candidates is None else candidates
    found: list[list[Candidate]] = []
    for start in range(0, len(mentions), _TOGETHER):
        batch = mentions[start : start + _TOGETHER]
        found += _retrieve(index, encoder, batch, config, hide_own_name, limit)
    return found


def _retrieve(
    index: Index, encoder: Encodes, mentions: Sequence[Mention], config: Retrieval, hide_own_name: bool, limit: int
) -> list[list[Candidate]]:
    keys = [_keys(mention) for mention in mentions]
    queries = list(dict.fromkeys(key for of_one in keys for key in of_one))
    found: list[list[Candidate]] = [[] for _ in mentions]
    if not queries or not index.table.n_names:
        return found
    own = index.table.find(queries)
    proposed = _propose(index, encoder, queries, own, config)
    matches = _of_mentions(proposed, keys, queries)
    if hide_own_name:
        matches = _without_own(matches, proposed, keys, dict(zip(queries, own.tolist(), strict=True)))
    best, owner, exact = _best(index, proposed, matches, limit)
    names = index.table.owner_texts(owner)
    concepts = index.table.concepts(index.table.owner_concept[owner])
    scopes = index.table.owner_scope[owner]
    for i, mention in enumerate(best.mention):
        found[mention].append(
            Candidate(
                **concepts[i],
                name=names[i],
                scope=cast(Scope, SCOPES[scopes[i]]),
                exact=bool(exact[i]),
                lexical=float(proposed.lexical[best.proposed[i]]),
                dense=float(proposed.dense[best.proposed[i]]),
                score=float(best.score[i]),
            )
        )
    return found


def _keys(mention: Mention) -> list[str]:
    """What is asked for, without repetition: the long form where there is one, the text."""
    return list(dict.fromkeys(key for key in (normalise(mention.long_form), normalise(mention.text)) if key))


def _propose(index: Index, encoder: Encodes, queries: Sequence[str], own: np.ndarray, config: Retrieval) -> _Proposed:
    """What the sources propose for each query, each name with the evidence of all of them.

    :param own: int64 (n,): the row of the name that equals the query, -1 where none does.
    """
    sources = [[own[i : i + 1][own[i : i + 1] >= 0]] for i in range(len(queries))]
    trigrams, vectors = None, None
    if config.lexical:
        trigrams = index.lexical.vectors(queries)
        for rows, of_one in zip(index.lexical.search(trigrams, config.lexical), sources, strict=True):
            of_one.append(rows)
    if config.dense:
        vectors = encoder.encode(queries)
        for rows, of_one in zip(index.search(vectors, config.dense)[0], sources, strict=True):
            of_one.append(rows[rows >= 0])
    names = [np.unique(np.concatenate(of_one)) for of_one in sources]
    query = np.repeat(np.arange(len(queries)), [len(rows) for rows in names])
    name = np.concatenate(names).astype(np.int64)
    exact = name == own[query]
    nothing = np.zeros(len(name), np.float32)
    lexical = nothing if trigrams is None else index.lexical.cosines(trigrams, query, name)
    dense = nothing if vectors is None else index.cosines(vectors, query, name)
    if trigrams is not None:
        lexical[exact] = 1.0
    if vectors is not None:
        dense[exact] = 1.0  # as stored, in float16, it is almost that
    weight = config.lexical_weight if config.lexical and config.dense else float(bool(config.lexical))
    score = np.where(exact, 1.0, weight * lexical + (1 - weight) * dense).astype(np.float32)
    return _Proposed(query=query, name=name, exact=exact, lexical=lexical, dense=dense, score=score)


def _of_mentions(proposed: _Proposed, keys: Sequence[Sequence[str]], queries: Sequence[str]) -> _Matches:
    """Each mention with everything that was proposed for one of its keys."""
    number = {query: i for i, query in enumerate(queries)}
    asked = [(mention, number[key], place) for mention, of_one in enumerate(keys) for place, key in enumerate(of_one)]
    mention, query, place = np.array(asked, np.int64).T
    bounds = np.searchsorted(proposed.query, np.arange(len(queries) + 1))
    sizes = bounds[query + 1] - bounds[query]
    at = np.concatenate([np.arange(bounds[i], bounds[i + 1]) for i in query])
    weight = np.where(place == 0, 1.0, _SHORT_FORM).astype(np.float32)
    return _Matches(mention=np.repeat(mention, sizes), proposed=at, score=proposed.score[at] * np.repeat(weight, sizes))


def _without_own(
    matches: _Matches, proposed: _Proposed, keys: Sequence[Sequence[str]], rows: Mapping[str, int]
) -> _Matches:
    """The matches whose name is none of the mention's own keys."""
    own = np.array([[rows[of_one[0]], rows[of_one[-1]]] if of_one else [-1, -1] for of_one in keys], np.int64)
    shown = (proposed.name[matches.proposed][:, None] != own[matches.mention]).all(axis=1)
    return _Matches(mention=matches.mention[shown], proposed=matches.proposed[shown], score=matches.score[shown])


def _best(index: Index, proposed: _Proposed, matches: _Matches, limit: int) -> tuple[_Matches, np.ndarray, np.ndarray]:
    """Of each mention the ``limit`` best concepts, each by its best name.

    The matches, mentions in order and best first; int64 (n,), their owners; bool (n,), whether any name of the
    concept is exact.
    """
    which, owner = index.table.owners(proposed.name[matches.proposed])
    mention, at = matches.mention[which], matches.proposed[which]
    score = matches.score[which] - _SCOPE_LOSS[index.table.owner_scope[owner]]
    concept = mention * index.table.n_concepts + index.table.owner_concept[owner]  # told apart between mentions
    order = np.lexsort((owner, -score, mention))
    order = order[np.sort(np.unique(concept[order], return_index=True)[1])]
    rank = np.arange(len(order)) - np.searchsorted(mention[order], mention[order])
    order = order[rank < limit]
    exact = np.isin(concept[order], np.unique(concept[proposed.exact[at]]))
    return _Matches(mention=mention[order], proposed=at[order], score=score[order]), owner[order], exact
