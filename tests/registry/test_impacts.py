"""What a version changed in the watched texts stays readable, whatever comes after it."""

from pathlib import Path

import pytest

from belink.cli.show_status import status
from belink.linker import bundle
from belink.registry import aliases, history, impacts
from belink.registry.status import read_status
from belink.registry.store import RunRecord
from belink.settings import Settings
from tests.support.handmade import parts
from tests.support.impacts import watched


def register(here: Settings, release: str, reports: dict[str, str]) -> str:
    made = bundle.assemble(parts(here.home / f"parts-{release}", version=release), here.bundles / "sample")
    return aliases.register(here, made, RunRecord(reports=reports))


def test_each_version_keeps_what_it_changed(registry_home: Settings) -> None:
    here = registry_home
    first = register(here, "2025-01-01", {})
    second = register(here, "2025-02-01", {impacts.FILE: impacts.stored_text(watched())})
    register(here, "2025-03-01", {})
    aliases.note_refresh(here, {"linker": "sample", "outcome": "unchanged", "version": "3", "gates": []})
    shown = {version["version"]: version["impact"] for version in history.versions(here, "sample")}
    counts = shown[second]["notes"]
    assert (counts["mentions"], counts["changed"], counts["unexplained_changes"]) == (3, 2, 1)
    assert (counts["counts"]["other choice"], counts["counts"]["mention found"]) == (1, 1)
    assert "examples" not in counts, "sentences go only to those who ask for them"
    assert shown[first] is None
    texts = history.impact(here, "sample", second)
    assert texts is not None
    (change,) = texts["notes"]["examples"]["other choice"]
    assert (change["old"]["id"], change["new"]["id"], change["text"]) == ("X:2", "X:1", "gout")
    assert "markdown" not in texts["notes"]
    assert history.impact(here, "sample", first) == {}
    assert history.impact(here, "sample", "9") is None


@pytest.mark.parametrize("content", ["", "[]", '{"notes": 1}', '{"notes": {}}', "[" * 5000])
def test_a_damaged_file_costs_the_impact_and_not_the_history(registry_home: Settings, content: str) -> None:
    version = register(registry_home, "2025-01-01", {impacts.FILE: content})
    assert [each["impact"] for each in history.versions(registry_home, "sample")] == [None]
    assert history.impact(registry_home, "sample", version) == {}


def test_a_copied_home_reads_its_own_files(registry_home: Settings, tmp_path: Path) -> None:
    import shutil

    from belink import settings

    version = register(registry_home, "2025-01-01", {impacts.FILE: impacts.stored_text(watched())})
    shutil.copytree(registry_home.home, tmp_path / "copy")
    shutil.rmtree(registry_home.home / "artifacts")
    assert history.impact(settings.load(tmp_path / "copy"), "sample", version)


def test_status_tells_what_the_champion_changed_after_other_refreshes(registry_home: Settings) -> None:
    here = registry_home
    version = register(here, "2025-02-01", {impacts.FILE: impacts.stored_text(watched())})
    aliases.promote(here, "sample", version)
    aliases.note_refresh(here, {"linker": "sample", "outcome": "unchanged", "version": version, "gates": []})
    (linker,) = read_status(here)["linkers"]
    assert linker["impact"]["notes"]["changed"] == 2
    said = status(read_status(here))
    assert "When it came, text notes: 2 of 3 links change, 1 of them unexplained" in said
