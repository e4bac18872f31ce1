"""OWL in RDF/XML → entities, streaming over the elements below the root.

Classes may be flat (``rdf:Description`` with an ``rdf:type``, also a description for each statement) or nested into one
another, and literals may be attributes; tools differ in that.
Logical axioms other than "a kind of" and "in this relation to that class" have no place in a release and are not read.
XML entities are expanded only where the file itself declares them as plain text; nothing is fetched.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urljoin

from lxml import etree

from belink.errors import SourceError
from belink.ontology.readers.obo import entities
from belink.ontology.readers.obo.entities import (
    OBO,
    OBO_IN_OWL,
    OWL,
    SCOPES,
    SKOS,
    TERMS_MERGED,
    Converted,
    Entity,
    Header,
    Text,
)
from belink.ontology.readers.obo.syntax import Frame

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_RDFS = "{http://www.w3.org/2000/01/rdf-schema#}"
_OWL = f"{{{OWL}}}"
_OBO = f"{{{OBO}}}"
_OIO = f"{{{OBO_IN_OWL}}}"
_DOAP = "{http://usefulinc.com/ns/doap#}"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_LANGUAGE, _BASE = f"{_XML}lang", f"{_XML}base"
_RESOURCE, _ABOUT, _ID, _NODE = f"{_RDF}resource", f"{_RDF}about", f"{_RDF}ID", f"{_RDF}nodeID"
_PARSE_TYPE = f"{_RDF}parseType"
_SYNONYMS = {f"{_OIO}{name}": scope for name, scope in SCOPES.items()}
_TARGETS = tuple(f"{_OWL}{name}" for name in ("someValuesFrom", "allValuesFrom", "onClass", "hasValue"))
_CLASSES = (f"{_OWL}Class", f"{_RDFS}Class")
_ENTITIES = (*_CLASSES, *(f"{_OWL}{name}" for name in ("ObjectProperty", "AnnotationProperty")))
_DESCRIPTION, _AXIOM, _RESTRICTION = f"{_RDF}Description", f"{_OWL}Axiom", f"{_OWL}Restriction"
_ON_PROPERTY = f"{_OWL}onProperty"
_SOURCE, _PROPERTY, _TARGET = (f"{_OWL}annotated{part}" for part in ("Source", "Property", "Target"))
_SYNONYM_TYPE = f"{_OIO}hasSynonymType"
_OF_NODES = (_ON_PROPERTY, *_TARGETS, _SOURCE, _PROPERTY, _TARGET, _SYNONYM_TYPE)
_TYPE = f"{_RDF}type"
_CLASS_IRIS = frozenset(tag.replace("{", "").replace("}", "") for tag in _CLASSES)
_VERSION_IRI, _VERSION_INFO = f"{_OWL}versionIRI", (f"{_OWL}versionInfo", f"{_DOAP}Version")
_READ = (*_ENTITIES, _DESCRIPTION, _AXIOM, _RESTRICTION, f"{_OWL}Ontology")

_OF_HEADERS = (_VERSION_IRI, *_VERSION_INFO, f"{_OIO}default-namespace", f"{_OIO}hasDefaultNamespace")

log = logging.getLogger(__name__)


def read_frames(stream: BinaryIO, path: Path, name_properties: Mapping[str, str]) -> Converted:
    """Return the ontology as OBO frames; a term's line is that of its class element.

    :param name_properties: annotation properties that hold names beside the usual ones, with their scope.
    :raises SourceError: not RDF/XML, or not whole.
    """
    reading = _Reading(entities.NameProperties(name_properties))
    try:
        for element in _below_root(stream, path):
            reading.take(element)
    except etree.XMLSyntaxError as error:
        fault = " ".join(str(error.msg).split())
        raise SourceError(
            f"{path}: expected whole OWL in RDF/XML, found a fault: {fault}; was it cut off? Fetch it again"
        ) from error
    if reading.unread:
        log.info("%s: %d class expressions beyond a parent or a relation are not read", path, reading.unread)
    return Converted(reading.frames(), reading.names.rejections(reading.labels()))


def _below_root(stream: BinaryIO, path: Path) -> Iterator[etree._Element]:
    """Yield each element below the root once it is complete, and empty it afterwards."""
    root = None
    for event, element in etree.iterparse(stream, events=("start", "end"), tag=(f"{_RDF}RDF", *_READ), no_network=True):
        if root is None:
            root = element
            if root.tag != f"{_RDF}RDF":
                raise SourceError(
                    f"{path}: expected OWL in RDF/XML, found {etree.QName(root).localname} at its root;"
                    " convert it (robot convert --format owl)"
                )
        elif event == "end" and element.getparent() is root:
            # Elements of other kinds stand before it, which raise no events; classes may be written inside them.
            yield from reversed([*element.itersiblings("*", preceding=True)])
            yield element
            element.clear()
            while element.getprevious() is not None:
                del root[0]
    if root is not None:
        yield from (element for element in root.iterchildren("*") if element.tag not in _READ)


class _Reading:
    """The entities of one file, gathered from all elements about them."""

    def __init__(self, names: entities.NameProperties) -> None:
        self.names = names
        self.unread = 0  # class expressions
        self._header = Header()
        self._entities: dict[str, Entity] = {}
        self._types: dict[tuple[str, str, str], str] = {}  # (class, scope, synonym) → type
        # Nodes without a name of their own, whose statements may stand in several places: node id → tag → value.
        self._nodes: dict[str, dict[str, str]] = {}
        self._references: list[tuple[Entity, str]] = []  # classes below a restriction that has a node id
        self._ontology = ""  # its IRI
        self._headers: dict[str, list[etree._Element]] = {}  # IRI → statements that a header may have

    def frames(self) -> list[Frame]:
        for statement in self._headers.get(self._ontology, ()):
            self._take_statement_of_header(statement)
        for node in self._nodes.values():
            self._take_axiom(node)
        for entity, name in self._references:
            self._add_relation(entity, _relation(self._nodes.get(name, {})))
        for entity in self._entities.values():
            entity.synonyms = [
                (scope, text, self._types.get((entity.iri, scope, text.text), type))
                for scope, text, type in entity.synonyms
            ]
        return entities.frames(self._header, self._entities.values())

    def labels(self) -> dict[str, str]:
        """Return IRI → label of the properties that the file describes."""
        return {each.iri: each.labels[0].text for each in self._entities.values() if each.labels and not each.is_class}

    def take(self, element: etree._Element) -> None:
        kinds = _kinds(element)
        iri = _iri(element)
        if f"{OWL}Ontology" in kinds:
            self._ontology = iri
            for child in element:
                self._take_statement_of_header(child)
            for attribute in _VERSION_INFO:
                self._header.infos += filter(None, [element.get(attribute, "")])
        elif f"{OWL}Axiom" in kinds or element.get(_NODE):
            self._take_node(element)
        elif iri and (element.tag in _READ or f"{OWL}Class" in kinds):
            self._take_entity(element, iri, kinds)
        self._take_nested(element)

    def _take_nested(self, element: etree._Element) -> None:
        """Take the classes that are written inside another one, with statements of their own."""
        for inner in element.iterdescendants(*_ENTITIES, _DESCRIPTION):
            # Without statements it is a reference, and does not say that the class belongs to this file.
            if (len(inner) or _literals(inner)) and (iri := _iri(inner)):
                self._take_entity(inner, iri, _kinds(inner))

    def _take_statement_of_header(self, child: etree._Element) -> None:
        value = _referred(child) or _value(child)
        if child.tag == _VERSION_IRI:
            self._header.versions.append(value)
        elif child.tag in _VERSION_INFO:
            self._header.infos.append(value)
        elif child.tag in (f"{_OIO}default-namespace", f"{_OIO}hasDefaultNamespace"):
            self._header.default_namespace = value
        elif child.tag == f"{_OWL}imports":
            self._header.imports.append(value)

    def _take_node(self, element: etree._Element) -> None:
        """Take a restriction or an axiom; one with a node id is complete only at the end of the file."""
        for inner in element.iterdescendants(_RESTRICTION):
            if inner.get(_NODE):
                self._take_node(inner)
        name = element.get(_NODE)
        values = self._nodes.setdefault(name, {}) if name else {}
        for child in element.iterchildren(*_OF_NODES):
            values.setdefault(str(child.tag), _referred(child) or ("" if len(child) else _value(child)))
        if not name:
            self._take_axiom(values)

    def _take_axiom(self, values: Mapping[str, str]) -> None:
        """Take the type of a synonym from an axiom about it."""
        scope = SCOPES.get(values.get(_PROPERTY, "").removeprefix(OBO_IN_OWL))
        if scope and _SYNONYM_TYPE in values and values[_PROPERTY].startswith(OBO_IN_OWL):
            key = (values.get(_SOURCE, ""), scope, values.get(_TARGET, ""))
            self._types.setdefault(key, values[_SYNONYM_TYPE])

    def _take_entity(self, element: etree._Element, iri: str, kinds: set[str]) -> None:
        entity = self._entities.setdefault(iri, Entity(iri))
        # The type may be the last statement, and what the others mean depends on it.
        entity.is_class = entity.is_class or not kinds.isdisjoint(_CLASS_IRIS)
        if element.tag in _CLASSES:
            entity.line = entity.line or cast(int | None, element.sourceline)
        for child in (*_literals(element), *element.iterchildren("*")):
            if child.tag == f"{_RDFS}subClassOf":
                self._take_parent(entity, child)
            elif child.tag in _SYNONYMS:
                entity.synonyms.append((_SYNONYMS[str(child.tag)], _text(child), ""))
            elif take_property := _PROPERTIES.get(str(child.tag)):
                if value := _value(child):
                    take_property(entity, child, value)
            elif child.tag in _OF_HEADERS:
                # A description for each statement does not say that it is one of the ontology.
                self._headers.setdefault(iri, []).append(child)
            elif child.get(_RESOURCE) is None and _is_literal(child) and _value(child):
                self._take_name(entity, child)

    def _take_name(self, entity: Entity, child: etree._Element) -> None:
        iri = _tag_iri(child)
        if scope := self.names.scope(iri):
            entity.synonyms.append((scope, _text(child), ""))
        elif entity.is_class:
            self.names.note_unread(iri)

    def _take_parent(self, entity: Entity, child: etree._Element) -> None:
        resource, node = child.get(_RESOURCE), child.get(_NODE)
        # A restriction is an element of that kind, a description of one, or what stands there itself.
        inside = [each for each in (child, *child.iterchildren("*")) if each.find(_ON_PROPERTY) is not None]
        named = _referred(child)
        if resource is not None:
            if resource != f"{OWL}Thing":
                entity.parents.append(named)
        elif node is not None:
            self._references.append((entity, node))
        elif inside:
            values = {str(each.tag): _referred(each) for each in inside[0].iterchildren(*_OF_NODES)}
            self._add_relation(entity, _relation(values))
        elif named:
            entity.parents.append(named)
        else:
            self.unread += 1

    def _add_relation(self, entity: Entity, relation: tuple[str, str] | None) -> None:
        if relation is None:
            self.unread += 1
        else:
            entity.relations.append(relation)


def _relation(restriction: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the property and the class of a restriction; ``None`` where either is an expression."""
    property = restriction.get(_ON_PROPERTY, "")
    target = next((restriction[tag] for tag in _TARGETS if tag in restriction), "")
    return (property, target) if property and target else None


def _referred(element: etree._Element) -> str:
    """Return the IRI that a statement refers to, or that of the element inside it; ``""`` for a literal."""
    if resource := element.get(_RESOURCE):
        return _absolute(element, resource)
    return next((iri for child in element.iterchildren("*") if (iri := _iri(child))), "")


def _iri(element: etree._Element) -> str:
    if local := element.get(_ID):
        return _absolute(element, f"#{local}")
    about = element.get(_ABOUT, "")
    return _absolute(element, about) if about else ""


def _absolute(element: etree._Element, iri: str) -> str:
    """Return ``iri``, which stands in ``element``, in full."""
    if ":" in iri:
        return iri
    # Most IRIs are full, so that looking for a base is rare.
    base = next((base for each in (element, *element.iterancestors()) if (base := each.get(_BASE))), "")
    return urljoin(base, iri)


def _kinds(element: etree._Element) -> set[str]:
    """Return the IRIs of the types of an element: its tag where that is more than a description, and each rdf:type."""
    kinds = {_referred(child) for child in element.iterchildren(_TYPE)} | {element.get(_TYPE, "")}
    return kinds if element.tag == _DESCRIPTION else kinds | {_tag_iri(element)}


def _tag_iri(element: etree._Element) -> str:
    return str(element.tag).replace("{", "").replace("}", "")


def _literals(element: etree._Element) -> list[etree._Element]:
    """Return the literals that an element has as attributes, each as the statement that it stands for."""
    if len(element.attrib) < 2:  # one says which entity it is
        return []
    statements = []
    for name, value in element.attrib.items():
        if "}" in str(name) and not str(name).startswith((_RDF, _XML)):
            statement = etree.Element(name)
            statement.text = str(value)
            statements.append(statement)
    return statements


def _is_literal(element: etree._Element) -> bool:
    return element.get(_PARSE_TYPE) == "Literal" or next(element.iterchildren("*"), None) is None


def _value(element: etree._Element) -> str:
    """Return the resource that an element names, or its text: also what stands behind a comment or in markup."""
    text = "".join(map(str, element.itertext())) if len(element) else element.text
    return (element.get(_RESOURCE) or text or "").strip()


def _text(element: etree._Element) -> Text:
    languages = (each.get(_LANGUAGE) for each in (element, *element.iterancestors()))
    return Text(_value(element), next((language for language in languages if language is not None), ""))


def _take_label(entity: Entity, element: etree._Element, value: str) -> None:
    entity.labels.append(_text(element))


def _take_definition(entity: Entity, element: etree._Element, value: str) -> None:
    entity.definitions.append(_text(element))


def _take_id(entity: Entity, element: etree._Element, value: str) -> None:
    # A property's shorthand is the name under which OBO files know it.
    if element.tag == f"{_OIO}shorthand" or not entity.id:
        entity.id = value


def _take_deprecated(entity: Entity, element: etree._Element, value: str) -> None:
    entity.deprecated = value.lower() in ("true", "1")


def _take_reason(entity: Entity, element: etree._Element, value: str) -> None:
    entity.merged = value == TERMS_MERGED


_PROPERTIES: dict[str, Callable[[Entity, etree._Element, str], None]] = {
    f"{_RDFS}label": _take_label,
    f"{{{SKOS}}}prefLabel": lambda entity, element, value: entity.preferred.append(_text(element)),
    f"{_OBO}IAO_0000115": _take_definition,
    f"{_OBO}IAO_0100001": lambda entity, element, value: entity.replaced_by.append(value),
    f"{_OBO}IAO_0000231": _take_reason,
    f"{_OWL}deprecated": _take_deprecated,
    f"{_OIO}id": _take_id,
    f"{_OIO}shorthand": _take_id,
    f"{_OIO}consider": lambda entity, element, value: entity.consider.append(value),
    f"{_OIO}hasAlternativeId": lambda entity, element, value: entity.alt_ids.append(value),
    f"{_OIO}hasDbXref": lambda entity, element, value: entity.xrefs.append(value),
    f"{_OIO}inSubset": lambda entity, element, value: entity.subsets.append(value),
    f"{_OIO}hasOBONamespace": lambda entity, element, value: entity.namespaces.append(value),
}
