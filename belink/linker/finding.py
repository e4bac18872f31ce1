"""What finders of names share: words as they are compared, and mentions made of the spans that a finder finds."""

import bisect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from belink.records import Mention
from belink.text import abbreviations
from belink.text.abbreviations import Definitions
from belink.text.caching import cache_short
from belink.text.normalise import normalise
from belink.text.sentences import LINE_ENDS, make_mention, split
from belink.text.variants import to_american
from belink.text.words import as_read

Span = tuple[int, int]

APART = re.compile(r"[;:]\s|\s[(\[]|[)\]]\s")  # no name runs across these; brackets inside a word are chemistry
_MIN_LOWER_CASE = 0.1  # share of the letters beside a word from which on its capitals say that it is an acronym


def find_mentions(
    text: str,
    find_spans: Callable[[str, Sequence[int], Definitions], Iterable[Span]],
    counts: Mapping[str, tuple[int, int]],
    document: str,
    sentences: Sequence[Span],
) -> list[Mention]:
    """Return the mentions at the spans that ``find_spans`` finds, each with its sentence, long form and counts.

    :param find_spans: takes the text, the starts of its sentences, and the abbreviations that it defines.
    :param counts: of a :class:`belink.linker.name_finder.Lexicon`; an abbreviation has those of its long form.
    :param sentences: spans; without any, sentences are split by rule.
    """
    within = tuple(sentences) or split(text)
    starts = [start for start, _ in within]
    definitions = abbreviations.find_definitions(text)
    mentions = []
    for start, end in find_spans(text, starts, definitions):
        mention = make_mention(document, text, start, end, within, starts)
        mention = join_lines(abbreviations.expand_mention(mention, definitions))
        n, n_annotated = counts.get(fold(normalise(mention.long_form or mention.text)), (0, 0))
        mentions.append(replace(mention, n_occurrences=n, n_annotated=n_annotated) if n else mention)
    return mentions


def short_form_spans(
    text: str, definitions: Definitions, denotes: Callable[[str], bool]
) -> tuple[list[Span], set[Span]]:
    """Return the spans of the short forms in ``text`` that stand for a name, and those of all others.

    :param denotes: whether a long form stands for a name. "(AD)" after "autosomal dominant" is no Alzheimer disease.
    """
    names, others = list[Span](), set[Span]()
    for start, end, short in definitions.occurrences(text):
        if denotes(definitions.long_form(short, start)):
            names.append((start, end))
        else:
            others.add((start, end))
    return names, others


def join_lines(mention: Mention) -> Mention:
    """Return ``mention`` with a long form where retrieval would not find it as it stands.

    A line's end breaks one of its words, or it holds what nobody sees.
    """
    joined = as_read(mention.text)
    return mention if mention.long_form or joined == mention.text else replace(mention, long_form=joined)


def uncovered(spans: Sequence[Span], taken: Sequence[Span], length: int) -> list[Span]:
    """Return those of ``spans`` that overlap none of ``taken``, in a text of ``length`` characters."""
    covered = bytearray(length)
    for start, end in taken:
        covered[start:end] = b"\x01" * (end - start)
    return [(start, end) for start, end in spans if not any(covered[start:end])]


class Lines:
    """The lines of a text: in one that is written in capitals, capitals do not say that a word is an acronym."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer(f"[{LINE_ENDS}]", text))]
        self._ends = [*self._starts[1:], len(text)]
        self._counts: dict[int, tuple[int, int]] = {}  # line → letters in lower case, letters

    def mark_acronyms(self, written: str, start: int) -> bool:
        """Whether the line has lower case beside ``written``, which begins at ``start``, or nothing beside it."""
        lower, letters = self._count(bisect.bisect_right(self._starts, start) - 1)
        lower_beside = lower - sum(map(str.islower, written))
        letters_beside = letters - sum(map(str.isalpha, written))
        return not letters_beside or lower_beside >= _MIN_LOWER_CASE * letters_beside

    def _count(self, line: int) -> tuple[int, int]:
        if line not in self._counts:
            text = self._text[self._starts[line] : self._ends[line]]
            self._counts[line] = sum(map(str.islower, text)), sum(map(str.isalpha, text))
        return self._counts[line]


def fold(name: str) -> str:
    """Return the normalised ``name`` with each word in the singular and in American spelling."""
    return " ".join(map(fold_word, name.split(" ")))


@cache_short(1 << 17, longest=64)
def fold_word(word: str) -> str:
    """Return the normalised ``word`` in the singular and in American spelling."""
    word = to_american(word)
    if len(word) < 4 or word[-1] != "s" or word.endswith(("ss", "us", "is")) or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    return word[:-1]
