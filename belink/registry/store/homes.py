"""Which runs in a store are a home's own, where several homes share the store.

A run is tagged with the identity of its home: a random word in the file ``identity``, and the home's path. The name of
the machine is no part of it, since a container has another one after each start.
"""

import secrets
import socket
from collections.abc import Mapping

from belink import artefacts
from belink.registry.lookup import sqlite_file
from belink.registry.store.connection import locked
from belink.registry.tags import HOME
from belink.settings import Settings

_IDENTITY = "identity"


def home_tag(settings: Settings) -> str:
    """Return the value of the tag ``HOME`` on runs of this home; its identity is made where it has none."""
    path = settings.home / _IDENTITY
    if not path.is_file():
        with locked(settings, "registry"):
            # Another process may have made it while this one waited for the lock.
            if not path.is_file():
                with artefacts.atomic_write(path) as aside:
                    aside.write_text(secrets.token_hex(8) + "\n", encoding="ascii")
    return f"{path.read_text(encoding='ascii').strip()}:{settings.home}"


def is_own(settings: Settings, tags: Mapping[str, str]) -> bool:
    """Whether a run with these tags is of this home.

    Every run in the home's own database is. Runs of an older belink are tagged with the machine's name instead of the
    identity.
    """
    database = sqlite_file(settings.tracking_uri)
    if database is not None and database.parent == settings.home:
        return True
    with_machine = f"{socket.gethostname()}:{settings.home}".replace("'", "")
    return tags.get(HOME) in (home_tag(settings), with_machine)
