"""Abbreviations that a document defines itself: "heparin-induced thrombocytopenia (HIT)".

:func:`find_definitions` reads them from brackets (by the letters, see ``short_forms``) and from lists of abbreviations
(see ``abbreviation_lists``); :func:`expand` writes them out in the mentions of a document. Latin names whose genus is
cut short ("E. coli") count as well where the text spells them out (see ``genera``). All of it takes time linear in the
length of the text.
"""

import bisect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from belink.records import Document, Mention
from belink.text import abbreviation_lists, appositions, genera, short_forms, symbols
from belink.text.sentences import LINE_ENDS
from belink.text.variants import to_singular
from belink.waiting import go_on

# A line that ends within a sentence, or within a word.
_WRAPPED = rf"(?:(?:\r\n|[{LINE_ENDS}])[^\S{LINE_ENDS}]*(?=[a-zß-ÿα-ω(\[（［,;:)])|(?<=[-‐‑])(?:\r\n|[{LINE_ENDS}]))"
_BRACKETS = re.compile(rf"[(\[（［]((?:[^()\[\]（）［］{LINE_ENDS}]|{_WRAPPED}){{2,120}})[)\]）］]")
_CLAUSE = re.compile(rf"[.;:!?]\s|(?!{_WRAPPED})[{LINE_ENDS}]\s*")
_INNER_END = re.compile(r";|,\s| or | and ")  # "2R,4R-APDC" has a comma of its own
_COMMA = re.compile(r"[;,]\s")
_COMPOUND = re.compile(r"[A-Z]{2,}-([A-Z]{2,})")
_EITHER = re.compile(r"([A-Z][A-Za-z0-9]{1,5})/([A-Z][A-Za-z0-9]{1,5})")
_JOINED = re.compile(r"(?:\s*(?:/|,|\b(?:and|or|plus|(?:combined )?with)\b))*\s*$")
_INSIDE = re.compile(rf"[{short_forms.HYPHENS}\w]")  # after a bracket that is part of a name: "phenyl-2(5H)-furanone"
_PART = re.compile(r"\w+")
_LAST_WORD = re.compile(r"([^\s()\[\],;]+)\s*$")
_STEM = re.compile("ies$")
_WINDOW = 250  # characters before a bracket that its long form may begin in
_LOCANT_WINDOW = 40  # characters before a short form that locants may begin in
_PLURAL_END = re.compile(r"s?(?![^\W_])")  # what ends an occurrence of a short form
_TO_BRACKET_END = re.compile(r"[^()\[\]]*[)\]]")
_GENITIVE = re.compile(r"['’]s(?![^\W_])")
_STRETCH = 4096  # characters between two looks whether somebody still waits
_ANYWHERE = -1  # position from which a definition in a list counts: a list stands at the end and is for the whole text


class Definition(NamedTuple):
    """A long form, and the position from which its short form has it."""

    position: int  # of the short form in the text, from which on the definition counts
    long_form: str


class Definitions:
    """The abbreviations that one text defines: which long form a short form has at which position.

    A short form defined twice ("multiple sclerosis (MS) … mitral stenosis (MS)") has the long form of the nearest
    definition before it, and of the first one before that.
    """

    def __init__(self, by_short: Mapping[str, Sequence[Definition]]) -> None:
        self.by_short = by_short
        # Longest first, so that "HIT-2" is found before "HIT".
        self._lengths = sorted({len(short) for short in by_short}, reverse=True)

    @classmethod
    def of(cls, long_forms: Mapping[str, str]) -> "Definitions":
        """Return definitions that count everywhere, from short form → long form."""
        return cls({short: (Definition(_ANYWHERE, long),) for short, long in long_forms.items()})

    def __bool__(self) -> bool:
        return bool(self.by_short)

    def __contains__(self, short: str) -> bool:
        return short in self.by_short

    def long_form(self, short: str, position: int) -> str:
        """Return what ``short``, one of the defined short forms, stands for at ``position`` of the text."""
        definitions = self.by_short[short]
        number = bisect.bisect_right(definitions, position, key=lambda definition: definition.position)
        return definitions[max(0, number - 1)].long_form

    def occurrences(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield start, end and short form wherever one stands as a word of its own, also in the plural.

        Where several begin, the longest counts; none overlap. Each position is looked up in a table, so that the time
        does not depend on how many short forms there are.
        """
        position = 0
        while position < len(text):
            occurrence = self._occurrence(text, position)
            if position % _STRETCH == 0:
                go_on()
            if occurrence is None:
                position += 1
            else:
                yield occurrence
                position = occurrence[1]

    def _occurrence(self, text: str, start: int) -> tuple[int, int, str] | None:
        if start and text[start - 1].isalnum():
            return None
        for length in self._lengths:
            short = text[start : start + length]
            if len(short) == length and short in self.by_short and (end := _PLURAL_END.match(text, start + length)):
                return start, end.end(), short
        return None


def find_definitions(text: str) -> Definitions:
    """Return the short forms that ``text`` defines with their long forms, both as it writes them.

    A definition that only adds locants to the first one, often a title's, replaces it everywhere. A plural ("ADs") also
    defines its singular. Short forms inside a long form are written out: "attenuated FAP (AFAP)".
    """
    # Lists are read first: they hold throughout the text, brackets only from where they stand.
    listed = dict[str, str]()
    for short, long in abbreviation_lists.find_entries(text):
        listed.setdefault(short, long)
    by_short = {short: [Definition(_ANYWHERE, long)] for short, long in listed.items()}
    for position, short, long in _in_brackets(text):
        if short in listed:
            continue  # a list says it for the whole text
        definitions = by_short.setdefault(short, [])
        if definitions and short_forms.adds_locants(long, to=definitions[0].long_form):
            definitions[0] = definitions[0]._replace(long_form=long)
        elif not definitions or definitions[-1].long_form.casefold() != long.casefold():
            definitions.append(Definition(position, long))
    defined = {short: _written_out(short, each, by_short) for short, each in by_short.items()}
    for short, spelled_out in _latin(text).items():
        defined.setdefault(short, spelled_out)
    return Definitions(defined)


def _latin(text: str) -> dict[str, tuple[Definition, ...]]:
    """Return the Latin names that ``text`` cuts short and spells out: their short forms as written → definitions."""
    by_short: dict[str, list[Definition]] = {}
    for position, short, long in genera.find_binomials(text):
        definitions = by_short.setdefault(short, [])
        if not definitions or definitions[-1].long_form != long:
            definitions.append(Definition(position, long))
    return {short: tuple(definitions) for short, definitions in by_short.items()}


def _in_brackets(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield position, short and long form of each definition in brackets, in order."""
    for bracket in _BRACKETS.finditer(text):
        go_on()
        # Brackets of CJK texts stand without blanks.
        is_glued = bracket[0][0] in "([" and not text[bracket.start() - 1 : bracket.start()].isspace()
        if is_glued and _INSIDE.match(text, bracket.end()):
            continue
        # A long form does not cross the end of a clause, and is looked for in a bounded window, so the time stays
        # linear.
        # The bracket itself says whether the line before it goes on.
        window = _CLAUSE.split(text[max(0, bracket.start() - _WINDOW) : bracket.start() + 1])[-1][:-1]
        before = window.rstrip()
        for short, long in _pairs(before, bracket[1]):
            # "HIT (heparin-induced …)" has its short form before the bracket, and defines it from there.
            position = bracket.start() - (len(window) - len(before) + len(short) if before.endswith(short) else 0)
            yield position, short, long
            if short.endswith("s") and short[:-1].isupper() and len(short) > 2:
                yield position, short[:-1], to_singular(_STEM.sub("y", long))


def _written_out(
    short: str, definitions: Sequence[Definition], by_short: Mapping[str, Sequence[Definition]]
) -> tuple[Definition, ...]:
    """Return ``definitions`` of ``short`` with the other short forms inside their long forms written out."""
    return tuple(
        definition._replace(long_form=_expand_inside(short, definition.long_form, by_short))
        for definition in definitions
    )


def _expand_inside(short: str, long: str, by_short: Mapping[str, Sequence[Definition]]) -> str:
    # Both with and without marks: "5-HT" is one part by blanks, two by letters.
    parts = dict.fromkeys((*long.split(), *_PART.findall(long)))
    others = {part: by_short[part][0].long_form for part in parts if part in by_short and part != short}
    return (expand_text(long, Definitions.of(others)) if others else "") or long


def _pairs(before: str, bracket: str) -> Iterator[tuple[str, str]]:
    """Yield the short and long forms that the content of a bracket and the text before it define."""
    inner = _INNER_END.split(bracket)[0].strip(" '\"“”")
    pairs = list(_from_letters(inner, before))
    yield from pairs
    if not pairs and (last := _LAST_WORD.search(before)):  # the other way round: HIT (heparin-induced …)
        if long := _whole(last[1], bracket.strip()):
            yield last[1], long
    for long, short in pairwise(part.strip() for part in _COMMA.split(bracket)):  # "(5-hydroxytryptamine, 5-HT)"
        is_place = long[:1].isupper()  # "(Carlsbad, CA)"
        if long and not is_place and short_forms.find_long_form(short, long) == long:
            yield short, long


def _from_letters(short: str, before: str) -> Iterator[tuple[str, str]]:
    """Yield what ``short`` stands for at the end of ``before``; of "ATT-ALF" also its second part, of "CPA/EE" both."""
    if long := short_forms.find_long_form(short, before):
        yield short, long
    if (parts := _COMPOUND.fullmatch(short)) and (long := short_forms.find_long_form(parts[1], before)):
        yield parts[1], long
    if parts := _EITHER.fullmatch(short):
        second = short_forms.find_long_form(parts[2], before)
        # Of "A and B (X/Y)" the second short form takes the end, the first one what stands before the conjunction.
        rest = _JOINED.sub("", before.removesuffix(second))
        first = short_forms.find_long_form(parts[1], rest) if second else ""
        if first:
            yield from ((parts[1], first), (parts[2], second))


def _whole(short: str, bracket: str) -> str:
    """Return the part of ``bracket`` before a comma, or all of it, where ``short`` stands for the whole of that."""
    parts = (_COMMA.split(bracket)[0], bracket)
    return next((part for part in parts if short_forms.find_long_form(short, part) == part), "")


def expand(document: Document) -> Document:
    """Return ``document`` with its mentions' long forms, composed names and appositions, by what it says itself."""
    definitions = find_definitions(document.text)
    if definitions:
        mentions = tuple(expand_mention(mention, definitions) for mention in document.mentions)
        document = replace(document, mentions=mentions)
    return appositions.expand(genera.expand(symbols.expand(document)))


def expand_mention(mention: Mention, definitions: Definitions) -> Mention:
    """Return ``mention`` with each short form in it written out as ``long_form``: "congenital DM", "HIT type II"."""
    go_on()
    long = expand_text(mention.text, definitions, mention.start)
    return replace(mention, long_form=long) if long else mention


def expand_text(text: str, definitions: Definitions, start: int = 0) -> str:
    """Return ``text`` with its short forms written out; ``""`` where it has none.

    :param start: position of ``text`` in the document that ``definitions`` come from.
    """
    pieces: list[str] = []
    position = 0
    for begin, end, short in definitions.occurrences(text):
        long = definitions.long_form(short, start + begin)
        before = text[position:begin]
        if closing := _closing_bracket(text, begin, end, before, long):
            # Both forms are there, "adenomatous polyposis coli (APC) tumor": the long one is kept, as defined.
            pieces += before.rstrip(" ([")[: -len(long)], long
            position = closing
        else:
            pieces += before, _without_repeated_locants(before, short, long)
            genitive = _GENITIVE.match(text, end)
            position = genitive.end() if genitive else end
    expanded = "".join([*pieces, text[position:]]) if pieces else text
    return expanded if expanded != text else ""


def _closing_bracket(text: str, begin: int, end: int, before: str, long: str) -> int:
    """Return where the bracket around a short form ends that follows its own long form; 0 where there is none."""
    if not before.endswith(("(", "[")) or before.rstrip(" ([")[-len(long) :].casefold() != long.casefold():
        return 0
    closing = _TO_BRACKET_END.match(text, end)
    return closing.end() if closing else 0


def _without_repeated_locants(before: str, short: str, long: str) -> str:
    """Return ``long`` without its locants where ``before`` ends with some: "γ-TC", though TC is α-tocopherol.

    What ``short`` begins with is no locant: "β-NAAG" is β-N-acetylaspartylglutamate.
    """
    has_locants = short_forms.ends_with_locants(before[-_LOCANT_WINDOW:])
    return short_forms.without_locants(long) if has_locants and long[0].casefold() != short[0].casefold() else long
