"""A home's own database answers the same whether MLflow is asked or the file is read."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from belink.errors import RegistryError
from belink.registry import aliases, store, tags
from belink.registry.lookup import SCHEMA, lookup
from belink.registry.status import read_status
from belink.registry.store.runs import ensure_model
from belink.settings import Settings
from tests.registry.test_aliases import registered


@pytest.fixture
def home(registry_home: Settings) -> Settings:
    """A registry with three versions of ``sample``, one of ``other``, and a model that is not belink's."""
    for number in (1, 2, 3):
        assert registered(registry_home, number) == str(number)
    client = store.setup(registry_home)
    ensure_model(client, "other")
    client.create_registered_model("elsewhere")
    for name in ("other", "elsewhere"):
        client.create_model_version(name, f"file://{registry_home.home}/artifacts/{name}")
    return registry_home


def both(here: Settings, linker: str) -> Iterator[tuple[object, object]]:
    """What the file says and what MLflow says, question by question."""
    client = store.setup(here)
    with lookup(here.tracking_uri) as file:
        assert file is not None
        yield file.linkers(tags.KIND), [linker.name for linker in store.Store(here).linkers()]
        known = store.Store(here).aliases(linker)
        yield file.aliases(linker), known
        for version in {"1", "2", "3"} - {v for v in ("1", "2", "3") if file.location(linker, v) is None}:
            yield file.location(linker, version), client.get_model_version_download_uri(linker, version)


def assert_same(here: Settings, linker: str = "sample") -> None:
    answers = list(both(here, linker))
    assert len(answers) >= 2
    for file, mlflow in answers:
        assert file == mlflow


def test_the_same_after_promotion_rollback_and_mlflows_own_client(home: Settings) -> None:
    assert_same(home)
    aliases.promote(home, "sample", "1")
    aliases.promote(home, "sample", "2")
    assert aliases.aliases(home, "sample") == {"champion": "2", "previous": "1"}
    assert_same(home)
    aliases.rollback(home, "sample")
    assert aliases.champion(home, "sample") == "1"
    assert_same(home)
    client = store.setup(home)
    client.set_registered_model_alias("sample", "champion", "3")
    assert aliases.version_of(home, "sample", "champion") == "3"
    client.delete_registered_model_alias("sample", "previous")
    assert_same(home)
    assert_same(home, "other")
    assert_same(home, "nowhere")


def test_a_deleted_version_is_gone_and_the_error_names_those_there_are(home: Settings) -> None:
    store.setup(home).delete_model_version("sample", "2")
    with lookup(home.tracking_uri) as file:
        assert file is not None
        assert file.location("sample", "2") is None
        assert file.location("sample", "9") is None
    with pytest.raises(RegistryError, match="no version 2; registered: 1, 3"):
        aliases.bundle_path(home, "sample", "2")
    assert_same(home)


def test_the_schema_is_the_one_that_the_installed_mlflow_makes(empty_registry: Path) -> None:
    with sqlite3.connect(empty_registry) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (SCHEMA,)


def test_another_schema_or_store_is_left_to_mlflow(home: Settings, tmp_path: Path) -> None:
    (tmp_path / "no.db").write_bytes(b"no database, but long enough to be looked at as one" * 20)
    addresses = ["http://127.0.0.1:5000", "postgresql://db/mlflow", f"sqlite:///{tmp_path / 'missing.db'}"]
    for address in [*addresses, f"sqlite:///{tmp_path / 'no.db'}"]:
        with lookup(address) as file:
            assert file is None, address
    assert not (tmp_path / "missing.db").exists()
    with sqlite3.connect(home.home / "mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'another'")
    with lookup(home.tracking_uri) as file:
        assert file is None


def test_a_path_with_marks_of_an_address_is_opened(empty_registry: Path, tmp_path: Path) -> None:
    path = tmp_path / "what? #1 100%.db"
    path.write_bytes(empty_registry.read_bytes())
    with lookup(f"sqlite:///{path}") as file:
        assert file is not None
        assert file.linkers(tags.KIND) == []


def test_status_is_the_same_by_either_way(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    client = store.setup(home)
    client.set_model_version_tag("sample", "2", "belink.restricted", "umls")
    client.set_model_version_tag("sample", "2", "belink.index", "abc")
    client.set_model_version_tag("sample", "3", "belink.outcome", "rejected")
    client.set_model_version_tag("sample", "3", "belink.failed_gates", "ece, recall_at_10")
    for alias, version in (("champion", "2"), ("previous", "1"), ("challenger", "3")):
        client.set_registered_model_alias("sample", alias, version)
    client.set_registered_model_tag("other", "belink.last_refresh", '{"outcome": "unchanged"}')
    by_file = read_status(home)
    assert [linker["name"] for linker in by_file["linkers"]] == ["other", "sample"]
    assert by_file["linkers"][1]["last_refresh"]["failed_gates"] == ["ece", "recall_at_10"]
    monkeypatch.setattr("belink.registry.lookup.SCHEMA", "another")
    assert read_status(home) == by_file
