"""Runs and the models that are logged in them: how a bundle comes into the store, and how it goes.

A run is open from the start of a refresh, so that its page shows losses while they fall, and its true duration.
"""

import logging
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from belink.errors import RegistryError
from belink.progress import Record
from belink.registry.store.connection import EXPERIMENT, NOTE, local_folder
from belink.registry.store.homes import home_tag, is_own
from belink.registry.tags import BUNDLE, HOME, KIND, LINKER
from belink.settings import Settings, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

_MODEL = (
    "A linker of belink: mentions in biomedical text to ontology concepts. Each version is a whole linker: releases, "
    "index, adapter and calibration. `champion` is the version that answers, `previous` the one to roll back to, "
    "`challenger` the one judged last.\n\n"
    "Tags of a version: the `belink.releases` it is made from, its `belink.gates`, when it was `belink.promoted` and, "
    "if it was rolled back, `belink.withdrawn`. `belink.bundle` is the key that each answer's lineage names. "
    "Parameters, metrics, curves and reports are in the version's source run.\n\n"
    "`mlflow models serve -m models:/{linker}@champion --env-manager local` answers `POST /invocations` with "
    '`{{"inputs": [{{"text": "He has type 2 diabetes."}}]}}`.'
)  # description of a registered model, Markdown
_GROUP_MODEL = (
    "Several linkers of belink that answer as one; a version lists them. Each linker follows its own alias or version, "
    "looked up in this registry when the model is loaded."
)
GROUP: Final = "group"  # the kind of such a model
_LONGEST_NOTE = 1000  # characters


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What is written in a run besides the bundle."""

    params: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)  # names without "@"
    reports: Mapping[str, str] = field(default_factory=dict)  # file name → text
    plots: Mapping[str, bytes] = field(default_factory=dict)  # file name → PNG, in the folder `plots`
    datasets: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # name → (where from, sha256)
    description: str = ""  # Markdown
    run_id: str = ""  # the open run of a refresh; "" makes one
    share_restricted: bool = False  # a server may hold releases that are not redistributable


@contextmanager
def open_run(client: "MlflowClient", settings: Settings, linker: str, started: float) -> Iterator[str]:
    """Give the id of a run that is open while the block runs; it ends as FINISHED, FAILED or KILLED.

    Open runs of the same linker and home were left by killed refreshes, since a lock lets only one refresh run. They
    end as KILLED. The run stays open when a bundle is logged in it: the promotion is still to come.

    :param started: when the refresh began, in seconds since 1970.
    """
    experiment = _experiment(client)
    _end_killed(client, settings, experiment, linker)
    tags = {KIND: "refresh", HOME: home_tag(settings), LINKER: linker, NOTE: f"A refresh of {linker}, not ended yet."}
    name = f"{linker}-{time.strftime('%Y-%m-%d-%H%M%S', time.gmtime(started))}"
    run_id = client.create_run(experiment, start_time=int(started * 1000), tags=tags, run_name=name).info.run_id
    status = "KILLED"  # Ctrl-C, and whatever else is no exception
    try:
        with _system_metrics(run_id, settings):
            yield run_id
        status = "FINISHED"
    except Exception as error:
        status = "FAILED"
        with suppress(Exception):  # the registry may be what failed; the first error is the one to show
            reason = without_password(str(error))[:_LONGEST_NOTE]
            client.set_tag(run_id, NOTE, f"A refresh of {linker} that failed: {reason}")
        raise
    finally:
        with suppress(Exception):
            client.set_terminated(run_id, status=status)


def _end_killed(client: "MlflowClient", settings: Settings, experiment: str, linker: str) -> None:
    for run in client.search_runs([experiment], f"attributes.status = 'RUNNING' AND tags.`{LINKER}` = '{linker}'"):
        if not is_own(settings, run.data.tags):
            continue
        log.info("%s: the run %s was left by a killed refresh; it is marked so", linker, run.info.run_id)
        client.set_tag(run.info.run_id, NOTE, f"A refresh of {linker} that was killed. The next one went on from it.")
        client.set_terminated(run.info.run_id, status="KILLED")


@contextmanager
def _system_metrics(run_id: str, settings: Settings) -> Iterator[None]:
    """Record processor, memory, disk and GPU every ten seconds, where psutil is there to read them."""
    try:
        from mlflow.system_metrics import system_metrics_monitor

        module: Any = system_metrics_monitor  # its methods have no type hints
        monitor = module.SystemMetricsMonitor(run_id, tracking_uri=settings.tracking_uri)
    except Exception as error:  # the package psutil belongs to the extra `train`; a refresh does not need figures of it
        log.debug("no system metrics: %s", error)
        yield
        return
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def recorder(client: "MlflowClient", run_id: str) -> Record:
    """Return a function that writes a metric into an open run; a registry that is away costs the metric alone."""
    failed = False

    def record(name: str, value: float, step: int) -> None:
        nonlocal failed
        if failed:  # each attempt waits for minutes where a server is away
            return
        try:
            client.log_metric(run_id, name, value, step=step)
        except Exception as error:
            failed = True
            log.warning("MLflow does not take metrics of the training, which goes on without: %s", error)

    return record


def log_bundle(
    client: "MlflowClient",
    settings: Settings,
    stored: Path,
    manifest: Mapping[str, Any],
    record: RunRecord,
) -> tuple[str, str, str]:
    """Return (run id, model URI, model id) of the run with the bundle logged in it; needs :func:`pointed_at`.

    :param stored: the bundle, or the folder with its reference.
    """
    import mlflow
    from mlflow.data.dataset_source_registry import resolve_dataset_source
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import LoggedModelInput

    linker, key = manifest["linker"], manifest["key"]
    experiment = _experiment(client)
    tags = {BUNDLE: key, KIND: "refresh", HOME: home_tag(settings), LINKER: linker}
    run_id = record.run_id
    if not run_id:
        run_id = client.create_run(experiment, tags=tags, run_name=run_name(manifest)).info.run_id
    else:
        for name, value in tags.items():
            client.set_tag(run_id, name, value)
        client.update_run(run_id, name=run_name(manifest))
    client.set_tag(run_id, NOTE, _note(experiment, run_id, record))
    with mlflow.start_run(run_id=run_id, log_system_metrics=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice for authors of models, not for those who refresh one
        # 6,000 characters are the most that MLflow takes of a parameter (`MAX_PARAM_VAL_LENGTH`).
        mlflow.log_params({name: str(value)[:6000] for name, value in record.params.items()})
        for name, content in record.reports.items():
            mlflow.log_text(content, name)
        with tempfile.TemporaryDirectory() as temporary:
            for name, image in record.plots.items():
                (Path(temporary) / name).write_bytes(image)
            if record.plots:
                mlflow.log_artifacts(temporary, "plots")
        params = {name: str(manifest["lineage"][name]) for name in ("index", "adapter", "bundle")}
        logged = _log_model(linker, stored, manifest["belink"], {"lineage": dict(manifest["lineage"])}, params)
        # Of the model, and so of the run too: MLflow's page compares models by these.
        mlflow.log_metrics(dict(record.metrics), model_id=logged.model_id)
        for name, (source, sha256) in record.datasets.items():
            # A digest in MLflow has at most 36 characters; the tag below holds the whole sha256.
            dataset = MetaDataset(resolve_dataset_source(source), name=name, digest=sha256[:36])  # type: ignore[abstract]
            model = LoggedModelInput(model_id=logged.model_id)
            mlflow.log_input(dataset, context="refresh", tags={"sha256": sha256}, model=model)
    if record.run_id:
        # `mlflow.start_run` has ended it. A refresh that is killed before it promotes must not look finished.
        client.update_run(run_id, status="RUNNING")
    return run_id, logged.model_uri, logged.model_id


def run_name(manifest: Mapping[str, Any], version: str = "") -> str:
    """Return the name of the run of a bundle, such as ``disease version 3: mondo 2025-09-02``."""
    releases = ", ".join(f"{name} {release['version']}" for name, release in manifest["releases"].items())
    return f"{manifest['linker']}{f' version {version}' if version else ''}: {releases}"


def log_group(
    client: "MlflowClient", name: str, folder: Path, references: Sequence[str], lineage: Mapping[str, str]
) -> tuple[str, str, str]:
    """Return (run id, model URI, model id) of a run with a list of linkers logged in it; needs :func:`pointed_at`."""
    import mlflow

    tags = {KIND: GROUP, NOTE: f"The linkers {', '.join(references)} as one model."}
    run_id = client.create_run(_experiment(client), tags=tags, run_name=name).info.run_id
    with mlflow.start_run(run_id=run_id, log_system_metrics=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice for authors of models
        metadata = {"linkers": list(references), "lineage_when_registered": dict(lineage)}
        logged = _log_model(name, folder, version("belink"), metadata, {})
        return run_id, logged.model_uri, logged.model_id


def _log_model(name: str, folder: Path, belink: str, metadata: dict[str, Any], params: dict[str, str]) -> Any:
    """Return MLflow's record of a model that answers from ``folder``, logged in the run that is open."""
    import mlflow

    return mlflow.pyfunc.log_model(
        name=name,
        # A path instead of an object is MLflow's "models from code": the file is stored, and nothing is pickled.
        python_model=str(Path(__file__).parents[1] / "pyfunc_model.py"),
        artifacts={"bundle": str(folder)},
        # Without this list, MLflow runs the model in a second process to infer what it imports.
        pip_requirements=[f"belink=={belink}", f"mlflow=={mlflow.__version__}"],
        metadata=metadata,
        params=params,
        input_example=[{"text": "He has type 2 diabetes."}],
    )


def _note(experiment: str, run_id: str, record: RunRecord) -> str:
    """Return the description of a run: links to its reports, and the model card."""
    # MLflow's page is one document, whose views stand behind "#".
    page = f"#/experiments/{experiment}/runs/{run_id}/artifacts"
    links = " · ".join(
        f"[{name}]({page}/{name})" for name in sorted(record.reports, key=lambda name: name[-5:] != ".html")
    )
    return "\n\n".join(text for text in (links, record.description) if text)


def drop_unfinished(client: "MlflowClient", settings: Settings, linker: str, key: str) -> None:
    """Remove what a killed registration of the same bundle, by this home, left in the store."""
    experiment = _experiment(client)
    # Another home may be registering the same bundle at this moment, so only runs of this home count.
    for run in client.search_runs([experiment], f"tags.`{BUNDLE}` = '{key}'"):
        if not is_own(settings, run.data.tags) or client.search_model_versions(
            f"name = '{linker}' AND run_id = '{run.info.run_id}'"
        ):
            continue
        log.info("%s: removing the unfinished run %s", linker, run.info.run_id)
        drop_run(client, settings, run.info.run_id)


def run_folders(client: "MlflowClient", settings: Settings, run_id: str) -> list[Path]:
    """Return the folders in this home that hold the files of a run and of the models logged in it."""
    addresses = [str(client.get_run(run_id).info.artifact_uri)]
    addresses += [str(model.artifact_location) for model in _logged_models(client, run_id)]
    folders = [folder for address in addresses if (folder := local_folder(address)) is not None]
    home = settings.home.resolve()
    # Both addresses end in `artifacts`; the folder above belongs to the run or model alone.
    return [folder.parent for folder in folders if folder.resolve().is_relative_to(home)]


def _logged_models(client: "MlflowClient", run_id: str) -> list[Any]:
    return list(client.search_logged_models([_experiment(client)], filter_string=f"source_run_id = '{run_id}'"))


def unregistered_runs(client: "MlflowClient", settings: Settings, linker: str) -> list[str]:
    """Return the ended runs of this home in which a bundle was logged that no version has.

    A registration or the removal of a version was killed. Runs that failed before have no bundle, and stay.
    """
    registered = {str(version.run_id) for version in client.search_model_versions(f"name = '{linker}'")}
    return [
        run.info.run_id
        for run in client.search_runs(
            [_experiment(client)], f"tags.`{LINKER}` = '{linker}' AND attributes.status != 'RUNNING'"
        )
        if run.info.run_id not in registered and BUNDLE in run.data.tags and is_own(settings, run.data.tags)
    ]


def drop_run(client: "MlflowClient", settings: Settings, run_id: str) -> None:
    """Remove a run and the models logged in it, with those of their files that lie in this home."""
    # The run goes last: a kill in between leaves one that `unregistered_runs` finds.
    for folder in run_folders(client, settings, run_id):
        shutil.rmtree(folder, ignore_errors=True)
    for model in _logged_models(client, run_id):
        client.delete_logged_model(model.model_id)
    client.delete_run(run_id)


def ensure_model(client: "MlflowClient", linker: str, kind: Literal["linker", "group"] = "linker") -> None:
    """Make the registered model of a linker, or of several, where there is none.

    :raises RegistryError: a model of that name is there that belink has not made.
    """
    from mlflow.exceptions import MlflowException

    try:
        # Creating and handling the refusal leaves no gap; a look first would leave one for another process.
        description = _GROUP_MODEL if kind == GROUP else _MODEL.format(linker=linker)
        client.create_registered_model(linker, tags={KIND: kind}, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        if (there := client.get_registered_model(linker).tags.get(KIND)) != kind:
            owner = f"a {there} of belink" if there else "somebody else's model"
            raise RegistryError(
                f"{linker}: expected a {kind} of belink in the registry, found {owner} of that name; choose another"
            ) from error


def _experiment(client: "MlflowClient") -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        raise RegistryError(f"expected the experiment {EXPERIMENT} in MLflow, found none; was it deleted meanwhile?")
    return str(experiment.experiment_id)
