"""OBO, OWL (RDF/XML) and OBO Graph JSON, as published → concepts.

All three become clean OBO text (``owl`` and ``obograph`` write it, ``repair`` cleans it), which pronto reads. pronto
reads OWL and JSON itself, but without parts that the same ontology's OBO file has: synonym types (JSON), relations with
``allValuesFrom``, with a cardinality or an annotation (OWL), and subset names; and it stops at a parent that is not in
the file. Above ``source.stream_above_mib`` the text goes to fastobo frame by frame: same rows, less memory. A release
gets ids, labels, definitions, synonyms, obsoletion, replacements, alternative ids, xrefs, parents, relationships,
subsets and namespaces; nothing else of a file is read, and imports are never followed.
"""

import gc
import io
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from belink import textfiles
from belink.declarations import SourceConfig
from belink.errors import SourceError
from belink.ontology.readers.archive import open_source
from belink.ontology.readers.files import sniff
from belink.ontology.readers.obo import concepts as obo_concepts
from belink.ontology.readers.obo.entities import NameProperties
from belink.ontology.readers.obo.repair import PLAIN_REFERENCE, Cleaner
from belink.ontology.readers.obo.syntax import Frame, first_identifier, frames, identifier
from belink.records import Rejection

if TYPE_CHECKING:
    from belink.ontology.readers.obo.entities import Converted
    from belink.ontology.release import ReleaseWriter

_MIB = 1 << 20
_HAND_WRITTEN = 1 << 16  # bytes; a larger file was written by a program, which ends its last line

log = logging.getLogger(__name__)


def read(paths: Sequence[Path], source: SourceConfig, into: "ReleaseWriter") -> None:
    """Read one file, plain or .gz, in any of the three formats, into ``into``, and set its version.

    :raises SourceError: not an ontology, cut off, damaged, or without a term that can be read.
    """
    if len(paths) != 1:
        raise SourceError(f"{source.name}: expected one file, found {len(paths)}; give --file once")
    text = _text(paths[0], int(source.stream_above_mib * _MIB), source.names.properties)
    ids = _survey(text.frames())
    text.check()
    if not ids:
        raise SourceError(f"{paths[0]}: expected an ontology, found no term with an id; is it the right file?")
    for rejection in text.rejections:
        into.reject(rejection)
    if text.size <= text.remembered:
        with _garbage_kept():
            if _through_pronto(text, ids, into):
                return
    _by_frame(text, ids, into)


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Switch garbage collection off: with millions of objects that all stay it takes a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Text:
    """The frames of one OBO file, read more than once; frames of a file up to ``remembered`` bytes stay in memory."""

    def __init__(self, path: Path, remembered: int, names: NameProperties) -> None:
        self.path = path
        self.remembered = remembered
        self.names = names
        self.size = 0  # bytes of the decompressed file, known after one pass
        self.rejections: list[Rejection] = []
        self._last = ""
        self._frames: list[Frame] | None = None

    def frames(self) -> Iterator[Frame]:
        if self._frames is not None:
            yield from self._frames
            return
        remembered, characters = list[Frame](), 0
        for frame in frames(self._lines()):
            if characters <= self.remembered:
                remembered.append(frame)
                characters += sum(map(len, frame.clauses))
            yield frame
        # A character is at least a byte, so a larger file is remembered only in part, which is dropped.
        self._frames = remembered if self.size <= self.remembered else None

    def _lines(self) -> Iterator[str]:
        with open_source(self.path) as stream:
            # Undecodable bytes become lone surrogates, so that only the clause with them needs repair.
            encoding = textfiles.marked_encoding(stream) or "utf-8"
            with io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape") as text:
                line = ""
                for line in text:
                    yield line
                self._last = line
                self.size = stream.tell()

    def check(self) -> None:
        """Refuse a file that ends in the middle of a line, after one pass over it."""
        clause = self._last.strip()
        whole = self._last.endswith("\n") or not clause
        broken = clause.count('"') % 2 or clause.endswith(("\\", ":")) or ":" not in clause
        if not whole and (broken or self.size > _HAND_WRITTEN):
            raise SourceError(
                f"{self.path}: expected a complete file, found its last line cut off ({clause[:60]!r}); fetch it again,"
                " or end it with a newline if it is whole"
            )


class _Converted:
    """The frames that another format was converted to."""

    def __init__(self, path: Path, remembered: int, converted: "Converted", size: int) -> None:
        self.path = path
        self.remembered = remembered
        self.names = NameProperties({})  # its names are clauses of their own already
        self.size = size
        self.rejections = converted.rejections
        self._frames = converted.frames

    def frames(self) -> Iterator[Frame]:
        return iter(self._frames)

    def check(self) -> None:
        """Do nothing: the parsers of these formats refuse a file that is cut off."""


def _text(path: Path, remembered: int, name_properties: Mapping[str, str]) -> _Text | _Converted:
    kind = sniff(path)
    if kind == "obo":
        return _Text(path, remembered, NameProperties(name_properties))
    if kind == "owl":
        from belink.ontology.readers.obo.owl import read_frames
    elif kind == "obograph":
        from belink.ontology.readers.obo.obograph import read_frames
    else:
        raise SourceError(f"{path}: expected OBO, OWL or OBO Graph JSON, found {kind}; correct `format` or the file")
    with open_source(path) as stream, _garbage_kept():
        return _Converted(path, remembered, read_frames(stream, path, name_properties), stream.tell())


def _survey(stanzas: Iterable[Frame]) -> set[int]:
    """Return hashes of the ids of all terms, which an ``is_a`` may point to: 8 bytes an id rather than a string."""
    ids = set()
    for frame in stanzas:
        if frame.kind == "Term":
            for clause in frame.clauses:
                if clause.startswith("id:"):
                    value = clause[3:].strip()
                    fast = PLAIN_REFERENCE.match(value)
                    ids.add(hash(fast[1] if fast else first_identifier(value)[0]))
                    break
    return ids


def _through_pronto(text: _Text | _Converted, ids: set[int], into: "ReleaseWriter") -> bool:
    """Read the clean text through pronto; return whether pronto could."""
    rejections: list[Rejection] = []
    cleaner = Cleaner(ids, rejections.append, text.names)
    written, repeated = set[str](), []
    with tempfile.TemporaryDirectory(prefix="belink-") as folder:
        clean = Path(folder) / "clean.obo"
        with clean.open("w", encoding="utf-8", newline="\n") as file:
            file.write("format-version: 1.4\n\n")
            for term in cleaner.terms(text.frames()):
                if term.id in written:
                    repeated.append(term)
                    continue
                written.add(term.id)
                file.write(term.text)
            # pronto stops at a parent that has no frame, so it gets an empty one, which is no concept.
            stubs = cleaner.dangling - written
            file.writelines(f"[Term]\nid: {identifier(stub)}\n\n" for stub in sorted(stubs))
        try:
            concepts = list(obo_concepts.through_pronto(clean, cleaner.default_namespace, stubs))
        except (SyntaxError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            log.warning("%s: pronto refuses it (%s); reading it frame by frame", text.path, error)
            return False
    into.concepts(concepts)
    into.concepts(obo_concepts.by_frame(repeated, lambda: cleaner.default_namespace, rejections.append))
    _finish(text.path, cleaner, rejections, into)
    return True


def _by_frame(text: _Text | _Converted, ids: set[int], into: "ReleaseWriter") -> None:
    cleaner = Cleaner(ids, into.reject, text.names)
    into.concepts(obo_concepts.by_frame(cleaner.terms(text.frames()), lambda: cleaner.default_namespace, into.reject))
    _finish(text.path, cleaner, (), into)


def _finish(path: Path, cleaner: Cleaner, rejections: Iterable[Rejection], into: "ReleaseWriter") -> None:
    for rejection in (*rejections, *cleaner.names.rejections(cleaner.property_labels)):
        into.reject(rejection)
    if cleaner.imports:
        log.info("%s: imports are not followed: %s", path, ", ".join(cleaner.imports))
    into.version = _version(cleaner.versions)


def _version(named: list[str]) -> str | None:
    """Return the first of the versions in the header that has a date in it, else the first."""
    dated = [version for version in named if re.search(r"\d{4}-\d{2}-\d{2}", version)]
    return next(iter(dated or [version for version in named if version.strip()]), None)
