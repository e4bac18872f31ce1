"""Faults of the world around a refresh: the champion stays and links, one line says why, and the next refresh finishes.

A killed refresh is in ``test_kill.py``, a release that lost its half in ``test_flows.py`` and ``test_deployed.py``.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from belink import artefacts, settings
from belink.errors import BelinkError, BundleError
from belink.linker import bundle
from belink.linker.linker import Linker
from belink.ontology import ingest, release
from belink.registry import aliases
from belink.settings import Settings
from tests.lifecycle.test_kill import Rounds, check_champion, check_whole
from tests.support import small
from tests.support.servers import MlflowServer, PrefectServer

pytestmark = pytest.mark.timeout(1800)

BELINK = str(Path(sys.executable).with_name("belink"))


class Refreshes(Rounds):
    """Rounds whose refreshes are the command line's, so that what a person sees is looked at."""

    uri: str | None = None

    def command(self, file: Path) -> list[str]:
        return [BELINK, "--home", str(self.here.home), "refresh", str(self.toml), "--json",
                "--file", f"{small.ONTOLOGY}={file}", "--retrain", "always"]  # fmt: skip

    def run(self, file: Path, *before: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, *self.command(file)],
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=900,
        )


@pytest.fixture
def rounds(tmp_path: Path, models: dict[str, str], prefect_server: Path) -> Refreshes:
    from prefect.settings import PREFECT_API_URL

    return Refreshes(tmp_path, models, {"PREFECT_API_URL": str(PREFECT_API_URL.value())})


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error that a failed command said, which is one line and no traceback."""
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(("error:", "refused:"))]
    assert "Traceback" not in done.stderr, done.stderr
    return line


@pytest.mark.slow
def test_of_two_refreshes_at_once_one_finishes_and_one_says_so(rounds: Refreshes) -> None:
    for number in (1, 2, 3):
        before = aliases.champion(rounds.here, "small")
        file = rounds.release(number)
        both = [
            subprocess.Popen(rounds.command(file), env=rounds.variables, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, cwd=rounds.folder)
            for _ in range(2)
        ]  # fmt: skip
        said = [process.communicate(timeout=900) for process in both]
        assert sorted(process.returncode for process in both) == [0, 1], said
        (loser,) = [err for process, (_, err) in zip(both, said, strict=True) if process.returncode]
        assert "another refresh of it is running" in loser
        assert int(check_champion(rounds.here)) == int(before or 0) + 1
        check_whole(rounds.here)


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[None]:
    """A file system of so many MiB at ``folder``."""
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("expected root and mount, to make a small disk, found neither")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip(f"expected leave to mount a small disk, found {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("make", [artefacts.build, lambda target: artefacts.scratch(target.parent, target.name)])
def test_a_full_disk_is_named_whoever_notices_it(tmp_path: Path, make: Any) -> None:
    with small_disk(tmp_path, 4):
        with (
            pytest.raises(BelinkError, match=r"expected room to write, found [\d,]+ KiB left"),
            make(tmp_path / "a") as aside,
        ):
            try:
                (aside / "large").write_bytes(bytes(8 << 20))
            except OSError as error:
                raise RuntimeError("a library's own words") from error
        assert list(tmp_path.iterdir()) == [], "nothing half-made is left"
        with pytest.raises(RuntimeError, match="another fault"), make(tmp_path / "a"):
            raise RuntimeError("another fault")


@pytest.mark.slow
def test_a_full_disk_costs_the_refresh_and_nothing_else(
    tmp_path: Path, models: dict[str, str], prefect_server: Path
) -> None:
    from prefect.settings import PREFECT_API_URL

    home = tmp_path / "home"
    home.mkdir()
    with small_disk(home, 200):
        rounds = Refreshes(tmp_path, models, {"PREFECT_API_URL": str(PREFECT_API_URL.value())})
        filler, failed = home / "filler", 0
        for number, left in enumerate((0, 64, 512, 2048, 4096, 8192), 1):  # KiB
            before = aliases.champion(rounds.here, "small")
            free = shutil.disk_usage(home).free
            with filler.open("wb") as out:
                os.posix_fallocate(out.fileno(), 0, max(free - left * 1024, 1))
            done = rounds.run(rounds.release(number))
            if done.returncode:
                failed += 1
                one_line(done)
                assert check_champion(rounds.here) == before
                check_whole(rounds.here)
            filler.unlink()
            assert rounds.finish(rounds.release(number))["outcome"] in ("promoted", "unchanged")
            check_whole(rounds.here)
        assert failed >= 4, "too few disks were full to show anything"


def as_somebody_without_leave() -> list[str]:
    """What to put before a command so that file modes count: root is asked no leave otherwise."""
    if os.getuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("expected setpriv, to be asked for leave although root, found none")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]


@pytest.mark.slow
def test_a_home_that_cannot_be_written_still_links_and_says_what_it_cannot(rounds: Refreshes) -> None:
    home, before = rounds.here.home, as_somebody_without_leave()
    file = rounds.release(1)
    paths = [home, *home.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(modes[path] & ~0o222)
    try:
        said = one_line(rounds.run(file, *before))
        assert str(home) in said
        for words in (["status"], ["link", "a case of asthma was seen", "--linker", "small"]):
            done = subprocess.run(
                [*before, BELINK, "--home", str(home), *words, "--json"],
                capture_output=True, text=True, env=rounds.variables,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert check_champion(rounds.here) == "1"
    assert rounds.finish(file)["outcome"] == "promoted"


def test_a_clock_that_went_back_hides_no_release(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from belink.declarations import load_source

    source = load_source(small.ONTOLOGY)
    for year, version in ((2026, small.RELEASES[0]), (2020, small.RELEASES[1])):
        monkeypatch.setattr(ingest, "_now", lambda year=year: datetime(year, 1, 1, tzinfo=UTC))
        done = ingest.ingest(source, [small.release(here.home.parent / "files", version)], here)
        assert release.latest(here, small.ONTOLOGY) == done.path


def test_a_damaged_champion_is_refused_whichever_part_it_is_and_the_previous_one_serves(
    refreshed_homes: small.Homes, tmp_path: Path
) -> None:
    here = refreshed_homes.copy(tmp_path, *small.RELEASES)
    path, version = aliases.bundle_path(here, "small")
    assert version == "2"
    files = sorted(bundle.check(path)["files"])
    assert len(files) >= 10
    for name in files:
        whole = (path / name).read_bytes()
        damaged = bytearray(whole)
        damaged[len(damaged) // 2] ^= 1
        (path / name).unlink()  # its other names, in other bundles, stay whole
        (path / name).write_bytes(damaged)
        with pytest.raises(BundleError, match=r"sha256|fetch the bundle again|refresh again"):
            Linker(aliases.bundle_path(here, "small")[0], here.cache)
        previous, _ = aliases.bundle_path(here, "small", aliases.PREVIOUS)
        bundle.check(previous)
        (path / name).write_bytes(whole)
    bundle.check(path)
    (path / files[0]).unlink()
    assert aliases.rollback(here, "small")["champion"] == "1"
    assert check_champion(here) == "1"


PICKLE = """
import json, sys
seen = []
sys.addaudithook(lambda event, args: seen.append(str(args)) if event == "pickle.find_class" else None)
from belink.cli.main import belink
try:
    belink(sys.argv[1:])
finally:
    print(json.dumps(seen), file=sys.stderr)
"""


@pytest.mark.slow
def test_nothing_is_unpickled(rounds: Refreshes) -> None:
    home = str(rounds.here.home)
    for words in (rounds.command(rounds.release(1))[1:], ["--home", home, "link", "a case of asthma", "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", PICKLE, *words], capture_output=True, text=True, env=rounds.variables
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stderr.splitlines()[-1]) == []
    suffixes = {path.suffix for path in rounds.here.home.rglob("*") if path.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib"}


@pytest.fixture
def server(here: Settings, empty_registry: Path) -> Iterator[Settings]:
    """A home, and an MLflow server whose store is below it."""
    here.home.mkdir(parents=True)
    remote = MlflowServer(here.home, empty_registry)
    remote.start()
    yield replace(here, tracking_uri=remote.uri)
    remote.kill()


@pytest.mark.slow
def test_secrets_of_the_environment_reach_no_file_and_no_line(
    server: Settings, tmp_path: Path, models: dict[str, str]
) -> None:
    """With Prefect's own server in the home, so that its database is looked through as well."""
    secrets = {"UTS_API_KEY": "uts-key-5f1c2a", "MLFLOW_TRACKING_PASSWORD": "mlflow-password-9b3e"}
    address = server.tracking_uri.replace("http://", "http://somebody:word-in-address-4d2f@")
    toml = small.linker(tmp_path, models)
    file = small.release(tmp_path / "files", small.RELEASES[0])
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT")},
        **secrets,
        "MLFLOW_TRACKING_USERNAME": "curator-77d1",  # kept with the run that it made, by MLflow; in no line
        "MLFLOW_TRACKING_URI": address,
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "OMP_NUM_THREADS": "1",
    }
    home = server.home
    words = [BELINK, "--home", str(home), "-v", "refresh", str(toml), "--file", f"{small.ONTOLOGY}={file}"]
    lines = []
    for command, uri in (
        (words, address),
        ([BELINK, "--home", str(home), "-v", "status", "--json"], address),
        (words, address.replace(server.tracking_uri.rpartition(":")[2], "9")),  # nobody listens: an error to print
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, env={**variables, "MLFLOW_TRACKING_URI": uri}, cwd=tmp_path
        )
        lines.append(done.stdout + done.stderr)
    assert "promoted" in lines[0], lines[0]
    assert "error:" in lines[2]
    assert "curator-77d1" not in "".join(lines)
    for secret in (*secrets.values(), "word-in-address-4d2f"):
        assert secret not in "".join(lines)
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_an_mlflow_server_that_goes_mid_run_costs_that_run(
    tmp_path: Path, models: dict[str, str], prefect_server: Path, empty_registry: Path
) -> None:
    from prefect.settings import PREFECT_API_URL

    remote = MlflowServer(tmp_path, empty_registry)
    remote.start()
    try:
        variables = {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "MLFLOW_TRACKING_URI": remote.uri}
        rounds = Refreshes(tmp_path, models, variables)
        here = settings.load(rounds.here.home, remote.uri)
        draw, failed = random.Random(7), 0
        for number in (1, 2, 3):
            before = aliases.champion(here, "small")
            running = subprocess.Popen(
                rounds.command(rounds.release(number)), env=rounds.variables, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, cwd=rounds.folder,
            )  # fmt: skip
            time.sleep(draw.uniform(0.1, 0.8) * rounds.seconds)
            remote.kill()
            out, err = running.communicate(timeout=900)
            if running.returncode:
                failed += 1
                one_line(subprocess.CompletedProcess(running.args, running.returncode, out, err))
            remote.start()
            assert aliases.champion(here, "small") in (before, str(int(before or 0) + 1))
            assert rounds.finish(rounds.release(number))["outcome"] in ("promoted", "unchanged")
            check_champion(here)
        assert failed >= 2, "too few were running to show anything"
    finally:
        remote.kill()


@pytest.mark.slow
def test_a_prefect_server_that_goes_mid_run_costs_that_run(tmp_path: Path, models: dict[str, str]) -> None:
    remote = PrefectServer(tmp_path)
    remote.start()
    try:
        rounds = Refreshes(tmp_path, models, remote.variables)
        draw, failed = random.Random(3), 0
        for number in (1, 2, 3):
            before = aliases.champion(rounds.here, "small")
            running = subprocess.Popen(
                rounds.command(rounds.release(number)), env=rounds.variables, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, cwd=rounds.folder,
            )  # fmt: skip
            time.sleep(draw.uniform(0.3, 0.8) * rounds.seconds)
            remote.kill()
            out, err = running.communicate(timeout=900)
            if running.returncode:
                failed += 1
                one_line(subprocess.CompletedProcess(running.args, running.returncode, out, err))
            assert check_champion(rounds.here) in (before, str(int(before or 0) + 1))
            check_whole(rounds.here)
            remote.start()
            assert rounds.finish(rounds.release(number))["outcome"] in ("promoted", "unchanged")
        assert failed >= 1, "too few were running to show anything"
    finally:
        remote.kill()
