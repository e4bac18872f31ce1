"""The genus of a Latin short form, by the document: "R. prolixus" is "Rhodnius prolixus" where the text says so.

:func:`find_binomials` reads the names that a document spells out; they count like abbreviations that it defines. Where
it names only the genus ("Rhodnius robustus and R. prolixus"), :func:`expand` composes the name. Any capitalised word
with the right letters may be that genus, so a composed name counts only where it is one of the ontology's. So it is
with the species of "M. m. domesticus", and with a virus whose initials stand elsewhere than beside it.
"""

import bisect
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import islice

from belink.records import Document, Mention
from belink.text.taxa import ShortForm, endings, short_form, virus_acronym
from belink.waiting import go_on

_WORD = r"[A-Z][a-z]{2,40}(?:-[a-z]{2,40})?"
_EPITHET = r"(?P<epithet>[a-z]{3,40}(?:-[a-z]{2,40}){0,2})(?![\w-])"
SHORT_FORM = re.compile(rf"(?<![\w.-])[A-Z][a-z]{{0,5}}\.\s{{0,2}}{_EPITHET}")
THREE_PARTS = re.compile(rf"(?<![\w.-])(?P<genus>[A-Z][a-z]?)\.\s{{0,2}}(?P<species>[a-z])[a-z]?\.\s{{0,2}}{_EPITHET}")
_VIRUS = re.compile(r"\b[Vv]irus\b")
_SHORT_WITHOUT_STOP = re.compile(rf"[A-Z]\s{_EPITHET}")
_BINOMIAL = re.compile(rf"(?<![\w-])(?P<genus>{_WORD})\s{{1,2}}(?={_EPITHET})")
BINOMIAL = re.compile(rf"(?<![\w-])(?<!Candidatus )(?!Candidatus){_WORD}\s{{1,2}}{_EPITHET}")
_CAPITALISED = re.compile(rf"(?<![\w-]){_WORD}(?![\w-])")
_MAX_FORMS = 8  # ways to cut the genera of one epithet in a text: "Ae. ", "Aed. ", "A. ", with other blanks
_MAX_WORDS = 256  # capitalised words with one initial that a text is read for
_MAX_GENERA = 8  # of those, the ones that are tried as the genus of a short form
_MAX_VIRUS = 100  # characters of the name of a virus
_MAX_LENGTH = 200  # characters of a mention in which a short form is looked for


def find_binomials(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield position, short form and long form for each Latin name that ``text`` both spells out and cuts short.

    The short form is as ``text`` writes it; the position is that of the spelled-out name, in ascending order.
    """
    forms: dict[str, dict[str, ShortForm]] = {}  # epithet → short forms as written
    for match in SHORT_FORM.finditer(text):
        go_on()
        same = forms.setdefault(match["epithet"], {})
        if len(same) < _MAX_FORMS and (form := short_form(match[0])):
            same[match[0]] = form
    for match in _BINOMIAL.finditer(text) if forms else ():
        go_on()
        for written, form in forms.get(match["epithet"], {}).items():
            if form.stands_for(match["genus"]):
                yield match.start(), written, f"{match['genus']} {match['epithet']}"


def expand(document: Document) -> Document:
    """Return ``document`` with the composed names of its mentions, where it does not spell out a Latin short form."""
    forms = [_find_short(mention.long_form or mention.text) for mention in document.mentions]
    initials = [_is_initials(mention) for mention in document.mentions]
    if not any(forms) and not any(initials):
        return document
    genera, spelled_out = _Genera(document.text), _SpelledOut(document.text)
    mentions = (
        replace(mention, composed=_compose(mention, form, genera) if form else spelled_out.of(mention.text))
        if form or is_initials
        else mention
        for mention, form, is_initials in zip(document.mentions, forms, initials, strict=True)
    )
    return replace(document, mentions=tuple(mentions))


def _is_initials(mention: Mention) -> bool:
    """Return whether the mention is a subspecies or a virus that is cut to initials and has no long form."""
    if mention.long_form:
        return False
    return virus_acronym(mention.text) is not None or THREE_PARTS.match(mention.text[:_MAX_LENGTH]) is not None


class _SpelledOut:
    """The names of subspecies and viruses that a text has without their initials beside them."""

    def __init__(self, text: str) -> None:
        self._text = text

    def of(self, text: str) -> tuple[str, ...]:
        """Return the names that ``text``, a mention cut to initials, may have, in the order of the document."""
        go_on()
        if parts := THREE_PARTS.match(text[:_MAX_LENGTH]):
            rest = f"{parts['epithet']}{text[parts.end() :]}"
            letters = parts["genus"], parts["species"]
            species = (name for name in self._species if all(map(str.startswith, name, letters)))
            return tuple(f"{genus} {epithet} {rest}" for genus, epithet in islice(species, _MAX_GENERA))
        return tuple(islice(self._viruses.get(text.casefold(), {}), _MAX_GENERA))

    @cached_property
    def _species(self) -> list[tuple[str, str]]:
        """Genus and epithet of each Latin name that may be one, once."""
        return list(dict.fromkeys((match["genus"], match["epithet"]) for match in _BINOMIAL.finditer(self._text)))

    @cached_property
    def _viruses(self) -> dict[str, dict[str, None]]:
        """Initials in lower case → words that have them and end in "virus", each once."""
        viruses: dict[str, dict[str, None]] = {}
        for match in _VIRUS.finditer(self._text):
            go_on()
            words = self._text[max(0, match.start() - _MAX_VIRUS) : match.end()]
            for initials, at in endings(words):
                viruses.setdefault(initials, {}).setdefault(words[at:])
        return viruses


def _find_short(text: str) -> re.Match[str] | None:
    """Return the Latin short form in the text of a mention; ``None`` where there is none."""
    # Without its full stop ("E coli") only a whole mention is read so: "vitamin D deficiency" has no genus.
    match = SHORT_FORM.search(text[:_MAX_LENGTH]) or _SHORT_WITHOUT_STOP.fullmatch(text[:_MAX_LENGTH])
    return match if match and short_form(match[0]) else None


def _compose(mention: Mention, match: re.Match[str], genera: "_Genera") -> tuple[str, ...]:
    """Return the mention with each genus that its short form may have by the document, the nearest first."""
    text, form = mention.long_form or mention.text, short_form(match[0])
    words = genera.nearest(form, mention.start) if form else []
    return tuple(f"{text[: match.start()]}{word} {text[match.start('epithet') :]}" for word in words)


class _Genera:
    """The words of a text that may be genera, with their positions."""

    def __init__(self, text: str) -> None:
        self._places: dict[str, dict[str, list[int]]] = {}  # initial in lower case → word → positions, ascending
        for match in _CAPITALISED.finditer(text):
            go_on()
            words = self._places.setdefault(match[0][0].casefold(), {})
            if match[0] in words or len(words) < _MAX_WORDS:
                words.setdefault(match[0], []).append(match.start())

    def nearest(self, form: ShortForm, position: int) -> list[str]:
        """Return the words that ``form`` may be cut from, the nearest to ``position`` first."""
        go_on()
        words = self._places.get(form.letters[0], {})
        in_order = sorted(words, key=lambda word: _distance(words[word], position))
        return list(islice(filter(form.stands_for, in_order), _MAX_GENERA))


def _distance(places: list[int], position: int) -> int:
    at = bisect.bisect_left(places, position)
    return min(abs(place - position) for place in places[max(0, at - 1) : at + 1])
