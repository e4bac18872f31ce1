"""Locks for those who work with the same registry, on this machine and on others."""

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from belink.registry.store.connection import locked
from belink.registry.tags import KIND
from belink.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

LEASE = 30.0  # seconds; moving an alias takes one

log = logging.getLogger(__name__)


@contextmanager
def locked_everywhere(settings: Settings, client: "MlflowClient", name: str) -> Iterator[None]:
    """Keep out whoever asks for the same lock, in this home or with the same registry anywhere else.

    The lock is a registered model: MLflow refuses a second one of the same name. A holder that dies leaves it behind.
    A waiter that has seen the same lock for ``LEASE`` seconds, by its monotonic clock, removes it.
    """
    lock = f"{name}.lock"
    with locked(settings, name):
        seen, since = None, time.monotonic()
        # The lock's age is measured from when this process first saw it. Clocks of two machines can differ by more than
        # `LEASE`.
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
    """Return ``None`` once the lock is ours; else when the present one was made, 0 if it was given back meanwhile."""
    from mlflow.exceptions import MlflowException

    made: int | None = 0
    with _unless_gone():  # MLflow, too, looks for what it refuses to make again
        try:
            # The tag keeps locks out of lists of linkers. The name is unique in MLflow's database, which makes creation
            # atomic.
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
