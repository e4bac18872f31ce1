"""The words of a text as a dictionary is compared with them: free of marks, and whole across line ends.

Notes glue marks to words ("#COPD", ">asthma", "asthma³"), and printed text breaks words with a hyphen at the end of a
line. A marked or joined form counts where it is a word of some name itself ("B*27", "NADP+", "hyper-/tension");
otherwise the marks are cut off, and the halves stay two words.
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Iterator

from belink.text.normalise import aligned_words
from belink.text.sentences import LINE_ENDS
from belink.waiting import go_on

Word = tuple[str, int, int]  # normalised, start, end

# Symbols, quotation marks, brackets, dashes, control characters, bullets of symbol fonts (private use), and superscript
# digits, which NFKC would turn into digits of the word.
_GLUED = frozenset({"Sm", "Sc", "So", "Sk", "Ps", "Pe", "Pi", "Pf", "Pd", "Pc", "Po", "Cc", "Co", "Me", "No"})
_PART_OF_WORDS = frozenset(".,:'’`´′″")
_RAISED = ("<super>", "<sub>")  # what the decomposition of a raised letter begins with, such as "ª" and "ᵃ"
_MAX_PARTS = 4  # of a word that ends of lines break, as narrow columns do
_ZERO_WIDTH_SPACE = "\u200b"  # ends a word without being seen, unless both halves together are a known word
_SELECTORS = re.compile("[\u034f\ufe00-\ufe0f\U000e0100-\U000e01ef]")  # choose a glyph, and are none themselves
# The marks that print breaks words with ("¬" in scanned text), and all that ends a line or a page.
_LINE_END = re.compile(rf"(?:[-‐‑–−\u00ad¬]|&shy;)[^\S{LINE_ENDS}]*[{LINE_ENDS}]\s*")


def find_words(text: str, is_known: Callable[[str], bool], *, join: bool = True) -> list[Word]:
    """Return the words of ``text``, normalised, each with the span of ``text`` that it stands for.

    :param is_known: whether a normalised word is one of some name.
    :param join: whether parts that ends of lines break are one word, where that is known.
    """
    words = aligned_words(text)
    if not text.isalnum():
        words = [part for word in words for part in _without_marks(text, word, is_known)]
    return list(_joined(text, words, is_known)) if join and breaks_words(text) else words


def breaks_words(text: str) -> bool:
    """Return whether ``text`` may break words at the ends of its lines."""
    return _LINE_END.search(text) is not None


def as_read(text: str) -> str:
    """Return ``text`` with words that a hyphen breaks at the end of a line joined, and without what nobody sees."""
    return _without_unseen(_LINE_END.sub("", text))


def _without_marks(text: str, word: Word, is_known: Callable[[str], bool]) -> Iterator[Word]:
    go_on()
    normalised, start, end = word
    written = text[start:end]
    # Most words are plain, and leave by the first test.
    if (written.isascii() and written.isalnum()) or not any(map(_is_cut_off, written)) or is_known(normalised):
        yield word
        return
    while start < end and _is_cut_off(text[start]):
        start += 1
    while end > start and _is_cut_off(text[end - 1]):
        end -= 1
    inner = list(_seen_words(text, start, end))
    # Marks at the ends are cut off first; only a word that stays unknown is also cut at the marks inside it.
    if len(inner) == 1 and is_known(inner[0][0]):
        yield from inner
        return
    position = start
    for at in range(start, end + 1):
        if at == end or _is_mark(text[at]):
            yield from _seen_words(text, position, at)
            position = at + 1


def _seen_words(text: str, first: int, last: int) -> Iterator[Word]:
    """Yield the words from ``first`` to ``last`` of ``text``, without what nobody sees in them."""
    for normalised, a, b in aligned_words(text[first:last]):
        start, end = first + a, first + b
        while start < end and _is_unseen(text[start]):
            start += 1
        while start < end and _is_unseen(text[end - 1]):
            end -= 1
        if start < end:
            yield _without_unseen(normalised), start, end


@functools.lru_cache(maxsize=4096)
def _is_mark(character: str) -> bool:
    """Whether a word that nobody knows is cut at ``character``."""
    is_glued = unicodedata.category(character) in _GLUED and character not in _PART_OF_WORDS
    return is_glued or character == _ZERO_WIDTH_SPACE or unicodedata.decomposition(character).startswith(_RAISED)


@functools.lru_cache(maxsize=4096)
def _is_unseen(character: str) -> bool:
    """Whether nobody sees ``character``: marks of direction, joiners, tags, selectors of a glyph."""
    return unicodedata.category(character) == "Cf" or _SELECTORS.match(character) is not None


def _without_unseen(text: str) -> str:
    return text if text.isascii() else "".join(letter for letter in text if not _is_unseen(letter))


@functools.lru_cache(maxsize=4096)
def _is_cut_off(character: str) -> bool:
    """Whether ``character`` is no part of a word at its beginning or end."""
    return _is_mark(character) or _is_unseen(character)


def _joined(text: str, words: list[Word], is_known: Callable[[str], bool]) -> Iterator[Word]:
    """Yield ``words`` with the parts of a word that ends of lines break as one, where that is known."""
    position = 0
    while position < len(words):
        joined, start, end = words[position]
        whole, n_parts = words[position], 1
        for number, (part, begin, stop) in enumerate(words[position + 1 : position + _MAX_PARTS], 2):
            if not _LINE_END.fullmatch(text, end, begin):
                break
            joined, end = joined + part, stop
            if is_known(joined):
                whole, n_parts = (joined, start, end), number
        yield whole
        position += n_parts
