"""What tests of flows share: a Prefect server whose settings go again, and a home whose registry is ready."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from belink import settings
from belink.settings import Settings


@pytest.fixture(scope="module")
def prefect(prefect_server: Path) -> Iterator[None]:
    """The session's Prefect server, for one module; what flows set in the environment is taken back."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def make_home(empty_registry: Path) -> Callable[[Path], Settings]:
    """Make an empty home in a folder."""

    def make(folder: Path) -> Settings:
        here = settings.load(folder / "home")
        here.home.mkdir(parents=True)
        (here.home / "mlflow.db").write_bytes(empty_registry.read_bytes())
        return here

    return make
