"""The index of a linker: the names of its releases, each once, with trigram vectors and dense vectors.

A dense vector depends on the encoder and the normalised name only. So the index of a new release copies every vector
that the previous index has and encodes the rest. Vectors encoded before a build is killed are kept beside the index
and used by the next attempt.

Dense vectors are compared exactly up to ``retrieval.exact_below`` names. Above, FAISS proposes neighbours from
compressed codes, which the stored vectors then rank; ``tests/benchmarks/bench_scale.py`` compares recipes.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from belink import artefacts, progress
from belink.declarations import ADMINISTRATIVE, LinkerConfig
from belink.errors import IndexMismatch, ReleaseError
from belink.ontology.release import Release, open_release, shared_concepts
from belink.records import Candidate
from belink.retrieval import latin_names, name_table, trigrams
from belink.retrieval.latin_names import LatinNames
from belink.retrieval.name_table import NameTable
from belink.retrieval.vectors import FEWEST, RECIPE, ROWS, STORED, Vectors, compress, measure_recall, parts
from belink.text import normalise

log = logging.getLogger(__name__)

FORMAT = 2
_WITHOUT_CONCEPT = "without-concept.json"
_SHARD = 8_192  # names encoded between two writes to the disk: a killed build loses no more


class TextEncoder(Protocol):
    """An encoder of texts, as an index uses it."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> np.ndarray: ...


NOT_CONTENT = {
    **ADMINISTRATIVE,
    "ontologies": "the sha256 of each release stands for it",
    "encoder": "its fingerprint stands for it",
    "adaptation": "the encoder's fingerprint stands for it",
    "retrieval": "says how the index is asked; but the number of names decides whether vectors are compressed",
    "reranker": "asked after the index",
    "detector": "finds mentions before the index is asked",
    "training": "asks the index; what it may see of the corpora is in the precedents",
    "corpora": "the precedents stand for them",
    "evaluation": "measures the index",
}
"""Fields of a linker that leave its index as it is, each with the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexReport:
    """The outcome of building an index."""

    path: Path
    names: int
    encoded: int  # names that were encoded
    reused: int  # names whose vectors were copied from an earlier index
    recall_at_10: float | None  # against exact search, 0 to 1; None: there are no dense vectors
    seconds: float


@progress.working("building the index")
def build_index(
    releases: Sequence[Path],
    linker: LinkerConfig,
    encoder: TextEncoder,
    target_parent: Path,
    previous: Path | None = None,
    precedents: Sequence[tuple[str, str]] = (),
    corrected: Sequence[tuple[str, str]] = (),
    without_concept: Sequence[str] = (),
) -> IndexReport:
    """Build the index of ``releases`` under ``target_parent`` and return its report; reuse it where nothing changed.

    :param precedents: text and concept id of annotated mentions; they propose concepts as names do.
    :param corrected: those of ``precedents`` that people have said themselves; they count as exact matches.
    :param without_concept: texts of which people have said that no concept fits; see :attr:`Index.without_concept`.
    :param previous: an index to borrow vectors from; one of another encoder or normalisation lends nothing.
    :raises ReleaseError: a release cannot be read.
    """
    from filelock import FileLock

    started = time.monotonic()
    about = _about(releases, linker, encoder, precedents)
    if corrected:
        about["corrected"] = artefacts.key(sorted(corrected))
    if names_without := sorted({normalise.normalise(text) for text in without_concept}):
        about["without_concept"] = artefacts.key(names_without)
    target = target_parent / artefacts.key(about)
    target_parent.mkdir(parents=True, exist_ok=True)
    # Two refreshes may need the same index. The second one waits and finds it.
    with FileLock(target_parent / f".{target.name}.lock"):
        if artefacts.is_reusable(target):
            manifest = artefacts.read_manifest(target)
            return _report(
                target, {**manifest, "encoded": 0, "reused": manifest["names"] * bool(manifest["dimension"])}, started
            )
        work = target_parent / f".work-{target.name}"

        def fill(folder: Path) -> dict[str, Any]:
            made = _fill(folder, releases, linker, encoder, _lender(previous), work, precedents, corrected)
            if names_without:
                (folder / _WITHOUT_CONCEPT).write_text(json.dumps(names_without, ensure_ascii=False), encoding="utf-8")
            files = sorted(path for path in folder.iterdir() if path.is_file())
            return {**about, **made, "files": {path.name: artefacts.sha256(path) for path in files}}

        manifest = artefacts.make(target, fill)
        # Only now: until the index is in its place, a killed build continues from these vectors.
        shutil.rmtree(work, ignore_errors=True)
    return _report(target, manifest, started)


def _about(
    releases: Sequence[Path], linker: LinkerConfig, encoder: TextEncoder, precedents: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Return everything that determines an index, for its key and its manifest."""
    content = artefacts.content(linker, NOT_CONTENT, but=["retrieval.exact_below"], joined={"names": "any"})
    manifests = [artefacts.read_manifest(path) for path in releases]
    names = [str(manifest["ontology"]) for manifest in manifests]
    # Of an id in several ontologies the first one's label counts; without such ids the order decides nothing.
    is_ordered = bool(shared_concepts(dict(zip(names, releases, strict=True)), linker.prefixes))
    return {
        **({"order": names} if is_ordered else {}),
        "format": FORMAT,
        "text_version": normalise.VERSION,
        "encoder": encoder.fingerprint,
        "releases": {
            manifest["ontology"]: {key: manifest.get(key) for key in ("version", "sha256", "database_sha256")}
            for manifest in manifests
        },
        **content.pop("retrieval"),
        **content,
        "recipe": RECIPE,
        **({"latin": latin_names.FORMAT} if linker.names == "latin" else {}),
        "precedents": artefacts.key(sorted(precedents)),
    }


def _report(path: Path, manifest: dict[str, Any], started: float) -> IndexReport:
    figures = {key: manifest[key] for key in ("names", "encoded", "reused", "recall_at_10")}
    return IndexReport(path=path, seconds=round(time.monotonic() - started, 3), **figures)


def _lender(previous: Path | None) -> "Index | None":
    if previous is None or not artefacts.exists(previous):
        return None
    if damaged := artefacts.damaged_file(previous):
        log.warning("%s: was damaged on the disk; every name is encoded again", damaged)
        return None
    manifest = artefacts.read_manifest(previous)
    if manifest.get("format") != FORMAT:
        log.info("%s was made by another belink; every name is encoded again", previous)
        return None
    # Not ``Index.load``, which refuses an index of other rules of normalising.
    return Index(previous, manifest)  # the rules of normalising may differ: a vector belongs to the normalised name


def _fill(
    folder: Path,
    releases: Sequence[Path],
    linker: LinkerConfig,
    encoder: TextEncoder,
    lender: "Index | None",
    work: Path,
    precedents: Sequence[tuple[str, str]],
    corrected: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    with ExitStack() as opened:
        sources = [opened.enter_context(open_release(path)) for path in releases]
        of_releases = [_of_release(source, linker.prefixes) for source in sources]
        name_table.build(of_releases, folder, precedents, corrected, _same_rules(lender))
        table = NameTable.load(folder)
        lent = None if lender is None else _Lent(lender, table.rows_in(lender.table))
        if linker.names == "latin":
            latin_names.build(folder, table, sources, linker.prefixes, _same_keys(lent))
    if not table.n_names:
        raise ReleaseError(
            f"{', '.join(str(path) for path in releases)}: expected live concepts with names, found none of the "
            f"prefixes {', '.join(linker.prefixes) or 'declared'}; check the ontology's declaration and the linker's"
        )
    encoded = _fill_vectors(folder, table, encoder, lent, work)
    _fill_trigrams(folder, table, lent)
    counts = {"names": table.n_names, "concepts": table.n_concepts, "dimension": encoder.dimension}
    if not encoder.dimension:
        return {**counts, "recall_at_10": None, "lists_read": None, "encoded": 0, "reused": 0}
    if table.n_names >= max(linker.retrieval.exact_below, FEWEST):
        compress(folder)
    recall = measure_recall(folder, linker.evaluation.index_queries)
    return {**counts, **recall, "encoded": encoded, "reused": table.n_names - encoded}


def _same_rules(lender: "Index | None") -> NameTable | None:
    """Return the lender's names where the rules that normalised them hold still."""
    return lender.table if lender is not None and lender.manifest.get("text_version") == normalise.VERSION else None


@dataclass(frozen=True, slots=True)
class _Lent:
    """An earlier index, and where it has the names of the one that is built."""

    index: "Index"
    rows: np.ndarray  # int64 (n_names,), -1 for none


def _same_keys(lent: _Lent | None) -> latin_names.Borrowed | None:
    if lent is None or lent.index.latin_names is None or _same_rules(lent.index) is None:
        return None
    is_same = lent.index.manifest.get("latin") == latin_names.FORMAT
    return latin_names.Borrowed(lent.index.latin_names, lent.rows) if is_same else None


def _of_release(release: Release, prefixes: Sequence[str]) -> name_table.OfRelease:
    return name_table.OfRelease(
        ontology=release.ontology,
        version=release.version,
        concepts=release.concepts_table(prefixes=prefixes).select(["id", "label"]),
        names=release.name_batches(prefixes=prefixes),
    )


def _fill_vectors(folder: Path, table: NameTable, encoder: TextEncoder, lent: _Lent | None, work: Path) -> int:
    """Write the vectors of all names and return how many had to be encoded."""
    if not encoder.dimension:
        np.save(folder / STORED, np.empty((table.n_names, 0), np.float16))
        return 0
    # Float16 halves the size of the file. Names of one concept differ by far more than its rounding.
    vectors = np.lib.format.open_memmap(
        folder / STORED, mode="w+", dtype=np.float16, shape=(table.n_names, encoder.dimension)
    )
    artefacts.reserve(folder / STORED)
    missing = np.ones(table.n_names, bool)
    if lent is not None and lent.index.manifest["encoder"] != encoder.fingerprint:
        log.info("%s was made by another encoder; every name is encoded again", lent.index.path)
    elif lent is not None:
        missing = lent.rows < 0
        here = np.flatnonzero(~missing)
        for part in parts(len(here), ROWS):
            vectors[here[part]] = lent.index.vectors.stored[lent.rows[here[part]]]
    rows = np.flatnonzero(missing)
    for part, shard in _encode_missing(table, rows, encoder, work):
        vectors[rows[part]] = shard
    vectors.flush()
    return len(rows)


def _fill_trigrams(folder: Path, table: NameTable, lent: _Lent | None) -> None:
    if lent is None:
        trigrams.build(table.names(), table.n_names, folder)
    else:
        new = table.names(np.flatnonzero(lent.rows < 0))
        trigrams.build(new, table.n_names, folder, trigrams.Borrowed(lent.index.trigrams, lent.rows))


def _encode_missing(
    table: NameTable, rows: np.ndarray, encoder: TextEncoder, work: Path
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield each part of ``rows`` with its vectors, float16; those of a killed attempt are read back."""
    work.mkdir(exist_ok=True)
    shards = progress.track(
        parts(len(rows), _SHARD),
        what="encoding",
        total=len(rows),
        unit="names",
        size=lambda part: part.stop - part.start,
    )
    for part in shards:
        # The key holds the names, so a shard is only used for the very names that it was made of.
        names = list(table.names(rows[part]))
        stored = work / f"{artefacts.key([encoder.fingerprint, names])}.npy"
        if stored.is_file():
            yield part, np.load(stored)
            continue
        shard = encoder.encode(names).astype(np.float16)
        with artefacts.atomic_write(stored) as aside, aside.open("wb") as stream:
            np.save(stream, shard)
        yield part, shard


class Index:
    """An index opened for reading, memory-mapped but for compressed codes. Several threads may call its methods."""

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.dimension: int = manifest["dimension"]
        self.table = NameTable.load(path)
        self.latin_names = LatinNames.load(path, self.table)  # None: its names are not those of taxa
        self.vectors = Vectors(path, manifest.get("lists_read"))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the index at ``path``.

        :raises IndexMismatch: nothing complete lies there, or another version of belink made it.
        """
        if not artefacts.exists(path):
            raise IndexMismatch(f"{path}: expected an index, found no complete one; run belink index again")
        manifest = artefacts.read_manifest(path)
        for key, expected in (("format", FORMAT), ("text_version", normalise.VERSION)):
            if manifest.get(key) != expected:
                raise IndexMismatch(
                    f"{path}: expected an index of {key} {expected}, found {manifest.get(key)}; run belink index again"
                )
        return cls(path, manifest)

    def check(self, encoder: TextEncoder) -> None:
        """:raises IndexMismatch: the vectors were made by another encoder."""
        if encoder.fingerprint != self.manifest["encoder"]:
            raise IndexMismatch(
                f"{self.path}: expected the encoder {self.manifest['encoder']} that made the vectors, found "
                f"{encoder.fingerprint}; run belink index again with this encoder"
            )

    def __contains__(self, concept_id: str) -> bool:
        return self.table.concept_row(concept_id) >= 0

    def candidate(self, concept_id: str) -> Candidate:
        """Return a concept by its id, as a search result.

        :raises KeyError: it is not in the index.
        """
        row = self.table.concept_row(concept_id)
        if row < 0:
            raise KeyError(concept_id)
        concept = {name: column[0] for name, column in self.table.concepts(np.array([row])).items()}
        return Candidate(**concept, name=concept["label"], scope="label", score=1.0)  # type: ignore[arg-type]

    def names(self) -> Iterator[str]:
        """Return every normalised name once."""
        return self.table.names()

    @cached_property
    def trigrams(self) -> trigrams.TrigramIndex:
        """The trigram vectors of the names."""
        return trigrams.TrigramIndex.load(self.path)

    @cached_property
    def without_concept(self) -> frozenset[str]:
        """Normalised texts of which people have said that no concept fits; linkers answer NIL to them."""
        path = self.path / _WITHOUT_CONCEPT
        return frozenset(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else frozenset()
