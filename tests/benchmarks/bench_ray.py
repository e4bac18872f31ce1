"""Abstracts a second on Ray with one and with two workers, and what 36 million would take.

    python tests/benchmarks/bench_ray.py HOME LINKER CORPUS... [--workers 1 2] [--files 12] [--documents 100]

The texts of CORPUS (BioC, PubTator or JSONL), without their mentions, are written into files, repeated where there are
too few. Each number of workers links them into a new folder. The files that workers link first are left out of the
figures, since they load the models meanwhile. CPU time is that of the workers. Prints two Markdown tables, of which the
second is calculated from the CPU time of the first.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from belink import settings
from belink.corpora.files import read_corpus
from belink.linker.shards import ShardOptions, find_shards
from belink.registry.open import open_linkers

ABSTRACTS = 36_000_000
CORES = (1, 16, 64)


def write_files(corpora: list[Path], folder: Path, n_files: int, n_documents: int) -> float:
    """Write the files; return the mean length of their texts in characters."""
    texts = [document.text for path in corpora for document in read_corpus(path)]
    lengths = []
    endless = itertools.cycle(texts)
    for number in range(n_files):
        chosen = list(itertools.islice(endless, n_documents))
        lengths += [len(text) for text in chosen]
        lines = [json.dumps({"id": f"{number}-{i}", "text": text}) for i, text in enumerate(chosen)]
        (folder / f"{number:03}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return sum(lengths) / len(lengths)


def cpu_seconds(seen: dict[int, float]) -> float:
    """The processor time of the workers so far; ``seen`` keeps that of workers that have ended."""
    for process in psutil.Process().children(recursive=True):
        try:
            if "MapWorker" in " ".join(process.cmdline()):
                seen[process.pid] = sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return sum(seen.values())


def measure(home: settings.Settings, linker: Any, source: Path, output: Path, n_workers: int) -> dict[str, float]:
    """Return abstracts, mentions, seconds and CPU seconds of the files after the first of each worker."""
    # An extra, and tests load this file without it.
    import ray

    from belink.serve.ray import link_shards

    ray.init("local", num_cpus=n_workers, include_dashboard=False, log_to_driver=False)
    shards = find_shards(source / "*.jsonl", output)
    started = time.perf_counter()
    points = []
    seen: dict[int, float] = {}
    for result in link_shards(home, linker, shards, ShardOptions()):
        assert not result.error and not result.kept, result
        points.append((time.perf_counter() - started, cpu_seconds(seen), result.documents, result.mentions))
    ray.shutdown()
    warm, measured = points[n_workers - 1], points[n_workers:]
    return {
        "first": points[0][0],
        "seconds": measured[-1][0] - warm[0],
        "cpu": measured[-1][1] - warm[1],
        "documents": sum(point[2] for point in measured),
        "mentions": sum(point[3] for point in measured),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("linker")
    parser.add_argument("corpus", type=Path, nargs="+")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--files", type=int, default=12)
    parser.add_argument("--documents", type=int, default=100)
    given = parser.parse_args()
    home = settings.load(given.home)
    linker = open_linkers(home, given.linker)
    say = sys.stdout.write
    per_abstract = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "in").mkdir()
        length = write_files(given.corpus, folder / "in", given.files, given.documents)
        say(f"{given.files} files of {given.documents} abstracts, {length:,.0f} characters each in the mean\n\n")
        say("| workers | first file after | abstracts | mentions | abstracts a second | CPU ms an abstract |\n")
        say("| --- | --- | --- | --- | --- | --- |\n")
        for n_workers in given.workers:
            found = measure(home, linker, folder / "in", folder / str(n_workers), n_workers)
            per_abstract.append(found["cpu"] / found["documents"])
            say(f"| {n_workers} | {found['first']:.0f} s | {found['documents']:,} | {found['mentions']:,} | ")
            say(f"{found['documents'] / found['seconds']:.1f} | {1000 * per_abstract[-1]:.0f} |\n")
            sys.stdout.flush()
    say(f"\nCalculated for {ABSTRACTS:,} abstracts, from the highest CPU time of an abstract:\n\n")
    say("| cores | hours | days |\n| --- | --- | --- |\n")
    for cores in CORES:
        hours = ABSTRACTS * max(per_abstract) / cores / 3600
        say(f"| {cores} | {hours:,.0f} | {hours / 24:,.1f} |\n")


if __name__ == "__main__":
    main()
