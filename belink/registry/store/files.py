"""Files that the store holds, or an object store beside it: fetched, read and sent."""

import threading
from pathlib import Path

from belink import artefacts
from belink.registry.store.connection import local_folder, one_line, pointed_at
from belink.settings import Settings, without_password

_reading = threading.Lock()  # MLflow's module-level functions point at one store at a time


def download_model(settings: Settings, uri: str, folder: Path) -> None:
    """Download the files of the model ``uri`` to ``folder``."""
    import mlflow

    with pointed_at(settings):
        mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))


def read_part(settings: Settings, address: str, part: str) -> str | None:
    """Return the text of one file of the model stored at ``address``; ``None`` where it has no such file."""
    local = local_folder(address)
    if local is not None:
        path = local / part
        return path.read_text(encoding="utf-8") if path.is_file() else None
    import mlflow
    from mlflow.exceptions import MlflowException

    with _reading, pointed_at(settings):
        try:
            return str(mlflow.artifacts.load_text(f"{address.rstrip('/')}/{part}"))
        except (MlflowException, OSError):
            return None


def upload(settings: Settings, folder: Path, address: str) -> None:
    """Upload the files of ``folder`` to an artifact store; its manifest last, so that half a bundle is none."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with pointed_at(settings), one_line(f"{without_password(address)}: the bundle could not be stored"):
        store = get_artifact_repository(address)
        manifest = folder / artefacts.MANIFEST
        # `log_artifacts` sends a folder in no promised order, so the files are sent one by one.
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != manifest):
            below = str(path.parent.relative_to(folder))
            store.log_artifact(str(path), None if below == "." else below)  # type: ignore[no-untyped-call]
        store.log_artifact(str(manifest))  # type: ignore[no-untyped-call]


def download(settings: Settings, address: str, folder: Path) -> None:
    """Download what lies at ``address`` in an artifact store into ``folder``."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with pointed_at(settings), one_line(f"{without_password(address)}: the bundle could not be fetched"):
        get_artifact_repository(address).download_artifacts("", dst_path=str(folder))  # type: ignore[no-untyped-call]
