"""The ``refresh`` flow: which function of the library, in what order, and which of them is retried.

``belink refresh LINKER`` runs it (see refresh.py). A team's deployments take it in two halves, an ontology's and a
linker's: see deployed.py.

Only fetching is retried, because only it depends on servers elsewhere. Every other step gives the same result again,
and reuses what an earlier run has finished, even one that was killed. Tasks are the library's functions and hold
nothing of their own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from prefect import State, Task, flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.states import Completed
from prefect.tasks import exponential_backoff
from pydantic import BaseModel, Field

from belink import settings
from belink.errors import DeclarationError
from belink.lifecycle import calibrate as calibration_steps
from belink.lifecycle import ontology, promotion, registration
from belink.lifecycle import refresh as steps
from belink.lifecycle import retrain as training_steps
from belink.lifecycle import watch as watch_steps
from belink.lifecycle.failure import failure_noted
from belink.lifecycle.outcome import RefreshOutcome
from belink.lifecycle.refresh import Champion, RefreshRun
from belink.records import GateResult
from belink.registry import runs


def can_heal(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether it is worth trying again: a network heals, a mistake in a declaration does not.

    Prefect calls it with these three.
    """
    return not isinstance(state.data, DeclarationError)


# Prefect's default cache policy hashes all inputs of a task. Every step has its own cache already, keyed by content, so
# none uses Prefect's.
fetch = task(  # the one task that is retried
    name="fetch",
    retries=3,
    retry_condition_fn=can_heal,
    retry_delay_seconds=exponential_backoff(backoff_factor=10),
    retry_jitter_factor=0.5,
    cache_policy=NO_CACHE,
)(ontology.fetch)
ingest = task(name="ingest", cache_policy=NO_CACHE)(ontology.ingest)
compare = task(name="compare", cache_policy=NO_CACHE)(steps.compare)
decide = task(name="decide", cache_policy=NO_CACHE)(training_steps.decide)
finetune_encoder = task(name="finetune-encoder", cache_policy=NO_CACHE)(training_steps.finetune_encoder)
build_index = task(name="build-index", cache_policy=NO_CACHE)(steps.build_index)
train = task(name="train", cache_policy=NO_CACHE)(training_steps.train)
calibrate = task(name="calibrate", cache_policy=NO_CACHE)(calibration_steps.calibrate)
draft = task(name="draft", cache_policy=NO_CACHE)(promotion.draft)
evaluate = task(name="evaluate", cache_policy=NO_CACHE)(promotion.evaluate)
watch = task(name="watch", cache_policy=NO_CACHE)(watch_steps.watch)
judge = task(name="judge", cache_policy=NO_CACHE)(promotion.judge)
assemble = task(name="assemble", cache_policy=NO_CACHE)(promotion.assemble)
register = task(name="register", cache_policy=NO_CACHE)(registration.register)
promote = task(name="promote", cache_policy=NO_CACHE)(promotion.promote)


class Request(BaseModel):
    """What a flow is asked for. Prefect makes a form of it."""

    @property
    def name(self) -> str:
        """The linker or ontology that is meant, for the name of the run: of a TOML file its name without the path."""
        given = str(getattr(self, "linker", None) or getattr(self, "ontology", ""))
        return Path(given).stem if given.endswith(".toml") else given


class RefreshRequest(Request):
    """What a refresh is asked for."""

    # In the order of the form that Prefect makes of it.
    linker: str = Field(description="A linker's or an ontology's name, or the path to a TOML.")
    retrain: Literal["auto", "always", "never"] = Field(
        default="auto", description="Train a new adapter: as the linker's rules say, in any case, or not at all."
    )
    files: dict[str, list[str]] = Field(
        default_factory=dict, description="Ontology → local files to read instead of the declared address."
    )
    versions: dict[str, str] = Field(
        default_factory=dict, description="Ontology → the version to ask for, which is also the release's."
    )
    accept: bool = Field(default=False, description="Take releases although a gate on releases refuses them.")
    share_restricted: bool = Field(
        default=False, description="The MLflow server may hold releases whose licence keeps them to the licensee."
    )
    home: str | None = Field(
        default=None, title="Internal: home", description="belink's home; BELINK_HOME where it is left out."
    )
    tracking_uri: str | None = Field(
        default=None, title="Internal: registry", description="MLflow; MLFLOW_TRACKING_URI where it is left out."
    )


@flow(name="refresh", flow_run_name="refresh-{request.name}")
def refresh(request: RefreshRequest) -> State[RefreshOutcome]:
    """Take a linker's sources to a champion, or say which gate refused."""
    run = steps.start(
        settings.load(Path(request.home) if request.home else None, request.tracking_uri),
        request.linker,
        tuple(request.files),
        request.retrain,
        versions=request.versions,
        share_restricted=request.share_restricted,
    )
    steps.check_sharing(run)
    with steps.exclusive(run), failure_noted(run):
        files = {name: [Path(path) for path in paths] for name, paths in request.files.items()}
        changes = steps.find_changes(run, files, fetch)
        if changes.outcome is not None:
            return ended(changes.outcome)
        releases = {
            name: ingest(run.ontologies[name], of, accept=request.accept).path for name, of in changes.files.items()
        }
        return ended(challenge_champion(run, releases, changes.champion))


def challenge_champion(run: RefreshRun, releases: dict[str, Path], champion: Champion | None) -> RefreshOutcome:
    """Take the releases to a version that is champion, or to the gate that refused it. To be called in a flow."""
    with registration.recorded(run) as run:
        return _challenge_champion(run, releases, champion)


def _challenge_champion(run: RefreshRun, releases: dict[str, Path], champion: Champion | None) -> RefreshOutcome:
    diffs = compare(champion, releases)
    for name, diff in diffs.items():
        publish(f"diff-{name}", diff.markdown(), described(run, f"what its release of {name} changes"))
    decision = finetune_encoder(run, releases, decide(run, releases, champion, diffs))
    # After the fine-tuning: the vectors come from the encoder that this refresh decided on.
    index = build_index(run, releases, champion, decision.encoder)
    publish(f"index-{run.linker.name}", registration.index_report(index), described(run, "the index over its names"))

    # After the index: training questions are built from the candidates that retrieval finds.
    if decision.train:
        train(run, releases, index.path, decision.encoder)
    calibration = calibrate(run, releases, index.path, decision, champion)
    challenger = draft(run, releases, index.path, decision, calibration)
    evaluation = evaluate(run, challenger, champion)
    impacts = watch(run, challenger, champion)
    gates = judge(run, challenger, evaluation, impacts)
    bundle = assemble(run, challenger, evaluation, gates, diffs)
    # A refused challenger is registered too: it can be looked at, and promoted by hand.
    version = register(run, bundle, index, evaluation, gates, impacts)
    publish_impacts(run, impacts, version)
    publish_gates(f"gates-{run.linker.name}", gates, described(run, "its gates", version))
    outcome: RefreshOutcome = promote(
        run, version, champion, releases, index, decision, gates, watch_steps.for_outcome(impacts)
    )
    return outcome


def ended(outcome: RefreshOutcome) -> State[RefreshOutcome]:
    """Return the state that ends a flow, with the outcome in the message that Prefect's page shows beside the run."""
    return Completed(message=outcome.summary(), data=outcome)


def publish(key: str, markdown: str, description: str) -> None:
    """Keep a report where Prefect's page shows it."""
    create_markdown_artifact(markdown, key=_key(key), description=description)


def publish_impacts(run: RefreshRun, impacts: watch_steps.Impacts, version: str) -> None:
    """Keep what a version changes in each watched text where Prefect's page shows it."""
    for name, impact in impacts.items():
        described_as = described(run, f"what it changes in the text {name}", version)
        publish(f"impact-{run.linker.name}-{name}", impact["markdown"], described_as)


def publish_gates(key: str, gates: Sequence[GateResult], description: str) -> None:
    """Keep gates as a table where Prefect's page shows it."""
    rows = [
        {
            "gate": gate.name,
            "value": gate.value if gate.measured else None,
            "bound": gate.bound,
            "verdict": gate.verdict,
            "detail": gate.detail,
        }
        for gate in gates
    ]
    create_table_artifact(rows, key=_key(key), description=description)


def _key(text: str) -> str:
    """Return ``text`` as Prefect takes keys: lowercase letters, digits and dashes."""
    return "".join(c if c.isalnum() else "-" for c in text.lower())


def described(run: RefreshRun, what: str, version: str | None = None) -> str:
    """Return the description of an artifact in Markdown: what it shows, of which version, and MLflow's pages of it."""
    name, number = run.linker.name, f" version {version}" if version else ""
    pages = {
        "the run": runs.run_page(run.settings, run.mlflow_run),
        "the version": runs.version_page(run.settings, name, version) if version else None,
    }
    links = " · ".join(f"[{text} in MLflow]({page})" for text, page in pages.items() if page)
    return "\n\n".join(text for text in (f"Linker {name}{number}: {what}", links) if text)
