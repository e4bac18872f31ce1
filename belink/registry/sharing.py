"""Which bundles may go where: a licence may keep an ontology to the licensee."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from belink import artefacts
from belink.declarations import LinkerConfig
from belink.errors import RegistryError
from belink.settings import Settings, without_password


def check_sharing(settings: Settings, linker: LinkerConfig, restricted: Sequence[str], *, allowed: bool) -> None:
    """Keep what a licence keeps to the licensee off servers, unless the licensee says otherwise.

    :param restricted: ontologies of the linker that are not redistributable.
    :raises RegistryError: the bundle would go to a server, and that was not allowed.
    """
    elsewhere = [address for address in (settings.tracking_uri, linker.storage.address) if is_elsewhere(address)]
    if restricted and elsewhere and not allowed:
        raise RegistryError(
            f"{linker.name}: expected ontologies that may be passed on, found {', '.join(restricted)} "
            f"(redistributable = false) on the way to {without_password(elsewhere[0])}; where everyone who can read "
            "that server holds the licence, say --share-restricted (share_restricted in a deployment)"
        )


def is_elsewhere(address: str) -> bool:
    """Whether what is stored at ``address`` leaves this machine and the folders it mounts."""
    scheme = urlsplit(address).scheme.partition("+")[0]
    # A database holds metadata only: its bundles lie in the home, see `store.connection.setup`.
    return scheme not in ("", "file", "sqlite", "postgresql", "mysql", "mssql")


def restricted_releases(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return the ontologies of a bundle whose releases are not redistributable."""
    manifests = {name: artefacts.read_manifest(folder / "releases" / name) for name in manifest["releases"]}
    return [name for name, release in manifests.items() if not release.get("redistributable", True)]
