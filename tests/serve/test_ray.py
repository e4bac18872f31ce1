"""A corpus on Ray: a real local cluster of several processes gives the answers of one, whoever is killed meanwhile."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from belink.linker.linker import Linker
from belink.linker.shards import RECORDS
from belink.registry.open import open_linker
from tests.support import shards as support
from tests.support.processes import free_port, wait_for
from tests.support.serving import Made

WITH_RAY = ("--engine", "ray")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'belink[ray]'")


@pytest.fixture(autouse=True)
def _settings_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray kills workers where memory is short, and other tests may fill it; it would write a token into ``~/.ray``."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")


@pytest.fixture(scope="module")
def linker(served_home: Made) -> Linker:
    return open_linker(served_home.here, support.register(served_home))


@needs_ray
def test_the_answers_are_those_of_one_process_and_a_bad_file_is_told(
    served_home: Made, linker: Linker, tmp_path: Path
) -> None:
    texts = support.texts(linker)
    support.write_many(tmp_path / "in", texts, n_files=4, n_documents=5)
    support.write(tmp_path / "in" / "4.jsonl", {"0": texts[0]})
    (tmp_path / "in" / "5.jsonl").write_text('{"id": 1, "text": ""}\n{oops\n', encoding="utf-8")
    command = support.command(served_home, tmp_path / "in" / "*.jsonl", tmp_path / "out", *WITH_RAY)
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    answer = json.loads(run.stdout)
    assert (answer["shards"], answer["kept"], answer["documents"]) == (6, 0, 21)
    ((failed),) = answer["failed"]
    assert failed["input"].endswith("5.jsonl") and "expected a JSON object" in failed["error"]
    (tmp_path / "in" / "5.jsonl").unlink()
    assert support.is_complete(tmp_path / "in", tmp_path / "out", linker)


@needs_ray
def test_a_cluster_that_is_not_there_is_told_in_one_line(served_home: Made, linker: Linker, tmp_path: Path) -> None:
    support.write(tmp_path / "in" / "0.jsonl", {"0": "x"})
    more = (*WITH_RAY, "--address", "127.0.0.1:9")
    run = subprocess.run(
        support.command(served_home, tmp_path / "in" / "*", tmp_path / "out", *more),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("error: 127.0.0.1:9: expected a Ray cluster, found none")


def test_without_ray_the_extra_is_named(served_home: Made, linker: Linker, tmp_path: Path) -> None:
    support.write(tmp_path / "in" / "0.jsonl", {"0": "x"})
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError('gone', name='ray')", encoding="utf-8")
    run = subprocess.run(
        support.command(served_home, tmp_path / "in" / "*", tmp_path / "out", *WITH_RAY),
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (run.returncode, run.stderr.splitlines()[-1]) == (
        1,
        "error: expected ray, found none; pip install 'belink[ray]'",
    )


def workers_at_work(output: Path) -> list[int]:
    """Return the processes that are writing links: the name of an unfinished file holds its process."""
    written_by = [int(path.name.rsplit("-", 2)[-2]) for path in output.glob(".tmp-*")]
    return [pid for pid in written_by if psutil.pid_exists(pid)]


def n_records(output: Path) -> int:
    return len(list((output / RECORDS).glob("*.json")))


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_files_of_a_killed_worker_are_done_again(served_home: Made, linker: Linker, tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    support.write_many(source, support.texts(linker), n_files=12, n_documents=250)
    command = support.command(served_home, source / "*.jsonl", output, *WITH_RAY)
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(2):
        n_finished = n_records(output)
        wait_for("a worker at work", lambda: workers_at_work(output), 300, every=0.005)
        pid = workers_at_work(output)[0]
        assert run.pid in [parent.pid for parent in psutil.Process(pid).parents()]
        os.kill(pid, signal.SIGKILL)
        wait_for("another file", lambda n=n_finished: n_records(output) > n, 300)
        assert n_records(output) < 12
    out, err = run.communicate(timeout=600)
    assert run.returncode == 0, err
    answer = json.loads(out)  # and what Ray says of dead workers stands elsewhere
    assert (answer["shards"], answer["documents"], answer["failed"]) == (12, 3000, [])
    assert support.is_complete(source, output, linker)


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_is_finished_is_kept_where_the_command_is_killed(
    served_home: Made, linker: Linker, tmp_path: Path
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    support.write_many(source, support.texts(linker), n_files=12, n_documents=250)
    command = support.command(served_home, source / "*.jsonl", output, *WITH_RAY)
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("two files", lambda: n_records(output) >= 2, 300, every=0.01)
    others = psutil.Process(run.pid).children(recursive=True)
    workers = [each for each in others if "MapWorker" in " ".join(each.cmdline())]
    assert workers
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert not psutil.wait_procs(workers, timeout=60)[1], "workers of a dead command end by themselves"
    finished = {path: path.stat().st_mtime_ns for path in (output / RECORDS).glob("*.json")}
    assert 2 <= len(finished) < 12
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (answer["shards"], answer["kept"], answer["documents"]) == (12, len(finished), 3000)
    assert all(path.stat().st_mtime_ns == written for path, written in finished.items())
    assert support.is_complete(source, output, linker)
    for process in psutil.wait_procs(others, timeout=1)[1]:
        process.kill()  # Ray's agents outlive it


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_cluster_that_runs_already_is_used(served_home: Made, linker: Linker, tmp_path: Path) -> None:
    support.write_many(tmp_path / "in", support.texts(linker), n_files=4, n_documents=20)
    ray = str(Path(sys.executable).parent / "ray")
    port = str(free_port())
    start = [ray, "start", "--head", "--port", port, "--num-cpus", "2", "--include-dashboard=false"]
    start += ["--disable-usage-stats", "--block"]
    cluster = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        more = (*WITH_RAY, "--address", f"127.0.0.1:{port}")
        command = support.command(served_home, tmp_path / "in" / "*.jsonl", tmp_path / "out", *more)

        def linked() -> bool:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0

        wait_for("the cluster", linked, 300, every=1)
        assert cluster.poll() is None, "it is left running"
        assert support.is_complete(tmp_path / "in", tmp_path / "out", linker)
    finally:
        of_it = psutil.Process(cluster.pid).children(recursive=True)
        cluster.terminate()
        cluster.wait(timeout=60)
        for process in psutil.wait_procs(of_it, timeout=10)[1]:
            process.kill()
