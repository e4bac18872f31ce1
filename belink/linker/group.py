"""Several linkers that answer as one: diseases, chemicals and cells in one list of links.

    text → mentions that each linker's names find → each linker's own links → one link a span (settle)

A :class:`LinkerGroup` has the methods of :class:`belink.linker.linker.Linker` that consumers call. Each link says which
linker it comes from, and of what type its concept is. Models that linkers share are held in memory once, see
``_LOADED`` in :mod:`belink.retrieval.encoder` and :mod:`belink.linker.reranker`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice

from belink.errors import BelinkError
from belink.linker.linker import Linker
from belink.records import Candidate, Concept, Document, Link, Mention

_BATCH = 64  # documents that are linked at once


class LinkerGroup:
    """Linkers in order of preference, which decides only between equal answers."""

    def __init__(self, linkers: Sequence[Linker], *, nested: bool = False) -> None:
        """Group ``linkers``, at least one.

        :param nested: keep a found mention that lies within a longer one, too.
        :raises BelinkError: two linkers of one name.
        """
        names = [linker.declaration.name for linker in linkers]
        if len(set(names)) < len(names):
            raise BelinkError(f"expected each linker once, found {', '.join(names)}")
        self.linkers = tuple(linkers)
        self.nested = nested

    @cached_property
    def lineage(self) -> dict[str, str]:
        """The linkers' lineages, the values of each key joined in the order of the linkers."""
        keys = dict.fromkeys(key for linker in self.linkers for key in linker.lineage)
        return {key: ", ".join(linker.lineage.get(key, "") for linker in self.linkers) for key in keys}

    @cached_property
    def _by_name(self) -> dict[str, Linker]:
        return {linker.declaration.name: linker for linker in self.linkers}

    def link_text(self, text: str, *, min_probability: float | None = None) -> list[Link]:
        """Return the links of the mentions that any linker finds in ``text``, in order of their offsets.

        :param min_probability: a concept less probable than this, 0 to 1, is answered as NIL; ``None`` takes each
            linker's own.
        """
        ((_, links),) = self.link_documents([Document(id="", text=text)], min_probability=min_probability)
        return links

    def link_documents(
        self, documents: Sequence[Document], *, min_probability: float | None = None
    ) -> list[tuple[Document, list[Link]]]:
        """Return each document with one link for each of its mentions; where it marks none, they are looked for.

        :param min_probability: see :meth:`link_text`.
        """
        prepared = [self.prepare(document) for document in documents]
        links = iter(self.link([m for d in prepared for m in d.mentions], min_probability=min_probability))
        return [self.settle(document, [next(links) for _ in document.mentions]) for document in prepared]

    def prepare(self, document: Document) -> Document:
        """Return ``document`` with its mentions and their abbreviations spelled out.

        Mentions that it marks stay as they are. Where it marks none, each linker looks for its own names, so
        that a span may stand several times, once for each linker; :meth:`settle` chooses among their answers.
        """
        # Preparing a marked document depends on its text alone, so any linker gives the same.
        if document.mentions:
            return self.linkers[0].prepare(document)
        mentions = [
            replace(mention, linker=linker.declaration.name)
            for linker in self.linkers
            for mention in linker.prepare(document).mentions
        ]
        return replace(document, mentions=tuple(sorted(mentions, key=lambda mention: (mention.start, mention.end))))

    def link(self, mentions: Sequence[Mention], *, min_probability: float | None = None) -> list[Link]:
        """Return one link a mention, in order.

        A mention found by one linker is asked of that linker. A marked one of a type that linkers declare is asked of
        those, any other of all; the most probable concept is the answer, and NIL if every linker says NIL. Bounds come
        after that choice: a linker that is less sure does not answer in place of one that abstains.

        :param min_probability: see :meth:`link_text`.
        """
        answers: list[Link | None] = [None] * len(mentions)
        asked = [self._asked(mention) for mention in mentions]
        for linker in self.linkers:
            positions = [i for i, linkers in enumerate(asked) if linker in linkers]
            links = linker.link([mentions[i] for i in positions], min_probability=0.0)
            for i, link in zip(positions, links, strict=True):
                before = answers[i]
                # Only a better answer replaces another, so of equal ones that of the preferred linker stays.
                answers[i] = link if before is None or _rank(link) > _rank(before) else before
        return [self.abstain(link, min_probability) for link in answers if link is not None]

    def abstain(self, link: Link, min_probability: float | None = None) -> Link:
        """Return ``link``, or NIL in its place where its concept is less probable than its linker's bound."""
        return self._by_name[link.linker].abstain(link, min_probability)

    def _asked(self, mention: Mention) -> Sequence[Linker]:
        if mention.linker:
            return [self._by_name[mention.linker]]
        # Corpora write types in any case: "Disease", "DISEASE".
        kind = mention.type.casefold()
        declaring = [linker for linker in self.linkers if kind and linker.declaration.type.casefold() == kind]
        return declaring or self.linkers

    def settle(self, document: Document, links: Sequence[Link]) -> tuple[Document, list[Link]]:
        """Return ``document`` and its ``links`` without the found mentions that lose against another.

        The links of marked mentions stay in the order in which they were marked.
        """
        if not any(mention.is_found for mention in document.mentions):
            return document, list(links)
        kept = settle(links, nested=self.nested)
        return replace(document, mentions=tuple(link.mention for link in kept)), kept

    def search(self, query: str, limit: int = 10) -> list[Candidate]:
        """Return the concepts that a name or an id may mean, best first."""
        return self.look_up(query, limit)[0]

    def look_up(self, query: str, limit: int = 10) -> tuple[list[Candidate], list[str]]:
        """Return the concepts that a name or an id may mean, and notes about them.

        An id is answered by the linkers that know it. Otherwise concepts whose name is the query come first, then one
        of each linker in turn: scores of two linkers do not compare.
        """
        by_id = [answer for linker in self.linkers if (answer := linker.look_up_id(query, limit)) is not None]
        answers = by_id or [linker.look_up(query, limit) for linker in self.linkers]
        interleaved = _interleave([candidates for candidates, _ in answers])
        candidates = sorted(interleaved, key=lambda candidate: not candidate.exact)  # sorted() keeps the turns
        return candidates[:limit], list(dict.fromkeys(note for _, notes in answers for note in notes))

    def concept(self, concept_id: str) -> Concept | None:
        """Return what the first linker that knows a concept says of it; ``None`` for an unknown id."""
        return next((c for linker in self.linkers if (c := linker.concept(concept_id)) is not None), None)


def settle(links: Sequence[Link], *, nested: bool = False) -> list[Link]:
    """Return ``links`` without those whose found mention overlaps a better one, in order of their offsets.

    A concept is better than NIL, then the longer mention, then the higher probability. Marked mentions all stay.

    :param nested: keep a mention that lies within a longer one, too; of equal spans one is kept all the same.
    """
    covering: dict[int, list[Mention]] = {}  # kept mentions by the offsets that they cover
    kept = set()
    # Best first, as non-maximum suppression does: a mention can only lose against one that is already kept.
    for i in sorted(range(len(links)), key=lambda i: _settling_rank(links[i]), reverse=True):
        mention = links[i].mention
        offsets = range(mention.start, mention.end)
        if mention.is_found and any(_excludes(o, mention, nested) for at in offsets for o in covering.get(at, ())):
            continue
        kept.add(i)
        for offset in offsets:
            covering.setdefault(offset, []).append(mention)
    return [links[i] for i in sorted(kept, key=lambda i: (links[i].start, -links[i].end))]


def _settling_rank(link: Link) -> tuple[bool, int, float]:
    return (link.candidate is not None, link.end - link.start, link.probability)


def _excludes(kept: Mention, mention: Mention, nested: bool) -> bool:
    """Whether ``mention`` cannot stand beside ``kept``, which it overlaps and which is at least as good."""
    is_within = kept.start <= mention.start and mention.end <= kept.end
    is_same = (kept.start, kept.end) == (mention.start, mention.end)
    return not (nested and is_within and not is_same)


def _rank(link: Link) -> tuple[bool, float]:
    return (link.candidate is not None, link.probability)


def _interleave(lists: Sequence[Sequence[Candidate]]) -> Iterator[Candidate]:
    """Yield the first of each list, then the second of each; a concept of two lists once."""
    seen: set[str] = set()
    for position in range(max(map(len, lists), default=0)):
        for candidates in lists:
            if position < len(candidates) and candidates[position].id not in seen:
                seen.add(candidates[position].id)
                yield candidates[position]


def link_stream(
    linker: Linker | LinkerGroup, documents: Iterable[Document], *, min_probability: float | None = None
) -> Iterator[tuple[Document, list[Link]]]:
    """Yield each document, as it is linked, with its links, in order; only a batch of them lies in memory at once.

    :param min_probability: see :meth:`LinkerGroup.link_text`.
    """
    remaining = iter(documents)
    while batch := list(islice(remaining, _BATCH)):
        yield from linker.link_documents(batch, min_probability=min_probability)
