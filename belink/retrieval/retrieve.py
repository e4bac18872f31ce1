"""Mentions → candidate concepts, best first. Read this module first.

    propose    names that equal a mention's queries, or resemble them by trigrams or by dense vectors
    score      every proposed name by both cosines, whichever source proposed it, so that scores compare
    rank       names grouped by mention and concept; a concept scores as its best name
    describe   what all names of each concept say (``evidence``)

An exact name has both cosines at 1, so no other name of the same query ranks above it.

Precedents are mentions annotated in training text; they propose concepts as names do, because authors write more like
each other than like ontologies. On held-out mentions that occur nowhere in training they lift recall@1 from 70.9 to
75.0 % (NCBI-Disease) and from 72.6 to 76.8 % (BC5CDR disease).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from belink import progress
from belink.declarations import RetrievalConfig
from belink.records import Candidate, Evidence, Mention
from belink.retrieval import evidence
from belink.retrieval.groups import Groups, expand
from belink.retrieval.index import Index, TextEncoder
from belink.retrieval.name_table import MENTION, SCOPES
from belink.retrieval.queries import QueryBatch
from belink.text.variants import is_misspelling

if TYPE_CHECKING:
    import scipy.sparse as sp

Record = TypeVar("Record", Candidate, Evidence)
_BATCH = 1_024  # mentions whose names are scored at a time; bounds the memory
# What separates equal names of several concepts: the label comes before a synonym, a loose synonym last.
_SCOPE_PENALTY = np.array([0.0, 0.001, 0.002, 0.002, 0.002, 0.001, 0.0], np.float32)  # as SCOPES
# Of a scientific name that papers use for another concept; as much as a loose synonym's.
_SECOND_PENALTY = np.float32(0.002)
# Trigram cosine of a long form and a name of the concept, from which on its short form may stand for the concept.
_MIN_AGREEMENT = 0.3
# Of a name that a Latin short form may stand for: below an exact name, above names that resemble it.
_LATIN_SHORT_FORM_SCORE = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class _ScoredNames:
    """Proposed names with their scores, one row a text and name, in the order of texts."""

    text: np.ndarray  # int64 (n,)
    row: np.ndarray  # int64 (n,), of the name table
    exact: np.ndarray  # bool (n,)
    is_short_form: np.ndarray  # bool (n,), the text is a short form of the Latin name
    lexical: np.ndarray  # float32 (n,), trigram cosine
    dense: np.ndarray  # float32 (n,), encoder cosine
    score: np.ndarray  # float32 (n,), fused


@dataclass(frozen=True, kw_only=True, slots=True)
class _RankedConcepts:
    """Concepts of mentions, one row a mention and concept, mention after mention and best first."""

    mention: np.ndarray  # int64 (n,)
    name: np.ndarray  # int64 (n,), the scored name that matched best
    owner: np.ndarray  # int64 (n,), owner row of that name
    score: np.ndarray  # float32 (n,)
    exact: np.ndarray  # bool (n,), the mention itself is a name of the concept in its ontology
    apposition_score: np.ndarray  # float32 (n,), best score by what the document sets beside the mention


def retrieve(
    index: Index,
    encoder: TextEncoder,
    mentions: Sequence[Mention],
    config: RetrievalConfig,
    *,
    hide_own_name: bool = False,
    hide_precedent: bool = False,
    settle: bool = True,
    candidates: int | None = None,
) -> list[list[Candidate]]:
    """Return the candidates of each mention, best first: distinct live concepts, none where nothing of it is left.

    :param hide_own_name: act as if the index did not hold the mention's text (or long form) as a name: what training
        on an ontology's own names, and evaluation on them, needs.
    :param hide_precedent: act as if nobody had annotated the mention's text (or long form): what training on annotated
        mentions needs, which are precedents themselves.
    :param settle: offer no names that resemble the known name of a taxon.
    :param candidates: at most so many a mention; ``None`` takes ``config.candidates``.
    :raises IndexMismatch: the index was made by another encoder.
    """
    index.check(encoder)
    if not index.dimension:
        config = config.model_copy(update={"dense": 0})
    limit = config.candidates if candidates is None else candidates
    hidden_scopes = SCOPES if hide_own_name else SCOPES[MENTION:] if hide_precedent else ()
    results: list[list[Candidate]] = []
    batches = [mentions[start : start + _BATCH] for start in range(0, len(mentions), _BATCH)]
    for part in progress.track(batches, what="finding candidates", total=len(mentions), unit="mentions", size=len):
        batch = QueryBatch(index.table, part, hidden_scopes, index.latin_names, settle=settle)
        results += _retrieve_batch(index, encoder, batch, config, limit)
    return results


def _retrieve_batch(
    index: Index, encoder: TextEncoder, batch: QueryBatch, config: RetrievalConfig, limit: int
) -> list[list[Candidate]]:
    if not batch.texts or not index.table.n_names:
        return [[] for _ in batch.first_text]
    vectors = _QueryVectors(index, encoder, batch)
    text, row = _propose(index, vectors, batch, config)
    names = _score(index, vectors, batch, config, text, row)
    concepts = _rank(index, vectors, batch, names, limit)
    described = _describe_forms(index, batch, names, concepts) | evidence.describe(
        index,
        batch,
        vectors.dense if config.dense else None,
        concepts.mention,
        names.text[concepts.name],
        index.table.owner_concept[concepts.owner].astype(np.int64),
    )
    return _candidates(index, names, concepts, described, n_mentions=len(batch.first_text))


def _describe_forms(
    index: Index, batch: QueryBatch, names: _ScoredNames, concepts: _RankedConcepts
) -> dict[str, np.ndarray]:
    """Return the fields of :class:`belink.records.Evidence` that say what the mention makes of a taxon's name."""
    if index.latin_names is None:
        return {}
    text, row = names.text[concepts.name], names.row[concepts.name]
    is_known = names.exact[concepts.name] | names.is_short_form[concepts.name]
    unknown = np.flatnonzero(~is_known)
    misspelt = np.zeros(len(row), bool)
    pairs = zip(text[unknown].tolist(), index.table.names(row[unknown]), strict=True)
    misspelt[unknown] = [is_misspelling(batch.texts[number], name) for number, name in pairs]
    # However misspelt, a genus has one capital: rhodopsin is no Rhodopsis, and HeLa no Chela.
    misspelt &= ~index.latin_names.is_scientific(concepts.owner, batch.is_no_genus[concepts.mention])
    is_short_form = names.is_short_form[concepts.name]
    nearness = np.where(is_short_form, batch.nearness[text], np.float32(0))
    return {"is_short_form": is_short_form & (nearness == 0), "is_misspelling": misspelt, "nearness": nearness}


class _QueryVectors:
    """The vectors of a batch's texts, made when they are first needed. Those of texts that are names are stored."""

    def __init__(self, index: Index, encoder: TextEncoder, batch: QueryBatch) -> None:
        self._index, self._encoder, self._batch = index, encoder, batch

    @cached_property
    def trigrams(self) -> "sp.csr_matrix":
        """Return float32 (n_texts, n_buckets), sparse unit rows."""
        texts, rows = self._batch.texts, self._batch.rows.copy()
        # A row may hold the same letters with other blanks, which have other trigrams.
        is_name = np.flatnonzero(rows >= 0)
        names = self._index.table.names(rows[is_name])
        rows[[i for i, name in zip(is_name.tolist(), names, strict=True) if name != texts[i]]] = -1
        return self._index.trigrams.vectors(texts, rows)

    @cached_property
    def dense(self) -> np.ndarray:
        """Return float32 (n_texts, dimension), unit rows."""
        rows = self._batch.rows
        # Rows of -1 get the first vector for a moment, and their own one below.
        dense = self._index.vectors.of(np.maximum(rows, 0))
        new = np.flatnonzero(rows < 0).tolist()
        if new:
            dense[new] = self._encoder.encode([self._batch.texts[i] for i in new])
        return dense


def _propose(
    index: Index, vectors: _QueryVectors, batch: QueryBatch, config: RetrievalConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return the proposed names as two int64 (n,): a text of the batch, ascending, and the row of a name for it."""
    is_name = np.flatnonzero(batch.rows >= 0)
    pairs = [(is_name, batch.rows[is_name]), (batch.short_form_text, batch.short_form_row)]
    resembling = np.flatnonzero(batch.resembling)
    if config.lexical and len(resembling):
        lists = index.trigrams.search(vectors.trigrams[resembling], config.lexical)
        pairs.append((np.repeat(resembling, [len(rows) for rows in lists]), np.concatenate(lists)))
    if config.dense and len(resembling):
        rows, _ = index.vectors.search(vectors.dense[resembling], config.dense)
        query, rank = np.nonzero(rows >= 0)  # FAISS fills a list that is too short with -1
        pairs.append((resembling[query], rows[query, rank]))
    n_names = index.table.n_names
    # Several sources propose the same name. One number a pair makes them unique, and sorted by text, in one step.
    numbered = np.unique(np.concatenate([text * n_names + row.astype(np.int64) for text, row in pairs]))
    text, row = np.divmod(numbered, n_names)
    return text, row


def _score(
    index: Index,
    vectors: _QueryVectors,
    batch: QueryBatch,
    config: RetrievalConfig,
    text: np.ndarray,
    row: np.ndarray,
) -> _ScoredNames:
    """Score every proposed name by both cosines; one that is switched off counts 0."""
    exact = row == batch.rows[text]
    n_names = index.table.n_names
    is_short_form = np.isin(text * n_names + row, batch.short_form_text * n_names + batch.short_form_row)
    lexical = dense = np.zeros(len(row), np.float32)
    if config.lexical:
        lexical = index.trigrams.cosines(vectors.trigrams, text, row)
        lexical[exact] = 1.0
    if config.dense:
        dense = index.vectors.cosines(vectors.dense, text, row)
        dense[exact] = 1.0  # as stored, in float16, it is almost that
    # With one source switched off, the other one counts in full.
    weight = config.lexical_weight if config.lexical and config.dense else float(bool(config.lexical))
    score = np.where(exact, 1.0, weight * lexical + (1 - weight) * dense).astype(np.float32)
    score[is_short_form] = _LATIN_SHORT_FORM_SCORE
    return _ScoredNames(
        text=text, row=row, exact=exact, is_short_form=is_short_form, lexical=lexical, dense=dense, score=score
    )


def _rank(index: Index, vectors: _QueryVectors, batch: QueryBatch, names: _ScoredNames, limit: int) -> _RankedConcepts:
    """Group the names by mention and concept and keep the ``limit`` best concepts of each mention."""
    table = index.table
    query, name, owner = _matches(index, vectors, batch, names)
    mention, scope = batch.mention[query], table.owner_scope[owner]
    score = names.score[name] * batch.weight[query] - _SCOPE_PENALTY[scope]
    if index.latin_names is not None:
        score -= _SECOND_PENALTY * index.latin_names.is_second(owner, batch.is_lower[mention])
    # Among equal scores the concept annotated more often comes first, then the more prominent taxon, then the order of
    # the table, so results repeat.
    prominence = () if index.latin_names is None else (-index.latin_names.prominence[table.owner_concept[owner]],)
    keys = (-score, -table.owner_times[owner], *prominence, owner)
    pairs = Groups.by_pair(mention, table.owner_concept[owner].astype(np.int64))
    best = pairs.head(1, *keys)
    # A precedent is no name of the ontology, and what is only set beside the mention is not the mention's own text.
    # What people have said in corrections counts as a name: else an exact match could never be corrected.
    exact = pairs.any(names.exact[name] & (scope != MENTION) & batch.is_own[query])
    apposition_score = pairs.max(score, batch.is_apposition[query])
    of_mentions = Groups(mention[best], len(batch.first_text))
    ranked = of_mentions.head(limit, *(key[best] for key in keys))
    row = best[ranked]
    return _RankedConcepts(
        mention=mention[row],
        name=name[row],
        owner=owner[row],
        score=score[row],
        exact=exact[ranked],
        apposition_score=apposition_score[ranked],
    )


def _matches(
    index: Index, vectors: _QueryVectors, batch: QueryBatch, names: _ScoredNames
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return three int64 (n,): a query, a scored name of its text, and a concept's ownership of that name."""
    bounds = np.searchsorted(names.text, np.arange(len(batch.texts) + 1))
    query, name = expand(bounds, batch.text)
    # Where only a name itself counts, what resembles it is dropped here: another mention may have searched the same
    # text.
    kept = ~batch.names_only[query] | names.exact[name] | names.is_short_form[name]
    query, name = query[kept], name[kept]
    table = index.table
    position, owner = table.owners(names.row[name])
    query, name = query[position], name[position]
    kept = ~batch.is_hidden(batch.mention[query], names.row[name], table.owner_scope[owner])
    query, name, owner = query[kept], name[kept], owner[kept]
    kept = ~batch.is_short_form[query]
    short = np.flatnonzero(~kept)
    long_form = batch.first_text[batch.mention[query[short]]]
    kept[short] = _agrees(index, vectors, table.owner_concept[owner[short]], long_form)
    return query[kept], name[kept], owner[kept]


def _agrees(index: Index, vectors: _QueryVectors, concept: np.ndarray, long_form: np.ndarray) -> np.ndarray:
    """Return bool (n,): whether a name of the concept is like the long form, a text of the batch.

    "RS" is a name of retinoschisis, but not where the text says "rabbit syndrome (RS)".
    """
    if not len(concept):
        return np.zeros(0, bool)
    position, owner = index.table.of_concepts(concept.astype(np.int64))
    cosine = index.trigrams.cosines(vectors.trigrams, long_form[position], index.table.owner_names(owner))
    return Groups(position, len(concept)).max(cosine) >= _MIN_AGREEMENT


def _candidates(
    index: Index,
    names: _ScoredNames,
    concepts: _RankedConcepts,
    described: dict[str, np.ndarray],
    *,
    n_mentions: int,
) -> list[list[Candidate]]:
    """Return the ranked concepts as records, a list for each mention."""
    table, row = index.table, concepts.name
    described = {"apposition_score": concepts.apposition_score, **described}
    fields: dict[str, list[Any]] = {
        **table.concepts(table.owner_concept[concepts.owner].astype(np.int64)),
        "name": table.owner_texts(concepts.owner),
        "scope": [SCOPES[scope] for scope in table.owner_scope[concepts.owner].tolist()],
        "exact": concepts.exact.tolist(),
        "lexical": names.lexical[row].tolist(),
        "dense": names.dense[row].tolist(),
        "score": concepts.score.tolist(),
        "evidence": _records(Evidence, {name: values.tolist() for name, values in described.items()}),
    }
    results: list[list[Candidate]] = [[] for _ in range(n_mentions)]
    for mention, candidate in zip(concepts.mention.tolist(), _records(Candidate, fields), strict=True):
        results[mention].append(candidate)
    return results


def _records(kind: type[Record], fields: dict[str, list[Any]]) -> list[Record]:
    """Return one record for each row of the columns ``fields``."""
    return [kind(**dict(zip(fields, values, strict=True))) for values in zip(*fields.values(), strict=True)]
