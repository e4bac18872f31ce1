"""Registering, loading and serving a bundle of a gigabyte, whole and by reference, in a home and through a server.

    python tests/benchmarks/bench_registry.py BUNDLE [--mib 32 1024]

BUNDLE is the folder of a bundle of `make demo`. It is copied, and grown to the size by a file of its own vectors with
noise, which no compression makes smaller. The store is SQLite with a folder of files: the home's own, or behind `mlflow
server` on loopback. Prints one Markdown row for each: seconds to register, to load by `mlflow.pyfunc.load_model` in a
fresh process, and until `mlflow models serve` answers; and MiB that the store holds.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np

from belink import artefacts, settings
from belink.linker import bundle
from belink.registry import aliases
from belink.registry.store import RunRecord, create_database
from belink.settings import Settings
from tests.support.processes import free_port
from tests.support.servers import MlflowServer

LOAD = """
import sys, time
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
started = time.perf_counter()
model = mlflow.pyfunc.load_model(sys.argv[2])
loaded = time.perf_counter()
model.predict([{"text": "She has schizophrenia."}])
print(loaded - started)
"""
ASKED = {"inputs": [{"text": "She has schizophrenia."}]}


def grow(source: Path, target: Path, mib: int, *, by_reference: bool) -> Path:
    """Copy a bundle to ``target``, with a file that makes it ``mib`` large."""
    shutil.copytree(source, target)
    manifest = artefacts.read_manifest(target)
    vectors = np.load(target / "index" / "vectors.npy")
    rows = (mib * 2**20 - sum(file["size"] for file in manifest["files"].values())) // vectors[0].nbytes
    random = np.random.default_rng(13)
    with (target / "index" / "more.bin").open("wb") as stream:
        for start in range(0, rows, 100_000):
            chosen = vectors[random.integers(len(vectors), size=min(100_000, rows - start))]
            stream.write((chosen + random.normal(0, 0.02, chosen.shape).astype(np.float16)).tobytes())
    declared = json.loads((target / bundle.LINKER).read_text("utf-8"))
    declared["storage"] = {**declared.get("storage", {}), "by_reference_above_mib": 0 if by_reference else None}
    (target / bundle.LINKER).write_text(json.dumps(declared), encoding="utf-8")
    for name in ("index/more.bin", bundle.LINKER):
        path = target / name
        manifest["files"][name] = {"size": path.stat().st_size, "sha256": artefacts.sha256(path)}
    artefacts.write_manifest(target, manifest)
    return target


def measure(home: Settings, folder: Path, store: Path) -> tuple[float, float, float, float]:
    """Return seconds to register, to load and to serve, and the MiB of the store."""
    started = time.perf_counter()
    version = aliases.register(home, folder, RunRecord(description="# grown"))
    registered = time.perf_counter() - started
    name = artefacts.read_manifest(folder)["linker"]
    model = f"models:/{name}/{version}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow starts uvicorn by its name
    variables = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": home.tracking_uri, "BELINK_HOME": str(home.home)}
    program = [sys.executable, "-c", LOAD, home.tracking_uri, model]
    loading = subprocess.run(program, env=variables, stdout=subprocess.PIPE, check=True)
    return registered, float(loading.stdout), serve(model, variables), size(store)


def serve(model: str, variables: dict[str, str]) -> float:
    """Return the seconds until MLflow's own server answers."""
    port = free_port()
    command = [str(Path(sys.executable).parent / "mlflow"), "models", "serve", "-m", model, "--env-manager", "local"]
    started = time.perf_counter()
    server = subprocess.Popen(
        [*command, "--port", str(port)], env=variables, start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        while time.perf_counter() - started < 600:
            try:
                if httpx.post(f"http://127.0.0.1:{port}/invocations", json=ASKED, timeout=60).status_code == 200:
                    return time.perf_counter() - started
            except httpx.HTTPError:
                time.sleep(0.2)
        raise TimeoutError("expected an answer within ten minutes, found none")
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def size(folder: Path) -> float:
    """Return the MiB of the files in ``folder``, those with several names counted once."""
    files = {path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return sum(files.values()) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--mib", type=int, nargs="+", default=[32, 1024])
    given = parser.parse_args()
    say = sys.stdout.write
    say("| MiB | store | bundle | register, s | load_model, s | models serve answers after, s | store, MiB |\n")
    say("| --- | --- | --- | --- | --- | --- | --- |\n")
    for mib in given.mib:
        for through_server in (False, True):
            for by_reference in (False, True):
                with tempfile.TemporaryDirectory() as temporary:
                    folder = Path(temporary)
                    made = grow(given.bundle, folder / "grown" / given.bundle.name, mib, by_reference=by_reference)
                    home = settings.load(folder / "home")
                    create_database(home.home / "mlflow.db")
                    server = MlflowServer(folder, home.home / "mlflow.db")
                    store = home.home
                    if through_server:
                        server.start()
                        home, store = replace(home, tracking_uri=server.uri), server.store
                    try:
                        figures = measure(home, made, store)
                    finally:
                        server.kill()
                where = "mlflow server" if through_server else "own"
                how = "by reference" if by_reference else "whole"
                say(f"| {mib:,} | {where} | {how} | " + " | ".join(f"{figure:,.1f}" for figure in figures) + " |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
