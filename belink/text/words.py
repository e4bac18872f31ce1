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
from belink.waiting import go_on

Word = tuple[str, int, int]  # normalised, start, end

# Symbols, quotation marks, control characters, and superscripts, which NFKC would turn into digits of the word.
_GLUED = frozenset({"Sm", "Sc", "So", "Sk", "Po", "Pi", "Pf", "Cc", "No"})
_PART_OF_WORDS = frozenset(".,:'’`´′″")
_LINE_END = re.compile(r"[-‐\u00ad][ \t]*\r?\n\s*")


def find_words(text: str, is_known: Callable[[str], bool]) -> list[Word]:
    """Return the words of ``text``, normalised, each with the span of ``text`` that it stands for.

    :param is_known: whether a normalised word is one of some name.
    """
    words = aligned_words(text)
    if not text.isalnum():
        words = [part for word in words for part in _without_marks(text, word, is_known)]
    return list(_joined(text, words, is_known)) if _LINE_END.search(text) else words


def without_line_ends(text: str) -> str:
    """Return ``text`` with words that a hyphen breaks at the end of a line joined."""
    return _LINE_END.sub("", text)


def _without_marks(text: str, word: Word, is_known: Callable[[str], bool]) -> Iterator[Word]:
    go_on()
    normalised, start, end = word
    written = text[start:end]
    # Most words are plain, and leave by the first test.
    if (written.isascii() and written.isalnum()) or not any(map(_is_mark, written)) or is_known(normalised):
        yield word
        return
    while start < end and _is_mark(text[start]):
        start += 1
    while end > start and _is_mark(text[end - 1]):
        end -= 1
    inner = [(each, start + a, start + b) for each, a, b in aligned_words(text[start:end])]
    # Marks at the ends are cut off first; only a word that stays unknown is also cut at the marks inside it.
    if len(inner) == 1 and is_known(inner[0][0]):
        yield from inner
        return
    position = start
    for at in range(start, end + 1):
        if at == end or _is_mark(text[at]):
            yield from ((each, position + a, position + b) for each, a, b in aligned_words(text[position:at]))
            position = at + 1


@functools.lru_cache(maxsize=4096)
def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in _GLUED and character not in _PART_OF_WORDS


def _joined(text: str, words: list[Word], is_known: Callable[[str], bool]) -> Iterator[Word]:
    """Yield ``words`` with the two halves of a word that a line's end breaks as one, where that is known."""
    waiting: Word | None = None
    for word in words:
        if waiting is not None and _LINE_END.fullmatch(text, waiting[2], word[1]) and is_known(waiting[0] + word[0]):
            yield waiting[0] + word[0], waiting[1], word[2]
            waiting = None
            continue
        if waiting is not None:
            yield waiting
        waiting = word
    if waiting is not None:
        yield waiting
