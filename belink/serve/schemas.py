"""What the service takes and answers with, and how links become it.

Offsets are Unicode code points into a document's text, end exclusive; probabilities are calibrated, 0 to 1.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from belink.corpora import bioc
from belink.corpora.assemble import CorpusReport, around, assemble
from belink.corpora.sentences import split
from belink.records import Candidate, Concept, Document, Link, Mention
from belink.releases import Release

Probability = Annotated[float, Field(ge=0, le=1)]


def _writable(text: str) -> str:
    """``text``, which is Unicode: JSON can spell halves of characters, which no encoding can write.

    :raises ValueError: it holds such a half.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("expected Unicode text, found a lone surrogate") from error
    return text


Written = Annotated[str, AfterValidator(_writable)]
Shown = Annotated[int, Field(ge=0, le=25, description="Candidates listed a mention, best first.")]
_TEXT = "He has COPD and type 2 diabetes."


class Asked(BaseModel):
    """The settings that every form of a request shares; unknown keys and other types are errors."""

    model_config = ConfigDict(strict=True, extra="forbid")

    min_probability: Probability | None = Field(
        default=None, description="A concept less probable is answered as NIL; null takes the linker's own bound."
    )
    candidates: Shown = 10


class Span(BaseModel):
    """A mention."""

    model_config = ConfigDict(strict=True, extra="forbid")

    start: int = Field(ge=0)
    end: int = Field(gt=0)


class Text(Asked):
    """A text whose mentions are to be found."""

    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": [{"text": _TEXT}]})

    text: Written


class Marked(BaseModel):
    """A document; its mentions are found where it marks none."""

    model_config = ConfigDict(strict=True, extra="forbid")

    id: Written = ""
    text: Written
    mentions: list[Span] | None = None

    @model_validator(mode="after")
    def _mentions_lie_in_the_text(self) -> "Marked":
        for span in self.mentions or ():
            if not span.start < span.end <= len(self.text):
                raise ValueError(
                    f"expected mentions inside the text of {len(self.text)} code points, start before end; "
                    f"found {span.start} to {span.end}"
                )
        return self


class Documents(Asked):
    """Documents, with or without mentions."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"documents": [{"id": "1", "text": _TEXT, "mentions": [{"start": 7, "end": 11}]}]}]
        },
    )

    documents: list[Marked]


class BiocPassage(BaseModel):
    """A passage of a BioC document; keys that belink does not read are passed over."""

    model_config = ConfigDict(strict=True, extra="allow")

    offset: int = Field(default=0, ge=0, lt=10**12)
    text: str = ""
    sentences: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    infons: dict[str, Any] = {}


class BiocDocument(BaseModel):
    """A BioC document in its JSON form."""

    model_config = ConfigDict(strict=True, extra="allow")

    id: str | int = ""
    passages: list[BiocPassage]


class BiocCollection(BaseModel):
    """A BioC collection in its JSON form; it is answered with a collection whose annotations carry concept ids."""

    model_config = ConfigDict(
        strict=True,
        extra="allow",
        json_schema_extra={
            "examples": [{"source": "", "documents": [{"id": "1", "passages": [{"offset": 0, "text": _TEXT}]}]}]
        },
    )

    documents: list[BiocDocument]

    @model_validator(mode="before")
    @classmethod
    def _can_be_written(cls, given: Any) -> Any:
        _writable(json.dumps(given, ensure_ascii=False))
        return given


class Option(BaseModel):
    """A concept that was considered for a mention."""

    id: str
    label: str
    name: str = Field(description="The name that matched.")
    scope: str = Field(description="What that name is: label, exact, broad, narrow or related.")
    ontology: str
    release: str
    score: float = Field(description="Retrieval's; comparable within one linker.")
    probability: Probability


class LinkedMention(BaseModel):
    """The answer for one mention; ``id`` is null for NIL."""

    text: str
    start: int
    end: int
    long_form: str = Field(description="The mention with the document's abbreviations spelled out, where that differs.")
    id: str | None
    label: str | None
    ontology: str | None
    release: str | None
    probability: Probability = Field(description="Of the answer given, so of NIL where id is null.")
    nil_probability: Probability
    decided_by: str
    candidates: list[Option]


class LinkedText(BaseModel):
    """The links of one text."""

    links: list[LinkedMention]
    lineage: dict[str, str]


class LinkedDocument(BaseModel):
    """The links of one document."""

    id: str
    links: list[LinkedMention]


class LinkedDocuments(BaseModel):
    """The links of documents, all made by one version."""

    documents: list[LinkedDocument]
    lineage: dict[str, str]


class LinkedCollection(BaseModel):
    """A BioC collection, linked; ``infons`` of the collection hold the lineage."""

    source: str
    date: str
    key: str
    infons: dict[str, str]
    documents: list[dict[str, Any]]


Answer = LinkedText | LinkedDocuments | LinkedCollection
"""What ``POST /link`` answers with, in the form of the question."""


class Found(BaseModel):
    """A concept that a search found."""

    id: str
    label: str
    name: str
    ontology: str
    release: str
    score: float


class SearchAnswer(BaseModel):
    """Concepts for a name or an id, best first."""

    query: str
    concepts: list[Found]
    notes: list[str]
    lineage: dict[str, str]


class Labelled(BaseModel):
    """A concept by id; ``label`` is null where the release does not hold it."""

    id: str
    label: str | None


class Synonym(BaseModel):
    """One more name of a concept."""

    text: str
    scope: str


class ConceptAnswer(BaseModel):
    """What a release says of one concept; an obsolete one has ``successors``."""

    id: str
    label: str | None
    definition: str
    synonyms: list[Synonym]
    parents: list[Labelled]
    obsolete: bool
    successors: list[Labelled]
    xrefs: list[str]
    ontology: str
    release: str
    lineage: dict[str, str]


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str


def asked_documents(body: Text | Documents | BiocCollection) -> tuple[Document, ...]:
    """The documents of a request, named by their place in it where that is needed to tell them apart."""
    if isinstance(body, Text):
        return (Document(id="", text=body.text),)
    if isinstance(body, Documents):
        return tuple(_document(marked) for marked in body.documents)
    nodes = (document.model_dump() for document in body.documents)
    return tuple(assemble(raw, CorpusReport()) for raw in (bioc.read_node(node) for node in nodes))


def _document(marked: Marked) -> Document:
    """``marked`` with the sentence of each mention, which the model is shown."""
    sentences = tuple(split(marked.text))
    starts = [start for start, _ in sentences]
    mentions = []
    for span in marked.mentions or ():
        begin, end = around(span.start, span.end, sentences, starts)
        mention = Mention(
            text=marked.text[span.start : span.end],
            start=span.start,
            end=span.end,
            sentence=marked.text[begin:end],
            sentence_start=begin,
            document=marked.id,
        )
        mentions.append(mention)
    return Document(id=marked.id, text=marked.text, sentences=sentences, mentions=tuple(mentions))


def answered(
    body: Text | Documents | BiocCollection,
    linked: Sequence[tuple[Document, Sequence[Link]]],
    lineage: dict[str, str],
) -> BaseModel:
    """The answer in the form of the question."""
    if isinstance(body, BiocCollection):
        nodes = [bioc.document_node(document, {link.mention: link for link in links}) for document, links in linked]
        return LinkedCollection(source="belink", date="", key="", infons=lineage, documents=nodes)
    documents = [
        LinkedDocument(id=document.id, links=[linked_mention(link, body.candidates) for link in links])
        for document, links in linked
    ]
    if isinstance(body, Text):
        return LinkedText(links=documents[0].links, lineage=lineage)
    return LinkedDocuments(documents=documents, lineage=lineage)


def linked_mention(link: Link, n_candidates: int) -> LinkedMention:
    """``link`` with its ``n_candidates`` best candidates."""
    chosen = link.candidate
    return LinkedMention(
        text=link.mention.text,
        start=link.mention.start,
        end=link.mention.end,
        long_form=link.mention.long_form,
        id=chosen.id if chosen else None,
        label=chosen.label if chosen else None,
        ontology=chosen.ontology if chosen else None,
        release=chosen.release if chosen else None,
        probability=_probability(link.probability),
        nil_probability=_probability(link.nil_probability),
        decided_by=link.decided_by,
        candidates=[_option(*option) for option in link.options[:n_candidates]],
    )


def _option(candidate: Candidate, probability: float) -> Option:
    return Option(
        id=candidate.id,
        label=candidate.label,
        name=candidate.name,
        scope=candidate.scope,
        ontology=candidate.ontology,
        release=candidate.release,
        score=round(candidate.score, 4),
        probability=_probability(probability),
    )


def _probability(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 4)  # a softmax may end a rounding error above 1


def found(query: str, candidates: Sequence[Candidate], notes: list[str], lineage: dict[str, str]) -> SearchAnswer:
    """What a search answers with."""
    concepts = [
        Found(id=c.id, label=c.label, name=c.name, ontology=c.ontology, release=c.release, score=round(c.score, 4))
        for c in candidates
    ]
    return SearchAnswer(query=query, concepts=concepts, notes=notes, lineage=lineage)


def concept_answer(concept_id: str, releases: Sequence[Release], lineage: dict[str, str]) -> ConceptAnswer | None:
    """What the first of ``releases`` that knows ``concept_id`` says of it; ``None`` where none does."""
    for release in releases:
        concept, ids = release.concept(concept_id), release.successor(concept_id)
        if concept is None and not ids:
            continue
        known = concept or Concept(id=concept_id, obsolete=True)  # an alternative id leads to its concept only
        return ConceptAnswer(
            id=concept_id,
            label=known.label,
            definition=known.definition,
            synonyms=[Synonym(text=name.text, scope=name.scope) for name in known.synonyms],
            parents=[_labelled(release, parent) for parent in known.parents],
            obsolete=known.obsolete,
            successors=[_labelled(release, id) for id in ids if id != concept_id],
            xrefs=list(known.xrefs),
            ontology=release.ontology,
            release=release.version,
            lineage=lineage,
        )
    return None


def _labelled(release: Release, concept_id: str) -> Labelled:
    return Labelled(id=concept_id, label=release.label(concept_id))
