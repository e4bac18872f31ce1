"""The MLflow run of a refresh: open while it runs, and never open for ever."""

import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from belink.cli.show_status import status
from belink.registry import aliases, runs
from belink.registry import status as registry_status
from belink.registry.status import read_status
from belink.registry.store import RunRecord, homes, setup
from belink.registry.tags import HOME
from belink.settings import Settings
from tests.support.handmade import parts


def all_runs(here: Settings) -> list[Any]:
    client = setup(here)
    return list(client.search_runs([client.get_experiment_by_name("belink").experiment_id]))


def test_a_run_is_open_from_the_start_and_holds_what_training_records(registry_home: Settings) -> None:
    from belink.linker import bundle

    here, started = registry_home, time.time() - 60
    made = bundle.assemble(parts(here.home / "parts"), here.bundles / "sample")
    with runs.open_run(here, "sample", started) as run_id:
        record = runs.recorder(here, run_id)
        assert record is not None
        for step in (10, 20):
            record("lora/loss", 1 / step, step)
        (run,) = all_runs(here)
        assert (run.info.status, run.data.metrics["lora/loss"]) == ("RUNNING", 0.05)
        version = aliases.register(
            here, made, RunRecord(run_id=run_id, description="# sample", reports={"report.html": "<p>"})
        )
    (run,) = all_runs(here)
    assert (run.info.status, run.info.start_time) == ("FINISHED", int(started * 1000))
    assert run.info.end_time - run.info.start_time >= 60_000
    assert run.info.run_name == "sample version 1: mondo-sample 2025-02-04"
    assert [each.step for each in setup(here).get_metric_history(run.info.run_id, "lora/loss")] == [10, 20]
    assert setup(here).get_model_version("sample", version).run_id == run.info.run_id
    note = run.data.tags["mlflow.note.content"]
    assert f"/runs/{run.info.run_id}/artifacts/report.html)" in note and "# sample" in note
    model = setup(here).get_logged_model(run.outputs.model_outputs[0].model_id)
    assert model.artifact_location
    assert "champion" in setup(here).get_registered_model("sample").description


def test_a_run_that_was_killed_is_marked_by_the_next_of_its_linker(registry_home: Settings) -> None:
    here = registry_home
    left = [runs.open_run(here, name, time.time()) for name in ("sample", "another")]  # held: collecting ends them
    killed, other = (run.__enter__() for run in left)
    with pytest.raises(ValueError, match="no disk"), runs.open_run(here, "sample", time.time()) as failed:
        raise ValueError("no disk")
    status = {run.info.run_id: run.info.status for run in all_runs(here)}
    assert status == {killed: "KILLED", other: "RUNNING", failed: "FAILED"}
    (note,) = [run.data.tags["mlflow.note.content"] for run in all_runs(here) if run.info.run_id == failed]
    assert note.endswith("no disk")
    with pytest.raises(KeyboardInterrupt), runs.open_run(here, "sample", time.time()) as stopped:
        raise KeyboardInterrupt
    assert {run.info.run_id: run.info.status for run in all_runs(here)}[stopped] == "KILLED"


def test_a_run_in_which_nothing_was_registered_is_removed(registry_home: Settings) -> None:
    with runs.open_run(registry_home, "sample", time.time()):
        pass
    assert all_runs(registry_home) == []


def test_a_registry_that_is_away_costs_the_metric_and_not_the_training(
    registry_home: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def fail(*_: Any, **__: Any) -> None:
        calls.append("asked")
        raise ConnectionError("nobody answers")

    with runs.open_run(registry_home, "sample", time.time()) as run_id:
        record = runs.recorder(registry_home, run_id)
        assert record is not None
        monkeypatch.setattr(type(setup(registry_home)), "log_metric", fail)
        record("lora/loss", 1.0, 1)
        record("lora/loss", 0.5, 2)
    assert calls == ["asked"]
    assert "nobody answers" in caplog.text


def test_status_links_to_the_champion_on_a_server(registry_home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from belink.linker import bundle

    here = registry_home
    made = bundle.assemble(parts(here.home / "parts"), here.bundles / "sample")
    aliases.promote(here, "sample", aliases.register(here, made, RunRecord()))
    (linker,) = read_status(here)["linkers"]
    assert linker["page"] is None and "MLflow" not in status(read_status(here))
    monkeypatch.setattr(registry_status, "version_page", lambda _, linker, version: f"http://mlflow/{linker}/{version}")
    assert "In MLflow: http://mlflow/sample/1" in status(read_status(here))


def test_pages_are_those_of_a_server(registry_home: Settings) -> None:
    assert runs.version_page(registry_home, "sample", "3") is None
    server = replace(registry_home, tracking_uri="http://somebody:secret@mlflow.example:5000/")
    page = runs.version_page(server, "sample", "3")
    assert page is not None and page.endswith("mlflow.example:5000/#/models/sample/versions/3") and "secret" not in page


def test_a_run_stays_open_until_its_bundle_is_promoted(registry_home: Settings) -> None:
    from belink.linker import bundle

    here = registry_home
    made = bundle.assemble(parts(here.home / "parts"), here.bundles / "sample")
    with runs.open_run(here, "sample", time.time()) as run_id:
        aliases.register(here, made, RunRecord(run_id=run_id))
        # A kill from here on must leave a run that is not finished: nobody has promoted anything.
        assert [run.info.status for run in all_runs(here)] == ["RUNNING"]
    (run,) = all_runs(here)
    assert run.info.status == "FINISHED" and run.info.end_time >= run.info.start_time


def test_a_container_of_another_name_ends_the_runs_that_its_home_left(
    registry_home: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = registry_home
    shared = replace(here, tracking_uri=f"sqlite:///{shutil.copy(here.home / 'mlflow.db', tmp_path / 'team.db')}")
    for home in (here, shared):
        other = replace(home, home=tmp_path / "other" / "home", tracking_uri=shared.tracking_uri)
        monkeypatch.setattr(socket, "gethostname", lambda: "container-1")
        left = [runs.open_run(each, "sample", time.time()) for each in (home, other)]
        killed, elsewhere = (run.__enter__() for run in left)
        monkeypatch.setattr(socket, "gethostname", lambda: "container-2")
        with runs.open_run(home, "sample", time.time()):
            status = {run.info.run_id: run.info.status for run in [*all_runs(home), *all_runs(other)]}
        assert (status[killed], status[elsewhere]) == ("KILLED", "RUNNING")


def test_runs_tagged_with_the_machines_name_are_still_a_homes_own(registry_home: Settings, tmp_path: Path) -> None:
    here = replace(registry_home, tracking_uri=f"sqlite:///{registry_home.home / 'mlflow.db'}")
    shared = replace(here, tracking_uri=f"sqlite:///{shutil.copy(here.home / 'mlflow.db', tmp_path / 'team.db')}")
    ours, theirs = {HOME: f"{socket.gethostname()}:{here.home}"}, {HOME: f"another:{here.home}"}
    assert [homes.is_own(shared, tags) for tags in (ours, theirs, {})] == [True, False, False]
    assert all(homes.is_own(here, tags) for tags in (ours, theirs, {})), "nobody else writes into a home's own database"
