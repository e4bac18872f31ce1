"""What reading each published ontology costs, against pronto by itself: time, memory and what became of its clauses.

    BELINK_DATA=… python tests/benchmarks/bench_reading.py [--taxa 300000]

Every measurement has a process of its own. Seconds are of the processor, wall time beside them; the ratio is between
the processor times of belink's OBO reader into a DuckDB file and of ``pronto.Ontology`` alone. ``--taxa``
adds a generated taxonomy of so many terms, read frame by frame and, if there is patience, by pronto.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

DATA = Path(os.environ.get("BELINK_DATA", "."))
COLUMNS = ("concepts", "names", "rejected", "repaired", "seconds", "wall", "MiB", "bare", "bare MiB", "ratio")


def read_file(path: Path, by_frame: bool = False) -> dict[str, Any]:
    """The file as belink reads it."""
    import duckdb  # noqa: F401  what is imported once is no part of the measure
    import fastobo  # noqa: F401
    import pandas  # noqa: F401  by DuckDB, for the first Arrow table
    import pronto.ontology  # noqa: F401
    import pyarrow  # noqa: F401
    from lxml import etree  # noqa: F401

    from belink.declarations import undeclared_source
    from belink.ontology.readers.obo import reader
    from belink.ontology.release import ReleaseWriter

    source = undeclared_source("bench", "obo")
    if by_frame:
        source = source.model_copy(update={"stream_above_mib": 0})
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time(), time.monotonic()
        with ReleaseWriter(Path(folder) / "release.duckdb", source) as into:
            reader.read([path], source, into)
            said = _spent(*started)
            return {**said, **{key: into.counts()[key] for key in ("concepts", "names", "rejected", "repaired")}}


def read_bare(path: Path) -> dict[str, Any]:
    """The file as pronto alone reads it; nothing where it refuses."""
    import pronto.ontology

    warnings.simplefilter("ignore")
    started = time.process_time(), time.monotonic()
    try:
        pronto.ontology.Ontology(str(path), import_depth=0)
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"[:80]}
    return _spent(*started)


def _spent(processor: float, wall: float) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {
        "seconds": round(time.process_time() - processor, 2),
        "wall": round(time.monotonic() - wall, 2),
        "MiB": peak,
    }


def measured(way: str, path: Path) -> dict[str, Any]:
    """``read``, ``frames`` or ``bare`` in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", way, str(path)], capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def row(path: Path, way: str = "read", bare: bool = True) -> dict[str, Any]:
    ours, theirs = measured(way, path), measured("bare", path) if bare else {}
    said = {"file": path.name, **ours}
    if "seconds" in theirs:
        said |= {"bare": theirs["seconds"], "bare MiB": theirs["MiB"]}
        said["ratio"] = round(ours["seconds"] / theirs["seconds"], 2)
    elif theirs:
        said["bare"] = "refuses"
    return said


def taxonomy(path: Path, n_taxa: int) -> None:
    """An OBO file in the manner of NCBI's taxonomy."""
    with path.open("w", encoding="utf-8") as file:
        file.write("format-version: 1.2\ndata-version: 2025-01-01\n\n")
        for n in range(1, n_taxa + 1):
            file.write(f"[Term]\nid: NCBITaxon:{n}\nname: Genus{n % 5000} species{n}\nnamespace: ncbi_taxonomy\n")
            file.write(f'synonym: "taxon {n}" RELATED synonym []\n' if n % 3 == 0 else "")
            file.write("xref: GC_ID:11\n" + (f"is_a: NCBITaxon:{n // 8 or 1}\n" if n > 1 else ""))
            file.write("property_value: has_rank NCBITaxon:species\n\n")


def show(rows: list[dict[str, Any]]) -> None:
    width = max(len(each["file"]) for each in rows)
    lines = [f"{'file':{width}} " + " ".join(f"{column:>9}" for column in COLUMNS)]
    lines += [f"{each['file']:{width}} " + " ".join(f"{each.get(c, '')!s:>9}" for c in COLUMNS) for each in rows]
    sys.stdout.write("\n" + "\n".join(lines) + "\n")


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif("BELINK_DATA" not in os.environ, reason="BELINK_DATA is not set")
def test_reading_costs_little_more_than_pronto() -> None:
    rows = [row(path) for path in sorted((DATA / "ontologies").iterdir())]
    show(rows)
    ratios = [each["ratio"] for each in rows if each["concepts"] > 10_000]
    assert max(ratios) <= 1.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--taxa", type=int, default=0, help="terms of a generated taxonomy")
    parser.add_argument("--patience", action="store_true", help="let pronto read the taxonomy, too")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        way, path = given.one[0], Path(given.one[1])
        result = read_bare(path) if way == "bare" else read_file(path, by_frame=way == "frames")
        sys.stdout.write(json.dumps(result))
        return
    rows = [row(path) for path in sorted((DATA / "ontologies").iterdir())]
    if given.taxa:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "taxonomy.obo"
            taxonomy(path, given.taxa)
            rows.append(row(path, "frames", bare=given.patience))
    show(rows)


if __name__ == "__main__":
    main()
