"""The steps that take an ontology from its address to a release.

    start → fetch → ingest → compare → unannounced → (the flow tells the server) → remember

A linker's refresh takes the first of them for each of its ontologies; a scheduled refresh of an ontology takes them
all. The news of a release is remembered after it was told: a run that is killed in between tells it again, and a
retraining that hears it twice finds nothing to do.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import artefacts, declarations, manifests
from belink.corpora import feedback
from belink.declarations import LinkerConfig, SourceConfig
from belink.errors import BelinkError, DeclarationError
from belink.ontology import ingest as ingestion
from belink.ontology import release as releases
from belink.settings import Settings
from belink.training import splits

if TYPE_CHECKING:
    from belink.ontology.diff import Diff

REFRESHED = "ontology.refreshed"  # the event that retraining listens for
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OntologyRun:
    """The refresh of one ontology: its declaration, and what it is refreshed for."""

    settings: Settings
    source: SourceConfig
    linkers: tuple[LinkerConfig, ...] = ()  # whose corpora a gate watches over
    version: str | None = None  # asked of the address
    named: str | None = None  # the version that somebody gave; it takes the place of what the files say


@dataclass(frozen=True, kw_only=True)
class SourceFiles:
    """The files of one ontology on this machine."""

    paths: tuple[Path, ...]
    sha256: str  # of the file; of names and sha256 together, where there are several
    version: str | None = None  # where only the server knows it


def start(settings: Settings, ontology: str, linkers: Sequence[str] = (), version: str | None = None) -> OntologyRun:
    """Return the run for an ontology, with its declaration and those of the linkers that are made of it.

    :param version: asked of the address, and the version of the release; where none is given, the declaration's
        ``edition`` of today is asked of the address.
    :raises DeclarationError: a declaration is missing or does not validate.
    """
    watching = tuple(declarations.load_linker(linker) for linker in linkers)
    return run_of(settings, declarations.load_source(ontology), watching, version)


def run_of(
    settings: Settings, source: SourceConfig, linkers: Sequence[LinkerConfig] = (), version: str | None = None
) -> OntologyRun:
    """Return the run for an ontology whose declaration is loaded already; as :func:`start`."""
    edition = version
    # `edition` is a date pattern, such as "%Y" for MeSH. UTC makes every machine ask for the same one.
    if edition is None and source.edition:
        edition = datetime.now(UTC).strftime(source.edition)
    return OntologyRun(settings=settings, source=source, linkers=tuple(linkers), version=edition, named=version)


def resource(ontology: str) -> str:
    """Return the id of an ontology's resource in Prefect's events."""
    return f"belink.ontology.{ontology}"


def has_address(run: OntologyRun) -> bool:
    """Whether the declaration says where to fetch the ontology from; else files must be given."""
    return run.source.url is not None or run.source.format == "umls"  # UMLS has a service of its own


def fetch(run: OntologyRun, files: Sequence[Path] = ()) -> SourceFiles:
    """Return ``files``, or where there are none what the declaration's address gives.

    :raises SourceError: the address cannot be reached, or gives something else.
    """
    if files:
        from belink.ontology.readers.files import fingerprint, plain_errors

        with plain_errors(files[0]):
            return SourceFiles(paths=tuple(files), sha256=fingerprint(files, run.source.format).sha256)
    from belink.ontology import download

    fetched = download.fetch(run.source, run.settings, run.version)
    return SourceFiles(paths=fetched.paths, sha256=fetched.sha256, version=fetched.version)


def ingest(run: OntologyRun, files: SourceFiles, *, accept: bool = False) -> ingestion.Ingested:
    """Return the release of ``files``, read now or before.

    :param accept: take it although a gate refuses it.
    :raises GateRefused: a gate on releases failed; the release lies in quarantine.
    """
    return ingestion.ingest(
        run.source,
        files.paths,
        run.settings,
        # A version that a person gave goes before the server's, and both before what the file says of itself.
        run.named or files.version,
        refuse=not accept,
        corpus_ids=_watched_ids(run),
    )


def compare(run: OntologyRun, release: Path) -> "Diff | None":
    """Return what changed since the release announced last; ``None`` where there is none, or it is this one."""
    from belink.ontology.diff import diff

    news = _last_news(run)
    before = releases.release_path(run.settings, run.source.name, news["version"]) if news else None
    # The release announced last may have been removed by `belink gc`.
    if before is None or before == release or not artefacts.exists(before):
        return None
    return diff(before, release)


def unannounced(run: OntologyRun, release: Path) -> dict[str, Any] | None:
    """Return the news of ``release``; ``None`` where it was announced before."""
    manifest = artefacts.read_manifest(release)
    news = {
        "ontology": run.source.name,
        "version": manifest["version"],
        # With the sum in it, a release that was made anew under the same version is news too.
        "sha256": manifest["sha256"],
        "concepts": manifest["counts"]["concepts"],
    }
    return None if _last_news(run) == news else news


def remember(run: OntologyRun, news: Mapping[str, Any]) -> None:
    """Write down that ``news`` was announced."""
    with artefacts.atomic_write(_news_file(run)) as aside:
        aside.write_text(json.dumps(news, indent=1) + "\n", encoding="utf-8")


def sweep(run: OntologyRun) -> None:
    """Remove what killed downloads and readings of this ontology left half-made."""
    for folder in (run.settings.downloads, run.settings.releases, run.settings.quarantine):
        artefacts.clean(folder / run.source.name)


def _news_file(run: OntologyRun) -> Path:
    return run.settings.home / "announced" / f"{run.source.name}.json"


def _last_news(run: OntologyRun) -> dict[str, Any]:
    try:
        news = manifests.read_object(_news_file(run))
        # Raises for a version that cannot be the name of a folder, as a damaged file may hold one.
        releases.release_path(run.settings, run.source.name, str(news["version"]))
    except (FileNotFoundError, BelinkError):
        return {}  # none yet, or unreadable: the same news twice does no harm
    return {**news, "version": str(news["version"])}


def _watched_ids(run: OntologyRun) -> set[str]:
    """Return the concepts that the linkers' corpora use. A corpus that is not on this machine is named in the log."""
    ids: set[str] = set()
    for linker in run.linkers:
        try:
            resolved = feedback.resolve(run.settings, linker)
            ids |= set(splits.corpus_gold_ids(resolved, run.settings.data))
        except DeclarationError as error:
            log.warning("%s: no gate watches over the corpora of %s: %s", run.source.name, linker.name, error)
    return ids
