"""Names of taxa as papers write them: Latin binomials, their short forms, and what else an organism may be called.

A short form keeps the first letters of the genus: "R. prolixus", "C.elegans", "Ae. aegypti", "M. m. domesticus".
:func:`index_keys` gives the keys under which a name is found by its short forms; :func:`short_form` reads one from
text; both agree on the key.
:func:`fallbacks` leaves out what no taxonomy lists (strains, culture-collection numbers, authorities). The rules are
for indices of taxa alone: "Alzheimer disease type 1" is written like a species with its strain.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from belink.text import viruses
from belink.text.normalise import normalise

_MIN_EPITHET = 3  # letters; "Yi qi" and "Ia io" are not worth reading every "A to" as a species
# Words that stand where an epithet stands, but are none; normalised.
_OPEN = frozenset("sp spp ssp subsp var cf aff nr gen nov species bacterium archaeon fungus x n".split())
_NO_EPITHET = _OPEN | frozenset(
    "complex group subgroup clade cluster hybrid endosymbiont symbiont parasite metagenome plasmid clone clones "
    "isolate isolates strain strains sample samples environmental genomosp phytoplasma phage alga yeast "
    "eukaryote prokaryote ciliate nematode proteobacterium actinobacterium cyanobacterium associated from".split()
)
_NO_GENUS = frozenset(
    "uncultured unidentified unclassified unknown environmental artificial synthetic recombinant marine human "
    "candidate vectors other mixed".split()
)
# Words of rank inside a name, which authors leave out; normalised.
_RANK_WORDS = frozenset(
    "sp ssp subsp subspecies var varietas f fo forma pv pathovar bv biovar biotype serovar serotype serogroup sv str "
    "strain substr substrain isolate cv cultivar".split()
)
_QUALIFIERS = re.compile(
    r"""[\s,]*(?<![\w.])(?:
        s\.\s?s\.? | s\.\s?str\.? | s\.\s?l\.? | s\.\s?lat\.? | sensu\s(?:stricto|lato)
        | (?:sp|gen|comb|nom|subsp|stat)\.?\s?(?:nov|rev|n)\b\.? | n\.\s?(?:sp|gen)\b\.?
    )(?!\w)""",
    re.VERBOSE,
)
_FUNCTION_WORDS = frozenset(
    "about after again against all also although among and any are because been before being between both but can "
    "could did does during each either few for from had has have however into its may might more most must neither "
    "nor not once one only other our out over per same several shall she should since some such than that the their "
    "them then there these they this those three through thus two under until upon using very via was were what when "
    "where whereas whether which while who whose will with within without would yet you your "
    "cells figure infection infections mice mouse patients species strain strains table type types".split()
)
# A genus is cut to one letter, or to several and a full stop; bacteriologists write two of the latter without it.
_SHORT = re.compile(r"([A-Z](?:[a-z]{0,5}\.\s*|\s+)|S(?:taph|trep)\s+)([a-z]+(?:-[a-z]+)*)\b(.*)", re.DOTALL)
# A subspecies with both its genus and its species cut: "M. m. domesticus", "T. b. subsp. gambiense".
_THREE_PARTS = re.compile(
    r"([A-Z][a-z]?)\.\s*([a-z])[a-z]?\.\s*(?:(?:subsp|ssp|var)\.?\s+)?([a-z]{3,}(?:-[a-z]+)*)\b(.*)", re.DOTALL
)
_CAPITALS = re.compile(r"[A-Z]\.\s*[A-Z]{3,}")
_SPELLED_OUT = re.compile(r"([A-Z][a-z]{2,40})\s+([a-z]{5,40}(?:-[a-z]{3,40})?)(?![\w-])")
_NO_LETTERS = frozenset("cf dr eq fig figs mr mrs ms no nos prof ref refs sec sp st suppl tab vol vs".split())
_CANDIDATUS = re.compile(r"^[\"'‘“]?(?:Candidatus|Ca\.)[\"'’”]?\s+(?=[A-Z])", re.IGNORECASE)
_BINOMIAL = re.compile(r"(?P<genus>[A-Z][a-z]{0,5}\.|[A-Z][a-z-]*|[a-z]{4,})\s*(?P<rest>(?<=[.\s]).+)", re.DOTALL)
_SUB = re.compile(
    r"(?:(?:subsp|ssp|var|pv|bv|f\.\s?sp|f|forma|subspecies|variety|pathovar|biovar)\b\.?\s+)?"
    r"([a-z]{3,}(?:-[a-z]+)*)\b(?![-.:]?\d)"
)
# What stands between a species and its subspecies: "Oryza sativa L. ssp. indica".
_AUTHORITY = re.compile(r"^\(?[A-Z][^()]{0,40}?\)?\s+(?=(?:subsp|ssp|var|subspecies|pv|f)\b)")
# A Latin name after other words, which begin with a small letter.
_LATIN_LAST = re.compile(r"(?<=[a-z] )[A-Z](?:[a-z]{0,5}\. ?|[a-z]{2,40} )[a-z-]{3,40}(?: [a-z-]{3,40})?$")
_LABELS = re.compile(
    r"(?<![\w-])(?:strains?|isolates?|clones?|str|substr|cv|cultivar|line|type strain|serovars?|serotypes?|sv|ser)\b"
    r"\.?\s*",
    re.IGNORECASE,
)
_SALMONELLA = re.compile(
    r"(?:Salmonella|S\.)\s*(?:(?:enterica|enteritidis)\s*)?(?:(?:subsp|ssp)\.?\s*(?:enterica|I)\s*)?"
    r"(?:(?:serovar|serotype|sv|ser)\b\.?\s*)?([A-Z]?[a-z]{3,})(?:\s+(?:str(?:ain)?\b\.?\s*)?(\S.{0,40}))?$"
)
SEROVARS = frozenset(
    "agona anatum braenderup choleraesuis derby dublin enteritidis gallinarum hadar heidelberg infantis javiana "
    "kentucky mbandaka montevideo muenchen newport oranienburg paratyphi pullorum saintpaul schwarzengrund "
    "senftenberg tennessee thompson typhi typhimurium virchow".split()
)
_MIN_INITIALS, _MAX_INITIALS = 3, 7  # of a virus
_SMALL_WORDS = frozenset("and of the".split())
_ACRONYM = re.compile(r"[A-Z]{2,6}V")
# The ending that the gender of a genus decides: torquatus, torquata; what is left must tell epithets apart.
_GENDER = re.compile(r"(?<=[a-z]{4})(?:us|um|is|es|er|a|e|ii?)$")
_TYPE = re.compile(r"\s+(?:type|serotype|genotype)\s+(?=\d)")  # "HPV type 16" is HPV-16
_LETTERS_DIGITS = re.compile(r"(?<=[A-Za-z])(?=\d+$)")
# Latin and half-Latin plurals of genera → their singular; the first that fits.
_PLURALS_OF_GENERA = ("cocci", "bacilli", "bacteria", "monads", "ellae", "iae")  # "liposomes" are of no genus
_PLURALS = (
    ("cocci", "coccus"), ("bacilli", "bacillus"), ("bacteria", "bacterium"), ("monads", "monas"), ("somes", "soma"),
    ("spirilla", "spirillum"), ("plasmata", "plasma"), ("ellae", "ella"), ("iae", "ia"), ("ebae", "eba"),
    ("aemophili", "aemophilus"), ("fungi", "fungus"), ("idia", "idium"), ("odia", "odium"),
)  # fmt: skip


_ES = re.compile(r"(?<=ch|sh|[a-z]x|ss|to)es$")  # "finches", "foxes", "grasses", "mosquitoes"
_IES = re.compile(r"(?<=[a-z]{2})(?<!spec)(?<!ser)ies$|(?<=fl)ies$")
_IRREGULAR = {
    "mice": "mouse", "geese": "goose", "wolves": "wolf", "calves": "calf", "lice": "louse", "oxen": "ox",
}  # fmt: skip


class ShortForm(NamedTuple):
    """A Latin name whose genus is cut to its first letters."""

    letters: str  # of the genus, as written but in lower case: "ae" of "Ae. aegypti"
    key: str  # what :func:`short_key` gives for the names that it may stand for: "a aegypti"

    def stands_for(self, name: str) -> bool:
        """Return whether the genus of ``name`` is cut to :attr:`letters`: "Cx." for Culex, "An." for Anopheles.

        :param name: with :attr:`key` as its key; written or normalised.
        """
        if not self.letters:  # a phage of any host
            return True
        genus = _CANDIDATUS.sub("", name).partition(" ")[0].casefold()
        remaining = iter(genus)
        return genus[:1] == self.letters[:1] and all(letter in remaining for letter in self.letters)


def short_key(name: str) -> str:
    """Return the key of a Latin name: the initial of its genus and the rest; ``""`` for all other names.

    Words of rank are left out, as authors do. Viruses, viroids, "uncultured bacterium" and "Homo sp." are no Latin
    names. A normalised common name of two words cannot be told from a binomial and has a key.

    >>> short_key("Rhodnius prolixus"), short_key("Escherichia coli str. K-12"), short_key("Homo sp.")
    ('r prolixus', 'e coli k 12', '')

    :param name: as written or normalised; normalised names are not normalised again, which saves most of the time.
    """
    if " " not in name or "virus" in name or "viroid" in name:
        return ""
    if not name.islower() or not name.isascii() or "-" in name or "." in name:
        name = normalise(name)
    genus, _, rest = name.removeprefix("candidatus ").partition(" ")
    epithet, _, tail = rest.partition(" ")
    if not (len(genus) > 1 and len(epithet) >= _MIN_EPITHET and genus.isalpha() and epithet.isalpha()):
        return ""
    if epithet in _NO_EPITHET or genus in _NO_GENUS or genus.endswith("phage") or "virus" in name:
        return ""
    return f"{genus[0]} {epithet}{_without_rank_words(tail)}"


def index_keys(name: str) -> tuple[str, ...]:
    """Return the keys by which a name is found without being written out; the first is that of :func:`short_key`.

    A subspecies is also found with its species cut to a letter, a strain without the subspecies that is called like its
    species and by each of its numbers in collections, a virus by its initials, and a phage by its designation. Other
    names have no keys.

    >>> index_keys("mus musculus domesticus"), index_keys("tomato spotted wilt virus")
    (('m musculus domesticus', 'm m domesticus'), ('~ tswv',))
    """
    if " = " in name:
        return _keys_of_equals(*name.split(" = "))
    if not (key := short_key(name)):
        virus = viruses.key(name) if "phage " in name or "virus " in name else ""
        return (virus,) if virus else _initials(name) if "virus" in name else ()
    initial, _, rest = key.partition(" ")
    epithet, _, tail = rest.partition(" ")
    if not tail:
        return (key,)
    if tail.isalpha():
        return (key, f"{initial} {epithet[0]} {tail}") if len(tail) >= _MIN_EPITHET else (key,)
    first, _, strain = tail.partition(" ")
    return (key, f"{initial} {epithet} {strain}") if first == epithet else (key,)


def _keys_of_equals(name: str, *others: str) -> tuple[str, ...]:
    """Return the keys of a strain with numbers of several collections: "Brenneria salicis ATCC 15712 = DSM 30166"."""
    keys = index_keys(name)
    initial, epithet = keys[0].split(" ")[:2] if keys else ("", "")
    return (*keys, *(f"{initial} {epithet} {other}" for other in others if keys))


def _initials(name: str) -> tuple[str, ...]:
    """Return the key of a virus's initials, where it is called by three words or more that end in "virus"."""
    words = [word for word in normalise(name).split(" ") if word not in _SMALL_WORDS]
    if not _MIN_INITIALS <= len(words) <= _MAX_INITIALS or words[-1] != "virus" or not all(map(str.isalpha, words)):
        return ()
    return (f"~ {''.join(word[0] for word in words)}",)


def virus_acronym(text: str) -> ShortForm | None:
    """Return the form of which "TSWV" is one: the initials of a virus; ``None`` for anything else."""
    return ShortForm(text[0].casefold(), f"~ {text.casefold()}") if _ACRONYM.fullmatch(text) else None


def virus_form(text: str) -> ShortForm | None:
    """Return the form of a phage or a numbered herpesvirus, with the first letters of its host; ``None`` for others.

    >>> virus_form("Bacillus subtilis phage SPP1"), virus_form("T4 phage")
    (ShortForm(letters='bacillus', key='~ phage spp1'), ShortForm(letters='', key='~ phage t4'))
    """
    form = viruses.read(text.strip())
    return ShortForm(*form) if form else None


def endings(words: str) -> Iterator[tuple[str, int]]:
    """Yield the initials of the last three to seven of ``words``, in lower case, and where in ``words`` they begin.

    >>> list(endings("the cucumber mosaic virus"))
    [('cmv', 4)]
    """
    places = [(m.start(), m[0]) for m in re.finditer(r"[^\W\d_]+", words) if m[0].casefold() not in _SMALL_WORDS]
    for n in range(_MIN_INITIALS, min(len(places), _MAX_INITIALS) + 1):
        yield "".join(word[0] for _, word in places[-n:]).casefold(), places[-n][0]


def binomial(text: str) -> tuple[str, str] | None:
    """Return genus and epithet, in lower case, that ``text`` spells out at its beginning; ``None`` where it does not.

    >>> binomial("Rana pipiens"), binomial("R. pipiens"), binomial("the mouse")
    (('rana', 'pipiens'), None, None)
    """
    match = _SPELLED_OUT.match(_CANDIDATUS.sub("", text))
    if not match or match[2] in _NO_EPITHET or match[2] in _FUNCTION_WORDS:
        return None
    return match[1].casefold(), match[2]


def long_form(text: str) -> ShortForm | None:
    """Return the form of a name of three words or more that is written out: its words of rank do not count.

    >>> long_form("Bacillus subtilis strain 168"), long_form("Bacillus subtilis")
    (ShortForm(letters='bacillus', key='b subtilis 168'), None)
    """
    genus, _, rest = text.partition(" ")
    is_long = len(genus) > 3 and genus.istitle() and genus.isalpha() and " " in rest.strip()
    key = short_key(text) if is_long else ""
    return ShortForm(genus.casefold(), key) if key.count(" ") > 1 else None


def epithet_stem(epithet: str) -> str:
    """Return an epithet without the ending that follows the gender of its genus: "rectale" and "rectalis"."""
    return _GENDER.sub("", epithet)


def short_form(text: str) -> ShortForm | None:
    """Return the short form that ``text`` is, as a paper writes it; ``None`` for anything else.

    The genus begins with a capital; the epithet is in lower case, has three letters or more, and is no function word.
    A text in capitals alone is read as if it were in lower case.

    >>> short_form("Ae. aegypti"), short_form("An. gambiae s.s."), short_form("J. Smith")
    (ShortForm(letters='ae', key='a aegypti'), ShortForm(letters='an', key='a gambiae'), None)
    """
    text = text.strip()
    if text.isupper() and _CAPITALS.match(text):
        text = text[0] + text[1:].lower()
    text = _QUALIFIERS.sub("", _CANDIDATUS.sub("", text))
    if (parts := _THREE_PARTS.fullmatch(text)) and parts[3] not in _NO_EPITHET and parts[3] not in _FUNCTION_WORDS:
        letters, tail = parts[1].casefold(), _without_rank_words(normalise(parts[4]))
        return ShortForm(letters, f"{letters[0]} {parts[2]} {normalise(parts[3])}{tail}")
    match = _SHORT.fullmatch(text)
    if not match:
        return None
    letters, epithet = match[1].rstrip(". \n\t\xa0").casefold(), match[2]
    is_word = epithet.partition("-")[0] in _FUNCTION_WORDS
    if letters in _NO_LETTERS or len(epithet) < _MIN_EPITHET or epithet in _NO_EPITHET or is_word:
        return None
    return ShortForm(letters, f"{letters[0]} {normalise(epithet)}{_without_rank_words(normalise(match[3]))}")


def fallbacks(text: str) -> tuple[str, ...]:
    """Return what else a taxon written as ``text`` may be called, the nearest first, ``text`` itself left out.

    The name without qualifiers ("sp. nov.", "s.s."), then without words like "strain", then its subspecies and its
    species; a Salmonella serovar with its full name; the genus of "Rhodnius spp."; the singular of a Latin plural.
    Short forms stay short: "E. coli ATCC 25922" gives "E. coli".

    >>> fallbacks("Escherichia coli strain K-12"), fallbacks("streptococci")
    (('Escherichia coli K-12', 'Escherichia coli'), ('streptococcus',))
    """
    text = " ".join(text.split())
    return tuple(dict.fromkeys(other for other in _fallbacks(text) if other and other != text))


def _fallbacks(text: str) -> Iterator[str]:
    bare = _CANDIDATUS.sub("", text)
    bare = _QUALIFIERS.sub("", bare).strip(" ,;\"'‘’“”")
    if (serovar := _SALMONELLA.fullmatch(bare)) and serovar[1].casefold() in SEROVARS:
        if serovar[2]:
            yield f"Salmonella enterica subsp. enterica serovar {serovar[1].capitalize()} str. {serovar[2]}"
        yield f"Salmonella enterica subsp. enterica serovar {serovar[1].capitalize()}"
        yield f"Salmonella enterica serovar {serovar[1].capitalize()}"
        yield "Salmonella enterica"
        return
    yield bare
    yield english_singular(bare)
    yield " ".join(_LABELS.sub("", bare).split())
    yield _TYPE.sub(" ", bare)
    yield _LETTERS_DIGITS.sub(" ", bare)
    if match := _BINOMIAL.fullmatch(bare):
        yield from _shorter(match["genus"], match["rest"])
    if " " not in bare:
        yield from _singular(bare)
    elif bare[:1].islower() and (name := _LATIN_LAST.search(bare)):
        yield name[0]  # "methicillin-resistant Staphylococcus epidermidis"
    elif bare[:1].islower() and genus_of_plural(word := bare.rpartition(" ")[2]):
        yield word  # "vancomycin-resistant enterococci"
        yield from _singular(word)


def _shorter(genus: str, rest: str) -> Iterator[str]:
    """Yield the names of the subspecies, the species or the genus that ``genus`` and ``rest`` begin with."""
    words = rest.split()
    first = words[0].strip(".,()").casefold()
    if words[0][0].isupper() and any(map(str.isdigit, rest)) and not genus.endswith("."):
        yield f"{genus} sp. {rest}"  # "Synechocystis PCC 6803"
    if first in ("cf", "aff", "nr", "x", "×") and len(words) > 1:
        yield " ".join([genus, *words[1:]])
        words = words[1:]
    elif first in _OPEN:
        yield "" if genus.endswith(".") else genus
        return
    epithet = words[0].strip(",;")
    if not (epithet.replace("-", "").isalpha() and epithet.islower() and len(epithet) >= _MIN_EPITHET):
        return
    if len(words) == 3 and words[1] in ("x", "×") and not genus.endswith("."):
        yield f"{genus} {epithet} x {genus} {words[2]}"  # a hybrid
    tail = _AUTHORITY.sub("", " ".join(words[1:]))
    if (sub := _SUB.match(tail)) and sub[1] not in _NO_EPITHET:
        yield f"{genus} {epithet} {sub[0]}"
        yield f"{genus} {epithet} subsp. {sub[1]}"
        yield f"{genus} {epithet} {sub[1]}"
        # A subspecies that has become a species. Of short genera too many species have the epithet.
        if not genus.endswith("."):
            yield f"{genus} {sub[1]}"
    if tail:
        yield f"{genus} {epithet}"


def _singular(word: str) -> Iterator[str]:
    if (name := word.casefold().removesuffix("es")).endswith("virus") and len(name) > len("virus"):
        yield word[: len(name)]
        yield f"{word[: len(name) - len('us')]}idae"  # adenoviruses are Adenoviridae
        return
    for plural, singular in _PLURALS:
        if word.casefold().endswith(plural) and len(word) > len(plural):
            yield word[: -len(plural)] + singular
            return


def english_singular(text: str) -> str:
    """Return a common name of organisms in the singular where its plural has more than an s; else ``text``.

    >>> english_singular("zebra finches"), english_singular("fruit flies"), english_singular("deer mice")
    ('zebra finch', 'fruit fly', 'deer mouse')
    """
    before, _, word = text.rpartition(" ")
    singular = _IRREGULAR.get(word) or _IES.sub("y", _ES.sub("", word))
    return f"{before} {singular}".strip()


def genus_of_plural(word: str) -> str:
    """Return the genus, normalised, of which ``word`` is a Latin plural; ``""`` for other words.

    >>> genus_of_plural("enterococci"), genus_of_plural("mice")
    ('enterococcus', '')
    """
    ending = next((plural for plural in _PLURALS_OF_GENERA if word.endswith(plural) and len(word) > len(plural)), "")
    return next(_singular(word), "") if ending else ""


def _without_rank_words(tail: str) -> str:
    """Return the normalised words after an epithet without words of rank, each after a blank."""
    if not tail:
        return ""
    return "".join(f" {word}" for word in tail.split(" ") if word not in _RANK_WORDS)
