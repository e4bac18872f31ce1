"""OBO text as it is published → clean ``[Term]`` frames that a strict parser reads, and a record of the changes.

Published OBO breaks its own grammar in ways that lose nothing: a URL with an escaped colon, a synonym without scope, an
undeclared synonym type, an ``is_a`` to a term of another file. Such a clause is rewritten and recorded as repaired. A
clause that cannot be understood is set aside with line, text and reason, and the rest is read. Clauses that a release
does not hold (logical definitions, comments, property values, dates) are left out before the parser sees them, which
pays for this pass.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from belink.ontology.readers.obo.entities import NameProperties, is_preferred
from belink.ontology.readers.obo.syntax import (
    SAFE,
    Frame,
    as_windows_1252,
    first_identifier,
    first_match,
    identifier,
    literal,
    plain,
    quoted,
    quotes_escaped,
    sealed,
    unescape,
)
from belink.records import Rejection

SCOPES = ("EXACT", "BROAD", "NARROW", "RELATED")
# Clauses of a term that the grammar knows and a release does not hold.
NOT_KEPT = frozenset(
    "is_anonymous comment intersection_of union_of equivalent_to disjoint_from created_by creation_date builtin".split()
)
# Tags of OBO 1.0 and 1.2 → what they are called since.
OLD_SYNONYMS = {f"{scope.lower()}_synonym": scope for scope in SCOPES}
OLD_REFERENCES = {"xref_analog": "xref", "xref_unk": "xref", "xref_unknown": "xref", "use_term": "consider"}

_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
PLAIN_REFERENCE = re.compile(rf'({SAFE})(?:\s+[!{{"].*)?\Z', re.ASCII)
_RELATION = re.compile(rf"({SAFE}) +({SAFE})(?:\s+[!{{].*)?\Z", re.ASCII)
_SYNONYM = re.compile(rf"{_QUOTED} (EXACT|BROAD|NARROW|RELATED)(?: ({SAFE}))? \[[^\]]*\]", re.ASCII)
# The quotation ends where it should; else at the last mark that could end it.
_SYNONYM_LOOSE = (
    re.compile(rf"{_QUOTED}([^\"\[\]{{}}!]*)([\[{{!].*)?\Z"),
    re.compile(r'"(.*)(?<!\\)"([^"\[\]{}!]*)([\[{!].*)?\Z'),
)
_DEFINITION = re.compile(rf"{_QUOTED}\s*\[.*\]")
_DEFINITION_LOOSE = (
    re.compile(rf"{_QUOTED}\s*(?:[\[{{!].*)?\Z"),
    re.compile(r'"(.*)(?<!\\)"\s*(?:[\[{!].*)?\Z'),
)
_PLAIN = re.compile(r"[^\\{!]+")
# A key holds neither blank nor comma, so that it can begin in one place only: otherwise time grows exponentially.
_MODIFIERS = re.compile(rf"\{{\s*(?:[^\s,={{}}]+\s*=\s*{_QUOTED}[\s,]*)*\}}\s*(?:!.*)?\Z")
_IN_BRACKETS = re.compile(r"[^\s:()]+ \(([A-Za-z][\w.\-]*:[^\s()]+)\)")  # "xref (ILX:0770149)"
_GLUED_DESCRIPTION = re.compile(r'(?<=[^\s\\"])(?="[^"]*"\s*(?:[{!].*)?\Z)')  # the blank before it is missing
# An identifier with blanks in it, up to its description, modifiers or comment.
_WITH_BLANKS = re.compile(r'(?:\\.|[^\\\s]|\s+(?![\s!{"]))*')
_URL = re.compile(r"(?:https?|ftp)://(?:[A-Za-z0-9:/?#@!$&'()*+,;=._~\-]|%[0-9A-Fa-f]{2}|[^\x00-\xa0])*")


class CleanTerm(NamedTuple):
    """One term, written so that a strict parser reads it."""

    id: str  # unescaped
    line: int | None
    text: str


class Cleaner:
    """Frames → clean terms, in one pass; repairs and rejections go to ``reject``."""

    def __init__(self, ids: set[int], reject: Callable[[Rejection], None], names: NameProperties) -> None:
        self.names = names
        self.property_labels: dict[str, str] = {}
        self._ids = ids
        self._reject = reject
        self.dangling: set[str] = set()  # is_a targets that the file leaves out
        self.versions: list[str] = []  # data-version, then owl:versionInfo
        self.default_namespace = ""
        self.imports: list[str] = []
        self.synonym_types: set[str] = set()  # declared, or used and said so

    def terms(self, stanzas: Iterable[Frame]) -> Iterator[CleanTerm]:
        """Yield the terms in the order of the source; other frames are skipped."""
        for frame in stanzas:
            if frame.kind == "Term":
                if term := _Term(self, frame).clean():
                    yield term
            elif frame.kind == "header":
                self._header(frame)
            elif frame.kind == "Typedef":
                tags = dict(clause.strip().split(": ", 1) for clause in reversed(frame.clauses) if ": " in clause)
                self.property_labels[tags.get("id", "")] = tags.get("name", "")
            elif frame.kind not in ("Instance", "Annotation"):
                line = None if frame.line is None else frame.line - frame.step
                opening = frame.kind if frame.kind.startswith("[") else f"[{frame.kind}]"
                text = "".join([f"{opening}\n", *frame.clauses])
                self.set_aside(line, text, "expected [Term], [Typedef] or [Instance], found another frame")

    def set_aside(self, line: int | None, text: str, reason: str, repaired: bool = False) -> None:
        # What is stored must be text, whatever bytes stood there.
        text = text.encode("utf-8", "replace").decode().strip()
        self._reject(Rejection(line=line, text=text[:500], reason=reason[:300], repaired=repaired))

    def is_known(self, target: str) -> bool:
        return hash(target) in self._ids

    def _header(self, frame: Frame) -> None:
        seen_info = []
        for position, clause in enumerate(frame.clauses):
            tag, colon, value = clause.partition(":")
            value = value.strip()
            if tag == "data-version":
                self.versions.append(unescape(value))
            elif tag == "property_value" and (info := re.match(rf"owl:versionInfo\s+{_QUOTED}", value)):
                seen_info.append(unescape(info[1]))
            elif tag == "default-namespace":
                self.default_namespace = unescape(value)
            elif tag == "import":
                self.imports.append(value)
            elif tag == "synonymtypedef":
                self.synonym_types.add(first_identifier(value)[0])
            elif not colon and clause.strip("\ufeff \t\r\n") and not clause.startswith("!"):
                self.set_aside(frame.line_of(position), clause, "expected a clause `tag: value`, found none")
        self.versions += seen_info


class _Term:
    """One term frame being cleaned."""

    def __init__(self, cleaner: Cleaner, frame: Frame) -> None:
        self._cleaner = cleaner
        self._frame = frame
        self._position = 0
        self._clause = ""
        self._id: str | None = None
        self._single: dict[str, str] = {}  # clauses of which a term has one
        self._synonyms: dict[tuple[str, str], str] = {}  # (text, scope) → type
        self._preferred: list[str] = []  # as written
        self._out: list[str] = []

    def clean(self) -> CleanTerm | None:
        for position, clause in enumerate(self._frame.clauses):
            self._position = position
            self._clause = clause if clause.isascii() else self._decoded(clause)
            tag, colon, value = self._clause.partition(":")
            handler = _HANDLERS.get(tag)
            if handler is None:
                self._other(tag, colon, value.strip())
            elif value := value.strip():
                handler(self, tag, value)
            elif tag != "id":
                self._repaired("an empty clause: nothing of it to keep")
        for written in self._preferred:
            self._add_preferred(written)
        if not self._id:
            text = f"[{self._frame.kind}]\n{''.join(self._frame.clauses)}"
            line = None if self._frame.line is None else self._frame.line - self._frame.step
            self._cleaner.set_aside(line, text, "expected a term with an id, found none")
            return None
        text = "\n".join(("[Term]", f"id: {identifier(self._id)}", *self._out, "", ""))
        return CleanTerm(self._id, self._frame.line, text)

    def _repaired(self, reason: str) -> None:
        self._cleaner.set_aside(self._frame.line_of(self._position), self._clause, reason, repaired=True)

    def _rejected(self, reason: str) -> None:
        self._cleaner.set_aside(self._frame.line_of(self._position), self._clause, reason)

    def _decoded(self, clause: str) -> str:
        """Return ``clause`` with bytes that are not UTF-8 read as Windows-1252, which they nearly always are."""
        try:
            clause.encode()
        except UnicodeEncodeError:
            pass
        else:
            return clause
        self._clause = clause
        try:
            decoded = re.sub("[\ud800-\udfff]", as_windows_1252, clause)
        except UnicodeError:
            self._rejected("expected UTF-8, found other bytes")
            return ""
        self._repaired("expected UTF-8, found other bytes; read as Windows-1252")
        return decoded

    def _other(self, tag: str, colon: str, value: str) -> None:
        if tag in NOT_KEPT or not self._clause.strip() or tag.startswith("!"):
            return
        if tag in OLD_SYNONYMS:
            self._synonym(tag, value, OLD_SYNONYMS[tag])
        elif tag in OLD_REFERENCES and value:
            self._repaired(f"{tag} is written {OLD_REFERENCES[tag]} since OBO 1.2")
            self._reference(OLD_REFERENCES[tag], value)
        else:
            self._rejected("expected a clause of an OBO term, found " + (f"the tag {tag[:50]!r}" if colon else "none"))

    def _identifier(self, tag: str, value: str) -> None:
        raw = self._one_identifier(tag, value)
        if raw is None or raw == self._id:
            return
        if self._id is not None:
            self._rejected(f"expected one id, found a second beside {self._id}")
            return
        self._id = raw
        if ":" not in raw:
            self._repaired("expected an id with a prefix, found none; kept, but no ontology's own")

    def _one_identifier(self, tag: str, value: str) -> str | None:
        """Return the identifier that the clause names, unescaped; ``None`` where it was set aside."""
        if fast := PLAIN_REFERENCE.match(value):
            return fast[1]
        if tag == "xref":
            value = _GLUED_DESCRIPTION.sub(" ", value)
        raw, written, rest = first_identifier(value)
        if rest and rest[0] not in ("!", "{", '"'):
            if tag in ("xref", "subset", "namespace", "id"):
                whole = _WITH_BLANKS.match(value)
                raw, rest = unescape(whole[0] if whole else value).strip(), ""
                if tag == "xref" and (inner := _IN_BRACKETS.fullmatch(raw)):
                    raw = inner[1]
                    self._repaired("expected one identifier, found one in brackets; the one in brackets is taken")
                else:
                    self._repaired("expected one identifier, found white space in it; taken whole")
            elif ":" in rest:
                self._rejected("expected one identifier, found more")
                return None
            else:
                self._repaired("expected ` ! ` before the comment")
        elif written.startswith(("http:", "https:", "ftp:")) and not _URL.fullmatch(written):
            self._repaired("a URL with characters that the grammar does not take; kept")
        if not raw.strip() or "\x00" in raw:
            self._rejected("expected an identifier, found none")
            return None
        return raw

    def _reference(self, tag: str, value: str) -> None:
        if (raw := self._one_identifier(tag, value)) is not None:
            self._out.append(f"{tag}: {identifier(raw)}")

    def _is_a(self, tag: str, value: str) -> None:
        raw = self._one_identifier(tag, value)
        if raw is None:
            return
        self._out.append(f"is_a: {identifier(raw)}")
        if not self._cleaner.is_known(raw):
            self._cleaner.dangling.add(raw)
            self._repaired(f"{raw} is a term that the file leaves out; kept as a parent")

    def _namespace(self, tag: str, value: str) -> None:
        raw = self._one_identifier(tag, value)
        if raw is None or self._single.setdefault(tag, raw) != raw:
            if raw is not None:
                self._rejected("expected one namespace, found a second")
            return
        self._out.append(f"namespace: {identifier(raw)}")

    def _name(self, tag: str, value: str) -> None:
        text = value if _PLAIN.fullmatch(value) else self._unquoted(value)
        if not text.strip():
            self._repaired("an empty clause: nothing of it to keep")
            return
        if self._single.setdefault(tag, text) is text:
            self._out.append(f"name: {plain(text)}")
        elif text != self._single[tag]:
            self._repaired("expected one name, found a second; kept as an exact synonym")
            self._add_synonym(quoted(text)[1:-1], "EXACT", "")

    def _unquoted(self, value: str) -> str:
        """Return an unquoted string up to its modifiers or comment, unescaped."""
        end = re.match(r"(?:\\.|[^\\{!])*", value)
        text, rest = (end[0], value[end.end() :]) if end else ("", value)
        if rest.startswith("\\") or (rest.startswith("{") and not _MODIFIERS.match(rest)):
            self._repaired("expected modifiers or an escape, found text; taken literally")
            text = value.rstrip("\\")
        return unescape(text).strip()

    def _definition(self, tag: str, value: str) -> None:
        text = None
        if match := _DEFINITION.match(value):
            text = match[1]
        elif match := first_match(_DEFINITION_LOOSE, value):
            text = quotes_escaped(match[1])
            self._repaired("expected one quoted text and a list of xrefs, found otherwise; the text is kept")
        elif not value.startswith('"'):
            text = quoted(value)[1:-1]
            self._repaired("expected a quoted text, found none; taken whole")
        if text is None:
            self._rejected("expected a quoted text, found no end of it")
        elif self._single.setdefault(tag, text) is text:
            self._out.append(f'def: "{sealed(text)}" []')
        elif text != self._single[tag]:
            self._rejected("expected one definition, found a second; the first is kept")

    def _synonym(self, tag: str, value: str, default: str = "RELATED") -> None:
        if tag == "synonym" and (fast := _SYNONYM.match(value)):
            written, scope, type = fast.groups("")
            if type or written[:1].isspace() or written[-1:] in ("\\", "") or (written, scope) in self._synonyms:
                self._add_synonym(written, scope, type)
            else:
                self._synonyms[written, scope] = ""
                self._out.append(f'synonym: "{written}" {scope} []')
            return
        match = first_match(_SYNONYM_LOOSE, value)
        if not match:
            self._rejected("expected a quoted text, a scope and a list of xrefs, found otherwise")
            return
        words = match[2].split()
        scopes = [word.upper() for word in words if word.upper() in SCOPES] or [default]
        types = [word for word in words if word.upper() not in SCOPES]
        listed = (match[3] or "").startswith("[") and "]" in match[3]
        sound = tag == "synonym" and len(types) < 2 and words[:1] == scopes and listed
        text = quotes_escaped(match[1])
        if not sound or text != match[1]:
            self._repaired("expected a quoted text, a scope and a list of xrefs; read by what is there")
        self._add_synonym(text, scopes[0], unescape(" ".join(types)))

    def _add_synonym(self, written: str, scope: str, type: str) -> None:
        """Add a synonym whose text is ``written`` as it stands between quotation marks."""
        if not written or not unescape(written).strip():
            self._repaired("an empty synonym: nothing of it to keep")
            return
        if (first := self._synonyms.setdefault((written, scope), type)) != type:
            self._repaired(f"the same synonym twice; kept once, its type {first or 'none'}")
        written = sealed(written)
        if not type:
            self._out.append(f'synonym: "{written}" {scope} []')
            return
        if type not in self._cleaner.synonym_types:
            self._cleaner.synonym_types.add(type)
            self._repaired(f"the synonym type {type} is declared nowhere; kept, and said this once")
        self._out.append(f'synonym: "{written}" {scope} {identifier(type)} []')

    def _property_value(self, tag: str, value: str) -> None:
        property, written = literal(value) or ("", "")
        if is_preferred(property):
            self._preferred.append(written)
        elif scope := self._cleaner.names.scope(property):
            self._add_synonym(written, scope, "")
        elif property:
            self._cleaner.names.note_unread(property)

    def _add_preferred(self, written: str) -> None:
        """Add a preferred label: the name where there is no other, else a synonym."""
        if "name" not in self._single:
            self._name("name", plain(unescape(written)))
        elif unescape(written).strip() != self._single["name"]:
            self._add_synonym(written, "EXACT", "")

    def _relationship(self, tag: str, value: str) -> None:
        if fast := _RELATION.match(value):
            self._out.append(f"relationship: {fast[1]} {fast[2]}")
            return
        predicate, _, rest = first_identifier(value)
        target = self._one_identifier(tag, rest) if rest and rest[0] not in "!{" else None
        if target is None:
            self._rejected("expected a relation and a term, found less or more")
        else:
            self._out.append(f"relationship: {identifier(predicate)} {identifier(target)}")

    def _obsolete(self, tag: str, value: str) -> None:
        word = value.split()[0]
        if word not in ("true", "false"):
            spellings = {"true": "true", "1": "true", "yes": "true", "false": "false", "0": "false", "no": "false"}
            if word.lower() not in spellings:
                self._rejected("expected true or false, found neither")
                return
            self._repaired("expected true or false, found another spelling")
            word = spellings[word.lower()]
        self._out.append(f"is_obsolete: {word}")


_HANDLERS: dict[str, Callable[[_Term, str, str], None]] = {
    "id": _Term._identifier,
    "name": _Term._name,
    "def": _Term._definition,
    "synonym": _Term._synonym,
    "is_a": _Term._is_a,
    "xref": _Term._reference,
    "alt_id": _Term._reference,
    "subset": _Term._reference,
    "replaced_by": _Term._reference,
    "consider": _Term._reference,
    "namespace": _Term._namespace,
    "property_value": _Term._property_value,
    "relationship": _Term._relationship,
    "is_obsolete": _Term._obsolete,
}
