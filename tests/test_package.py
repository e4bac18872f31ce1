"""What is installed is one package, and holds the flows, the declarations, the samples and the page."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("belink", "flows", "ontologies")
FILES = ("pyproject.toml", "README.md", "LICENSE")
pytestmark = pytest.mark.heavy

PIP = [sys.executable, "-m", "pip"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The wheel of this checkout, and what its build printed."""
    folder = tmp_path_factory.mktemp("package")
    tree = folder / "tree"  # a copy, since a build leaves files beside its sources
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, tree)
    command = [*PIP, "--verbose", "wheel", tree, "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel, done.stdout + done.stderr


def test_the_build_warns_of_nothing(built: tuple[Path, str]) -> None:
    _, output = built
    assert "BuildBackendWarning" not in output
    assert "would be ignored" not in output


def test_a_wheel_holds_one_top_level_package_with_all_its_files(built: tuple[Path, str]) -> None:
    wheel, _ = built
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    kinds = {".py", ".typed", ".toml", ".obo", ".jsonl", ".html", ".js", ".css", ".svg", ".j2"}
    files = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.suffix in kinds and path.is_file()]
    installed = {path.relative_to(ROOT).as_posix() for path in files}
    installed = {name if name.startswith("belink/") else f"belink/{name}" for name in installed}
    # Guides beside what they are about may come along.
    assert {name for name in names if not name.endswith(".md")} == installed


def test_an_installed_wheel_finds_its_flows_and_declarations(built: tuple[Path, str], tmp_path: Path) -> None:
    wheel, _ = built
    subprocess.run([*PIP, "install", "--quiet", "--no-deps", "--no-index", "--target", tmp_path, wheel], check=True)
    code = """if True:
        import json, belink.flows.deployments
        from belink import settings
        folders = settings.shipped_linkers(), settings.shipped_ontologies()
        print(json.dumps([belink.flows.deployments.__file__, *(belink.flows.deployments.shipped(f) for f in folders)]))
    """
    # -P keeps the working directory off the path; PYTHONPATH stands before the checkout that this environment installs.
    command = [sys.executable, "-P", "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    file, linkers, ontologies = json.loads(done.stdout)
    assert file == str(tmp_path / "belink" / "flows" / "deployments.py")
    assert linkers == sorted(path.stem for path in (ROOT / "flows" / "linkers").glob("*.toml"))
    assert ontologies == sorted(path.stem for path in (ROOT / "ontologies").glob("*.toml"))
