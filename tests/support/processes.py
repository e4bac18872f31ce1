"""The processes of a team's stack on loopback, each in its own group, started again by a supervisor when it ends."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

BIN = Path(sys.executable).parent
POSTGRES = ("initdb", "postgres")
DATABASES = ("prefect", "mlflow")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(what: str, true: Callable[[], object], seconds: float, every: float = 0.5) -> float:
    """Seconds until ``true`` is; fails the test after ``seconds``."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > seconds:
            pytest.fail(f"{what}: not so after {seconds:.0f} s")
        time.sleep(every)
    return time.monotonic() - began


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


class Process:
    """One process of the stack, and those that it starts."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], folder: Path, user: int | None = None
    ) -> None:
        self.name = name
        self.command = command
        self.environment = environment
        self.folder = folder
        self.user = user
        self.log = folder / f"{name}.log"
        self.starts = 0
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self.command,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                start_new_session=True,
                user=self.user,
                group=self.user and pwd.getpwuid(self.user).pw_gid,
                extra_groups=None if self.user is None else [],
            )
        self.starts += 1

    def ended(self) -> bool:
        return self._running is not None and self._running.poll() is not None

    def signal(self, number: int) -> None:
        if self._running is not None:
            try:
                os.killpg(self._running.pid, number)
            except ProcessLookupError:
                pass

    def stop(self) -> None:
        if self._running is None:
            return
        self.signal(signal.SIGTERM)
        try:
            self._running.wait(timeout=20)
        except subprocess.TimeoutExpired:
            pass
        self.signal(signal.SIGKILL)
        self._running.wait()


class Supervisor:
    """Starts what has ended again, after a second, as a supervisor or a container's restart policy does."""

    def __init__(self) -> None:
        self.processes: dict[str, Process] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def add(self, process: Process) -> Process:
        process.start()
        self.processes[process.name] = process
        return process

    def _watch(self) -> None:
        while not self._stopping.wait(1.0):
            for process in list(self.processes.values()):
                if process.ended() and not self._stopping.is_set():
                    process.start()

    def stop(self) -> None:
        """Everything, in the reverse order of starting."""
        self._stopping.set()
        self._thread.join()
        for process in reversed(self.processes.values()):
            process.stop()


def postgres(folder: Path) -> tuple[Process, int]:
    """A PostgreSQL of its own with an empty database for Prefect and one for MLflow, and its port.

    It refuses to run as root, so root lends it another user.
    """
    missing = [name for name in POSTGRES if shutil.which(name) is None]
    if missing:
        pytest.skip(f"expected PostgreSQL's {' and '.join(missing)} on the PATH, found none; install postgresql")
    user = _other_user() if os.getuid() == 0 else None
    data, port = folder / "postgres", free_port()
    data.mkdir(mode=0o700)
    if user is not None:
        os.chown(data, user, -1)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    group = user and pwd.getpwuid(user).pw_gid

    def run(*command: str, text: str | None = None) -> None:
        subprocess.run(
            command, check=True, capture_output=True, env=environment, cwd=data, user=user, group=group,
            extra_groups=None if user is None else [], text=True, input=text,
        )  # fmt: skip

    run("initdb", "--pgdata", str(data), "--username", "belink", "--auth", "trust", "--encoding", "UTF8")
    # Without a server: there is nobody else yet, and no client is needed.
    run("postgres", "--single", "-D", str(data), "postgres", text="".join(f"CREATE DATABASE {n};\n" for n in DATABASES))
    command = ["postgres", "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    command += ["-c", "unix_socket_directories=", "-c", "max_connections=200"]
    log = folder / "postgres.log"
    log.touch()
    return Process("postgres", command, environment, folder, user), port


def _other_user() -> int:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    pytest.skip("expected a user to run PostgreSQL as, found neither postgres nor nobody")


def accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


def open_folder() -> Path:
    """A temporary folder that other users may pass through, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="belink-stack-"))
    folder.chmod(0o755)
    return folder
