"""Clean OBO terms → concepts: through pronto, or frame by frame through fastobo, the parser below pronto.

Both give the same concepts. pronto builds one object for each term and clause, gigabytes for millions of terms; frames
are read a mebibyte at a time.
"""

import io
import logging
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from belink.ontology.readers.obo.repair import CleanTerm
from belink.ontology.readers.obo.syntax import unsealed
from belink.records import Concept, Name, Rejection, Scope

if TYPE_CHECKING:
    import fastobo

CHUNK = 1 << 20  # characters of clean text parsed at a time
_SCOPES: dict[str | None, Scope] = {"EXACT": "exact", "BROAD": "broad", "NARROW": "narrow", "RELATED": "related"}

log = logging.getLogger(__name__)
T = TypeVar("T")
Synonym = tuple[str, str | None, str | None]  # text, scope as OBO writes it, type


def through_pronto(path: Path, default_namespace: str, stubs: set[str]) -> Iterator[Concept]:
    """Yield the terms of the clean OBO file at ``path`` in the order of their ids, without those in ``stubs``.

    :raises Exception: whatever pronto raises for a file that it cannot read.
    """
    import pronto.ontology

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # import_depth 0: an ontology that imports another must not fetch it. The encoding is known; pronto would guess.
        ontology = pronto.ontology.Ontology(str(path), import_depth=0, encoding="utf-8")
    for warning in caught:
        log.debug("%s: pronto: %s", path, warning.message)
    # pronto's views look every term up that is named, and fail for one that the file leaves out; its data does not.
    terms, lineage = ontology._terms.entities, ontology._terms.lineage
    for identifier in sorted(terms.keys() - stubs):
        term = terms[identifier]
        yield _concept(
            id=identifier,
            label=term.name,
            definition=term.definition,
            synonyms=[(each.description, each.scope, each.type) for each in term.synonyms],
            obsolete=term.obsolete,
            replaced_by=term.replaced_by,
            consider=term.consider,
            alt_ids=term.alternate_ids,
            parents=lineage[identifier].sup,
            relationships=[(kind, target) for kind, targets in term.relationships.items() for target in targets],
            xrefs={xref.id for xref in term.xrefs},
            subsets=term.subsets,
            namespace=term.namespace or default_namespace,
        )


def by_frame(
    terms: Iterable[CleanTerm], default_namespace: Callable[[], str], reject: Callable[[Rejection], None]
) -> Iterator[Concept]:
    """Yield ``terms`` as concepts, in their order; a term that fastobo refuses after all goes to ``reject``."""
    for chunk in _chunks(terms):
        try:
            frames = _parse("".join(term.text for term in chunk))
        except SyntaxError:
            frames = [frame for term in chunk for frame in _parse_one(term, reject)]
        for frame in frames:
            yield _from_frame(frame, default_namespace())


def _chunks(terms: Iterable[CleanTerm]) -> Iterator[list[CleanTerm]]:
    chunk, size = list[CleanTerm](), 0
    for term in terms:
        chunk.append(term)
        size += len(term.text)
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _parse(text: str) -> list["fastobo.term.TermFrame"]:
    import fastobo

    return list(fastobo.iter(io.BytesIO(text.encode()), ordered=True))


def _parse_one(term: CleanTerm, reject: Callable[[Rejection], None]) -> list["fastobo.term.TermFrame"]:
    """Return the term without the clauses that fastobo refuses; each of those is set aside."""
    try:
        return _parse(term.text)
    except SyntaxError:
        pass
    opening, identifier, *clauses = term.text.strip().splitlines()
    sound = []
    for clause in clauses:
        try:
            _parse(f"{opening}\nid: X:1\n{clause}\n")
            sound.append(clause)
        except SyntaxError as error:
            reject(Rejection(line=term.line, text=clause[:500], reason=f"expected OBO, found: {error.msg}"))
    try:
        return _parse("\n".join((opening, identifier, *sound, "")))
    except SyntaxError as error:
        reject(Rejection(line=term.line, text=term.text[:500], reason=f"expected OBO, found: {error.msg}"))
        return []


def _from_frame(frame: "fastobo.term.TermFrame", default_namespace: str) -> Concept:
    clauses: dict[str, list[Any]] = {}
    for clause in frame:
        tag = clause.raw_tag()
        clauses.setdefault(tag, []).append(_VALUES[tag](clause))

    # Of two synonyms with one text and scope pronto keeps the first, and so does this.
    distinct = {synonym[:2]: synonym for synonym in reversed(clauses.get("synonym", ()))}

    def first(tag: str) -> Any:
        return clauses[tag][0] if tag in clauses else None

    return _concept(
        id=str(frame.id),
        label=first("name"),
        definition=first("def"),
        synonyms=distinct.values(),
        obsolete=clauses.get("is_obsolete", [False])[-1],
        replaced_by=clauses.get("replaced_by", ()),
        consider=clauses.get("consider", ()),
        alt_ids=clauses.get("alt_id", ()),
        parents=clauses.get("is_a", ()),
        relationships=clauses.get("relationship", ()),
        xrefs=clauses.get("xref", ()),
        subsets=clauses.get("subset", ()),
        namespace=first("namespace") or default_namespace,
    )


def _synonym(clause: "fastobo.term.SynonymClause") -> Synonym:
    synonym = clause.synonym
    return synonym.desc, synonym.scope, None if synonym.type is None else str(synonym.type)


_VALUES: dict[str, Callable[[Any], Any]] = {
    "name": lambda clause: clause.name,
    "def": lambda clause: clause.definition,
    "synonym": _synonym,
    "is_obsolete": lambda clause: clause.obsolete,
    "replaced_by": lambda clause: str(clause.term),
    "consider": lambda clause: str(clause.term),
    "alt_id": lambda clause: str(clause.alt_id),
    "is_a": lambda clause: str(clause.term),
    "relationship": lambda clause: (str(clause.typedef), str(clause.term)),
    "xref": lambda clause: str(clause.xref.id),
    "subset": lambda clause: str(clause.subset),
    "namespace": lambda clause: str(clause.namespace),
}


def _concept(
    *,
    id: str,
    label: str | None,
    definition: str | None,
    synonyms: Iterable[Synonym],
    obsolete: bool,
    replaced_by: Collection[str],
    consider: Collection[str],
    alt_ids: Collection[str],
    parents: Collection[str],
    relationships: Collection[tuple[str, str]],
    xrefs: Collection[str],
    subsets: Collection[str],
    namespace: str,
) -> Concept:
    # Sorted, as pronto gives sets.
    memberships = tuple([("subset", subset) for subset in _sorted(subsets)])
    if namespace:
        memberships += (("namespace", namespace),)
    return Concept(
        id=id,
        label=label,
        definition="" if definition is None else unsealed(str(definition)),
        synonyms=tuple([_name(*synonym) for synonym in sorted(synonyms)]),
        obsolete=obsolete,
        replaced_by=_sorted(replaced_by),
        consider=_sorted(consider),
        alt_ids=_sorted(alt_ids),
        parents=_sorted(parents),
        relationships=_sorted(relationships),
        xrefs=_sorted(xrefs),
        memberships=memberships,
    )


def _sorted(values: Collection[T]) -> tuple[T, ...]:
    """Return the distinct values in order. Most have none or one, so those are returned at once."""
    return tuple(sorted(set(values))) if len(values) > 1 else tuple(values)  # type: ignore[type-var]


def _name(text: str, scope: str | None, type: str | None) -> Name:
    if text.endswith("\\ "):
        text = unsealed(text)
    if not type:
        return Name(text=text, scope=_SCOPES[scope])
    # OBO has no place for a name's language; from OWL it travels behind the type ("OMO:0003012@fr").
    type, _, language = type.partition("@")
    return Name(text=text, scope=_SCOPES[scope], type=type, language=language)
