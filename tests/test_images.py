"""The images are built from the Dockerfile as it stands, and used: the worker refreshes a linker, the service links.

buildah needs no daemon. The base is a Debian that debootstrap makes here, so that no image registry is asked; packages
come from where this machine's pip finds them. Half an hour on two cores, and 20 GB of disk.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import pytest

ROOT = Path(__file__).parent.parent
TARGETS = ["worker", "gpu-worker", "serve"]
SUITE = "bookworm"
# What says where packages are; what else a pip.conf holds is about this machine's own environments.
INDEX_SETTINGS = {
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "constraint",
    "cert",
    "proxy",
    "trusted-host",
}
LEFTOVERS = re.compile(r"(^|/)\.cache/.|\.(whl|deb)$|^(src|wheels)/.|^tmp/.|^var/(cache/apt|lib/apt/lists)/.*[^/]$")

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="buildah's chroot isolation needs root"),
    *(
        pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed: apt-get install {name}")
        for name in ("buildah", "debootstrap")
    ),
]


@dataclass(frozen=True)
class Buildah:
    """buildah with a store of its own, so that the machine's images stay as they are."""

    store: Path
    volumes: tuple[str, ...] = ()  # of every build and every run

    def __call__(self, command: str, *arguments: str | Path) -> str:
        """The standard output of ``buildah command arguments``."""
        line = ["buildah", "--root", self.store / "root", "--runroot", self.store / "run", command, *arguments]
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, f"buildah {command}: {(done.stdout + done.stderr)[-4000:]}"
        return done.stdout

    def build(self, target: str) -> str:
        """The name of the image of ``target``."""
        arguments = [argument for volume in self.volumes for argument in ("--volume", volume)]
        for name, value in {"BASE": "localhost/debian", "TORCH_INDEX": os.environ.get("TORCH_INDEX", "")}.items():
            arguments += ["--build-arg", f"{name}={value}"]
        arguments += ["--isolation", "chroot", "--pull-never", "--target", target]
        self("build", *arguments, "--tag", f"belink-{target}", "--file", ROOT / "docker" / "Dockerfile", ROOT)
        return f"belink-{target}"

    def run(self, image: str, *words: str, volumes: tuple[str, ...] = ()) -> str:
        """The standard output of a command in a fresh container of ``image``, as the user that the image names."""
        container = self("from", "--pull-never", image).strip()
        try:
            options = [argument for volume in (*self.volumes, *volumes) for argument in ("--volume", volume)]
            return self("run", "--isolation", "chroot", *options, container, "--", *words)
        finally:
            self("rm", container)


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """buildah, with a base image ``localhost/debian`` in its store and this machine's pip settings in its builds."""
    folder = tmp_path_factory.mktemp("buildah")
    buildah = Buildah(folder / "store", pip_volumes(folder / "pip.conf"))
    debian = folder / "debian"
    packages = "python3,python3-venv,ca-certificates"
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, debian], check=True, stdout=subprocess.PIPE
    )
    for leftovers in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(debian / leftovers)
    container = buildah("from", "scratch").strip()
    buildah("copy", container, debian, "/")
    buildah("commit", "--rm", container, "localhost/debian")
    shutil.rmtree(debian)
    yield buildah
    buildah("rmi", "--all", "--force")
    shutil.rmtree(folder, ignore_errors=True)


def pip_volumes(conf: Path) -> tuple[str, ...]:
    """Write to ``conf`` where this machine's pip finds packages; return the volumes with which a build finds them."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    found = re.findall(r"^(global|:env:)\.([\w-]+)=(.*)$", listing.stdout, flags=re.M)
    # Files first and the environment last, as in pip itself.
    settings = {name: ast.literal_eval(value) for _, name, value in sorted(found, key=lambda row: row[0] == ":env:")}
    settings = {name: value for name, value in settings.items() if name in INDEX_SETTINGS}
    lines = [f"{name} = {' '.join(value.split())}" for name, value in settings.items()]
    conf.write_text("\n".join(["[global]", "timeout = 180", *lines, ""]), encoding="utf-8")
    volumes = [f"{conf}:/etc/pip.conf:ro"]
    for word in " ".join(settings.values()).split():
        path = Path(urlparse(word).path)
        # The pages of an index in a folder link to files beside that folder.
        path = path.parent if word.startswith("file:") else path
        if word.startswith(("/", "file:")) and path.exists():
            volumes.append(f"{path}:{path}:ro")
    return tuple(dict.fromkeys(volumes))


@pytest.fixture(scope="module")
def images(buildah: Buildah) -> dict[str, str]:
    """Target → the image that was built of it."""
    return {target: buildah.build(target) for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS)
def test_belink_answers_as_an_unprivileged_user(buildah: Buildah, images: dict[str, str], target: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] in buildah.run(images[target], "belink", "--version")
    assert buildah.run(images[target], "id", "--user").strip() == "10001"


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_installed_fits_together(buildah: Buildah, images: dict[str, str], target: str) -> None:
    assert "No broken requirements" in buildah.run(images[target], "pip", "check")


@pytest.mark.parametrize("target", TARGETS)
def test_no_layer_holds_what_only_the_build_needed(
    buildah: Buildah, images: dict[str, str], target: str, tmp_path: Path
) -> None:
    buildah("push", "--disable-compression", images[target], f"dir:{tmp_path}")
    base, *layers = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["layers"]
    size = sum(layer["size"] for layer in (base, *layers))
    print(f"{target}: {size / 1e9:.2f} GB, of which base {base['size'] / 1e9:.2f}")  # noqa: T201
    for layer in layers:
        with tarfile.open(tmp_path / layer["digest"].removeprefix("sha256:")) as archive:
            assert [name for name in archive.getnames() if LEFTOVERS.search(name)] == []
    shutil.rmtree(tmp_path)


def test_the_service_holds_nothing_that_trains_or_schedules(buildah: Buildah, images: dict[str, str]) -> None:
    installed = {row["name"] for row in json.loads(buildah.run(images["serve"], "pip", "list", "--format", "json"))}
    assert "uvicorn" in installed
    assert not installed & {"prefect", "datasets"}


def test_the_service_links_with_what_the_worker_made(buildah: Buildah, images: dict[str, str], tmp_path: Path) -> None:
    """The bundled sample: refreshed in one image, linked in another, in the home that both mount."""
    os.chown(tmp_path, 10001, 10001)
    home = (f"{tmp_path}:/var/lib/belink",)
    sample = "import belink.settings as s; print(s.shipped_ontologies() / 'samples' / 'mondo-sample-2025-09-02.obo')"
    file = buildah.run(images["worker"], "python", "-c", sample).strip()
    refresh = ["belink", "refresh", "sample", "--file", f"mondo-sample={file}", "--retrain", "never", "--json"]
    assert json.loads(buildah.run(images["worker"], *refresh, volumes=home))["outcome"] == "promoted"
    link = ["belink", "link", "He has type 2 diabetes mellitus.", "--linker", "sample", "--json"]
    (answer,) = json.loads(buildah.run(images["serve"], *link, volumes=home))["links"]
    assert answer["id"] == "MONDO:0005148"
