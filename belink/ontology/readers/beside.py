"""Files that stand beside those of an ontology, told apart by their names: mappings and lists of synonyms."""

from collections.abc import Sequence
from pathlib import Path

from belink.ontology.readers import sssom, synonym_sets
from belink.ontology.release_writer import ReleaseWriter


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
