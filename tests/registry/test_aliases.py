"""MLflow holds bundles as versions; aliases move only as promote and rollback say."""

import ast
import json
import multiprocessing
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from belink import artefacts
from belink.cli.show_status import status
from belink.errors import GateRefused, RegistryError, SourceError
from belink.lifecycle import refresh as steps
from belink.lifecycle.failure import failure_noted
from belink.linker import bundle
from belink.linker.abstention import Abstention
from belink.linker.calibration import Calibration
from belink.records import GateResult
from belink.registry import aliases
from belink.registry.status import read_status
from belink.registry.store import RunRecord, create_database, setup
from belink.settings import Settings
from tests.support.handmade import parts

RECORD = RunRecord(
    params={"encoder.model": "path:/encoder", "training.seed": 13},
    metrics={"accuracy_at_1": 0.75},
    reports={"gates.md": "| gate |", "diff-mondo-sample.md": "| added | 3 |"},
    datasets={"mondo-sample": ("/somewhere/mondo.obo", "c" * 64)},
    description="# sample",
)


def made(here: Settings, number: int = 1, name: str = "sample") -> Path:
    """A bundle that differs from one made with another ``number``."""
    gates = [GateResult(name="min_accuracy_at_1", value=number / 10, bound=0.0, passed=True)]
    return bundle.assemble(parts(here.home / "parts", name=name, gates=gates), here.bundles / name)


def registered(here: Settings, number: int = 1) -> str:
    return aliases.register(here, made(here, number), RECORD)


def test_asking_an_empty_home_makes_nothing(here: Settings) -> None:
    assert read_status(here) == {"home": str(here.home), "tracking_uri": here.tracking_uri, "linkers": []}
    assert aliases.champion(here, "sample") is None
    with pytest.raises(RegistryError, match="sample@champion"):
        aliases.bundle_path(here, "sample")
    assert not here.home.exists()


def test_a_version_holds_the_whole_bundle_and_tells_its_story(registry_home: Settings) -> None:
    here = registry_home
    assert registered(here) == "1"
    client = setup(here)
    version = client.get_model_version("sample", "1")
    assert version.tags["belink.releases"] == "mondo-sample 2025-02-04"
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"accuracy_at_1": 0.75}
    assert run.data.params["training.seed"] == "13"
    assert run.inputs.dataset_inputs[0].dataset.name == "mondo-sample"
    assert {file.path for file in client.list_artifacts(version.run_id)} >= {"gates.md", "diff-mondo-sample.md"}
    path, number = aliases.bundle_path(here, "sample", "1")
    assert number == "1"
    assert bundle.check(path)["key"] == artefacts.read_manifest(made(here))["key"]
    assert path.is_relative_to(here.home / "artifacts")
    assert not list(here.home.rglob("*.pkl"))


def test_a_bundle_is_registered_once(registry_home: Settings) -> None:
    assert registered(registry_home) == registered(registry_home) == "1"
    assert registered(registry_home, 2) == "2"


def test_a_bundle_that_the_store_has_lost_is_registered_anew(registry_home: Settings) -> None:
    registered(registry_home)
    path, _ = aliases.bundle_path(registry_home, "sample", "1")
    shutil.rmtree(path.parents[1])
    with pytest.raises(RegistryError, match="found 0"):
        aliases.bundle_path(registry_home, "sample", "1")
    assert registered(registry_home) == "2"
    assert bundle.check(aliases.bundle_path(registry_home, "sample", "2")[0])


def test_what_a_killed_registration_left_is_removed(registry_home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    here = registry_home
    client = setup(here)
    with monkeypatch.context() as patch:
        patch.setattr(type(client), "create_model_version", lambda *_, **__: os.abort.missing)  # dies after logging
        with pytest.raises(AttributeError):
            registered(here)
    experiment = client.get_experiment_by_name("belink").experiment_id
    (left,) = client.search_runs([experiment])
    assert registered(here) == "1"
    (kept,) = client.search_runs([experiment])
    assert kept.info.run_id != left.info.run_id
    assert len(list((here.home / "artifacts" / "models").iterdir())) == 1


def test_a_draft_is_not_registered(registry_home: Settings) -> None:
    here = registry_home
    draft = bundle.assemble(parts(here.home / "parts", evaluation=None), here.bundles / "sample")
    with pytest.raises(RegistryError, match="draft"):
        aliases.register(here, draft, RECORD)


def test_promotion_moves_champion_and_remembers_the_one_before(registry_home: Settings) -> None:
    here = registry_home
    registered(here, 1)
    registered(here, 2)
    assert aliases.promote(here, "sample", "1", expect=None) == {
        "linker": "sample", "champion": "1", "previous": None,
    }  # fmt: skip
    assert aliases.promote(here, "sample", "2", expect="1")["previous"] == "1"
    assert aliases.aliases(here, "sample") == {"champion": "2", "previous": "1"}


def test_promoting_the_champion_again_changes_nothing(registry_home: Settings) -> None:
    here = registry_home
    registered(here, 1)
    registered(here, 2)
    aliases.promote(here, "sample", "1")
    aliases.promote(here, "sample", "2")
    aliases.promote(here, "sample", "2")
    assert aliases.aliases(here, "sample") == {"champion": "2", "previous": "1"}


def test_a_champion_that_moved_meanwhile_is_left_alone(registry_home: Settings) -> None:
    here = registry_home
    for number in (1, 2, 3):
        registered(here, number)
    aliases.promote(here, "sample", "1")
    aliases.promote(here, "sample", "2")
    with pytest.raises(RegistryError, match="expected version 1 as champion, found 2"):
        aliases.promote(here, "sample", "3", expect="1")
    assert aliases.champion(here, "sample") == "2"


def test_rollback_goes_back_and_forth_and_withdraws_what_it_leaves(registry_home: Settings) -> None:
    here = registry_home
    registered(here, 1)
    registered(here, 2)
    aliases.promote(here, "sample", "1")
    aliases.promote(here, "sample", "2")
    assert aliases.rollback(here, "sample") == {"linker": "sample", "champion": "1", "previous": "2"}
    assert aliases.is_withdrawn(here, "sample", "2")
    assert not aliases.is_withdrawn(here, "sample", "1")
    aliases.promote(here, "sample", "2")
    assert not aliases.is_withdrawn(here, "sample", "2")


def test_there_must_be_something_to_roll_back_to(registry_home: Settings) -> None:
    here = registry_home
    with pytest.raises(RegistryError, match="expected a champion to roll back"):
        aliases.rollback(here, "sample")
    registered(here)
    aliases.promote(here, "sample", "1")
    with pytest.raises(RegistryError, match="expected a version before 1"):
        aliases.rollback(here, "sample")


@pytest.mark.parametrize("which", ["7", "champion", "nonsense"])
def test_what_is_not_there_is_said_in_one_line(registry_home: Settings, which: str) -> None:
    here = registry_home
    registered(here)
    with pytest.raises(RegistryError) as raised:
        aliases.bundle_path(here, "sample", which)
    assert "\n" not in str(raised.value)
    with pytest.raises(RegistryError, match="no version 7; registered: 1"):
        aliases.promote(here, "sample", "7")


def test_status_names_champion_releases_and_the_gate_that_failed(registry_home: Settings) -> None:
    here = registry_home
    chosen = Abstention(declared=0.9, bound=0.62, precision=0.91, kept=0.7, n=300)
    bound = here.home / "bound"
    bound.mkdir()
    (bound / "calibration.json").write_text(json.dumps(Calibration(abstention=chosen).to_dict()))
    with_bound = parts(here.home / "parts", calibration=bound / "calibration.json")
    aliases.register(here, bundle.assemble(with_bound, here.bundles / "sample"), RECORD)
    aliases.settle(here, "sample", "1", unmeasured=["accuracy_at_1", "max_ece"])
    aliases.promote(here, "sample", "1")
    registered(here, 2)
    aliases.settle(here, "sample", "2", ["max_ece"])
    (linker,) = read_status(here)["linkers"]
    assert linker["unmeasured_gates"] == ["accuracy_at_1", "max_ece"], "of the champion"
    assert linker["abstention"] == chosen.to_dict()
    assert f"R{str(chosen)[1:]}." in status(read_status(here))
    assert (aliases.abstention(here, "sample", "1"), aliases.abstention(here, "sample", "2")) == (chosen, None)
    assert (linker["name"], linker["champion"], linker["previous"]) == ("sample", "1", None)
    assert linker["releases"] == {"mondo-sample": "2025-02-04"}
    assert linker["updated"].startswith("20")
    assert linker["challenger"] == "2"
    assert linker["last_refresh"] | {"outcome": "rejected", "failed_gates": ["max_ece"]} == linker["last_refresh"]
    assert json.dumps(read_status(here))
    text = status(read_status(here))
    assert "made version 2, which was REFUSED by max_ece." in text
    assert "belink refresh sample judges it again and shows every gate; belink promote sample 2 takes it" in text


def test_an_error_that_ends_a_refresh_is_noted_with_what_to_do(registry_home: Settings) -> None:
    run = steps.start(registry_home, "sample")
    registered(registry_home)
    with pytest.raises(SourceError), failure_noted(run):
        raise SourceError("http://me:secret@host/x.obo: expected a file,\nfound none; check the address")
    (linker,) = read_status(registry_home)["linkers"]
    assert linker["last_refresh"]["outcome"] == "failed"
    text = status(read_status(registry_home))
    assert "FAILED: http://***@host/x.obo: expected a file, found none; check the address\n" in text
    assert text.endswith("What to do: belink refresh sample tries again.")
    with pytest.raises(ZeroDivisionError), failure_noted(run):
        raise ZeroDivisionError("a" * 9000)
    (linker,) = read_status(registry_home)["linkers"]
    assert linker["last_refresh"]["reason"].startswith("ZeroDivisionError: aaa")
    (registry_home.home / "mlflow.db").rename(registry_home.home / "away")
    (registry_home.home / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(SourceError, match="the first error"), failure_noted(run):
        raise SourceError("the first error")
    (registry_home.home / "away").replace(registry_home.home / "mlflow.db")
    with pytest.raises(GateRefused), failure_noted(run):
        raise GateRefused("an outcome of its own")
    assert read_status(registry_home)["linkers"] == [linker]


def test_a_model_of_somebody_else_is_not_touched(registry_home: Settings) -> None:
    here = registry_home
    setup(here).create_registered_model("sample")
    with pytest.raises(RegistryError, match="somebody else's model"):
        registered(here)
    assert aliases.linkers(here) == []


@pytest.mark.heavy
def test_a_file_that_is_no_database_is_said_in_one_line(here: Settings) -> None:
    here.home.mkdir()
    (here.home / "mlflow.db").write_text("not a database at all, but long enough to look at" * 20)
    with pytest.raises(RegistryError) as raised:
        read_status(here)
    assert "\n" not in str(raised.value)


def _set_up(home: str) -> None:
    from belink import settings

    setup(settings.load(Path(home)))


@pytest.mark.slow
def test_a_cold_store_bears_several_processes_at_once(here: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_set_up, args=(str(here.home),)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert registered(here) == "1"


def _create(database: str) -> None:
    create_database(Path(database))


@pytest.mark.heavy
def test_a_migration_killed_half_way_leaves_no_database(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_create, args=(str(tmp_path / "mlflow.db"),))
    process.start()
    while not list(tmp_path.glob(".tmp-*")) and process.is_alive():
        time.sleep(0.01)
    time.sleep(0.5)
    process.kill()
    process.join()
    assert not (tmp_path / "mlflow.db").exists()
    assert list(tmp_path.glob(".tmp-*"))
    create_database(tmp_path / "mlflow.db")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_server_elsewhere_serves_bundles_that_are_fetched_once(
    server: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    assert registered(server, 1) == registered(server, 1) == "1"
    assert registered(server, 2) == "2"
    assert capfd.readouterr().out == "", "standard output is for the one JSON document"
    aliases.promote(server, "sample", "1", expect=None)
    aliases.promote(server, "sample", "2", expect="1")
    path, version = aliases.bundle_path(server, "sample")
    assert version == "2"
    assert bundle.check(path)["linker"] == "sample"
    assert path.is_relative_to(server.home / "fetched")
    made_at = (path / "manifest.json").stat().st_mtime_ns
    assert aliases.bundle_path(server, "sample")[0] == path
    assert (path / "manifest.json").stat().st_mtime_ns == made_at
    assert aliases.rollback(server, "sample")["champion"] == "1"
    assert read_status(server)["linkers"][0]["champion"] == "1"


def test_a_server_that_is_gone_is_said_in_one_line(here: Settings) -> None:
    gone = replace(here, tracking_uri="http://127.0.0.1:9")
    with pytest.raises(RegistryError) as raised:
        read_status(gone)
    assert "\n" not in str(raised.value)


def test_the_stored_model_knows_one_name_of_belink() -> None:
    tree = ast.parse(Path(aliases.__file__).with_name("pyfunc_model.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {f"{getattr(node, 'module', '')}.{alias.name}" for node in imports for alias in node.names}
    assert {name for name in names if "belink" in name} == {"belink.registry.predict.load_bundle"}
