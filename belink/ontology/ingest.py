"""Files of an ontology → an immutable release.

A release is built aside, passes its gates, and is moved into place with the manifest written last: a failure at any
moment leaves the existing releases as they are. Files that were read before are recognised by their sha256.
"""

import json
import logging
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from belink import artefacts, manifests, progress
from belink.declarations import Format, SourceConfig
from belink.errors import BelinkError, GateRefused, ReleaseError, SourceError
from belink.ontology import added_names, release
from belink.ontology.readers import beside, tabular
from belink.ontology.readers.files import SUFFIXES, Fingerprint, fingerprint, plain_errors, unpack_sources
from belink.records import GateResult
from belink.settings import Settings

GATES = "gates.json"
LOCK_TIMEOUT = 3600.0  # seconds to wait for another process that reads the same ontology
NOT_READING = {  # of the declaration: leaves the names and concepts as they are; every other field decides them
    "name": "names the folder",
    "title": "shown",
    "format": "a file is of one format; by another's rules it cannot be read",
    "url": "tells where the files come from",
    "version": "tells where the version stands; it names the folder",
    **dict.fromkeys(
        ("licence", "citation", "fhir_codes", "redistributable"), "recorded as it was when the release was made"
    ),
    "licence_url": "shown",
    "schedule": "says when a refresh runs",
    "edition": "says which version is asked for",
    "stream_above_mib": "says how OBO is read; the rows are the same",
    "gates": "decides whether the release is taken",
    "names.lists": "read when a release is made; one that exists keeps its names",
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

log = logging.getLogger(__name__)
Reader = Callable[[Sequence[Path], SourceConfig, release.ReleaseWriter], None]


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """A release in its place."""

    ontology: str
    version: str
    path: Path
    sha256: str  # of the source file; of names and sha256 together, where there are several
    concepts: int  # all of them, also obsolete ones and those of other ontologies
    obsolete: int
    names: int  # labels plus synonyms of all concepts, as listed
    rejected: int  # clauses or rows set aside
    repaired: int  # read after a repair that loses nothing
    new: bool  # False: it had been read before
    gates: list[GateResult]


def ingest(
    source: SourceConfig,
    files: Sequence[Path],
    settings: Settings,
    version: str | None = None,
    refuse: bool = True,
    corpus_ids: Collection[str] = (),
) -> Ingested:
    """Make a release of ``files``; return it, or the one that was made of them before.

    Beside the ontology's files, ``….sssom.tsv`` gives its concepts cross-references, ``….synonyms.tsv`` names.

    :param version: takes the place of the version that the files name.
    :param refuse: False accepts a release that fails its gates; the gates are reported all the same.
    :param corpus_ids: concepts that annotated corpora use; a gate checks that their names are not lost.
    :raises SourceError: the files do not match the declaration, or have no concept.
    :raises ReleaseError: the version is unknown, or exists with other content, or cannot be written.
    :raises GateRefused: a gate failed; the release lies under ``home/quarantine`` with its report.
    """
    from filelock import FileLock

    release.release_path(settings, source.name, version or "any")
    with plain_errors(files[0] if files else None):
        source = tabular.as_given(source, beside.split(files)[0])
        content = fingerprint(files, source.format)
        attempt = _Attempt(source, list(files), settings, version, refuse, corpus_ids, content)
        # Looked up before and after taking the lock: another process may have read the same files meanwhile.
        if existing := attempt.existing():
            return existing
        settings.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(settings.locks / f"ingest-{source.name}.lock", timeout=LOCK_TIMEOUT):
            return attempt.existing() or attempt.quarantined() or attempt.read()


class _Attempt(NamedTuple):
    """One call of :func:`ingest`, with its arguments."""

    source: SourceConfig
    files: list[Path]
    settings: Settings
    version: str | None
    refuse: bool
    corpus_ids: Collection[str]
    fingerprint: Fingerprint

    def existing(self, key: str = "sha256", value: str | None = None) -> Ingested | None:
        """Return the release that was made of these files; ``None`` where there is none."""
        otherwise = None  # read from the same file under another declaration
        # The newest first: several releases may come of one file, under different declarations.
        for path in reversed(release.list_releases(self.settings, self.source.name)):
            manifest = artefacts.read_manifest(path)
            if self._is_same(manifest, key, value):
                if not release.is_sound(path):
                    log.warning("%s: was damaged on the disk, and is read again", path)
                    artefacts.remove(path)
                    continue
                if manifest.get("reading") == _reading(self.source):
                    beside.tell_unread(self.source.names.lists, manifest.get("lists", {}), path)
                    return _ingested(path, manifest, new=False)
                otherwise = otherwise or path
        if otherwise is not None:
            fields = ", ".join(reading_content(self.source))
            raise ReleaseError(
                f"{otherwise}: was read from the same file under another declaration (one of {fields} differs); give "
                f"the new reading a version of its own, such as --version {otherwise.name}-2"
            )
        return None

    def quarantined(self) -> Ingested | None:
        """Refuse or accept files that a gate refused before, without reading them again."""
        for path in release.list_refused(self.settings, self.source.name):
            if self._is_same(manifest := artefacts.read_manifest(path)):
                if manifest.get("reading") == _reading(self.source):
                    return self._refuse_or_place(path, manifest)
        return None

    @progress.working("reading the ontology")
    def read(self) -> Ingested:
        """Read the files into a release, measure its gates, and move it into place."""
        ontology, others = beside.split(self.files)
        with artefacts.scratch(release.release_path(self.settings, self.source.name, "any").parent, "reading") as work:
            files, source, content = unpack_sources(ontology, self.source, work)
            if others:
                content = self.fingerprint.sha256
            # The same content packed anew has another sum of its own, and no second release is made of it.
            if existing := self.existing("content_sha256", content):
                return existing
            # A clash is reported before reading where the version is known by then; large files take long to read.
            self._check_clash(self._version_before_reading())
            built = work / "release"
            built.mkdir()
            lists = beside.fetch_lists(self.source.names.lists, self.settings.cache, work)
            with release.ReleaseWriter(built / release.DATABASE, source, self.version) as into:
                with _names_restored(files, ontology):
                    _reader(source.format)(files, source, into)
                # Repeated ids go first, so that what follows sees each concept once. What stands beside the ontology
                # comes last, as it needs all concepts.
                into.drop_repeated()
                into.mark_called_obsolete()
                added_names.add(into)
                beside.read([*others, *lists.values()], into)
                # Readers of other formats keep to the branches themselves, while they read.
                if source.branches and source.format in SUFFIXES:
                    into.keep_branches(source.branches)
                counts = into.counts()
            if not counts["concepts"]:
                raise SourceError(f"{self._named()}: expected concepts, found none; is it the right file?")
            version = release.folder_name(self._version_before_reading() or self._version_read(into), "version")
            self._check_clash(version)
            sums = {reference: artefacts.sha256(path) for reference, path in lists.items()}
            manifest = {**self._manifest(version, content, counts, built), "lists": sums}
            artefacts.write_manifest(built, manifest)
            return self._refuse_or_place(built, manifest)

    def _named(self) -> str:
        return ", ".join(str(path) for path in self.files)

    def _is_same(self, manifest: dict[str, Any], key: str = "sha256", value: str | None = None) -> bool:
        same = manifest.get(key) == (value or self.fingerprint.sha256)
        return same and self.version in (None, manifest["version"])

    def _version_before_reading(self) -> str | None:
        """Return the version given, or the one in a file's name where the declaration has a pattern for it."""
        if self.version or self.source.version in ("header", "last-modified"):
            return self.version
        for path in self.files:
            if version := release.first_group(self.source.version, path.name):
                return version
        raise SourceError(
            f"{self._named()}: expected a version in the name ({self.source.version}), found none; give --version"
        )

    def _version_read(self, into: release.ReleaseWriter) -> str:
        if into.version and (tidy := tidy_version(into.version)):
            return tidy
        if self.source.version == "last-modified":  # a local file has no server to say so
            newest = max(path.stat().st_mtime for path in self.files)
            return datetime.fromtimestamp(newest, UTC).date().isoformat()
        raise SourceError(f"{self._named()}: expected the file to name its version, found none; give --version")

    def _check_clash(self, version: str | None) -> None:
        """Refuse to give a version a second content.

        :raises ReleaseError: the version exists, made of other files.
        """
        if version is None:
            return
        path = release.release_path(self.settings, self.source.name, version)
        if artefacts.exists(path):
            sha256 = artefacts.read_manifest(path)["sha256"]
            raise ReleaseError(
                f"{self.source.name} {version}: expected the content it was made of (sha256 {sha256}), found another"
                f" (sha256 {self.fingerprint.sha256}); was it published anew? Give --version to keep both"
            )

    def _manifest(self, version: str, content: str, counts: dict[str, Any], built: Path) -> dict[str, Any]:
        return {
            "format": release.FORMAT,
            "ontology": self.source.name,
            "version": version,
            "sha256": self.fingerprint.sha256,
            "content_sha256": content,  # of what was packed in .gz
            "sources": self.fingerprint.sources,
            "created": _now_after(release.latest(self.settings, self.source.name)),
            "licence": self.source.licence,
            "citation": self.source.citation,
            "redistributable": self.source.redistributable,
            "fhir_codes": self.source.fhir_codes,
            "prefixes": list(self.source.prefixes),
            "reading": _reading(self.source),
            "counts": counts,
            "database_sha256": artefacts.sha256(built / release.DATABASE),
            "belink": metadata.version("belink"),
        }

    def _refuse_or_place(self, built: Path, manifest: dict[str, Any]) -> Ingested:
        """Move what was built into place, or to quarantine where a gate fails and the caller does not accept it."""
        report = self._gate_report(built)
        failed = [gate for gate in report["gates"] if not gate["passed"]]
        refused = bool(failed) and self.refuse
        if not refused:
            # What was made last is the latest, so a release out of quarantine is made now.
            created = _now_after(release.latest(self.settings, self.source.name))
            manifest = {**manifest, "created": created, "gates": report["gates"]}
        above = self.settings.quarantine if refused else self.settings.releases
        target = above / self.source.name / manifest["version"]
        # What lies in quarantine already is judged anew in its place.
        if target == built:
            (built / GATES).write_text(_json(report), encoding="utf-8")
        else:
            if refused:
                artefacts.remove(target)  # an earlier content of this version, refused too

            def fill(folder: Path) -> dict[str, Any]:
                artefacts.link_or_copy(built / release.DATABASE, folder / release.DATABASE)
                if refused:
                    (folder / GATES).write_text(_json(report), encoding="utf-8")
                return manifest

            artefacts.make(target, fill)
            artefacts.remove(built)
        if refused:
            raise GateRefused(_refusal(manifest, failed, target / GATES, report["basis"]["previous"]), report["gates"])
        placed = artefacts.read_manifest(target)
        log.info("%s %s: %d concepts", placed["ontology"], placed["version"], placed["counts"]["concepts"])
        # Where another process placed this version first, the manifest has another time.
        return _ingested(target, placed, new=placed["created"] == manifest["created"])

    def _gate_report(self, built: Path) -> dict[str, Any]:
        """Return the gates of what was built with the basis they were measured on; measured once for each basis."""
        from belink.ontology.gates import release_gates

        previous = release.latest(self.settings, self.source.name)
        bounds = self.source.gates.model_dump(mode="json")
        corpus = artefacts.key(sorted(self.corpus_ids))
        basis = {"previous": previous and previous.name, "bounds": bounds, "corpus": corpus}
        if (report := _stored_report(built / GATES)) and report["basis"] == basis:
            return report
        gates = release_gates(built, previous, self.source.gates, self.corpus_ids)
        return {"gates": [asdict(gate) for gate in gates], "basis": basis}


def _stored_report(path: Path) -> dict[str, Any] | None:
    """Return the report that lies at ``path``; ``None`` where there is none, or a damaged one: it is measured again."""
    from pydantic import TypeAdapter, ValidationError

    try:
        report = manifests.read_object(path)
        TypeAdapter(list[GateResult]).validate_python(report["gates"], strict=True)
    except (FileNotFoundError, BelinkError, ValidationError):
        return None
    return report


def _refusal(manifest: dict[str, Any], failed: list[dict[str, Any]], report: Path, previous: str | None) -> str:
    values = "; ".join(
        f"{gate['name']} is {gate['value']:.4g}, bound {gate['bound']:.4g} ({gate['detail']})" for gate in failed
    )
    look = f"Look at it: belink diff {manifest['ontology']} {previous} {release.REFUSED}. " if previous else ""
    return (
        f"{manifest['ontology']} {manifest['version']}: {values}. Set aside, with its report in {report}; the old one "
        f"stays. {look}Correct the file, or take it by the same command with --accept"
    )


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _now() -> datetime:
    return datetime.now(UTC)


def _now_after(previous: Path | None) -> str:
    """Return the current time, or just after ``previous`` was made if the clock went back since.

    The release made last is the latest one.
    """
    now = _now()
    if previous is not None and (made := str(artefacts.read_manifest(previous).get("created", ""))):
        now = max(now, datetime.fromisoformat(made).astimezone(UTC) + timedelta(microseconds=1))
    return now.isoformat(timespec="microseconds")


def tidy_version(text: str) -> str:
    """Return a version from a header or address as a folder name; ``""`` where nothing of it is left.

    Of a text with a date only the date is kept: ``mondo/releases/2025-09-02/mondo.owl`` is ``2025-09-02``.
    """
    if date := _DATE.search(text):
        return date[0]
    # An address such as ".../releases/v2.1/go.owl" has its version in one of its parts, mostly the one with a digit.
    parts = [part for part in text.strip().split("/") if any(c.isdigit() for c in part)] or text.strip().split("/")
    return re.sub(r"[^A-Za-z0-9._+\-]+", "-", parts[-1]).strip("-._+")[:100]


def _reading(source: SourceConfig) -> str:
    """Return a key of those parts of a declaration that decide the content of a release."""
    return artefacts.key(reading_content(source))


def reading_content(source: SourceConfig) -> dict[str, Any]:
    """Return the fields of a declaration that decide the content of a release."""
    return artefacts.content(source, NOT_READING, joined={"names.properties": {}, "names.added": {}})


def _ingested(path: Path, manifest: dict[str, Any], *, new: bool) -> Ingested:
    counts = manifest["counts"]
    return Ingested(
        ontology=manifest["ontology"],
        version=manifest["version"],
        path=path,
        sha256=manifest["sha256"],
        **{name: counts[name] for name in ("concepts", "obsolete", "names", "rejected", "repaired")},
        new=new,
        gates=[GateResult(**gate) for gate in manifest.get("gates", [])],
    )


def _reader(format: Format) -> Reader:
    # Each reader imports its parser, so only the one that is needed is loaded.
    if format == "mesh":
        from belink.ontology.readers import mesh

        return mesh.read
    if format == "umls":
        from belink.ontology.readers import umls

        return umls.read
    if format == "taxdump":
        from belink.ontology.readers import taxdump

        return taxdump.read
    if format == "table":
        return tabular.read
    from belink.ontology.readers.obo import reader

    return reader.read


@contextmanager
def _names_restored(read: list[Path], given: list[Path]) -> Iterator[None]:
    """Make the errors of a reader name the file that the user gave, not its unpacked copy."""
    try:
        yield
    except SourceError as error:
        message = str(error)
        for inner, outer in zip(read, given, strict=True):
            message = message.replace(str(inner), str(outer))
        named = any(str(path) in message for path in given)
        raise SourceError(message if named else f"{', '.join(map(str, given))}: {message}") from error
