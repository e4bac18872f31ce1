"""How right the shipped linkers are: trained from nothing on BELINK_DATA, then asked every test file that lies there.

    BELINK_DATA=… python tests/benchmarks/bench_accuracy.py [--home FOLDER] [disease] [chemical]

Which files a linker is tested on is said by their names: ``corpora/*/unseen_test.*``. Prints one Markdown row a file,
then how long each training took. A home that holds a champion of the same inputs already is not trained again.
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
    "| linker | test | mentions | accuracy@1 | 95 % interval | recall@1 / 10 / 20 | ECE | kept at 95 % precision | "
    "mentions/s |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def trained(here: settings.Settings, linker: str, data: Path) -> float:
    """Seconds that the refresh took."""
    from belink.flows.refresh import run

    started = time.monotonic()
    files = {ontology: [data / name for name in names] for ontology, names in FILES[linker].items()}
    outcome = run(here, linker, files)
    if outcome["champion"] is None:
        refused = [gate for gate in outcome["gates"] if not gate["passed"]]
        sys.exit(f"{linker}: no champion; refused by {refused}")
    return time.monotonic() - started


def row(linker: str, test: Path, found: dict[str, Any]) -> str:
    metrics = {name: metric["value"] for name, metric in found["metrics"].items()}
    low, high = found["accuracy_ci95"]
    recalls = " / ".join(f"{100 * found[f'recall_at_{k}']:.1f}" for k in (1, 10, 20))
    kept = metrics.get("coverage_at_precision_95")
    return (
        f"| {linker} | {test.parent.name} | {found['n']} | {100 * found['accuracy_at_1']:.1f} | "
        f"{100 * low:.1f} to {100 * high:.1f} | {recalls} | {metrics['ece']:.3f} | "
        f"{'' if kept is None else f'{100 * kept:.1f} %'} | {found['mentions_per_second']:.0f} |"
    )


def asking(doc: str | None, home: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("linkers", nargs="*", default=[], help="disease, chemical; both, if left out")
    parser.add_argument("--home", type=Path, default=home)
    return parser


def asked_for(chosen: argparse.Namespace) -> tuple[Sequence[str], settings.Settings, Path]:
    """What the command line and BELINK_DATA say: linkers, settings, and the folder of ontologies and corpora."""
    if "BELINK_DATA" not in os.environ:
        sys.exit("expected BELINK_DATA to name the folder of ontologies and corpora, found it unset")
    return chosen.linkers or list(FILES), settings.load(chosen.home), Path(os.environ["BELINK_DATA"])


def main() -> None:
    linkers, here, data = asked_for(asking(__doc__, Path(".belink/accuracy")).parse_args())
    rows, seconds = [], {}
    for linker in linkers:
        seconds[linker] = trained(here, linker, data)
        for corpus in TESTS[linker]:
            for test in sorted((data / "corpora" / corpus).glob("unseen_test.*")):
                rows.append(row(linker, test, commands.evaluate_corpus(here, linker, test, None)))
    print("\n".join([HEAD, *rows]))  # noqa: T201
    for linker, took in seconds.items():
        print(f"\n{linker}: from release to champion in {took / 60:.0f} min")  # noqa: T201


if __name__ == "__main__":
    main()
