"""What stands beside the files of an ontology: mappings and lists of synonyms, given as files or declared."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from belink import wheels
from belink.errors import ModelError
from belink.ontology.readers import drug_names, sssom, synonym_sets
from belink.ontology.release_writer import ReleaseWriter

log = logging.getLogger(__name__)


def split(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files of the ontology, and those beside it (``….sssom.tsv``, ``….synonyms.tsv``)."""
    beside = [path for path in files if sssom.is_mapping_set(path) or synonym_sets.is_synonym_list(path)]
    return [path for path in files if path not in beside], beside


def read(files: Sequence[Path], into: ReleaseWriter) -> None:
    """Add what ``files`` say to the concepts that are in the release: names, then cross-references."""
    if lists := [path for path in files if synonym_sets.is_synonym_list(path)]:
        synonym_sets.read(lists, into)
    if mappings := [path for path in files if sssom.is_mapping_set(path)]:
        sssom.read(mappings, into)


def fetch_lists(references: Sequence[str], cache: Path, into: Path) -> dict[str, Path]:
    """Return declared reference → list of synonyms, as a file in the folder ``into``.

    A file ``….synonyms.tsv`` of a wheel is one already; any other is the dictionary that :mod:`.drug_names` reads. A
    release can do without such a list: one that cannot be had is left out, with a warning.

    :raises SourceError: a wheel's file has another shape than expected.
    """
    found = {}
    for number, reference in enumerate(references):
        try:
            file = wheels.file_of(reference, cache)
        except ModelError as error:
            log.warning("%s; the release is made without these names", error)
            continue
        if synonym_sets.is_synonym_list(file):
            found[reference] = file
            continue
        # Named after the package, because the log counts names by file.
        package = reference.removeprefix("pypi:").partition("==")[0]
        found[reference] = drug_names.convert(file, into / f"{number}-{package}.synonyms.tsv")
    return found


def tell_unread(declared: Collection[str], read: Collection[str], release: Path) -> None:
    """Log which declared lists a release was read without, and how to read it again."""
    if missing := sorted({*declared} - {*read}):
        log.info(
            "%s: was read without the names of %s; --version %s-2 reads it again, with them",
            release, ", ".join(missing), release.name,
        )  # fmt: skip
