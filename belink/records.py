"""The nouns that stages exchange: frozen, keyword-only, importing nothing of belink; and a link as JSON.

Offsets are Unicode code points into the document's text, end exclusive. Concept ids are CURIEs (``MONDO:0005148``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Scope = Literal["label", "exact", "broad", "narrow", "related"]
Verdict = Literal["right", "other", "nil", "no-mention", "missed"]
"""A person's judgement of a link: it is right; another concept is; none fits; no mention; a mention was missed."""

NIL = None
"""The answer "no concept of these ontologies": ``None``, and ``None`` means nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """One name of a concept, as its source writes it."""

    text: str
    scope: Scope
    type: str = ""  # the source's synonym type (OMO:0003012), MeSH lexical tag or UMLS term type; "" for none
    language: str = ""  # BCP 47; "" where the source does not say
    source: str = ""  # the vocabulary it comes from (UMLS: SAB); "" for the ontology itself


@dataclass(frozen=True, kw_only=True, slots=True)
class Concept:
    """One entry of an ontology release. ``synonyms`` never holds the label again."""

    id: str
    label: str | None = None
    definition: str = ""
    synonyms: tuple[Name, ...] = ()
    obsolete: bool = False
    replaced_by: tuple[str, ...] = ()
    consider: tuple[str, ...] = ()
    alt_ids: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    relationships: tuple[tuple[str, str], ...] = ()  # (predicate, concept id), is_a left out
    xrefs: tuple[str, ...] = ()
    memberships: tuple[tuple[str, str], ...] = ()  # (kind, value): subset, tree_number, semantic_type, namespace


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """A clause, row or record that was set aside rather than read (or read after a repair)."""

    line: int | None  # 1-based line of the (decompressed) source; None where the format has no lines
    text: str  # the clause or row, cut to 500 characters
    reason: str
    repaired: bool = False  # True: the content was kept after a change that loses nothing; not counted as rejected


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """A span of text that may name a concept, with the context that linking looks at."""

    text: str
    start: int = 0
    end: int = 0
    spans: tuple[tuple[int, int], ...] = ()  # the pieces of a discontinuous mention; () where it is one piece
    sentence: str = ""
    sentence_start: int = 0  # document offset of ``sentence``
    long_form: str = ""  # the mention with the document's own abbreviations spelled out; "" where nothing changes
    appositions: tuple[
        str, ...
    ] = ()  # another name that the document gives in brackets beside it: "dacarbazine (DTIC)"
    composed: tuple[str, ...] = ()  # of a Latin short form, what it may be by genera that the document names
    gold: tuple[str, ...] = ()  # acceptable concept ids; () unannotated
    is_nil: bool = False  # annotated as having no concept
    is_found: bool = False  # by a name finder in raw text, rather than marked by whoever sent the text
    linker: str = ""  # of several, the one whose names it was found by; "" for any
    type: str = ""  # entity type, where the source gives one
    document: str = ""
    n_occurrences: int = 0  # of a found name in training text
    n_annotated: int = 0  # those of them that are annotated


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedSpan:
    """A span of a document that a person has judged."""

    start: int
    end: int
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A text and the mentions marked in it."""

    id: str
    text: str
    sentences: tuple[tuple[int, int], ...] = ()
    mentions: tuple[Mention, ...] = ()
    # Of a text from people's corrections: only these spans are annotated. A judged span without a mention is none.
    judged: tuple[JudgedSpan, ...] | None = None
    # The document as BioC had it, in the JSON form: what is written back keeps its passages, relations and infons.
    source: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    @property
    def judged_spans(self) -> set[tuple[int, int]] | None:
        """Start and end of what people have judged; ``None``: the whole text is annotated."""
        return None if self.judged is None else {(span.start, span.end) for span in self.judged}


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What all names of a candidate's concept say, and how annotated training text used the concept."""

    n_names: int = 0  # names that the concept has in the ontology
    mean_nearest_cosine: float = 0.0  # of the encoder's vectors, over its three nearest names, -1 to 1
    apposition_score: float = 0.0  # best score by a name that the document sets beside the mention; 0 for none
    n_annotations: int = 0  # training mentions annotated with it
    n_annotated_names: int = 0  # distinct texts among them
    share_annotated: float = 0.0  # of the training mentions with this very text, the share annotated with it, 0 to 1
    nearest_annotation_cosine: float = 0.0  # of the encoder's vectors, to the nearest of its training mentions
    is_short_form: bool = False  # the mention is a Latin name with its genus cut short, and may stand for the name
    is_misspelling: bool = False  # of a taxon: the mention is one letter away from the name
    # Of a taxon: the mention has its epithet and another genus; how near that is, 0 to 1, see LatinNames.find_moved.
    nearness: float = 0.0
    prominence: float = 0.0  # of a taxon, 0 or more: how likely papers are to mean it; see ontology.prominence
    id_kind_log_rate: float = 0.0  # how often training text uses ids of its kind; see NameTable.id_kind_log_rates


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A concept that retrieval offers for one mention."""

    id: str
    label: str  # preferred label; "" where the concept has none
    name: str  # the name that matched best
    ontology: str
    release: str
    # Scope of ``name``. "mention": so it was annotated, see precedents; "corrected": so a person has said.
    scope: Scope | Literal["mention", "corrected"] = "exact"
    exact: bool = False  # the normalised mention (or its long form) is one of the concept's names in the ontology
    lexical: float = 0.0  # cosine of character trigrams, 0 to 1, higher is better
    dense: float = 0.0  # cosine of encoder vectors, -1 to 1
    score: float = 0.0  # fused; higher is better; comparable within one linker only
    evidence: Evidence = Evidence()


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A mention, the options in the order shown, and which of them is right."""

    mention: Mention  # ``gold`` holds the right concepts; ``is_nil`` where the ontology has (or is made to have) none
    candidates: tuple[Candidate, ...]
    answer: int  # position in ``candidates``; ``len(candidates)`` for "None of the above"
    made_nil: bool = False  # its concept was taken away: says what NIL looks like, not how often it occurs

    @property
    def missed(self) -> bool:
        """There is a right concept, but retrieval did not offer it."""
        return self.answer == len(self.candidates) and not self.mention.is_nil


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """The answer for one mention: a concept, or NIL.

    >>> link = Link(mention=Mention(text="COPD", start=7, end=11), candidate=None, probability=0.5)
    >>> link.text, link.start, link.end, link.id
    ('COPD', 7, 11, None)
    """

    mention: Mention
    candidate: Candidate | None  # None: NIL
    probability: float  # calibrated, of the answer given (of NIL where candidate is None), 0 to 1
    options: tuple[tuple[Candidate, float], ...] = ()  # every candidate with its probability, best first
    nil_probability: float = 0.0
    decided_by: Literal["exact", "retrieval", "reranker", "nothing found", "correction"] = "reranker"
    lineage: dict[str, str] = field(default_factory=dict)  # linker, releases, index, adapter, model version
    type: str = ""  # as the linker declares; else the concept's own (UMLS: "T047"); else as the mention was marked

    @property
    def linker(self) -> str:
        """The name of the linker that answered."""
        return self.lineage.get("linker", "")

    @property
    def document(self) -> str:
        """The id of the document that the mention stands in; "" for a text without one."""
        return self.mention.document

    @property
    def text(self) -> str:
        """The mention as the document writes it."""
        return self.mention.text

    @property
    def start(self) -> int:
        """Offset of the mention's first character in the document, in code points."""
        return self.mention.start

    @property
    def end(self) -> int:
        """Offset after the mention's last character, in code points."""
        return self.mention.end

    @property
    def id(self) -> str | None:
        """The concept's CURIE; ``None`` for NIL."""
        return self.candidate.id if self.candidate else None

    @property
    def label(self) -> str | None:
        """The concept's preferred label; ``None`` for NIL."""
        return self.candidate.label if self.candidate else None

    @property
    def ontology(self) -> str | None:
        """The ontology that the concept belongs to; ``None`` for NIL."""
        return self.candidate.ontology if self.candidate else None

    @property
    def release(self) -> str | None:
        """The version of that ontology; ``None`` for NIL."""
        return self.candidate.release if self.candidate else None


@dataclass(frozen=True, kw_only=True, slots=True)
class GateResult:
    """The value of one gate, held against its bound."""

    name: str
    value: float | None  # None: there is no number, as without timings
    bound: float
    passed: bool
    detail: str = ""
    measured: bool = True  # False: on too few items for the bound to mean anything; passes unless that is not allowed

    @property
    def verdict(self) -> Literal["pass", "FAIL", "not measured"]:
        """The outcome in words, for tables."""
        return "FAIL" if not self.passed else "pass" if self.measured else "not measured"


def link_json(link: Link, *, n_candidates: int | None = None) -> dict[str, Any]:
    """Return ``link`` as every output writes it: command line, service, page, MLflow and files.

    :param n_candidates: how many candidates to list, best first; ``None`` for all.
    :returns: ``document``, ``text``, ``start``, ``end``, ``long_form``, ``also``, ``id``, ``label``, ``ontology``,
        ``release`` (those four are ``None`` for NIL), ``type``, ``linker``, ``probability`` of that answer,
        ``nil_probability``, ``decided_by`` and ``candidates``. Probabilities have four decimals.
    """
    mention = link.mention
    return {
        "document": mention.document,
        "text": mention.text,
        "start": mention.start,
        "end": mention.end,
        "long_form": mention.long_form,
        "also": list(mention.appositions),
        "id": link.id,
        "label": link.label,
        "ontology": link.ontology,
        "release": link.release,
        "type": link.type,
        "linker": link.linker,
        "probability": _rounded(link.probability),
        "nil_probability": _rounded(link.nil_probability),
        "decided_by": link.decided_by,
        "candidates": [
            {**candidate_json(candidate), "probability": _rounded(probability)}
            for candidate, probability in link.options[:n_candidates]
        ],
    }


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """Return ``candidate`` as a search or a link lists it; ``name`` is the name that matched, ``scope`` its scope."""
    return {
        "id": candidate.id,
        "label": candidate.label,
        "name": candidate.name,
        "scope": candidate.scope,
        "ontology": candidate.ontology,
        "release": candidate.release,
        "score": round(candidate.score, 4),
    }


def _rounded(probability: float) -> float:
    return round(min(1.0, max(0.0, probability)), 4)  # a softmax can end a rounding error above 1
