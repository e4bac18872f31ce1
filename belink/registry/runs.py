"""The MLflow run of a refresh: open while it runs, and the addresses of MLflow's pages."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from belink.progress import Record
from belink.registry.store import Store, one_line
from belink.settings import Settings, without_password


@contextmanager
def open_run(settings: Settings, linker: str, started: float) -> Iterator[str]:
    """Give the id of the run of a refresh, open while the block runs; it ends as FINISHED, FAILED or KILLED.

    :param started: when the refresh began, in seconds since 1970.
    :raises RegistryError: the registry cannot be reached.
    """
    store = Store(settings)
    with ExitStack() as run:
        # Around the opening alone: what the block raises is not the registry's.
        with one_line(f"{linker}: MLflow did not open a run"):
            run_id = run.enter_context(store.open_run(linker, started))
        yield run_id


def recorder(settings: Settings, run_id: str) -> Record | None:
    """Return a function that writes a metric into an open run (name, value, step); ``None`` where none is open."""
    return Store(settings).recorder(run_id) if run_id else None


def version_page(settings: Settings, linker: str, version: str) -> str | None:
    """Return the address of a version's page on the MLflow server; ``None`` for a registry without one."""
    server = _server(settings)
    return server and f"{server}/#/models/{linker}/versions/{version}"


def run_page(settings: Settings, run_id: str) -> str | None:
    """Return the address of a run's page on the MLflow server; ``None`` for a registry without one."""
    server = _server(settings) if run_id else None
    return server and f"{server}{Store(settings).run_page(run_id)}"


def _server(settings: Settings) -> str | None:
    """Return the address of the MLflow server, without its password; ``None`` for a registry that is none."""
    address = settings.tracking_uri
    return without_password(address).rstrip("/") if address.startswith("http") else None
