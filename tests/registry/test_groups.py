"""Several linkers as one MLflow model: each link says its linker, and each linker follows its own alias."""

from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner

from belink.cli.main import belink
from belink.errors import RegistryError
from belink.registry import aliases
from belink.registry.groups import register_group
from belink.registry.open import open_linkers
from belink.registry.status import read_status
from belink.registry.store import setup
from tests.support.made_releases import concept
from tests.support.serving import Made, register_concepts

TEXT = "Heparin for hepatitis, no aspirin intolerance."
DRUGS = (concept(1, "heparin"), concept(2, "aspirin"))
FINDINGS = (concept(7, "aspirin intolerance"), concept(8, "hepatitis"))


@pytest.fixture(scope="module")
def members(served_home: Made, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("members")
    register_concepts(served_home, folder, "medicines", "Chemical", *DRUGS)
    register_concepts(served_home, folder, "findings", "Sign", *FINDINGS)
    return served_home


def ask(members: Made, model: str, text: str = TEXT) -> Any:
    """The answer of MLflow's model, as a program asks that knows MLflow alone."""
    mlflow.set_tracking_uri(members.here.tracking_uri)
    try:
        return mlflow.pyfunc.load_model(model).predict([{"text": text}])[0]
    finally:
        mlflow.set_tracking_uri(None)


def test_links_of_all_members_are_those_of_belink_and_say_their_linker_and_type(members: Made) -> None:
    given = ["--home", str(members.here.home), "register", "clinic", "medicines", "findings@champion"]
    ran = CliRunner().invoke(belink, given)
    assert ran.exit_code == 0, ran.output
    assert ran.stdout == (
        "models:/clinic@champion is version 1: medicines@champion (now version 1), findings@champion (now version 1)\n"
    )
    answer = ask(members, "models:/clinic@champion")
    links = {link["text"]: (link["linker"], link["type"], link["id"], link["ontology"]) for link in answer["links"]}
    assert links == {
        "Heparin": ("medicines", "Chemical", "X:1", "medicines-terms"),
        "hepatitis": ("findings", "Sign", "X:8", "findings-terms"),
        "aspirin intolerance": ("findings", "Sign", "X:7", "findings-terms"),
    }
    assert (answer["lineage"]["linker"], answer["lineage"]["model_version"]) == ("medicines, findings", "1, 1")
    alone = open_linkers(members.here, "medicines,findings").link_text(TEXT)
    assert [(link.start, link.id) for link in alone] == [(link["start"], link["id"]) for link in answer["links"]]


def test_an_alias_is_followed_and_a_version_stays(members: Made, tmp_path: Path) -> None:
    here = members.here
    register_group(here, "following", ["medicines", "findings"])
    register_group(here, "staying", ["medicines@1", "findings@1"])
    more = (*DRUGS, concept(3, "warfarin"))
    version = register_concepts(members, tmp_path, "medicines", "Chemical", *more, release="2025-02-02")
    try:
        found = {
            name: [link["text"] for link in ask(members, f"models:/{name}@champion", "warfarin, heparin")["links"]]
            for name in ("following", "staying")
        }
        assert found == {"following": ["warfarin", "heparin"], "staying": ["heparin"]}
        lineage = ask(members, "models:/following@champion")["lineage"]
        assert lineage["model_version"] == f"{version}, 1"
    finally:
        aliases.promote(here, "medicines", "1")


def test_nested_mentions_are_kept_where_that_was_said(members: Made) -> None:
    register_group(members.here, "nested", ["medicines", "findings"], nested=True)
    texts = [link["text"] for link in ask(members, "models:/nested@champion")["links"]]
    assert {"aspirin", "aspirin intolerance"} <= set(texts)


def test_what_is_no_linker_and_names_that_are_taken_are_refused(members: Made) -> None:
    here = members.here
    with pytest.raises(RegistryError, match="unknown"):
        register_group(here, "odd", ["medicines", "unknown"])
    with pytest.raises(RegistryError, match="expected a group of belink in the registry, found a linker of belink"):
        register_group(here, "medicines", ["medicines", "findings"])
    register_group(here, "pair", ["medicines", "findings"])
    with pytest.raises(RegistryError, match="expected a linker, found several registered as one"):
        open_linkers(here, "pair")
    assert "pair" not in [each["name"] for each in read_status(here)["linkers"]]
    assert setup(here).get_registered_model("pair").tags["belink.kind"] == "group"
