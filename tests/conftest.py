"""Every test in its own home; models built here, never fetched; Prefect and MLflow made ready once where asked for."""

import gc
import itertools
import os
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from belink import settings
from belink.registry import store
from belink.settings import Settings

if TYPE_CHECKING:
    from belink.weights import ResolvedModel
    from tests.support.serving import Made
    from tests.support.small import Homes

# Read while transformers, mlflow and prefect are imported, so set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "true"
if "PYTEST_XDIST_WORKER" in os.environ:  # the processes share the cores: their threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in ("MLFLOW_TRACKING_URI", "BELINK_HOME", "PREFECT_API_URL", "UTS_API_KEY"):
    os.environ.pop(name, None)


_STARTS_SOMETHING = {"empty_registry", "prefect_server", "served_home"}  # fixtures that take seconds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as heavy what uses a registry, a server or a service, so that nobody has to remember.

    Files with many heavy tests come first: two processes that take whole files then end at about the same time.
    """
    for item in items:
        if _STARTS_SOMETHING & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.heavy)
    n_heavy = Counter(item.path for item in items if item.get_closest_marker("heavy"))
    items.sort(key=lambda item: -n_heavy[item.path])


@pytest.fixture(scope="session")
def _modules() -> dict[str, object]:
    """The modules whose objects garbage collection leaves out."""
    return {}


@pytest.fixture(autouse=True)
def _imports_are_left_out_of_garbage_collection(_modules: dict[str, object]) -> None:
    """A full collection takes a second of CPU once all libraries are imported, in whichever test it falls."""
    if len(sys.modules) > len(_modules) + 100:
        _modules.update(sys.modules)
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of folders that do not exist: making one for each of two thousand tests takes seconds."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_home(_homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that forgets to say where it works must not write into the checkout."""
    monkeypatch.setenv("BELINK_HOME", str(next(_homes)))


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    """An empty home."""
    return settings.load(tmp_path / "home")


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without content: making one takes seconds, copying it none."""
    home = tmp_path_factory.mktemp("registry")
    database = home / "mlflow.db"
    store.create_database(database)
    return database


@pytest.fixture
def registry_home(here: Settings, empty_registry: Path) -> Settings:
    """An empty home whose MLflow store is ready."""
    here.home.mkdir(parents=True)
    shutil.copy(empty_registry, here.home / "mlflow.db")
    return here


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """References of a tiny ``encoder`` and a tiny causal language model (``reranker``)."""
    from tests.support.tiny import tiny_causal_lm, tiny_encoder

    folder = tmp_path_factory.mktemp("models")
    return {
        "encoder": f"path:{tiny_encoder(folder / 'encoder')}",
        "reranker": f"path:{tiny_causal_lm(folder / 'reranker')}",
    }


@pytest.fixture(scope="session")
def base_model(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> "ResolvedModel":
    """The weights of the tiny causal language model."""
    from belink import weights

    return weights.resolve(models["reranker"], tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def float32() -> Iterator[None]:
    """Compute in float32 although the processor may have bfloat16: answers are compared to four digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("belink.weights._cpu_has_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="session")
def served_home(tmp_path_factory: pytest.TempPathFactory, models: dict[str, str], empty_registry: Path) -> "Made":
    """A home from which bundles of tiny models can be registered and served."""
    from tests.support.serving import made

    return made(tmp_path_factory.mktemp("served"), models, empty_registry)


@pytest.fixture(scope="session")
def refreshed_homes(
    tmp_path_factory: pytest.TempPathFactory, models: dict[str, str], empty_registry: Path, prefect_server: Path
) -> "Homes":
    """Homes of the small linker after one or two refreshes, which take seconds; copying one takes a fraction."""
    from tests.support.small import Homes

    return Homes(tmp_path_factory.mktemp("refreshed"), models, empty_registry)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Prefect API of this session's own, without the second that each flow waits for its heartbeat.

    The folder holds ``empty.db``, a Prefect database in which nothing has run: making one takes five seconds.
    """
    from prefect.settings import (
        PREFECT_API_DATABASE_CONNECTION_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_HOME,
        PREFECT_LOCAL_STORAGE_PATH,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    home = tmp_path_factory.mktemp("prefect")
    updates = {
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_HOME: home,
        PREFECT_LOCAL_STORAGE_PATH: home / "storage",
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with temporary_settings(updates=updates), prefect_test_harness(server_startup_timeout=300):
        database = PREFECT_API_DATABASE_CONNECTION_URL.value().partition("///")[2]
        # A plain copy would miss what still stands in the log beside it.
        with closing(sqlite3.connect(database)) as full, closing(sqlite3.connect(home / "empty.db")) as copy:
            full.backup(copy)
        yield home
