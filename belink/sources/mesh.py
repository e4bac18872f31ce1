"""NLM's MeSH XML (desc20xx, supp20xx) → a release, record by record.

A descriptor becomes one concept; the names of its narrower, broader and related MeSH concepts keep that as their scope.
Parents come from tree numbers, those of a supplementary record from the headings it is mapped to. Elements as in NLM's
"XML MeSH Data Elements" (https://www.nlm.nih.gov/mesh/xml_data_elements.html).

The DTD is never fetched and a file that declares entities is refused before lxml sees it. Rows go to DuckDB as columns
from a second thread: a Concept and a Name object for each record and term took longer than the parsing.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast
from xml.parsers import expat

from lxml import etree

from belink.declarations import Source
from belink.errors import SourceError
from belink.records import Name, Scope
from belink.release_writer import REJECTED_TEXT, ReleaseWriter
from belink.sources.archive import opened
from belink.sources.columns import Columns

PREFIX = "MESH"
BATCH = 100_000  # names handed to DuckDB at once
FEED = 1 << 16  # bytes given to the parser at once

_ROOTS = {"DescriptorRecordSet": "DescriptorRecord", "SupplementalRecordSet": "SupplementalRecord"}
_NAMED = {"DescriptorRecord": "Descriptor", "SupplementalRecord": "SupplementalRecord"}  # …UI, …Name
_UI = re.compile(r"[A-Z]\d{3,12}")
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?:\d{4})?(?!\d)")
_SCOPES: dict[str, Scope] = {"NRW": "narrow", "BRD": "broad", "REL": "related"}
_INVERSE = {"NRW": "BRD", "BRD": "NRW"}
_REGISTRIES = (  # shape of a registry number → its prefix
    (re.compile(r"\d{2,7}-\d{2}-\d"), "CAS:{}"),
    (re.compile(r"EC (\S+)"), "EC:{}"),
    (re.compile(r"txid(\d+)"), "NCBITaxon:{}"),
    (re.compile(r"[0-9A-Z]{10}"), "UNII:{}"),
)


def read(paths: Sequence[Path], source: Source, into: ReleaseWriter) -> None:
    """Write the descriptors and supplementary records of ``paths`` (plain or .gz) into a release.

    With ``branches`` (tree-number prefixes: C, F03, D) only descriptors below them are kept, and the supplementary
    records mapped to one that is.

    :raises SourceError: not MeSH XML, truncated, declaring entities, or branches without a file of descriptors.
    """
    files = [_looked_into(path) for path in paths]
    files.sort(key=lambda file: file.record != "DescriptorRecord")  # headings are known before what is mapped to them
    if source.branches and not any(file.record == "DescriptorRecord" for file in files):
        raise SourceError(f"{source.name}: branches need the descriptors (desc20xx.xml), found none; add that file")
    into.version = _version(files, into)
    constant: dict[str, dict[str, Any]] = {
        "concept": {"prefix": PREFIX, "obsolete": False, "own": into.is_own(PREFIX)},
        "name": {"language": "", "source": ""},
        "membership": {"kind": "tree_number"},
    }
    with Columns(into, constant) as columns:
        mesh = _Mesh(source, into, columns)
        for file in files:
            for element in _elements(file):
                mesh.add(element, file)
            if file.record == "DescriptorRecord":
                mesh.write_tree()


class _File(NamedTuple):
    path: Path
    record: str  # name of its record elements
    year: str  # "" where neither its DTD nor its name says


def _looked_into(path: Path) -> _File:
    """What the file is, by its root element; refuses what could make the parser fetch or expand anything."""
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
        with opened(path) as stream:
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
    return _File(path, record, year[1] if year else "")


def _version(files: Iterable[_File], into: ReleaseWriter) -> str | None:
    years = sorted({file.year for file in files if file.year})
    if len(years) > 1 and not into.version_hint:
        raise SourceError(
            f"mesh: expected files of one year, found {' and '.join(years)}; give matching ones or --version"
        )
    return years[-1] if years else None


def _elements(file: _File) -> Iterator[etree._Element]:
    """The record elements of ``file``; each is gone once the next chunk is parsed.

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
        with opened(file.path) as stream:
            while chunk := stream.read(FEED):
                parser.feed(chunk)
                _check(parser, file.path)
                last: etree._Element | None = None
                for _, element in cast("Iterator[tuple[str, etree._Element]]", parser.read_events()):
                    yield element
                    last = element
                if last is not None and (root := last.getparent()) is not None:
                    del root[: root.index(last) + 1]
            parser.close()
    except etree.XMLSyntaxError as error:
        found = " ".join(error.msg.split())  # libxml2 ends some of its messages with a newline
        raise SourceError(f"{file.path}: expected MeSH XML to its end, found {found}; fetch it again") from error


def _check(parser: "etree.XMLPullParser", path: Path) -> None:
    """Raise what feeding only logs: an entity that nothing declares, which would be left out of the text."""
    for entry in parser.feed_error_log:
        if entry.type_name.endswith("UNDECLARED_ENTITY"):
            raise SourceError(
                f"{path}: expected MeSH XML, which uses no entities, found in line {entry.line}: {entry.message}"
            )


class _Record:
    """One record element, taken apart."""

    __slots__ = (
        "concept",
        "headings",
        "name",
        "nameless",
        "note",
        "preferred",
        "relations",
        "terms",
        "trees",
        "ui",
        "xrefs",
    )

    def __init__(self, ui: str, name: str) -> None:
        self.ui = ui
        self.name = name
        self.terms: list[tuple[str, str, str]] = []  # text, type, MeSH concept
        self.trees: list[str] = []
        self.headings: list[str] = []
        self.xrefs: list[str] = []
        self.nameless = False  # a term had no String
        self.note = ""
        self.concept = ""  # the MeSH concept that is being read
        self.preferred = ""
        self.relations: list[tuple[str, str, str]] = []  # of the second MeSH concept to the first

    def scopes(self) -> dict[str, Scope]:
        """What each MeSH concept of the record is to the preferred one; one without a relation is not listed."""
        found: dict[str, Scope] = {self.preferred: "exact"}
        for relation, first, second in self.relations:
            if second == self.preferred:
                first, second, relation = second, first, _INVERSE.get(relation, relation)
            if first == self.preferred:
                found.setdefault(second, _SCOPES.get(relation, "related"))
        return found


class _Mesh:
    """Records on their way into a release."""

    def __init__(self, source: Source, into: ReleaseWriter, columns: Columns) -> None:
        self._source = source
        self._into = into
        self._columns = columns
        # Not through _put, there being so many.
        self._concept, self._name, self._parent = (tuple(columns.of[t].values()) for t in ("concept", "name", "parent"))
        self._seen: set[str] = set()
        self._kept: set[str] = set()  # descriptors
        self._at: dict[str, str] = {}  # tree number → descriptor
        self._keeps: dict[tuple[Scope, str], bool] = {}

    def add(self, element: etree._Element, file: _File) -> None:
        """Take one record, or set it aside."""
        record = _taken(element)
        if fault := self._fault(record):
            self._reject(element, file, fault)
            return
        self._seen.add(record.ui)
        if record.nameless:
            self._reject(element, file, f"{record.ui}: expected a String in every term, found none in one")
        if self._is_chosen(record, file.record == "DescriptorRecord"):
            self._write(record)

    def _is_chosen(self, record: _Record, descriptor: bool) -> bool:
        branches = self._source.branches
        if descriptor:
            if branches and not any(map(self._in_branch, record.trees)):
                return False
            self._kept.add(record.ui)
            for number in record.trees:
                self._at[number] = record.ui
        elif branches:
            record.headings = [ui for ui in record.headings if ui in self._kept]
            return bool(record.headings)
        return True

    def write_tree(self) -> None:
        """The parents of the descriptors: what stands one level higher in the tree."""
        pairs = dict.fromkeys((ui, self._at.get(number.rpartition(".")[0])) for number, ui in self._at.items())
        for ui, above in pairs:
            if above:
                self._put("parent", f"{PREFIX}:{ui}", f"{PREFIX}:{above}")

    def _in_branch(self, number: str) -> bool:
        return any(
            number.startswith(branch) and (len(branch) == 1 or number[len(branch) :][:1] in ("", "."))
            for branch in self._source.branches
        )

    def _fault(self, record: _Record) -> str:
        if not _UI.fullmatch(record.ui):
            return f"expected a record with a unique identifier, found {record.ui[:40]!r}"
        if record.ui in self._seen:
            return f"{record.ui}: expected one record of that identifier, found another one"
        if not record.name:
            return f"{record.ui}: expected a record with a name, found none"
        return ""

    def _reject(self, element: etree._Element, file: _File, reason: str) -> None:
        text = " ".join("".join(str(t) for t in element.itertext()).split())[:REJECTED_TEXT]
        self._put("rejection", element.sourceline, text, f"{file.path.name}: {reason}", False)

    def _put(self, table: str, *row: Any) -> None:
        """Add a row, without the values that are the same in every row of the table."""
        for values, value in zip(self._columns.of[table].values(), row, strict=True):
            values.append(value)

    def _write(self, record: _Record) -> None:
        concept_id, label = f"{PREFIX}:{record.ui}", record.name
        for values, value in zip(self._concept, (concept_id, label, record.note), strict=True):
            values.append(value)
        ids, texts, scopes, kinds = self._name
        if "label" in self._source.names.scopes:
            ids.append(concept_id)
            texts.append(label)
            scopes.append("label")
            kinds.append("")
        scope_of = record.scopes()
        for text, kind, concept in record.terms:
            scope = scope_of.get(concept, "related")
            if text != label and self._is_kept(scope, kind):
                ids.append(concept_id)
                texts.append(text)
                scopes.append(scope)
                kinds.append(kind)
        children, parents = self._parent
        for heading in dict.fromkeys(record.headings):
            children.append(concept_id)
            parents.append(f"{PREFIX}:{heading}")
        for number in record.trees:
            self._put("membership", concept_id, number)
        for xref in dict.fromkeys(record.xrefs):
            self._put("xref", concept_id, xref)
        if len(ids) >= BATCH:
            self._columns.send()

    def _is_kept(self, scope: Scope, kind: str) -> bool:
        known = self._keeps.get((scope, kind))
        if known is None:
            known = self._into.keeps(Name(text="", scope=scope, type=kind))
            self._keeps[scope, kind] = known
        return known


def _taken(element: etree._Element) -> _Record:
    kind = _NAMED[element.tag]
    record = _Record(_text(element, f"{kind}UI"), _text(_within(element, f"{kind}Name", 1), "String"))
    for part in element.iter(*_PARTS):
        _PARTS[part.tag](record, part)
    return record


def _text(element: etree._Element, tag: str, position: int = 0) -> str:
    """The text of the child ``tag``; ``""`` where there is none.

    :param position: where NLM's DTD puts it; asked first, being five times as fast as a search.
    """
    if position < len(element) and (child := element[position]).tag == tag:
        return (child.text or "").strip()
    return next(((child.text or "").strip() for child in element.iterchildren(tag)), "")


def _within(element: etree._Element, tag: str, position: int = 0) -> etree._Element:
    """The child ``tag``; ``element`` itself where there is none."""
    if position < len(element) and (child := element[position]).tag == tag:
        return child
    return next(element.iterchildren(tag), element)


def _take_concept(record: _Record, part: etree._Element) -> None:
    record.concept = _text(part, "ConceptUI")
    if part.get("PreferredConceptYN") == "Y" or not record.preferred:
        record.preferred = record.concept


def _take_term(record: _Record, part: etree._Element) -> None:
    if part.get("IsPermutedTermYN") == "Y":
        kind = "permuted"
    else:
        tag = part.get("LexicalTag") or ""
        kind = "" if tag == "NON" else tag
    if text := _text(part, "String", 1):
        record.terms.append((text, kind, record.concept))
    else:
        record.nameless = True


def _take_relation(record: _Record, part: etree._Element) -> None:
    relation = part.get("RelationName") or ""
    record.relations.append((relation, _text(part, "Concept1UI"), _text(part, "Concept2UI", 1)))


def _take_scope_note(record: _Record, part: etree._Element) -> None:
    if record.concept == record.preferred:
        record.note = " ".join((part.text or "").split())


def _take_note(record: _Record, part: etree._Element) -> None:
    if not record.note:
        record.note = " ".join((part.text or "").split())


def _take_tree_number(record: _Record, part: etree._Element) -> None:
    if number := (part.text or "").strip():
        record.trees.append(number)


def _take_heading(record: _Record, part: etree._Element) -> None:
    # The asterisk marks the heading under which an article is indexed, and is no part of the identifier.
    if ui := _text(_within(part, "DescriptorReferredTo"), "DescriptorUI").lstrip("*"):
        record.headings.append(ui)


def _take_registry_number(record: _Record, part: etree._Element) -> None:
    if record.concept != record.preferred:
        return
    number = (part.text or "").split(" (")[0].strip()  # a related number is followed by the name that it belongs to
    for shape, prefixed in _REGISTRIES:
        if found := shape.fullmatch(number):
            record.xrefs.append(prefixed.format(found[found.lastindex or 0]))
            return


_PARTS: dict[Any, Callable[[_Record, etree._Element], None]] = {
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
