"""One function for each command; it returns the command's answer as a JSON document.

A function opens what the command names (a release, a registered linker, a file) and calls one stage.
"""

import dataclasses
import itertools
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from belink import declarations
from belink.declarations import SourceConfig
from belink.errors import BelinkError, CorpusError, DeclarationError, SourceError
from belink.linker import bundle
from belink.linker.group import LinkerGroup, link_stream
from belink.linker.linker import Linker
from belink.ontology import release
from belink.ontology.release import REFUSED, list_refused
from belink.records import Document, candidate_json, link_json
from belink.registry.open import open_linker, open_linkers
from belink.settings import Settings

Answer = dict[str, Any]


def ingest_ontology(
    settings: Settings, ontology: str, files: Sequence[Path], version: str | None, *, refuse: bool = True
) -> Answer:
    """Read an ontology into a release: from ``files``, or from the declared address.

    An ontology without declaration is read whole from ``files``, under the name given.

    :param version: of the release, where the files do not name it.
    :param refuse: whether a failed gate keeps the release out.
    """
    from belink.lifecycle.ontology import run_of
    from belink.ontology.download import fetch
    from belink.ontology.ingest import ingest

    # Files alone are enough for a first look at an ontology. Its address can only come from a declaration.
    source = _source(ontology, bool(files))
    paths: Sequence[Path] = files
    if not files:
        download = fetch(source, settings, run_of(settings, source, version=version).version)
        # The version that somebody gave goes before the one that the server names.
        paths, version = download.paths, version or download.version
    answer = dataclasses.asdict(ingest(source, paths, settings, version, refuse))
    path = answer.pop("path")
    with release.open_release(path) as opened:
        coverage = opened.coverage()
    return {**answer, "release": str(path), "coverage": coverage}


def linker_defaults(linker: str) -> Answer | None:
    """Return what a linker without a declaration of its own is made by; ``None`` for a declared one."""
    declared = declarations.load_linker(linker)
    return declarations.defaults_of(declared, declarations.load_source(declared.ontologies[0]))


def ontologies_of(linker: str) -> list[str]:
    """Return the names of the ontologies of a linker."""
    return [declarations.load_source(name).name for name in declarations.load_linker(linker).ontologies]


def _source(ontology: str, has_files: bool) -> SourceConfig:
    try:
        return declarations.load_source(ontology)
    except DeclarationError:
        if not has_files or ontology.endswith(".toml"):
            raise
        # "obo" stands for its family: OBO, OWL and OBO Graph JSON are told apart by content.
        return declarations.undeclared_source(ontology, "obo")


def compare(settings: Settings, ontology: str, old: str, new: str, *, examples: int = 20) -> Answer:
    """Return what changed between two releases: counts, ``examples`` of each kind, and the same as Markdown.

    :param new: a version, or ``rejected``: the release that a gate refused last.
    """
    from belink.ontology.diff import diff

    ontology = Path(ontology).stem if ontology.endswith(".toml") else ontology

    paths = [_release(settings, ontology, version) for version in (old, new)]
    change = diff(*paths, examples=examples)
    return {"ontology": ontology, "old": old, "new": new, **change.to_dict(), "markdown": change.markdown()}


def compare_terms(
    settings: Settings, ontology: str, old: str, new: str, ids: Path, *, column: str | None = None
) -> Answer:
    """Return what changed between two releases about the ids that the file ``ids`` lists.

    :param new: a version, or ``rejected``: the release that a gate refused last.
    :param column: of ``ids``, where it is a CSV or TSV file.
    """
    from belink.ontology.term_changes import read_terms, term_changes

    ontology = Path(ontology).stem if ontology.endswith(".toml") else ontology
    paths = [_release(settings, ontology, version) for version in (old, new)]
    return term_changes(paths[0], paths[1], read_terms(ids, paths, column)).to_dict()


def _release(settings: Settings, ontology: str, version: str) -> Path:
    path = release.release_path(settings, ontology, version)
    if path in (releases := release.list_releases(settings, ontology)):
        return path
    refused = list_refused(settings, ontology)
    # The newest refused release comes first: `rejected` stands for that one.
    for folder in reversed(refused):
        if version in (REFUSED, folder.name):
            return folder
    versions = ", ".join([each.name for each in releases] + [f"{each.name} ({REFUSED})" for each in refused]) or "none"
    raise SourceError(f"{ontology} {version}: no such release; there are: {versions}. belink ingest makes one")


def migrate_file(
    settings: Settings, ontology: str, old: str, new: str, input_: Path, output: Path, column: str | None
) -> Answer:
    """Move the ids in a file from one release to another."""
    from belink.ontology.migrate import migrate

    # Both are looked up before the file is read, for an error that lists the versions there are.
    for version in (old, new):
        _release(settings, ontology, version)
    return dataclasses.asdict(migrate(ontology, old, new, input_, output, settings, column=column))


def index_linker(settings: Settings, linker: str) -> Answer:
    """Build the index of the linker's newest releases."""
    from belink.lifecycle import retrain

    report = retrain.index_newest(settings, linker)
    return {**dataclasses.asdict(report), "index": str(report.path)}


def train_linker(settings: Settings, linker: str) -> Answer:
    """Train an adapter on the linker's newest releases and corpora."""
    from belink.lifecycle import retrain

    report = retrain.train_newest(settings, linker)
    return {**dataclasses.asdict(report), "adapter": str(report.path)}


def training_footprint(settings: Settings, linker: str) -> Answer:
    """Estimate the memory that training the linker's re-ranker needs. Nothing is trained."""
    from belink.training.footprint import footprint

    return dataclasses.asdict(footprint(declarations.load_linker(linker), settings.cache))


def link(
    settings: Settings,
    linker: str | None,
    text: str | None,
    input_: Path | None,
    output: Path | None,
    min_probability: float | None,
    *,
    nested: bool = False,
    explain: bool = False,
    as_fhir: bool = False,
) -> Answer:
    """Link a text, or the documents of ``input_``; ``output`` receives them in the format of its suffix.

    :param as_fhir: as FHIR CodeableConcepts; without ``output``, their lines are in ``fhir``.
    :param explain: whether ``unlinked`` says why other names in the text are not linked.
    """
    if output is not None:
        from belink.corpora.links import output_format, write_links

        if not as_fhir:
            output_format(output)  # refuses a name before anything is linked
    loaded = open_linkers(settings, linker, nested=nested)
    documents = [Document(id="", text=text)] if text is not None else _documents(input_)
    # Documents are linked and written batch by batch, so a large file never lies in memory whole.
    linked = link_stream(loaded, documents, min_probability=min_probability)
    codes = _fhir_codes(loaded) if as_fhir else None
    if output is None:
        if codes is not None:
            from belink.corpora import fhir

            return {"fhir": "".join(fhir.lines(links, codes).decode() for _, links in linked).rstrip("\n")}
        # One JSON document or one table needs all links at once.
        pairs = list(linked)
        answer = {"links": [link_json(link) for _, links in pairs for link in links], "lineage": loaded.lineage}
        if explain and isinstance(loaded, Linker):
            from belink.linker.explanation import explain_unlinked

            answer["unlinked"] = [each for pair in pairs for each in explain_unlinked(loaded, *pair)]
        return answer
    n_documents, n_mentions = write_links(linked, output, loaded.lineage, fhir_codes=codes)
    counts = {"documents": n_documents, "mentions": n_mentions}
    return {**counts, "output": str(output), "links": [], "lineage": loaded.lineage}


def link_files(
    settings: Settings,
    linker: str | None,
    pattern: Path,
    output: Path,
    min_probability: float | None,
    *,
    nested: bool = False,
    format: str | None = None,
    engine: str = "local",
    address: str | None = None,
) -> Answer:
    """Link each file that matches ``pattern`` into a file of the folder ``output``; keep those that are finished.

    :param format: of the links; ``None`` keeps the inputs' own.
    :param engine: ``local`` for this process, ``ray`` for a cluster.
    :param address: of the Ray cluster.
    """
    from belink.linker import shards
    from belink.progress import track

    files = shards.find_shards(pattern, output, format)
    left_out, folders = shards.find_left_out(pattern, output)
    loaded = open_linkers(settings, linker, nested=nested)
    codes = _fhir_codes(loaded) if format == "fhir" else None
    options = shards.ShardOptions(min_probability=min_probability, nested=nested, fhir_codes=codes)
    with shards.sole_writer(output, files):
        if engine == "ray":
            results = _ray().link_shards(settings, loaded, files, options, address=address)
        else:
            results = shards.link_shards(loaded, files, options)
        tracked = track(results, what="linking", total=len(files), unit="files")
        sums = shards.total(itertools.chain(tracked, left_out))
    others = shards.other_links(output, files)
    return {**sums, "others": others, "folders": folders, "output": str(output), "links": [], "lineage": loaded.lineage}


def _ray() -> ModuleType:
    try:
        from belink.serve import ray
    except ModuleNotFoundError as error:
        raise BelinkError(f"expected {error.name}, found none; pip install 'belink[ray]'") from error
    return ray


def _fhir_codes(loaded: Linker | LinkerGroup) -> dict[str, str]:
    from belink.corpora import fhir

    linkers = [loaded] if isinstance(loaded, Linker) else loaded.linkers
    return fhir.read_codes(folder for linker in linkers for folder in bundle.release_folders(linker.path))


def impact(settings: Settings, linker: str, old: str | None, new: str, input_: Path, past: Path | None) -> Answer:
    """Return which links of the documents in ``input_`` change between two versions of a linker, and why.

    :param old: a version or alias; ``None`` where ``past`` holds the links from before, and their releases.
    :param past: links of these documents, which :func:`link` wrote.
    :raises CorpusError: ``past`` does not say its releases, and ``old`` is ``None``.
    """
    from belink.corpora.past_links import read_links, releases_of
    from belink.evaluation import run_impact

    plain = linker.partition("@")[0]
    challenger = open_linker(settings, f"{plain}@{new}")
    if past is None:
        measured = run_impact.compare_linkers(open_linker(settings, f"{plain}@{old}"), challenger, [input_])
    else:
        before = read_links(past)
        if versions := releases_of(before):
            releases = {name: _release(settings, name, version) for name, version in versions.items()}
        elif old is not None:
            releases = run_impact.releases_of(open_linker(settings, f"{plain}@{old}"))
        else:
            raise CorpusError(
                f"{past}: expected the releases that its links were made with, found none; name the version that made "
                "it: --from VERSION"
            )
        measured = run_impact.compare_with(before, releases, past.name, challenger, [input_])
    name = challenger.lineage["linker"]
    return {"linker": name, **measured.to_dict(), "markdown": measured.markdown(name)}


def _documents(path: Path | None) -> Iterable[Document]:
    from belink.corpora.files import read_documents
    from belink.progress import track

    if path is None:
        raise ValueError("neither a text nor a file was given")
    return track(read_documents(path), what="linking", unit="documents")


def search(settings: Settings, linker: str | None, query: str, limit: int) -> Answer:
    """Find concepts by name or id; an obsolete id gives its successors, and a note that says so."""
    candidates, notes = open_linkers(settings, linker).look_up(query, limit)
    concepts = [candidate_json(candidate) for candidate in candidates]
    return {"query": query, "concepts": concepts, "notes": notes}


def pull_model(settings: Settings, reference: str) -> Answer:
    """Download a model's weights into the cache."""
    from belink import weights

    model = weights.resolve(reference, settings.cache)
    return {"reference": model.reference, "path": str(model.path), "sha256": model.sha256}


def evaluate_corpus(
    settings: Settings,
    linker: str,
    corpus: Path,
    predictions: Path | None,
    *,
    against: Path | None = None,
    report: Path | None = None,
) -> Answer:
    """Measure a registered linker on the annotated mentions of ``corpus``."""
    from belink.evaluation import run

    loaded = open_linker(settings, linker)
    started = time.perf_counter()
    metrics = run.evaluate_corpus(loaded, corpus, settings.data, write=predictions, against=against, report=report)
    return {**metrics, "seconds": round(time.perf_counter() - started, 2)}
