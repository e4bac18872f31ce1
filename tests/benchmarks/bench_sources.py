"""What reading costs over the parser underneath: UMLS against a bare DuckDB load, MeSH against a bare lxml iterparse.

    BELINK_DATA=… python tests/benchmarks/bench_sources.py [--atoms 10000000] [--repeat 3] [umls] [mesh]

The MRCONSO is made on the spot: concepts are drawn from the shared one with their names (which get a number, so that
strings differ), until so many English atoms are written; nothing is kept. Each reading runs in a process of its own,
bare and belink in turn; wall and CPU seconds are medians, memory is the largest peak. MeSH is measured against two bare
readings: iterparse as it comes (every element is an event) and with ``tag=``, which makes an event of records only.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from belink.declarations import load_source
from belink.ontology.release_writer import ReleaseWriter

DATA = Path(os.environ.get("BELINK_DATA", "."))
MESH = [DATA / "mesh/desc2025.xml.gz", DATA / "mesh/supp2025.xml.gz"]
RECORDS = ("DescriptorRecord", "SupplementalRecord")
SAFE = {"resolve_entities": False, "no_network": True, "load_dtd": False}


def make_mrconso(path: Path, atoms: int) -> int:
    """Write ``atoms`` English atoms; how many concepts they have."""
    groups: dict[str, list[list[str]]] = {}
    with gzip.open(DATA / "umls/MRCONSO.RRF.gz", "rt", encoding="utf-8") as stream:
        for line in stream:
            cells = line.split("|")
            if cells[1] == "ENG" and cells[16] == "N":
                groups.setdefault(cells[0], []).append(cells)
    drawn, draw = list(groups.values()), random.Random(13)
    written = concepts = 0
    with path.open("w", encoding="utf-8") as out:
        while written < atoms:
            concepts += 1
            for cells in draw.choice(drawn)[: atoms - written]:
                written += 1
                identifiers = (f"C{concepts:07}", f"L{written:07}", f"S{written:07}", f"A{written:08}")
                cells[0], cells[3], cells[5], cells[7] = identifiers
                text = f"{cells[14]} {concepts:x}"
                out.write("|".join([*cells[:14], text, *cells[15:]]))
    return concepts


def umls_bare(folder: Path, path: Path) -> None:
    import duckdb

    columns = "CUI LAT TS LUI STT SUI ISPREF AUI SAUI SCUI SDUI SAB TTY CODE STR SRL SUPPRESS CVF rest".split()
    typed = ", ".join(f"'{column}': 'VARCHAR'" for column in columns)
    with duckdb.connect(str(folder / "bare.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE atom AS SELECT * FROM read_csv($path, delim='|', quote='', escape='', header=false, "
            f"auto_detect=false, columns={{{typed}}})",
            {"path": str(path)},
        )


def umls_belink(folder: Path, path: Path) -> dict[str, Any]:
    from belink.ontology.readers import umls

    return read(folder, umls.read, [path], "umls")


def mesh_bare(folder: Path, path: Path) -> None:
    from lxml import etree

    for each in MESH:
        with gzip.open(each) as stream:
            for _, element in etree.iterparse(stream, **SAFE):
                element.clear()


def mesh_bare_records(folder: Path, path: Path) -> None:
    from lxml import etree

    for each in MESH:
        with gzip.open(each) as stream:
            for _, element in etree.iterparse(stream, tag=RECORDS, **SAFE):
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]


def mesh_belink(folder: Path, path: Path) -> dict[str, Any]:
    from belink.ontology.readers import mesh

    return read(folder, mesh.read, MESH, "mesh")


def read(folder: Path, reader: Callable[..., None], paths: list[Path], declared: str) -> dict[str, Any]:
    source = load_source(declared)
    with ReleaseWriter(folder / "release.duckdb", source) as into:
        reader(paths, source, into)
        counts = into.counts()
    return {key: counts[key] for key in ("concepts", "names", "rejected")}


def child(work: Callable[..., Any], folder: Path, path: Path, connection: Any) -> None:
    import duckdb  # noqa: F401  what is imported once is no part of the measure
    import pyarrow  # noqa: F401

    import belink.ontology.readers.mesh
    import belink.ontology.readers.umls  # noqa: F401

    wall, cpu = time.perf_counter(), time.process_time()
    counts = work(folder, path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GiB
    connection.send((time.perf_counter() - wall, time.process_time() - cpu, peak, counts))


def measured(work: Callable[..., Any], place: Path, path: Path) -> tuple[float, float, float, Any]:
    folder = Path(tempfile.mkdtemp(dir=place))
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=child, args=(work, folder, path, theirs))
    process.start()
    theirs.close()  # so that a child that died is noticed
    result: tuple[float, float, float, Any] = ours.recv()
    process.join()
    shutil.rmtree(folder)
    return result


def compare(works: list[Callable[..., Any]], place: Path, path: Path, repeat: int) -> dict[str, Any]:
    """Seconds and memory of each, and the ratios of the last one to each of the others."""
    runs = [[measured(work, place, path) for work in works] for _ in range(repeat)]
    said: dict[str, Any] = {}
    for k, work in enumerate(works):
        wall, cpu, peak, counts = zip(*(run[k] for run in runs), strict=True)
        said[work.__name__] = {
            "wall, s": round(statistics.median(wall), 1),
            "cpu, s": round(statistics.median(cpu), 1),
            "peak, GiB": round(max(peak), 2),
            **(counts[0] or {}),
        }
    for k, work in enumerate(works[:-1]):
        for column, name in ((0, "wall"), (1, "cpu")):
            ratios = [run[-1][column] / run[k][column] for run in runs]
            said[f"{name}, belink / {work.__name__}"] = round(statistics.median(ratios), 2)
    return said


def main() -> None:
    """Measure what was asked for and print it as JSON."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", nargs="*", choices=["umls", "mesh"], default=["umls", "mesh"])
    arguments.add_argument("--atoms", type=int, default=10_000_000)
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--folder", type=Path, default=None, help="where there is room for some gigabytes")
    given = arguments.parse_args()
    place = Path(tempfile.mkdtemp(dir=given.folder))
    said: dict[str, Any] = {"load before": os.getloadavg()[0], "cores": os.cpu_count()}
    try:
        if "umls" in given.what:
            path = place / "MRCONSO.RRF"
            said["made"] = {"atoms": given.atoms, "concepts": make_mrconso(path, given.atoms)}
            said["made"]["bytes"] = path.stat().st_size
            said["umls"] = compare([umls_bare, umls_belink], place, path, given.repeat)
        if "mesh" in given.what:
            said["mesh"] = compare([mesh_bare, mesh_bare_records, mesh_belink], place, place, given.repeat)
    finally:
        shutil.rmtree(place)
    sys.stdout.write(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
