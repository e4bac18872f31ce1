"""What tests of the registry share: a team's MLflow server, empty for each test."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from belink.registry.store import setup
from belink.settings import Settings
from tests.support.servers import MlflowServer


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Iterator[MlflowServer]:
    """An MLflow server on loopback that keeps artifacts itself, as a team has one."""
    with MlflowServer.running(tmp_path_factory.mktemp("server"), empty_registry) as server:
        yield server


@pytest.fixture
def server(here: Settings, mlflow_server: MlflowServer) -> Iterator[Settings]:
    """An empty home of that server; what a test registers is deleted after it."""
    here.home.mkdir(parents=True)
    team = replace(here, tracking_uri=mlflow_server.uri)
    yield team
    client = setup(team)
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
