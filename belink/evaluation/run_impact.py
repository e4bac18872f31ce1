"""Two linkers and a file of texts → what changes between their links; see :mod:`belink.evaluation.impact`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from belink.corpora import files
from belink.evaluation.impact import RIVAL_PROBABILITY, Impact, compare_links, release_changes
from belink.linker import bundle
from belink.linker.group import link_stream
from belink.linker.linker import Linker
from belink.progress import track
from belink.records import Document, Link


def compare_linkers(old: Linker, new: Linker, paths: Sequence[Path], limit: int | None = None) -> Impact:
    """Return what changes between the links of two versions of a linker.

    :param paths: files of documents in any format that :func:`belink.corpora.files.read_documents` reads.
    :param limit: documents that are linked, the first of all files; ``None``: all.
    :raises CorpusError: a file cannot be read.
    """
    before = link_files(old, paths, limit)
    return compare_with(before, releases_of(old), version_name(old), new, paths, limit)


def compare_with(
    before: Sequence[Link],
    releases: Mapping[str, Path],
    title: str,
    linker: Linker,
    paths: Sequence[Path],
    limit: int | None = None,
) -> Impact:
    """Return what changes between links and those of ``linker`` for the same documents.

    :param releases: ontology → the release that ``before`` were made with.
    :param title: what made ``before``, in words.
    :param paths: the documents.
    :param limit: see :func:`compare_linkers`.
    :raises CorpusError: a file cannot be read.
    """
    now = link_files(linker, paths, limit)
    changes = release_changes(releases, releases_of(linker), [*before, *now])
    return compare_links(before, now, changes, old=title, new=version_name(linker))


def link_files(linker: Linker, paths: Sequence[Path], limit: int | None = None) -> list[Link]:
    """Return the links of the documents at ``paths``, with those other candidates that were probable.

    Links of both linkers lie in memory at once, and all candidates would be most of it.
    """
    documents = track(islice(_documents(paths), limit), what="linking", unit="documents")
    return [_without_improbable(link) for _, links in link_stream(linker, documents) for link in links]


def _documents(paths: Sequence[Path]) -> Iterator[Document]:
    folder = os.path.commonpath([path.parent for path in paths]) if paths else ""
    for path in paths:
        for document in files.read_documents(path):
            # Two files may use the same ids; links of two linkers are paired by them.
            below = path.relative_to(folder).as_posix()
            yield document if len(paths) == 1 else _renamed(document, f"{below}: {document.id}")


def _renamed(document: Document, name: str) -> Document:
    mentions = tuple(replace(mention, document=name) for mention in document.mentions)
    return replace(document, id=name, mentions=mentions)


def releases_of(linker: Linker) -> dict[str, Path]:
    """Return ontology → the release that a linker was built from."""
    return {folder.name: folder for folder in bundle.release_folders(linker.path)}


def _without_improbable(link: Link) -> Link:
    probable = tuple((candidate, probability) for candidate, probability in link.options
                     if probability >= RIVAL_PROBABILITY)  # fmt: skip
    return replace(link, options=probable)


def version_name(linker: Linker) -> str:
    """Return a linker's registered version, if it has one, and its releases, in words."""
    version = linker.lineage["model_version"]
    releases = linker.lineage["releases"]
    return f"version {version} ({releases})" if version else releases
