"""The steps of a refresh up to the index; ``retraining`` and ``challenge`` have the others.

    start → fetched → champion → is_unchanged → ingested → compared
          → decided → adapted → indexed → trained → calibrated
          → drafted → evaluated → judged → assembled → registered → concluded

Each is a function of declarations and paths, called by the flows in this order. Every step names its result by its
content and finds it again, so a refresh that was killed goes on where it stopped. Only the last moves ``champion``.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from belink import artefacts, declarations
from belink.declarations import LinkerConfig, SourceConfig
from belink.errors import BundleError, DeclarationError, RegistryError, ReleaseError
from belink.linker import bundle, calibration
from belink.records import GateResult
from belink.registry import aliases
from belink.settings import Settings
from belink.text import normalise
from belink.training import splits

if TYPE_CHECKING:
    from belink.declarations import EncoderConfig
    from belink.ontology.diff import Diff
    from belink.records import Candidate, Mention
    from belink.retrieval.encoder import Encoder
    from belink.retrieval.index import IndexReport
    from belink.training.questions import Retrieve

# The folders of a home that hold, by linker, what a refresh builds; a new kind of artefact is added here.
BUILT = (
    "encoders",
    "indices",
    "adapters",
    "calibrations",
    "lexicons",
    "drafts",
    "evaluations",
    "bundles",
    "fetched",
)
RetrainRule = Literal["auto", "always", "never"]
# Of a declaration: says when and where, not what the bundle is.
_NOT_CONTENT = {"title", "schedule", "retrain", "approval", "storage"}
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a refresh starts from, before any file is looked at."""

    settings: Settings
    linker: LinkerConfig
    sources: Mapping[str, SourceConfig]  # by the ontology's name
    corpora: Mapping[str, str]  # name → sha256 of the file
    retrain: RetrainRule = "auto"
    share_restricted: bool = False  # a licensee said that a server elsewhere may hold what the licence keeps to them


@dataclass(frozen=True, kw_only=True)
class SourceFiles:
    """The files of one ontology, here."""

    paths: tuple[Path, ...]
    sha256: str
    version: str | None = None  # where only the server knows it


@dataclass(frozen=True, kw_only=True)
class Champion:
    """What the linker's consumers use now."""

    version: str
    path: Path
    manifest: Mapping[str, Any]
    fault: str = ""  # why it cannot be asked: damaged, or made by another belink; "" for a sound one

    @property
    def is_whole(self) -> bool:
        """Whether its parts can be taken on, though it may follow the rules of another belink."""
        return bool(self.manifest)


def start(
    settings: Settings,
    linker: str,
    ontologies: Sequence[str] = (),
    retrain: RetrainRule = "auto",
    *,
    share_restricted: bool = False,
) -> Start:
    """The declarations that ``linker`` is made by, and the corpora they name.

    :param ontologies: those that files were given for; each must be one of the linker's.
    :param share_restricted: a registry elsewhere may hold releases that are not redistributable.
    :raises DeclarationError: a declaration or corpus is missing, or the linker has no such ontology.
    """
    declared = declarations.load_linker(linker)
    sources = {source.name: source for source in map(declarations.load_source, declared.ontologies)}
    for name in ontologies:
        if name not in sources:
            raise DeclarationError(
                f"{declared.name}: expected files for one of its ontologies {', '.join(sources)}, found {name}"
            )
    files = {corpus.name: declarations.corpus_file(corpus, settings.data) for corpus in declared.corpora}
    corpora = {name: artefacts.sha256(path) for name, path in files.items()}
    return Start(
        settings=settings,
        linker=declared,
        sources=sources,
        corpora=corpora,
        retrain=retrain,
        share_restricted=share_restricted,
    )


def check_sharing(begun: Start) -> None:
    """Say before hours of work, not after, that the registry may not have the result.

    :raises RegistryError: it lies elsewhere, an ontology is not redistributable, and nobody allowed it.
    """
    restricted = [name for name, source in begun.sources.items() if not source.redistributable]
    aliases.check_sharing(begun.settings, begun.linker, restricted, allowed=begun.share_restricted)


@contextmanager
def exclusive(begun: Start) -> Iterator[None]:
    """Nobody else refreshes this linker in this home meanwhile; a process that dies lets go of it.

    :raises RegistryError: somebody does.
    """
    from filelock import FileLock, Timeout

    begun.settings.locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(begun.settings.locks / f"refresh-{begun.linker.name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise RegistryError(
            f"{begun.linker.name}: another refresh of it is running in {begun.settings.home}; try again when it is done"
        ) from error
    try:
        sweep(begun)
        yield
    finally:
        lock.release()


def fetched(begun: Start, ontology: str, files: Sequence[Path] = ()) -> SourceFiles:
    """``files``, or where there are none what the declaration's address gives.

    :raises SourceError: the address cannot be reached, or gives something else.
    """
    if files:
        from belink.ontology.readers.files import fingerprint, plain_errors

        with plain_errors(files[0]):
            return SourceFiles(paths=tuple(files), sha256=fingerprint(files, begun.sources[ontology].format).sha256)
    from belink.ontology.download import fetch

    found = fetch(begun.sources[ontology], begun.settings)
    return SourceFiles(paths=found.paths, sha256=found.sha256, version=found.version)


def champion(begun: Start) -> Champion | None:
    """The linker's champion; ``None`` before the first promotion.

    One that is damaged, or that another belink made, has a ``fault``: a refresh replaces it without comparing. Of one
    that only follows other rules, of names or of probabilities, the refresh takes the adapter and the vectors on.
    """
    version = aliases.champion(begun.settings, begun.linker.name)
    if version is None:
        return None
    path, manifest = Path(), {}
    try:
        path, _ = aliases.bundle_path(begun.settings, begun.linker.name, version)
        manifest = bundle.check_parts(path, deep=False)
        bundle.check_rules(path, manifest)
        return Champion(version=version, path=path, manifest=manifest)
    except (BundleError, RegistryError) as error:
        log.warning("%s: the champion, version %s, cannot be used: %s", begun.linker.name, version, error)
        return Champion(version=version, path=path, manifest=manifest, fault=str(error))


def sound(current: Champion | None) -> Champion | None:
    """The champion where it can be asked, to compare with."""
    return current if current is not None and not current.fault else None


def whole(current: Champion | None) -> Champion | None:
    """The champion where its parts can be taken on."""
    return current if current is not None and current.is_whole else None


def is_unchanged(begun: Start, files: Mapping[str, SourceFiles], current: Champion) -> bool:
    """Whether a refresh would only make the champion again."""
    if begun.retrain == "always" or current.fault:
        return False
    sha256 = {name: found.sha256 for name, found in files.items()}
    return bool(current.manifest["inputs"].get("key") == inputs(begun, sha256)["key"])


def inputs(begun: Start, sha256: Mapping[str, str]) -> dict[str, Any]:
    """A ``key`` over everything that determines the bundle, and the ``corpora`` among it.

    :param sha256: of the files of each ontology.
    """
    from belink.ontology.ingest import READING

    named: dict[str, Any] = {
        "sources": {
            name: {"sha256": sha256[name], "reading": source.model_dump(mode="json", include=set(READING))}
            for name, source in sorted(begun.sources.items())
        },
        "corpora": dict(begun.corpora),
        "linker": begun.linker.model_dump(mode="json", exclude=_NOT_CONTENT),
        "text_version": normalise.VERSION,
        "calibration": calibration.rules(),
        "format": bundle.FORMAT,
    }
    return {"key": artefacts.key(named), "corpora": named["corpora"]}


def unchanged(begun: Start, current: Champion) -> dict[str, Any]:
    """The answer of a refresh that had nothing to do."""
    answer = outcome(begun, "unchanged", current.version, current.version, (0, current.manifest["index"]["names"]))
    aliases.note_refresh(begun.settings, answer)
    return answer


def outcome(
    begun: Start,
    verdict: Literal["promoted", "rejected", "unchanged"],
    version: str | None,
    champion: str | None,
    encoded_reused: tuple[int, int],
    gates: Sequence[GateResult] = (),
) -> dict[str, Any]:
    """What a refresh answers with; ``champion`` is the version that is champion now."""
    return {
        "linker": begun.linker.name,
        "outcome": verdict,
        "version": version,
        "champion": champion,
        "encoded": encoded_reused[0],
        "reused": encoded_reused[1],
        "gates": [asdict(gate) for gate in gates],
    }


def ingested(begun: Start, ontology: str, files: SourceFiles) -> Path:
    """The folder of the release of ``files``.

    :raises GateRefused: a gate on releases failed; the release lies in quarantine.
    """
    from belink.ontology.ingest import ingest

    ids = splits.corpus_gold_ids(begun.linker, begun.settings.data)
    return ingest(begun.sources[ontology], files.paths, begun.settings, files.version, corpus_ids=ids).path


def compared(current: Champion | None, releases: Mapping[str, Path]) -> "dict[str, Diff]":
    """What changed since the champion, by ontology; those that it holds in another release."""
    from belink.ontology.diff import diff

    current = whole(current)
    if current is None:
        return {}
    before = {name: current.path / "releases" / name for name in releases}
    return {
        name: diff(before[name], path)
        for name, path in releases.items()
        if name in current.manifest["releases"]
        and artefacts.read_manifest(path)["database_sha256"] != current.manifest["releases"][name]["database_sha256"]
    }


def indexed(
    begun: Start, releases: Mapping[str, Path], current: Champion | None, adapted: Path | None = None
) -> "IndexReport":
    """The index over ``releases``, every vector borrowed that an earlier index or the champion's has.

    :param adapted: the folder of the adapted encoder; ``None`` for the declared one as it is.
    """
    from belink.retrieval.index import build_index

    folder, current = begun.settings.indices / begun.linker.name, whole(current)
    encoder = load_encoder(begun, adapted)
    previous = newest(folder, encoder=encoder.fingerprint) or (current.path / bundle.INDEX if current else None)
    folders = list(releases.values())
    precedents = splits.precedents(begun.linker, folders, begun.settings.data)
    return build_index(folders, begun.linker, encoder, folder, previous, precedents)


def is_made_of(begun: Start, releases: Mapping[str, Path], current: Champion) -> bool:
    """Whether the champion was made of these very releases, by the declarations as they are."""
    files = {
        name: SourceFiles(paths=(), sha256=str(artefacts.read_manifest(path)["sha256"]))
        for name, path in releases.items()
    }
    return is_unchanged(begun, files, current)


def newest_releases(begun: Start) -> dict[str, Path]:
    """Ontology → its newest release.

    :raises ReleaseError: one has none.
    """
    from belink.ontology.release import latest

    found = {name: latest(begun.settings, name) for name in begun.sources}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise ReleaseError(
            f"{begun.linker.name}: expected a release of {', '.join(missing)}, found none; belink ingest makes one"
        )
    return {name: path for name, path in found.items() if path is not None}


def retriever(begun: Start, index_folder: Path, adapted: Path | None = None) -> "Retrieve":
    """Retrieval over an index with the linker's encoder, as questions are asked of it."""
    from belink.retrieval.index import Index
    from belink.retrieval.retrieve import retrieve

    index, encoder, config = Index.load(index_folder), load_encoder(begun, adapted), begun.linker.retrieval

    def ask(
        mentions: "Sequence[Mention]", *, hide_own_name: bool = False, hide_precedent: bool = False
    ) -> "list[list[Candidate]]":
        return retrieve(index, encoder, mentions, config, hide_own_name=hide_own_name, hide_precedent=hide_precedent)

    return ask


def load_encoder(begun: Start, adapted: Path | None = None) -> "Encoder":
    """The linker's encoder, adapted or as declared; loaded once a process, since several steps ask for it."""
    return _encoder(begun.linker.encoder, adapted or begun.settings.cache, adapted is not None)


@lru_cache(maxsize=1)
def _encoder(config: "EncoderConfig", folder: Path, adapted: bool) -> "Encoder":
    from belink.retrieval.encoder import Encoder

    return Encoder.adapted(config, folder) if adapted else Encoder.load(config, folder)


def is_due(begun: Start, manifest: Mapping[str, Any]) -> bool:
    """Whether the adapter of a bundle is older than the declaration allows."""
    days, trained = begun.linker.retrain.every_days, manifest["inputs"].get("adapter", {}).get("trained")
    if days is None or not trained:
        return False
    return datetime.now(UTC) - datetime.fromisoformat(trained) > timedelta(days=days)


def newest(folder: Path, **manifest: object) -> Path | None:
    """The complete artefact below ``folder`` that was made last, of those whose manifest says so; ``None`` for none."""
    found = [path for path in folder.glob("[!.]*") if artefacts.exists(path)]
    found = [path for path in found if manifest.items() <= artefacts.read_manifest(path).items()] if manifest else found
    return max(found, key=lambda path: (path / artefacts.MANIFEST).stat().st_mtime_ns, default=None)


def sweep(begun: Start) -> None:
    """Remove what killed builds left; every other step cleans only where it builds."""
    home, linker = begun.settings.home, begun.linker.name
    for kind in BUILT:
        artefacts.clean(home / kind / linker)
    for ontology in begun.sources:
        artefacts.clean(begun.settings.releases / ontology)
        artefacts.clean(begun.settings.quarantine / ontology)
