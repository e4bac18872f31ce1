"""Prefect's settings, made before it is imported, and the end of temporary servers that killed runs left behind.

Without ``PREFECT_API_URL`` a flow starts a temporary server as a child process. Prefect ends it when the process exits,
but not when the process is killed. So the home records each server in ``prefect/servers/``: its process and the one
that started it, each by id and start time. The next run in the home ends those whose starter is gone.
"""

import json
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from belink import artefacts

log = logging.getLogger(__name__)

NO_SERVER = ("Failed to reach API", "Timed out while attempting to connect to ephemeral Prefect API server")
"""What the plain ``RuntimeError`` begins with that Prefect raises where a server does not answer, or does not start."""
_GRACE = 30.0  # seconds for a server to end by itself; it may be in the middle of preparing its database
_SAME_START = 2.0  # seconds between two readings of one process's start time; clocks are set


@contextmanager
def prepared(home: Path) -> Iterator[None]:
    """Let Prefect work below ``home``, ask no address outside, and end flows without waiting for their heartbeat.

    What the user has set in the environment stays.
    """
    # They work on the same SQLite database as the server that this run may start.
    end_abandoned_servers(home)
    for name, value in _variables(home).items():
        # Through the environment, because Prefect reads its settings at import and the server is a child process.
        os.environ.setdefault(name, value)
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    _remember_server(home)
    # A flow joins its heartbeat's thread, which sleeps for a second; only here can it be switched off.
    with temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def end_abandoned_servers(home: Path) -> list[int]:
    """End the temporary servers that runs in ``home`` started and did not live to end; return their process ids."""
    import psutil

    abandoned = []
    artefacts.clean(_servers(home))
    for path in sorted(_servers(home).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            starter, server = _process(record["started_by"]), _process(record["server"])
        except (OSError, ValueError, KeyError, TypeError):
            path.unlink(missing_ok=True)  # another run was first, or the disk was full
            continue
        # The starter lives, so its server is in use.
        if starter is not None:
            continue
        if server is not None:
            log.info("ending the temporary Prefect server %d of a run that was killed", server.pid)
            server.terminate()
            abandoned.append(server)
        # The record goes before the wait below, so that a second run does not end the same server again.
        path.unlink(missing_ok=True)
    _, alive = psutil.wait_procs(abandoned, timeout=_GRACE)
    for process in alive:
        process.kill()
    return [process.pid for process in abandoned]


def is_without_server(error: Exception) -> bool:
    """Whether a flow failed because its Prefect server did not answer, and not by an error of belink."""
    import httpx
    from prefect.exceptions import PrefectException

    # What our own code asks of the network it reports as errors of its own.
    return isinstance(error, httpx.HTTPError | PrefectException) or str(error).startswith(NO_SERVER)


def _variables(home: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # What goes wrong is raised, and the command line says it in one line; Prefect's page still has the traceback.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "belink",  # the run's page shows belink's own lines too
        # The default of 20 s is short on a machine that is busy.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }


def _servers(home: Path) -> Path:
    return home / "prefect" / "servers"


def _remember_server(home: Path) -> None:
    """Write a record of the temporary server that Prefect may start in this process, as soon as it is started."""
    from prefect.settings import PREFECT_API_URL

    # With an address, Prefect starts no server of its own.
    if PREFECT_API_URL.value():
        return
    from prefect.server.api.server import SubprocessASGIServer

    server: Any = SubprocessASGIServer()  # the one of this process, which Prefect asks for too
    # Prefect offers no hook at the start of its server, so its private method is replaced on this one object.
    launch = type(server)._run_uvicorn_command

    def launch_and_remember() -> Any:
        # Ctrl-C reaches all processes of a terminal. A run that it ends tells its server so, and without one would
        # try for a minute. A child inherits what is blocked.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process = launch(server)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        record = {"server": _identity(process.pid), "started_by": _identity(os.getpid())}
        with artefacts.atomic_write(_servers(home) / f"{os.getpid()}.json") as aside:
            aside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return process

    server._run_uvicorn_command = launch_and_remember


def _identity(pid: int) -> dict[str, float]:
    """Return what tells a process from a later one of the same id: the id and the start time, seconds since 1970."""
    import psutil

    return {"pid": pid, "started": psutil.Process(pid).create_time()}


def _process(identity: dict[str, float]) -> Any:
    """Return the ``psutil.Process`` of :func:`_identity`; ``None`` once it has ended."""
    import psutil

    try:
        # Process ids are reused after a restart, hence the start time. A zombie has ended but was not waited for.
        process = psutil.Process(int(identity["pid"]))
        same = abs(process.create_time() - float(identity["started"])) < _SAME_START
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
