"""A refresh killed at any moment: the champion links on, nothing half-made is visible, the next refresh finishes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from belink import artefacts, settings
from belink.flows import environment
from belink.linker import bundle
from belink.registry import aliases
from belink.settings import Settings
from tests.support import small, warm

PROGRAM = """
import json, sys
from pathlib import Path
from belink import settings
from belink.flows.refresh import run
home, toml, file = map(Path, sys.argv[1:4])
print(json.dumps(run(settings.load(home), str(toml), {"mondo-sample": [file]}, "always").to_dict()))
"""


class Rounds:
    """A home with a champion, and one release after another to refresh it with."""

    def __init__(self, folder: Path, models: dict[str, str], variables: dict[str, str]) -> None:
        self.folder = folder
        self.here = settings.load(folder / "home")
        self.toml = small.linker(folder, models)
        self.variables = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        started = time.monotonic()
        assert self.finish(self.release(0))["outcome"] == "promoted"
        self.seconds = time.monotonic() - started  # what an undisturbed refresh takes, the very first being the longest

    def release(self, number: int) -> Path:
        """A release of its own: another version, and a name more."""
        path = small.release(self.folder / "files", small.RELEASES[1])
        text = path.read_text(encoding="utf-8").replace("2025-09-02", f"round-{number}", 1)
        made = path.with_name(f"round-{number}.obo")
        made.write_text(text.rstrip() + f'\nsynonym: "disease of round {number}" EXACT []\n', encoding="utf-8")
        return made

    def start(self, file: Path) -> warm.Process:
        return warm.Process(["-c", PROGRAM, self.here.home, self.toml, file], env=self.variables, cwd=self.folder)

    def finish(self, file: Path) -> dict[str, Any]:
        process = self.start(file)
        out, err = process.communicate(timeout=900)  # of a busy machine's, too
        assert process.returncode == 0, err
        answer: dict[str, Any] = json.loads(out)
        return answer

    def kill_after(self, seconds: float, file: Path) -> bool:
        """Whether the refresh was still running then."""
        process = self.start(file)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait()
        return process.returncode == -signal.SIGKILL


def check_champion(here: Settings) -> str:
    """The champion's version, once its bundle was read through and has linked a text."""
    from belink.linker.linker import Linker

    path, version = aliases.bundle_path(here, "small")
    bundle.check(path)
    linker = Linker(path, here.cache)
    name = max(linker.index.names(), key=len)
    assert any(link.mention.text == name for link in linker.link_text(f"a case of {name} was seen"))
    return version


def check_whole(here: Settings) -> None:
    """Whatever has a name that others look for is complete."""
    for kind in ("releases", "indices", "adapters", "calibrations", "drafts", "evaluations", "bundles"):
        for folder in (here.home / kind).glob("*/[!.]*"):
            manifest = artefacts.read_manifest(folder)
            if kind in ("drafts", "bundles"):
                assert bundle.check(folder)["key"] == folder.name
            if kind == "releases":
                assert artefacts.sha256(folder / "release.duckdb") == manifest["database_sha256"]


def rounds(made: Rounds, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    killed = 0
    for number in range(1, kills + 1):
        file = made.release(number)
        before = aliases.champion(made.here, "small")
        was_running = made.kill_after(draw.uniform(0.05, 0.95) * made.seconds, file)
        killed += was_running
        after = check_champion(made.here)
        assert after == before or not was_running or int(after) == int(before or 0) + 1
        check_whole(made.here)
        answer = made.finish(file)
        assert answer["outcome"] in ("promoted", "unchanged")
        assert answer["champion"] == check_champion(made.here)
        check_whole(made.here)
        assert not list(made.here.home.rglob(".tmp-*")), "leftovers are swept by the next refresh"
    assert killed >= kills // 2, "too few were killed while running to show anything"


@pytest.mark.timeout(600)
def test_a_killed_refresh_costs_nothing(tmp_path: Path, models: dict[str, str], prefect_server: Path) -> None:
    from prefect.settings import PREFECT_API_URL

    rounds(Rounds(tmp_path, models, {"PREFECT_API_URL": str(PREFECT_API_URL.value())}), kills=2, seed=11)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_fifty_killed_refreshes_cost_nothing_and_leave_no_server_behind(tmp_path: Path, models: dict[str, str]) -> None:
    made = Rounds(tmp_path, models, {})
    rounds(made, kills=50, seed=int(os.environ.get("BELINK_SEED", "20")))
    assert environment.end_abandoned_servers(made.here.home) == []
    assert servers_in(made.here.home) == []


def servers_in(home: Path) -> list[psutil.Process]:
    """The temporary servers whose Prefect works below ``home``, whatever the home remembers of them."""
    found = []
    for process in psutil.process_iter():
        try:
            is_server = "prefect.server.api.server:create_app" in process.cmdline()
            if is_server and process.environ().get("PREFECT_HOME") == str(home / "prefect"):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.timeout(600)
def test_the_server_of_a_killed_flow_is_ended_and_that_of_a_living_one_is_not(
    tmp_path: Path, prefect_server: Path
) -> None:
    (tmp_path / "prefect").mkdir()
    shutil.copy(prefect_server / "empty.db", tmp_path / "prefect" / "prefect.db")
    program = """
import sys, time
from pathlib import Path
from belink.flows import environment
with environment.prepared(Path(sys.argv[1])):
    from prefect import flow
    flow(lambda: time.sleep(600), name="waits")()
"""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=variables, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("prefect/servers/*.json")) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert environment.end_abandoned_servers(tmp_path) == [], "its flow is alive"
        (server,) = servers_in(tmp_path)
        process.kill()
        process.wait()
        assert servers_in(tmp_path), "a killed flow cannot end its server"
        assert environment.end_abandoned_servers(tmp_path) == [server.pid]
        assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
    finally:
        process.kill()
        process.wait()
        for left in servers_in(tmp_path):
            left.kill()


@pytest.mark.timeout(600)
def test_ctrl_c_ends_a_flow_and_its_server_at_once(tmp_path: Path, prefect_server: Path) -> None:
    (tmp_path / "prefect").mkdir()
    shutil.copy(prefect_server / "empty.db", tmp_path / "prefect" / "prefect.db")
    program = """
import signal, sys, time
from pathlib import Path
from belink.flows import environment
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so do theirs
def wait():
    Path("begun").touch()
    time.sleep(600)
with environment.prepared(Path(sys.argv[1])):
    from prefect import flow
    flow(wait, name="waits")()
"""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], env=variables, cwd=tmp_path, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert servers_in(tmp_path)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the server too
        process.wait(timeout=40)  # without its server, Prefect would try for a minute
        assert servers_in(tmp_path) == []
    finally:
        process.kill()
        process.wait()
        environment.end_abandoned_servers(tmp_path)
