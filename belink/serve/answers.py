"""Requests to documents, and links to answers: from the shapes of ``schemas`` to belink's records and back."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel

from belink.corpora import bioc, bioc_writer
from belink.corpora.assemble import assemble
from belink.corpora.raw import CorpusReport, RawDocument, laid_out_length
from belink.ontology.release import Release
from belink.records import Candidate, Concept, Document, Link, candidate_json, link_json
from belink.serve.schemas import (
    LONGEST_MENTION,
    LONGEST_TEXT,
    MOST_MENTIONS,
    BiocCollection,
    ConceptAnswer,
    Documents,
    Found,
    Labelled,
    LinkedCollection,
    LinkedDocument,
    LinkedDocuments,
    LinkedMention,
    LinkedText,
    Marked,
    SearchAnswer,
    Synonym,
    Text,
    TooLarge,
)
from belink.text.sentences import make_mention, split

_MOST_CHILDREN = 100  # shown; a genus may have thousands


def request_documents(body: Text | Documents | BiocCollection) -> tuple[Document, ...]:
    """Return the documents of a request."""
    if isinstance(body, Text):
        return (Document(id="", text=body.text),)
    if isinstance(body, Documents):
        return tuple(_document(document) for document in body.documents)
    # The readers of files take plain JSON, so one reader serves files and requests.
    read = [bioc.read_node(document.model_dump()) for document in body.documents]
    _refuse_large(read)
    return tuple(assemble(raw, CorpusReport(), keep_source=True) for raw in read)


def _refuse_large(read: Sequence[RawDocument]) -> None:
    """Check sizes before anything is put together: a few bytes of BioC can ask for a lot of text.

    :raises TooLarge: the passages or the annotated spans are too long, or too many.
    """
    length = sum(laid_out_length(raw.passages) for raw in read)
    if length > LONGEST_TEXT:
        raise TooLarge(
            f"expected passages of at most {LONGEST_TEXT:,} characters, found {length:,}; send less at a time"
        )
    # BioC allows annotations of a passage and of the whole document.
    annotations = [a for raw in read for passage in raw.passages for a in passage.annotations]
    annotations += [a for raw in read for a in raw.annotations]
    spans = [end - start for annotation in annotations for start, end in annotation.spans]
    if len(spans) > MOST_MENTIONS or max(spans, default=0) > LONGEST_MENTION:
        raise TooLarge(
            f"expected at most {MOST_MENTIONS:,} locations of {LONGEST_MENTION:,} characters, found {len(spans):,}, "
            f"the longest of {max(spans, default=0):,}; send less at a time"
        )


def _document(item: Marked) -> Document:
    """Return ``item`` with the sentence of each mention, which the model is shown."""
    sentences = tuple(split(item.text))
    # Computed once for a document: each mention finds its sentence by bisection.
    starts = [start for start, _ in sentences]
    mentions = tuple(
        replace(make_mention(item.id, item.text, span.start, span.end, sentences, starts), type=span.type)
        for span in item.mentions or ()
    )
    return Document(id=item.id, text=item.text, sentences=sentences, mentions=mentions)


def answer(
    body: Text | Documents | BiocCollection,
    linked: Sequence[tuple[Document, Sequence[Link]]],
    lineage: dict[str, str],
) -> BaseModel:
    """Return the answer in the form of the request.

    :param linked: each document of the request, in order, with its links.
    :param lineage: what the linker is made of, see ``Linker.lineage``.
    """
    if isinstance(body, BiocCollection):
        nodes = [
            bioc_writer.document_node(document, {link.mention: link for link in links}) for document, links in linked
        ]
        # The collection's source, date, key and infons come back, as tools that read BioC expect.
        extra = body.model_extra or {}
        source, date, key = (str(extra.get(name) or "") for name in ("source", "date", "key"))
        infons = {**{name: str(value) for name, value in bioc.mapping(extra.get("infons")).items()}, **lineage}
        own = {"source": source or "belink", "date": date, "key": key, "infons": infons, "documents": nodes}
        return LinkedCollection.model_validate({**extra, **own})
    documents = [
        LinkedDocument(id=document.id, links=[linked_mention(link, body.candidates) for link in links])
        for document, links in linked
    ]
    if isinstance(body, Text):
        return LinkedText(links=documents[0].links, lineage=lineage)
    return LinkedDocuments(documents=documents, lineage=lineage)


def linked_mention(link: Link, n_candidates: int) -> LinkedMention:
    """Return ``link`` with its ``n_candidates`` best candidates."""
    return LinkedMention.model_validate(link_json(link, n_candidates=n_candidates))


def search_answer(
    query: str, candidates: Sequence[Candidate], notes: list[str], lineage: dict[str, str]
) -> SearchAnswer:
    """Return the answer to a search."""
    concepts = [Found.model_validate(candidate_json(candidate)) for candidate in candidates]
    return SearchAnswer(query=query, concepts=concepts, notes=notes, lineage=lineage)


def concept_answer(concept_id: str, releases: Sequence[Release], lineage: dict[str, str]) -> ConceptAnswer | None:
    """Return what the first release that holds ``concept_id`` says of it; ``None`` where none does."""
    for release in releases:
        # Each release knows its own spellings of a prefix, so the id is brought to its standard form by each in turn.
        concept_id = release.standard_id(concept_id)
        concept, ids = release.concept(concept_id), release.successor(concept_id)
        if concept is None and not ids:
            continue
        # An alternative id has no entry of its own; it leads to its concept.
        described = concept or Concept(id=concept_id, obsolete=True)
        children = _children(release, concept_id)
        return ConceptAnswer(
            id=concept_id,
            label=described.label,
            definition=described.definition,
            synonyms=[Synonym(text=name.text, scope=name.scope) for name in described.synonyms],
            parents=[_labelled(release, parent) for parent in described.parents],
            children=children[:_MOST_CHILDREN],
            n_children=len(children),
            obsolete=described.obsolete,
            successors=[_labelled(release, id) for id in ids if id != concept_id],
            xrefs=list(described.xrefs),
            ontology=release.ontology,
            release=release.version,
            lineage=lineage,
        )
    return None


def _labelled(release: Release, concept_id: str) -> Labelled:
    return Labelled(id=concept_id, label=release.label(concept_id))


def _children(release: Release, concept_id: str) -> list[Labelled]:
    """Return the live concepts right below ``concept_id``, in the order of their labels."""
    rows = release.rows(
        "SELECT DISTINCT c.id, c.label FROM parent p JOIN concept c ON c.id = p.concept_id "
        "WHERE p.parent_id = ? AND NOT c.obsolete ORDER BY c.label, c.id",
        [concept_id],
    )
    return [Labelled(id=id, label=label) for id, label in rows]
