"""OBO Graph JSON → entities. Parts that break the format are set aside one by one, and the rest is read.

Format: https://github.com/geneontology/obographs
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from belink.errors import SourceError
from belink.ontology.readers.obo import entities
from belink.ontology.readers.obo.entities import (
    DEFINITION,
    OBO_IN_OWL,
    PREFERRED,
    REASON,
    REPLACED_BY,
    SCOPES,
    TERMS_MERGED,
    Converted,
    Entity,
    Header,
    Text,
)
from belink.records import Rejection

T = TypeVar("T")
_PARENT = ("is_a", "subClassOf", "rdfs:subClassOf", "http://www.w3.org/2000/01/rdf-schema#subClassOf")
_NO_RELATION = ("type", "subPropertyOf", "inverseOf")  # edges between individuals or properties
# Properties of a node that a term of OBO has as a clause → the list of the entity that they go to.
_LISTS = {
    REPLACED_BY: "replaced_by",
    f"{OBO_IN_OWL}consider": "consider",
    f"{OBO_IN_OWL}hasAlternativeId": "alt_ids",
    f"{OBO_IN_OWL}hasOBONamespace": "namespaces",
}


class _Malformed(Exception):
    """A part of the document that breaks the format."""


def read_frames(stream: BinaryIO, path: Path, name_properties: Mapping[str, str]) -> Converted:
    """Return the graphs as OBO frames, and what was set aside of them.

    :param name_properties: annotation properties that hold names beside the usual ones, with their scope.
    :raises SourceError: not JSON, not whole, or no OBO graph.
    """
    try:
        document = json.load(stream)
        graphs = _of(document, "graphs", list)
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{path}: expected whole OBO Graph JSON, found a fault: {error}; was it cut off? Fetch it again"
        ) from error
    except _Malformed as error:
        raise SourceError(f"{path}: expected OBO Graph JSON, found {error}; is it the right file?") from error
    reading = _Reading(entities.NameProperties(name_properties))
    for graph in graphs:
        reading.take(graph)
    frames = entities.frames(reading.header, reading.entities.values())
    return Converted(frames, [*reading.rejections, *reading.names.rejections(reading.labels())])


class _Reading:
    """The entities of one document, gathered from nodes and edges."""

    def __init__(self, names: entities.NameProperties) -> None:
        self.names = names
        self.header = Header()
        self.entities: dict[str, Entity] = {}
        self.rejections: list[Rejection] = []

    def labels(self) -> dict[str, str]:
        """Return IRI → label of the properties that the file describes."""
        return {each.iri: each.labels[0].text for each in self.entities.values() if each.labels and not each.is_class}

    def take(self, graph: Any) -> None:
        self._each([graph], self._take_header)
        self._each(self._list(graph, "nodes"), self._take_node)
        self._each(self._list(graph, "edges"), self._take_edge)
        for axiom in self._list(graph, "domainRangeAxioms"):
            # The relations that an OBO file marks with all_only.
            self._each(self._list(axiom, "allValuesFromEdges"), self._take_edge)

    def _each(self, items: list[Any], take: Callable[[Any], object]) -> None:
        for item in items:
            try:
                take(item)
            except _Malformed as error:
                text = json.dumps(item, ensure_ascii=False).encode("utf-8", "replace").decode()
                reason = f"expected OBO Graph JSON, found {error}"
                self.rejections.append(Rejection(line=None, text=text[:500], reason=reason))

    def _list(self, holder: Any, key: str) -> list[Any]:
        """Return the items of a list that may be missing; a value that is no list is set aside as a whole."""
        items: list[Any] = []
        self._each([holder], lambda item: items.extend(_of(item, key, list, [])))
        return items

    def _take_header(self, graph: Any) -> None:
        meta = _of(graph, "meta", dict, {})
        if version := _of(meta, "version", str, ""):
            self.header.versions.append(version)
        for item in self._list(meta, "basicPropertyValues"):
            property, value = _of(item, "pred", str), item.get("val")
            if property.endswith("#versionInfo") and isinstance(value, str):
                self.header.infos.append(value)
            elif property.removeprefix(OBO_IN_OWL) in ("default-namespace", "hasDefaultNamespace"):
                self.header.default_namespace = str(value)

    def _take_node(self, node: Any) -> None:
        iri, label, meta = _of(node, "id", str), _of(node, "lbl", str, ""), _of(node, "meta", dict, {})
        # Older files give no type; a node with neither label nor content is then a mere reference.
        kind, deprecated = (
            _of(node, "type", str, "CLASS" if label or meta else ""),
            _of(meta, "deprecated", bool, False),
        )
        if not iri.strip():
            raise _Malformed("an empty id")
        entity = self.entities.setdefault(iri, Entity(iri))
        entity.is_class = entity.is_class or kind == "CLASS"
        entity.deprecated = entity.deprecated or deprecated
        if label:
            entity.labels.append(Text(label))
        definition = [meta["definition"]] if meta.get("definition") is not None else []
        self._each(definition, lambda item: entity.definitions.append(Text(_of(item, "val", str))))
        self._each(self._list(meta, "synonyms"), lambda item: entity.synonyms.append(_synonym(item)))
        self._each(self._list(meta, "xrefs"), lambda item: entity.xrefs.append(_of(item, "val", str)))
        self._each(self._list(meta, "subsets"), lambda item: entity.subsets.append(_string(item)))
        self._each(self._list(meta, "basicPropertyValues"), lambda item: self._take_property(entity, item))

    def _take_property(self, entity: Entity, item: Any) -> None:
        property = _of(item, "pred", str)
        if property in _LISTS:
            getattr(entity, _LISTS[property]).append(_of(item, "val", str))
        elif property == DEFINITION:
            entity.definitions.append(Text(_of(item, "val", str)))
        elif property == REASON:
            entity.merged = item.get("val") == TERMS_MERGED
        elif property == f"{OBO_IN_OWL}shorthand" or (property == f"{OBO_IN_OWL}id" and not entity.id):
            entity.id = _of(item, "val", str)
        elif property == PREFERRED:
            entity.preferred.append(Text(_of(item, "val", str)))
        elif scope := self.names.scope(property):
            entity.synonyms.append((scope, Text(_of(item, "val", str)), ""))
        elif entity.is_class:
            self.names.note_unread(property)

    def _take_edge(self, edge: Any) -> None:
        subject, predicate, target = (_of(edge, key, str) for key in ("sub", "pred", "obj"))
        if subject not in self.entities:
            raise _Malformed("an edge from a node that the file leaves out")
        if predicate in _PARENT:
            self.entities[subject].parents.append(target)
        elif predicate not in _NO_RELATION:
            self.entities[subject].relations.append((predicate, target))


def _synonym(item: Any) -> tuple[str, Text, str]:
    predicate = _of(item, "pred", str).removeprefix(OBO_IN_OWL)
    if predicate not in SCOPES:
        raise _Malformed(f"the predicate {predicate[:50]!r} for a synonym")
    return SCOPES[predicate], Text(_of(item, "val", str)), _of(item, "synonymType", str, "")


def _string(item: Any) -> str:
    if not isinstance(item, str):
        raise _Malformed(f"{type(item).__name__} in place of a string")
    return item


_REQUIRED = object()


def _of(holder: Any, key: str, kind: type[T], default: Any = _REQUIRED) -> T:
    """Return the value of ``key``, which must be of ``kind``; ``default`` where it is missing or null.

    :raises _Malformed: it is of another kind, or missing without a default.
    """
    if not isinstance(holder, dict):
        raise _Malformed(f"{type(holder).__name__} in place of an object")
    value = holder.get(key)
    if value is None and default is not _REQUIRED:
        return cast(T, default)
    if not isinstance(value, kind):
        raise _Malformed(f"{key!r} that is " + ("missing" if value is None else type(value).__name__))
    return value
