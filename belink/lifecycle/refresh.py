"""The steps of a linker's refresh up to the index; ``retrain``, ``calibrate`` and ``promotion`` have the others.

    start → find_changes (fetch) → ingest → compare
          → decide → finetune_encoder → build_index → train → calibrate
          → draft → evaluate → judge → assemble → register → promote

Each is a function of declarations and paths; flows call them in this order. Every step names its result by what it
depends on and finds it again, so a refresh that was killed goes on where it stopped. Only the last moves ``champion``.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from belink import artefacts, declarations, progress
from belink.corpora import feedback
from belink.declarations import LinkerConfig
from belink.errors import BelinkError, BundleError, DeclarationError, RegistryError, ReleaseError
from belink.lifecycle import dependencies, ontology
from belink.lifecycle.ontology import OntologyRun, SourceFiles
from belink.lifecycle.outcome import RefreshOutcome
from belink.linker import bundle
from belink.registry import aliases, sharing
from belink.settings import Settings
from belink.training import splits

if TYPE_CHECKING:
    from belink.declarations import EncoderConfig
    from belink.ontology.diff import Diff
    from belink.records import Candidate, Mention
    from belink.retrieval.encoder import Encoder, NoEncoder
    from belink.retrieval.index import IndexReport
    from belink.training.questions import Retrieve

# The folders of a home that hold, by linker, what a refresh builds; a new kind of artefact is added here.
BUILT = ("encoders", "indices", "adapters", "calibrations", "lexicons", "drafts", "evaluations", "impacts", "bundles",
         "fetched")  # fmt: skip
RetrainRule = Literal["auto", "always", "never"]
Fetch = Callable[[OntologyRun, Sequence[Path]], SourceFiles]
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RefreshRun:
    """A refresh of one linker: the declarations that it is made by, before any file is looked at."""

    settings: Settings
    linker: LinkerConfig
    ontologies: Mapping[str, OntologyRun]  # by the ontology's name
    corpora: Mapping[str, str]  # name → sha256 of the file
    retrain: RetrainRule = "auto"
    ignores_corrections: bool = False  # the declaration has no corpus `feedback = true`
    share_restricted: bool = False  # a licensee said that a server elsewhere may hold what the licence keeps to them
    started: float = field(default_factory=time.time)  # seconds since 1970
    mlflow_run: str = ""  # the id of its open MLflow run; "" where none is open

    @property
    def defaults(self) -> dict[str, Any] | None:
        """What the linker is made by, where it has no declaration of its own; ``None`` where it has one."""
        return declarations.defaults_of(self.linker, next(iter(self.ontologies.values())).source)


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The version that the linker's consumers use now."""

    version: str
    path: Path
    manifest: Mapping[str, Any]
    fault: str = ""  # why it cannot be asked: damaged, or made by another belink; "" for a sound one

    @property
    def is_whole(self) -> bool:
        """Whether its parts can be reused, though it may follow the rules of another belink."""
        return bool(self.manifest)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a refresh works on: the sources as they are now, and the champion."""

    champion: Champion | None
    files: Mapping[str, SourceFiles]  # by the ontology's name
    outcome: RefreshOutcome | None = None  # "unchanged": the champion is made of these very sources


def start(
    settings: Settings,
    linker: str,
    ontologies: Sequence[str] = (),
    retrain: RetrainRule = "auto",
    *,
    versions: Mapping[str, str] | None = None,
    share_restricted: bool = False,
) -> RefreshRun:
    """Return the run for a linker, with the declarations that it is made by and the corpora that they name.

    :param ontologies: those that files were given for; each must be one of the linker's.
    :param versions: ontology → the version to ask for, which is also the release's.
    :param share_restricted: a registry elsewhere may hold releases that are not redistributable.
    :raises DeclarationError: a declaration or corpus is missing, or the linker has no such ontology.
    """
    as_written = declarations.load_linker(linker)
    declared = feedback.resolve(settings, as_written)
    sources = {source.name: source for source in map(declarations.load_source, declared.ontologies)}
    versions = versions or {}
    for kind, names in (("files", ontologies), ("a version", versions)):
        for name in names:
            if name not in sources:
                raise DeclarationError(
                    f"{declared.name}: expected {kind} for one of its ontologies {', '.join(sources)}, found {name}"
                )
    # A missing corpus or text is reported here, before hours of work.
    files = {corpus.name: declarations.corpus_file(corpus, settings.data) for corpus in declared.corpora}
    declarations.watched_files(declared, settings.data)
    return RefreshRun(
        settings=settings,
        linker=declared,
        ontologies={
            name: ontology.run_of(settings, source, [declared], versions.get(name)) for name, source in sources.items()
        },
        corpora={name: artefacts.sha256(path) for name, path in files.items()},
        retrain=retrain,
        ignores_corrections=not feedback.is_learned(as_written),
        share_restricted=share_restricted,
    )


def check_sharing(run: RefreshRun) -> None:
    """Refuse, before hours of work, a registry that may not have the result.

    :raises RegistryError: it lies elsewhere, an ontology is not redistributable, and nobody allowed it.
    """
    restricted = [name for name, each in run.ontologies.items() if not each.source.redistributable]
    sharing.check_sharing(run.settings, run.linker, restricted, allowed=run.share_restricted)


@contextmanager
def exclusive(run: RefreshRun) -> Iterator[None]:
    """Keep other refreshes of this linker in this home out meanwhile; a process that dies lets go of the lock.

    :raises RegistryError: another one is running.
    """
    from filelock import FileLock, Timeout

    run.settings.locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.settings.locks / f"refresh-{run.linker.name}.lock")
    try:
        # A refresh can take hours, so a second one fails at once instead of waiting.
        lock.acquire(blocking=False)
    except Timeout as error:
        raise RegistryError(
            f"{run.linker.name}: another refresh of it is running in {run.settings.home}; try again when it is done"
        ) from error
    try:
        sweep(run)
        yield
    finally:
        lock.release()


def warn_of_ignored_corrections(run: RefreshRun) -> None:
    """Write into the log that there are corrections which the linker, as it is declared, does not learn from."""
    if run.ignores_corrections and (
        n := len(feedback.standing(feedback.read_records(run.settings, run.linker.name)).agreed)
    ):
        log.warning(feedback.ignored_note(run.linker.name, n))


def read_champion(run: RefreshRun) -> Champion | None:
    """Return the linker's champion; ``None`` before the first promotion.

    One that is damaged, or that another belink made, has a ``fault``: a refresh replaces it without comparing. If it
    only follows other rules, of names or of probabilities, the refresh reuses its adapter and its vectors.
    """
    version = aliases.champion(run.settings, run.linker.name)
    if version is None:
        return None
    path, manifest = Path(), {}
    try:
        path, _ = aliases.bundle_path(run.settings, run.linker.name, version)
        # The manifest is kept where only the rules differ: `is_whole` then lets a refresh reuse the parts.
        manifest = bundle.check_parts(path)  # every byte: what is reused of it goes into the next champion
        bundle.check_rules(path, manifest)
        return Champion(version=version, path=path, manifest=manifest)
    except (BundleError, RegistryError) as error:
        log.warning("%s: the champion, version %s, cannot be used: %s", run.linker.name, version, error)
        return Champion(version=version, path=path, manifest=manifest, fault=str(error))


def sound(champion: Champion | None) -> Champion | None:
    """Return the champion if it can be asked, to compare with; else ``None``."""
    return champion if champion is not None and not champion.fault else None


def whole(champion: Champion | None) -> Champion | None:
    """Return the champion if its parts can be reused; else ``None``."""
    return champion if champion is not None and champion.is_whole else None


def may_be_unchanged(run: RefreshRun) -> bool:
    """Whether to look at the sources before Prefect is started: there is a champion that may be kept."""
    return run.retrain != "always" and aliases.champion(run.settings, run.linker.name) is not None


def find_changes(run: RefreshRun, files: Mapping[str, Sequence[Path]], fetch: Fetch = ontology.fetch) -> Changes:
    """Return the champion and the sources as they are now; with an outcome, where there is nothing to do.

    :param files: ontology → local files instead of the declared address.
    :param fetch: how each ontology is fetched; a flow passes the task, which is tried again.
    :raises SourceError: an address cannot be reached, or gives something else.
    """
    champion = read_champion(run)
    fetched = {name: fetch(each, files.get(name, ())) for name, each in run.ontologies.items()}
    if champion is not None and is_unchanged(run, fetched, champion):
        return Changes(champion=champion, files=fetched, outcome=report_unchanged(run, champion))
    return Changes(champion=champion, files=fetched)


def is_unchanged(run: RefreshRun, files: Mapping[str, SourceFiles], champion: Champion) -> bool:
    """Whether a refresh would only make the champion again."""
    if run.retrain == "always" or champion.fault:
        return False
    # Services read in the bundle whether corrections are learned from.
    if champion.manifest["inputs"].get(feedback.IGNORED) and not run.ignores_corrections:
        return False
    for name, each in run.ontologies.items():
        # A version that a person names becomes the release's, but the sha256 of the files does not tell.
        if each.named and each.named != champion.manifest["releases"].get(name, {}).get("version"):
            return False
    sha256 = {name: each.sha256 for name, each in files.items()}
    return bool(champion.manifest["inputs"].get("key") == inputs(run, sha256)["key"])


def is_made_of(run: RefreshRun, releases: Mapping[str, Path], champion: Champion) -> bool:
    """Whether the champion was made of these very releases, by the declarations as they are."""
    files = {
        name: SourceFiles(paths=(), sha256=str(artefacts.read_manifest(path)["sha256"]))
        for name, path in releases.items()
    }
    return is_unchanged(run, files, champion)


def inputs(run: RefreshRun, sha256: Mapping[str, str]) -> dict[str, Any]:
    """Return a ``key`` over everything that determines the bundle, and the ``corpora`` among it.

    :param sha256: of the files of each ontology.
    """
    sources = {name: (each.source, sha256[name]) for name, each in run.ontologies.items()}
    return {"key": dependencies.inputs_key(run.linker, sources, run.corpora), "corpora": dict(run.corpora)}


def report_unchanged(run: RefreshRun, champion: Champion) -> RefreshOutcome:
    """Return the outcome of a refresh that had nothing to do, and note it in the registry."""
    outcome = RefreshOutcome(
        linker=run.linker.name,
        outcome="unchanged",
        version=champion.version,
        champion=champion.version,
        # The champion's index stays as it is, so all its vectors count as reused.
        reused=champion.manifest["index"]["names"] * bool(champion.manifest["index"]["dimension"]),
    )
    aliases.note_refresh(run.settings, outcome.to_dict())
    warn_of_ignored_corrections(run)
    return outcome


@progress.working("comparing releases")
def compare(champion: Champion | None, releases: Mapping[str, Path]) -> "dict[str, Diff]":
    """Return what changed since the champion, by ontology; only those that it holds in another release."""
    from belink.ontology.diff import diff

    champion = whole(champion)
    if champion is None:
        return {}
    # By the bytes of the database and not by version: a release can be read anew under the same version.
    before = {name: champion.path / "releases" / name for name in releases}
    return {
        name: diff(before[name], path)
        for name, path in releases.items()
        if name in champion.manifest["releases"]
        and artefacts.read_manifest(path)["database_sha256"] != champion.manifest["releases"][name]["database_sha256"]
    }


def build_index(
    run: RefreshRun, releases: Mapping[str, Path], champion: Champion | None, encoder_folder: Path | None = None
) -> "IndexReport":
    """Return the index over ``releases``. Vectors that an earlier index or the champion's has are reused.

    :param encoder_folder: the fine-tuned encoder; ``None`` for the declared one as it is.
    """
    from belink.retrieval import index

    folder, champion = run.settings.indices / run.linker.name, whole(champion)
    encoder = load_encoder(run, encoder_folder)
    # Vectors of another encoder cannot be reused, so an older index of this encoder goes before a newer one.
    previous = newest(folder, encoder=encoder.fingerprint) or (champion.path / bundle.INDEX if champion else None)
    folders = list(releases.values())
    corpora = run.linker, folders, run.settings.data
    return index.build_index(
        folders,
        run.linker,
        encoder,
        folder,
        previous,
        splits.precedents(*corpora),
        splits.corrected_precedents(*corpora),
        splits.texts_without_concept(*corpora),
    )


def newest_releases(run: RefreshRun) -> dict[str, Path]:
    """Return the newest release of each ontology.

    :raises ReleaseError: one has none, or the disk has damaged it.
    """
    from belink.ontology.release import is_sound, latest

    releases = {name: latest(run.settings, name) for name in run.ontologies}
    missing = [name for name, path in releases.items() if path is None]
    if missing:
        raise ReleaseError(
            f"{run.linker.name}: expected a release of {', '.join(missing)}, found none; belink ingest makes one"
        )
    paths = {name: path for name, path in releases.items() if path is not None}
    for name, path in paths.items():
        if not is_sound(path):
            raise ReleaseError(
                f"{path}: expected the bytes that it was made with, found others; the disk has damaged it. "
                f"belink ingest {name} makes it again"
            )
    return paths


def retriever(run: RefreshRun, index_folder: Path, encoder_folder: Path | None = None) -> "Retrieve":
    """Return the retrieval over an index with the linker's encoder, as a function of mentions."""
    from belink.retrieval.index import Index
    from belink.retrieval.retrieve import retrieve

    # Both are loaded once, since the returned function is called for many batches.
    index, encoder, config = Index.load(index_folder), load_encoder(run, encoder_folder), run.linker.retrieval

    def candidates_of(
        mentions: "Sequence[Mention]", *, hide_own_name: bool = False, hide_precedent: bool = False
    ) -> "list[list[Candidate]]":
        return retrieve(index, encoder, mentions, config, hide_own_name=hide_own_name, hide_precedent=hide_precedent)

    return candidates_of


def load_encoder(run: RefreshRun, folder: Path | None = None) -> "Encoder | NoEncoder":
    """Return the linker's encoder, fine-tuned or as declared; loaded once a process, since several steps ask for it."""
    if not run.linker.encoder.model:
        from belink.retrieval.encoder import NoEncoder

        return NoEncoder()
    return _encoder(run.linker.encoder, folder or run.settings.cache, folder is not None)


# One is enough: after fine-tuning, all steps of a refresh use a single encoder.
@lru_cache(maxsize=1)
def _encoder(config: "EncoderConfig", folder: Path, adapted: bool) -> "Encoder":
    from belink.retrieval.encoder import Encoder

    return Encoder.finetuned(config, folder) if adapted else Encoder.load(config, folder)


def newest(folder: Path, **manifest: object) -> Path | None:
    """Return the artefact below ``folder`` that was made last, of those whose manifest says so; ``None`` for none."""
    paths = [path for path in folder.glob("[!.]*") if artefacts.exists(path) and _says(path, manifest)]
    return max(paths, key=lambda path: (path / artefacts.MANIFEST).stat().st_mtime_ns, default=None)


def _says(path: Path, expected: Mapping[str, object]) -> bool:
    """Whether the manifest at ``path`` is sound and holds what is expected; a damaged artefact is made again."""
    try:
        return expected.items() <= artefacts.read_manifest(path).items()
    except BelinkError as error:
        log.warning("%s", error)
        return False


def sweep(run: RefreshRun) -> None:
    """Remove what killed builds left; every other step cleans only where it builds."""
    for kind in BUILT:
        artefacts.clean(run.settings.home / kind / run.linker.name)
    for each in run.ontologies.values():
        ontology.sweep(each)
