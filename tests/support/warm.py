"""Processes in which the large libraries are imported already: each can be killed, and only the first pays for them.

The fork server of multiprocessing imports them once for this process of pytest. belink and Prefect are not among them:
Prefect reads its settings at import. A test of what a new process imports starts one by ``subprocess``.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

_LIBRARIES = ["torch", "transformers", "sentence_transformers", "peft", "sklearn", "mlflow", "duckdb", "faiss"]
# The parts that transformers and MLflow import when they are first used.
_LIBRARIES += ["transformers.models.auto.modeling_auto", "transformers.trainer", "mlflow.pyfunc", "mlflow.tracking"]


@lru_cache
def context() -> ForkServerContext:
    """Return the context of multiprocessing whose processes start with the libraries."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(_LIBRARIES)
    return forks


class Process:
    """``python -m MODULE …`` or ``python -c CODE …``, started by fork; used as ``subprocess.Popen`` with text is."""

    def __init__(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        """Start ``command``: ``-m`` and a module or ``-c`` and code, then the arguments.

        :param env: all variables; ``None`` for those of this process.
        """
        self.args = [str(word) for word in command]
        self._folder = tempfile.TemporaryDirectory(prefix="belink-warm-")
        out, err = self._files = [Path(self._folder.name) / name for name in ("out", "err")]
        task = (self.args, dict(os.environ if env is None else env), str(cwd or Path.cwd()), str(out), str(err))
        self._process = context().Process(target=_run, args=task)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit status, minus the signal's number if one ended it; ``None`` while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status, once it has ended.

        :param timeout: seconds.
        :raises subprocess.TimeoutExpired: it still runs.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return what it wrote to standard output and error, once it has ended."""
        self.wait(timeout)
        out, err = (path.read_text(encoding="utf-8") for path in self._files)
        return out, err


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 900,
) -> subprocess.CompletedProcess[str]:
    """Return how ``command`` of :class:`Process` ended."""
    process = Process(command, env=env, cwd=cwd)
    try:
        out, err = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.wait(), out, err)


def _run(command: list[str], env: dict[str, str], cwd: str, out: str, err: str) -> None:
    """Become ``command``, in the process that was forked for it."""
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    kind, program, *arguments = command
    sys.argv = [program if kind == "-m" else "-c", *arguments]
    try:
        if kind == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            scope: dict[str, Any] = {"__name__": "__main__"}
            exec(compile(program, "<string>", "exec"), scope)
    finally:
        # multiprocessing leaves them out, and Prefect ends its temporary server in one.
        atexit._run_exitfuncs()
        sys.stdout.flush()
