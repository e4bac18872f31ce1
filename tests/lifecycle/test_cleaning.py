"""What an alias, the keep rule or a running refresh needs stays; the rest is named, and goes when told."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from filelock import FileLock

from belink import artefacts, settings
from belink.cli.main import belink
from belink.errors import RegistryError
from belink.lifecycle.cleaning import clean
from belink.linker import bundle
from belink.records import GateResult
from belink.registry import aliases, versions
from belink.settings import Settings
from tests.registry.test_aliases import RECORD
from tests.support.handmade import parts


def version(here: Settings, number: int) -> str:
    """A registered version of its own release, index and adapter, all of which lie in the home."""
    made = parts(
        here.home / "parts",
        version=f"r{number}",
        gates=[GateResult(name="g", value=number / 10, bound=0.0, passed=True)],
    )
    release = here.releases / "mondo-sample" / f"r{number}"
    release.parent.mkdir(parents=True, exist_ok=True)
    artefacts.link_or_copy(made.releases["mondo-sample"], release)
    index = here.indices / "sample" / f"index-r{number}"
    index.parent.mkdir(parents=True, exist_ok=True)
    artefacts.link_or_copy(made.index, index)
    folder = bundle.assemble(made, here.bundles / "sample")
    stamp(folder, number)
    stamp(index, number)
    manifest = artefacts.read_manifest(release) | {"created": f"2026-01-{number:02}"}
    (release / artefacts.MANIFEST).unlink()
    artefacts.write_manifest(release, manifest)
    return aliases.register(here, folder, RECORD)


def stamp(folder: Path, number: int) -> None:
    os.utime(folder / artefacts.MANIFEST, (number * 1000, number * 1000))


def named(answer: dict[str, Any], what: str) -> list[str]:
    return [
        Path(each["path"]).name if what != "version" else each["path"]
        for each in answer["remove"]
        if each["what"] == what
    ]


@pytest.fixture
def six(registry_home: Settings) -> Settings:
    """Six versions; the second is champion, the first previous."""
    for number in range(1, 7):
        assert version(registry_home, number) == str(number)
    aliases.promote(registry_home, "sample", "1")
    aliases.promote(registry_home, "sample", "2")
    return registry_home


def test_an_empty_home_has_nothing_to_remove(here: Settings) -> None:
    assert clean(here)["remove"] == []


def test_another_registry_than_the_bundles_are_in_is_refused(six: Settings) -> None:
    away = replace(six, tracking_uri=f"sqlite:///{six.home}/never-made.db")
    with pytest.raises(RegistryError, match="set MLFLOW_TRACKING_URI to theirs"):
        clean(away, remove=True)


def test_it_says_first_and_removes_nothing(six: Settings) -> None:
    before = sorted(six.home.rglob("*"))
    said = clean(six, keep=2)
    assert named(said, "version") == ["sample version 4", "sample version 3"]
    assert not said["done"]
    assert [path for path in sorted(six.home.rglob("*")) if "locks" not in path.parts] == [
        path for path in before if "locks" not in path.parts
    ]


def test_versions_with_an_alias_and_the_newest_stay_with_all_they_are_made_of(six: Settings) -> None:
    done = clean(six, keep=2, remove=True)
    assert [each.number for each in versions.registered(six, "sample")] == ["6", "5", "2", "1"]
    for number in ("1", "2", "5", "6"):
        bundle.check(aliases.bundle_path(six, "sample", number)[0])
    assert sorted(path.name for path in (six.releases / "mondo-sample").iterdir()) == ["r1", "r2", "r5", "r6"]
    assert sorted(path.name for path in (six.indices / "sample").iterdir()) == [
        "index-r1", "index-r2", "index-r5", "index-r6",
    ]  # fmt: skip
    assert len(list(six.bundles.glob("sample/*"))) == 4
    assert len(list((six.home / "artifacts" / "models").iterdir())) == 4
    assert done["freed"] > 0
    assert clean(six, keep=2)["remove"] == []


def test_rolling_back_works_after_cleaning(six: Settings) -> None:
    clean(six, keep=1, remove=True)
    assert aliases.rollback(six, "sample")["champion"] == "1"


def test_any_alias_keeps_a_version(six: Settings) -> None:
    from belink.registry.store import setup

    setup(six).set_registered_model_alias("sample", "paper", "3")
    assert named(clean(six, keep=2), "version") == ["sample version 4"]
    with pytest.raises(RegistryError, match="expected no alias on it, found paper"):
        versions.forget(six, "sample", "3")


def test_a_removal_that_was_killed_is_finished_by_the_next(six: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from belink.registry.store import Store, setup

    run_id = setup(six).get_model_version("sample", "3").run_id
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Store, "drop_run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        versions.forget(six, "sample", "3")
    (left,) = [each for each in clean(six, keep=6)["remove"] if each["what"] == "run"]
    assert left["path"] == f"sample run {run_id}" and left["bytes"] > 0
    folders = list((six.home / "artifacts" / "models").iterdir())
    # Killed again, now between the steps of the removal of the run itself.
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(setup(six)), "delete_run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        clean(six, keep=6, remove=True)
    assert [each["path"] for each in clean(six, keep=6)["remove"] if each["what"] == "run"] == [f"sample run {run_id}"]
    clean(six, keep=6, remove=True)
    assert not [each for each in clean(six, keep=6)["remove"] if each["what"] == "run"]
    assert len(list((six.home / "artifacts" / "models").iterdir())) == len(folders) - 1
    assert len(versions.registered(six, "sample")) == 5


def test_what_a_refresh_holds_is_left_alone(six: Settings) -> None:
    six.locks.mkdir(exist_ok=True)
    with FileLock(six.locks / "refresh-sample.lock"):
        said = clean(six, keep=2, remove=True)
    assert said["busy"] == ["sample"]
    assert not [each for each in said["remove"] if each["what"] in ("version", "index", "bundle")]
    assert len(versions.registered(six, "sample")) == 6


def test_scratch_of_the_dead_goes_and_that_of_the_living_stays(here: Settings) -> None:
    dead = here.indices / "small" / ".tmp-key-999999999-0a"
    alive = here.indices / "small" / f".tmp-key-{os.getpid()}-0a"
    paused = here.adapters / "small" / ".work-recent"
    abandoned = here.adapters / "small" / ".work-old"
    for folder in (dead, alive, paused, abandoned):
        folder.mkdir(parents=True)
        (folder / "checkpoint").write_bytes(b"x" * 1000)
    month_ago = time.time() - 30 * 24 * 3600
    for path in (abandoned / "checkpoint", abandoned):
        os.utime(path, (month_ago, month_ago))
    assert named(clean(here, remove=True), "scratch") == [dead.name, abandoned.name]
    assert [folder.exists() for folder in (dead, alive, paused, abandoned)] == [False, True, True, False]


def test_files_that_are_linked_elsewhere_free_nothing(six: Settings) -> None:
    whole = sum(each["bytes"] for each in clean(six, keep=2)["remove"])
    assert clean(six, keep=2)["freed"] < whole, "bundles are hard links of their parts"


def test_the_command_is_dry_unless_told(six: Settings) -> None:
    run = CliRunner().invoke
    words = ["--home", str(six.home), "gc", "--keep", "2"]
    dry = run(belink, words)
    assert "would be removed; --yes does it" in dry.output
    assert len(versions.registered(six, "sample")) == 6
    assert '"done": false' in run(belink, [*words, "--dry-run", "--json"]).stdout
    done = run(belink, [*words, "--yes", "--json"])
    assert '"done": true' in done.stdout
    assert "would be removed" in done.stderr
    assert run(belink, words).output.strip() == "nothing to remove"


def contents(folder: Path) -> dict[str, int]:
    """Every file below ``folder`` but locks, with its modification time."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def test_a_copied_home_is_independent_of_the_original(six: Settings, tmp_path: Path) -> None:
    copy = settings.load(tmp_path / "copy")
    shutil.copytree(six.home, copy.home)
    before = contents(six.home)
    hidden = six.home.rename(tmp_path / "hidden")
    assert aliases.bundle_path(copy, "sample")[0].is_relative_to(copy.home)
    assert [v.folder is not None and v.folder.is_dir() for v in versions.registered(copy, "sample")] == [True] * 6
    done = clean(copy, keep=1, remove=True)
    assert named(done, "version") == ["sample version 5", "sample version 4", "sample version 3"]
    assert aliases.rollback(copy, "sample")["champion"] == "1"
    bundle.check(aliases.bundle_path(copy, "sample")[0])
    hidden.rename(six.home)
    assert contents(six.home) == before
    assert aliases.rollback(six, "sample")["champion"] == "1"
    bundle.check(aliases.bundle_path(six, "sample", "4")[0])


def test_an_alias_moves_only_to_a_version_whose_bundle_is_there(six: Settings) -> None:
    before = aliases.aliases(six, "sample")
    shutil.rmtree(aliases.bundle_path(six, "sample", before["previous"])[0])
    with pytest.raises(RegistryError, match="expected one bundle in"):
        aliases.rollback(six, "sample")
    with pytest.raises(RegistryError, match="expected one bundle in"):
        aliases.promote(six, "sample", before["previous"])
    assert aliases.aliases(six, "sample") == before


def test_files_of_another_home_stay_when_a_version_is_forgotten(six: Settings, tmp_path: Path) -> None:
    other = replace(six, home=tmp_path / "other")  # another home with the same registry
    folder = next(version.folder for version in versions.registered(other, "sample") if not version.aliases)
    clean(other, keep=1, remove=True)
    assert folder is not None and folder.is_dir()
