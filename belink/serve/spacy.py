"""belink as a component of a spaCy pipeline: ``nlp.add_pipe("belink", config={"linker": "disease@champion"})``.

Entities that the pipeline has found get ``ent.kb_id_``, and ``ent._.belink`` holds the whole answer: probability,
candidates, lineage. spaCy finds the component by its entry point, so nothing needs importing first.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span

from belink import settings
from belink.linker.linker import Linker
from belink.records import Document, Link, Mention
from belink.registry.open import open_linker

NIL = "NIL"
"""``ent.kb_id_`` of an entity that none of the linker's concepts stands for."""


class Component:
    """Links the entities of documents; what spaCy calls for each document or batch of them."""

    def __init__(
        self, linker: Linker, *, min_probability: float | None, labels: Sequence[str], overwrite: bool
    ) -> None:
        self.linker = linker
        self._bound, self._labels, self._overwrite = min_probability, frozenset(labels), overwrite

    def __call__(self, doc: Doc) -> Doc:
        """``doc`` with its entities linked."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 64) -> Iterator[Doc]:
        """The documents of ``stream``, in order, with their entities linked, ``batch_size`` at a time."""
        batch: list[Doc] = []
        for doc in stream:
            batch.append(doc)
            if len(batch) == batch_size:
                yield from self._linked(batch)
                batch = []
        yield from self._linked(batch)

    def _linked(self, docs: Sequence[Doc]) -> Sequence[Doc]:
        asked = [(doc, self._entities(doc)) for doc in docs]
        # A document without entities is left alone: the detector is not asked, the pipeline has its own.
        asked = [(doc, entities) for doc, entities in asked if entities]
        documents = [_document(str(at), doc, entities) for at, (doc, entities) in enumerate(asked)]
        found = self.linker.link_documents(documents, min_probability=self._bound)
        for (doc, entities), (_, links) in zip(asked, found, strict=True):
            _set(doc, list(zip(entities, links, strict=True)))
        return docs

    def _entities(self, doc: Doc) -> list[Span]:
        return [
            entity
            for entity in doc.ents
            if (not self._labels or entity.label_ in self._labels) and (self._overwrite or not entity.kb_id_)
        ]


_SETTINGS: dict[str, Any] = {
    "linker": None, "home": None, "min_probability": None, "labels": [], "overwrite": True,
}  # fmt: skip


@Language.factory("belink", default_config=_SETTINGS, requires=["doc.ents"], assigns=["doc.ents", "span._.belink"])
def make(
    nlp: Language,
    name: str,
    linker: str | None,
    home: str | None,
    min_probability: float | None,
    labels: list[str],
    overwrite: bool,
) -> Component:
    """The component; spaCy calls it with the settings given to ``nlp.add_pipe``.

    :param linker: ``NAME[@ALIAS]``; the only registered one there is, if left out.
    :param home: BELINK_HOME, where that is not set.
    :param min_probability: a concept less probable, 0 to 1, is answered as NIL; the linker's own bound if left out.
    :param labels: entity labels that are linked; none given, all are.
    :param overwrite: link also what already has a ``kb_id_``.
    :raises BelinkError: no such linker.
    """
    here = settings.load(Path(home) if home else None)
    opened = open_linker(here, linker)
    return Component(opened, min_probability=min_probability, labels=labels, overwrite=overwrite)


def _document(id: str, doc: Doc, entities: Sequence[Span]) -> Document:
    mentions = tuple(
        Mention(
            text=entity.text,
            start=entity.start_char,
            end=entity.end_char,
            sentence=entity.sent.text if doc.has_annotation("SENT_START") else doc.text,
            sentence_start=entity.sent.start_char if doc.has_annotation("SENT_START") else 0,
            type=entity.label_,
            document=id,
        )
        for entity in entities
    )
    return Document(id=id, text=doc.text, mentions=mentions)


def _set(doc: Doc, linked: Sequence[tuple[Span, Link]]) -> None:
    if not Span.has_extension("belink"):
        Span.set_extension("belink", default=None)
    ids = {(entity.start, entity.end): link.candidate.id if link.candidate else NIL for entity, link in linked}
    doc.ents = tuple(
        Span(doc, e.start, e.end, label=e.label, kb_id=ids.get((e.start, e.end), e.kb_id_), span_id=e.id)
        for e in doc.ents
    )
    for entity, link in linked:
        doc[entity.start : entity.end]._.belink = link
