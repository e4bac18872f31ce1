"""The bodies of requests and answers; ``answers`` turns one into the other.

Offsets are Unicode code points into a document's text, end exclusive; probabilities are calibrated, 0 to 1.
"""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from belink.records import Verdict

Probability = Annotated[float, Field(ge=0, le=1)]


MOST_MENTIONS = 10_000  # of a request: an answer is some hundred times as long as its question
LONGEST_MENTION = 1_000  # characters; every mention is a copy of its text
LONGEST_TEXT = 4 << 20  # characters that the passages of a request may make: offsets ask for blanks between them


DEEPEST = 50  # levels of lists and objects in BioC; what walks through them uses a call a level


class TooLarge(Exception):
    """A request asks for more than one answer should hold."""


def _writable(text: str) -> str:
    """Return ``text`` unchanged if UTF-8 can encode it: JSON can spell lone surrogates, which UTF-8 cannot.

    :raises ValueError: it holds a lone surrogate.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("expected Unicode text, found a lone surrogate") from error
    return text


def _is_deeper(node: Any, levels: int) -> bool:
    """Return whether ``node`` has more than ``levels`` levels of lists and objects."""
    # Recursion ends at `levels`, so a deeply nested body cannot exhaust the stack here.
    if not isinstance(node, list | dict):
        return False
    inner = node.values() if isinstance(node, dict) else node
    return levels == 0 or any(_is_deeper(value, levels - 1) for value in inner)


Written = Annotated[str, AfterValidator(_writable)]
Shown = Annotated[int, Field(ge=0, le=25, description="Candidates listed a mention, best first.")]
_TEXT = "He has COPD and type 2 diabetes."


class RequestSettings(BaseModel):
    """The settings that every form of a request shares; unknown keys and other types are errors."""

    model_config = ConfigDict(strict=True, extra="forbid")

    min_probability: Probability | None = Field(
        default=None,
        description="The answer is NIL where no concept is this probable; null takes the linker's own bound.",
    )
    candidates: Shown = 10


class Span(BaseModel):
    """A mention."""

    model_config = ConfigDict(strict=True, extra="forbid")

    start: int = Field(ge=0)
    end: int = Field(gt=0)
    type: str = Field(default="", max_length=200, description="Of several linkers, those of this type are asked.")


class Text(RequestSettings):
    """A text whose mentions are to be found."""

    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": [{"text": _TEXT}]})

    text: Written


def _check_span(text: str, start: int, end: int, span: str, mention: str) -> None:
    """Refuse offsets that are no mention's.

    :param span: how the message names what was sent.
    :param mention: how it names what is allowed.
    """
    # Python counts code points, as the API does. JavaScript clients count UTF-16 units and must convert.
    if not start < end <= len(text):
        raise ValueError(
            f"expected {span} inside the text of {len(text)} code points, start before end; found {start} to {end}"
        )
    if end - start > LONGEST_MENTION:
        raise ValueError(f"expected {mention} of at most {LONGEST_MENTION:,} code points, found a longer one")


class Marked(BaseModel):
    """A document; its mentions are found where it marks none."""

    model_config = ConfigDict(strict=True, extra="forbid")

    id: Written = ""
    text: Written
    mentions: list[Span] | None = None

    @model_validator(mode="after")
    def _mentions_lie_in_the_text(self) -> "Marked":
        for span in self.mentions or ():
            _check_span(self.text, span.start, span.end, "mentions", "mentions")
        return self


class Documents(RequestSettings):
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

    # The same limit as for offsets in files, see `corpora.raw`.
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
    def _can_be_written(cls, body: Any) -> Any:
        # The answer holds whatever keys came with a document, so all of it must be writable.
        if _is_deeper(body, DEEPEST):
            raise ValueError(f"expected at most {DEEPEST} levels of lists and objects, found more")
        _writable(json.dumps(body, ensure_ascii=False, default=str))
        return body


class Option(BaseModel):
    """A concept that was considered for a mention."""

    id: str
    label: str
    name: str = Field(description="The name that matched.")
    scope: str = Field(
        description="What that name is: label, exact, broad, narrow, related; mention or corrected if people use it."
    )
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
    also: tuple[str, ...] = Field(description="What the document sets beside it in brackets, as another name of it.")
    id: str | None
    label: str | None
    ontology: str | None
    release: str | None
    type: str = Field(
        description="As the linker declares; else the concept's own (a semantic type of UMLS, a taxon's rank); else "
        "as the mention was marked."
    )
    linker: str = Field(description="The linker that answered.")
    probability: Probability = Field(description="Of this answer: of NIL where id is null.")
    nil_probability: Probability = Field(
        description="It and those of all candidates sum to 1, or less: a marked mention may have another concept."
    )
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
    """A BioC collection, linked; ``infons`` of the collection hold the lineage. Other keys are those that came."""

    model_config = ConfigDict(extra="allow")

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
    children: list[Labelled] = Field(description="By label; the first hundred.")
    n_children: int
    obsolete: bool
    successors: list[Labelled]
    xrefs: list[str]
    ontology: str
    release: str
    lineage: dict[str, str]


_CONCEPT_ID = Field(default=None, min_length=1, max_length=200)
_WHO = Field(min_length=1, max_length=100, description="The name that the correction is kept under.")


class Correction(BaseModel):
    """A judgement of one span of a text; only the sentence around it is stored."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"text": _TEXT, "start": 7, "end": 11, "verdict": "other", "concept": "MONDO:0005002", "who": "anna"}
            ]
        },
    )

    text: Written = Field(description="The text that was linked.")
    start: int = Field(ge=0)
    end: int = Field(gt=0)
    verdict: Verdict = Field(
        description="The link is right; it is another concept; no concept fits; this is no mention; it was missed."
    )
    concept: Written | None = _CONCEPT_ID
    answered: Written | None = _CONCEPT_ID
    who: Written = _WHO
    document: Written = Field(default="", max_length=200, description="Its corrections are held out together.")
    linker: str | None = Field(default=None, max_length=200, description="One of those served; the first if left out.")

    @model_validator(mode="after")
    def _fits_together(self) -> "Correction":
        _check_span(self.text, self.start, self.end, "a span", "a mention")
        return self


class StoredCorrection(BaseModel):
    """A correction as it is stored; ``start`` and ``end`` lie in ``sentence``."""

    id: str
    at: str
    linker: str
    version: str
    verdict: Verdict
    who: str
    concept: str | None
    label: str | None
    sentence: str
    start: int
    end: int
    held_out: bool = Field(description="Kept to measure the next version with; it teaches nothing.")
    ignored: bool = Field(description="The linker's declaration has no corpus `feedback = true`: no refresh learns it.")


class Undo(BaseModel):
    """Who withdraws a correction."""

    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": [{"who": "anna"}]})

    who: Written = _WHO
    linker: str | None = Field(default=None, max_length=200, description="One of those served; the first if left out.")


class InForce(BaseModel):
    """A correction that counts."""

    id: str
    at: str
    verdict: Verdict
    who: str
    concept: str | None
    label: str | None


class Withdrawn(BaseModel):
    """The record that took a correction out of force."""

    id: str
    at: str
    withdraws: str
    in_force: list[InForce] = Field(
        description="What counts for the same span now; an earlier correction counts again."
    )


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str
