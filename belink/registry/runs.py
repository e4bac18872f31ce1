"""The MLflow run of a refresh: open while it runs, and the addresses of MLflow's pages."""

from collections.abc import Iterator
from contextlib import contextmanager

from belink.registry.store import Record, Store, one_line
from belink.settings import Settings, without_password


@contextmanager
def open_run(settings: Settings, linker: str, started: float) -> Iterator[str]:
    """Give the id of the run of a refresh, open while the block runs; it ends as FINISHED, FAILED or KILLED.

    :param started: when the refresh began, in seconds since 1970.
    :raises RegistryError: the registry cannot be reached.
    """
    store = Store(settings)
    run = store.open_run(linker, started)
    with one_line(f"{linker}: MLflow did not open a run"):
        run_id = run.__enter__()
    try:
        yield run_id
    except BaseException as error:
        run.__exit__(type(error), error, error.__traceback__)
        raise
    run.__exit__(None, None, None)


def recorder(settings: Settings, run_id: str) -> Record | None:
    """Return a function that writes a metric into an open run (name, value, step); ``None`` where none is open."""
    return Store(settings).recorder(run_id) if run_id else None


def version_page(settings: Settings, linker: str, version: str) -> str | None:
    """Return the address of a version's page on the MLflow server; ``None`` for a registry without one."""
    if not settings.tracking_uri.startswith("http"):
        return None
    return f"{without_password(settings.tracking_uri).rstrip('/')}/#/models/{linker}/versions/{version}"


def run_page(settings: Settings, run_id: str) -> str | None:
    """Return the address of a run's page on the MLflow server; ``None`` for a registry without one."""
    if not run_id or not settings.tracking_uri.startswith("http"):
        return None
    return f"{without_password(settings.tracking_uri).rstrip('/')}{Store(settings).run_page(run_id)}"
