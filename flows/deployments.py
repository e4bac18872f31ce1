"""Deployments of a Prefect server, made from the declarations as ``prefect.yaml`` writes them.

One refresh an ontology, on its cron; one retraining a linker, started by the event that a refresh tells and by hand;
one evaluation with promotion. This module makes ``prefect.yaml`` at the top level from the shipped declarations. To add
a linker or an ontology, add its TOML file; ``belink deploy --print`` then prints the new ``prefect.yaml``.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from belink import declarations, settings
from belink.declarations import LinkerConfig, SourceConfig
from belink.errors import DeclarationError
from belink.lifecycle.ontology import REFRESHED, resource

CPU, GPU = "belink-cpu", "belink-gpu"
AWAITS_APPROVAL = "linker.awaits-approval"
HEARTBEAT = 30  # seconds; the shortest that Prefect takes
LARGE = "-large"  # ends the names of shipped linkers that are deployed only where they are named
Infrastructure = Literal["process", "docker", "kubernetes"]
HEADER = """\
# Made by `belink deploy --print` from ontologies/*.toml and flows/linkers/*.toml; a test holds the two together.
# `belink deploy` applies it together with pools and automations; `prefect deploy --all` alone needs the pools.
"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be deployed."""

    linkers: Sequence[str] = ()  # linkers or ontologies, names or paths to TOML; () for all that are shipped
    infrastructure: Infrastructure = "process"
    image: str = ""  # of containers
    share_restricted: Collection[str] = ()  # linkers whose restricted releases the MLflow server may hold


def prefect_yaml(wanted: Wanted) -> str:
    """Return the text of ``prefect.yaml`` for ``wanted``."""
    import yaml

    # An empty `pull` keeps Prefect from adding pull steps of its own: flows are imported from the installed package.
    document = {"name": "belink", "pull": [], "deployments": deployments(wanted)}
    return HEADER + yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


def deployments(wanted: Wanted) -> list[dict[str, Any]]:
    """Return one dictionary for each deployment: refreshes first, then retrainings, then the promotion."""
    # A worker runs in another folder, so paths are stored as absolute ones.
    # A new release would start the training of large models too, on whatever machine serves the pool.
    by_default = [name for name in shipped(settings.shipped_linkers()) if not name.endswith(LARGE)]
    given = [_absolute(name) for name in wanted.linkers] or by_default
    linkers = {name: declarations.load_linker(name) for name in given}
    _check_names(linkers)
    # Everything that is shipped is refreshed where everything is deployed; else what the named linkers are made of.
    named = [] if wanted.linkers else shipped(settings.shipped_ontologies())
    ontologies = list(dict.fromkeys([*named, *(name for linker in linkers.values() for name in linker.ontologies)]))
    refreshes = [_refresh(name, declarations.load_source(name), linkers, wanted) for name in ontologies]
    retrainings = [_retraining(name, linker, wanted) for name, linker in linkers.items()]
    return [*refreshes, *retrainings, _promotion(wanted)]


def _check_names(linkers: dict[str, LinkerConfig]) -> None:
    """Refuse two linkers of one name: the second deployment would take the place of the first.

    :raises DeclarationError: there are two.
    """
    first: dict[str, str] = {}
    for given, linker in linkers.items():
        # `setdefault` keeps the first file that gave this name, for the message.
        if first.setdefault(linker.name, given) != given:
            raise DeclarationError(
                f"expected linkers of different names, found {first[linker.name]} and {given}, both named "
                f"{linker.name}; leave one out or rename its file"
            )


def _absolute(name: str) -> str:
    return os.path.abspath(name) if name.endswith(".toml") else name


def shipped(folder: Path) -> list[str]:
    """Return the names of the declarations in ``folder``."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def _refresh(name: str, source: SourceConfig, linkers: dict[str, LinkerConfig], wanted: Wanted) -> dict[str, Any]:
    # Corpora of every linker that is made of this ontology: the gate refuses a release that loses concepts they use.
    watched = [given for given, linker in linkers.items() if name in linker.ontologies and linker.corpora]
    return {
        "name": source.name,
        "description": f"{source.title}: a new release, gated",
        "entrypoint": "belink.flows.deployed.refresh_ontology",
        "parameters": {"request": {"ontology": name, **({"linkers": watched} if watched else {})}},
        "schedules": _schedules(source.schedule),
        # A second refresh would fetch the same release, so it is dropped.
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "tags": ["belink", "refresh"],
        "work_pool": _work_pool(CPU, wanted),
    }


def _retraining(name: str, linker: LinkerConfig, wanted: Wanted) -> dict[str, Any]:
    request: dict[str, Any] = {"linker": name}
    if linker.name in wanted.share_restricted:
        request["share_restricted"] = True
    listened = [resource(declarations.load_source(ontology).name) for ontology in linker.ontologies]
    return {
        "name": linker.name,
        "description": f"{linker.title}: index, adapter, evaluation and gates over the newest releases",
        "entrypoint": "belink.flows.deployed.retrain",
        "parameters": {"request": request},
        "schedules": _schedules(linker.schedule),
        # A second retraining waits: it was started by the event of a release that the running one may not have seen.
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
        "tags": ["belink", "retrain"],
        "triggers": [
            {
                "type": "event",
                "name": f"belink retrain {linker.name}",
                "expect": [REFRESHED],
                "match": {"prefect.resource.id": listened},
            }
        ],
        "work_pool": _work_pool(GPU, wanted),
    }


def _promotion(wanted: Wanted) -> dict[str, Any]:
    # Four braces in an f-string make two: Prefect fills the template from the event that starts the run.
    parameters = {name: f"{{{{ event.payload.{name} }}}}" for name in ("linker", "version")}
    return {
        "name": "belink",
        "description": "A registered version against the champion; asks a person where the linker says so",
        "entrypoint": "belink.flows.deployed.evaluate_and_promote",
        "schedules": [],
        "tags": ["belink", "promote"],
        "triggers": [
            {
                "type": "event",
                "name": "belink ask for approval",
                "expect": [AWAITS_APPROVAL],
                "match": {"prefect.resource.id": "belink.linker.*"},
                "parameters": {"request": parameters},
            }
        ],
        "work_pool": _work_pool(CPU, wanted),
    }


def _schedules(cron: str) -> list[dict[str, str]]:
    return [{"cron": cron, "timezone": "UTC", "slug": "declared"}] if cron else []


def _work_pool(name: str, wanted: Wanted) -> dict[str, Any]:
    environment = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7",  # four minutes: a registry that starts again must not cost a training
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT),  # without one nobody learns that a run's machine died
        "PREFECT_LOGGING_EXTRA_LOGGERS": "belink",  # the run's page shows belink's own lines too
    }
    variables: dict[str, Any] = {"env": environment}
    # The job template of process pools has no variable `image`.
    if wanted.infrastructure != "process":
        variables["image"] = wanted.image
    return {"name": name, "job_variables": variables}
