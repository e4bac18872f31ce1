"""Where a registered bundle lies: in the registry's store, or by reference somewhere else.

A large bundle is stored once, outside the registry, and named in it by address and sha256: a linker's TOML says above
which size and where, a folder that all machines share or an object store. What MLflow then holds is ``reference.json``;
its sha256 is the manifest's, which has that of every file.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from belink import artefacts, manifests
from belink.declarations import StorageConfig
from belink.errors import BelinkError, BundleError, RegistryError
from belink.linker import bundle
from belink.registry.store import download, download_model, local_folder, upload
from belink.settings import Settings, without_password

REFERENCE = "reference.json"
GROUP = "linkers.json"  # in place of a bundle: the linkers of a group, see `groups`


@contextmanager
def storable(settings: Settings, folder: Path, manifest: Mapping[str, Any], storage: StorageConfig) -> Iterator[Path]:
    """Yield the folder that MLflow is given for the bundle at ``folder``: itself, or one with a reference to it."""
    size = sum(int(file["size"]) for file in manifest["files"].values())
    if storage.by_reference_above_mib is None or size <= storage.by_reference_above_mib * 2**20:
        yield folder
        return
    root = storage.address or str(settings.home / "referenced")
    address = f"{root.rstrip('/')}/{manifest['linker']}/{manifest['key']}"
    local = local_folder(address)
    if local is None:
        upload(settings, folder, address)
    else:
        artefacts.adopt(folder, local)
    reference = {"uri": address, "sha256": artefacts.sha256(folder / artefacts.MANIFEST), "size": size}
    with tempfile.TemporaryDirectory() as temporary:
        # MLflow stores a folder under its base name. The key as the name lets `history` find the files of either form.
        named = Path(temporary) / str(manifest["key"])
        named.mkdir()
        (named / REFERENCE).write_text(json.dumps(reference, indent=1) + "\n", encoding="utf-8")
        yield named


def resolve(settings: Settings, folder: Path) -> Path:
    """Return the bundle itself: ``folder``, or what the reference in it names, which is then here and the right one.

    :raises BundleError: the reference cannot be read, or leads to nothing or to something else.
    """
    if not (folder / REFERENCE).is_file():
        return folder
    address, sha256 = _read_reference(folder)
    path = referenced_folder(settings, address) or _fetch_referenced(settings, address, sha256)
    if not artefacts.exists(path):
        raise BundleError(f"{without_password(address)}: expected a bundle, found none; was it moved? Roll back")
    # The manifest holds the sha256 of every other file, so this one sum covers the bundle. `Linker` checks the files.
    if artefacts.sha256(path / artefacts.MANIFEST) != sha256:
        raise BundleError(
            f"{without_password(address)}: expected the bundle whose manifest has sha256 {sha256[:16]}…, found "
            "another; roll back or refresh again"
        )
    return path


def _read_reference(folder: Path) -> tuple[str, str]:
    """Return the address and the sha256 of the manifest that a reference names."""
    try:
        reference = manifests.read_object(folder / REFERENCE)
        return str(reference["uri"]), str(reference["sha256"])
    except BelinkError as error:
        raise BundleError(f"{folder / REFERENCE}: expected uri and sha256 ({error}); refresh again") from error


def referenced_folder(settings: Settings, address: str) -> Path | None:
    """Return the folder on this machine that a reference names; ``None`` for one elsewhere.

    What lies in this home goes before the address: the home may be a copy of the one where the reference was written.
    """
    folder = local_folder(address)
    if folder is None:
        return None
    # The last two parts of an address are linker and key, see `storable`.
    own = settings.home / "referenced" / folder.parent.name / folder.name
    return own if artefacts.exists(own) else folder


def local_bundle(settings: Settings, model: Path, what: str) -> Path | None:
    """Return the bundle of the logged model in the folder ``model``; ``None`` for one that would have to be fetched.

    :raises RegistryError: it holds none, or several.
    """
    folder = _stored_in(model, what)
    if (folder / REFERENCE).is_file() and referenced_folder(settings, _read_reference(folder)[0]) is None:
        return None
    return resolve(settings, folder)


def _fetch_referenced(settings: Settings, address: str, sha256: str) -> Path:
    """Return the bundle at ``address``, fetched once into the cache."""
    target = settings.cache / "bundles" / sha256[:16]
    if not artefacts.exists(target):
        with artefacts.build(target) as aside:
            download(settings, address, aside)
    return target


def bundle_in(settings: Settings, model: Path, what: str) -> Path:
    """Return the bundle of the logged model that lies in the folder ``model``.

    :raises RegistryError: it holds none, or several.
    """
    return resolve(settings, _stored_in(model, what))


def _stored_in(model: Path, what: str) -> Path:
    """Return the folder in a logged model that holds the bundle, or the reference to it."""
    # `artifacts/` is where MLflow's pyfunc flavour puts the `artifacts` of `log_model`.
    folders = sorted(
        path.parent for path in (model / "artifacts").glob("*/*.json") if path.name in (artefacts.MANIFEST, REFERENCE)
    )
    if not folders and list((model / "artifacts").glob(f"*/{GROUP}")):
        raise RegistryError(f"{what}: expected a linker, found several registered as one; name them instead")
    if len(folders) != 1:
        raise RegistryError(f"{what}: expected one bundle in {model}, found {len(folders)}; roll back or refresh again")
    return folders[0]


def fetch(settings: Settings, linker: str, version: str, key: str) -> Path:
    """Return the bundle of a registry elsewhere, fetched into the home once and checked."""
    target = settings.home / "fetched" / linker / f"{version}-{key}"
    if artefacts.exists(target):
        return target
    with artefacts.build(target) as folder:
        # The download lies inside the unfinished artefact, so a killed fetch is cleaned up with it, and the renames
        # below stay on one file system.
        model = folder / "download"
        download_model(settings, f"models:/{linker}/{version}", model)
        found = bundle_in(settings, model, f"{linker} version {version}")
        bundle.check(found)
        for path in found.iterdir():
            # What was only referenced stays where it is, for other homes and for MLflow's own consumers.
            path.rename(folder / path.name) if found.is_relative_to(model) else artefacts.link_or_copy(
                path, folder / path.name
            )
        shutil.rmtree(model)
    return target
