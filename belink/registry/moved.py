"""A home that was moved or copied: the addresses in its registry are corrected on first use.

MLflow writes absolute addresses into its database. In a moved home they lead nowhere, in a copied one to the original.
Each opening of a home's own database checks where it says that artifacts lie. If that is not below this home, the
addresses are rewritten in one transaction. A registry that several homes share is left as it is.
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from belink.errors import RegistryError
from belink.settings import Settings, load

_EXPERIMENT = "belink"
_ADDRESSES = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
    ("experiments", "artifact_location"),
)
log = logging.getLogger(__name__)


def put_right(settings: Settings) -> bool:
    """Rewrite the addresses in the database of a home that was moved or copied; return whether any was rewritten.

    :raises RegistryError: the database cannot be written.
    """
    database = settings.home / "mlflow.db"
    # Only the home's own database is rewritten. Other homes may use any other, and its addresses may be right for them.
    if settings.tracking_uri != f"sqlite:///{database}" or not database.is_file():
        return False
    artifacts = settings.home / "artifacts"
    before = _location(database)
    if before is None or before == artifacts.as_uri() or _is_same_folder(before, artifacts):
        return False
    try:
        with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
            # This takes the write lock at once. A second process that read the same old address then finds nothing left
            # to rewrite.
            connection.execute("BEGIN IMMEDIATE")
            for table, column in _ADDRESSES:
                # `substr` and not LIKE: addresses may hold `%` and `_`, which are wildcards there, and LIKE ignores
                # case.
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 (names of this module)
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (artifacts.as_uri(), len(before) + 1, before, len(before) + 1, f"{before}/"),
                )
    except sqlite3.OperationalError as error:
        raise RegistryError(
            f"{database}: expected to write where the artifacts of this home lie now, since it was moved or copied, "
            f"found {error}; run belink status once as somebody who may write there"
        ) from error
    log.info("%s: was moved or copied from %s; its registry is put right", settings.home, before)
    return True


def own_copy(tracking_uri: str, folder: Path) -> tuple[Settings, Path]:
    """Return the settings of the home whose registry MLflow asked, and that home's own copy of ``folder``.

    MLflow follows the addresses of its database before it calls belink. So in a copied home, the first model that it
    loads lies in the original. The copy is used instead, and the addresses are rewritten.

    :param folder: in a stored model, as MLflow found it.
    """
    database = Path(tracking_uri.removeprefix("sqlite:///"))
    home = database.parent
    if not tracking_uri.startswith("sqlite:///") or database.name != "mlflow.db" or not (home / "artifacts").is_dir():
        return load(), folder
    settings = load(home, tracking_uri)
    if folder.is_relative_to(home):
        return settings, folder
    # Folders above the original home may be named "artifacts" too, so every such part is tried.
    rests = (Path(*folder.parts[at + 1 :]) for at, part in enumerate(folder.parts) if part == "artifacts")
    own = next((path for rest in rests if (path := home / "artifacts" / rest).is_dir() and rest.parts), None)
    if own is None:
        return load(), folder
    put_right(settings)
    log.info("%s: read from this home instead of %s, which it was copied from", own, folder)
    return settings, own


def _location(database: Path) -> str | None:
    """Return where the database says that artifacts lie; ``None`` where it says nothing, or is not read like that."""
    query = "SELECT artifact_location FROM experiments WHERE name = ?"
    try:
        # as_uri() quotes "?" and "#", which would end the path in a SQLite URI.
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            row = connection.execute(query, (_EXPERIMENT,)).fetchone()
    except sqlite3.Error:
        return None  # damaged or another schema: whoever asks it next says so
    return None if row is None or row[0] is None else str(row[0])


def _is_same_folder(address: str, folder: Path) -> bool:
    """Whether an address leads to ``folder`` by another name, such as a symbolic link."""
    parsed = urlparse(address)
    path = Path(unquote(parsed.path))
    return parsed.scheme in ("", "file") and path.exists() and folder.exists() and path.samefile(folder)
