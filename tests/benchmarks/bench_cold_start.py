"""CPU seconds of three commands, each from a cold start: `belink --help`, `belink search` and `belink link`.

    python tests/benchmarks/bench_cold_start.py HOME [LINKER] [--runs 5]

HOME holds a registered linker (`make demo` leaves `sample` in .belink). The text has exact names only, so no model is
needed for it. Prints one Markdown row a command: median and range over the runs, user and system time together. A first
run, which fills the disk cache, is left out.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

TEXT = "He has asthma and type 2 diabetes mellitus."
BOUNDS = {"--help": 0.3, "search": 3.0, "link": 2.0}  # CPU seconds


def cpu_seconds(arguments: list[str]) -> float:
    """The processor time that ``belink`` with ``arguments`` takes, its child processes included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "belink.cli.main", *arguments]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=os.environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("linker", nargs="?", default="sample")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    home, linker = ["--home", str(chosen.home)], ["--linker", chosen.linker]
    commands = {
        "--help": ["--help"],
        "search": [*home, "search", "asthma", *linker],
        "link": [*home, "link", TEXT, *linker],
    }
    sys.stdout.write("| command | CPU seconds, median | range | bound |\n| --- | --- | --- | --- |\n")
    for name, arguments in commands.items():
        cpu_seconds(arguments)
        seconds = [cpu_seconds(arguments) for _ in range(chosen.runs)]
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        sys.stdout.write(f"| belink {name} | {statistics.median(seconds):.2f} | {spread} | {BOUNDS[name]} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
