"""Two workers on two homes that share MLflow alone: bundles travel through the registry, never over a disk."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import small
from tests.support.servers import MlflowServer

FIRST, SECOND = small.RELEASES


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Iterator[MlflowServer]:
    with MlflowServer.running(tmp_path_factory.mktemp("shared"), empty_registry) as server:
        yield server


class Worker:
    """A machine: a folder with a home, declarations and downloads of its own."""

    def __init__(self, folder: Path, uri: str, models: dict[str, str]) -> None:
        self.folder, self.uri = folder, uri
        self.home = folder / "home"
        self.toml = small.linker(folder, models, more="[retrieval]\ncandidates = 10\n")

    def belink(self, *arguments: str | Path) -> Any:
        """Return what ``belink … --json`` answers."""
        command = [sys.executable, "-m", "belink.cli.main", "--home", str(self.home), *map(str, arguments), "--json"]
        variables = {**os.environ, "MLFLOW_TRACKING_URI": self.uri, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=variables, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    def refresh(self, version: str) -> Any:
        file = small.release(self.folder / "files", version)
        return self.belink("refresh", self.toml, "--file", file)

    def link(self) -> Any:
        answer = self.belink("link", "She has schizophrenia.", "--linker", "small")
        return answer["lineage"]["model_version"], [link["text"] for link in answer["links"]]

    def fetched(self) -> list[str]:
        """The versions that came from the registry."""
        return sorted(path.name.partition("-")[0] for path in (self.home / "fetched").glob("small/*-*"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_homes_take_turns_at_one_registry(mlflow: MlflowServer, models: dict[str, str], tmp_path: Path) -> None:
    one, two = (Worker(tmp_path / name, mlflow.uri, models) for name in ("one", "two"))
    first = one.refresh(FIRST)
    assert (first["outcome"], first["version"]) == ("promoted", "1")

    # The second has no bundle and no release, and links with the champion all the same.
    version, texts = two.link()
    assert (version, texts) == ("1", ["schizophrenia"])
    assert two.fetched() == ["1"] and not (two.home / "bundles").exists() and not (two.home / "releases").exists()

    second = two.refresh(SECOND)
    assert (second["outcome"], second["version"]) == ("promoted", "2")
    assert "not_below_champion" in {gate["name"] for gate in second["gates"]}
    assert second["reused"] > second["encoded"] > 0, "the champion's bundle brought its vectors"

    # The first takes the second's version, and has nothing to do for the same file.
    assert one.link()[0] == "2"
    assert one.fetched() == ["2"]
    third = one.refresh(SECOND)
    assert (third["outcome"], third["version"]) == ("unchanged", "2")
    assert one.belink("rollback", "small")["champion"] == "1"
    assert (one.link()[0], two.link()[0]) == ("1", "1")
