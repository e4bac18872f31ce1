"""What stands in the declarations is what a Prefect server is told; saying it twice changes nothing."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Crashed, Failed, Pending, State

from belink.cli.main import belink
from belink.declarations import load_linker, load_source
from belink.errors import DeclarationError, ServerError
from belink.flows import deploy as deploying
from belink.flows import deployed
from belink.flows.deploy import deploy
from belink.flows.deployments import CPU, GPU, LARGE, Wanted, deployments, prefect_yaml
from tests.support import small
from tests.support.servers import PrefectServer

ROOT = Path(__file__).parents[2]


def by_entrypoint(flow: str, wanted: Wanted | None = None) -> dict[str, dict[str, Any]]:
    return {
        each["name"]: each
        for each in deployments(wanted or Wanted())
        if each["entrypoint"] == f"belink.flows.deployed.{flow}"
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
    wanted = Wanted(linkers=[path.stem]) if path.stem.endswith(LARGE) else Wanted()
    retrain, declared = by_entrypoint("retrain", wanted)[path.stem], load_linker(path.stem)
    (trigger,) = retrain["triggers"]
    assert trigger["expect"] == ["ontology.refreshed"]
    assert trigger["match"] == {"prefect.resource.id": [f"belink.ontology.{name}" for name in declared.ontologies]}
    assert retrain["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
    assert retrain["work_pool"]["name"] == GPU


def test_linkers_of_large_models_are_deployed_only_where_they_are_named() -> None:
    assert not {"disease-large", "chemical-large"} & by_entrypoint("retrain").keys()
    assert {"disease-large"} == by_entrypoint("retrain", Wanted(linkers=["disease-large"])).keys()


@pytest.mark.heavy
def test_a_users_linker_is_deployed_with_its_own_ontologies_alone(tmp_path: Path, models: dict[str, str]) -> None:
    toml = str(small.linker(tmp_path, models))
    wanted = Wanted(linkers=[toml], infrastructure="docker", image="registry/belink:1", share_restricted=["small"])
    assert set(by_entrypoint("refresh_ontology", wanted)) == {small.ONTOLOGY}
    (retrain,) = by_entrypoint("retrain", wanted).values()
    assert retrain["parameters"] == {"request": {"linker": toml, "share_restricted": True}}
    assert retrain["work_pool"]["job_variables"]["image"] == "registry/belink:1"


@pytest.mark.heavy
def test_a_linkers_path_is_stored_so_that_a_worker_elsewhere_finds_it(
    tmp_path: Path, models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = small.linker(tmp_path, models)
    monkeypatch.chdir(tmp_path)
    (retrain,) = by_entrypoint("retrain", Wanted(linkers=[toml.name])).values()
    assert retrain["parameters"]["request"]["linker"] == str(toml)


def test_a_relative_path_to_an_ontology_is_one_ontology_whoever_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ontology = tmp_path / "ontologies" / "plants.toml"
    for folder in ("ontologies", "linkers", "elsewhere"):
        (tmp_path / folder).mkdir()
    ontology.write_text(
        'title = "Plants"\nformat = "obo"\nprefixes = ["PO"]\nlicence = "CC0"\nschedule = "0 2 1 * *"\n'
    )
    linker = tmp_path / "linkers" / "plants.toml"
    linker.write_text('title = "Plants"\nontologies = ["../ontologies/plants.toml"]\n')
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "ontologies" / "trees.toml").write_text('title = "Trees"\nontologies = ["./plants.toml"]\n')
    wanted = Wanted(linkers=["../linkers/plants.toml", "../ontologies/trees.toml"])
    refreshes = [each for each in deployments(wanted) if each["entrypoint"].endswith("refresh_ontology")]
    assert [each["parameters"]["request"]["ontology"] for each in refreshes] == [str(ontology)]
    retrains = [each for each in deployments(wanted) if each["entrypoint"].endswith("retrain")]
    assert [each["parameters"]["request"]["linker"] for each in retrains] == [
        str(linker),
        str(ontology.with_name("trees.toml")),
    ]
    with pytest.raises(DeclarationError, match="both named plants; leave one out"):
        deployments(Wanted(linkers=["../linkers/plants.toml", "../ontologies/plants.toml"]))


def test_an_ontology_without_a_linker_is_deployed_with_its_default_linker() -> None:
    wanted = Wanted(linkers=["hp"])
    assert set(by_entrypoint("refresh_ontology", wanted)) == {"hp"}
    (retrain,) = by_entrypoint("retrain", wanted).values()
    assert retrain["parameters"]["request"] == {"linker": "hp"}
    assert [schedule["cron"] for schedule in retrain["schedules"]] == [load_source("hp").schedule]


def test_a_deployment_names_flows_and_parameters_that_there_are() -> None:
    for each in deployments(Wanted()):
        flow = getattr(deployed, each["entrypoint"].rpartition(".")[2])
        if "parameters" in each:
            flow.validate_parameters(each["parameters"])


def test_parameters_explain_themselves() -> None:
    for flow in (deployed.refresh_ontology, deployed.retrain, deployed.evaluate_and_promote):
        (request,) = flow.parameters.definitions.values()
        assert all(field.get("description") for field in request["properties"].values())


@pytest.mark.heavy
def test_deploying_needs_a_server_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(ServerError, match="PREFECT_API_URL, found none"):
        deploy(Wanted(linkers=["sample"]))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    code = "from belink.flows import deploy, deployments as d; deploy.deploy(d.Wanted(linkers=['sample']))"
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
        "belink: a run that was taken and never started has crashed",
        "belink: a run without heartbeat has crashed",
    ]
    with pytest.raises(ServerError, match="expected one of the kind docker, found process"):
        deploy(Wanted(linkers=["sample"], infrastructure="docker", image="belink"))


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, prefect_server: Path) -> Iterator[SyncPrefectClient]:
    """The API of a server with all its services, to which the linker sample is deployed.

    A run that was taken and never started has crashed there after ten seconds.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    server = PrefectServer(tmp_path_factory.mktemp("lasting"), prefect_server / "empty.db")
    server.start()
    url = server.variables["PREFECT_API_URL"]
    try:
        with pytest.MonkeyPatch.context() as patch, temporary_settings({PREFECT_API_URL: url}):
            patch.setenv("PREFECT_API_URL", url)
            patch.setattr(deploying, "NOT_STARTED_AFTER", 10)
            ran = CliRunner().invoke(belink, ["deploy", "sample"])
        assert ran.exit_code == 0, ran.output
        with SyncPrefectClient(url) as api:
            yield api
    finally:
        server.kill()


def test_a_crashed_run_is_scheduled_again_a_bounded_number_of_times(lasting: SyncPrefectClient) -> None:
    def ended(name: str, request: dict[str, Any], state: State[Any]) -> None:
        deployment = lasting.read_deployment_by_name(name)
        run = lasting.create_flow_run_from_deployment(deployment.id, parameters={"request": request})
        lasting.set_flow_run_state(run.id, state, force=True)

    def waiting() -> FlowRun:
        for _ in range(600):
            found = [run for run in lasting.read_flow_runs(limit=200) if run.state and run.state.is_scheduled()]
            if found:
                (run,) = found
                return run
            time.sleep(0.1)
        pytest.fail("nothing was started again")

    first = {"linker": "sample", "retrain": "always"}
    ended("retrain/sample", first, Completed())
    ended("retrain/sample", first, Failed())
    ended("evaluate-and-promote/belink", {"linker": "sample", "version": "3"}, Crashed())
    ended("retrain/sample", first, Crashed())
    for restarts in (1, 2):
        run = waiting()
        assert run.parameters["request"] == {**first, "restarts": restarts}
        lasting.set_flow_run_state(run.id, Crashed(), force=True)
    ended("refresh-ontology/mondo-sample", {"ontology": "mondo-sample"}, Crashed())
    run = waiting()  # and no third retraining, which crashed before
    assert run.parameters["request"] == {"ontology": "mondo-sample", "restarts": 1}
    lasting.delete_flow_run(run.id)


def test_a_run_that_was_killed_before_it_started_gives_its_place_back(lasting: SyncPrefectClient) -> None:
    deployment = lasting.read_deployment_by_name("refresh-ontology/mondo-sample")

    def taken() -> FlowRun:
        """A run that a worker has taken."""
        run = lasting.create_flow_run_from_deployment(deployment.id)
        lasting.set_flow_run_state(run.id, Pending())
        return lasting.read_flow_run(run.id)

    killed = taken()
    assert killed.state is not None and killed.state.is_pending()
    refused = taken()
    assert refused.state is not None and refused.state.is_cancelled(), "its place is taken"
    for _ in range(600):
        if (state := lasting.read_flow_run(killed.id).state) is not None and state.is_crashed():
            break
        time.sleep(0.1)
    assert state is not None and state.message == "taken 10 seconds ago, but never started"
    after = taken()
    assert after.state is not None and after.state.is_pending()


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_prefect_knows_the_other_kinds_of_pool_and_that_they_take_an_image(prefect_server: Path, kind: str) -> None:
    from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

    template = asyncio.run(get_default_base_job_template_for_infrastructure_type(kind))
    assert {"image", "env"} <= set(template["variables"]["properties"])


def test_the_command_line_prints_prefect_yaml_and_asks_for_an_image() -> None:
    printed = CliRunner().invoke(belink, ["deploy", "sample", "--print"])
    assert [each["name"] for each in yaml.safe_load(printed.output)["deployments"]] == [
        "mondo-sample",
        "sample",
        "belink",
    ]
    assert CliRunner().invoke(belink, ["deploy", "--pools", "docker"]).exit_code == 2
    assert "PREFECT_API_URL" not in os.environ


def test_runs_are_named_by_the_linker_or_ontology_and_not_by_a_path() -> None:
    from belink.flows import deployed, pipeline

    requests = {
        "refresh-small": (pipeline.refresh, pipeline.RefreshRequest(linker="/srv/linkers/small.toml")),
        "refresh-mondo": (deployed.refresh_ontology, deployed.OntologyRefresh(ontology="/srv/mondo.toml")),
        "retrain-disease": (deployed.retrain, deployed.Retraining(linker="disease")),
        "promote-small-3": (deployed.evaluate_and_promote, deployed.Promotion(linker="./small.toml", version="3")),
    }
    for name, (flow, request) in requests.items():
        assert str(flow.flow_run_name).format(request=request) == name
        assert "name" not in type(request).model_json_schema()["properties"], "no field of the form"
