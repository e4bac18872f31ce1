"""Names of viruses that taxonomies write otherwise than papers: bacteriophages, and herpesviruses with a number.

What tells phages apart is the designation: a taxonomy lists "Bacillus phage SPP1", and papers write "phage SPP1" or
"SPP1 phage". Herpesviruses have the host and a number: "Equid alphaherpesvirus 1" is "equine herpesvirus 1".
:func:`key` gives names the key that :func:`read` finds in texts.
"""

import re

from belink.text.normalise import normalise

_DESIGNATION = r"(?P<designation>[^\W_][\w*/.-]{0,15}(?: [0-9A-Z][\w-]{0,7})?)"
_PHAGE = r"(?:bacterio|coli|vibrio|cyano|actino|mycobacterio|myco)?phage"
_FIRST = re.compile(rf"(?:(?P<host>[A-Za-z][\w .-]{{2,60}}?) )?{_PHAGE} {_DESIGNATION}", re.IGNORECASE)
_LAST = re.compile(rf"{_DESIGNATION} {_PHAGE}(?: particles)?", re.IGNORECASE)
_IN_NAME = re.compile(r"(?P<host>[a-z]+(?: [a-z]+)?) phage (?P<designation>\S+(?: \S+)?)")
_SPECIES = re.compile(r"[a-z]+virus (?P<designation>\S+)")
_HERPESVIRUS = re.compile(
    r"(?P<host>[a-z]+) (?:alpha|beta|gamma)?herpesvirus (?:type )?(?P<number>\d{1,2}[ab]?)", re.IGNORECASE
)
# Words that stand beside "phage" without being a designation: "phage display", "lytic phage".
_NO_DESIGNATION = frozenset(
    "a an and are defective display dna each filamentous from genome genomes helper in infection is library lysate "
    "lysates lytic new novel of one or other particle particles receptor resistance resistant tailed temperate that "
    "the therapy these this to transducing type types typing virulent was were wild-type with".split()
)
_ENTEROBACTERIA = ("enterobacteri", "coliphage")
_ADJECTIVE = re.compile(r"(?:ial|al|ic)$")  # "lactococcal" is of Lactococcus
# Adjectives → the words that names of herpesviruses have for hosts.
_HOSTS = {
    "equine": "equid", "feline": "felid", "canine": "canid", "porcine": "suid", "murine": "murid", "mouse": "murid",
    "chicken": "gallid", "caprine": "caprine", "cervine": "cervid", "cercopithecine": "cercopithecine",
}  # fmt: skip


def key(name: str) -> str:
    """Return the key of the normalised name of a phage, of a species that one may be of, or of a herpesvirus.

    Other names have none: ``""``.

    >>> key("bacillus phage spp1"), key("tequatrovirus t4"), key("equid alphaherpesvirus 1"), key("bacillus subtilis")
    ('~ phage spp1', '~ phage t4', '~ equid herpesvirus 1', '')
    """
    if match := _HERPESVIRUS.fullmatch(name):
        return f"~ {match['host']} herpesvirus {match['number']}"
    match = _IN_NAME.fullmatch(name) or _SPECIES.fullmatch(name)
    return _phage_key(match["designation"]) if match else ""


def read(text: str) -> tuple[str, str] | None:
    """Return the first letters of the host's genus, in lower case, and the key of the virus that ``text`` is called.

    ``""`` stands for any host; ``None`` for a text that names neither a phage nor a herpesvirus.

    >>> read("coliphage T4"), read("lactococcal phage c2"), read("phage display"), read("equine herpesvirus type 1")
    (('', '~ phage t4'), ('lactococc', '~ phage c2'), None, ('equid', '~ equid herpesvirus 1'))
    """
    lowered = text.casefold()
    if "herpesvirus" in lowered and (match := _HERPESVIRUS.fullmatch(lowered)):
        host = _HOSTS.get(match["host"], match["host"])
        return host, f"~ {host} herpesvirus {match['number']}"
    match = (_FIRST.fullmatch(text) or _LAST.fullmatch(text)) if "phage" in lowered else None
    if match is None or match["designation"].casefold() in _NO_DESIGNATION:
        return None
    host = (match.groupdict().get("host") or "").partition(" ")[0].casefold()
    letters = "" if host.startswith(_ENTEROBACTERIA) else _ADJECTIVE.sub("", host).strip(".")
    return letters, _phage_key(normalise(match["designation"]))


def _phage_key(designation: str) -> str:
    # Papers write "phi 29", "phi-29" and "phi29".
    return f"~ phage {designation.replace(' ', '').replace('-', '')}"
