"""One ontology taken from its address to a release, and the news of it: what a scheduled refresh does.

    start → fetched → ingested → compared → unannounced → (the flow tells the server) → announced

Which news was told is written down, after it was told: a run that is killed in between tells it again, and a retraining
that hears it twice finds nothing to do.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import artefacts, declarations
from belink.declarations import LinkerConfig, SourceConfig
from belink.errors import DeclarationError
from belink.lifecycle.refresh import SourceFiles
from belink.ontology import ingest
from belink.ontology import release as releases
from belink.settings import Settings
from belink.training import splits

if TYPE_CHECKING:
    from belink.ontology.diff import Diff

REFRESHED = "ontology.refreshed"  # the event that retraining listens for
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OntologyStart:
    """What the refresh of an ontology starts from."""

    settings: Settings
    source: SourceConfig
    linkers: tuple[LinkerConfig, ...] = ()  # whose corpora a gate watches
    version: str | None = None


def start(settings: Settings, ontology: str, linkers: Sequence[str] = (), version: str | None = None) -> OntologyStart:
    """The declarations of an ontology and of the linkers that are made of it.

    :param version: asked of the address; where none is named, the declaration's ``edition`` of today.
    :raises DeclarationError: one of them is missing or does not validate.
    """
    source = declarations.load_source(ontology)
    if version is None and source.edition:
        version = datetime.now(UTC).strftime(source.edition)
    watching = tuple(declarations.load_linker(linker) for linker in linkers)
    return OntologyStart(settings=settings, source=source, linkers=watching, version=version)


def resource(ontology: str) -> str:
    """The name under which Prefect knows an ontology."""
    return f"belink.ontology.{ontology}"


def fetched(begun: OntologyStart, files: Sequence[Path] = ()) -> SourceFiles:
    """``files``, or where there are none what the declaration's address gives.

    :raises SourceError: the address cannot be reached, or gives something else.
    """
    if files:
        from belink.ontology.readers.files import fingerprint, plain_errors

        with plain_errors(files[0]):
            return SourceFiles(paths=tuple(files), sha256=fingerprint(files, begun.source.format).sha256)
    from belink.ontology.download import fetch

    found = fetch(begun.source, begun.settings, begun.version)
    return SourceFiles(paths=found.paths, sha256=found.sha256, version=found.version)


def ingested(begun: OntologyStart, files: SourceFiles, *, accept: bool = False) -> ingest.Ingested:
    """The release of ``files``, read now or found.

    :param accept: take it although a gate refuses it.
    :raises GateRefused: a gate on releases failed; the release lies in quarantine.
    """
    return ingest.ingest(
        begun.source,
        files.paths,
        begun.settings,
        files.version,
        refuse=not accept,
        corpus_ids=_watched(begun),
    )


def compared(begun: OntologyStart, release: Path) -> "Diff | None":
    """What changed since the release that was announced last; ``None`` where there is none, or it is this one."""
    from belink.ontology.diff import diff

    told = _told(begun)
    before = releases.release_path(begun.settings, begun.source.name, told["version"]) if told else None
    if before is None or before == release or not artefacts.exists(before):
        return None
    return diff(before, release)


def unannounced(begun: OntologyStart, release: Path) -> dict[str, Any] | None:
    """The news of ``release``; ``None`` where it was told before."""
    manifest = artefacts.read_manifest(release)
    news = {
        "ontology": begun.source.name,
        "version": manifest["version"],
        "sha256": manifest["sha256"],
        "concepts": manifest["counts"]["concepts"],
    }
    return None if _told(begun) == news else news


def announced(begun: OntologyStart, news: Mapping[str, Any]) -> None:
    """Remember that ``news`` was told."""
    with artefacts.atomic_write(_memory(begun)) as aside:
        aside.write_text(json.dumps(news, indent=1) + "\n", encoding="utf-8")


def sweep(begun: OntologyStart) -> None:
    """Remove what killed readings of this ontology left."""
    for folder in (begun.settings.releases, begun.settings.quarantine):
        artefacts.clean(folder / begun.source.name)


def _memory(begun: OntologyStart) -> Path:
    return begun.settings.home / "announced" / f"{begun.source.name}.json"


def _told(begun: OntologyStart) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(_memory(begun).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}  # nothing yet, or unreadable: told once too often does no harm
    return told


def _watched(begun: OntologyStart) -> set[str]:
    """Concepts that the corpora of the linkers use; those of a corpus that is not here go unwatched, and it is said."""
    ids: set[str] = set()
    for linker in begun.linkers:
        try:
            ids |= set(splits.corpus_gold_ids(linker, begun.settings.data))
        except DeclarationError as error:
            log.warning("%s: no gate watches over the corpora of %s: %s", begun.source.name, linker.name, error)
    return ids
