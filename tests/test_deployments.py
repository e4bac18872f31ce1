"""What stands in the declarations is what a Prefect server is told; saying it twice changes nothing."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import small
import yaml
from servers import PrefectServer

from belink.declarations import load_linker, load_source
from belink.errors import ServerError
from flows import deployed
from flows.deploy import deploy
from flows.deployments import CPU, GPU, Wanted, deployments, prefect_yaml

ROOT = Path(__file__).parent.parent


def by_entrypoint(flow: str, wanted: Wanted | None = None) -> dict[str, dict[str, Any]]:
    return {
        each["name"]: each for each in deployments(wanted or Wanted()) if each["entrypoint"] == f"flows.deployed.{flow}"
    }


def test_prefect_yaml_is_what_the_declarations_say() -> None:
    assert (ROOT / "prefect.yaml").read_text(encoding="utf-8") == prefect_yaml(Wanted()), (
        "write it anew: belink deploy --print > prefect.yaml"
    )


@pytest.mark.parametrize("path", sorted((ROOT / "ontologies").glob("*.toml")), ids=lambda path: path.stem)
def test_every_ontology_has_a_refresh_that_only_one_run_at_a_time_makes(path: Path) -> None:
    refresh = by_entrypoint("refresh_ontology")[path.stem]
    source = load_source(path.stem)
    assert [schedule["cron"] for schedule in refresh["schedules"]] == ([source.schedule] if source.schedule else [])
    assert bool(source.schedule) == (source.url is not None or source.format == "umls"), "an address is asked by cron"
    assert refresh["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    assert refresh["work_pool"]["name"] == CPU


@pytest.mark.parametrize("path", sorted((ROOT / "flows" / "linkers").glob("*.toml")), ids=lambda path: path.stem)
def test_every_linker_is_retrained_when_one_of_its_own_ontologies_was_refreshed(path: Path) -> None:
    retrain, declared = by_entrypoint("retrain")[path.stem], load_linker(path.stem)
    (trigger,) = retrain["triggers"]
    assert trigger["expect"] == ["ontology.refreshed"]
    assert trigger["match"] == {"prefect.resource.id": [f"belink.ontology.{name}" for name in declared.ontologies]}
    assert retrain["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
    assert retrain["work_pool"]["name"] == GPU


def test_linkers_of_ones_own_are_deployed_with_their_ontologies_alone(tmp_path: Path, models: dict[str, str]) -> None:
    toml = str(small.linker(tmp_path, models))
    wanted = Wanted(linkers=[toml], infrastructure="docker", image="registry/belink:1", share_restricted=["small"])
    assert set(by_entrypoint("refresh_ontology", wanted)) == {small.ONTOLOGY}
    (retrain,) = by_entrypoint("retrain", wanted).values()
    assert retrain["parameters"] == {"request": {"linker": toml, "share_restricted": True}}
    assert retrain["work_pool"]["job_variables"]["image"] == "registry/belink:1"


def test_a_deployment_names_flows_and_parameters_that_there_are() -> None:
    for each in deployments(Wanted()):
        flow = getattr(deployed, each["entrypoint"].rpartition(".")[2])
        if "parameters" in each:
            flow.validate_parameters(each["parameters"])


def test_parameters_explain_themselves() -> None:
    for flow in (deployed.refresh_ontology, deployed.retrain, deployed.evaluate_and_promote):
        (request,) = flow.parameters.definitions.values()
        assert all(field.get("description") for field in request["properties"].values())


def test_deploying_needs_a_server_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(ServerError, match="PREFECT_API_URL, found none"):
        deploy(Wanted(linkers=["sample"]))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    code = "from flows.deploy import deploy\nfrom flows.deployments import Wanted\ndeploy(Wanted(linkers=['sample']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "ServerError: http://127.0.0.1:9/api: expected a Prefect server, found ConnectError" in done.stderr


async def server_state() -> dict[str, Any]:
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        pools = {pool.name: (pool.type, pool.concurrency_limit) for pool in await client.read_work_pools()}
        found = await client.read_deployments()
        automations = [automation.name for automation in await client.read_automations()]
    return {
        "pools": pools,
        "deployments": {
            each.name: [each.entrypoint, each.parameters, [s.schedule.cron for s in each.schedules]] for each in found
        },
        "automations": sorted(automations),
    }


def test_deploying_twice_leaves_what_deploying_once_did(prefect_server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL

    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    wanted = Wanted(linkers=["sample", "mondo"])
    answer = deploy(wanted)
    once = asyncio.run(server_state())
    assert deploy(wanted) == answer
    assert asyncio.run(server_state()) == once
    assert once["pools"] == {CPU: ("process", None), GPU: ("process", 1)}
    assert set(once["deployments"]) == {"mondo", "mondo-sample", "sample", "belink"}
    assert once["automations"] == [
        "belink ask for approval",
        "belink retrain mondo",
        "belink retrain sample",
        "belink: a run that crashed is started again",
        "belink: a run without heartbeat has crashed",
    ]
    with pytest.raises(ServerError, match="expected one of the kind docker, found process"):
        deploy(Wanted(linkers=["sample"], infrastructure="docker", image="belink"))


def test_what_crashed_is_asked_for_again_until_it_has_crashed_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = PrefectServer(tmp_path)
    server.start()
    try:
        environment = {**os.environ, **server.variables}
        command = [str(Path(sys.executable).with_name("belink")), "deploy", "sample"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        with httpx.Client(base_url=server.variables["PREFECT_API_URL"], timeout=30) as api:

            def started(flow: str, name: str, request: dict[str, Any]) -> str:
                deployment = api.get(f"/deployments/name/{flow}/{name}").raise_for_status().json()["id"]
                path, body = f"/deployments/{deployment}/create_flow_run", {"parameters": {"request": request}}
                return str(api.post(path, json=body).raise_for_status().json()["id"])

            def ended(run: str, state: str) -> None:
                api.post(f"/flow_runs/{run}/set_state", json={"state": {"type": state}, "force": True})

            def waiting(n: int) -> dict[str, dict[str, Any]]:
                asked = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
                for _ in range(300):
                    found = api.post("/flow_runs/filter", json=asked).raise_for_status().json()
                    if len(found) == n:
                        return {each["id"]: each["parameters"]["request"] for each in found}
                    time.sleep(0.2)
                pytest.fail(f"{n} runs did not wait: {found}")

            first = {"linker": "sample", "retrain": "always"}
            ended(started("retrain", "sample", first), "COMPLETED")
            ended(started("retrain", "sample", first), "FAILED")
            promotion = {"linker": "sample", "version": "3"}
            ended(started("evaluate-and-promote", "belink", promotion), "CRASHED")
            ended(started("retrain", "sample", first), "CRASHED")
            for restarts in (1, 2):
                ((run, request),) = waiting(1).items()
                assert request == {**first, "restarts": restarts}
                ended(run, "CRASHED")
            ended(started("refresh-ontology", "mondo-sample", {"ontology": "mondo-sample"}), "CRASHED")
            (last, other) = sorted(waiting(2).values(), key=len, reverse=True)
    finally:
        server.kill()
    assert last == {**first, "restarts": 3}
    assert other == {"ontology": "mondo-sample", "restarts": 1}
    with pytest.raises(ServerError, match="found 3 that died one after the other"):
        deployed.retrain.fn(deployed.Retraining(**last))
    with pytest.raises(ServerError, match="found 3 that died"):
        deployed.refresh_ontology.fn(deployed.OntologyRefresh(ontology="mondo-sample", restarts=3))


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_prefect_knows_the_other_kinds_of_pool_and_that_they_take_an_image(prefect_server: Path, kind: str) -> None:
    from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

    template = asyncio.run(get_default_base_job_template_for_infrastructure_type(kind))
    assert {"image", "env"} <= set(template["variables"]["properties"])


def test_the_command_line_prints_prefect_yaml_and_asks_for_an_image() -> None:
    from click.testing import CliRunner

    from belink.cli import belink

    printed = CliRunner().invoke(belink, ["deploy", "sample", "--print"])
    assert [each["name"] for each in yaml.safe_load(printed.output)["deployments"]] == [
        "mondo-sample",
        "sample",
        "belink",
    ]
    assert CliRunner().invoke(belink, ["deploy", "--pools", "docker"]).exit_code == 2
    assert "PREFECT_API_URL" not in os.environ
