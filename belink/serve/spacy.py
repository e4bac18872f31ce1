"""belink as a component of a spaCy pipeline: ``nlp.add_pipe("belink", config={"linker": "disease@champion"})``.

Entities that the pipeline has found get ``ent.kb_id_``, and ``ent._.belink`` holds the whole :class:`Link` with
probability, candidates and lineage. spaCy finds the component by its entry point: no import is needed.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span

from belink import settings
from belink.linker.group import LinkerGroup
from belink.linker.linker import Linker
from belink.records import Document, Link, Mention
from belink.registry.open import open_linkers

NIL = "NIL"
"""``ent.kb_id_`` of an entity without a concept in the linker's ontologies."""


class Component:
    """Links the entities of documents; spaCy calls it for each document or batch."""

    def __init__(
        self, linker: Linker | LinkerGroup, *, min_probability: float | None, labels: Sequence[str], overwrite: bool
    ) -> None:
        self.linker = linker
        self._bound, self._labels, self._overwrite = min_probability, frozenset(labels), overwrite

    def __call__(self, doc: Doc) -> Doc:
        """Return ``doc`` with its entities linked."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 64) -> Iterator[Doc]:
        """Yield the documents of ``stream``, in order, with their entities linked, ``batch_size`` at a time."""
        batch: list[Doc] = []
        for doc in stream:
            batch.append(doc)
            if len(batch) == batch_size:
                yield from self._linked(batch)
                batch = []
        # The rest of the stream, with fewer documents than a batch.
        yield from self._linked(batch)

    def _linked(self, docs: Sequence[Doc]) -> Sequence[Doc]:
        pairs = [(doc, self._entities(doc)) for doc in docs]
        # Documents without entities are left out: for them the linker would look for mentions of its own.
        pairs = [(doc, entities) for doc, entities in pairs if entities]
        documents = [_document(str(number), doc, entities) for number, (doc, entities) in enumerate(pairs)]
        linked = self.linker.link_documents(documents, min_probability=self._bound)
        for (doc, entities), (_, links) in zip(pairs, linked, strict=True):
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
    """Return the component; spaCy calls this with the settings given to ``nlp.add_pipe``.

    :param linker: ``NAME[@ALIAS]``, or several separated by commas; the only registered one there is, if left out.
    :param home: the home to look in; BELINK_HOME, or ./.belink, if left out.
    :param min_probability: 0 to 1; the answer is NIL where no concept is this probable. The linker's own if left out.
    :param labels: entity labels that are linked; all, where none is given.
    :param overwrite: link also what already has a ``kb_id_``.
    :raises BelinkError: no such linker.
    """
    chosen = open_linkers(settings.load(Path(home) if home else None), linker)
    return Component(chosen, min_probability=min_probability, labels=labels, overwrite=overwrite)


def _document(id: str, doc: Doc, entities: Sequence[Span]) -> Document:
    mentions = tuple(
        Mention(
            text=entity.text,
            start=entity.start_char,
            end=entity.end_char,
            # `entity.sent` raises an error in a pipeline that sets no sentence boundaries.
            sentence=entity.sent.text if doc.has_annotation("SENT_START") else doc.text,
            sentence_start=entity.sent.start_char if doc.has_annotation("SENT_START") else 0,
            type=entity.label_,
            document=id,
        )
        for entity in entities
    )
    return Document(id=id, text=doc.text, mentions=mentions)


def _set(doc: Doc, linked: Sequence[tuple[Span, Link]]) -> None:
    # spaCy refuses to register an extension twice.
    if not Span.has_extension("belink"):
        Span.set_extension("belink", default=None)
    ids = {(entity.start, entity.end): link.id or NIL for entity, link in linked}
    # `doc.ents` makes new spans at every access, so ids set on those would be lost. Assigning it stores them in the
    # tokens.
    doc.ents = tuple(
        Span(doc, e.start, e.end, label=e.label, kb_id=ids.get((e.start, e.end), e.kb_id_), span_id=e.id)
        for e in doc.ents
    )
    for entity, link in linked:
        # spaCy keeps extension values by character offsets, so every span of these offsets has it.
        doc[entity.start : entity.end]._.belink = link
