"""Two linkers and a file of texts → what changes between their links; see :mod:`belink.evaluation.impact`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from belink.corpora import files
from belink.evaluation.impact import RIVAL_PROBABILITY, Impact, compare_links, release_changes
from belink.linker import bundle
from belink.linker.group import link_stream
from belink.linker.linker import Linker
from belink.progress import track
from belink.records import Link


def compare_linkers(old: Linker, new: Linker, path: Path) -> Impact:
    """Return what changes between the links of two versions of a linker.

    :param path: documents in any format that :func:`belink.corpora.files.read_documents` reads.
    :raises CorpusError: the file cannot be read.
    """
    before = link_file(old, path)
    return compare_with(before, _releases(old), version_name(old), new, path)


def compare_with(
    before: Sequence[Link], releases: Mapping[str, Path], title: str, linker: Linker, path: Path
) -> Impact:
    """Return what changes between links and those of ``linker`` for the same documents.

    :param releases: ontology → the release that ``before`` were made with.
    :param title: what made ``before``, in words.
    :param path: the documents.
    :raises CorpusError: the file cannot be read.
    """
    now = link_file(linker, path)
    changes = release_changes(releases, _releases(linker), [*before, *now])
    return compare_links(before, now, changes, old=title, new=version_name(linker))


def link_file(linker: Linker, path: Path) -> list[Link]:
    """Return the links of the documents at ``path``, with those other candidates that were probable.

    Links of both linkers lie in memory at once, and all candidates would be most of it.
    """
    documents = track(files.read_documents(path), what="linking", unit="documents")
    return [_without_improbable(link) for _, links in link_stream(linker, documents) for link in links]


def _releases(linker: Linker) -> dict[str, Path]:
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
