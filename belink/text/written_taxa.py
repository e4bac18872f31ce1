"""Places in a text that are written like names which taxonomies list otherwise.

Serovars of Salmonella without their species, subspecies with "ssp." or behind an authority, and phages.
"""

import re
from collections.abc import Iterator

from belink.text.taxa import SEROVARS, ShortForm, long_form, short_key, virus_form
from belink.waiting import go_on

_SEROVAR = re.compile(
    r"(?<![\w.-])(?:Salmonella|S\.)\s(?:enterica\s)?(?:(?:subsp|ssp)\.?\s(?:enterica|I)\s)?"
    r"(?:(?:serovar|serotype|sv|ser)\b\.?\s)?(?P<serovar>[A-Z][a-z]{3,20})(?![\w-])"
)
_RANKED = re.compile(
    r"(?<![\w-])(?P<genus>[A-Z][a-z]{2,40})\s(?P<species>[a-z]{3,40})\s(?:[A-Z(][\w.()]{0,12}\s)?"
    r"(?P<sub>(?:subsp|ssp|var|pv|bv|f\.\s?sp)\.?\s[a-z]{3,40})(?![\w-])"
)
_DESIGNATION = r"(?:[A-Za-z]{0,6}-?[0-9][\w-]{0,8}|lambda|λ|Mu)"
_PHAGE = re.compile(
    rf"(?<![\w-])(?:(?:[A-Z][a-z]{{2,30}}\s(?:[a-z]{{3,30}}\s)?)?(?:bacterio|coli)?phage\s{_DESIGNATION}"
    rf"|{_DESIGNATION}\s(?:bacterio)?phage)(?![\w-])"
)


def find_written(text: str) -> Iterator[tuple[int, int, ShortForm]]:
    """Yield start, end and form of each place; whether a taxon has the form, the caller must look up."""
    for match in _SEROVAR.finditer(text):
        go_on()
        if (serovar := match["serovar"]).casefold() in SEROVARS:
            yield from _of(match, long_form(f"Salmonella enterica subsp. enterica serovar {serovar}"))
    for match in _RANKED.finditer(text):
        go_on()
        key = short_key(f"{match['genus']} {match['species']} {match['sub']}")
        yield from _of(match, ShortForm(match["genus"].casefold(), key) if key else None)
    for match in _PHAGE.finditer(text):
        go_on()
        yield from _of(match, virus_form(match[0]))


def _of(match: re.Match[str], form: ShortForm | None) -> Iterator[tuple[int, int, ShortForm]]:
    if form is not None:
        yield match.start(), match.end(), form
