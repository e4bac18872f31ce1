"""What a registry that several people and machines share needs: references, licences, one promotion at a time."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from belink import artefacts, settings
from belink.cli.show_status import status
from belink.declarations import SourceConfig, StorageConfig
from belink.errors import BundleError, RegistryError
from belink.linker import bundle
from belink.linker.abstention import Abstention
from belink.records import GateResult
from belink.registry import aliases, bundles
from belink.registry.model_card import LONGEST, model_card, shortened, summary_line
from belink.registry.status import read_status
from belink.registry.store import locks, setup
from belink.settings import Settings
from tests.registry.test_aliases import RECORD, registered
from tests.support import warm
from tests.support.handmade import linker, parts


def large(here: Settings, address: str = "", **changes: Any) -> Path:
    """A bundle whose linker stores every bundle by reference."""
    declared = linker(storage=StorageConfig(by_reference_above_mib=0.0, address=address))
    return bundle.assemble(parts(here.home / "parts", linker=declared, **changes), here.bundles / "sample")


def test_a_large_bundle_is_stored_once_and_found_by_its_reference(registry_home: Settings, tmp_path: Path) -> None:
    here = registry_home
    shared = tmp_path / "shared"
    made = large(here, str(shared))
    assert aliases.register(here, made, RECORD) == aliases.register(here, made, RECORD) == "1"
    (reference,) = (here.home / "artifacts").rglob("reference.json")
    said = json.loads(reference.read_text())
    assert said["uri"] == f"{shared}/sample/{made.name}"
    assert said["sha256"] == artefacts.sha256(made / artefacts.MANIFEST)
    assert not list((here.home / "artifacts").rglob("vectors.npy"))
    path, _ = aliases.bundle_path(here, "sample", "1")
    assert path == shared / "sample" / made.name
    bundle.check(path)


def test_small_bundles_are_stored_whole(registry_home: Settings) -> None:
    declared = linker(storage=StorageConfig(by_reference_above_mib=1.0))
    made = bundle.assemble(parts(registry_home.home / "parts", linker=declared), registry_home.bundles / "sample")
    aliases.register(registry_home, made, RECORD)
    assert not list(registry_home.home.rglob("reference.json"))


def test_a_reference_that_leads_to_something_else_is_refused(registry_home: Settings, tmp_path: Path) -> None:
    here = registry_home
    made = large(here, str(tmp_path / "shared"))
    aliases.register(here, made, RECORD)
    there = tmp_path / "shared" / "sample" / made.name
    manifest = artefacts.read_manifest(there)
    (there / artefacts.MANIFEST).unlink()
    artefacts.write_manifest(there, {**manifest, "key": "other"})
    with pytest.raises(BundleError, match="expected the bundle whose manifest has sha256"):
        aliases.bundle_path(here, "sample", "1")
    shutil.rmtree(there)
    with pytest.raises(BundleError, match="expected a bundle, found none; was it moved"):
        aliases.bundle_path(here, "sample", "1")


def test_a_reference_to_a_store_elsewhere_is_fetched_once(server: Settings) -> None:
    here = server
    address = f"mlflow-artifacts://{here.tracking_uri.removeprefix('http://')}/bundles"
    made = large(here, address)
    assert aliases.register(here, made, RECORD) == "1"
    path, _ = aliases.bundle_path(here, "sample", "1")
    assert bundle.check(path)["key"] == made.name
    cached = here.cache / "bundles" / artefacts.sha256(made / artefacts.MANIFEST)[:16]
    try:
        assert bundle.check(cached)["key"] == made.name
    finally:
        shutil.rmtree(cached)


def held_back(here: Settings) -> Path:
    """A bundle with a release that is not redistributable."""
    made = parts(here.home / "parts")
    (folder,) = made.releases.values()
    manifest = artefacts.read_manifest(folder)
    (folder / artefacts.MANIFEST).unlink()
    artefacts.write_manifest(folder, {**manifest, "redistributable": False, "licence": "personal"})
    return bundle.assemble(made, here.bundles / "sample")


def test_what_is_not_redistributable_goes_to_a_server_only_with_leave(server: Settings) -> None:
    made = held_back(server)
    with pytest.raises(RegistryError, match="expected ontologies that may be passed on, found mondo-sample"):
        aliases.register(server, made, RECORD)
    assert aliases.linkers(server) == []
    assert aliases.register(server, made, replace(RECORD, share_restricted=True)) == "1"
    aliases.promote(server, "sample", "1")
    (shown,) = read_status(server)["linkers"]
    assert (shown["restricted"], shown["restricted_elsewhere"]) == (["mondo-sample"], True)


def test_on_this_machine_it_needs_none_and_status_says_so(registry_home: Settings) -> None:

    aliases.register(registry_home, held_back(registry_home), RECORD)
    aliases.promote(registry_home, "sample", "1")
    answer = read_status(registry_home)
    assert answer["linkers"][0]["restricted_elsewhere"] is False
    assert "Not to be passed on: mondo-sample." in status(answer)


def test_a_refresh_says_so_before_it_works(here: Settings) -> None:
    from belink.lifecycle import ontology, refresh

    away = replace(here, tracking_uri="https://mlflow.example.org", data=None)
    umls = SourceConfig(name="umls", title="", format="umls", prefixes=(), licence="", redistributable=False)
    run = refresh.RefreshRun(
        settings=away,
        linker=linker(),
        ontologies={"umls": ontology.run_of(away, umls)},
        corpora={},
    )
    with pytest.raises(RegistryError, match="say --share-restricted"):
        refresh.check_sharing(run)
    refresh.check_sharing(replace(run, share_restricted=True))
    refresh.check_sharing(replace(run, settings=here))


def _promote_often(home: str, uri: str, step: int, moves: Any) -> None:
    """Eight times, the version ``step`` further round instead of the champion that was seen."""
    here = settings.load(Path(home), uri)
    for _ in range(8):
        seen = aliases.champion(here, "sample")
        wanted = str((int(seen or 0) - 1 + step) % 3 + 1)
        try:
            aliases.promote(here, "sample", wanted, expect=seen)
        except RegistryError as error:
            assert "somebody moved it meanwhile" in str(error), error
        else:
            moves.put((seen, wanted))
    moves.put(None)


def test_two_people_at_once_move_the_alias_one_after_the_other(server: Settings, tmp_path: Path) -> None:
    """Each in a home of their own, so that no lock on a disk helps: the moves form one way, without a fork."""
    for number in (1, 2, 3):
        registered(server, number)
    aliases.promote(server, "sample", "3")
    context = warm.context()
    queue = context.Queue()
    people = [
        context.Process(target=_promote_often, args=(str(tmp_path / f"home-{step}"), server.tracking_uri, step, queue))
        for step in (1, 2)
    ]
    for person in people:
        person.start()
    moves, done = [], 0
    while done < len(people):
        move = queue.get(timeout=200)
        done += move is None
        moves += [] if move is None else [move]
    for person in people:
        person.join()
    assert [person.exitcode for person in people] == [0, 0]
    assert len(moves) >= 8, "one of them at least gets through each time"
    last = aliases.champion(server, "sample")
    for version in ("1", "2", "3"):
        left, reached = (sum(move[end] == version for move in moves) for end in (0, 1))
        assert left - reached == (version == "3") - (version == last), moves
    assert aliases.linkers(server) == ["sample"]
    assert not setup(server).search_registered_models(filter_string="name LIKE '%.lock'")


def test_the_lock_of_a_process_that_died_is_taken(registry_home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    registered(registry_home)
    setup(registry_home).create_registered_model("promote-sample.lock", tags={"belink.kind": "lock"})
    monkeypatch.setattr(locks, "LEASE", 1.0)
    assert aliases.promote(registry_home, "sample", "1")["champion"] == "1"


@pytest.mark.parametrize("asked", ["create_registered_model", "get_registered_model"])
def test_a_lock_given_back_while_it_is_asked_for_is_waited_for_no_more(
    registry_home: Settings, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """MLflow refuses to make it again, and by the time that it, or belink, looks at it, it is gone."""
    registered(registry_home)
    client = setup(registry_home)
    client.create_registered_model("promote-sample.lock", tags={"belink.kind": "lock"})
    real = getattr(MlflowClient, asked)

    def given_back(self: MlflowClient, name: str, **more: object) -> object:
        if name != "promote-sample.lock":
            return real(self, name, **more)
        monkeypatch.setattr(MlflowClient, asked, real)
        client.delete_registered_model(name)
        return client.get_registered_model(name)

    monkeypatch.setattr(MlflowClient, asked, given_back)
    assert aliases.promote(registry_home, "sample", "1")["champion"] == "1"


def test_of_two_who_take_the_lock_of_a_process_that_died_the_second_waits_on(
    registry_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(registry_home)
    setup(registry_home).create_registered_model("promote-sample.lock", tags={"belink.kind": "lock"})
    monkeypatch.setattr(locks, "LEASE", 1.0)
    real = MlflowClient.delete_registered_model

    def second(self: MlflowClient, name: str) -> None:
        real(self, name)
        monkeypatch.setattr(MlflowClient, "delete_registered_model", real)
        real(self, name)

    monkeypatch.setattr(MlflowClient, "delete_registered_model", second)
    assert aliases.promote(registry_home, "sample", "1")["champion"] == "1"


def test_passwords_in_addresses_are_not_shown(here: Settings) -> None:
    away = replace(here, tracking_uri="http://reader:hunter2@127.0.0.1:9")
    with pytest.raises(RegistryError) as raised:
        read_status(away)
    assert "hunter2" not in str(raised.value)
    assert (
        settings.without_password("postgresql+psycopg2://me:hunter2@db:5432/x") == "postgresql+psycopg2://***@db:5432/x"
    )
    assert settings.without_password("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
    assert settings.without_password("sqlite:////tmp/a@b/mlflow.db") == "sqlite:////tmp/a@b/mlflow.db"


def test_newer_releases_that_lie_here_are_shown(registry_home: Settings) -> None:
    from tests.support.handmade import release

    registered(registry_home)
    aliases.promote(registry_home, "sample", "1")
    (shown,) = read_status(registry_home)["linkers"]
    assert shown["newer"] == {}
    release(registry_home.releases / "mondo-sample" / "2026-01-01", "2026-01-01")
    (shown,) = read_status(registry_home)["linkers"]
    assert shown["newer"] == {"mondo-sample": "2026-01-01"}


def test_the_last_refresh_is_remembered_also_where_it_changed_nothing(registry_home: Settings) -> None:
    registered(registry_home)
    gates = [{"name": "max_ece", "passed": False}, {"name": "accuracy_at_1", "passed": True}]
    aliases.note_refresh(registry_home, {"linker": "sample", "outcome": "unchanged", "version": "1", "gates": gates})
    aliases.note_refresh(registry_home, {"linker": "unknown", "outcome": "rejected", "version": None, "gates": []})
    (shown,) = read_status(registry_home)["linkers"]
    last = shown["last_refresh"]
    assert (last["outcome"], last["version"], last["failed_gates"]) == ("unchanged", "1", ["max_ece"])
    assert last["ended"].startswith("20")


def test_a_card_says_what_it_is_made_of_how_good_and_under_which_licences(here: Settings) -> None:
    metric = {"value": 0.8123456, "low": 0.75, "high": 0.86, "n": 200}
    evaluation = {
        "challenger": {"n": 200, "metrics": {"accuracy_at_1": metric}},
        "champion": {"n": 200, "metrics": {"accuracy_at_1": {**metric, "value": 0.8}}},
    }
    gates = [GateResult(name="accuracy_at_1", value=0.81, bound=0.5, passed=True, detail="200 mentions")]
    made = bundle.assemble(parts(here.home / "parts", evaluation=evaluation, gates=gates), here.bundles / "sample")
    source = SourceConfig(
        name="mondo-sample", title="Mondo, sample", format="obo", prefixes=("MONDO",), licence="CC BY 4.0",
        citation="Vasilevsky et al. 2022",
    )  # fmt: skip
    card = model_card(made, linker(), {"mondo-sample": source}, gates)
    assert "| accuracy_at_1 | 0.8123 | 0.75 to 0.86 | 0.8 |" in card
    assert "| accuracy_at_1 | 0.81 | 0.5 | pass | 200 mentions |" in card
    assert "mondo-sample 2025-02-04" in card
    assert "- Vasilevsky et al. 2022" in card
    assert "2605.22501" in card
    assert "Not measured" not in card
    assert "Bound:" not in card
    chosen = Abstention(declared=0.9, bound=0.62, precision=0.91, kept=0.7, n=300)
    calibration = json.loads((made / bundle.CALIBRATION).read_text())
    (made / bundle.CALIBRATION).unlink()
    (made / bundle.CALIBRATION).write_text(json.dumps({**calibration, "abstention": chosen.to_dict()}))
    assert f"Bound: {chosen}." in model_card(made, linker(), {"mondo-sample": source}, gates)
    unmeasured = [replace(gates[0], measured=False, detail="on 1 mentions <b>")]
    card = model_card(
        made, linker(), {"mondo-sample": source.model_copy(update={"title": "Mondo | <img>"})}, unmeasured
    )
    assert "| accuracy_at_1 | 0.81 | 0.5 | not measured | on 1 mentions \\<b\\> |" in card
    assert "Not measured: accuracy_at_1." in card
    in_one_line = summary_line(artefacts.read_manifest(made), evaluation, unmeasured)
    assert in_one_line.endswith("gates passed, not measured: accuracy_at_1")
    assert summary_line(artefacts.read_manifest(made), evaluation, gates).endswith("all 1 gates passed")
    assert "| Mondo \\| \\<img\\> | mondo-sample 2025-02-04 |" in card
    shared = [{"id": "X:1", "labels": {"b": "mole | <x>", "a": "naevus"}}]
    card = model_card(made, linker(), {"mondo-sample": source}, gates, shared)
    assert "Ids in several of these ontologies: 1. A link shows the label of the first one." in card
    assert "| X:1 | b | mole \\| \\<x\\> | a: naevus |" in card
    long = shortened(card + "\n".join(f"line {n}" for n in range(2000)))
    assert len(long) <= LONGEST
    assert long.endswith("the rest stands in model_card.md among the run's artifacts.\n")


def test_references_are_not_followed_out_of_json(tmp_path: Path, here: Settings) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "reference.json").write_text("[]")
    with pytest.raises(BundleError, match="expected uri and sha256"):
        bundles.resolve(here, folder)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://mlflow:pa/ss@127.0.0.1:1/mlflow", "postgresql://***@127.0.0.1:1/mlflow"),
        ("postgresql://mlflow:p@ss@127.0.0.1:1/mlflow", "postgresql://***@127.0.0.1:1/mlflow"),
        ("postgresql://mlflow:p?a=ss@127.0.0.1/mlflow", "postgresql://***@127.0.0.1/mlflow"),
        ("postgresql://mlflow:p%40ss@db/mlflow?sslmode=require", "postgresql://***@db/mlflow?sslmode=require"),
        ("postgresql://db/mlflow?user=me&password=secret", "postgresql://db/mlflow?user=me&password=***"),
        ("postgresql://db/mlflow?p%61ssword=secret&x=1", "postgresql://db/mlflow?p%61ssword=***&x=1"),
        ("mysql+pymysql://u:p@db/x?passwd=s&ssl_key=k.pem", "mysql+pymysql://***@db/x?passwd=***&ssl_key=k.pem"),
        ("mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Ds", "mssql+pyodbc:///?odbc_connect=***"),
        ("postgresql://mlflow:pa'ss@db/mlflow", "postgresql://***@db/mlflow"),
        ('postgresql://mlflow:p"a<s>s@db/mlflow', "postgresql://***@db/mlflow"),
        ("postgresql://mlflow:pa ss\n@db/mlflow", "postgresql://***@db/mlflow"),
        ("postgresql://db:5432/mlflow?options=-c%20password%3Ds", "postgresql://db:5432/mlflow?options=***"),
        ("wasbs://store/x?se=1&sig=s", "wasbs://store/x?se=1&sig=***"),
        ("https://store/x?X-Amz-Signature=s&x=1", "https://store/x?X-Amz-Signature=***&x=1"),
        ("https://ghp_token@mlflow.example.org/a@b", "https://***@mlflow.example.org/a@b"),
        ("s3://bucket/folder@home/x", "s3://bucket/folder@home/x"),
        ("file:///home/me@work/artifacts", "file:///home/me@work/artifacts"),
        ("models:/sample@champion", "models:/sample@champion"),
        ("http://127.0.0.1:5000/x and me@work", "http://127.0.0.1:5000/x and me@work"),
    ],
)
def test_a_password_is_hidden_in_any_form_that_a_driver_takes(address: str, shown: str) -> None:
    assert settings.without_password(address) == shown
    assert settings.without_password(f"found '{address}', expected another") == f"found '{shown}', expected another"


@pytest.mark.parametrize("password", ["pa/ss", "p@ss", "hunter2", "p%40ss", "98/7:xy", "it's"])
def test_a_store_that_cannot_be_reached_shows_no_piece_of_its_password(
    here: Settings, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    from mlflow.store.db import utils

    monkeypatch.setattr(utils, "MAX_RETRY_COUNT", 1)  # it waits for minutes
    away = replace(here, tracking_uri=f"postgresql://mlflow:{password}@127.0.0.1:1/mlflow")
    with pytest.raises(RegistryError) as refused:
        read_status(away)
    said = str(refused.value)
    assert "***@127.0.0.1" in said
    cause = refused.value.__cause__
    for piece in (password, f"{password[-2:]}@", f"'{password[:2]}'", f":{password[:2]}"):
        assert piece not in said and piece not in str(cause or "")
