"""All registered versions of a linker, and the removal of one; ``aliases`` says which one counts."""

from dataclasses import dataclass
from pathlib import Path

from belink.errors import RegistryError
from belink.registry import aliases, bundles
from belink.registry.store import Store, local_folder, may_hold_anything, one_line
from belink.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Version:
    """One registered bundle."""

    number: str
    key: str  # of the bundle
    aliases: tuple[str, ...]
    folder: Path | None  # of the logged model, where the store lies on this machine


def registered(settings: Settings, linker: str) -> list[Version]:
    """Return the versions of ``linker``, the newest first."""
    if not may_hold_anything(settings):
        return []
    store = Store(settings)
    with one_line(f"{linker}: its versions cannot be listed"):
        named = aliases.aliases(settings, linker)
        return [
            Version(
                number=version.number,
                key=version.bundle,
                aliases=tuple(sorted(alias for alias, number in named.items() if number == version.number)),
                folder=local_folder(store.address(linker, version.number)),
            )
            for version in store.versions(linker)
        ]


def bundle_here(settings: Settings, linker: str, version: Version) -> Path | None:
    """Return the folder of a version's bundle; ``None`` where it cannot be had without fetching it.

    :raises BundleError: it is referenced, and not there.
    :raises RegistryError: the store has lost it.
    """
    if version.folder is None:
        return None
    return bundles.bundle_in(settings, version.folder, f"{linker} version {version.number}")


def forget(settings: Settings, linker: str, number: str) -> None:
    """Remove a version with its run, its model and those of their files that lie in this home.

    On a server, and in a registry that several homes share, other files stay until its operator runs ``mlflow gc``.

    :raises RegistryError: an alias names it.
    """
    store = Store(settings)
    with one_line(f"{linker}: version {number} could not be removed"):
        # Under the lock, so that nobody promotes it between the look and the removal.
        with store.locked(f"promote-{linker}"):
            named = [alias for alias, version in store.aliases(linker).items() if version == number]
            if named:
                raise RegistryError(f"{linker} version {number}: expected no alias on it, found {', '.join(named)}")
            run_id = store.version(linker, number).run_id
            store.delete_version(linker, number)
        # The run goes last: a kill in between leaves a run that no version names, and never a version without files.
        store.drop_run(run_id)


def unregistered_runs(settings: Settings, linker: str) -> list[tuple[str, list[Path]]]:
    """Return the ended runs that hold a bundle without a version, each with its folders in this home."""
    if not may_hold_anything(settings):
        return []
    with one_line(f"{linker}: its runs cannot be listed"):
        return Store(settings).unregistered_runs(linker)


def forget_run(settings: Settings, linker: str, run_id: str) -> None:
    """Remove a run that no version names; see :func:`unregistered_runs`."""
    with one_line(f"{linker}: the run {run_id} could not be removed"):
        Store(settings).drop_run(run_id)
