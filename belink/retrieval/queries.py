"""Mention → the texts that are looked up for it, and how much what they find counts.

A mention is looked up as it is written and in American spelling, which most names have; by its long form, where the
document spells it out; by names that the document sets beside it; and by what else vocabularies may call it (the acid
of a salt, a class, a formula), where that is a name. A Latin name with a genus that the document only names elsewhere
is a long form where it is a name. In an index of taxa a Latin name is also looked up by its short form ("E. coli") and
without what no taxonomy lists (a strain, an authority).
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from belink.records import Mention
from belink.retrieval.name_table import SCOPES
from belink.text.formulas import formula_names
from belink.text.genera import SHORT_FORM
from belink.text.normalise import normalise, unescape
from belink.text.short_forms import is_code
from belink.text.symbols import symbol_names
from belink.text.taxa import ShortForm, binomial, fallbacks, long_form, short_form, virus_acronym, virus_form
from belink.text.variants import bracket_variants, class_variants, kind_variants, name_variants, to_acid, to_american
from belink.waiting import go_on

if TYPE_CHECKING:
    from belink.retrieval.latin_names import LatinNames
    from belink.retrieval.name_table import NameTable

# Factors on the score of a name, by what it was found for.
_SHORT_FORM_WEIGHT = 0.9  # the long form says what is meant; its short form is the same for many concepts
_ACID_WEIGHT = 0.98
# 0.90, 0.93 and 0.96 give the same accuracy for names of classes: tests/benchmarks/EXPERIMENTS.md, no. 10.
_VARIANT_WEIGHT = 0.96  # a variant says a little less or more than the mention
_APPOSITION_WEIGHT = 0.9
# Nearness of a genus from which on a species was moved. Of renamings between two releases of NCBI Taxonomy, 96 % of
# such guesses or more are right: tests/benchmarks/EXPERIMENTS.md, no. 123.
_NEAR = 0.5


class Query(NamedTuple):
    """A text that is looked up for a mention."""

    text: str  # normalised
    weight: float = 1.0  # factor on the scores of the names that it finds, 0 to 1
    is_own: bool = True  # the mention itself or its long form, however it is spelled
    is_short_form: bool = False  # an abbreviation that the document spells out
    is_apposition: bool = False  # a name that the document sets beside the mention
    is_variant: bool = False  # looked up only where it is a name
    names_only: bool = False  # finds only the name that equals it: what resembles it says nothing
    latin: ShortForm | None = None  # a Latin name that is not written out: finds the names that it may stand for
    moved: tuple[str, str] | None = None  # genus and epithet of a species that may have another genus now


def queries_of(mention: Mention, *, latin: bool = False) -> list[Query]:
    """Return the queries of a mention without repetition: its long form first, where it has one, then its text.

    :param latin: look it up as a Latin name, too.
    """
    go_on()
    # ``setdefault`` keeps the first query of a text: the mention itself goes before appositions and variants.
    queries: dict[str, Query] = {}
    long_form, text = normalise(unescape(mention.long_form)), normalise(unescape(mention.text))
    for key, is_short in ((long_form, False), (text, bool(long_form))):
        weight = _SHORT_FORM_WEIGHT if is_short else 1.0
        # Names that resemble a code ("SM-5887") mean something else; but where there is nothing better to look up,
        # resemblance is all there is.
        is_lone_code = not long_form and is_code(mention.text) and not all(map(is_code, mention.appositions))
        names_only = is_short or is_lone_code
        for spelled in (key, in_american := to_american(key)):
            queries.setdefault(spelled, Query(spelled, weight, is_short_form=is_short, names_only=names_only))
        of_acid = to_acid(in_american)
        queries.setdefault(
            of_acid,
            Query(of_acid, _ACID_WEIGHT * weight, is_short_form=is_short, is_variant=True, names_only=True),
        )
    for query in _latin_queries(mention) if latin else ():
        queries.setdefault(query.text, query)
    for other in mention.appositions:
        for spelled in (key := normalise(other), to_american(key)):
            query = Query(spelled, _APPOSITION_WEIGHT, is_own=False, is_apposition=True, names_only=is_code(other))
            queries.setdefault(spelled, query)
    for variant in _variants(mention, to_american(long_form or text), is_spelled_out=bool(long_form)):
        queries.setdefault(variant, Query(variant, _VARIANT_WEIGHT, is_own=False, is_variant=True, names_only=True))
    # A text of marks alone normalises to nothing.
    queries.pop("", None)
    return list(queries.values())


def _latin_queries(mention: Mention) -> Iterator[Query]:
    """Yield the queries of a Latin name: what its short form stands for, then what else the taxon may be called."""
    form = short_form(mention.text) or virus_form(mention.text)
    if form := form or (None if mention.long_form else virus_acronym(mention.text)):
        yield Query(_unlike_names(form), latin=form, names_only=True)
    written = mention.long_form or mention.text
    for other in (written, *fallbacks(written)):
        variant = Query(normalise(other), _VARIANT_WEIGHT, is_own=False, is_variant=True, names_only=True)
        if other != written:
            yield variant
        # Names of strains and subspecies are found without their words of rank, too.
        if form := short_form(other) if other != written else long_form(other):
            yield variant._replace(text=_unlike_names(form), latin=form)
    if names := binomial(written):
        text = f"{names[0]}. {names[1]}"
        yield Query(text, _VARIANT_WEIGHT, is_own=False, is_variant=True, names_only=True, moved=names)


def _unlike_names(form: ShortForm) -> str:
    """Return a text for ``form`` that no normalised name equals: "e coli" is a name of one taxon, "E. coli" of many."""
    return f"{form.letters}. {form.key.partition(' ')[2]}"


def _variants(mention: Mention, name: str, *, is_spelled_out: bool) -> tuple[str, ...]:
    """Return what else the mention may be called, the nearest first; formulas and symbols are read as written."""
    text = mention.text
    written = () if is_spelled_out else (*formula_names(text), *symbol_names(text), *bracket_variants(text))
    return (*map(normalise, written), *name_variants(name), *class_variants(name), *kind_variants(name))


def _with_names(queries: Sequence[Query], names: Container[str]) -> list[Query]:
    """Return the ``queries`` to look up: of variants only those that are names, and of the mention's the nearest.

    :param names: the texts of queries that are names, or short forms of some.
    """
    present = [query for query in queries if query.text in names or not query.is_variant]
    nearest = next((query for query in present if query.is_variant and not query.is_own), None)
    return [query for query in present if query.is_own or not query.is_variant or query is nearest]


def _with_genera(table: "NameTable", mentions: Sequence[Mention], *, latin: bool) -> list[Mention]:
    """Return ``mentions`` with the nearest of their composed names that is a name as long form.

    :param latin: the names are those of taxa. Among others only "C. difficile" counts as cut short, with its full stop,
        and no name does: "C syndrome" is a disease, and not Cushing syndrome where the text writes of Cushing.
    """
    composed = [mention for mention in mentions if mention.composed]
    written = {mention: normalise(mention.long_form or mention.text) for mention in composed}
    names = list(dict.fromkeys([normalise(n) for each in composed for n in each.composed] + list(written.values())))
    present = {name for name, row in zip(names, table.find(names).tolist(), strict=True) if row >= 0}

    def spell_out(mention: Mention) -> Mention:
        is_short = latin or (written[mention] not in present and SHORT_FORM.search(mention.long_form or mention.text))
        name = next((n for n in mention.composed if is_short and normalise(n) in present), mention.long_form)
        return replace(mention, long_form=name)

    return [spell_out(mention) if mention.composed else mention for mention in mentions]


def _without_needless_variants(queries: Sequence[Query], names: Container[str]) -> list[Query]:
    """Return the ``queries`` of a Latin name; those of the mention itself alone, where one is known.

    A listed strain is not looked up as its species, nor "Haemophilus" in American spelling.
    """
    known = [query for query in queries if query.is_own and query.text in names]
    # A long form that is listed says which taxon its short form stands for. A genus that was renamed is not listed.
    if any(query.is_short_form for query in queries) and queries[0].text in names:
        known = [query for query in known if query.latin is None]
    return [*known, *(query for query in queries if query.is_apposition)] if known else list(queries)


class QueryBatch:
    """The queries of several mentions as columns; each distinct text is searched once."""

    def __init__(
        self,
        table: "NameTable",
        mentions: Sequence[Mention],
        hidden_scopes: Sequence[str] = (),
        latin_names: "LatinNames | None" = None,
        *,
        settle: bool = True,
    ) -> None:
        """Collect the queries of ``mentions``.

        :param hidden_scopes: scopes in which a mention's own text does not count as a name.
        :param latin_names: those of an index of taxa; ``None`` for any other.
        :param settle: look for names that resemble a taxon's name only where the name is unknown: they are other taxa.
        """
        spelled_out = _with_genera(table, mentions, latin=latin_names is not None)
        queries = [queries_of(each, latin=latin_names is not None) for each in spelled_out]
        texts = list(dict.fromkeys(query.text for group in queries for query in group))
        rows = dict(zip(texts, table.find_spelled(texts).tolist(), strict=True))
        short = _names_of_short_forms(queries, latin_names)
        names = {text for text, row in rows.items() if row >= 0} | short.keys()
        moved: dict[str, tuple[np.ndarray, float]] = {}
        if latin_names is not None:
            queries = [_without_needless_variants(group, names) for group in queries]
            moved = _names_of_moved(queries, names, latin_names)
            short |= {text: rows for text, (rows, _) in moved.items()}
            names |= moved.keys()
        queries = [_with_names(group, names) for group in queries]
        is_settled = settle and latin_names is not None and not hidden_scopes

        def is_known(query: Query) -> bool:
            # A species that was moved far is a guess, so names that resemble the mention are looked for as well.
            is_near = query.moved is None or moved.get(query.text, (None, 0.0))[1] >= _NEAR
            return query.text in names and not query.is_apposition and is_near

        settled = [is_settled and any(map(is_known, group)) for group in queries]
        flat = [query for group in queries for query in group]
        self.texts = list(dict.fromkeys(query.text for query in flat))
        number = {text: i for i, text in enumerate(self.texts)}
        # (n_texts,): the row of the name that equals the text, -1 for none.
        self.rows = np.array([rows[text] for text in self.texts], np.int64)
        # (n_queries,), in the order of mentions: a query's mention and text, and its fields.
        self.mention = np.repeat(np.arange(len(queries)), [len(group) for group in queries])
        self.text = np.array([number[query.text] for query in flat], np.int64)
        self.weight = np.array([query.weight for query in flat], np.float32)
        self.is_own = np.array([query.is_own for query in flat], bool)
        self.is_short_form = np.array([query.is_short_form for query in flat], bool)
        self.is_apposition = np.array([query.is_apposition for query in flat], bool)
        self.names_only = np.array([query.names_only for query in flat], bool) | np.array(settled, bool)[self.mention]
        # Two int64 (n,): a text that is a short form of Latin names, ascending, and the row of a name that it may stand
        # for.
        pairs = sorted((number[text], row) for text, rows in short.items() if text in number for row in rows.tolist())
        self.short_form_text, self.short_form_row = np.array(pairs, np.int64).reshape(-1, 2).T
        # (n_texts,): of a species that was moved, how near the genus is that the text names; 0 for all others.
        self.nearness = np.array([moved[text][1] if text in moved else 0.0 for text in self.texts], np.float32)
        # (n_mentions,): the text of a mention's first query, which is its long form where it has one; -1 for none.
        self.first_text = np.array([number[group[0].text] if group else -1 for group in queries], np.int64)
        # (n_mentions,): whether the text is one word in lower case, and no scientific name.
        self.is_lower = np.array([each.text.isalpha() and each.text.islower() for each in mentions], bool)
        # (n_mentions,): whether the text is one word that does not begin with its only capital.
        self.is_no_genus = np.array([each.text.isalpha() and not each.text.istitle() for each in mentions], bool)
        # (n_mentions, width): the rows of names that equal the mention or what is set beside it, padded with -1.
        self.own_names = np.full((len(queries), max(map(len, queries), default=0)), -1, np.int64)
        for i, group in enumerate(queries):
            # A variant is another name, so what it finds is neither hidden nor counted as the mention's own.
            self.own_names[i, : len(group)] = [-1 if query.is_variant else rows[query.text] for query in group]
        self._hidden = np.array([SCOPES.index(scope) for scope in hidden_scopes], np.int8)

    @property
    def resembling(self) -> np.ndarray:
        """Return bool (n_texts,): whether names that resemble the text are looked for as well."""
        resembling = np.zeros(len(self.texts), bool)
        resembling[self.text[~self.names_only]] = True
        return resembling

    def is_own_name(self, mention: np.ndarray, name: np.ndarray) -> np.ndarray:
        """Return bool (n,): whether ``name`` (a row of the table) equals what ``mention`` is looked up by."""
        return np.asarray((name[:, None] == self.own_names[mention]).any(axis=1))

    def is_hidden(self, mention: np.ndarray, name: np.ndarray, scope: np.ndarray) -> np.ndarray:
        """Return bool (n,): whether an owner of ``name`` in ``scope`` is hidden from ``mention``."""
        if not len(self._hidden):
            return np.zeros(len(name), bool)
        return self.is_own_name(mention, name) & np.isin(scope, self._hidden)


def _names_of_short_forms(
    queries: Sequence[Sequence[Query]], latin_names: "LatinNames | None"
) -> dict[str, np.ndarray]:
    """Return text → int64 (n,), the rows of at least one name, of each query that is a short form of Latin names."""
    forms = {query.text: query.latin for group in queries for query in group if query.latin is not None}
    if latin_names is None or not forms:
        return {}
    return {text: rows for text, rows in zip(forms, latin_names.find(list(forms.values())), strict=True) if len(rows)}


def _names_of_moved(
    queries: Sequence[Sequence[Query]], names: Container[str], latin_names: "LatinNames"
) -> dict[str, tuple[np.ndarray, float]]:
    """Return text → the rows, at least one, and the nearness of names, of each query for a species that was moved.

    :param names: the texts of queries that are names; a mention that has one was not moved.
    """
    moved = {
        query.text: query.moved
        for group in queries
        if not any(each.text in names for each in group)
        for query in group
        if query.moved is not None
    }
    results = latin_names.find_moved(list(moved.values())) if moved else []
    return {text: (rows, nearness) for text, (rows, nearness) in zip(moved, results, strict=True) if len(rows)}
