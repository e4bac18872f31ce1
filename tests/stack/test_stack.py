"""The whole stack as processes: a schedule fires, the event starts retraining, the alias moves, the service follows.

Then each process in turn is killed at a random moment of that, and started again by the supervisor: the service keeps
answering, and what was killed is finished by the run after it.

    make stack-test
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from belink import artefacts, settings
from belink.errors import BelinkError
from belink.linker import bundle
from belink.linker.linker import Linker
from belink.registry import aliases
from belink.registry.status import read_status
from tests.support import small
from tests.support.processes import (
    BIN,
    Process,
    Supervisor,
    accepts,
    answers,
    free_port,
    open_folder,
    postgres,
    wait_for,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SCHEDULE = "* * * * * */30"  # every half minute, so that the test does not wait for its cron
LIVE = f"""
title = "A twelfth of the sample, published here"
format = "obo"
version = "header"
prefixes = ["MONDO"]
licence = "CC BY 4.0"
schedule = "{SCHEDULE}"
"""
KILLED = ("serve", "mlflow", "prefect", "worker", "trainer", "postgres")


def serves() -> bool:
    """Whether this belink has the service."""
    return subprocess.run([BIN / "belink", "serve", "--help"], capture_output=True).returncode == 0


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class Publisher:
    """A web server with the ontology's newest release."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "published"
        self.folder.mkdir()
        self.whole = small.release(folder / "files", small.RELEASES[1]).read_text(encoding="utf-8")
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(self.folder)))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/live.obo"

    def publish(self, number: int) -> str:
        """A release of its own: another version, and a name more; its version."""
        version = f"round-{number}"
        text = self.whole.replace("2025-09-02", version, 1).rstrip()
        aside = self.folder / ".new"
        aside.write_text(f'{text}\nsynonym: "disease of round {number}" EXACT []\n', encoding="utf-8")
        aside.replace(self.folder / "live.obo")
        return version


class Asker:
    """A client that asks the service all the time, and remembers what went wrong and who answered."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0
        self.failed: list[str] = []
        self.versions: list[str] = []
        self.excused = threading.Event()  # while the service itself is down
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.wait(0.25):
            excused = self.excused.is_set()
            try:
                said = httpx.post(f"{self.url}/link", json={"text": "a disease was seen"}, timeout=30)
                said.raise_for_status()
                lineage = httpx.get(f"{self.url}/lineage", timeout=30).raise_for_status().json()["lineage"]
                version = lineage["model_version"]
            except (httpx.HTTPError, KeyError, ValueError) as error:
                if not (excused or self.excused.is_set()):
                    self.failed.append(f"{type(error).__name__}: {error}")
                continue
            self.asked += 1
            if self.versions[-1:] != [str(version)]:
                self.versions.append(str(version))


class Stack:
    """All processes, the declarations they work with, and what their servers say."""

    def __init__(self, folder: Path, models: dict[str, str]) -> None:
        self.folder = folder
        self.supervisor = Supervisor()
        self.publisher = Publisher(folder)
        (folder / "live.toml").write_text(f'url = "{self.publisher.url}"\n{LIVE}', encoding="utf-8")
        self.linker = small.linker(folder, models, name="sample")
        text = self.linker.read_text(encoding="utf-8").replace(f'"{small.ONTOLOGY}"', '"live.toml"')
        self.linker.write_text(text, encoding="utf-8")
        self.ports = {name: free_port() for name in ("prefect", "mlflow", "serve")}
        self.here = settings.load(folder / "home", f"http://127.0.0.1:{self.ports['mlflow']}")
        self.api = f"http://127.0.0.1:{self.ports['prefect']}/api"
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("PREFECT", "MLFLOW", "PYTEST"))
            },
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "DO_NOT_TRACK": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "BELINK_HOME": str(folder / "home"),
            "MLFLOW_TRACKING_URI": self.here.tracking_uri,
            "PREFECT_API_URL": self.api,
        }

    def start(self) -> None:
        database, port = postgres(self.folder)
        self.supervisor.add(database)
        wait_for("PostgreSQL", lambda: accepts(port), 60)
        store = f"postgresql+psycopg2://belink@127.0.0.1:{port}/mlflow"
        wait_for("PostgreSQL answers", lambda: self.run("mlflow", "db", "upgrade", store, check=False) == 0, 120)
        self.add(
            "prefect",
            ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.ports["prefect"])],
            PREFECT_SERVER_DATABASE_CONNECTION_URL=f"postgresql+asyncpg://belink@127.0.0.1:{port}/prefect",
        )
        self.add(
            "mlflow",
            ["mlflow", "server", "--host", "127.0.0.1", "--port", str(self.ports["mlflow"]), "--workers", "1",
             "--backend-store-uri", store, "--artifacts-destination", str(self.folder / "artifacts")],
        )  # fmt: skip
        wait_for("Prefect's server", lambda: answers(f"{self.api}/health"), 180)
        wait_for("MLflow's server", lambda: answers(f"{self.here.tracking_uri}/health"), 180)
        self.run("belink", "deploy", str(self.linker), "--json")
        for name, pool in (("worker", "belink-cpu"), ("trainer", "belink-gpu")):
            self.add(name, ["prefect", "worker", "start", "--pool", pool, "--type", "process"])

    def add(self, name: str, command: list[str], **more: str) -> Process:
        words = [str(BIN / command[0]), *command[1:]]
        return self.supervisor.add(Process(name, words, {**self.environment, **more}, self.folder))

    def run(self, *command: str, check: bool = True) -> int:
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]], env=self.environment, capture_output=True, text=True, cwd=self.folder
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.returncode

    def champion_release(self) -> str | None:
        """The release that the champion was made of; ``None`` where there is none, or MLflow is away."""
        try:
            return next((each["releases"].get("live") for each in read_status(self.here)["linkers"]), None)
        except BelinkError:
            return None

    def runs(self, flow: str) -> list[dict[str, Any]]:
        """The runs of a flow, the newest first; [] while Prefect is away."""
        asked = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 200}
        try:
            found = httpx.post(f"{self.api}/flow_runs/filter", json=asked, timeout=10).raise_for_status().json()
        except httpx.HTTPError:
            return []
        return [run for run in found if run["state_type"] != "SCHEDULED"]

    def retrain_by_hand(self) -> None:
        found = httpx.get(f"{self.api}/deployments/name/retrain/sample", timeout=10).raise_for_status().json()
        httpx.post(f"{self.api}/deployments/{found['id']}/create_flow_run", json={}, timeout=10).raise_for_status()

    def reach(self, version: str) -> float:
        """Seconds until the champion is made of ``version``, by nobody's hand."""
        began = time.monotonic()
        while self.champion_release() != version:
            assert time.monotonic() - began < 600, f"{version} did not become champion; see {self.folder}"
            time.sleep(1)
        return time.monotonic() - began


@pytest.fixture
def stack(models: dict[str, str]) -> Iterator[Stack]:
    folder = open_folder()
    made = Stack(folder, models)
    # Ended from outside, it ends what it started all the same; a shell's background job is deaf to Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: pytest.exit("ended from outside", 1))
    try:
        made.start()
        yield made
    finally:
        made.supervisor.stop()
        made.publisher.server.shutdown()
    shutil.rmtree(folder)  # kept where something failed


def say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


def test_the_stack_follows_its_ontology_and_outlives_every_kill(stack: Stack) -> None:
    version = stack.publisher.publish(0)
    seconds = stack.reach(version)
    (retrained,) = stack.runs("retrain")
    assert retrained["created_by"]["type"] == "AUTOMATION"
    assert any(run["auto_scheduled"] and run["state_type"] == "COMPLETED" for run in stack.runs("refresh-ontology"))
    say(f"schedule → refresh → event → retraining → champion: {seconds:.0f} s")

    service = f"http://127.0.0.1:{stack.ports['serve']}"
    with_service = serves()
    if with_service:
        stack.add("serve", ["belink", "serve", "sample@champion", "--port", str(stack.ports["serve"]), "--every", "2"])
        say(f"service ready: {wait_for('the service', lambda: answers(f'{service}/ready'), 180):.0f} s")
    else:
        say("this belink has no service; the stack is tested without")
    asker = Asker(service)
    if with_service:
        asker.__enter__()
    try:
        names = [name for name in KILLED if with_service or name != "serve"]
        kill_each(stack, asker, names, cycle=seconds)
        cancel_one(stack, len(names) + 1)
        if with_service:  # it looks every two seconds
            newest = aliases.champion(stack.here, "sample")
            wait_for("the service to follow", lambda: asker.versions[-1:] == [newest], 60)
    finally:
        if with_service:
            asker.__exit__()
    if with_service:
        say(f"service: {asker.asked} answers, {len(asker.failed)} failed, versions {', '.join(asker.versions)}")
        assert not asker.failed
        assert asker.versions == sorted(asker.versions, key=int)
        assert asker.versions[-1] == aliases.champion(stack.here, "sample")
    check_what_is_left(stack)


def kill_each(stack: Stack, asker: Asker, names: list[str], cycle: float) -> None:
    seed = int(os.environ.get("BELINK_SEED", "5"))
    draw = random.Random(seed)
    for number, name in enumerate(names, 1):
        version = stack.publisher.publish(number)
        moment = draw.uniform(2, max(cycle, 30))
        time.sleep(moment)
        was_there = stack.champion_release() == version
        if name == "serve":
            asker.excused.set()
        starts = stack.supervisor.processes[name].starts
        stack.supervisor.processes[name].signal(9)
        wait_for(f"{name} is started again", lambda n=name, s=starts: stack.supervisor.processes[n].starts > s, 30)  # type: ignore[misc]
        seconds = stack.reach(version)
        if name == "serve":
            wait_for("the service again", lambda: answers(f"{asker.url}/ready"), 180)
            asker.excused.clear()
        say(
            f"SIGKILL {name} {moment:.0f} s after a release"
            f"{' (champion already)' if was_there else ''}: champion {version} after {moment + seconds:.0f} s"
        )
        if asker.asked:
            served = aliases.champion(stack.here, "sample")
            wait_for(f"the service follows to version {served}", lambda s=served: asker.versions[-1] == s, 120)  # type: ignore[misc]


def cancel_one(stack: Stack, number: int) -> None:
    """A retraining cancelled by a person leaves nothing half-made, and the next one takes its place."""
    version = stack.publisher.publish(number)
    known = {run["id"] for run in stack.runs("retrain")}

    def running() -> list[str]:
        new = [run for run in stack.runs("retrain") if run["id"] not in known]
        return [run["id"] for run in new if run["state_type"] == "RUNNING"]

    wait_for("a retraining to cancel", running, 300)
    (run,) = running()
    asked = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
    httpx.post(f"{stack.api}/flow_runs/{run}/set_state", json=asked, timeout=30).raise_for_status()

    def ended() -> bool:
        return any(each["id"] == run and each["state_type"] == "CANCELLED" for each in stack.runs("retrain"))

    seconds = wait_for("the retraining to be cancelled", ended, 120)
    wait_for("its leftovers to be swept", lambda: not list(stack.here.home.rglob(".tmp-*")), 60)
    stack.retrain_by_hand()
    say(f"cancelled a retraining: ended after {seconds:.0f} s, nothing left; by hand {stack.reach(version):.0f} s")


def check_what_is_left(stack: Stack) -> None:
    """The champion is whole and links, nothing half-made is visible, and no run hangs."""
    path, version = aliases.bundle_path(stack.here, "sample")
    bundle.check(path)
    linker = Linker(path, stack.here.cache, model_version=version)
    name = max(linker.index.names(), key=len)
    assert any(link.mention.text == name for link in linker.link_text(f"a case of {name} was seen"))
    for manifest in stack.here.home.rglob(artefacts.MANIFEST):
        assert artefacts.read_manifest(manifest.parent)
    for flow in ("retrain", "refresh-ontology"):
        states: dict[str, int] = {}
        for run in stack.runs(flow):
            states[run["state_name"]] = states.get(run["state_name"], 0) + 1
        say(f"{flow}: {json.dumps(states)}")
        assert states["Completed"]
    for log in sorted(stack.folder.glob("*.log")):
        assert not re.search(r"database is locked", log.read_text(encoding="utf-8", errors="replace")), log
