"""The one door to MLflow: everything else of belink asks :class:`Store`, in belink's own terms.

Read ``registered`` first: linkers, their versions, tags and aliases. ``runs`` brings a bundle in, ``files`` moves
files, ``locks`` keeps two homes from moving one alias at once, ``connection`` makes the store ready. No MLflow object
leaves this package.
"""

from belink.registry.store.connection import (
    EXPERIMENT,
    asked_store,
    create_database,
    local_folder,
    may_hold_anything,
    one_line,
    setup,
)
from belink.registry.store.files import download, download_model, read_part, upload
from belink.registry.store.registered import Store, StoredVersion
from belink.registry.store.runs import RunRecord

__all__ = [
    "EXPERIMENT",
    "RunRecord",
    "Store",
    "StoredVersion",
    "asked_store",
    "create_database",
    "download",
    "download_model",
    "local_folder",
    "may_hold_anything",
    "one_line",
    "read_part",
    "setup",
    "upload",
]
