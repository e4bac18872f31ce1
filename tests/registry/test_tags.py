"""A version has five tags; an older belink gave it many, and says the same by them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink import artefacts
from belink.lifecycle import cleaning
from belink.linker import bundle
from belink.linker.abstention import Abstention
from belink.linker.calibration import Calibration
from belink.registry import aliases, history, tags, versions
from belink.registry.status import read_status
from belink.registry.store import RunRecord, registered, setup
from belink.settings import Settings
from tests.support.handmade import parts, release

CHOSEN = Abstention(declared=0.9, bound=0.62, precision=0.91, kept=0.7, n=300)


def make(here: Settings, number: int) -> Path:
    """A bundle whose release is restricted and whose calibration holds a bound."""
    folder = here.home / f"parts-{number}"
    folder.mkdir(parents=True)
    calibration = folder / "bound.json"
    calibration.write_text(json.dumps(Calibration(abstention=CHOSEN).to_dict()))
    version = f"2025-0{number}-01"
    restricted = release(folder / "restricted" / version, version)
    manifest = artefacts.read_manifest(restricted)
    (restricted / artefacts.MANIFEST).unlink()
    artefacts.write_manifest(restricted, {**manifest, "redistributable": False})
    made = parts(folder, version=version, releases={"mondo-sample": restricted}, calibration=calibration)
    return bundle.assemble(made, here.bundles / "sample")


def older_tags(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The tags that an older belink gave a version from the start."""
    lineage = {f"belink.{name}": str(value) for name, value in manifest["lineage"].items()}
    return {
        **lineage,
        **{f"belink.{part}.sha256": "0" * 64 for part in ("index", "adapter", "encoder", "base_model")},
        "belink.abstention": json.dumps(CHOSEN.to_dict()),
        "belink.bundle": manifest["key"],
        "belink.restricted": "mondo-sample",
        **{f"belink.release.{name}": each["version"] for name, each in manifest["releases"].items()},
    }


def tell_story(here: Settings, monkeypatch: pytest.MonkeyPatch, *, older: bool) -> None:
    """Two versions: one that was rolled back to, and one that was withdrawn and has a gate that was not measured."""
    client = setup(here)
    with monkeypatch.context() as patch:
        if older:
            patch.setattr(registered, "registration_tags", older_tags)
            patch.setattr(tags, "run_params", lambda *_: {})
            patch.setattr(
                tags,
                "gates_tag",
                lambda failed, unmeasured: {
                    "belink.outcome": "rejected" if failed else "promoted",
                    "belink.failed_gates": ", ".join(failed),
                    "belink.unmeasured_gates": ", ".join(unmeasured),
                },
            )
        for number, failed in ((1, ()), (2, ("max_ece", "recall_at_10"))):
            version = aliases.register(here, make(here, number), RunRecord())
            aliases.settle(here, "sample", version, failed, unmeasured=["accuracy_at_1"])
            aliases.promote(here, "sample", version)
        aliases.rollback(here, "sample")
    n_tags = len(client.get_model_version("sample", "1").tags)
    assert n_tags > 10 if older else n_tags <= 5


def answers(here: Settings) -> dict[str, Any]:
    """What every reader of tags says; without paths and times, which two homes do not share."""
    (status,) = read_status(here)["linkers"]
    shown = history.versions(here, "sample")
    for each in (status, *shown):
        for name in ("updated", "created", "promoted", "withdrawn", "previous_withdrawn"):
            if name in each:
                each[name] = bool(each[name])
    return {
        "status": status,
        "history": shown,
        "releases": {name: [r["linkers"] for r in of] for name, of in history.known_releases(here, "sample").items()},
        "abstention": [aliases.abstention(here, "sample", version) for version in ("1", "2")],
        "withdrawn": [aliases.is_withdrawn(here, "sample", version) for version in ("1", "2")],
        "keys": [(each.number, each.key) for each in versions.registered(here, "sample")],
        "gc": {Path(each["path"]).name for each in cleaning.clean(here, keep=1)["remove"]},
        "again": aliases.register(here, here.bundles / "sample" / status["built_from"]["bundle"], RunRecord()),
    }


def test_versions_of_an_older_belink_are_read_like_those_of_this_one(
    registry_home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from belink import settings

    shutil.copytree(registry_home.home, tmp_path / "older")
    older = settings.load(tmp_path / "older")
    tell_story(registry_home, monkeypatch, older=False)
    tell_story(older, monkeypatch, older=True)
    now, before = answers(registry_home), answers(older)
    assert now == before
    assert now["status"]["releases"] == {"mondo-sample": "2025-01-01"}
    assert now["status"]["built_from"].keys() == {"index", "adapter", "bundle"}
    assert now["status"]["restricted"] == ["mondo-sample"]
    assert now["status"]["unmeasured_gates"] == ["accuracy_at_1"]
    assert now["status"]["last_refresh"]["failed_gates"] == ["max_ece", "recall_at_10"], "of the challenger"
    assert [each["outcome"] for each in now["history"]] == ["rejected", "promoted"]
    assert [each["withdrawn"] for each in now["history"]] == [True, False]
    assert (now["withdrawn"], now["abstention"]) == ([False, True], [CHOSEN, CHOSEN])
    assert now["again"] == "1"
    monkeypatch.setattr("belink.registry.lookup.SCHEMA", "another")
    assert [answers(registry_home), answers(older)] == [now, before], "the same through MLflow's client"


def test_an_older_version_that_is_judged_again_shows_the_new_verdict(
    registry_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_story(registry_home, monkeypatch, older=True)
    aliases.settle(registry_home, "sample", "2")
    (second, _) = history.versions(registry_home, "sample")
    assert (second["outcome"], second["failed_gates"], second["unmeasured_gates"]) == ("promoted", [], [])


def test_people_find_versions_by_their_tags(registry_home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tell_story(registry_home, monkeypatch, older=False)
    client = setup(registry_home)

    def search(condition: str) -> list[str]:
        return sorted(each.version for each in client.search_model_versions(f"name = 'sample' AND {condition}"))

    assert search("tags.`belink.releases` = 'mondo-sample 2025-02-01'") in (["2"], [2])
    assert [str(each) for each in search("tags.`belink.releases` LIKE '%mondo-sample 2025-01-01%'")] == ["1"]
    assert [str(each) for each in search("tags.`belink.gates` LIKE 'failed%'")] == ["2"]
    assert [str(each) for each in search("tags.`belink.gates` LIKE 'passed%'")] == ["1"]


# What separates names in the tag comes often.
_NAMES = st.text(st.sampled_from("a,; %C2:é"), min_size=1).filter(lambda name: name.strip() == name)


@given(
    failed=st.lists(_NAMES, max_size=4),
    unmeasured=st.lists(_NAMES, max_size=4),
)
def test_any_names_of_gates_come_back_from_the_tag(failed: list[str], unmeasured: list[str]) -> None:
    facts = tags.read_facts(tags.gates_tag(failed, unmeasured), {})
    assert (list(facts.failed_gates), list(facts.unmeasured_gates)) == (failed, unmeasured)
    assert facts.outcome == ("rejected" if failed else "promoted")
