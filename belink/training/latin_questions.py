"""Mentions of taxa made by rule, to calibrate and evaluate a linker whose concepts have mostly one name each.

Hiding that name, as ``questions`` does, would leave nothing to find. So mentions are what papers make of Latin names:
the name itself, its short form, a misspelling, a strain of the species, a common name, the species with a genus that it
may have had before; and names of no taxon. Each kind is a stratum of the evaluation. This measures forms of names, and
says nothing of what annotators annotate.

Taxa are drawn by prominence, scientific names uniformly. A stable hash decides, so that the next release gives mostly
the same mentions.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from belink.records import Mention
from belink.retrieval.name_table import hashes
from belink.text.normalise import normalise
from belink.text.taxa import short_form, short_key
from belink.training.holdout import uniform

if TYPE_CHECKING:
    import pyarrow as pa

SCIENTIFIC, SHORT, MISSPELT = "scientific names", "short forms", "misspelt names"
STRAINS, COMMON, MOVED, UNKNOWN = "strains", "common names", "moved species", "unknown names"
SHARES = {SCIENTIFIC: 0.2, SHORT: 0.35, MISSPELT: 0.1, STRAINS: 0.1, COMMON: 0.1, MOVED: 0.1, UNKNOWN: 0.05}
"""Kind of mention → its share. The text of papers has about so many of each; nobody has counted them."""

_BINOMIAL = r"^[A-Z][a-z]+ [a-z]{4,}$"
_GENUS = r"^[A-Z][a-z]+$"
# Shares of moved species and of unknown names whose genus is in no taxonomy: about as many of each, as nobody knows.
_LOST_GENERA, _MADE_UP_GENERA = 0.05, 0.1
_SPARE = 4  # taxa drawn for each mention needed: some give none
_COLLECTIONS = ("ATCC", "DSM", "NCTC", "JCM", "strain", "isolate")


class LatinMention(NamedTuple):
    """A mention made of a name."""

    mention: Mention  # ``gold`` or ``is_nil`` says what is right
    kind: str


def latin_mentions(names: "pa.Table", prominence: "pa.Table", n: int) -> list[LatinMention]:
    """Return at most ``n`` mentions made of ``names``, kind after kind.

    :param names: columns concept_id, text and scope, as ``Release.names`` gives them.
    :param prominence: columns id and prominence, as :func:`belink.ontology.prominence.measure_prominence` gives them.
    """
    drawing = _Drawing(names, prominence)
    made: list[LatinMention] = []
    for kind, share in SHARES.items():
        wanted, texts = round(share * n), set[str]()
        for mention in _MAKERS[kind](drawing, wanted * _SPARE):
            # A text that two draws share would be asked twice, with another answer each.
            if len(texts) < wanted and (key := normalise(mention.text)) not in texts:
                texts.add(key)
                made.append(LatinMention(mention, kind))
    return made


class _Drawing:
    """Names as columns, with the weight by which each is drawn."""

    def __init__(self, names: "pa.Table", prominence: "pa.Table") -> None:
        import pyarrow.compute as pc

        self._names = names
        at = pc.fill_null(pc.index_in(names["concept_id"], prominence["id"].combine_chunks()), -1)
        rows = np.asarray(at, np.int64)
        values = np.append(np.asarray(prominence["prominence"], np.float64), 0.0)  # a concept without a number has 0
        self._weight = np.exp(values[rows])
        self._is_label = np.asarray(pc.equal(names["scope"], "label"), bool)
        self._is_binomial = np.asarray(pc.match_substring_regex(names["text"], _BINOMIAL), bool)
        self._hash = np.concatenate(
            [hashes(names["concept_id"][start : start + _CHUNK].to_pylist()) for start in range(0, len(names), _CHUNK)]
            or [np.empty(0, np.uint64)]
        )
        self._lowered = pc.utf8_lower(names["text"])
        self._concept = rows  # int64 (n_names,): the row in ``prominence``, -1 for none
        self._parents = np.asarray(prominence["parent"], np.int64)

    def draw(self, kind: str, where: np.ndarray, n: int, *, weighted: bool = True) -> list[tuple[str, str]]:
        """Return (concept id, name) of ``n`` rows of those in ``where``, drawn without replacement."""
        rows = np.flatnonzero(where)
        # Each kind draws by numbers of its own: an odd factor turns one hash into another.
        factor = np.uint64(2 * int(uniform("latin", kind) * 2**62) + 1)
        random = ((self._hash[rows] * factor) >> np.uint64(11)).astype(np.float64) / 2**53
        # Efraimidis & Spirakis 2006: the largest u^(1/w) are a weighted sample without replacement.
        keys = np.log(np.maximum(random, 1e-300)) / (self._weight[rows] if weighted else 1.0)
        chosen = rows[np.argsort(-keys, kind="stable")[:n]]
        part = self._names.take(chosen)
        return list(zip(part["concept_id"].to_pylist(), part["text"].to_pylist(), strict=True))

    def binomials(self, kind: str, n: int) -> list[tuple[str, str]]:
        """Return taxa with their Latin names of two words, drawn by prominence."""
        return [pair for pair in self.draw(kind, self._is_label & self._is_binomial, n) if short_key(pair[1])]

    def labels(self, kind: str, n: int) -> list[tuple[str, str]]:
        """Return taxa with their scientific names, drawn uniformly."""
        return self.draw(kind, self._is_label, n, weighted=False)

    def common(self, kind: str, n: int) -> list[tuple[str, str]]:
        """Return taxa with a common name that no other taxon has, drawn by prominence."""
        import pyarrow as pa
        import pyarrow.compute as pc

        exact = np.asarray(pc.equal(self._names["scope"], "exact"), bool)
        drawn = [
            pair
            for pair in self.draw(kind, exact & ~self._is_binomial, n)
            if pair[1].isascii() and not short_form(pair[1])
        ]
        lowered = pa.array([text.lower() for _, text in drawn], pa.string())
        same = self._names.filter(pc.is_in(self._lowered, lowered.cast(self._lowered.type)))
        owners: dict[str, set[str]] = {}
        for concept, text in zip(same["concept_id"].to_pylist(), same["text"].to_pylist(), strict=True):
            owners.setdefault(text.lower(), set()).add(concept)
        return [pair for pair in drawn if len(owners[pair[1].lower()]) == 1]

    def former_genera(self, names: Sequence[str]) -> list[str]:
        """Return, for each Latin name of two words, a genus that its species may have been in; ``""`` for none.

        It is another one below the taxon that is above the species' own genus.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        species = np.flatnonzero(self._is_label & self._is_binomial & (self._concept >= 0))
        is_genus = np.zeros(len(self._parents) + 1, bool)
        is_genus[self._parents[self._concept[species]]] = True
        is_genus[-1] = False  # of species without a parent
        one_word = np.asarray(pc.match_substring_regex(self._names["text"], _GENUS), bool)
        rows = np.flatnonzero(self._is_label & one_word & is_genus[self._concept])
        above = self._parents[self._concept[rows]]
        rows, above = rows[np.argsort(above, kind="stable")], np.sort(above)
        genera = self._names["text"].take(pa.array(rows))
        at = pc.index_in(pa.array([name.partition(" ")[0] for name in names], genera.type), genera).to_pylist()
        return [
            "" if place is None or above[place] < 0 else self._another(genera, above, place, name)
            for name, place in zip(names, at, strict=True)
        ]

    @staticmethod
    def _another(genera: "pa.ChunkedArray", above: np.ndarray, place: int, name: str) -> str:
        """Return a genus below the taxon that the one at ``place`` is below, drawn by ``name``; ``""`` for none."""
        first, last = (int(np.searchsorted(above, above[place], side)) for side in ("left", "right"))
        other = first + int(uniform("former genus", name) * (last - first - 1))
        # The place of its own genus is left out.
        return str(genera[other + (other >= place)].as_py()) if last - first > 1 else ""

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return those of ``texts`` that are no name, whatever their case."""
        import pyarrow as pa
        import pyarrow.compute as pc

        lowered = pa.array([text.lower() for text in texts], pa.string()).cast(self._lowered.type)
        known = set(self._lowered.filter(pc.is_in(self._lowered, lowered)).to_pylist())
        return [text for text in texts if text.lower() not in known]


_CHUNK = 100_000  # ids hashed at a time


def _scientific(drawing: _Drawing, n: int) -> Iterator[Mention]:
    return (_mention(text, concept) for concept, text in drawing.labels(SCIENTIFIC, n))


def _short_forms(drawing: _Drawing, n: int) -> Iterator[Mention]:
    for concept, name in drawing.binomials(SHORT, n):
        text = f"{name[0]}. {name.partition(' ')[2]}"
        if short_form(text):
            yield _mention(text, concept)


def _misspelt(drawing: _Drawing, n: int) -> Iterator[Mention]:
    drawn = drawing.binomials(MISSPELT, n)
    pairs = {_misspell(name): concept for concept, name in drawn}
    # "Bacillus cerues" must not be another taxon.
    return (_mention(text, pairs[text]) for text in drawing.missing(list(pairs)))


def _misspell(name: str) -> str:
    """Return ``name`` with two letters of its epithet swapped, or one dropped or doubled."""
    genus, _, epithet = name.partition(" ")
    at = 1 + int(uniform("letter", name) * (len(epithet) - 2))
    before, letter, after = epithet[:at], epithet[at], epithet[at + 1 :]
    kind = int(uniform("slip", name) * 3)
    # Swapped equal letters would change nothing.
    if kind == 0 and letter != after[0]:
        return f"{genus} {before}{after[0]}{letter}{after[1:]}"
    return f"{genus} {before}{after}" if kind == 1 else f"{genus} {before}{letter}{letter}{after}"


def _strains(drawing: _Drawing, n: int) -> Iterator[Mention]:
    drawn = drawing.binomials(STRAINS, n)
    pairs = {}
    for concept, name in drawn:
        collection = _COLLECTIONS[int(uniform("collection", name) * len(_COLLECTIONS))]
        pairs[f"{name} {collection} {10_000 + int(uniform('number', name) * 90_000)}"] = concept
    return (_mention(text, pairs[text]) for text in drawing.missing(list(pairs)))


def _common_names(drawing: _Drawing, n: int) -> Iterator[Mention]:
    for concept, name in drawing.common(COMMON, n):
        # Half of them in the plural, where an s makes it.
        is_plural = re.search(r"[a-rt-xz]$", name) and uniform("plural", name) < 0.5
        yield _mention(f"{name}s" if is_plural else name, concept)


def _moved(drawing: _Drawing, n: int) -> Iterator[Mention]:
    drawn = drawing.binomials(MOVED, 2 * n)
    former = drawing.former_genera([name for _, name in drawn])
    pairs = {}
    for (concept, name), genus, (_, other) in zip(drawn, former, [*drawn[1:], *drawn[:1]], strict=True):
        # A taxonomy need not list the former genus either.
        genus = _blend(name, other) if uniform("genus", name) < _LOST_GENERA else genus
        if genus:
            pairs[f"{genus} {name.partition(' ')[2]}"] = concept
    return (_mention(text, pairs[text]) for text in drawing.missing(list(pairs)))


def _blend(name: str, other: str) -> str:
    """Return a genus that is none: it begins like that of ``name`` and ends like that of ``other``."""
    genus, ending = name.partition(" ")[0], other.partition(" ")[0]
    return genus[: len(genus) // 2 + 1] + ending[len(ending) // 2 :]


def _unknown(drawing: _Drawing, n: int) -> Iterator[Mention]:
    drawn = [name for _, name in drawing.binomials(UNKNOWN, 2 * n)]
    made = []
    for name, other in zip(drawn[::2], drawn[1::2], strict=False):
        # The genus of one taxon with the epithet of the next, which is a name of neither, or a genus that is none.
        genus = _blend(name, other) if uniform("genus", name) < _MADE_UP_GENERA else name.partition(" ")[0]
        made.append(f"{genus} {other.partition(' ')[2]}")
    return (_mention(text, None) for text in drawing.missing(made))


_MAKERS: dict[str, Callable[[_Drawing, int], Iterator[Mention]]] = {
    SCIENTIFIC: _scientific,
    SHORT: _short_forms,
    MISSPELT: _misspelt,
    STRAINS: _strains,
    COMMON: _common_names,
    MOVED: _moved,
    UNKNOWN: _unknown,
}


def _mention(text: str, concept: str | None) -> Mention:
    return Mention(text=text, end=len(text), gold=(concept,) if concept else (), is_nil=concept is None)
