"""Mentions a second of retrieval without a language model or a real encoder, of one checkout or of two by turns.

    BELINK_DATA=… python tests/benchmarks/bench_retrieve.py [--against CHECKOUT] [--mentions 4000] [--turns 5]

Names come from MONDO, or from the bundled sample where BELINK_DATA is not set. Each checkout runs in a process of its
own, builds the index and retrieves the same mentions. The processes take turns, so that other load on the machine
falls on both; the ratio of medians is what to read. Vectors are sums of random trigram vectors: the encoder is no part
of the figure. Prints whether both give the same index files and candidates.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

_CHECKOUT = Path(__file__).parents[2]
_DIMENSION = 384


class TrigramEncoder:
    """Unit vectors without a model: sums of one random vector a trigram, the same on every machine."""

    fingerprint = "bench-retrieve"
    dimension = _DIMENSION

    def __init__(self) -> None:
        self._vectors = np.random.default_rng(13).normal(size=(4096, _DIMENSION)).astype(np.float32)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (n, dimension): one unit row a text."""
        rows = np.empty((len(texts), _DIMENSION), np.float32)
        for i, text in enumerate(texts):
            padded = f" {text} "
            trigrams = [padded[at : at + 3].encode() for at in range(len(padded) - 2)]
            buckets = [int.from_bytes(hashlib.blake2b(t, digest_size=2).digest()) % 4096 for t in trigrams]
            rows[i] = self._vectors[buckets].sum(axis=0)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def mentions_of(names: Sequence[tuple[str, str]], n: int) -> list[dict[str, Any]]:
    """Arguments of ``n`` mentions: names as they are, misspelled, shortened, with a long form or an apposition."""
    step = max(len(names) // n, 1)
    mentions: list[dict[str, Any]] = []
    for i, (_, text) in enumerate(names[::step][:n]):
        words = text.split()
        variants: list[dict[str, Any]] = [
            {"text": text},
            {"text": text[:3] + text[4:]},
            {"text": " ".join(words[1:] or words)},
            {"text": "".join(word[0] for word in words).upper(), "long_form": text},
            {"text": f"severe {text}", "apposition": names[i][1]},
        ]
        mentions.append(variants[i % len(variants)])
    return mentions


def work(folder: Path) -> None:
    """A worker: build the index of ``folder``, then retrieve once a line of standard input."""
    from belink import artefacts, declarations
    from belink.records import Mention
    from belink.retrieval.index import Index, build_index
    from belink.retrieval.retrieve import retrieve

    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    config: Any = getattr(declarations, "RetrievalConfig", None) or vars(declarations)["Retrieval"]
    linker: Any = getattr(declarations, "LinkerConfig", None) or vars(declarations)["Linker"]
    declared = linker(name="bench", title="Bench", ontologies=("bench",))
    encoder = TrigramEncoder()
    with tempfile.TemporaryDirectory() as scratch:
        precedents = [tuple(pair) for pair in task["precedents"]]
        report = build_index([Path(task["release"])], declared, encoder, Path(scratch), precedents=precedents)
        sums = {path.name: artefacts.sha256(path) for path in sorted(report.path.iterdir()) if path.name[0] != "m"}
        index = Index.load(report.path)
        fields = Mention.__dataclass_fields__
        appositions = "appositions" if "appositions" in fields else "also"  # its name in earlier checkouts
        mentions = [
            Mention(text=each["text"], long_form=each.get("long_form", ""), **{appositions: (each["apposition"],)})
            if "apposition" in each
            else Mention(text=each["text"], long_form=each.get("long_form", ""))
            for each in task["mentions"]
        ]
        print(json.dumps({"build_seconds": report.seconds, "names": report.names, "sums": sums}), flush=True)  # noqa: T201
        for _ in sys.stdin:
            started = time.process_time()
            candidates = retrieve(index, encoder, mentions, config())
            seconds = time.process_time() - started
            rows = [[(c.id, c.name, c.exact, round(c.score, 5)) for c in group] for group in candidates]
            told = {"seconds": seconds, "candidates": hashlib.sha256(json.dumps(rows).encode()).hexdigest()}
            print(json.dumps(told), flush=True)  # noqa: T201


def prepare(folder: Path, n: int) -> None:
    """Ingest the ontology and write the task of the workers into ``folder``."""
    from belink import settings
    from belink.declarations import load_source
    from belink.ontology.ingest import ingest
    from belink.ontology.release import open_release

    data = os.environ.get("BELINK_DATA")
    name = "mondo" if data else "mondo-sample"
    sample = settings.shipped_ontologies() / "samples" / "mondo-sample-2025-09-02.obo"
    file = Path(data) / "ontologies" / "mondo-2025-09-02.obo.gz" if data else sample
    path = ingest(load_source(name), [file], settings.load(folder / "home")).path
    with open_release(path) as release:
        table = release.names()
    names = list(zip(table["concept_id"].to_pylist(), table["text"].to_pylist(), strict=True))
    precedents = [(f"{text} of the patient", concept) for concept, text in names[::7]]
    task = {"release": str(path), "precedents": precedents, "mentions": mentions_of(names, n)}
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")


def ask(worker: "subprocess.Popen[str]") -> dict[str, Any]:
    """One turn of a worker."""
    stdin: IO[str] = worker.stdin  # type: ignore[assignment]
    stdin.write("\n")
    stdin.flush()
    return read(worker)


def read(worker: "subprocess.Popen[str]") -> dict[str, Any]:
    """The next line that a worker prints."""
    stdout: IO[str] = worker.stdout  # type: ignore[assignment]
    answer: dict[str, Any] = json.loads(stdout.readline())
    return answer


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of belink")
    parser.add_argument("--mentions", type=int, default=4000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.worker:
        return work(chosen.worker)
    checkouts = {"this": _CHECKOUT, **({"against": chosen.against.absolute()} if chosen.against else {})}
    with tempfile.TemporaryDirectory() as scratch:
        prepare(Path(scratch), chosen.mentions)
        workers = {
            name: subprocess.Popen(
                [sys.executable, str(Path(__file__).absolute()), "--worker", scratch],
                cwd=path,
                env={**os.environ, "PYTHONPATH": str(path)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name, path in checkouts.items()
        }
        built = {name: read(worker) for name, worker in workers.items()}
        turns = {name: [ask(worker) for _ in range(1)] for name, worker in workers.items()}  # caches fill
        for _ in range(chosen.turns):
            for name, worker in workers.items():
                turns[name].append(ask(worker))
        for worker in workers.values():
            worker.communicate()
    for name in checkouts:
        seconds = [turn["seconds"] for turn in turns[name][1:]]
        figures = {
            "names": built[name]["names"],
            "build_seconds": built[name]["build_seconds"],
            "mentions_per_second": round(chosen.mentions / statistics.median(seconds)),
            "slowest": round(chosen.mentions / max(seconds)),
            "fastest": round(chosen.mentions / min(seconds)),
        }
        print(json.dumps({"checkout": name, **figures}))  # noqa: T201
    if len(checkouts) == 2:
        medians = {name: statistics.median(turn["seconds"] for turn in turns[name][1:]) for name in checkouts}
        same = {
            "ratio": round(medians["against"] / medians["this"], 3),  # above 1: this checkout is faster
            "index_files_differ": sorted(
                file for file, sum_ in built["this"]["sums"].items() if built["against"]["sums"].get(file) != sum_
            ),
            "same_candidates": len({turn["candidates"] for each in turns.values() for turn in each}) == 1,
        }
        print(json.dumps(same))  # noqa: T201


if __name__ == "__main__":
    main()
