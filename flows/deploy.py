"""A Prefect server made ready for belink: work pools with their limits, deployments, and what ends dead runs.

Everything is named, and brought to what is declared, so it can be run again after each change of a declaration.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink.errors import ServerError
from belink.flows.deployments import CPU, GPU, HEARTBEAT, Infrastructure, Wanted, deployments, prefect_yaml

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

POOLS = {CPU: None, GPU: 1}  # name → runs at a time; None: as many as the workers take
DEAD_AFTER = 3 * HEARTBEAT  # seconds without a heartbeat
NOT_STARTED_AFTER = 15 * 60  # seconds from taken to running; an image may have to be fetched meanwhile
AGAIN_AFTER = 60  # seconds from a crash to the run in its place: a machine that starts again takes its time


def deploy(wanted: Wanted) -> dict[str, Any]:
    """Make pools, automations and deployments on the server at ``PREFECT_API_URL``, and return what was made.

    :raises ServerError: there is none, it does not answer, or a pool is of another kind.
    """
    if not (url := os.environ.get("PREFECT_API_URL")):
        raise ServerError(
            "expected the address of a Prefect server in PREFECT_API_URL, found none; prefect server start runs one, "
            "a temporary server keeps no deployment"
        )
    # Prefect's client is slow to import; a missing address is reported without it.
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException

    declared = deployments(wanted)  # a mistake in a declaration shows before anything is changed
    automations = _automations()
    try:
        with get_client(sync_client=True) as client:
            # Pools come first: a deployment names its pool, and Prefect refuses one that does not exist.
            for name, limit in POOLS.items():
                _pool(client, name, wanted.infrastructure, limit)
            _deployments(wanted)
            for core in automations:
                _automation(client, core)
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        raise ServerError(f"{url}: expected a Prefect server, found {type(error).__name__}: {_line(error)}") from error
    names = [f"{_flow_name(each['entrypoint'])}/{each['name']}" for each in declared]
    return {
        "server": url,
        "infrastructure": wanted.infrastructure,
        "pools": dict(POOLS),
        "deployments": names,
        "schedules": {
            name: each["schedules"][0]["cron"] for name, each in zip(names, declared, strict=True) if each["schedules"]
        },
        "automations": [core.name for core in automations],
    }


def _pool(client: "SyncPrefectClient", name: str, kind: Infrastructure, limit: int | None) -> None:
    """Make the pool ``name``, or bring it to ``limit``.

    :raises ServerError: it is there, of another kind, or the server knows no such kind.
    """
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

    try:
        there = client.read_work_pool(name)
    except ObjectNotFound:
        template = asyncio.run(get_default_base_job_template_for_infrastructure_type(kind))
        if template is None:
            raise ServerError(
                f"expected a Prefect that knows {kind} pools, found none; install prefect-{kind}"
            ) from None
        client.create_work_pool(
            WorkPoolCreate(name=name, type=kind, base_job_template=template, concurrency_limit=limit)
        )
        return
    if there.type != kind:
        raise ServerError(
            f"work pool {name}: expected one of the kind {kind}, found {there.type}; "
            f"prefect work-pool delete {name}, then deploy again"
        )
    # Only the limit is brought to what is declared: an operator may have edited the rest of the pool.
    client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))


def _deployments(wanted: Wanted) -> None:
    """Do what ``prefect deploy --all`` does with the ``prefect.yaml`` of ``wanted``."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "prefect.yaml").write_text(prefect_yaml(wanted), encoding="utf-8")
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)  # noqa: S603 (nothing of it is input)
    # Prefect prints errors to either stream; the last lines hold the cause.
    if done.returncode:
        output = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ServerError(f"prefect deploy: {' '.join(output[-3:])[:500] or 'failed without a word'}")


def _automations() -> "list[AutomationCore]":
    """Return what the server does with runs that die.

    A worker or machine that dies cannot report it. A run whose heartbeats cease becomes Crashed, which frees its place
    in pool and deployment. So does a run that a worker took and never started: it has no heartbeat yet, and would keep
    its deployment's only place. A refresh or retraining that crashed is started again with the same request and one
    more restart. The server refuses more than :data:`belink.flows.deployed.RESTARTS` of them.
    """
    from prefect.events.schemas.automations import AutomationCore

    documents = [
        _crash_without(
            name="belink: a run without heartbeat has crashed",
            after="heartbeat",
            expected="heartbeat",
            seconds=DEAD_AFTER,
            message=f"no heartbeat for {DEAD_AFTER} seconds",
        ),
        _crash_without(
            name="belink: a run that was taken and never started has crashed",
            after="Pending",
            expected="Running",
            seconds=NOT_STARTED_AFTER,
            message=f"taken {NOT_STARTED_AFTER} seconds ago, but never started",
        ),
        _start_again(),
    ]
    return [AutomationCore.model_validate(document) for document in documents]


def _crash_without(*, name: str, after: str, expected: str, seconds: int, message: str) -> dict[str, Any]:
    """Return an automation: a run with the event ``after``, and not ``expected`` within ``seconds``, has crashed."""
    # A run that ends also stops sending `expected`. Without these events every finished run would count as crashed.
    ended = [f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")]
    return {
        "name": name,
        "description": message,
        "trigger": {
            "type": "event",
            # Proactive: the automation fires when nothing of `expect` follows `after` within the time. See Prefect's
            # docs, "Automations".
            "posture": "Proactive",
            "threshold": 1,
            "within": seconds,
            "after": [f"prefect.flow-run.{after}"],
            "expect": [f"prefect.flow-run.{expected}", *ended],
            "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
            # One count for each run; otherwise the heartbeat of one run would vouch for all.
            "for_each": ["prefect.resource.id"],
        },
        "actions": [{"type": "change-flow-run-state", "state": "CRASHED", "message": message}],
    }


def _start_again() -> dict[str, Any]:
    """Return an automation: a refresh or retraining that crashed is asked for again, with one restart more."""
    # Prefect renders this Jinja template with the crashed run. A template gives text, so the kind `json` parses it.
    parameters = "flow_run.parameters['request']"
    request = f"{{{{ dict({parameters}, restarts={parameters}.get('restarts', 0) + 1) | tojson }}}}"
    return {
        "name": "belink: a run that crashed is started again",
        "description": "A refresh or a retraining, with what it was asked for",
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "threshold": 1,
            "expect": ["prefect.flow-run.Crashed"],
            "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
            "match_related": {
                "prefect.resource.role": "flow",
                "prefect.resource.name": ["refresh-ontology", "retrain"],
            },
            "for_each": ["prefect.resource.id"],
        },
        "actions": [
            {
                "type": "run-deployment",
                # The deployment of the run that crashed, whichever that is.
                "source": "inferred",
                "schedule_after": AGAIN_AFTER,
                "parameters": {
                    "request": {"__prefect_kind": "json", "value": {"__prefect_kind": "jinja", "template": request}}
                },
            }
        ],
    }


def _automation(client: "SyncPrefectClient", core: "AutomationCore") -> None:
    """Make the automation, or bring the one of its name to ``core``."""
    there = client.read_automations_by_name(core.name)
    if not there:
        client.create_automation(core)
    for first in there[:1]:
        client.update_automation(first.id, core)
    # Prefect does not keep names of automations unique. Two of them would start a crashed run twice.
    for duplicate in there[1:]:
        client.delete_automation(duplicate.id)


def _flow_name(entrypoint: str) -> str:
    return entrypoint.rpartition(".")[2].replace("_", "-")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
