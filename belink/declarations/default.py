"""The linker that an ontology gets without a declaration of its own."""

import re
from typing import Any

from belink.declarations.linker import (
    LINKER_NAME,
    CorpusConfig,
    EvaluationConfig,
    LinkerConfig,
    LinkerGates,
    TrainingConfig,
)
from belink.declarations.source import SourceConfig
from belink.errors import DeclarationError

# On hidden names, where the shipped ontologies reach more (ontologies/README.md). The calibration error of few names is
# large by chance: a slim with 84 has 0.19.
MIN_ACCURACY_AT_1, MIN_RECALL_AT_10, MAX_ECE = 0.3, 0.5, 0.2


def default_linker(source: SourceConfig, ontology: str) -> LinkerConfig:
    """Return the linker of one ontology alone: retrieval, and probabilities fitted to its held-out names.

    Since nothing is trained on names, each of them may be hidden and asked: all are held out. It learns from people's
    corrections, where there are any.

    No language model is trained: on questions from names alone it added 0.0 to 0.5 points on annotated text, and takes
    most of a refresh's time (experiments 67 and 73 in tests/benchmarks/EXPERIMENTS.md).

    :param ontology: how the linker names the ontology: a shipped name, or the path to its TOML.
    :raises DeclarationError: the ontology's name cannot be a linker's.
    """
    if not re.fullmatch(LINKER_NAME, source.name):
        raise DeclarationError(
            f"{source.name!r}: expected a name that a linker can have, too (at most 63 letters, digits, '.', '_' and "
            "'-'); rename the TOML file, or declare a linker of it"
        )
    return _by_default(source, ontology, source.name)


def _by_default(source: SourceConfig, ontology: str, name: str) -> LinkerConfig:
    return LinkerConfig(
        name=name,
        title=source.title,
        ontologies=(ontology,),
        training=TrainingConfig(questions=0, held_out=1.0),
        corpora=(CorpusConfig.model_validate({"feedback": True}),),
        evaluation=EvaluationConfig(items=1000),
        # No gate on latency: a mention takes milliseconds, so the ratio of two versions measures the machine.
        gates=LinkerGates(
            min_accuracy_at_1=MIN_ACCURACY_AT_1,
            min_recall_at_10=MIN_RECALL_AT_10,
            max_ece=MAX_ECE,
            max_latency_ratio=None,
        ),
        schedule=source.schedule,
    )


def defaults_of(linker: LinkerConfig, source: SourceConfig) -> dict[str, Any] | None:
    """Return what ``linker`` has by default, for people; ``None`` where somebody declared it.

    :param source: of the linker's first ontology.
    """
    # A refresh puts the corrections of the home in place of their declaration, or leaves it out.
    default = _by_default(source, linker.ontologies[0], linker.name)
    declared = tuple(corpus for corpus in linker.corpora if not corpus.feedback)
    if linker.model_copy(update={"corpora": (*declared, *default.corpora)}) != default:
        return None
    gates = linker.gates.model_dump(mode="json", exclude_none=True, exclude={"min_mentions", "require_measured"})
    return {
        "ontology": source.name,
        "encoder": linker.encoder.model,
        "candidates": linker.retrieval.candidates,
        "reranker": "none (training.questions = 0): retrieval and probabilities fitted to held-out names",
        "held_out": linker.training.held_out,
        "gates": gates,
        "schedule": linker.schedule or "by hand",
    }
