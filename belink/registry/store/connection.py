"""The MLflow store, made ready: a client for it, and its errors in one line.

A SQLite store is created aside and moved into place: one whose migration was killed half-way is ruined for good, and
so is one that two processes migrate at once.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from belink import artefacts
from belink.errors import RegistryError, first_line
from belink.registry.lookup import sqlite_file
from belink.registry.moved import put_right
from belink.settings import Settings, environment_restored, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "belink"
NOTE = "mlflow.note.content"  # the tag that MLflow shows as the description of an experiment or a run
_KIND_OF_EXPERIMENT = "mlflow.experimentKind"  # without it, MLflow's page asks each reader
_EXPERIMENT_NOTE = (
    "One run is one refresh of a linker; a run that registered a version bears its number.\n\n"
    "- Metrics without a slash are the version's on held-out mentions, `champion_…` those of the champion of that time "
    "on the same mentions.\n"
    "- `encoder/…` and `lora/…` are curves of the two trainings, `validation_…` of them on held-out samples.\n"
    "- Parameters are the linker's declaration, and the keys and sha256 of what the version is made of.\n"
    "- Artifacts: `report.html` and `model_card.md` first, then `gates.md`, `diff-*.md`, `impact-*.md`, `index.md`."
)
_opened: set[str] = set()  # addresses of this process, whose passwords no message shows


def asked_store() -> str:
    """Return the address of the store that MLflow asks in this process."""
    import mlflow

    return str(mlflow.get_registry_uri())


def setup(settings: Settings) -> "MlflowClient":
    """Return a client for ``settings.tracking_uri``, with the store made ready for several processes at once.

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
    # It logs each error of the database with a traceback, which may quote a password, and then raises it.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    uri = settings.tracking_uri
    _opened.add(uri)
    put_right(settings)
    database = sqlite_file(uri)
    if database is not None and not database.exists():
        with locked(settings, "registry"):
            # Another process may have made the database while this one waited for the lock.
            if not database.exists():
                create_database(database)
    with one_line(f"{without_password(uri)}: the MLflow store cannot be used"):
        client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        if client.get_experiment_by_name(EXPERIMENT) is None:
            with locked(settings, "registry"):
                if client.get_experiment_by_name(EXPERIMENT) is None:
                    # A server decides where artifacts lie; a bare database would put them below the current folder.
                    local = None if uri.startswith("http") else (settings.home / "artifacts").as_uri()
                    client.create_experiment(
                        EXPERIMENT,
                        local,
                        tags={NOTE: _EXPERIMENT_NOTE, _KIND_OF_EXPERIMENT: "custom_model_development"},
                    )
    return client


@contextmanager
def pointed_at(settings: Settings) -> Iterator[None]:
    """Let MLflow's module-level functions work on this store; afterwards on none, and no child process inherits it.

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


def create_database(database: Path) -> None:
    """Make an MLflow database with the newest schema; aside, since one half migrated is ruined for good."""
    from mlflow.store.db import utils

    database.parent.mkdir(parents=True, exist_ok=True)
    # The caller holds the lock `registry`, so these files belong to a process that died.
    for left in database.parent.glob(f".tmp-{database.name}-*"):
        left.unlink()
    with artefacts.atomic_write(database) as aside:
        engine = utils.create_sqlalchemy_engine_with_retry(f"sqlite:///{aside}")  # type: ignore[no-untyped-call]
        utils._initialize_tables(engine)  # type: ignore[no-untyped-call]
        # SQLite keeps the file open otherwise, and the file is moved next.
        engine.dispose()


def may_hold_anything(settings: Settings) -> bool:
    """Whether the registry can hold anything: a local database that was never made does not, and none is made."""
    database = sqlite_file(settings.tracking_uri)
    return database is None or database.exists()


def local_folder(address: str) -> Path | None:
    """Return the folder that an artifact's address names on this machine, there or not; ``None`` for one elsewhere."""
    parsed = urlparse(address)
    # MLflow writes both plain paths and percent-encoded `file:` URIs.
    if parsed.scheme not in ("", "file"):
        return None
    return Path(unquote(parsed.path))


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Raise what MLflow or its database raises as one line that begins with ``what`` and shows no password.

    :raises RegistryError: the block failed.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, shutil.Error) as error:
        said = f"{what}: {_reason(error)}"
        # Drivers quote the address or pieces of it; a cause that holds a password must not reach any log.
        shown, cause = (without_password(text, of=_opened) for text in (said, str(error)))
        raise RegistryError(shown) from (error if cause == str(error) else None)


def _reason(error: Exception) -> str:
    """Return the line of an error of MLflow or its database that says what happened."""
    # SQLAlchemy begins with what it was doing: "(raised as a result of Query-invoked autoflush; …)".
    said = str(error).partition("\n")[2] if str(error).startswith("(raised as a result of") else str(error)
    if "database or disk is full" in said:
        return (
            "expected room on the registry's disk, found none; free some (belink gc lists what nothing needs), then "
            "repeat the command"
        )
    return first_line(Exception(said or error), 300)


@contextmanager
def locked(settings: Settings, name: str) -> Iterator[None]:
    """Keep out whoever asks for the same lock in this home; a process that dies lets go of it.

    :raises RegistryError: another process has held it for two minutes.
    """
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
