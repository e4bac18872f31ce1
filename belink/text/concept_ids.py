"""The ways in which one concept id is written, brought to one: the CURIE with the prefix that the ontology uses.

``mondo:0005002``, ``MONDO_0005002``, ``http://purl.obolibrary.org/obo/MONDO_0005002`` and the addresses of
bioregistry.io and identifiers.org are all ``MONDO:0005002``. Only declared prefixes are recognised, so that no
other text is taken for an id; nothing is downloaded.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import curies

_BLANK = re.compile(r"(?<=\w)\s*:\s+(?=\w)")  # "MONDO: 0005002"
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*")
_OBO = ("http://purl.obolibrary.org/obo/", "https://purl.obolibrary.org/obo/")
_RESOLVERS = tuple(
    f"{scheme}{host}/"
    for scheme in ("https://", "http://")
    for host in ("bioregistry.io", "www.bioregistry.io", "identifiers.org", "www.identifiers.org", "n2t.net")
)
# Addresses of providers that neither OBO nor a resolver forms, by the prefix in lower case.
_PROVIDERS = {
    "mesh": ("id.nlm.nih.gov/mesh/", "meshb.nlm.nih.gov/record/ui?ui=", "purl.bioontology.org/ontology/MESH/"),
    "umls": ("uts.nlm.nih.gov/uts/umls/concept/", "linkedlifedata.com/resource/umls/id/"),
    "omim": ("omim.org/entry/", "www.omim.org/entry/", "omim.org/MIM:"),
    "orphanet": ("www.orpha.net/ORDO/Orphanet_",),
    "ordo": ("www.orpha.net/ORDO/Orphanet_",),
    "efo": ("www.ebi.ac.uk/efo/EFO_",),
    "snomedct": ("snomed.info/id/",),
}


def standardise(identifier: str, prefixes: Iterable[str]) -> str:
    """Return ``identifier`` as a CURIE with one of ``prefixes``, or unchanged where it has none of them.

    >>> standardise("http://purl.obolibrary.org/obo/MONDO_0005002", ["MONDO"])
    'MONDO:0005002'
    >>> standardise("mondo:0005002", ["MONDO"]), standardise("HP:0000001", ["MONDO"])
    ('MONDO:0005002', 'HP:0000001')
    """
    text = _BLANK.sub(":", identifier.strip().strip("<>\"'"))
    if "://" in text:
        # The names of scheme and host may stand in capitals.
        beginning, _, path = text.partition("//")[2].partition("/")
        text = f"{text.partition('//')[0].lower()}//{beginning.lower()}/{unquote(path).rstrip('/')}"
    converter = _converter(tuple(prefixes))
    # curies takes the longest beginning that fits, so an address with the prefix twice loses both.
    return converter.compress(text) or (":" in text and converter.standardize_curie(text)) or identifier


@lru_cache(maxsize=64)
def _converter(prefixes: tuple[str, ...]) -> "curies.Converter":
    import curies

    records, seen = list[curies.Record](), set[str]()
    for prefix in prefixes:
        # Each spelling and address belongs to the first prefix that claims it: "ORDO" shares those of "Orphanet".
        if _PREFIX.fullmatch(prefix) and prefix.lower() not in seen:
            spellings = tuple(dict.fromkeys((prefix, prefix.upper(), prefix.lower(), prefix.capitalize())))
            first, *others = [each for each in dict.fromkeys(_beginnings(spellings)) if each not in seen]
            seen.update((prefix.lower(), first, *others))
            records.append(
                curies.Record(
                    prefix=prefix,
                    prefix_synonyms=list(spellings[1:]),
                    uri_prefix=first,
                    uri_prefix_synonyms=others,
                )
            )
    return curies.Converter(records)


def _beginnings(spellings: Iterable[str]) -> Iterator[str]:
    """Yield what an id begins with up to its local part, for each spelling of its prefix."""
    for spelling in spellings:
        yield from (f"{address}{spelling}_" for address in _OBO)
        for resolver in _RESOLVERS:
            yield from (f"{resolver}{spelling}{mark}" for mark in (":", "/"))
            # "identifiers.org/mondo/MONDO:0005002": some databases write the prefix into the local part.
            yield from (f"{resolver}{spelling}/{other}:" for other in spellings)
        for provider in _PROVIDERS.get(spelling.lower(), ()):
            yield from (f"https://{provider}", f"http://{provider}")
        yield from (f"{spelling}_", f"obo:{spelling}_", f"OBO:{spelling}_")
        yield from (f"{spelling}:{other}{mark}" for other in spellings for mark in ("_", ":"))
