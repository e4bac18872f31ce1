"""The MLflow store, made ready, and a bundle logged into it; ``registry.py`` says which version counts.

A SQLite store is created aside and moved into place: one whose migration was killed half-way is ruined for good, and
so is one that two processes migrate at once.
"""

import logging
import os
import random
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from belink import artefacts
from belink.errors import RegistryError, first_line
from belink.registry.lookup import sqlite_file
from belink.settings import Settings, environment_restored, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "belink"
LEASE = 30.0  # seconds; moving an alias takes one
BUNDLE, KIND, HOME = "belink.bundle", "belink.kind", "belink.home"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run tells MLflow besides the bundle."""

    params: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)  # names without "@"
    reports: Mapping[str, str] = field(default_factory=dict)  # file name → text
    datasets: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # name → (where from, sha256)
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""  # Markdown
    share_restricted: bool = False  # a server may hold releases that are not redistributable


def setup(settings: Settings) -> "MlflowClient":
    """A client for ``settings.tracking_uri`` whose store is ready for several processes at once.

    :raises RegistryError: the store cannot be reached, or has another MLflow's schema.
    """
    # Read by mlflow while it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # standard output is the answer's
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default waits for minutes
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    uri = settings.tracking_uri
    database = sqlite_file(uri)
    if database is not None and not database.exists():
        with locked(settings, "registry"):
            if not database.exists():
                create_database(database)
    with one_line(f"{without_password(uri)}: the MLflow store cannot be used"):
        client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        if client.get_experiment_by_name(EXPERIMENT) is None:
            with locked(settings, "registry"):
                if client.get_experiment_by_name(EXPERIMENT) is None:
                    # A server decides where artifacts lie; a bare database would put them below the current folder.
                    local = None if uri.startswith("http") else (settings.home / "artifacts").as_uri()
                    client.create_experiment(EXPERIMENT, artifact_location=local)
    return client


def log_bundle(
    client: "MlflowClient", settings: Settings, stored: Path, manifest: Mapping[str, Any], record: RunRecord
) -> tuple[str, str, str]:
    """A finished run with the model logged in it: (run id, model URI, model id). To be called :func:`pointed_at`.

    :param stored: the bundle, or the folder with its reference.
    """
    import mlflow
    from mlflow.data.dataset_source_registry import resolve_dataset_source
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import LoggedModelInput

    linker, key = manifest["linker"], manifest["key"]
    experiment = _experiment(client)
    tags = {**record.tags, BUNDLE: key, KIND: "refresh", HOME: _here(settings)}
    with (
        mlflow.start_run(
            experiment_id=experiment, run_name=f"{linker}-{key}", tags=tags, log_system_metrics=False
        ) as run,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # advice for authors of models, not for those who refresh one
        mlflow.log_params({name: str(value)[:6000] for name, value in record.params.items()})
        for name, content in record.reports.items():
            mlflow.log_text(content, name)
        logged = mlflow.pyfunc.log_model(
            name=linker,
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"bundle": str(stored)},
            pip_requirements=[f"belink=={manifest['belink']}", f"mlflow=={mlflow.__version__}"],
            metadata={"lineage": manifest["lineage"]},
            params={name: str(manifest["lineage"][name]) for name in ("index", "adapter", "bundle")},
        )
        # Of the model, and so of the run too: MLflow's page compares models by these.
        mlflow.log_metrics(dict(record.metrics), model_id=logged.model_id)
        for name, (source, sha256) in record.datasets.items():
            dataset = MetaDataset(resolve_dataset_source(source), name=name, digest=sha256[:36])  # type: ignore[abstract]
            model = LoggedModelInput(model_id=logged.model_id)
            mlflow.log_input(dataset, context="refresh", tags={"sha256": sha256}, model=model)
        return run.info.run_id, logged.model_uri, logged.model_id


def _experiment(client: "MlflowClient") -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        raise RegistryError(f"expected the experiment {EXPERIMENT} in MLflow, found none; was it deleted meanwhile?")
    return str(found.experiment_id)


def download_model(settings: Settings, uri: str, folder: Path) -> None:
    """Bring the files of the model ``uri`` from the store to ``folder``."""
    import mlflow

    with pointed_at(settings):
        mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))


def read_part(settings: Settings, address: str, part: str) -> str | None:
    """The text of one file of the model stored at ``address``, without the rest of it; ``None`` where it has none."""
    local = local_folder(address)
    if local is not None:
        path = local / part
        return path.read_text(encoding="utf-8") if path.is_file() else None
    import mlflow
    from mlflow.exceptions import MlflowException

    with pointed_at(settings):
        try:
            return str(mlflow.artifacts.load_text(f"{address.rstrip('/')}/{part}"))
        except (MlflowException, OSError):
            return None


def upload(settings: Settings, folder: Path, address: str) -> None:
    """Bring the files of ``folder`` to an artifact store; its manifest last, so that half a bundle is none."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with pointed_at(settings), one_line(f"{without_password(address)}: the bundle could not be stored"):
        store = get_artifact_repository(address)
        manifest = folder / artefacts.MANIFEST
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != manifest):
            below = str(path.parent.relative_to(folder))
            store.log_artifact(str(path), None if below == "." else below)  # type: ignore[no-untyped-call]
        store.log_artifact(str(manifest))  # type: ignore[no-untyped-call]


def download(settings: Settings, address: str, folder: Path) -> None:
    """Bring what lies at ``address`` in an artifact store into ``folder``."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with pointed_at(settings), one_line(f"{without_password(address)}: the bundle could not be fetched"):
        get_artifact_repository(address).download_artifacts("", dst_path=str(folder))  # type: ignore[no-untyped-call]


@contextmanager
def pointed_at(settings: Settings) -> Iterator[None]:
    """MLflow's module-level functions work on this store; afterwards on none, and no child process inherits it.

    Registering needs it too: the SQLite store looks up a logged model through them.
    """
    import mlflow

    with environment_restored("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        mlflow.set_tracking_uri(settings.tracking_uri)
        mlflow.set_registry_uri(settings.tracking_uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
            mlflow.set_registry_uri(None)  # type: ignore[arg-type]


def drop_unfinished(client: "MlflowClient", settings: Settings, linker: str, key: str) -> None:
    """Remove what a killed registration of the same bundle, from this home, left in the store."""
    experiment = _experiment(client)
    mine = f"tags.`{BUNDLE}` = '{key}' AND tags.`{HOME}` = '{_here(settings)}'"
    for run in client.search_runs([experiment], mine):
        if client.search_model_versions(f"name = '{linker}' AND run_id = '{run.info.run_id}'"):
            continue
        log.info("%s: removing the unfinished run %s", linker, run.info.run_id)
        drop_run(client, run.info.run_id)


def drop_run(client: "MlflowClient", run_id: str) -> None:
    """Remove a run and the models logged in it, with their files where the store lies on this machine."""
    models = client.search_logged_models([_experiment(client)], filter_string=f"source_run_id = '{run_id}'")
    folders = [local_folder(str(client.get_run(run_id).info.artifact_uri))]
    for model in models:
        folders.append(local_folder(str(model.artifact_location)))
        client.delete_logged_model(model.model_id)
    client.delete_run(run_id)
    for folder in folders:
        if folder is not None:
            shutil.rmtree(folder.parent, ignore_errors=True)


def ensure_model(client: "MlflowClient", linker: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(linker, tags={KIND: "linker"})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        if KIND not in client.get_registered_model(linker).tags:
            raise RegistryError(
                f"{linker}: expected a linker of belink in the registry, found somebody else's model of that name; "
                "name the linker differently"
            ) from error


def local_folder(address: str) -> Path | None:
    """The folder that an artifact's address names on this machine, there or not; ``None`` for one elsewhere."""
    parsed = urlparse(address)
    if parsed.scheme not in ("", "file"):
        return None
    return Path(unquote(parsed.path))


def create_database(database: Path) -> None:
    """An MLflow database with the newest schema; made aside, since one half migrated is ruined for good."""
    from mlflow.store.db import utils

    database.parent.mkdir(parents=True, exist_ok=True)
    for left in database.parent.glob(f".tmp-{database.name}-*"):
        left.unlink()
    aside = database.parent / f".tmp-{database.name}-{os.getpid()}"
    engine = utils.create_sqlalchemy_engine_with_retry(f"sqlite:///{aside}")  # type: ignore[no-untyped-call]
    utils._initialize_tables(engine)  # type: ignore[no-untyped-call]
    engine.dispose()
    aside.rename(database)


def may_hold_anything(settings: Settings) -> bool:
    """Whether it is worth asking: a local database that was never made holds nothing, and reading makes none."""
    database = sqlite_file(settings.tracking_uri)
    return database is None or database.exists()


@contextmanager
def locked(settings: Settings, name: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    settings.locks.mkdir(parents=True, exist_ok=True)
    path = settings.locks / f"{name}.lock"
    try:
        with FileLock(path, timeout=120):
            yield
    except Timeout as error:
        raise RegistryError(
            f"{path}: another process has held it for two minutes; try again once it is done"
        ) from error


@contextmanager
def locked_everywhere(settings: Settings, client: "MlflowClient", name: str) -> Iterator[None]:
    """Like :func:`locked`, and for those too who work with the same registry on another machine or in another home.

    MLflow has no lock, but of two that make a model of one name, one is refused. A holder that dies leaves it behind:
    who has seen the same one for ``LEASE`` seconds by a clock that cannot be set takes it away.
    """
    lock = f"{name}.lock"
    with locked(settings, name):
        seen, since = None, time.monotonic()
        while (made := _made_lock(client, lock)) is not None:
            if made != seen:
                seen, since = made, time.monotonic()
            elif time.monotonic() - since > LEASE:
                log.warning("%s: taking it from a process that died with it", lock)
                with _unless_gone():  # another who waits was first
                    client.delete_registered_model(lock)
            time.sleep(random.uniform(0.05, 0.25))  # noqa: S311 (no secret: two that wait shall not keep in step)
        try:
            yield
        finally:
            client.delete_registered_model(lock)


def _made_lock(client: "MlflowClient", lock: str) -> int | None:
    """``None`` once the lock is ours; else when the one that is there was made, 0 if it was given back meanwhile."""
    from mlflow.exceptions import MlflowException

    made: int | None = 0
    with _unless_gone():  # MLflow, too, looks for what it refuses to make again
        try:
            client.create_registered_model(lock, tags={KIND: "lock"})
            made = None
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            made = int(client.get_registered_model(lock).creation_timestamp)
    return made


@contextmanager
def _unless_gone() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


@contextmanager
def one_line(what: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, shutil.Error) as error:
        said = f"{what}: {first_line(error, 300)}"
        # MLflow's messages hold the whole address; a cause that holds a password must not reach any log.
        raise RegistryError(without_password(said)) from (error if without_password(str(error)) == str(error) else None)


def _here(settings: Settings) -> str:
    import socket

    return f"{socket.gethostname()}:{settings.home}".replace("'", "")
