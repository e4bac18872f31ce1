"""The syntax of OBO: stanzas, and strings escaped as the format requires. OWL and JSON are converted to it too.

Format: OBO flat file 1.4, https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SAFE = r"[A-Za-z0-9_.\-]+(?::[A-Za-z0-9_.\-]+)?"  # an identifier that needs no escape
_SAFE_ID = re.compile(SAFE, re.ASCII)
_LITERAL = re.compile(r'((?:\\.|[^\s\\])+)\s+"((?:\\.|[^"\\])*)"')
_BARE_QUOTE = re.compile(r'\\.|"')
_STANZA = re.compile(r"\[(\w+)\]")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "W": " "}


class Frame(NamedTuple):
    """One stanza of OBO text, with its clauses as written."""

    kind: str  # "header", "Term", "Typedef", "Instance", or what stood between the brackets
    line: int | None  # 1-based line of the first clause; None where the source has no lines
    clauses: list[str]
    step: int = 1  # lines from one clause to the next; 0 where they all come from one place

    def line_of(self, position: int) -> int | None:
        return None if self.line is None else self.line + position * self.step


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """Yield the stanzas of OBO text; the header first, also where it is empty."""
    kind, start, clauses = "header", 1, list[str]()
    for number, line in enumerate(lines, 1):
        if line.startswith("["):
            yield Frame(kind, start, clauses)
            stanza = _STANZA.match(line)
            kind, start, clauses = (stanza[1] if stanza else line.strip()), number + 1, []
            if kind.lower() == "term":
                kind = "Term"
        else:
            clauses.append(line)
    yield Frame(kind, start, clauses)


def unescape(text: str) -> str:
    """Return OBO text with its backslashes resolved."""
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text) if "\\" in text else text


def identifier(raw: str) -> str:
    """Return ``raw`` as OBO writes an identifier, so that a parser gives back exactly ``raw`` (blanks run together)."""
    if _SAFE_ID.fullmatch(raw):
        return raw
    return re.sub(r"([^\w.\-])", r"\\\1", " ".join(raw.split()))


def quoted(raw: str) -> str:
    """Return ``raw`` as OBO writes a quoted string."""
    escaped = raw.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{sealed(escaped)}"'


def plain(raw: str) -> str:
    """Return ``raw`` as OBO writes an unquoted string, such as a label."""
    escaped = raw.strip().replace("\\", "\\\\").replace("{", "\\{").replace("!", "\\!")
    return escaped.replace("\n", "\\n").replace("\r", "\\r")


def sealed(written: str) -> str:
    """Return the content of a quoted string, made safe where it ends in a backslash.

    fastobo takes a backslash at the end for an escaped quotation mark.
    """
    return written + " " if written.endswith("\\\\") else written


def unsealed(text: str) -> str:
    """Return what a parser gives for a sealed string as it was before."""
    return text[:-1] if text.endswith("\\ ") else text


def synonym(raw: str, scope: str, type: str = "") -> str:
    """Return the clause of a synonym; its xrefs are not kept."""
    return f"synonym: {quoted(raw)} {scope} {identifier(type) + ' ' if type else ''}[]"


def literal(value: str) -> tuple[str, str] | None:
    """Return the property and the text, as written between quotation marks, of a property_value clause.

    ``None`` where the value is no text.
    """
    match = _LITERAL.match(value)
    return (unescape(match[1]), match[2]) if match else None


def first_identifier(value: str) -> tuple[str, str, str]:
    """Return the identifier that ``value`` begins with: unescaped, as written, and what follows it."""
    match = re.match(r"(?:\\.|[^\s\\])*", value)
    written = match[0] if match else ""
    return unescape(written), written, value[len(written) :].strip()


def first_match(patterns: Iterable[re.Pattern[str]], text: str) -> re.Match[str] | None:
    """Return the match of the first of ``patterns`` that matches the beginning of ``text``."""
    return next((match for pattern in patterns if (match := pattern.match(text))), None)


def quotes_escaped(written: str) -> str:
    """Return the content of a quoted string with all quotation marks escaped."""
    return _BARE_QUOTE.sub(lambda m: m[0] if len(m[0]) > 1 else '\\"', written)


def as_windows_1252(match: re.Match[str]) -> str:
    """Return the character that an undecodable byte, kept as a lone surrogate, stands for."""
    return match[0].encode("utf-8", "surrogateescape").decode("cp1252")
