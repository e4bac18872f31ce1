"""What the result of each learning stage depends on, and the key that names it.

A key covers the linker's whole declaration, except the fields that are listed here as not content, each with its
reason. It also covers the other inputs of the stage: releases, weights and corpora, by their sha256. So a new field of
a declaration counts until it is listed. The index and the releases have such lists beside their own code
(``retrieval.index``, ``ontology.ingest``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from belink import artefacts
from belink.declarations import ADMINISTRATIVE, LinkerConfig, SourceConfig
from belink.linker import bundle, calibration, name_finder, prompts
from belink.ontology import ingest
from belink.text import normalise

_GIVEN_BY_SHA256 = {
    "ontologies": "the sha256 of each release stands for it",
    "corpora.file": "the sha256 of the file stands for it",
    "corpora.url": "tells people where to find the file",
    "corpora.licence": "shown",
}
_DETECTOR = {"detector": "finds mentions in raw text; only marked ones are read here"}
_SPEED = {"encoder.batch_size": "changes the speed only", "reranker.batch_tokens": "changes the speed only"}
# Fields that count since keys without them exist, each with the value at which those keys still hold.
_JOINED_CORRECTIONS = {"corpora.feedback": False}
_JOINED_NAMES = {"names": "any"}
_JOINED = {"corpora.use": "both", **_JOINED_NAMES, **_JOINED_CORRECTIONS}
_JOINED_PRECISION = {"precision": 0.9}
_JOINED_INPUTS: dict[str, Any] = {
    "gates.min_mentions": 30,
    "gates.require_measured": False,
    "gates.max_repeated_errors": 0,
    "gates.max_unexplained_changes": None,
    "gates.min_stratum_accuracy": None,
    "type": "",
    **_JOINED_NAMES,
    **_JOINED_PRECISION,
    **_JOINED_CORRECTIONS,
}
# Removed options (``declarations.REMOVED_OPTIONS``), each with the value that belink goes by now: keys that were made
# with it still hold.
RETIRED_ADAPTATION = {"adaptation.hard_negatives": 0, "adaptation.warmup": 0.1, "adaptation.max_length": 32}
RETIRED_TRAINING = {
    "training.residual": 0.0,
    "training.order": "shuffled",
    "training.inserted": 0.5,
    "training.lora_dropout": 0.0,
    "training.lora_targets": "all-linear",
    "training.lora_alpha": 32,
    "training.accumulation": 1,
    "training.warmup": 0.05,
}

ENCODER_NOT_CONTENT = {
    **ADMINISTRATIVE,
    **_GIVEN_BY_SHA256,
    **_DETECTOR,
    "encoder.model": "the sha256 of its weights stands for it",
    "encoder.batch_size": "changes the speed only",
    "retrieval": "asks the encoder once it is fine-tuned",
    "reranker": "another model",
    "training": "of the re-ranker; but what is held out is held out from every model",
    "evaluation": "chooses what the encoder is measured on",
}
ADAPTER_NOT_CONTENT = {
    **ADMINISTRATIVE,
    **_GIVEN_BY_SHA256,
    **_DETECTOR,
    **_SPEED,
    "reranker.model": "the sha256 of its weights stands for it",
    "reranker.min_gain": "says when the trained model is asked",
    "reranker.orders": "says how often the trained model is asked",
    "evaluation": "chooses what is measured",
}
CALIBRATION_NOT_CONTENT = {
    **{name: reason for name, reason in ADMINISTRATIVE.items() if name != "precision"},
    **_GIVEN_BY_SHA256,
    **_DETECTOR,
    **_SPEED,
    "prefixes": "the key of the index stands for them",
    "adaptation": "the key of the index stands for the encoder",
    "training": "the key of the adapter stands for it; but what is held out is what calibrates",
}
LEXICON_NOT_CONTENT = {
    **ADMINISTRATIVE,
    **_GIVEN_BY_SHA256,
    "prefixes": "the key of the index stands for them",
    "encoder": "names are learned as strings",
    "adaptation": "names are learned as strings",
    "retrieval": "names are learned as strings",
    "reranker": "names are learned as strings",
    "detector": "says whether and how what was learned is used",
    "training": "of the re-ranker; but what is held out is held out from everything",
    "evaluation": "chooses what is measured",
}
# Gates count here, because a change of them calls for a new verdict although nothing is built anew.
INPUTS_NOT_CONTENT = {
    **{name: ADMINISTRATIVE[name] for name in ("title", "schedule", "retrain", "approval", "storage", "watch")},
}


def encoder_key(
    linker: LinkerConfig, releases: Mapping[str, Path], corpora: Mapping[str, str], *, base_sha256: str
) -> str:
    """Return the key of the encoder that is fine-tuned on the names of ``releases``.

    :param corpora: name → sha256 of the file.
    :param base_sha256: of the declared encoder's weights.
    """
    content = artefacts.content(
        linker,
        ENCODER_NOT_CONTENT,
        but=["training.held_out"],
        joined=_JOINED,
        retired=RETIRED_ADAPTATION,
    )
    # The names and the nesting of a key's content are part of it. Changing either builds everything anew in every home.
    return artefacts.key(
        {
            **content.pop("training"),
            **content,
            "base": base_sha256,
            "corpora": _corpora(content, corpora),
            "releases": _releases(releases),
        }
    )


def adapter_key(
    linker: LinkerConfig, releases: Mapping[str, Path], corpora: Mapping[str, str], *, base_sha256: str
) -> str:
    """Return the key of the adapter that is trained on the names of ``releases`` and on the corpora.

    :param corpora: name → sha256 of the file.
    :param base_sha256: of the language model's weights.
    """
    content = artefacts.content(
        linker,
        ADAPTER_NOT_CONTENT,
        joined={**_JOINED, "reranker.max_length": 512},
        retired={**RETIRED_ADAPTATION, **RETIRED_TRAINING},
    )
    asking = content.pop("reranker")
    return artefacts.key(
        {
            **content,
            "options": asking.pop("options"),
            "asking": asking,
            "base": base_sha256,
            "corpora": _corpora(content, corpora),
            "releases": _releases(releases),
            "prompts": prompts.VERSION,
        }
    )


def calibration_content(linker: LinkerConfig) -> dict[str, Any]:
    """Return what of a declaration a calibration depends on, besides index, adapter and corpora."""
    content = artefacts.content(
        linker,
        CALIBRATION_NOT_CONTENT,
        # The detector counts by these two alone: they decide which mentions of raw text are calibrated on.
        but=["training.held_out", "training.nil_share", "detector.learn", "detector.model"],
        joined={
            **_JOINED,
            **_JOINED_PRECISION,
            "training.nil_share": 0.1,
            "detector.learn": True,
            "detector.model": "",
        },
    )
    return {**content.pop("training"), **content}


def calibration_key(linker: LinkerConfig, index: str, adapter: str | None, corpora: Mapping[str, str]) -> str:
    """Return the key of the calibration of an index and an adapter, each given by its own key."""
    content = calibration_content(linker)
    used = _corpora(content, corpora)
    # `used` stands for the corpora: it has their sha256 besides.
    content.pop("corpora")
    return artefacts.key({"index": index, "adapter": adapter, "asked": content, "corpora": used, **calibration.rules()})


def lexicon_key(linker: LinkerConfig, index: str, corpora: Mapping[str, str]) -> str:
    """Return the key of what the corpora that train teach about the names of an index, given by its key."""
    content = artefacts.content(
        linker, LEXICON_NOT_CONTENT, but=["training.held_out"], joined={**_JOINED_NAMES, **_JOINED_CORRECTIONS}
    )
    # Unlike `_corpora`, this form states the use of every corpus. Keys of stored lexicons have it, so it stays.
    uses = {corpus.pop("name"): list(corpus.values()) for corpus in content.pop("corpora")}
    return artefacts.key(
        {
            **content.pop("training"),
            **content,
            "index": index,
            "corpora": {name: [corpora[name], *use] for name, use in uses.items()},
            "version": name_finder.VERSION,
        }
    )


def inputs_key(
    linker: LinkerConfig, sources: Mapping[str, tuple[SourceConfig, str]], corpora: Mapping[str, str]
) -> str:
    """Return a key over everything that determines a bundle; an equal one means that nothing has changed.

    :param sources: ontology → its declaration, and the sha256 of its files.
    :param corpora: name → sha256 of the file.
    """
    return artefacts.key(
        {
            "sources": {
                name: {"sha256": sha256, "reading": ingest.reading_content(source)}
                for name, (source, sha256) in sorted(sources.items())
            },
            "corpora": dict(corpora),
            "linker": artefacts.content(
                linker, INPUTS_NOT_CONTENT, joined=_JOINED_INPUTS, retired={**RETIRED_ADAPTATION, **RETIRED_TRAINING}
            ),
            "text_version": normalise.VERSION,
            "calibration": calibration.rules(),
            "format": bundle.FORMAT,
        }
    )


def _corpora(content: Mapping[str, Any], sha256: Mapping[str, str]) -> dict[str, Any]:
    """Return the sha256 of each corpus, with what else counts of its declaration, where anything does."""
    rest = {
        corpus["name"]: {key: value for key, value in corpus.items() if key != "name"} for corpus in content["corpora"]
    }
    # A corpus with the default use has no rest. It keeps the plain form, which stored keys of such corpora have.
    return {name: [sha256[name], rest[name]] if rest[name] else sha256[name] for name in rest}


def _releases(releases: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return what each release was read from and how: the same in every home, unlike the bytes of its database."""
    manifests = {name: artefacts.read_manifest(path) for name, path in releases.items()}
    return {
        # The sum of the unpacked content, where the manifest has one: packing a file anew with gzip changes its bytes.
        name: [manifest.get("content_sha256", manifest["sha256"]), manifest.get("reading", "")]
        for name, manifest in manifests.items()
    }
