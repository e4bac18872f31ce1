"""The registered versions of a linker, all of them, and how one is forgotten; ``registry.py`` says which one counts."""

from dataclasses import dataclass
from pathlib import Path

from belink.errors import RegistryError
from belink.registry import aliases as registry
from belink.registry import bundles
from belink.registry.store import (
    BUNDLE,
    drop_run,
    local_folder,
    locked_everywhere,
    may_hold_anything,
    one_line,
    pointed_at,
    setup,
)
from belink.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Version:
    """One registered bundle."""

    number: str
    key: str  # of the bundle
    aliases: tuple[str, ...]
    folder: Path | None  # of the logged model, where the store lies on this machine


def registered(settings: Settings, linker: str) -> list[Version]:
    """The versions of ``linker``, the newest first."""
    if not may_hold_anything(settings):
        return []
    client = setup(settings)
    named = registry.aliases(settings, linker)
    with one_line(f"{linker}: its versions cannot be listed"):
        found = client.search_model_versions(f"name = '{linker}'", max_results=10_000)
        return [
            Version(
                number=str(each.version),
                key=each.tags.get(BUNDLE, ""),
                aliases=tuple(sorted(alias for alias, version in named.items() if version == str(each.version))),
                folder=local_folder(str(client.get_model_version_download_uri(linker, str(each.version)))),
            )
            for each in sorted(found, key=lambda each: int(each.version), reverse=True)
        ]


def bundle_here(settings: Settings, linker: str, version: Version) -> Path | None:
    """The folder of a version's bundle, where it can be had without fetching it.

    :raises BundleError: it is referenced, and not there.
    :raises RegistryError: the store has lost it.
    """
    if version.folder is None:
        return None
    return bundles.bundle_in(settings, version.folder, f"{linker} version {version.number}")


def forget(settings: Settings, linker: str, number: str) -> None:
    """Remove a version with its run, model and, where the store lies on this machine, their files.

    On a server elsewhere the files stay until its operator runs ``mlflow gc``.

    :raises RegistryError: an alias names it.
    """
    client = setup(settings)
    with one_line(f"{linker}: version {number} could not be removed"), pointed_at(settings):
        # Under the lock, so that nobody promotes it between the look and the removal.
        with locked_everywhere(settings, client, f"promote-{linker}"):
            named = [alias for alias, version in registry.aliases(settings, linker).items() if version == number]
            if named:
                raise RegistryError(f"{linker} version {number}: expected no alias on it, found {', '.join(named)}")
            run_id = str(client.get_model_version(linker, number).run_id)
            client.delete_model_version(linker, number)
        drop_run(client, run_id)
