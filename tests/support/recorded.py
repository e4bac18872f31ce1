"""What a reader of the OBO family hands to a release, kept in lists."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from belink.declarations import undeclared_source
from belink.ontology.readers.obo import reader
from belink.ontology.release import ReleaseWriter
from belink.records import Concept, Rejection


@dataclass
class Recorded:
    """Takes what a ReleaseWriter takes."""

    listed: list[Concept] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    version: str | None = None

    def concepts(self, concepts: Iterable[Concept]) -> None:
        self.listed.extend(concepts)

    def reject(self, rejection: Rejection) -> None:
        self.rejections.append(rejection)

    @property
    def by_id(self) -> dict[str, Concept]:
        return {concept.id: concept for concept in self.listed}

    @property
    def rejected(self) -> list[Rejection]:
        return [rejection for rejection in self.rejections if not rejection.repaired]

    @property
    def repaired(self) -> list[Rejection]:
        return [rejection for rejection in self.rejections if rejection.repaired]

    @property
    def names(self) -> int:
        return sum((concept.label is not None) + len(concept.synonyms) for concept in self.listed)

    @property
    def content(self) -> tuple[list[Concept], list[Rejection], str | None]:
        """Everything, in an order of its own."""
        return sorted(self.listed, key=repr), sorted(self.rejections, key=repr), self.version


def read(path: Path, *, by_frame: bool = False) -> Recorded:
    """The file at ``path``: through pronto, or frame by frame whatever its size."""
    source = undeclared_source("tested", "obo").model_copy(update={"stream_above_mib": 0 if by_frame else 64})
    into = Recorded()
    reader.read([path], source, cast(ReleaseWriter, into))
    return into


def read_text(folder: Path, text: str | bytes, *, name: str = "tested.obo", by_frame: bool = False) -> Recorded:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, by_frame=by_frame)
