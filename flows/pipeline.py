"""The ``refresh`` flow: which function of the library, in what order, and which of them is retried.

``belink refresh LINKER`` runs it (see refresh.py). A team's deployments take it in two halves, an ontology's and a
linker's: see deployed.py.

Only fetching is retried: it alone asks the outside. Everything else gives the same answer again, and finds what an
earlier run, killed or not, has finished. Tasks are the library's functions and hold nothing of their own.
"""

from pathlib import Path
from typing import Any, Literal

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff
from pydantic import BaseModel, Field

from belink import settings
from belink.lifecycle import promote
from belink.lifecycle import refresh as refresh_steps
from belink.lifecycle import retrain as retraining
from belink.lifecycle.refresh import Champion, Start

fetching = task(  # the one kind of task that is retried
    name="fetch",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=10),
    retry_jitter_factor=0.5,
    cache_policy=NO_CACHE,
)
fetch = fetching(refresh_steps.fetched)
ingest = task(name="ingest", cache_policy=NO_CACHE)(refresh_steps.ingested)
compare = task(name="compare", cache_policy=NO_CACHE)(refresh_steps.compared)
index = task(name="index", cache_policy=NO_CACHE)(refresh_steps.indexed)
decide = task(name="decide", cache_policy=NO_CACHE)(retraining.decided)
adapt = task(name="adapt", cache_policy=NO_CACHE)(retraining.adapted)
train = task(name="train", cache_policy=NO_CACHE)(retraining.trained)
calibrate = task(name="calibrate", cache_policy=NO_CACHE)(retraining.calibrated)
draft = task(name="draft", cache_policy=NO_CACHE)(promote.drafted)
evaluate = task(name="evaluate", cache_policy=NO_CACHE)(promote.evaluated)
judge = task(name="judge", cache_policy=NO_CACHE)(promote.judged)
assemble = task(name="assemble", cache_policy=NO_CACHE)(promote.assembled)
register = task(name="register", cache_policy=NO_CACHE)(promote.registered)
conclude = task(name="conclude", cache_policy=NO_CACHE)(promote.concluded)


class RefreshRequest(BaseModel):
    """What a refresh is asked for."""

    linker: str = Field(description="A shipped linker's name, or the path to a linker's TOML.")
    files: dict[str, list[str]] = Field(
        default_factory=dict, description="Ontology → local files to read instead of the declared address."
    )
    retrain: Literal["auto", "always", "never"] = Field(
        default="auto", description="Train a new adapter: as the linker's rules say, in any case, or not at all."
    )
    share_restricted: bool = Field(
        default=False, description="The MLflow server may hold releases whose licence keeps them to the licensee."
    )
    home: str | None = Field(default=None, description="belink's home; BELINK_HOME where it is left out.")
    tracking_uri: str | None = Field(default=None, description="MLflow; MLFLOW_TRACKING_URI where it is left out.")


@flow(name="refresh", flow_run_name="refresh-{request.linker}")
def refresh(request: RefreshRequest) -> dict[str, Any]:
    """Take a linker's sources to a champion, or say which gate refused."""
    here = settings.load(Path(request.home) if request.home else None, request.tracking_uri)
    begun = refresh_steps.start(
        here, request.linker, tuple(request.files), request.retrain, share_restricted=request.share_restricted
    )
    refresh_steps.check_sharing(begun)
    with refresh_steps.exclusive(begun):
        current = refresh_steps.champion(begun)
        files = {name: fetch(begun, name, [Path(p) for p in request.files.get(name, [])]) for name in begun.sources}
        if current is not None and refresh_steps.is_unchanged(begun, files, current):
            return refresh_steps.unchanged(begun, current)
        releases = {name: ingest(begun, name, files[name]) for name in begun.sources}
        return challenge_champion(begun, releases, current)


def challenge_champion(begun: Start, releases: dict[str, Path], current: Champion | None) -> dict[str, Any]:
    """From the releases to a version that is champion, or to the gate that refused it. To be called in a flow."""
    diffs = compare(current, releases)
    for name, diff in diffs.items():
        publish(f"diff-{name}", diff.markdown())
    decision = adapt(begun, releases, decide(begun, releases, current, diffs))
    built = index(begun, releases, current, decision.encoder)
    publish(f"index-{begun.linker.name}", promote.index_report(built))

    if decision.train:
        train(begun, releases, built.path, decision.encoder)
    calibration = calibrate(begun, releases, built.path, decision, current)
    challenger = draft(begun, releases, built.path, decision, calibration)
    exam = evaluate(begun, challenger, current)
    gates = judge(begun, challenger, exam)
    publish(f"gates-{begun.linker.name}", promote.gate_report(gates))

    bundle = assemble(begun, challenger, exam, gates, diffs)
    version = register(begun, bundle, built, exam, gates)
    outcome: dict[str, Any] = conclude(begun, version, current, built, decision, gates)
    return outcome


def publish(key: str, markdown: str) -> None:
    """Keep a report where Prefect's page shows it; keys are lowercase letters, digits and dashes."""
    create_markdown_artifact(markdown, key="".join(c if c.isalnum() else "-" for c in key.lower()))
