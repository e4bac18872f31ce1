"""NLM's MeSH XML → its records, parsed while the file is read.

The DTD is never fetched, and a file that declares entities is refused before lxml sees it. Elements are those of NLM's
"XML MeSH Data Elements" (https://www.nlm.nih.gov/mesh/xml_data_elements.html).
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast
from xml.parsers import expat

from lxml import etree

from belink.errors import SourceError
from belink.ontology.readers.archive import open_source
from belink.records import Scope

FEED = 1 << 16  # bytes given to the parser at once

_ROOTS = {"DescriptorRecordSet": "DescriptorRecord", "SupplementalRecordSet": "SupplementalRecord"}
_NAMED = {"DescriptorRecord": "Descriptor", "SupplementalRecord": "SupplementalRecord"}  # …UI, …Name
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?:\d{4})?(?!\d)")
_SCOPES: dict[str, Scope] = {"NRW": "narrow", "BRD": "broad", "REL": "related"}
_INVERSE = {"NRW": "BRD", "BRD": "NRW"}
_REGISTRIES = (  # shape of a registry number → its prefix
    (re.compile(r"\d{2,7}-\d{2}-\d"), "CAS:{}"),
    (re.compile(r"EC (\S+)"), "EC:{}"),
    (re.compile(r"txid(\d+)"), "NCBITaxon:{}"),
    (re.compile(r"[0-9A-Z]{10}"), "UNII:{}"),
)


class File(NamedTuple):
    path: Path
    record: str  # name of its record elements
    year: str  # "" where neither its DTD nor its name says


def look_into(path: Path) -> File:
    """Return the kind of file, by its root element; refuse one that could make the parser fetch or expand anything."""
    seen: dict[str, str] = {}

    def refuse(name: str, *_: object) -> None:
        raise SourceError(f"{path}: expected MeSH XML, which declares no entities, found {name[:80]!r}; do not use it")

    def doctype(name: str, system: str | None, public: str | None, internal: int) -> None:
        seen["dtd"] = system or ""

    def start(tag: str, attributes: object) -> None:
        seen.setdefault("root", tag)

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = start
    try:
        with open_source(path) as stream:
            while "root" not in seen and (chunk := stream.read(1 << 12)):
                parser.Parse(chunk, False)
    except expat.ExpatError as error:
        if "root" not in seen:  # what is wrong further down is for the real parser to say
            raise SourceError(f"{path}: expected MeSH XML, found {error}; is it the right file?") from error
    record = _ROOTS.get(seen.get("root", ""))
    if record is None:
        raise SourceError(
            f"{path}: expected {' or '.join(_ROOTS)}, found {seen.get('root', 'no element')[:80]!r}; name NLM's XML"
        )
    year = _YEAR.search(seen.get("dtd", "")) or _YEAR.search(path.name)
    return File(path, record, year[1] if year else "")


def records(file: File) -> Iterator[tuple["Record", etree._Element]]:
    """Yield the records of ``file`` with their elements, which are gone once the next chunk is parsed.

    ``collect_ids=False`` would make libxml2 load the DTD in spite of ``load_dtd=False``.
    """
    parser = etree.XMLPullParser(
        events=("end",),
        tag=file.record,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_blank_text=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        with open_source(file.path) as stream:
            while chunk := stream.read(FEED):
                parser.feed(chunk)
                _check(parser, file.path)
                last: etree._Element | None = None
                for _, element in cast("Iterator[tuple[str, etree._Element]]", parser.read_events()):
                    yield _record(element, _NAMED[file.record]), element
                    last = element
                if last is not None and (root := last.getparent()) is not None:
                    del root[: root.index(last) + 1]
            parser.close()
    except etree.XMLSyntaxError as error:
        found = " ".join(error.msg.split())  # libxml2 ends some of its messages with a newline
        raise SourceError(f"{file.path}: expected MeSH XML to its end, found {found}; fetch it again") from error


def _check(parser: "etree.XMLPullParser", path: Path) -> None:
    """Raise for an entity that nothing declares: feeding only logs it, and the text would lack it."""
    for entry in parser.feed_error_log:
        if entry.type_name.endswith("UNDECLARED_ENTITY"):
            raise SourceError(
                f"{path}: expected MeSH XML, which uses no entities, found in line {entry.line}: {entry.message}"
            )


class Record:
    """One record, parsed."""

    __slots__ = ("concepts", "headings", "name", "nameless", "note", "preferred", "relations", "trees", "ui", "xrefs")

    def __init__(self, ui: str, name: str) -> None:
        self.ui = ui
        self.name = name
        self.concepts: list[tuple[str, list[tuple[str, str]]]] = []  # MeSH concept, its terms: text, type
        self.preferred = ""  # MeSH concept
        self.relations: list[tuple[str, str, str]] = []  # of the second MeSH concept to the first
        self.trees: list[str] = []
        self.headings: list[str] = []
        self.xrefs: list[str] = []
        self.note = ""
        self.nameless = False  # a term had no String

    def scopes(self) -> dict[str, Scope]:
        """Return the relation of each MeSH concept of the record to the preferred one; unrelated ones are left out."""
        scopes: dict[str, Scope] = {self.preferred: "exact"}
        for relation, first, second in self.relations:
            if second == self.preferred:
                first, second, relation = second, first, _INVERSE.get(relation, relation)
            if first == self.preferred:
                scopes.setdefault(second, _SCOPES.get(relation, "related"))
        return scopes


def _record(element: etree._Element, kind: str) -> Record:
    """Return the record of a complete element; its parts come in document order, a concept before its terms."""
    record = Record(_text(element, f"{kind}UI"), _text(_within(element, f"{kind}Name", 1), "String"))
    for part in element.iter(*_PARTS):
        _PARTS[part.tag](record, part)
    return record


def _text(element: etree._Element, tag: str, position: int = 0) -> str:
    """Return the text of the child ``tag``; ``""`` where there is none.

    :param position: of the child in NLM's DTD, tried first: five times as fast as a search.
    """
    try:
        if (child := element[position]).tag == tag:
            return (child.text or "").strip()
    except IndexError:
        pass
    return next(((child.text or "").strip() for child in element.iterchildren(tag)), "")


def _within(element: etree._Element, tag: str, position: int = 0) -> etree._Element:
    """Return the child ``tag``; ``element`` itself where there is none."""
    try:
        if (child := element[position]).tag == tag:
            return child
    except IndexError:
        pass
    return next(element.iterchildren(tag), element)


def _take_concept(record: Record, part: etree._Element) -> None:
    ui = _text(part, "ConceptUI")
    if part.get("PreferredConceptYN") == "Y" or not record.preferred:
        record.preferred = ui
    record.concepts.append((ui, []))


def _take_term(record: Record, part: etree._Element) -> None:
    if part.get("IsPermutedTermYN") == "Y":
        kind = "permuted"
    else:
        tag = part.get("LexicalTag") or ""
        kind = "" if tag == "NON" else tag
    if text := _text(part, "String", 1):
        if not record.concepts:
            record.concepts.append(("", []))
        record.concepts[-1][1].append((text, kind))
    else:
        record.nameless = True


def _take_relation(record: Record, part: etree._Element) -> None:
    relation = part.get("RelationName") or ""
    record.relations.append((relation, _text(part, "Concept1UI"), _text(part, "Concept2UI", 1)))


def _take_scope_note(record: Record, part: etree._Element) -> None:
    if _is_of_preferred(record):
        record.note = " ".join((part.text or "").split()) or record.note


def _take_note(record: Record, part: etree._Element) -> None:
    if not record.note:
        record.note = " ".join((part.text or "").split())


def _take_tree_number(record: Record, part: etree._Element) -> None:
    if number := (part.text or "").strip():
        record.trees.append(number)


def _take_heading(record: Record, part: etree._Element) -> None:
    # The asterisk marks the heading under which an article is indexed, and is no part of the identifier.
    if ui := _text(_within(part, "DescriptorReferredTo"), "DescriptorUI").lstrip("*"):
        record.headings.append(ui)


def _take_registry_number(record: Record, part: etree._Element) -> None:
    number = (part.text or "").split(" (")[0].strip()  # a related one is followed by the name it is of
    if _is_of_preferred(record) and (xref := _xref(number)):
        record.xrefs.append(xref)


def _is_of_preferred(record: Record) -> bool:
    return bool(record.concepts) and record.concepts[-1][0] == record.preferred


def _xref(number: str) -> str:
    """Return a registry number with the prefix that its shape tells; ``""`` where it tells none."""
    for shape, prefixed in _REGISTRIES:
        if match := shape.fullmatch(number):
            return prefixed.format(match[match.lastindex or 0])
    return ""


_PARTS: dict[Any, Callable[[Record, etree._Element], None]] = {
    "Concept": _take_concept,
    "Term": _take_term,
    "ConceptRelation": _take_relation,
    "ScopeNote": _take_scope_note,
    "Note": _take_note,
    "TreeNumber": _take_tree_number,
    "HeadingMappedTo": _take_heading,
    "RegistryNumber": _take_registry_number,
    "RelatedRegistryNumber": _take_registry_number,
}
