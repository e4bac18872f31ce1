"""Servers of a team on loopback that a test can kill, and start again over the same store."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx
import pytest


def killable(command: list[str], variables: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(command, env=variables, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)


class MlflowServer:
    """A server that can be killed and started again over the same store."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.store = folder / "mlflow"
        self.store.mkdir()
        shutil.copy(database, self.store / "mlflow.db")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.store}/mlflow.db"]
        command += ["--artifacts-destination", str(self.store / "files")]
        variables = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.process = killable(command, variables, self.store / "log")
        for _ in range(1200):
            try:
                if httpx.get(f"{self.uri}/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        pytest.fail((self.store / "log").read_text())

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @classmethod
    @contextmanager
    def running(cls, folder: Path, database: Path) -> Iterator[Self]:
        """Give a server that runs within the block."""
        server = cls(folder, database)
        server.start()
        yield server
        server.kill()


class PrefectServer:
    """A server that can be killed and started again over the same database."""

    def __init__(self, folder: Path, database: Path | None = None) -> None:
        """Its database is made in ``folder``, from ``database`` if there is one: making an empty one takes seconds."""
        (folder / "prefect").mkdir()
        if database is not None:
            shutil.copy(database, folder / "prefect" / "prefect.db")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = folder / "prefect.log"
        self.variables = {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # A test does not wait as long as a night's run may.
            "PREFECT_CLIENT_MAX_RETRIES": "2",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = killable(command, {**os.environ, **self.variables}, self.log)
        for _ in range(1200):
            try:
                if httpx.get(f"{self.variables['PREFECT_API_URL']}/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        pytest.fail(self.log.read_text())

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
