"""The flows that a team's server runs: an ontology's refresh, a linker's retraining, and a promotion that asks first.

    refresh-ontology      on a schedule: address → release → gates → event ``ontology.refreshed``
    retrain               on that event: newest releases → index → training → evaluation → gates → ``champion``
    evaluate-and-promote  by hand, and where a linker asks for a person's approval

``deployments.py`` says which deployments there are of them. Like ``pipeline.py`` they hold no logic of their own; only
what asks the outside is retried.
"""

from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from prefect import Flow, State, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events import Event, Resource
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.tasks import exponential_backoff
from pydantic import BaseModel, Field

from belink import settings
from belink.errors import BelinkError, GateRefused
from belink.flows.pipeline import challenge_champion, evaluate, fetching, judge, publish
from belink.lifecycle import ontology as ontology_refresh
from belink.lifecycle import promote, refresh
from belink.records import GateResult
from belink.registry import aliases

AWAITS_APPROVAL = "linker.awaits-approval"
RESTARTS = 2  # runs in the place of one that crashed; what always crashes needs a person, not a third

fetch = fetching(ontology_refresh.fetched)
ingest = task(name="ingest", cache_policy=NO_CACHE)(ontology_refresh.ingested)
compare = task(name="compare", cache_policy=NO_CACHE)(ontology_refresh.compared)
reopen = task(name="reopen", cache_policy=NO_CACHE)(promote.reopened)
settle = task(name="settle", cache_policy=NO_CACHE)(promote.settled)


class Restartable(BaseModel):
    """What an automation of ``deploy.py`` asks for again when its run crashed; the server refuses one restart more."""

    restarts: int = Field(
        default=0, ge=0, le=RESTARTS, description="How often it has been started again after a crash; leave it."
    )


class OntologyRefresh(Restartable):
    """What the refresh of an ontology is asked for."""

    ontology: str = Field(description="A shipped ontology's name, or the path to a source's TOML.")
    files: list[str] = Field(default_factory=list, description="Local files to read instead of the declared address.")
    version: str | None = Field(default=None, description="The version to ask for, where an address is one a version.")
    accept: bool = Field(default=False, description="Take the release although a gate refuses it.")
    linkers: list[str] = Field(
        default_factory=list, description="Linkers whose corpora a gate watches over: no name they use may be lost."
    )
    home: str | None = Field(default=None, description="belink's home; the worker's BELINK_HOME where it is left out.")


class Retraining(Restartable):
    """What a linker's retraining is asked for."""

    linker: str = Field(description="A shipped linker's name, or the path to a linker's TOML.")
    retrain: Literal["auto", "always", "never"] = Field(
        default="auto", description="Train a new adapter: as the linker's rules say, in any case, or not at all."
    )
    share_restricted: bool = Field(
        default=False, description="The MLflow server may hold releases whose licence keeps them to the licensee."
    )
    home: str | None = Field(default=None, description="belink's home; the worker's BELINK_HOME where it is left out.")


class Promotion(BaseModel):
    """Which version is judged again, and becomes champion if it may."""

    linker: str = Field(description="A shipped linker's name, or the path to a linker's TOML.")
    version: str = Field(default="challenger", description="A version's number, or an alias.")
    home: str | None = Field(default=None, description="belink's home; the worker's BELINK_HOME where it is left out.")


class Decision(RunInput):
    """What a person says to a version whose gates have all passed."""

    approve: bool = Field(description="Make it champion.")
    by: str = Field(default="", description="Who says so.")


def sweep(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Remove what a run that crashed or was cancelled left half-made; its locks went with its process.

    Prefect calls hooks by these very names.
    """
    asked = dict(flow_run.parameters["request"])
    here = _here(asked.get("home"))
    if "ontology" in asked:
        ontology_refresh.sweep(ontology_refresh.start(here, asked["ontology"]))
        return
    try:
        begun = refresh.start(here, asked["linker"])
        with refresh.exclusive(begun):  # sweeps; another run that goes on meanwhile has done so itself
            pass
    except BelinkError:
        return


@flow(
    name="refresh-ontology",
    flow_run_name="refresh-{request.ontology}",
    on_crashed=[sweep],
    on_cancellation=[sweep],
)
def refresh_ontology(request: OntologyRefresh) -> dict[str, Any]:
    """Take an ontology from its address to a release, or say which gate refused; tell of a new one."""
    begun = ontology_refresh.start(_here(request.home), request.ontology, request.linkers, request.version)
    name = begun.source.name
    files = fetch(begun, [Path(path) for path in request.files])
    try:
        release = ingest(begun, files, accept=request.accept)
    except GateRefused as error:
        publish(f"release-gates-{name}", promote.gate_report([GateResult(**gate) for gate in error.gates]))  # type: ignore[arg-type]
        raise
    publish(f"release-gates-{name}", promote.gate_report(release.gates))
    diff = compare(begun, release.path)
    if diff is not None:
        publish(f"diff-{name}", diff.markdown())
    news = ontology_refresh.unannounced(begun, release.path)
    if news is not None:
        announce(ontology_refresh.REFRESHED, ontology_refresh.resource(name), news)
        ontology_refresh.announced(begun, news)
    return {"ontology": name, "version": release.version, "release": str(release.path), "announced": news is not None}


@flow(name="retrain", flow_run_name="retrain-{request.linker}", on_crashed=[sweep], on_cancellation=[sweep])
def retrain(request: Retraining) -> dict[str, Any]:
    """Take the newest releases of a linker's ontologies to a champion, or say which gate refused."""
    here = _here(request.home)
    begun = refresh.start(here, request.linker, (), request.retrain, share_restricted=request.share_restricted)
    refresh.check_sharing(begun)
    with refresh.exclusive(begun):
        current = refresh.champion(begun)
        releases = refresh.newest_releases(begun)
        if current is not None and refresh.is_made_of(begun, releases, current):
            return refresh.unchanged(begun, current)
        outcome = challenge_champion(begun, releases, current)
    if promote.awaits_approval(outcome):
        asked = {"linker": request.linker, "version": outcome["version"]}
        announce(AWAITS_APPROVAL, f"belink.linker.{begun.linker.name}", asked)
    return outcome


@flow(name="evaluate-and-promote", flow_run_name="promote-{request.linker}-{request.version}")
def evaluate_and_promote(request: Promotion) -> dict[str, Any]:
    """Measure a registered version against the champion, ask a person where the linker says so, and move the alias."""
    begun = refresh.start(_here(request.home), request.linker)
    current = refresh.champion(begun)
    version = aliases.version_of(begun.settings, begun.linker.name, request.version)
    if current is not None and current.version == version:
        return refresh.unchanged(begun, current)
    challenger = reopen(begun, version)
    exam = evaluate(begun, challenger, current)
    gates = judge(begun, challenger, exam)
    publish(f"gates-{begun.linker.name}", promote.gate_report(gates))
    approval = _asked(begun, version, gates) if begun.linker.approval.required else None
    answer: dict[str, Any] = settle(begun, version, current, gates, approval=approval)
    return answer


def _asked(begun: refresh.Start, version: str, gates: list[GateResult]) -> GateResult | None:
    """A person's word on a version; ``None`` where a gate has said no already."""
    if not all(gate.passed for gate in gates):
        return None
    hours = begun.linker.approval.hours
    question = f"# {begun.linker.name} version {version}\n\n{promote.gate_report(gates)}\nIs it to be champion?"
    try:
        said = pause_flow_run(
            wait_for_input=Decision.with_initial_data(description=question),
            timeout=int(hours * 3600),
            poll_interval=5,
        )
    except FlowPauseTimeout:
        return promote.approval_gate(False, f"nobody answered within {hours:g} hours")
    return promote.approval_gate(said.approve, f"by {said.by or 'somebody without a name'}")


@task(retries=3, retry_delay_seconds=exponential_backoff(backoff_factor=5), cache_policy=NO_CACHE)
def announce(event: str, resource: str, payload: dict[str, Any]) -> UUID:
    """Tell the Prefect server of an event, and come back once it has it; ``emit_event`` only promises to try."""
    told = Event(event=event, resource=Resource({"prefect.resource.id": resource}), payload=payload)
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[told.model_dump(mode="json")])
    return told.id


def _here(home: str | None) -> settings.Settings:
    return settings.load(Path(home) if home else None)
