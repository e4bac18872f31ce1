"""Raw text → mentions: every occurrence of an ontology's name, found in one pass (Aho-Corasick).

Names and text are compared normalised, each word in the singular and in American spelling. The longest name from the
left wins, and none runs across the end of a sentence. Most errors of a dictionary are short names that are also plain
words ("was", "all"): they count only where the text writes them as acronyms. Abbreviations that the text defines count
if their long form is a name. A single generic word ("disease") is no mention. :func:`learn` takes from annotated text
which names mislead and which are missing.

Exact spans on BC5CDR disease (1,000 train and dev abstracts, 8,180 mentions) with CTD's names, by rule added:

==============================================  =========  ======  ====
rule                                            precision  recall   F1
==============================================  =========  ======  ====
normalised names                                     41.6    63.3  50.2
words in the singular, American spelling             41.8    64.7  50.8
short names only as acronyms                         75.2    64.6  69.5
abbreviations that the text defines                  79.4    68.1  73.3
names below four characters only where defined       81.8    68.1  74.3
no generic words, no acronyms in lines of capitals   83.8    68.1  75.1
==============================================  =========  ======  ====

On NCBI-Disease (5,714 mentions) the last two are 71.3 / 70.0 / 70.6 and 75.3 / 69.9 / 72.5. Before the last rule, what
:func:`learn` takes from four fifths of the documents gave 87.8 / 83.5 / 85.6 and 81.2 / 78.9 / 80.0 on the last fifth,
in turn.
"""

import bisect
import functools
import itertools
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from belink import progress
from belink.linker.finding import APART, Lines, Span, find_mentions, fold, fold_word, short_form_spans, uncovered
from belink.records import Document, Mention
from belink.text import abbreviations
from belink.text.abbreviations import Definitions
from belink.text.normalise import normalise
from belink.text.sentences import split
from belink.text.words import Word, as_read, breaks_words, find_words
from belink.waiting import go_on

VERSION = 4
"""Raise it with any change of what is found, and ``calibration.VERSION`` with it: lexicons and calibrations are made of
what is found in annotated text."""

_SHORTEST = 4  # characters of names that are looked for; below, only where the text itself defines them
_SHORT = 5  # letters up to which a one-word name may be a plain word
# Names of the root and of other classes, which say what kind of thing something is, not which one; folded.
_GENERIC = frozenset(
    "disease disorder syndrome illness condition sickness ailment chemical compound substance drug".split()
)
_HEAD_OF = 3  # longer names that must end in a short word before it counts in lower case ("pain", "coma")
_BREAK = "\n "  # put into the haystack where no name may run across
_MIN_OCCURRENCES = 3  # of a name in annotated text, from which on its precision counts
_MIN_PRECISION = 0.5  # of a name in annotated text, below which it is not looked for


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """What annotated text says about names; all of them are normalised."""

    extra: frozenset[str] = frozenset()  # names that no ontology lists
    stop: frozenset[str] = frozenset()  # names that are more often something else
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # folded name → occurrences, those annotated

    def to_dict(self) -> dict[str, Any]:
        """Return the lexicon as JSON writes it; :meth:`from_dict` reads it."""
        counts = {name: list(self.counts[name]) for name in sorted(self.counts)}
        return {"extra": sorted(self.extra), "stop": sorted(self.stop), "counts": counts}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Lexicon":
        """Return the lexicon that :meth:`to_dict` wrote; one from before names were counted has no counts."""
        counts = {name: (int(n), int(n_annotated)) for name, (n, n_annotated) in stored.get("counts", {}).items()}
        return cls(extra=frozenset(stored["extra"]), stop=frozenset(stored["stop"]), counts=counts)


NOTHING_LEARNED = Lexicon()
_NO_COUNTS: Mapping[str, tuple[int, int]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class PassedOver:
    """An occurrence of a name that is no mention."""

    text: str
    start: int
    end: int
    reason: str


class NameFinder:
    """Finds the names that it was built from. It never changes, so threads may share it."""

    def __init__(self, names: Sequence[str], counts: Mapping[str, tuple[int, int]] = _NO_COUNTS) -> None:
        """Use :meth:`build`; ``names`` are folded and distinct, ``counts`` those of a :class:`Lexicon`."""
        import ahocorasick_rs

        self._names = names
        self._counts = counts
        self._known = frozenset(names)
        self._words = frozenset(word for name in names for word in name.split(" "))
        # A short word that ends several longer names ("abdominal pain", "chest pain") is itself a term, not a chance
        # homonym.
        ends = Counter(name.rpartition(" ")[2] for name in names if " " in name)
        self._heads = frozenset(word for word, count in ends.items() if count >= _HEAD_OF and 3 < len(word) <= _SHORT)
        self._automaton = ahocorasick_rs.AhoCorasick(
            # ``store_patterns=False`` keeps no second copy of the names; the built list gives the name of a match.
            list(map(_pattern, names)),
            matchkind=ahocorasick_rs.MatchKind.LeftmostLongest,
            store_patterns=False,
        )

    @classmethod
    def build(
        cls, names: Iterable[str], lexicon: Lexicon = NOTHING_LEARNED, *, shortest: int = _SHORTEST
    ) -> "NameFinder":
        """Return a finder of ``names``, which are normalised; about 2 s for 100,000 names on one core.

        :param shortest: names of fewer characters are found only where the text itself defines them.
        """
        stop = {fold(name) for name in lexicon.stop}
        folded = ((name, fold(name)) for group in (names, lexicon.extra) for name in group)
        kept = {key for name, key in folded if not _why_left_out(name, key, stop, shortest)}
        return cls(sorted(kept), lexicon.counts)

    def find(self, text: str, *, document: str = "", sentences: Sequence[Span] = ()) -> list[Mention]:
        """Return the mentions in ``text``, in order, none overlapping.

        Each has its sentence, its long form, and how often training text annotates it.

        :param sentences: spans; without any, sentences are split by rule.
        """
        return find_mentions(text, self._spans, self._counts, document, sentences)

    def _spans(self, text: str, starts: Sequence[int], definitions: Definitions) -> list[Span]:
        """Return the spans of names, and of short forms where they stand for a name."""
        # One text repeats its abbreviations, so each long form is looked up once.
        names, others = short_form_spans(text, definitions, functools.cache(self._denotes))
        spans = [span for span in self._matches(text, starts) if span not in others]
        return sorted(spans + uncovered(names, spans, len(text)))

    def _matches(self, text: str, starts: Sequence[int]) -> list[Span]:
        """Return the spans of names, by the automaton; none overlap.

        Broken at a line's end "hyper-tension" is one word, "non-small" is two, and either may be words of names: both
        are tried, and the longer names count.
        """
        words = find_words(text, self._is_word)
        spans = list(self._matches_in(text, words, starts))
        apart = find_words(text, self._is_word, join=False) if breaks_words(text) else words
        return spans if apart == words else _longest({*spans, *self._matches_in(text, apart, starts)}, len(text))

    def _matches_in(self, text: str, words: Sequence[Word], starts: Sequence[int]) -> Iterator[Span]:
        lines = Lines(text)
        haystack, places = _haystack(text, words, starts)
        go_on()
        for number, begin, end in self._automaton.find_matches_as_indexes(haystack):
            start = words[bisect.bisect_left(places, begin)][1]
            stop = words[bisect.bisect_left(places, end) - 1][2]
            if self._is_name(text[start:stop], self._names[number], lines, start):
                yield start, stop

    def _is_word(self, word: str) -> bool:
        """Whether ``word``, which is normalised, is a word of some name."""
        return fold_word(word) in self._words

    def _is_name(self, written: str, name: str, lines: "Lines", start: int) -> bool:
        """Whether ``written``, which begins at ``start``, is the name rather than a plain word of the same letters."""
        if " " in name or len(name) > _SHORT or name in self._heads or any(map(str.isdigit, written)):
            return True
        return sum(map(str.isupper, written)) > 1 and lines.mark_acronyms(written, start)

    def _denotes(self, long_form: str) -> bool:
        """Whether a long form is a name or ends in one: "levodopa-induced dyskinesia"."""
        words = fold(normalise(as_read(long_form))).split(" ")
        # The head of an English noun phrase stands last, so what a long form ends with says what kind of thing it is.
        endings = (" ".join(words[at:]) for at in range(len(words)))
        return any(name in self._known and (" " in name or len(name) >= _SHORT) for name in endings)


class Explainer:
    """Says why names that stand in a text are no mentions. It is built once for many texts, as a finder is."""

    def __init__(self, finder: NameFinder, names: Iterable[str], lexicon: Lexicon = NOTHING_LEARNED) -> None:
        """Explain ``finder``, which was built from ``names``, normalised, with ``lexicon``."""
        import ahocorasick_rs

        stop = {fold(name) for name in lexicon.stop}
        self._why: dict[str, str] = {}
        for name in itertools.chain(names, lexicon.extra):
            key = fold(name)
            reason = _why_left_out(name, key, stop, _SHORTEST)
            # Of several names that fold to one, a name that is looked for speaks for all: the finder looks for it.
            self._why[key] = reason and self._why.get(key, reason)
        self._finder, self._every = finder, NameFinder(sorted(self._why))
        # Overlapping matches need the standard match kind, hence a second automaton.
        self._automaton = ahocorasick_rs.AhoCorasick(list(map(_pattern, self._every._names)), store_patterns=False)

    def passed_over(self, text: str) -> list[PassedOver]:
        """Return every occurrence of a name that the finder does not return, with the reason, in order."""
        starts = [start for start, _ in split(text)]
        words, lines = find_words(text, self._every._is_word), Lines(text)
        haystack, places = _haystack(text, words, starts)
        definitions = abbreviations.find_definitions(text)
        defined = {
            (start, end): definitions.long_form(short, start) for start, end, short in definitions.occurrences(text)
        }
        spans = self._finder._spans(text, starts, definitions)
        found, ends = set(spans), [end for _, end in spans]
        passed_over = []
        for number, begin, stop_at in self._automaton.find_matches_as_indexes(haystack, overlapping=True):
            start = words[bisect.bisect_left(places, begin)][1]
            end = words[bisect.bisect_left(places, stop_at) - 1][2]
            if (start, end) in found:
                continue
            name, written = self._every._names[number], text[start:end]
            first = bisect.bisect_right(ends, start)  # the first found span that ends behind ``start``
            longer = text[slice(*spans[first])] if first < len(spans) and spans[first][0] < end else ""
            reason = (
                (f"overlaps {longer!r}, which is found" if longer else "")
                or (f"the text defines it as {defined[start, end]!r}, no name" if (start, end) in defined else "")
                or self._why[name]
                or ("" if self._finder._is_name(written, name, lines, start) else _why_no_acronym(written))
                or "not found"
            )
            passed_over.append(PassedOver(text=written, start=start, end=end, reason=reason))
        return sorted(passed_over, key=lambda each: (each.start, each.end))


def learn(names: Iterable[str], documents: Sequence[Document]) -> Lexicon:
    """Return what the annotations of ``documents`` say about ``names`` (normalised).

    Mentions that no name matches become names. Names that are annotated in less than half of their occurrences are not
    looked for, from three occurrences on, or where a person has said of one that it is no mention. Of all others the
    counts say how often they are mentions. ``documents`` must not hold any that the linker is measured on.
    """
    names = set(names)
    # The text of a discontinuous mention does not stand in the document as it is, so no automaton could find it.
    texts = (normalise(m.text) for document in documents for m in document.mentions if not m.spans)
    extra = frozenset(texts) - names
    finder = NameFinder.build(names, Lexicon(extra=extra))
    n_found: Counter[str] = Counter()
    n_right: Counter[str] = Counter()
    denied: set[str] = set()
    for document in progress.track(documents, what="learning names", unit="documents"):
        gold = {(mention.start, mention.end) for mention in document.mentions}
        judged = document.judged_spans
        defined = abbreviations.find_definitions(document.text)
        for mention in finder.find(document.text, sentences=document.sentences):
            span = mention.start, mention.end
            # Of a corrected sentence only the judged spans are annotated; another name in it may well be a mention.
            if judged is not None and span not in judged:
                continue
            if mention.text not in defined:  # the text says itself what a defined short form means
                name = fold(normalise(mention.text))
                n_found[name] += 1
                n_right[name] += span in gold
                if judged is not None and span not in gold:
                    denied.add(name)
    stop = frozenset(
        name
        for name, count in n_found.items()
        if (count >= _MIN_OCCURRENCES or name in denied) and n_right[name] < _MIN_PRECISION * count
    )
    counts = {name: (count, n_right[name]) for name, count in n_found.items() if name not in stop}
    return Lexicon(extra=frozenset(name for name in extra if fold(name) not in stop), stop=stop, counts=counts)


def _why_left_out(name: str, folded: str, stop: Container[str], shortest: int) -> str:
    """Return why a normalised name is not looked for; "" for one that is."""
    if len(name) < shortest:
        return f"shorter than {shortest} characters: found only where the text defines it"
    if folded in _GENERIC:
        return "a generic word"
    if folded in stop:
        return "annotated in less than half of its occurrences in the corpora"
    return "a number" if folded.replace(" ", "").isdigit() else ""


def _why_no_acronym(written: str) -> str:
    """Return why ``written``, a short name, does not count as one; see :meth:`NameFinder._is_name`."""
    if sum(map(str.isupper, written)) > 1:
        return "in a line of capitals, which do not show that it is an acronym"
    return f"not in capitals: a name of up to {_SHORT} letters may be a plain word, and counts only as an acronym"


def _pattern(name: str) -> str:
    """Return ``name`` as :func:`_haystack` writes it.

    Two blanks between words and one at each end: a match has whole words, and neighbours share no blank.
    """
    return f" {name.replace(' ', '  ')} "


def _longest(spans: Iterable[Span], length: int) -> list[Span]:
    """Return the longest of ``spans`` in a text of ``length`` characters that do not overlap, in order."""
    covered, kept = bytearray(length), list[Span]()
    for start, end in sorted(spans, key=lambda span: (span[0] - span[1], span)):
        if not any(covered[start:end]):
            covered[start:end] = b"\x01" * (end - start)
            kept.append((start, end))
    return sorted(kept)


def _haystack(text: str, words: Sequence[tuple[str, int, int]], starts: Sequence[int]) -> tuple[str, list[int]]:
    """Return the text that the automaton searches, and the position in it of the blank before each word."""
    pieces = [" "]
    places: list[int] = []
    length, sentence, before = 1, 0, 0
    for word, start, end in words:
        go_on()
        now = bisect.bisect_right(starts, start)
        if now != sentence or APART.search(text, before, start):
            # No pattern contains a line feed, so no match can include one.
            pieces.append(_BREAK)
            length += len(_BREAK)
        sentence, before = now, end
        folded = fold_word(word)
        places.append(length - 1)
        pieces += folded, "  "
        length += len(folded) + 2
    return "".join(pieces), places
