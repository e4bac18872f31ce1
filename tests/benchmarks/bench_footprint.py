"""Memory predicted by `belink train --dry-run` against the peak resident memory of training, without the libraries.

    python tests/benchmarks/bench_footprint.py [MODEL ...]

For each model (by default the starter) two optimiser steps of full-length questions run on the CPU in a process of
their own: once as glibc allocates by default, once with every block of 64 KiB or more returned when it is free. Prints
one Markdown row a setting.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from belink import settings, weights
from belink.declarations import LinkerConfig, RerankerConfig, TrainingConfig
from belink.linker import reranker
from belink.records import Candidate, Mention, Question
from belink.training.footprint import footprint
from belink.training.lora import train

SETTINGS = [(2, False, 0), (4, False, 8), (4, True, 0)]  # batch size, gradients checkpointed, top layers (0: all)
ALLOCATION: dict[str, dict[str, str]] = {"default": {}, "returned": {"MALLOC_MMAP_THRESHOLD_": "65536"}}
HEAD = (
    "| model | batch | checkpointed | layers | predicted, MiB | peak, MiB | ratio | returned, MiB | ratio |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def declared(model: str, batch: int, checkpointing: bool, layers: int) -> LinkerConfig:
    training = TrainingConfig(batch_size=batch, gradient_checkpointing=checkpointing, lora_layers=layers)
    return LinkerConfig(name="x", title="X", ontologies=("x",), reranker=RerankerConfig(model=model), training=training)


def peak_bytes(linker: LinkerConfig, cache: Path) -> int:
    """Return the peak resident bytes of two steps, less what the libraries held before."""
    import peft  # noqa: F401
    import sklearn  # noqa: F401
    from transformers import Trainer  # noqa: F401

    base = weights.resolve(linker.reranker.model, cache)
    reranker.load_tokenizer(base)
    # Several tokens a character, so that every question is cut to exactly max_length of them.
    options = tuple(
        Candidate(id=str(i), label="", name="𒀀𓂀𠜎𝔘" * 30, ontology="x", release="1")
        for i in range(linker.reranker.options)
    )
    question = Question(mention=Mention(text="x"), candidates=options, answer=0)
    before = int(psutil.Process().memory_info().rss)
    with tempfile.TemporaryDirectory() as folder:
        train([question] * (2 * linker.training.batch_size), base, linker.training, linker.reranker, Path(folder) / "a")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def main() -> None:
    home = settings.load(None)
    if sys.argv[1:2] == ["--measure"]:
        print(peak_bytes(declared(*json.loads(sys.argv[2])), home.cache))  # noqa: T201
        return
    print(HEAD)  # noqa: T201
    for model in sys.argv[1:] or [RerankerConfig().model]:
        for setting in SETTINGS:
            predicted = footprint(declared(model, *setting), home.cache, "cpu").total
            command = [sys.executable, __file__, "--measure", json.dumps([model, *setting])]
            cells: list[object] = [model, *setting, predicted >> 20]
            for settings_of in ALLOCATION.values():
                process = subprocess.run(
                    command, check=True, capture_output=True, text=True, env={**os.environ, **settings_of}
                )
                peak = int(process.stdout.split()[-1])
                cells += [peak >> 20, f"{peak / predicted:.2f}"]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
