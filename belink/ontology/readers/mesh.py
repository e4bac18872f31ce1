"""NLM's MeSH XML (desc20xx, supp20xx) → a release, record by record.

A descriptor becomes one concept; the names of its narrower, broader and related MeSH concepts have that as their scope.
Parents come from tree numbers; parents of a supplementary record are the headings that it is mapped to.

Rows go to DuckDB as columns, from a second thread: a Concept and a Name object for each record and term took longer
than the parsing.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree

from belink.declarations import SourceConfig
from belink.errors import SourceError
from belink.ontology.readers.columns import Columns
from belink.ontology.readers.mesh_records import File, Record, look_into, records
from belink.ontology.release_writer import REJECTED_TEXT, ReleaseWriter
from belink.records import Name

PREFIX = "MESH"
BATCH = 100_000  # names handed to DuckDB at once

_UI = re.compile(r"[A-Z]\d{3,12}")


def read(paths: Sequence[Path], source: SourceConfig, into: ReleaseWriter) -> None:
    """Write the descriptors and supplementary records of ``paths`` (plain or .gz) into a release.

    With ``branches`` (tree-number prefixes: C, F03, D) only descriptors below them are kept, and the supplementary
    records mapped to one that is.

    :raises SourceError: not MeSH XML, truncated, declaring entities, or branches without a file of descriptors.
    """
    files = [look_into(path) for path in paths]
    files.sort(key=lambda file: file.record != "DescriptorRecord")  # headings are known before what is mapped to them
    if source.branches and not any(file.record == "DescriptorRecord" for file in files):
        raise SourceError(f"{source.name}: branches need the descriptors (desc20xx.xml), found none; add that file")
    into.version = _version(files, into)
    constant: dict[str, dict[str, Any]] = {
        "concept": {"prefix": PREFIX, "obsolete": False, "own": into.is_own(PREFIX)},
        "name": {"language": "", "source": ""},
        "membership": {"kind": "tree_number"},
    }
    with Columns(into, constant) as columns:
        mesh = _Mesh(source, into, columns)
        for file in files:
            for record, element in records(file):
                mesh.add(record, element, file)
            if file.record == "DescriptorRecord":
                mesh.write_tree()


def _version(files: Iterable[File], into: ReleaseWriter) -> str | None:
    years = sorted({file.year for file in files if file.year})
    if len(years) > 1 and not into.version_hint:
        raise SourceError(
            f"mesh: expected files of one year, found {' and '.join(years)}; give matching ones or --version"
        )
    return years[-1] if years else None


class _Mesh:
    """The records of all files while they are read into a release."""

    def __init__(self, source: SourceConfig, into: ReleaseWriter, columns: Columns) -> None:
        self._source = source
        self._into = into
        self._columns = columns
        # Not through _put, there being so many.
        self._concept, self._name, self._parent = (tuple(columns.of[t].values()) for t in ("concept", "name", "parent"))
        self._seen: set[str] = set()
        self._kept: set[str] = set()  # descriptors
        self._at: dict[str, str] = {}  # tree number → descriptor
        self._is_kept = cache(lambda scope, kind: into.keeps(Name(text="", scope=scope, type=kind)))

    def add(self, record: Record, element: etree._Element, file: File) -> None:
        """Take one record, or set it aside."""
        if fault := self._fault(record):
            self._reject(element, file, fault)
            return
        self._seen.add(record.ui)
        if record.nameless:
            self._reject(element, file, f"{record.ui}: expected a String in every term, found none in one")
        if self._is_chosen(record, file.record == "DescriptorRecord"):
            self._write(record)

    def _is_chosen(self, record: Record, descriptor: bool) -> bool:
        branches = self._source.branches
        if descriptor:
            if branches and not any(map(self._in_branch, record.trees)):
                return False
            self._kept.add(record.ui)
            for number in record.trees:
                self._at[number] = record.ui
        elif branches:
            record.headings = [ui for ui in record.headings if ui in self._kept]
            return bool(record.headings)
        return True

    def write_tree(self) -> None:
        """Write the parents of the descriptors: the descriptors one level higher in the tree."""
        pairs = dict.fromkeys((ui, self._at.get(number.rpartition(".")[0])) for number, ui in self._at.items())
        for ui, above in pairs:
            if above:
                self._put("parent", f"{PREFIX}:{ui}", f"{PREFIX}:{above}")

    def _in_branch(self, number: str) -> bool:
        return any(
            number.startswith(branch) and (len(branch) == 1 or number[len(branch) :][:1] in ("", "."))
            for branch in self._source.branches
        )

    def _fault(self, record: Record) -> str:
        if not _UI.fullmatch(record.ui):
            return f"expected a record with a unique identifier, found {record.ui[:40]!r}"
        if record.ui in self._seen:
            return f"{record.ui}: expected one record of that identifier, found another one"
        if not record.name:
            return f"{record.ui}: expected a record with a name, found none"
        return ""

    def _reject(self, element: etree._Element, file: File, reason: str) -> None:
        text = " ".join("".join(str(t) for t in element.itertext()).split())[:REJECTED_TEXT]
        self._put("rejection", element.sourceline, text, f"{file.path.name}: {reason}", False)

    def _put(self, table: str, *row: Any) -> None:
        """Add a row, without the values that are the same in every row of the table."""
        for values, value in zip(self._columns.of[table].values(), row, strict=True):
            values.append(value)

    def _write(self, record: Record) -> None:
        concept_id, label = f"{PREFIX}:{record.ui}", record.name
        concept_ids, labels, notes = self._concept
        concept_ids.append(concept_id)
        labels.append(label)
        notes.append(record.note)
        ids, texts, scopes, kinds = self._name
        is_kept = self._is_kept
        if "label" in self._source.names.scopes:
            ids.append(concept_id)
            texts.append(label)
            scopes.append("label")
            kinds.append("")
        scope_of = record.scopes()
        for concept, terms in record.concepts:
            scope = scope_of.get(concept, "related")
            for text, kind in terms:
                if text != label and is_kept(scope, kind):
                    ids.append(concept_id)
                    texts.append(text)
                    scopes.append(scope)
                    kinds.append(kind)
        children, parents = self._parent
        for heading in dict.fromkeys(record.headings):
            children.append(concept_id)
            parents.append(f"{PREFIX}:{heading}")
        for number in record.trees:
            self._put("membership", concept_id, number)
        for xref in dict.fromkeys(record.xrefs):
            self._put("xref", concept_id, xref)
        if len(ids) >= BATCH:
            self._columns.send()
