"""Raw text → mentions: every place where a name of the ontology stands, found in one pass (Aho-Corasick).

Names and text are compared as ``normalise`` leaves them, each word in the singular and in American spelling; the
longest name from the left wins, and none runs across a sentence's end. What a dictionary gets wrong is mostly short
names that are also plain words ("was", "all"): they count only where the text writes them as acronyms. What the text
defines itself counts for what it stands for. :func:`learn` takes from annotated text which names mislead and which
are missing.

Exact spans on BC5CDR disease (1,000 train and dev abstracts, 8,180 mentions) with CTD's names, rule after rule:

==============================================  =========  ======  ====
rule                                            precision  recall   F1
==============================================  =========  ======  ====
normalised names                                     41.6    63.3  50.2
words in the singular, American spelling             41.8    64.7  50.8
short names only as acronyms                         75.2    64.6  69.5
abbreviations that the text defines                  79.4    68.1  73.3
names below four characters only where defined       81.7    68.0  74.2
learned from the other four fifths                   87.8    83.5  85.6
==============================================  =========  ======  ====

On NCBI-Disease (5,714 mentions) the last two are 71.3 / 69.8 / 70.6 and 81.2 / 78.9 / 80.0.
"""

import bisect
import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from belink.records import Document, Mention
from belink.text import abbreviations
from belink.text.abbreviations import Definitions
from belink.text.normalise import aligned_words, normalise
from belink.text.sentences import make_mention, split
from belink.text.variants import to_american

VERSION = 1  # of what learn() makes of a corpus; another one is learned again
_SHORT = 5  # letters up to which a one-word name may be a plain word
_HEAD_OF = 3  # so many longer names must end in a short word before it counts in lower case ("pain", "coma")
_APART = re.compile(r"[;:]\s|\s[(\[]|[)\]]\s")  # no name runs across these; brackets inside a word are chemistry
_BREAK = "\n "  # stands in the haystack where no name may run across
_SEEN_OFTEN = 3  # occurrences from which a name's precision is believed
_MISLEADS_BELOW = 0.5  # precision below which a name is not looked for

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """What annotated text taught about names, which are as ``normalise`` gives them."""

    extra: frozenset[str] = frozenset()  # looked for although no ontology lists them
    stop: frozenset[str] = frozenset()  # not looked for: more often something else

    def to_dict(self) -> dict[str, list[str]]:
        return {"extra": sorted(self.extra), "stop": sorted(self.stop)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Iterable[str]]) -> "Lexicon":
        return cls(extra=frozenset(found["extra"]), stop=frozenset(found["stop"]))


NOTHING_LEARNED = Lexicon()


class NameFinder:
    """MentionFinder the names it was built from. Never changes; safe to share between threads."""

    def __init__(self, names: Sequence[str]) -> None:
        """``names`` are folded and distinct; use :meth:`build`."""
        import ahocorasick_rs

        self._names = names
        self._known = frozenset(names)
        ends = Counter(name.rpartition(" ")[2] for name in names if " " in name)
        self._heads = frozenset(word for word, count in ends.items() if count >= _HEAD_OF and 3 < len(word) <= _SHORT)
        # Two blanks between words and one at each end: a match has whole words, and neighbours share no blank.
        self._automaton = ahocorasick_rs.AhoCorasick(
            [f" {name.replace(' ', '  ')} " for name in names],
            matchkind=ahocorasick_rs.MatchKind.LeftmostLongest,
            store_patterns=False,
        )

    @classmethod
    def build(cls, names: Iterable[str], lexicon: Lexicon = NOTHING_LEARNED, *, shortest: int = 4) -> "NameFinder":
        """A detector of ``names``, which are as ``normalise`` gives them; about 2 s for 100,000 on one core.

        :param shortest: names of fewer characters are found only where the text itself defines them.
        """
        stop = {fold(name) for name in lexicon.stop}
        folded = {fold(name) for group in (names, lexicon.extra) for name in group if len(name) >= shortest}
        return cls(sorted(name for name in folded - stop if not name.replace(" ", "").isdigit()))

    def find(self, text: str, *, document: str = "", sentences: Sequence[Span] = ()) -> list[Mention]:
        """The mentions in ``text``, in order, none overlapping, each with its sentence and long form.

        ``sentences`` are found by rule where none are given.
        """
        within = tuple(sentences) or split(text)
        starts = [start for start, _ in within]
        definitions = abbreviations.find_definitions(text)
        found = []
        for start, end in self._spans(text, starts, definitions):
            mention = make_mention(document, text, start, end, within, starts)
            found.append(abbreviations.expand_mention(mention, definitions))
        return found

    def _spans(self, text: str, starts: Sequence[int], definitions: Definitions) -> list[Span]:
        """Return the spans of names, and of short forms where they stand for a name."""
        names, others = list[Span](), set[Span]()
        denotes = functools.cache(self._denotes)
        for start, end, short in definitions.occurrences(text):
            if denotes(definitions.long_form(short, start)):
                names.append((start, end))
            else:
                others.add((start, end))  # "(AD)" after "autosomal dominant" is no Alzheimer disease
        spans = [span for span in self._matches(text, starts) if span not in others]
        return sorted(spans + _uncovered(names, spans, len(text)))

    def _matches(self, text: str, starts: Sequence[int]) -> Iterator[Span]:
        words = aligned_words(text)
        haystack, places = _haystack(text, words, starts)
        for number, begin, end in self._automaton.find_matches_as_indexes(haystack):
            start = words[bisect.bisect_left(places, begin)][1]
            stop = words[bisect.bisect_left(places, end) - 1][2]
            if self._reads_like_a_name(text[start:stop], self._names[number]):
                yield start, stop

    def _reads_like_a_name(self, written: str, name: str) -> bool:
        """Whether ``written`` is the name rather than a plain word of the same letters."""
        if " " in name or len(name) > _SHORT or name in self._heads:
            return True
        return sum(letter.isupper() for letter in written) > 1 or any(letter.isdigit() for letter in written)

    def _denotes(self, long: str) -> bool:
        """Whether a long form is, or ends in, a name: "levodopa-induced dyskinesia"."""
        words = fold(normalise(long)).split(" ")
        endings = (" ".join(words[at:]) for at in range(len(words)))
        return any(name in self._known and (" " in name or len(name) >= _SHORT) for name in endings)


def learn(names: Iterable[str], documents: Sequence[Document]) -> Lexicon:
    """What the annotation of ``documents`` says about ``names`` (normalised).

    Mentions that no name matches become names; names that are annotated less than half of the time stop being looked
    for. Of documents that will be used for measuring, none may be among them.
    """
    names = set(names)
    texts = (normalise(m.text) for document in documents for m in document.mentions if not m.spans)
    extra = frozenset(texts) - names
    detector = NameFinder.build(names, Lexicon(extra=extra))
    seen: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for document in documents:
        gold = {(mention.start, mention.end) for mention in document.mentions}
        defined = abbreviations.find_definitions(document.text)
        for mention in detector.find(document.text, sentences=document.sentences):
            if mention.text not in defined:  # the text itself says what those mean
                name = fold(normalise(mention.text))
                seen[name] += 1
                right[name] += (mention.start, mention.end) in gold
    stop = frozenset(
        name for name, count in seen.items() if count >= _SEEN_OFTEN and right[name] < _MISLEADS_BELOW * count
    )
    return Lexicon(extra=frozenset(name for name in extra if fold(name) not in stop), stop=stop)


def fold(name: str) -> str:
    """``name``, which is normalised, with each word in the singular and in American spelling."""
    return " ".join(map(_fold_word, name.split(" ")))


@functools.lru_cache(maxsize=1 << 17)
def _fold_word(word: str) -> str:
    word = to_american(word)
    if len(word) < 4 or word[-1] != "s" or word.endswith(("ss", "us", "is")) or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    return word[:-1]


def _haystack(text: str, words: Sequence[tuple[str, int, int]], starts: Sequence[int]) -> tuple[str, list[int]]:
    """What the automaton searches, and where in it the blank before each word lies."""
    pieces = [" "]
    places: list[int] = []
    length, sentence, before = 1, 0, 0
    for word, start, end in words:
        now = bisect.bisect_right(starts, start)
        if now != sentence or _APART.search(text, before, start):
            pieces.append(_BREAK)
            length += len(_BREAK)
        sentence, before = now, end
        folded = _fold_word(word)
        places.append(length - 1)
        pieces += folded, "  "
        length += len(folded) + 2
    return "".join(pieces), places


def _uncovered(spans: Sequence[Span], taken: Sequence[Span], length: int) -> list[Span]:
    """Return those of ``spans`` that overlap none of ``taken``, in a text of ``length`` characters."""
    covered = bytearray(length)
    for start, end in taken:
        covered[start:end] = b"\x01" * (end - start)
    return [(start, end) for start, end in spans if not any(covered[start:end])]
