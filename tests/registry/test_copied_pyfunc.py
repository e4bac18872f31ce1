"""``mlflow.pyfunc.load_model`` in a home that was copied or moved, before any command of belink has seen it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from belink import settings
from belink.registry import aliases
from belink.registry.moved import own_copy
from tests.support import warm
from tests.support.serving import Made

PROGRAM = """
import sys
import mlflow
mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}/mlflow.db")
model = mlflow.pyfunc.load_model(f"models:/{sys.argv[2]}@champion")
(answer,) = model.predict([{"text": "asthma", "mentions": [{"start": 0, "end": 6}]}])
print(answer["lineage"]["bundle"])
"""


def load(home: Path, linker: str) -> subprocess.CompletedProcess[str]:
    return warm.run(["-c", PROGRAM, home, linker], cwd=home.parent)


@pytest.mark.parametrize("by_reference", [False, True])
@pytest.mark.timeout(600)
def test_a_copied_home_answers_by_its_own_files(served_home: Made, tmp_path: Path, by_reference: bool) -> None:
    linker = f"copied-{by_reference}"
    version = served_home.register(linker, number=3, by_reference=by_reference)
    aliases.promote(served_home.here, linker, version)
    copy = settings.load(tmp_path / "copy")
    shutil.copytree(served_home.here.home, copy.home)
    # Whatever is read of the original is damaged for this test: the answer can only come from the copy.
    original, _ = aliases.bundle_path(served_home.here, linker)
    whole = (original / "linker.json").read_bytes()
    (original / "linker.json").unlink()
    (original / "linker.json").write_bytes(whole + b" ")
    try:
        first = load(copy.home, linker)
        assert first.returncode == 0, first.stderr
        assert first.stdout.strip() == original.name
    finally:
        (original / "linker.json").write_bytes(whole)
    path, _ = aliases.bundle_path(copy, linker)
    assert path.is_relative_to(copy.home)
    # The first use has put the registry right: from then on MLflow itself finds the copy.
    served_home.here.home.rename(tmp_path / "hidden")
    try:
        assert load(copy.home, linker).returncode == 0
    finally:
        (tmp_path / "hidden").rename(served_home.here.home)


def test_what_is_no_copy_stays(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "artifacts" / "models" / "m"
    folder.mkdir(parents=True)
    (tmp_path / "b" / "artifacts").mkdir(parents=True)
    for uri in ("http://127.0.0.1:1", f"sqlite:///{tmp_path}/a/mlflow.db", f"sqlite:///{tmp_path}/b/mlflow.db"):
        assert own_copy(uri, folder)[1] == folder
