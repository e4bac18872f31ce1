"""The flows of a team: an ontology's news reach its linkers once, and a person's word is waited for."""

import asyncio
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from belink.errors import DeclarationError, GateRefused, RegistryError, ReleaseError, SourceError
from belink.flows import deployed, refresh
from belink.flows.deployed import OntologyRefresh, Promotion, Retraining
from belink.flows.pipeline import fetch
from belink.lifecycle import ontology
from belink.registry import aliases as registry
from belink.settings import Settings
from tests.support import small

FIRST, SECOND = small.RELEASES


pytestmark = pytest.mark.usefixtures("prefect")


class Team:
    """A home, and the flows of the small linker in it."""

    def __init__(
        self, folder: Path, models: dict[str, str], make_home: Callable[[Path], Settings], more: str = ""
    ) -> None:
        self.folder = folder
        self.here = make_home(folder)
        self.toml = str(small.linker(folder, models, more=more))

    def ingest(self, version: str, **cut: float) -> dict[str, Any]:
        file = small.release(self.folder / "files", version, **cut)
        return deployed.refresh_ontology(
            OntologyRefresh(ontology=small.ONTOLOGY, files=[str(file)], linkers=[self.toml], home=str(self.here.home))
        )

    def retrain(self, **asked: Any) -> dict[str, Any]:
        return deployed.retrain(Retraining(linker=self.toml, home=str(self.here.home), **asked)).to_dict()

    def promote(self, version: str = "challenger") -> dict[str, Any]:
        request = Promotion(linker=self.toml, version=version, home=str(self.here.home))
        return deployed.evaluate_and_promote(request).to_dict()

    def aliases(self) -> dict[str, str]:
        return registry.aliases(self.here, "small")


@pytest.fixture
def team(tmp_path: Path, models: dict[str, str], make_home: Callable[[Path], Settings]) -> Team:
    return Team(tmp_path, models, make_home)


@pytest.fixture
def asking(tmp_path: Path, models: dict[str, str], make_home: Callable[[Path], Settings]) -> Team:
    """A linker that asks for a person's approval; nobody answering for four seconds is an answer."""
    return Team(tmp_path, models, make_home, more=f"[approval]\nrequired = true\nhours = {4 / 3600}")


def events(name: str, resource: str, at_least: int = 1) -> list[dict[str, Any]]:
    """The payloads that the server has of an event, waited for a while: they reach it after the flow has ended."""
    from prefect.client.orchestration import get_client

    asked = {"filter": {"event": {"name": [name]}, "resource": {"id": [resource]}}}
    for _ in range(120):
        with get_client(sync_client=True) as client:
            found = client.request("POST", "/events/filter", json=asked).json()["events"]
        if len(found) >= at_least:
            break
        time.sleep(0.25)
    return [event["payload"] for event in found]


def test_a_new_release_is_announced_once_and_an_unchanged_one_never(team: Team) -> None:
    before = len(events("ontology.refreshed", f"belink.ontology.{small.ONTOLOGY}", at_least=0))
    assert team.ingest(FIRST)["announced"]
    assert not team.ingest(FIRST)["announced"]
    assert team.ingest(SECOND)["announced"]
    told = events("ontology.refreshed", f"belink.ontology.{small.ONTOLOGY}", before + 2)
    assert len(told) == before + 2
    assert {payload["version"] for payload in told} == {FIRST, SECOND}


def test_a_release_that_a_killed_run_did_not_announce_is_announced_by_the_next(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ontology, "remember", lambda *_: 1 / 0)  # dies between telling and remembering
        with pytest.raises(ZeroDivisionError):
            team.ingest(FIRST)
    assert team.ingest(FIRST)["announced"]


def test_half_a_release_is_refused_with_its_report_and_not_announced(team: Team) -> None:
    from prefect.client.orchestration import get_client

    team.ingest(FIRST)
    with pytest.raises(GateRefused, match="max_shrinkage"):
        team.ingest(SECOND, keep=0.5)
    with get_client(sync_client=True) as client:
        reports = [a.data for a in client.read_artifacts() if a.key == f"release-gates-{small.ONTOLOGY}"]
    verdicts = [{row["gate"]: row["verdict"] for row in json.loads(str(report))} for report in reports]
    assert any(each.get("max_shrinkage") == "FAIL" for each in verdicts)
    assert ontology._last_news(ontology.start(team.here, small.ONTOLOGY))["version"] == FIRST


def test_retraining_takes_what_was_ingested_to_a_champion(team: Team) -> None:
    with pytest.raises(ReleaseError, match="belink ingest makes one"):
        team.retrain()
    team.ingest(FIRST)
    assert team.retrain()["outcome"] == "promoted"
    assert team.retrain()["outcome"] == "unchanged"
    file = small.release(team.folder / "files", FIRST)
    assert refresh.run(team.here, team.toml, {small.ONTOLOGY: [file]}).outcome == "unchanged", "the command agrees"
    team.ingest(SECOND)
    second = team.retrain()
    assert (second["outcome"], second["champion"]) == ("promoted", "2")
    assert second["reused"] > second["encoded"]


def test_a_version_is_judged_again_against_todays_champion(team: Team, refreshed_homes: small.Homes) -> None:
    shutil.rmtree(team.here.home)
    team.here = refreshed_homes.copy(team.folder, FIRST, SECOND)
    registry.rollback(team.here, "small")
    refused = team.promote("2")
    assert [gate["name"] for gate in refused["gates"] if not gate["passed"]] == ["not_withdrawn"]
    assert "not_below_champion" in [gate["name"] for gate in refused["gates"]]
    assert team.promote("1")["outcome"] == "unchanged"
    with pytest.raises(RegistryError, match="no version 9"):
        team.promote("9")


def test_without_an_answer_the_champion_stays(asking: Team) -> None:
    asking.ingest(FIRST)
    waiting = asking.retrain()
    assert waiting["outcome"] == "rejected"
    assert [gate["name"] for gate in waiting["gates"] if not gate["passed"]] == ["approved"]
    assert "champion" not in asking.aliases()
    told = events("linker.awaits-approval", "belink.linker.small")
    assert {"linker": asking.toml, "version": "1"} in told
    late = asking.promote()
    assert [gate["detail"] for gate in late["gates"] if gate["name"] == "approved"] == [
        "nobody answered within 0.00111111 hours"
    ]
    assert "champion" not in asking.aliases()


def answer_the_next_pause(approve: bool, answered: list[str]) -> None:
    from prefect.client.orchestration import get_client

    async def answer() -> None:
        async with get_client() as client:
            for _ in range(200):
                for run in await client.read_flow_runs():
                    if run.state is not None and run.state.is_paused() and str(run.id) not in answered:
                        await asyncio.sleep(0.5)  # the form is saved after the state is set
                        said = {"approve": approve, "by": "the head of the laboratory"}
                        accepted = await client.resume_flow_run(run.id, run_input=said)
                        if accepted.status.value == "ACCEPT":
                            answered.append(str(run.id))
                            return
                await asyncio.sleep(0.1)

    asyncio.run(answer())


@pytest.mark.parametrize("approve", [True, False])
def test_a_person_says_yes_or_no(
    tmp_path: Path, models: dict[str, str], make_home: Callable[[Path], Settings], approve: bool
) -> None:
    team = Team(tmp_path, models, make_home, more="[approval]\nrequired = true\nhours = 0.05")
    team.ingest(FIRST)
    team.retrain()
    answered: list[str] = []
    person = threading.Thread(target=answer_the_next_pause, args=(approve, answered))
    person.start()
    outcome = team.promote()
    person.join()
    assert len(answered) == 1
    assert outcome["outcome"] == ("promoted" if approve else "rejected")
    assert team.aliases().get("champion") == ("1" if approve else None)
    assert outcome["gates"][-1]["detail"] == "by the head of the laboratory"


def test_a_hook_removes_what_a_crashed_run_left(team: Team) -> None:
    from prefect.client.schemas.objects import FlowRun

    left = [
        team.here.indices / "small" / ".tmp-x-999999999-0",
        team.here.releases / small.ONTOLOGY / ".tmp-y-999999999-0",
    ]
    for folder in left:
        folder.mkdir(parents=True)
    for flow, request in (
        (deployed.retrain, {"linker": team.toml, "home": str(team.here.home)}),
        (deployed.refresh_ontology, {"ontology": small.ONTOLOGY, "home": str(team.here.home)}),
    ):
        run = FlowRun.model_construct(parameters={"request": request})
        for hook in (*flow.on_crashed_hooks, *flow.on_cancellation_hooks):
            hook(flow=flow, flow_run=run, state=None)
    assert not [folder for folder in left if folder.exists()]


def test_only_what_asks_the_outside_is_retried() -> None:
    from prefect import Task

    tasks = {name: value for name, value in vars(deployed).items() if isinstance(value, Task)}
    assert sorted(name for name, task in tasks.items() if task.retries) == ["announce", "fetch"]
    assert all(task.fn.__module__.startswith("belink.") for name, task in tasks.items() if name != "announce")


def test_a_source_without_address_asks_for_files_at_once(team: Team) -> None:
    started = time.monotonic()
    with pytest.raises(DeclarationError, match="name them in the field files of this form"):
        deployed.refresh_ontology(OntologyRefresh(ontology=small.ONTOLOGY, home=str(team.here.home)))
    assert time.monotonic() - started < 8, "what cannot heal is not tried again; the first pause is ten seconds"


def test_a_mistake_in_a_declaration_is_not_tried_again() -> None:
    from prefect.states import Failed

    assert not fetch.retry_condition_fn(fetch, None, Failed(data=DeclarationError("no address")))
    assert fetch.retry_condition_fn(fetch, None, Failed(data=SourceError("no answer")))


def test_the_last_state_says_the_outcome_and_belinks_lines_reach_the_page(team: Team) -> None:
    log = logging.getLogger("belink")
    level = log.level
    try:
        log.setLevel(logging.NOTSET)
        file = small.release(team.folder / "files", FIRST)
        request = OntologyRefresh(ontology=small.ONTOLOGY, files=[str(file)], home=str(team.here.home))
        messages = [deployed.refresh_ontology(request, return_state=True).message for _ in range(2)]
        assert log.isEnabledFor(logging.INFO)
    finally:
        log.setLevel(level)
    assert messages == [f"new, version {FIRST}", f"unchanged, version {FIRST}"]
    request = Retraining(linker=team.toml, home=str(team.here.home), retrain="never")
    messages = [deployed.retrain(request, return_state=True).message for _ in range(2)]
    assert messages[0].startswith("promoted, version 1")
    assert messages[1] == "unchanged, version 1 stays"


def test_forms_show_what_a_person_needs_first_and_internal_fields_last() -> None:
    from belink.flows.deployed import OntologyRefresh, Promotion, Retraining
    from belink.flows.pipeline import RefreshRequest

    for request, first in {
        OntologyRefresh: "ontology",
        Retraining: "linker",
        Promotion: "linker",
        RefreshRequest: "linker",
    }.items():
        fields = request.model_json_schema()["properties"]
        assert next(iter(fields)) == first
        internal = [field["title"].startswith("Internal: ") for field in fields.values()]
        assert internal == sorted(internal) and internal[-1]
