"""Memory of a refresh over time: the most that its process holds in each of its steps.

    python tests/benchmarks/bench_memory.py belink refresh species --file ncbitaxon=taxa.tsv.gz --version 2024-09

The command is run as it is. Its log lines tell the step; a step that logs none within five seconds counts as part of
the one before. Memory is the resident set of the process that was started, without Prefect's server beside it.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import groupby

import psutil

_EVERY = 0.2  # seconds between two samples


def main(command: Sequence[str]) -> None:
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    step = "start"
    samples: list[tuple[str, float, int]] = []  # step, seconds since the start, bytes

    def follow() -> None:
        nonlocal step
        for line in process.stderr or ():
            _, _, told = line.partition(" INFO ")
            step = told.partition(":")[0].strip() or step

    threading.Thread(target=follow, daemon=True).start()
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        samples.append((step, time.monotonic() - started, watched.memory_info().rss))
        time.sleep(_EVERY)
    rows = ["| step | from s | to s | most MiB |", "| --- | --- | --- | --- |"]
    for name, of_step in groupby(samples, key=lambda sample: sample[0]):
        held = list(of_step)
        most = max(rss for *_, rss in held) / 2**20
        rows.append(f"| {name} | {held[0][1]:.0f} | {held[-1][1]:.0f} | {most:.0f} |")
    sys.stdout.write("\n".join(rows) + "\n")
    raise SystemExit(process.returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
