"""What Prefect is told before it is imported, and what a killed run of ours left behind.

Without ``PREFECT_API_URL`` a flow brings a temporary server of its own, as a child process. Prefect ends it with the
flow; a flow that is killed cannot, so the next one does.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_STARTED_BY = "BELINK_STARTED_BY"  # in the environment of the temporary server: whose it is
_GRACE = 30.0  # seconds for a server to end by itself; it may be in the middle of preparing its database


@contextmanager
def prepared(home: Path) -> Iterator[None]:
    """Prefect works below ``home``, asks no address outside, and flows end without waiting for their heartbeat.

    What the user has set in the environment stays.
    """
    end_abandoned_servers()
    for name, value in _variables(home).items():
        os.environ.setdefault(name, value)
    os.environ[_STARTED_BY] = _this_process()
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    # A flow joins its heartbeat's thread, which sleeps for a second; only here can it be switched off.
    with temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def end_abandoned_servers() -> list[int]:
    """End the temporary servers whose flow was killed; their process ids."""
    import psutil

    abandoned = []
    for process in psutil.process_iter():
        try:
            if "prefect.server.api.server:create_app" not in process.cmdline():
                continue
            started_by = process.environ().get(_STARTED_BY, "")
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or somebody else's
        if started_by and not _runs(started_by):
            log.info("ending the temporary Prefect server %d of a run that was killed", process.pid)
            process.terminate()
            abandoned.append(process)
    _, alive = psutil.wait_procs(abandoned, timeout=_GRACE)
    for process in alive:
        process.kill()
    return [process.pid for process in abandoned]


def is_without_server(error: Exception) -> bool:
    """Whether a flow failed for want of its Prefect server, and not for anything of ours."""
    import httpx
    from prefect.exceptions import PrefectException

    # What our own code asks of the network it reports as errors of its own.
    return isinstance(error, httpx.HTTPError | PrefectException) or "Failed to reach API" in str(error)


def _variables(home: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # What goes wrong is raised, and the command line says it in one line; Prefect's page still has the traceback.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        # The default of 20 s is short on a machine that is busy.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }


def _this_process() -> str:
    import psutil

    return f"{os.getpid()}:{psutil.Process().create_time():.2f}"


def _runs(started_by: str) -> bool:
    """Whether the process that ``_this_process`` named still runs, and is not another one under its number."""
    import psutil

    pid, _, created = started_by.partition(":")
    try:
        process = psutil.Process(int(pid))
        return f"{process.create_time():.2f}" == created and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return False
