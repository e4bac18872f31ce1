"""The declaration of an ontology (``ontologies/*.toml``) as typed values.

Descriptions of fields are what ontologies/README.md says of the keys; tests/support/key_tables.py writes them there.
"""

from typing import Annotated, Literal

from pydantic import Field

from belink.declarations.fields import Declaration, Share
from belink.records import Scope

FhirCode = Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*:[^\s|]+\|[^\s|{}]*\{(id|curie)\}$")]
Format = Literal["obo", "owl", "obograph", "mesh", "umls", "table", "taxdump"]


class NamesKept(Declaration):
    """Which names of a source are read into a release."""

    scopes: tuple[Scope, ...] = Field(
        default=("label", "exact", "broad", "narrow", "related"), description="which kinds of names are kept"
    )
    languages: tuple[str, ...] = Field(
        default=(), description='BCP 47 (`"en"`) or UMLS codes (`"ENG"`); empty keeps all'
    )
    sources: tuple[str, ...] = Field(default=(), description="UMLS: vocabularies (SAB); empty keeps all")
    types: tuple[str, ...] = Field(
        default=(), description='UMLS: term types (TTY); taxdump: name classes (`"synonym"`); empty keeps all'
    )
    suppressed: bool = Field(default=False, description="UMLS: keep suppressed atoms")
    properties: dict[str, Scope] = Field(
        default_factory=dict,
        description="OWL and OBO Graph: further annotation properties that hold names, each with its scope, such as "
        '`"EFO:alternative_term" = "exact"`',
    )
    added: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description='further exact names of concepts, such as `"NCBITaxon:10090" = ["mouse", "mice"]`; no other '
        "concept keeps one of them as a synonym",
    )
    lists: tuple[Annotated[str, Field(pattern="^pypi:")], ...] = Field(
        default=(),
        description="lists of synonyms in wheels, `pypi:package==version#file`, read with every new release; see "
        "[Names that an ontology lacks](#names-that-an-ontology-lacks)",
    )


class ReleaseGates(Declaration):
    """Bounds that a new release must keep before it can be used; see :mod:`belink.ontology.gates`.

    Descriptions end the sentence "the release is refused if".
    """

    max_shrinkage: Share = Field(
        default=0.05,
        description="a larger share of the live concepts of the release before is live no more",
    )
    max_rejected: Share = Field(default=0.01, description="a larger share of clauses or rows was set aside")
    # MONDO has 0.013, UBERON 0.016.
    max_dangling_replaced_by: Share = Field(
        default=0.05, description="a larger share of `replaced_by` leads to no live concept"
    )
    max_duplicate_labels: Share = Field(
        default=0.05, description="a larger share of live concepts shares its normalised label with another"
    )
    max_cyclic: int = Field(default=0, ge=0, description="more concepts lie on a cycle of is-a")
    max_corpus_names_lost: Share = Field(
        default=0.02, description="concepts that a linker's corpora use lost a larger share of their names"
    )


class Columns(Declaration):
    """Column mapping of a ``table`` source; names of columns as in the header (or ``column0``… where there is none)."""

    id: str = Field(description="the concept's id; one without a prefix gets the first of `prefixes`")
    label: str = Field(description="the preferred name")
    synonyms: str | tuple[str, ...] | None = Field(default=None, description="further names; one column or a list")
    definition: str | None = Field(default=None, description="a text for people")
    parents: str | None = Field(default=None, description="ids of broader concepts")
    alt_ids: str | None = Field(default=None, description="further ids of the same concept")
    xrefs: str | None = Field(default=None, description="ids in other vocabularies")
    xrefs_prefix: str = Field(default="", description="put before cross-references that have no prefix")
    tree_numbers: str | None = Field(default=None, description="places in a hierarchy, as MeSH has them")
    separator: str = Field(default="|", description="between the values of one cell")


class SourceConfig(Declaration):
    """One ontology: where it comes from, which parts of it are kept, and what its releases must satisfy."""

    name: str
    title: str = Field(description="the ontology's name, for people")
    format: Format = Field(description="how the file is written; see [Formats](#formats)")
    url: str | tuple[str, ...] | None = Field(
        default=None,
        description="the address, or a list of addresses, https only; `{version}` is filled in. Without it, bring "
        "files",
    )
    version: str = Field(
        default="header",
        description='where the version stands: `"header"`, `"last-modified"`, or a regular expression on the file\'s '
        "name, its first group being the version",
    )
    prefixes: tuple[str, ...] = Field(
        description="CURIE prefixes of the ontology's own concepts. Other terms in the file are kept, but a linker "
        "does not offer them; empty offers all",
    )
    licence: str = Field(description="stored in every release")
    licence_url: str = Field(default="", description="where the licence can be read")
    citation: str = Field(default="", description="how the ontology asks to be cited")
    redistributable: bool = Field(
        default=True,
        description="`false` keeps what is built from it off a shared MLflow server; see [Licences](#licences)",
    )
    fhir_codes: dict[str, FhirCode] = Field(
        default_factory=dict,
        description='prefix → FHIR code system and code, such as `MONDO = "http://purl.obolibrary.org/obo/mondo.owl|'
        '{curie}"`; `{id}` is the part after the prefix. See [FHIR](#fhir)',
    )
    branches: tuple[str, ...] = Field(
        default=(),
        description='roots to keep: CURIEs, MeSH tree prefixes (`"C"`, `"F03"`), UMLS semantic types (`"T047"`) or '
        'groups (`"DISO"`); empty keeps all',
    )
    names: NamesKept = NamesKept()
    columns: Columns | None = None
    comment: str | None = Field(default=None, description='tables: lines that begin with it are skipped (CTD: `"#"`)')
    schedule: str = Field(default="", description="cron, UTC: when a deployment fetches it; empty: by hand")
    edition: str = Field(
        default="",
        description='strftime pattern of the version to ask for where nobody names one: `"%Y"` is one edition a year',
    )
    header: tuple[str, ...] = Field(
        default=(), description="tables without a header line: the names of the columns, in order"
    )
    stream_above_mib: float = Field(
        default=64,
        ge=0,
        description="OBO files above this size (decompressed) are read frame by frame: the same rows, less memory",
    )
    gates: ReleaseGates = ReleaseGates()
