"""The flows that a team's server runs: an ontology's refresh, a linker's retraining, and a promotion that asks first.

    refresh-ontology      on a schedule: address → release → gates → event ``ontology.refreshed``
    retrain               on that event: newest releases → index → training → evaluation → gates → ``champion``
    evaluate-and-promote  by hand, and where a linker asks for a person's approval

``deployments.py`` says which deployments there are of them. Like ``pipeline.py`` they hold no logic of their own; only
what asks the outside is retried.
"""

import logging
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from prefect import Flow, State, flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events import Event, Resource
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.states import Completed, Running
from prefect.tasks import exponential_backoff
from pydantic import Field

from belink import settings
from belink.errors import BelinkError, DeclarationError, GateRefused
from belink.flows.deployments import AWAITS_APPROVAL
from belink.flows.pipeline import (
    Request,
    challenge_champion,
    described,
    ended,
    evaluate,
    fetch,
    ingest,
    judge,
    publish,
    publish_gates,
    publish_impacts,
    watch,
)
from belink.lifecycle import ontology, promotion, registration
from belink.lifecycle import refresh as steps
from belink.lifecycle.failure import failure_noted
from belink.lifecycle.outcome import RefreshOutcome
from belink.lifecycle.watch import for_outcome
from belink.records import GateResult
from belink.registry import aliases
from belink.settings import Settings

RESTARTS = 2  # runs in the place of one that crashed; what always crashes needs a person, not a third

# Not cached by Prefect, for the reason that `pipeline` gives.
compare = task(name="compare", cache_policy=NO_CACHE)(ontology.compare)
reopen = task(name="reopen", cache_policy=NO_CACHE)(promotion.reopen)
settle = task(name="settle", cache_policy=NO_CACHE)(promotion.settle)


# The fields of requests stand in the order of the form that Prefect makes of them: what nobody fills in comes last.
Home = Annotated[
    str | None,
    Field(title="Internal: home", description="belink's home; the worker's BELINK_HOME where it is left out."),
]
# An automation of ``deploy.py`` asks again when its run crashed; the server refuses one restart more.
Restarts = Annotated[
    int,
    Field(
        ge=0,
        le=RESTARTS,
        title="Internal: restarts",
        description="How often it has been started again after a crash; leave it.",
    ),
]


class OntologyRefresh(Request):
    """What the refresh of an ontology is asked for."""

    ontology: str = Field(description="A shipped ontology's name, or the path to a source's TOML.")
    version: str | None = Field(default=None, description="The version to ask for, where an address is one a version.")
    files: list[str] = Field(default_factory=list, description="Local files to read instead of the declared address.")
    accept: bool = Field(default=False, description="Take the release although a gate refuses it.")
    linkers: list[str] = Field(
        default_factory=list, description="Linkers whose corpora a gate watches over: no name they use may be lost."
    )
    home: Home = None
    restarts: Restarts = 0


class Retraining(Request):
    """What a linker's retraining is asked for."""

    linker: str = Field(description="A linker's or an ontology's name, or the path to a TOML.")
    retrain: Literal["auto", "always", "never"] = Field(
        default="auto", description="Train a new adapter: as the linker's rules say, in any case, or not at all."
    )
    share_restricted: bool = Field(
        default=False, description="The MLflow server may hold releases whose licence keeps them to the licensee."
    )
    home: Home = None
    restarts: Restarts = 0


class Promotion(Request):
    """Which version is judged again, and becomes champion if it may."""

    linker: str = Field(description="A linker's or an ontology's name, or the path to a TOML.")
    version: str = Field(default="challenger", description="A version's number, or an alias.")
    home: Home = None


class Decision(RunInput):
    """What a person says to a version whose gates have all passed."""

    approve: bool = Field(description="Make it champion.")
    by: str = Field(default="", description="Who says so.")


def sweep(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Remove what a run that crashed or was cancelled left half-made; its locks went with its process.

    Prefect calls hooks by these very names.
    """
    request = dict(flow_run.parameters["request"])
    # A hook gets the raw parameters of the run, as Prefect's server stores them.
    settings = _settings(request.get("home"))
    if "ontology" in request:
        ontology.sweep(ontology.start(settings, request["ontology"]))
        return
    try:
        run = steps.start(settings, request["linker"])
        with steps.exclusive(run):  # sweeps; another run that goes on meanwhile has done so itself
            pass
    except BelinkError:
        return


@flow(
    name="refresh-ontology",
    flow_run_name="refresh-{request.name}",
    on_crashed=[sweep],
    on_cancellation=[sweep],
)
def refresh_ontology(request: OntologyRefresh) -> State[dict[str, Any]]:
    """Take an ontology from its address to a release, or say which gate refused; announce a new one."""
    run = ontology.start(_settings(request.home), request.ontology, request.linkers, request.version)
    name = run.source.name
    if not request.files and not ontology.has_address(run):
        raise DeclarationError(
            f"{name}: expected local files, since its declaration has no address (url), found none; name them in the "
            "field files of this form (request.files), as paths on the worker's machine"
        )
    files = fetch(run, [Path(path) for path in request.files])
    try:
        release = ingest(run, files, accept=request.accept)
    except GateRefused as error:
        # The gates are published before the error goes on, so that the page of a failed run shows which one refused.
        gates = [GateResult(**gate) for gate in error.gates]  # type: ignore[arg-type]
        publish_gates(f"release-gates-{name}", gates, f"Gates on a release of {name} that was refused")
        raise
    publish_gates(f"release-gates-{name}", release.gates, f"Gates on {name}, release {release.version}")
    diff = compare(run, release.path)
    if diff is not None:
        publish(f"diff-{name}", diff.markdown(), f"What {name}, release {release.version}, changes")
    news = ontology.unannounced(run, release.path)
    if news is not None:
        # Told first and remembered second: a kill in between tells it twice, and `retrain` then finds nothing to do.
        announce(ontology.REFRESHED, ontology.resource(name), news)
        ontology.remember(run, news)
    answer = {"ontology": name, "version": release.version, "release": str(release.path), "announced": news is not None}
    return Completed(message=f"{'new' if news is not None else 'unchanged'}, version {release.version}", data=answer)


@flow(name="retrain", flow_run_name="retrain-{request.name}", on_crashed=[sweep], on_cancellation=[sweep])
def retrain(request: Retraining) -> State[RefreshOutcome]:
    """Take the newest releases of a linker's ontologies to a champion, or say which gate refused."""
    settings = _settings(request.home)
    run = steps.start(settings, request.linker, (), request.retrain, share_restricted=request.share_restricted)
    steps.check_sharing(run)
    with steps.exclusive(run), failure_noted(run):
        champion = steps.read_champion(run)
        releases = steps.newest_releases(run)
        # Each ontology of a linker announces its own release. One retraining takes them all; those after it end here.
        if champion is not None and steps.is_made_of(run, releases, champion):
            return ended(steps.report_unchanged(run, champion))
        outcome = challenge_champion(run, releases, champion)
    # The question is a run of its own: this one would hold the GPU pool's only place until somebody answers.
    if promotion.awaits_approval(outcome):
        payload = {"linker": request.linker, "version": outcome.version}
        announce(AWAITS_APPROVAL, f"belink.linker.{run.linker.name}", payload)
    return ended(outcome)


@flow(name="evaluate-and-promote", flow_run_name="promote-{request.name}-{request.version}")
def evaluate_and_promote(request: Promotion) -> State[RefreshOutcome]:
    """Measure a registered version against the champion, ask a person where the linker says so, and move the alias."""
    run = steps.start(_settings(request.home), request.linker)
    champion = steps.read_champion(run)
    version = aliases.version_of(run.settings, run.linker.name, request.version)
    # A champion is not judged against itself: there is no alias to move.
    if champion is not None and champion.version == version:
        return ended(steps.report_unchanged(run, champion))
    challenger = reopen(run, version)
    evaluation = evaluate(run, challenger, champion)
    impacts = watch(run, challenger, champion)
    publish_impacts(run, impacts, version)
    gates = judge(run, challenger, evaluation, impacts)
    publish_gates(f"gates-{run.linker.name}", gates, described(run, "its gates", version))
    approval = _ask_person(run, version, gates) if run.linker.approval.required else None
    outcome: RefreshOutcome = settle(run, version, champion, gates, approval=approval, impact=for_outcome(impacts))
    return ended(outcome)


def _ask_person(run: steps.RefreshRun, version: str, gates: list[GateResult]) -> GateResult | None:
    """Return a person's answer on a version; ``None`` if a gate has refused it already."""
    # Nobody is asked about a version that cannot become champion anyway.
    if not all(gate.passed for gate in gates):
        return None
    hours = run.linker.approval.hours
    question = f"# {run.linker.name} version {version}\n\n{registration.gate_report(gates)}\nIs it to be champion?"
    try:
        said = pause_flow_run(
            wait_for_input=Decision.with_initial_data(description=question),
            timeout=int(hours * 3600),
            poll_interval=5,
        )
    except FlowPauseTimeout:
        # Once its time is over, the server lets a paused run end as failed only; but this one has an outcome.
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(runtime.flow_run.id), Running(), force=True)
        return promotion.approval_gate(False, f"nobody answered within {hours:g} hours")
    return promotion.approval_gate(said.approve, f"by {said.by or 'somebody without a name'}")


@task(retries=3, retry_delay_seconds=exponential_backoff(backoff_factor=5), cache_policy=NO_CACHE)
def announce(event: str, resource: str, payload: dict[str, Any]) -> UUID:
    """Send an event to the Prefect server and return its id once it has arrived; ``emit_event`` does not wait."""
    message = Event(event=event, resource=Resource({"prefect.resource.id": resource}), payload=payload)
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[message.model_dump(mode="json")])
    return message.id


def _settings(home: str | None) -> Settings:
    """Return the settings of a run, and let belink's own lines reach the run's page.

    Prefect hands them on (PREFECT_LOGGING_EXTRA_LOGGERS), but leaves the logger's level at that of warnings.
    """
    # A level that somebody has set, such as by the command line, stays.
    log = logging.getLogger("belink")
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    return settings.load(Path(home) if home else None)
