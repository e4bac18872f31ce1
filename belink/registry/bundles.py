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

from belink import artefacts
from belink.declarations import StorageConfig
from belink.errors import BundleError, RegistryError
from belink.linker import bundle
from belink.registry.store import download, download_model, local_folder, upload
from belink.settings import Settings, without_password

REFERENCE = "reference.json"


@contextmanager
def storable(settings: Settings, folder: Path, manifest: Mapping[str, Any], storage: StorageConfig) -> Iterator[Path]:
    """The folder that MLflow is given for the bundle at ``folder``: itself, or one with a reference to it."""
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
        named = Path(temporary) / str(manifest["key"])
        named.mkdir()
        (named / REFERENCE).write_text(json.dumps(reference, indent=1) + "\n", encoding="utf-8")
        yield named


def resolve(settings: Settings, folder: Path) -> Path:
    """The bundle itself: ``folder``, or what the reference in it names, which is then here and the right one.

    :raises BundleError: the reference cannot be read, or leads to nothing or to something else.
    """
    if not (folder / REFERENCE).is_file():
        return folder
    try:
        reference = json.loads((folder / REFERENCE).read_text(encoding="utf-8"))
        address, sha256 = str(reference["uri"]), str(reference["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{folder / REFERENCE}: expected uri and sha256, found {error!r}; refresh again") from error
    found = local_folder(address) or _fetched(settings, address, sha256)
    if not artefacts.exists(found):
        raise BundleError(f"{without_password(address)}: expected a bundle, found none; was it moved? Roll back")
    if artefacts.sha256(found / artefacts.MANIFEST) != sha256:
        raise BundleError(
            f"{without_password(address)}: expected the bundle whose manifest has sha256 {sha256[:16]}…, found "
            "another; roll back or refresh again"
        )
    return found


def _fetched(settings: Settings, address: str, sha256: str) -> Path:
    """What lies at ``address``, fetched once into the cache."""
    target = settings.cache / "bundles" / sha256[:16]
    if not artefacts.exists(target):
        with artefacts.build(target) as aside:
            download(settings, address, aside)
    return target


def bundle_in(settings: Settings, model: Path, what: str) -> Path:
    """The bundle of a logged model that lies in the folder ``model``.

    :raises RegistryError: it holds none, or several.
    """
    found = sorted(
        path.parent for path in (model / "artifacts").glob("*/*.json") if path.name in (artefacts.MANIFEST, REFERENCE)
    )
    if len(found) != 1:
        raise RegistryError(f"{what}: expected one bundle in {model}, found {len(found)}; roll back or refresh again")
    return resolve(settings, found[0])


def fetch(settings: Settings, linker: str, version: str, key: str) -> Path:
    """The bundle of a registry elsewhere, brought into the home once and checked."""
    target = settings.home / "fetched" / linker / f"{version}-{key}"
    if artefacts.exists(target):
        return target
    with artefacts.build(target) as folder:
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
