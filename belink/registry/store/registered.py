"""Registered linkers, their versions, and the tags and aliases on both, as belink speaks of them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from belink.errors import RegistryError, first_line
from belink.progress import Record
from belink.registry.store.connection import pointed_at, setup
from belink.registry.store.locks import locked_everywhere
from belink.registry.store.runs import (
    GROUP,
    RunRecord,
    drop_run,
    drop_unfinished,
    ensure_model,
    log_bundle,
    log_group,
    open_run,
    recorder,
    run_folders,
    run_name,
    unregistered_runs,
)
from belink.registry.tags import BUNDLE, KIND, registration_tags
from belink.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StoredLinker:
    """One registered model that holds a linker's versions."""

    name: str
    aliases: Mapping[str, str]  # alias → version
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class StoredVersion:
    """One registered version."""

    number: str
    tags: Mapping[str, str]
    created: str  # ISO 8601
    run_id: str

    @property
    def bundle(self) -> str:
        """The key of its bundle; "" where nobody has written it down."""
        return self.tags.get(BUNDLE, "")


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """The run that made a version."""

    files: str = ""  # where its files lie, as `Store.address` says it of a version
    params: Mapping[str, str] = field(default_factory=dict)


class Store:
    """An open MLflow store; each method reads or writes one fact. ``aliases`` decides which version is champion."""

    def __init__(self, settings: Settings) -> None:
        """Open the store at ``settings.tracking_uri``; a local one is made where there is none.

        :raises RegistryError: it cannot be reached, or has another MLflow's schema.
        """
        self.settings = settings
        self._client = setup(settings)

    def linkers(self) -> list[StoredLinker]:
        """Return every registered linker, in alphabetical order, with its aliases and tags."""
        return sorted(
            (
                StoredLinker(
                    name=model.name,
                    aliases={alias: str(version) for alias, version in model.aliases.items()},
                    tags=model.tags,
                )
                for model in self._models()
            ),
            key=lambda linker: linker.name,
        )

    def _models(self) -> Iterator[Any]:
        # MLflow returns 100 models a page by default.
        token = None
        while True:
            page = self._client.search_registered_models(filter_string=f"tags.`{KIND}` = 'linker'", page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def aliases(self, linker: str) -> dict[str, str]:
        """Return alias → version; ``{}`` for a linker that was never registered.

        :raises RegistryError: the registry does not answer.
        """
        from mlflow.exceptions import MlflowException

        try:
            # search_model_versions() leaves aliases out; the registered model has them.
            model = self._client.get_registered_model(linker)
            return {alias: str(version) for alias, version in model.aliases.items()}
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise RegistryError(f"{linker}: the registry does not answer: {first_line(error, 300)}") from error

    def versions(self, linker: str, limit: int = 10_000) -> list[StoredVersion]:
        """Return the newest ``limit`` versions of a linker, newest first."""
        versions = self._client.search_model_versions(
            f"name = '{linker}'", max_results=limit, order_by=["version_number DESC"]
        )
        return [_version(each) for each in versions]

    def version(self, linker: str, number: str) -> StoredVersion:
        """Return one version.

        :raises RegistryError: there is none of that number; the message names those there are.
        """
        from mlflow.exceptions import MlflowException

        try:
            return _version(self._client.get_model_version(linker, number))
        except MlflowException as error:
            # MLflow reports a version that is not a number as an invalid parameter.
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            numbers = sorted((each.number for each in self.versions(linker)), key=int)
            there = ", ".join(numbers) or "none"
            raise RegistryError(f"{linker}: no version {number}; registered: {there}") from error

    def version_of_bundle(self, linker: str, key: str) -> str | None:
        """Return the newest version that holds the bundle ``key``; ``None`` where there is none."""
        versions = self._client.search_model_versions(f"name = '{linker}' AND tags.`{BUNDLE}` = '{key}'")
        # Versions are numbers stored as text: as text, "9" is larger than "10".
        return str(max(int(version.version) for version in versions)) if versions else None

    def address(self, linker: str, number: str) -> str:
        """Return where the files of a version lie: a ``file:`` URI or a path, or an address elsewhere."""
        return str(self._client.get_model_version_download_uri(linker, number))

    def set_alias(self, linker: str, alias: str, number: str) -> None:
        """Let ``alias`` name the version ``number``."""
        self._client.set_registered_model_alias(linker, alias, number)

    def tag_version(self, linker: str, number: str, tags: Mapping[str, str | None]) -> None:
        """Write tags on a version; ``None`` takes one away."""
        for name, value in tags.items():
            if value is None:
                self._client.delete_model_version_tag(linker, number, name)
            else:
                self._client.set_model_version_tag(linker, number, name, value)

    def tag_linker(self, linker: str, name: str, value: str) -> None:
        """Write a tag on a linker; does nothing for one that was never registered."""
        # MLflow raises an error for a model that is not there, and would tag somebody else's model of that name.
        if any(model.name == linker for model in self._models()):
            self._client.set_registered_model_tag(linker, name, value)

    def add_version(
        self,
        linker: str,
        stored: AbstractContextManager[Path],
        manifest: Mapping[str, Any],
        record: RunRecord,
    ) -> str:
        """Return the new version that holds a bundle, logged in a run of its own.

        :param stored: gives the bundle's folder, or the one with a reference to it.
        :raises RegistryError: the name is taken by a model that is no linker.
        """
        with pointed_at(self.settings):
            # This order survives a kill: a run without a version is dropped by the next attempt, and nobody sees it
            # meanwhile.
            ensure_model(self._client, linker)
            drop_unfinished(self._client, self.settings, linker, str(manifest["key"]))
            with stored as folder:
                run_id, model_uri, model_id = log_bundle(self._client, self.settings, folder, manifest, record)
            version = self._client.create_model_version(
                linker,
                model_uri,
                run_id,
                tags=registration_tags(manifest),
                description=record.description or None,
                model_id=model_id,
            )
            self._client.update_run(run_id, name=run_name(manifest, str(version.version)))
            return str(version.version)

    def add_group(self, name: str, folder: Path, references: Sequence[str], lineage: Mapping[str, str]) -> str:
        """Return the new version of a model that lists several linkers.

        :param folder: holds the list.
        :raises RegistryError: the name is taken by another model.
        """
        with pointed_at(self.settings):
            ensure_model(self._client, name, GROUP)
            run_id, model_uri, model_id = log_group(self._client, name, folder, references, lineage)
            version = self._client.create_model_version(
                name, model_uri, run_id, description=", ".join(references), model_id=model_id
            )
            return str(version.version)

    @contextmanager
    def open_run(self, linker: str, started: float) -> Iterator[str]:
        """Give the id of a run that is open while the block runs; one in which nothing was registered is removed.

        :param started: when the refresh began, in seconds since 1970.
        """
        with open_run(self._client, self.settings, linker, started) as run_id:
            yield run_id
        try:
            # The registry may hold the same bundle from an earlier run already.
            if not self._client.search_model_versions(f"name = '{linker}' AND run_id = '{run_id}'"):
                self.drop_run(run_id)
        except Exception as error:  # the refresh itself has ended well
            log.warning("%s: the run %s could not be looked at: %s", linker, run_id, error)

    def recorder(self, run_id: str) -> Record:
        """Return a function that writes a metric into an open run: name, value, step."""
        return recorder(self._client, run_id)

    def run_page(self, run_id: str) -> str:
        """Return the path of a run's page on an MLflow server, after its address."""
        return f"/#/experiments/{self._client.get_run(run_id).info.experiment_id}/runs/{run_id}"

    def run(self, run_id: str) -> StoredRun:
        """Return what is known of a run; an empty :class:`StoredRun` for one that is not there."""
        from mlflow.exceptions import MlflowException

        try:
            run = self._client.get_run(run_id)
            return StoredRun(files=str(run.info.artifact_uri), params=run.data.params)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return StoredRun()

    def delete_version(self, linker: str, number: str) -> None:
        """Remove a version; its run stays until :meth:`drop_run`."""
        self._client.delete_model_version(linker, number)

    def drop_run(self, run_id: str) -> None:
        """Remove a run and the models logged in it, with those of their files that lie in this home."""
        with pointed_at(self.settings):
            drop_run(self._client, self.settings, run_id)

    def unregistered_runs(self, linker: str) -> list[tuple[str, list[Path]]]:
        """Return what killed registrations and removals left: the ids of runs, and their folders in this home."""
        runs = unregistered_runs(self._client, self.settings, linker)
        return [(run_id, run_folders(self._client, self.settings, run_id)) for run_id in runs]

    def locked(self, name: str) -> AbstractContextManager[None]:
        """Keep out whoever else asks for the same lock, in this home or in another with the same registry."""
        return locked_everywhere(self.settings, self._client, name)


def _version(version: Any) -> StoredVersion:
    return StoredVersion(
        number=str(version.version),
        tags=version.tags,
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        run_id=str(version.run_id),
    )
