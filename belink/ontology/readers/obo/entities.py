"""Entities of OWL and OBO Graph JSON → the frames that the same ontology's OBO file has.

This follows the mapping between OBO and OWL in section 5 of the OBO 1.4 specification. A merged class (deprecated for
the reason "terms merged", replaced, without names) is an alternative id of its replacement there, and so it is here.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from belink.ontology.readers.obo.syntax import Frame, identifier, plain, quoted, synonym
from belink.records import Rejection

OBO = "http://purl.obolibrary.org/obo/"
OBO_IN_OWL = "http://www.geneontology.org/formats/oboInOwl#"
OWL = "http://www.w3.org/2002/07/owl#"
DEFINITION = OBO + "IAO_0000115"
REPLACED_BY = OBO + "IAO_0100001"
REASON = OBO + "IAO_0000231"
TERMS_MERGED = OBO + "IAO_0000227"
SKOS = "http://www.w3.org/2004/02/skos/core#"
# Annotation properties that hold names beside oboInOwl's own → scope as OBO writes it.
NAME_PROPERTIES = {
    f"{SKOS}altLabel": "EXACT", f"{OBO}IAO_0000118": "EXACT",
    f"{OBO}IAO_0000111": "EXACT", "http://www.ebi.ac.uk/efo/alternative_term": "EXACT",
}  # fmt: skip
PREFERRED = f"{SKOS}prefLabel"  # the label where there is no other
_LOOKS_LIKE_A_NAME = re.compile(
    r"[Ll]abel|[Ss]ynonym|SYN(?![A-Z])|[Aa]lternative|[Aa]lias|(?<![a-z])[Nn]ame(?!space)|[a-z]Name(?!space)|_term",
    re.ASCII,
)
SCOPES = {f"has{scope.capitalize()}Synonym": scope for scope in ("EXACT", "BROAD", "NARROW", "RELATED")}

_NO_NAMES = (OBO_IN_OWL, "http://www.w3.org/2000/01/rdf-schema#", DEFINITION)  # read otherwise, or no names
_OBO_ID = re.compile(re.escape(OBO) + r"([^#_/]+)_(.+)")
_OBO_PREFIXED = re.compile(re.escape(OBO) + r"([^#]+)#_(.+)")
_OBO_LOCAL = re.compile(re.escape(OBO) + r"[^#]+#(.+)")
_OTHER_ID = re.compile(
    r"https?://(?!purl\.obolibrary\.org/).*[/#]([A-Za-z][A-Za-z0-9.\-]*)_([A-Za-z0-9]*[0-9][A-Za-z0-9]*)"
)


class Converted(NamedTuple):
    """A file as frames of OBO, and what could not be turned into any."""

    frames: list[Frame]
    rejections: list[Rejection]


@dataclass(slots=True)
class Text:
    """A literal in a language; "" where it says none."""

    text: str
    language: str = ""

    @property
    def is_default(self) -> bool:
        return not self.language or self.language.lower().split("-")[0] == "en"


@dataclass(slots=True)
class Entity:
    """A class or property as it stands in a file; references are IRIs or already compact."""

    iri: str
    line: int | None = None
    is_class: bool = False
    id: str = ""  # oboInOwl:id, or the shorthand of a property; "": made of the IRI
    labels: list[Text] = field(default_factory=list)
    preferred: list[Text] = field(default_factory=list)  # skos:prefLabel: the label where there is no other
    definitions: list[Text] = field(default_factory=list)
    synonyms: list[tuple[str, Text, str]] = field(default_factory=list)  # scope as OBO writes it, text, type
    deprecated: bool = False
    merged: bool = False
    replaced_by: list[str] = field(default_factory=list)
    consider: list[str] = field(default_factory=list)
    alt_ids: list[str] = field(default_factory=list)
    xrefs: list[str] = field(default_factory=list)
    subsets: list[str] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    relations: list[tuple[str, str]] = field(default_factory=list)  # property, class

    @property
    def is_alternative(self) -> bool:
        named = self.labels or self.preferred or self.synonyms or self.definitions
        return self.deprecated and self.merged and bool(self.replaced_by) and not named


@dataclass(slots=True)
class Header:
    """The statements of a file about itself."""

    versions: list[str] = field(default_factory=list)  # the version IRI first
    infos: list[str] = field(default_factory=list)
    default_namespace: str = ""
    imports: list[str] = field(default_factory=list)


class NameProperties:
    """Which annotation properties hold names, and a count of those that look like names and are not read."""

    def __init__(self, declared: Mapping[str, str]) -> None:
        self._declared = {property: scope.upper() for property, scope in declared.items()}
        self._unread: Counter[str] = Counter()

    def scope(self, property: str) -> str | None:
        """Return the scope of the names that ``property`` holds, as OBO writes it; ``None`` for no names.

        :param property: an IRI, or a CURIE as OBO files write it.
        """
        declared = next((self._declared[each] for each in _forms(property) if each in self._declared), None)
        return declared or _SCOPE_OF.get(property)

    def note_unread(self, property: str) -> None:
        """Count a value of a property that is not read."""
        # Of a property that is named by a number its label tells, which may stand anywhere in the file.
        local = _local(property)
        is_number = any(map(str.isdigit, local))
        if (is_number or _LOOKS_LIKE_A_NAME.search(local)) and not property.startswith(_NO_NAMES):
            self._unread[property] += 1

    def rejections(self, labels: Mapping[str, str]) -> list[Rejection]:
        """Return one rejection for each property that looks like one of names and is not read.

        :param labels: of properties, as the file has them.
        """
        return [
            Rejection(
                line=None,
                text=f"{property} ({label})" if (label := labels.get(property, "")) else property,
                reason=f"{count} values that look like names are not read; if they are, declare the property in"
                " [names.properties]",
            )
            for property, count in self._unread.most_common()
            if _LOOKS_LIKE_A_NAME.search(_local(property)) or _LOOKS_LIKE_A_NAME.search(labels.get(property, ""))
        ]


def is_preferred(property: str) -> bool:
    """Return whether ``property``, as an IRI or a CURIE, is that of preferred labels."""
    return property in (PREFERRED, "skos:prefLabel")


def _forms(property: str) -> tuple[str, ...]:
    """Return the ways in which a declaration may write a property."""
    return property, compact(property), _local(property)


def _local(property: str) -> str:
    return re.split(r"[/#:]", property)[-1]


def compact(iri: str) -> str:
    """Return the identifier that OBO files use for an IRI; ``iri`` itself where there is none."""
    if not iri.startswith("http"):
        return iri
    if match := _OBO_ID.fullmatch(iri) or _OBO_PREFIXED.fullmatch(iri) or _OTHER_ID.fullmatch(iri):
        return f"{match[1]}:{match[2]}"
    if match := _OBO_LOCAL.fullmatch(iri):
        return match[1]
    return iri


# As OWL and as OBO files write them.
_SCOPE_OF = {form: scope for iri, scope in NAME_PROPERTIES.items() for form in (iri, compact(iri))} | {
    "skos:altLabel": "EXACT", "efo:alternative_term": "EXACT",
}  # fmt: skip


def frames(header: Header, entities: Iterable[Entity]) -> list[Frame]:
    """Return a header frame, and one frame for each class in the order of ``entities``."""
    entities = list(entities)
    ids = {entity.iri: entity.id or compact(entity.iri) for entity in entities}
    alternatives: dict[str, list[str]] = {}
    for entity in entities:
        if entity.is_class and entity.is_alternative:
            for replacement in entity.replaced_by:
                alternatives.setdefault(ids.get(replacement, compact(replacement)), []).append(ids[entity.iri])
    terms = []
    for entity in entities:
        # An alternative id of a class that is not in the file would be lost, so that one stays a term.
        if entity.is_class and not (entity.is_alternative and _is_there(entity.replaced_by, ids)):
            clauses = _clauses(entity, ids, alternatives.get(ids[entity.iri], []))
            terms.append(Frame("Term", entity.line, clauses, step=0))
    types = {_typed(text, type) for entity in entities for _, text, type in entity.synonyms}
    types |= {_typed(text, "") for entity in entities for text in entity.labels}
    lines = [f"data-version: {version}\n" for version in header.versions]
    lines += [f"property_value: owl:versionInfo {quoted(info)} xsd:string\n" for info in header.infos]
    lines += [f"default-namespace: {header.default_namespace}\n"] if header.default_namespace else []
    lines += [f"import: {address}\n" for address in header.imports]
    lines += [f'synonymtypedef: {identifier(type)} ""\n' for type in sorted(types - {""})]
    return [Frame("header", None, lines), *terms]


def _is_there(replacements: list[str], ids: dict[str, str]) -> bool:
    known_ids = ids.values()
    return all(each in ids or compact(each) in known_ids for each in replacements)


def _typed(text: Text, type: str) -> str:
    """Return the type of a synonym with its language after it: OBO has no other place for that."""
    return f"{compact(type)}@{text.language}" if text.language else compact(type)


def _clauses(entity: Entity, ids: dict[str, str], alternatives: list[str]) -> list[str]:
    def named(reference: str) -> str:
        return identifier(ids.get(reference) or compact(reference))

    if entity.preferred and not entity.labels:
        entity.labels = entity.preferred
    label = next((text for text in entity.labels if text.is_default), entity.labels[0] if entity.labels else None)
    definitions = [text for text in entity.definitions if text.is_default] or entity.definitions[:1]
    lines = [f"id: {identifier(ids[entity.iri])}"]
    labels = {text.text for text in entity.labels}
    preferred = [("EXACT", text, "") for text in entity.preferred if text.text not in labels]
    names = [*preferred, *entity.synonyms]
    if label:
        lines.append(f"name: {plain(label.text)}")
        # A second label in the same language is repaired, and recorded, by the cleaner; one in another is a synonym.
        others = [text for text in entity.labels if text is not label and text.text != label.text]
        lines += [f"name: {plain(text.text)}" for text in others if text.is_default]
        lines += [synonym(text.text, "EXACT", _typed(text, "")) for text in others if not text.is_default]
    lines += [f"namespace: {identifier(name)}" for name in entity.namespaces]
    lines += [f"alt_id: {named(each)}" for each in entity.alt_ids + alternatives]
    lines += [f"def: {quoted(text.text)} []" for text in definitions]
    lines += [f"subset: {named(each)}" for each in entity.subsets]
    lines += [synonym(text.text, scope, _typed(text, type)) for scope, text, type in names]
    lines += [f"xref: {identifier(xref.strip())}" for xref in entity.xrefs]
    lines += [f"is_a: {named(parent)}" for parent in entity.parents]
    lines += [f"relationship: {named(relation)} {named(target)}" for relation, target in entity.relations]
    lines += ["is_obsolete: true"] if entity.deprecated else []
    lines += [f"replaced_by: {named(each)}" for each in entity.replaced_by]
    lines += [f"consider: {named(each)}" for each in entity.consider]
    return [f"{line}\n" for line in lines]
