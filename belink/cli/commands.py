"""One function a command of the command line, each answering with a JSON document.

They open what the command names (a release, a registered linker, a file), call the stage, and say what came of it.
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from belink import declarations
from belink.declarations import SourceConfig
from belink.errors import DeclarationError, SourceError
from belink.ontology import release
from belink.records import Document, candidate_json, link_json
from belink.registry.open import open_linker
from belink.settings import Settings

Answer = dict[str, Any]


def ingest_ontology(
    here: Settings, ontology: str, files: Sequence[Path], version: str | None, *, refuse: bool = True
) -> Answer:
    """Read ``files``, or what the declaration's address gives, into a release.

    An ontology with no declaration is read from ``files`` under its name, everything in it kept.
    """
    from belink.ontology.download import fetch
    from belink.ontology.ingest import ingest

    source = _source(ontology, bool(files))
    paths: Sequence[Path] = files
    if not files:
        fetched = fetch(source, here, version)
        paths, version = fetched.paths, version or fetched.version
    done = ingest(source, paths, here, version, refuse)
    answer = dataclasses.asdict(done)
    return {**answer, "release": str(answer.pop("path"))}


def _source(ontology: str, has_files: bool) -> SourceConfig:
    try:
        return declarations.load_source(ontology)
    except DeclarationError:
        if not has_files or ontology.endswith(".toml"):
            raise
        return declarations.undeclared_source(ontology, "obo")


def compare(here: Settings, ontology: str, old: str, new: str, *, examples: int = 20) -> Answer:
    """What changed between two releases: counts, examples, and the same as Markdown."""
    from belink.ontology.diff import diff

    paths = [_release(here, ontology, version) for version in (old, new)]
    found = diff(*paths, examples=examples)
    return {"ontology": ontology, "old": old, "new": new, **found.to_dict(), "markdown": found.markdown()}


def _release(here: Settings, ontology: str, version: str) -> Path:
    path = release.release_path(here, ontology, version)
    if path not in (known := release.list_releases(here, ontology)):
        there = ", ".join(p.name for p in known) or "none"
        raise SourceError(f"{ontology} {version}: no such release; there are: {there}. belink ingest makes one.")
    return path


def migrate_file(
    here: Settings, ontology: str, old: str, new: str, input_: Path, output: Path, column: str | None
) -> Answer:
    """Rewrite the ids in a file from one release to another."""
    from belink.ontology.migrate import migrate

    for version in (old, new):
        _release(here, ontology, version)
    return dataclasses.asdict(migrate(ontology, old, new, input_, output, here, column=column))


def index_linker(here: Settings, linker: str) -> Answer:
    """Build the index of the linker's newest releases."""
    from belink.lifecycle import retrain

    report = retrain.index_newest(here, linker)
    return {**dataclasses.asdict(report), "index": str(report.path)}


def train_linker(here: Settings, linker: str) -> Answer:
    """Train an adapter on the linker's newest releases and its corpora."""
    from belink.lifecycle import retrain

    report = retrain.train_newest(here, linker)
    return {**dataclasses.asdict(report), "adapter": str(report.path)}


def training_footprint(here: Settings, linker: str) -> Answer:
    """What memory training the linker's re-ranker would take; nothing is trained."""
    from belink.training.footprint import footprint

    return dataclasses.asdict(footprint(declarations.load_linker(linker), here.cache))


def link(
    here: Settings,
    linker: str | None,
    text: str | None,
    input_: Path | None,
    output: Path | None,
    min_probability: float | None,
) -> Answer:
    """Link a text, or the documents of ``input_``; ``output`` receives them in the format of its suffix."""
    from belink.corpora.links import output_format, write_links

    if output is not None:
        output_format(output)  # refuses a name before anything is linked
    opened = open_linker(here, linker)
    documents = [Document(id="", text=text)] if text is not None else _documents(input_)
    linked = (
        (document, links)
        for batch in _batches(documents)
        for document, links in opened.link_documents(batch, min_probability=min_probability)
    )
    if output is None:
        return {"links": [link_json(link) for _, links in linked for link in links], "lineage": opened.lineage}
    n_documents, n_mentions = write_links(linked, output, opened.lineage)
    return {
        "documents": n_documents, "mentions": n_mentions, "output": str(output), "links": [], "lineage": opened.lineage,
    }  # fmt: skip


def _documents(path: Path | None) -> Iterable[Document]:
    from belink.corpora.files import read_documents

    if path is None:
        raise ValueError("neither a text nor a file was given")
    return read_documents(path)


def _batches(documents: Iterable[Document], size: int = 64) -> Iterator[list[Document]]:
    from belink.progress import track

    batch: list[Document] = []
    for document in track(documents, what="linking", unit="documents"):
        batch.append(document)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def search(here: Settings, linker: str | None, query: str, limit: int) -> Answer:
    """Concepts for a name, or for an id; an id that a release replaced answers with its successors."""
    opened = open_linker(here, linker)
    candidates, notes = opened.look_up(query, limit)
    concepts = [candidate_json(candidate) for candidate in candidates]
    return {"query": query, "concepts": concepts, "notes": notes}


def pull_model(here: Settings, reference: str) -> Answer:
    """Bring a model's weights into the cache."""
    from belink import weights

    found = weights.resolve(reference, here.cache)
    return {"reference": found.reference, "path": str(found.path), "sha256": found.sha256}


def evaluate_corpus(
    here: Settings,
    linker: str,
    corpus: Path,
    predictions: Path | None,
    *,
    against: Path | None = None,
    report: Path | None = None,
) -> Answer:
    """Measure a registered linker on the mentions that ``corpus`` marks."""
    from belink.evaluation import run

    opened = open_linker(here, linker)
    started = time.perf_counter()
    measured = run.evaluate_corpus(opened, corpus, here.data, write=predictions, against=against, report=report)
    return {**measured, "seconds": round(time.perf_counter() - started, 2)}
