"""Raw text → mentions of taxa, by the names of an index of taxa (``names = "latin"``).

An automaton of 2.7 million names takes 40 s and 1.9 GiB to build, so here each sequence of words of the text is looked
up in the index's table of names, which is mapped from disk: nothing to build, 7 ms an abstract, 0.2 GiB in all.

Most errors would be genera that are also plain words: Cancer, Data, Paris. By rule:

- A Latin name of two words or more counts where its genus is capitalised; its short form ("R. prolixus") where it may
  stand for a name of the index.
- A known genus with the epithet of a species of another genus near it counts: the species was moved.
- Serovars of Salmonella, subspecies with any word of rank, and phages count where they may stand for a name.
- A genus or another scientific name of one word counts where it is capitalised within a sentence in lower case, or
  stands beside "sp.", "genus" and the like, or ends like an order or a family, or where the text has a species of it;
  words of English, places and given names only in the latter cases.
- An acronym counts as it is written, and what an abbreviation stands for where the text defines it.
- An everyday word counts where the ontology's declaration adds it as a name ("mice", "patients"), but not in
  "yeast-like" or "Rice University".

On 800 training abstracts of BC5CDR and NCBI-Disease and 30 full texts of NLM-Chem, which have no species annotated,
1,875 mentions are found. Of 100 drawn at random one is wrong ("rabbit syndrome"), of the 126 different ones one
("herbal medicine").
"""

import bisect
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from belink.linker.finding import APART, Lines, Span, find_mentions, fold, short_form_spans, uncovered
from belink.linker.name_finder import NOTHING_LEARNED, Lexicon, NameFinder
from belink.linker.token_classifier import CombinedFinder, MentionFinder
from belink.ontology import added_names
from belink.ontology.release import open_release
from belink.records import Mention
from belink.text.abbreviations import Definitions
from belink.text.genera import BINOMIAL, SHORT_FORM, THREE_PARTS
from belink.text.normalise import normalise
from belink.text.taxa import ShortForm, binomial, genus_of_plural, short_form, short_key
from belink.text.variants import to_singular
from belink.text.words import Word, find_words
from belink.text.written_taxa import find_written
from belink.waiting import go_on

if TYPE_CHECKING:
    from belink.retrieval.index import Index

_MAX_WORDS = 7  # of a name; the longer ones are isolates of viruses
_MIN_LETTERS = 3  # of a name of one word: "Yi" and "Ia" are genera, too
_MIN_GENUS = 5  # letters of a genus without a word beside it that says so
_MAX_TAIL = 5  # words of a strain or a serovar after a short form
_TAIL = re.compile(r"(?:[ \u00a0][^\s,;]+)+")
_CAPITALS = re.compile(r"(?<![\w.-])[A-Z]\.\s?[A-Z]{3,40}(?![\w-])")
_NO_TAXON = re.compile(r"-(?:like|years?|months?|days?|hours?|made)\b")  # after an everyday word
_OPEN = frozenset("sp spp ssp species genus genera strain strains isolates".split())  # beside a genus
# Genera that are more often a word of English, a place or somebody's name where they are capitalised.
_PLAIN = frozenset(
    "acacia alexa alexandra alicia ammonia anemia anemone anna areas arena argentina argon arizona asthma athletes "
    "atlanta atlas axis bacterium barbara beta binary boa brenda bulgaria california camera cancer cannula castilla "
    "chaos china circus codon collection colon cornea corona cylinder dario data delta dialysis digitalis discus doris "
    "electra electron emilia emma erica eugenia euphoria fiona galea glaucoma glia glycine greta helix herpes "
    "hippocampus hybrid hydra idea indicator indigo insula ion iris isabella jasmine java jessica joanna julia laser "
    "lamina lanka lens linda lucia lucania luria lydia major mania marcia marina marmara martin matilda mares melinda "
    "melissa meniscus meta mitra montana myra nautilus nebula nemesis nestor nevada olympus onyx padilla pan panama "
    "panca panacea paris patella patricia penelope phoebe phoenix plasmids priscilla prion purpura python quintana "
    "rebecca regina regulus rita roche roger rosa rose sander santiago schema scleroderma sepsis sonia stella stenosis "
    "sylvia syncope terminator tetra thalia theria theta this thrombus thymus tibia trachea transformation tripos "
    "tulsa turkey unidentified valencia valeria vanessa vectors venus vertigo victoria virginia virus zeta zona".split()
)
# Endings that the codes of nomenclature give to orders and families; no other words have them with a capital.
_HIGHER_TAXA = ("idae", "aceae", "virales", "viricetes", "ptera", "mycota", "mycotina", "mycetes", "phyta", "phyceae")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\n•*\"“(\[]|\d\))\s*$")


def build_finder(index: "Index", releases: Sequence[Path], lexicon: Lexicon = NOTHING_LEARNED) -> MentionFinder:
    """Return the finder of the names of ``index``: by its table where they are those of taxa, else by an automaton.

    :param releases: the folders of the releases that the index was built of.
    """
    if index.latin_names is None:
        return NameFinder.build(index.names(), lexicon)
    everyday: set[str] = set()
    for folder in releases:
        with open_release(folder) as release:
            everyday.update(map(normalise, added_names.read(release)))
    finder = LatinFinder(index, frozenset(everyday), lexicon)
    return CombinedFinder([finder, NameFinder.build((), lexicon)]) if lexicon.extra else finder


class _Name(NamedTuple):
    """A name in the index, as its source writes it."""

    text: str
    is_label: bool


class LatinFinder:
    """Finds the names of an index of taxa. It never changes, so threads may share it."""

    def __init__(self, index: "Index", everyday: Container[str] = (), lexicon: Lexicon = NOTHING_LEARNED) -> None:
        """Find the names of ``index``.

        :param everyday: normalised names that count although they are plain words.
        :param lexicon: what annotated text says about names.
        """
        self._table, self._latin = index.table, index.latin_names
        self._everyday = everyday
        self._counts = lexicon.counts
        self._stop = {fold(name) for name in lexicon.stop}

    def find(self, text: str, *, document: str = "", sentences: Sequence[Span] = ()) -> list[Mention]:
        """Return the mentions in ``text``, in order, none overlapping, each with its sentence and long form.

        :param sentences: spans; without any, sentences are split by rule.
        """
        return find_mentions(text, self._spans, self._counts, document, sentences)

    def _spans(self, text: str, starts: Sequence[int], definitions: Definitions) -> list[Span]:
        short = self._short_forms(text)
        # All long forms are looked up in the table at once.
        long_forms = {definitions.long_form(written, start) for start, _, written in definitions.occurrences(text)}
        defined, others = short_form_spans(text, definitions, self._denoting(sorted(long_forms)).__contains__)
        names = [span for span in self._names(text, starts) if span not in others]
        spans = short + uncovered(self._moved(text), short, len(text))
        spans += uncovered(names, spans, len(text))
        return sorted(spans + uncovered(defined, spans, len(text)))

    def _short_forms(self, text: str) -> list[Span]:
        """Return the spans of Latin short forms that may stand for a name of the index, the longest of each place.

        "P. falciparum-infected" is not of a name, so it is read without what follows the hyphen.
        """
        possible = [*find_written(text), *(form for match in _short_matches(text) for form in _readings(text, match))]
        if self._latin is None or not possible:
            return []
        rows = self._latin.find([form for _, _, form in possible])
        longest: dict[int, int] = {}
        for (start, end, _), found in zip(possible, rows, strict=True):
            if len(found):
                longest.setdefault(start, end)
        return list(longest.items())

    def _moved(self, text: str) -> list[Span]:
        """Return the spans of species that were moved: a known genus with the epithet of a species near it.

        A genus that is not known may be any capitalised word, and its epithet the word after it.
        """
        if self._latin is None:
            return []
        binomials = [(match.span(), names) for match in BINOMIAL.finditer(text) if (names := binomial(match[0]))]
        genera, species = (self._table.find([" ".join(names[:n]) for _, names in binomials]).tolist() for n in (1, 2))
        places = {
            span: names
            for (span, names), genus, row in zip(binomials, genera, species, strict=True)
            if genus >= 0 and row < 0
        }
        results = self._latin.find_moved(list(places.values()))
        return [span for span, (rows, _) in zip(places, results, strict=True) if len(rows)]

    def _denoting(self, long_forms: Sequence[str]) -> set[str]:
        """Return those of ``long_forms`` that are names, or end in one of two words or more.

        A long form of one word must be an everyday name: "glycine (Gly)" is no soybean.
        """
        endings = []
        for long_form in long_forms:
            words = normalise(long_form).split(" ")[-_MAX_WORDS:]
            endings += [(long_form, " ".join(words[at:])) for at in range(len(words)) if at == 0 or at < len(words) - 1]
        rows = self._table.find([ending for _, ending in endings])
        return {
            long_form
            for (long_form, ending), row in zip(endings, rows.tolist(), strict=True)
            if row >= 0 and (" " in ending or self._is_everyday(ending))
        }

    def _names(self, text: str, starts: Sequence[int]) -> list[Span]:
        """Return the spans of names of the index, the longest from the left."""
        words = find_words(text, lambda word: False)
        rows = self._look_up(text, words, starts)
        names = self._as_written({row for row in rows.values() if row >= 0})
        context = _Context(text, words, starts)
        binomials = {
            words[first][0]
            for (first, last), row in rows.items()
            if last > first + 1 and self._is_latin(names[row]) and text[words[first][1]].isupper()
        }
        spans: list[Span] = []
        first = 0
        while first < len(words):
            last = next(
                (
                    last
                    for last in range(min(len(words), first + _MAX_WORDS), first, -1)
                    if (row := rows.get((first, last), -1)) >= 0
                    and self._is_name(names[row], context, first, last, binomials)
                ),
                0,
            )
            if last:
                spans.append((words[first][1], words[last - 1][2]))
            first = last or first + 1
        return spans

    def _look_up(self, text: str, words: Sequence[Word], starts: Sequence[int]) -> dict[tuple[int, int], int]:
        """Return (first word, word after the last) → the row of the name that these words are."""
        queries = list(_sequences(text, words, starts))
        rows = self._table.find([query for _, query in queries])
        found: dict[tuple[int, int], int] = {}
        for (place, query), row in zip(queries, rows.tolist(), strict=True):
            if row >= 0 and place not in found and fold(query) not in self._stop:
                found[place] = row
        return found

    def _as_written(self, rows: set[int]) -> dict[int, list[_Name]]:
        """Return the names of ``rows`` of the table as their sources write them."""
        in_order = sorted(rows)
        at, owners = self._table.owners(np.array(in_order, np.int64))
        names: dict[int, list[_Name]] = {row: [] for row in in_order}
        scopes = self._table.owner_scope[owners].tolist()
        for position, scope, written in zip(at.tolist(), scopes, self._table.owner_texts(owners), strict=True):
            names[in_order[position]].append(_Name(written, scope == 0))
        return names

    def _is_latin(self, names: Sequence[_Name]) -> bool:
        return any(name.is_label and name.text[:1].isupper() and short_key(name.text) for name in names)

    def _is_name(
        self, names: Sequence[_Name], context: "_Context", first: int, last: int, binomials: Container[str]
    ) -> bool:
        """Whether the words from ``first`` to ``last`` are a name rather than plain words of the same letters."""
        written = context.written(first, last)
        word = context.words[first][0]
        if last > first + 1:
            return written[:1].isupper() or not self._is_latin(names) or any(n.text[:1].islower() for n in names)
        if len(word) < _MIN_LETTERS:
            return False
        if any(sum(map(str.isupper, n.text)) > 1 and written in (n.text, f"{n.text}s") for n in names):
            return context.lines.mark_acronyms(written, context.words[first][1])
        if self._is_everyday(word):
            if context.is_no_taxon(first):
                return False
            return not written.isupper() or not context.lines.mark_acronyms(written, context.words[first][1])
        if genus_of_plural(word) and self._latin is not None:
            return any(n.text.istitle() for n in names)
        is_genus = written.istitle() and any(n.text.istitle() for n in names)
        return is_genus and (word in binomials or word.endswith(_HIGHER_TAXA) or context.is_proper(first))

    def _is_everyday(self, word: str) -> bool:
        return word in self._everyday or _singular(word) in self._everyday


class _Context:
    """The words of a text with what stands around them."""

    def __init__(self, text: str, words: Sequence[Word], starts: Sequence[int]) -> None:
        self.text, self.words, self.lines = text, words, Lines(text)
        self._starts = starts
        self._sentence = [bisect.bisect_right(starts, start) for _, start, _ in words]
        self._capitals: Counter[int] = Counter()  # sentence → its longer words that are capitalised, minus the others
        for (word, start, _), sentence in zip(words, self._sentence, strict=True):
            if len(word) > 3:
                self._capitals[sentence] += 1 if text[start].isupper() else -1

    def written(self, first: int, last: int) -> str:
        return self.text[self.words[first][1] : self.words[last - 1][2]]

    def is_no_taxon(self, at: int) -> bool:
        """Whether the everyday word ``at`` is part of another word ("yeast-like") or of a name ("Rice University")."""
        _, start, end = self.words[at]
        if _NO_TAXON.match(self.text, end):
            return True
        if not self.text[start:end].istitle() or self._capitals[self._sentence[at]] > 1:
            return False
        after = self.words[at + 1] if at + 1 < len(self.words) else None
        return after is not None and self.text[end : after[1]].isspace() and self.text[after[1] : after[2]].istitle()

    def is_proper(self, at: int) -> bool:
        """Whether the capitalised word ``at`` is a Latin name by the words beside it."""
        word, start, end = self.words[at]
        before = self.words[at - 1] if at else None
        after = self.words[at + 1] if at + 1 < len(self.words) else None
        if before and before[0] in _OPEN and self.text[before[2] : start].isspace():
            return True
        if after and after[0] in _OPEN and self.text[end : after[1]].isspace():
            return True
        begins = _SENTENCE_START.search(self.text[max(0, start - 8) : start]) is not None or start in self._starts
        beside = [self.text[other[1]] for other in (before, after) if other is not None]
        return (
            len(word) >= _MIN_GENUS
            and word not in _PLAIN
            and not begins
            and not any(map(str.isupper, beside))
            and self._capitals[self._sentence[at]] <= 1  # a title or a heading has capitals beside this one
        )


def _sequences(text: str, words: Sequence[Word], starts: Sequence[int]) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield the words from each ``first`` to ``last``, as a name and with the last one in the singular.

    None runs across the end of a sentence, a bracket or a colon.
    """
    sentence = [bisect.bisect_right(starts, start) for _, start, _ in words]
    ends = [
        here != there or APART.search(text, before[2], after[1]) is not None
        for (before, after), (here, there) in zip(pairwise(words), pairwise(sentence), strict=True)
    ]
    for first in range(len(words)):
        go_on()
        name = ""
        for last in range(first, min(len(words), first + _MAX_WORDS)):
            if last > first and ends[last - 1]:
                break
            before = name
            name = f"{name} {words[last][0]}" if name else words[last][0]
            yield (first, last + 1), name
            if last == first and (genus := genus_of_plural(name)):
                yield (first, last + 1), genus
            if (singular := _singular(words[last][0])) != words[last][0]:
                yield (first, last + 1), f"{before} {singular}" if before else singular


def _short_matches(text: str) -> Iterator[re.Match[str]]:
    """Yield each place that is written like a Latin short form."""
    for pattern in (THREE_PARTS, SHORT_FORM, _CAPITALS):
        for match in pattern.finditer(text):
            go_on()
            yield match


def _readings(text: str, match: re.Match[str]) -> Iterator[tuple[int, int, ShortForm]]:
    """Yield the span and the form of ``match`` with the words of a strain after it, the longest first, and without."""
    longer: list[tuple[int, int, ShortForm]] = []
    form = short_form(match[0])
    if form and (tail := _TAIL.match(text, match.end(), match.end() + _MAX_TAIL * 20)):
        words = re.finditer(r"\S+", tail[0])
        for word in islice(words, _MAX_TAIL):
            end = match.end() + word.start() + len(word[0].rstrip(".:"))
            # Words of rank alone make no other name: "E. coli strain".
            if (other := short_form(text[match.start() : end])) and other.key != (
                longer[-1][2] if longer else form
            ).key:
                longer.append((match.start(), end, other))
    yield from reversed(longer)
    for start, end in _cut_at_hyphens(match):
        if cut := short_form(text[start:end]):
            yield start, end, cut


def _cut_at_hyphens(match: re.Match[str]) -> Iterator[Span]:
    """Yield the span of ``match``, then shorter ones that end before a hyphen."""
    end = match.end()
    while end > match.start():
        yield match.start(), end
        end = match.string.rfind("-", match.start(), end)


def _singular(word: str) -> str:
    return word[:-2] if word.endswith(("oes", "xes", "ches", "shes")) else to_singular(word)
