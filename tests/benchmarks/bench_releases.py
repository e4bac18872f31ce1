"""How long two releases of ten million names each take to compare: ``python tests/benchmarks/bench_releases.py``.

The second release obsoletes, merges, adds and renames about one concept in a hundred. Nothing is kept.
"""

import argparse
import json
import resource
import shutil
import tempfile
import time
from pathlib import Path

from belink import artefacts
from belink.declarations import ReleaseGates, undeclared_source
from belink.ontology.diff import diff
from belink.ontology.gates import release_gates
from belink.ontology.release import DATABASE, FORMAT, ReleaseWriter

CONCEPTS = """
INSERT INTO concept SELECT 'X:' || printf('%08d', i), 'X', 'disease of the kind ' || i ||
    CASE WHEN i % 97 = 0 THEN $mark ELSE '' END, '', i % 101 = $obsolete, true FROM range($first, $last) r(i)
"""
NAMES = """
INSERT INTO name SELECT 'X:' || printf('%08d', i // 4), CASE WHEN i % 4 = 0 THEN 'disease of the kind ' || i // 4 ELSE
    'synonym number ' || i || ' of some length' || CASE WHEN i % 89 = 0 THEN $mark ELSE '' END END,
    CASE WHEN i % 4 = 0 THEN 'label' ELSE 'exact' END, '', '', '' FROM range($first, $last) r(i)
"""
PARENTS = """
INSERT INTO parent SELECT 'X:' || printf('%08d', i), 'X:' || printf('%08d', i // 3) FROM range($first, $last) r(i)
WHERE i > 0
"""


def make(folder: Path, version: str, names: int, shift: int) -> Path:
    """A release of ``names`` names, four a concept; ``shift`` moves the window of ids."""
    release = folder / version
    with artefacts.build(release) as aside:
        with ReleaseWriter(aside / DATABASE, undeclared_source("bench", "obo")) as into:
            n = names // 4
            into.sql(CONCEPTS, {"first": shift, "last": n + shift, "mark": f" ({version})", "obsolete": shift % 7})
            into.sql(NAMES, {"first": shift * 4, "last": names + shift * 4, "mark": f" ({version})"})
            into.sql(PARENTS, {"first": 0, "last": n + shift})
            into.sql("INSERT INTO replaced_by SELECT id, 'X:00099999' FROM concept WHERE obsolete")
        artefacts.write_manifest(aside, {"format": FORMAT, "ontology": "bench", "version": version})
    return release


def main() -> None:
    """Make the two releases, compare and gate them, say what it cost."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--names", type=int, default=10_000_000)
    arguments.add_argument("--folder", type=Path, default=None)
    given = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    said: dict[str, object] = {"names": given.names}
    try:
        started = time.monotonic()
        old, new = make(folder, "1", given.names, 0), make(folder, "2", given.names, 1000)
        said["making both, s"] = round(time.monotonic() - started, 1)
        started = time.monotonic()
        change = diff(old, new)
        said["diff, s"] = round(time.monotonic() - started, 1)
        said["counts"] = {key: value for key, value in vars(change).items() if isinstance(value, int)}
        said["peak memory until here, GiB"] = _peak()
        started = time.monotonic()
        gates = release_gates(new, old, ReleaseGates())
        said["gates, s"] = round(time.monotonic() - started, 1)
        said["gate values"] = {gate.name: gate.value for gate in gates}
        said["peak memory, GiB"] = _peak()
    finally:
        shutil.rmtree(folder)
    print(json.dumps(said, indent=1))  # noqa: T201


def _peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


if __name__ == "__main__":
    main()
