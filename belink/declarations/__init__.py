"""Declarations of ontologies (``ontologies/*.toml``) and linkers (``flows/linkers/*.toml``) as typed values.

A declaration is data: adding an ontology or a linker is adding one file. ``source`` and ``linker`` hold the keys,
``files`` reads them, ``default`` makes a linker of an ontology alone.
"""

from belink.declarations.default import default_linker, defaults_of
from belink.declarations.fields import Declaration
from belink.declarations.files import (
    corpus_file,
    load_linker,
    load_source,
    read_stored_linker,
    undeclared_source,
    watched_files,
    without_removed,
)
from belink.declarations.linker import (
    ADMINISTRATIVE,
    CORRECTIONS_FILE,
    REMOVED_OPTIONS,
    AdaptationConfig,
    ApprovalConfig,
    CorpusConfig,
    DetectorConfig,
    EncoderConfig,
    EvaluationConfig,
    LinkerConfig,
    LinkerGates,
    RerankerConfig,
    RetrainConfig,
    RetrievalConfig,
    StorageConfig,
    TrainingConfig,
    WatchConfig,
    check_language_model,
)
from belink.declarations.source import Columns, Format, NamesKept, ReleaseGates, SourceConfig

__all__ = [
    "ADMINISTRATIVE",
    "CORRECTIONS_FILE",
    "REMOVED_OPTIONS",
    "AdaptationConfig",
    "ApprovalConfig",
    "Columns",
    "CorpusConfig",
    "Declaration",
    "DetectorConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "Format",
    "LinkerConfig",
    "LinkerGates",
    "NamesKept",
    "ReleaseGates",
    "RerankerConfig",
    "RetrainConfig",
    "RetrievalConfig",
    "SourceConfig",
    "StorageConfig",
    "TrainingConfig",
    "WatchConfig",
    "check_language_model",
    "corpus_file",
    "default_linker",
    "defaults_of",
    "load_linker",
    "load_source",
    "read_stored_linker",
    "undeclared_source",
    "watched_files",
    "without_removed",
]
