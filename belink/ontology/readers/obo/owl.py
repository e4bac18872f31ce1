"""OWL in RDF/XML → entities, streaming over the elements below the root.

Classes may be flat (``rdf:Description`` with an ``rdf:type``) or nested into one another; tools differ in that.
Logical axioms other than "a kind of" and "in this relation to that class" have no place in a release and are not read.
XML entities are expanded only where the file itself declares them as plain text; nothing is fetched.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

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
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_BASE = "{http://www.w3.org/XML/1998/namespace}base"
_RESOURCE, _ABOUT, _ID, _NODE = f"{_RDF}resource", f"{_RDF}about", f"{_RDF}ID", f"{_RDF}nodeID"
_SYNONYMS = {f"{_OIO}{name}": scope for name, scope in SCOPES.items()}
_TARGETS = tuple(f"{_OWL}{name}" for name in ("someValuesFrom", "allValuesFrom", "onClass", "hasValue"))
_ENTITIES = tuple(f"{_OWL}{name}" for name in ("Class", "ObjectProperty", "AnnotationProperty"))
_DESCRIPTION, _AXIOM, _RESTRICTION = f"{_RDF}Description", f"{_OWL}Axiom", f"{_OWL}Restriction"
_READ = (*_ENTITIES, _DESCRIPTION, _AXIOM, _RESTRICTION, f"{_OWL}Ontology")

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
    return Converted(reading.frames(), reading.names.rejections())


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
            yield element
            element.clear()
            while element.getprevious() is not None:
                del root[0]


class _Reading:
    """The entities of one file, gathered from all elements about them."""

    def __init__(self, names: entities.NameProperties) -> None:
        self.names = names
        self.unread = 0  # class expressions
        self._header = Header()
        self._base = ""
        self._entities: dict[str, Entity] = {}
        self._types: dict[tuple[str, str, str], str] = {}  # (class, scope, synonym) → type
        self._restrictions: dict[str, tuple[str, str] | None] = {}  # node id → (property, class)
        self._references: list[tuple[Entity, str]] = []  # classes below a restriction that has a node id

    def frames(self) -> list[Frame]:
        for entity, node in self._references:
            self._add_relation(entity, self._restrictions.get(node))
        for entity in self._entities.values():
            entity.synonyms = [
                (scope, text, self._types.get((entity.iri, scope, text.text), type))
                for scope, text, type in entity.synonyms
            ]
        return entities.frames(self._header, self._entities.values())

    def take(self, element: etree._Element) -> None:
        self._base = element.getroottree().getroot().get(_BASE, "")
        kinds = _kinds(element)
        if f"{OWL}Ontology" in kinds:
            self._take_header(element)
        elif f"{OWL}Axiom" in kinds:
            self._take_axiom(element)
        elif f"{OWL}Restriction" in kinds:
            self._take_restriction(element)
        elif iri := self._iri(element):
            self._take_entity(element, iri)
        self._take_nested(element)

    def _take_nested(self, element: etree._Element) -> None:
        """Take the classes that are written inside another one, with statements of their own."""
        for inner in element.iterdescendants(*_ENTITIES, _DESCRIPTION):
            # Without statements it is a reference, and does not say that the class belongs to this file.
            if len(inner) and (iri := self._iri(inner)):
                self._take_entity(inner, iri)

    def _take_header(self, element: etree._Element) -> None:
        for child in element:
            value = _value(child)
            if child.tag == f"{_OWL}versionIRI":
                self._header.versions.append(value)
            elif child.tag in (f"{_OWL}versionInfo", f"{_DOAP}Version"):
                self._header.infos.append(value)
            elif child.tag in (f"{_OIO}default-namespace", f"{_OIO}hasDefaultNamespace"):
                self._header.default_namespace = value
            elif child.tag == f"{_OWL}imports":
                self._header.imports.append(value)

    def _take_axiom(self, element: etree._Element) -> None:
        """Take the type of a synonym from an axiom about it, and restrictions with a node id inside the axiom."""
        for inner in element.iter(_RESTRICTION):
            self._take_restriction(inner)
        source, property, target, type = (
            element.find(tag)
            for tag in (
                f"{_OWL}annotatedSource",
                f"{_OWL}annotatedProperty",
                f"{_OWL}annotatedTarget",
                f"{_OIO}hasSynonymType",
            )
        )
        if source is None or property is None or target is None or type is None:
            return
        scope = SCOPES.get(_value(property).removeprefix(OBO_IN_OWL))
        if scope and _value(property).startswith(OBO_IN_OWL):
            self._types.setdefault((self._absolute(_value(source)), scope, _value(target)), _value(type))

    def _take_restriction(self, element: etree._Element) -> None:
        if node := element.get(_NODE):
            self._restrictions[node] = self._relation(element)

    def _take_entity(self, element: etree._Element, iri: str) -> None:
        entity = self._entities.setdefault(iri, Entity(iri))
        if element.tag == f"{_OWL}Class":
            entity.is_class = True
            entity.line = entity.line or cast(int | None, element.sourceline)
        for child in element:
            if child.tag in (f"{_RDFS}subClassOf", f"{_RDF}type"):
                self._take_kind(entity, child)
            elif child.tag in _SYNONYMS:
                entity.synonyms.append((_SYNONYMS[str(child.tag)], _text(child), ""))
            elif take_property := _PROPERTIES.get(str(child.tag)):
                if value := _value(child):
                    take_property(entity, child, value)
            elif child.get(_RESOURCE) is None and not len(child) and _value(child):
                self._take_name(entity, child)

    def _take_name(self, entity: Entity, child: etree._Element) -> None:
        iri = str(child.tag).replace("{", "").replace("}", "")
        if scope := self.names.scope(iri):
            entity.synonyms.append((scope, _text(child), ""))
        elif entity.is_class:
            self.names.note_unread(iri)

    def _take_kind(self, entity: Entity, child: etree._Element) -> None:
        resource, node = child.get(_RESOURCE), child.get(_NODE)
        restriction, named = child.find(_RESTRICTION), next((each for each in child if self._iri(each)), None)
        if child.tag == f"{_RDF}type":
            entity.is_class = entity.is_class or resource == f"{OWL}Class"
        elif resource is not None:
            if resource != f"{OWL}Thing":
                entity.parents.append(self._absolute(resource))
        elif node is not None:
            self._references.append((entity, node))
        elif restriction is not None:
            self._add_relation(entity, self._relation(restriction))
        elif named is not None:
            entity.parents.append(self._iri(named))
        else:
            self.unread += 1

    def _add_relation(self, entity: Entity, relation: tuple[str, str] | None) -> None:
        if relation is None:
            self.unread += 1
        else:
            entity.relations.append(relation)

    def _relation(self, restriction: etree._Element) -> tuple[str, str] | None:
        """Return the property and the class of a restriction; ``None`` where either is an expression."""
        property = restriction.find(f"{_OWL}onProperty")
        target = next((child for child in restriction if child.tag in _TARGETS), None)
        if property is None or target is None:
            return None
        relation, related = self._referred(property), self._referred(target)
        return (relation, related) if relation and related else None

    def _referred(self, element: etree._Element) -> str:
        if resource := element.get(_RESOURCE):
            return self._absolute(resource)
        return next((iri for child in element if (iri := self._iri(child))), "")

    def _iri(self, element: etree._Element) -> str:
        if local := element.get(_ID):
            return f"{self._base}#{local}"
        return self._absolute(element.get(_ABOUT, ""))

    def _absolute(self, iri: str) -> str:
        return self._base + iri if iri.startswith("#") else iri


def _kinds(element: etree._Element) -> set[str]:
    """Return the IRIs of the types of an element: its tag, or rdf:type where it is a mere description."""
    if element.tag != _DESCRIPTION:
        return {str(element.tag).replace("{", "").replace("}", "")}
    return {child.get(_RESOURCE, "") for child in element.iterchildren(f"{_RDF}type")}


def _value(element: etree._Element) -> str:
    """Return the resource that an element names, or its text."""
    return (element.get(_RESOURCE) or element.text or "").strip()


def _text(element: etree._Element) -> Text:
    return Text(_value(element), element.get(_LANGUAGE, ""))


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
