"""Accuracy of the shipped linkers: trained from nothing on BELINK_DATA, then evaluated on its test files.

    BELINK_DATA=… python tests/benchmarks/bench_accuracy.py [--home FOLDER] [disease] [chemical]

The test files are ``corpora/*/unseen_test.*``. Prints two Markdown rows a file, of every mention and of distinct ones
(each pair of lower-cased text and gold ids once), then how long each training took. A home with a champion of the same
inputs is not trained again.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from belink import settings
from belink.cli import commands

FILES = {
    "disease": {"ctd-diseases": ["ctd/CTD_diseases.tsv.gz"]},
    "chemical": {"mesh-chemicals": ["mesh/desc2025.xml.gz", "mesh/supp2025.xml.gz"]},
}
TESTS = {"disease": ("bc5cdr-disease", "ncbi-disease"), "chemical": ("bc5cdr-chemical", "nlm-chemical")}
HEAD = (
    "| linker | test | count | mentions | accuracy@1 | 95 % interval | recall@1 / 10 / 20 | ECE | "
    "kept at 95 % precision | mentions/s |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def train(home: settings.Settings, linker: str, data: Path) -> float:
    """Refresh the linker and return the seconds that took."""
    from belink.flows.refresh import run

    started = time.monotonic()
    files = {ontology: [data / name for name in names] for ontology, names in FILES[linker].items()}
    outcome = run(home, linker, files)
    if outcome.champion is None:
        sys.exit(f"{linker}: expected a champion, found none; these gates failed: {', '.join(outcome.failed_gates)}")
    return time.monotonic() - started


def rows(linker: str, test: Path, answer: dict[str, Any]) -> list[str]:
    """Return the rows of ``belink evaluate``'s answer: of every mention, and of distinct ones."""
    speed = f"{answer['mentions_per_second']:.0f}"
    return [
        row([linker, test.parent.name, "every"], answer, speed),
        row([linker, test.parent.name, "distinct"], answer["distinct"], ""),
    ]


def row(head: list[str], answer: dict[str, Any], speed: str) -> str:
    metrics = {name: metric["value"] for name, metric in answer["metrics"].items()}
    low, high = answer["accuracy_ci95"]
    recalls = " / ".join(f"{100 * metrics[f'recall_at_{k}']:.1f}" for k in (1, 10, 20))
    coverage = metrics["coverage_at_precision_95"]
    cells = [*head, str(answer["n"]), f"{100 * answer['accuracy_at_1']:.1f}", f"{100 * low:.1f} to {100 * high:.1f}"]
    cells += [recalls, f"{metrics['ece']:.3f}", f"{100 * coverage:.1f} %", speed]
    return f"| {' | '.join(cells)} |"


def argument_parser(doc: str | None, home: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("linkers", nargs="*", default=[], help="disease, chemical; both, if left out")
    parser.add_argument("--home", type=Path, default=home)
    return parser


def chosen_linkers(chosen: argparse.Namespace) -> tuple[Sequence[str], settings.Settings, Path]:
    """Return linkers, settings and the folder of ontologies and corpora, from the command line and BELINK_DATA."""
    if "BELINK_DATA" not in os.environ:
        sys.exit("expected BELINK_DATA to name the folder of ontologies and corpora, found it unset")
    return chosen.linkers or list(FILES), settings.load(chosen.home), Path(os.environ["BELINK_DATA"])


def main() -> None:
    linkers, home, data = chosen_linkers(argument_parser(__doc__, Path(".belink/accuracy")).parse_args())
    table, seconds = [HEAD], {}
    for linker in linkers:
        seconds[linker] = train(home, linker, data)
        for corpus in TESTS[linker]:
            for test in sorted((data / "corpora" / corpus).glob("unseen_test.*")):
                table += rows(linker, test, commands.evaluate_corpus(home, linker, test, None))
    print("\n".join(table))  # noqa: T201
    for linker, took in seconds.items():
        print(f"\n{linker}: from release to champion in {took / 60:.0f} min")  # noqa: T201


if __name__ == "__main__":
    main()
