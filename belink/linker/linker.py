"""The whole path for one batch of mentions. Read this module first.

    text → mentions (name_finder) → candidates (retrieve) → answers that retrieval settles (calibration)
         → the re-ranker's logits for the others (reranker) → one calibrated probability → Link or NIL

A :class:`Linker` is a loaded bundle and nothing else: same bundle, same answers.
"""

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from belink import artefacts, weights
from belink.corpora import feedback
from belink.declarations import read_stored_linker
from belink.linker import bundle
from belink.linker.calibration import Calibration
from belink.linker.latin_finder import build_finder
from belink.linker.name_finder import NOTHING_LEARNED, Explainer, Lexicon, NameFinder
from belink.linker.reranker import Reranker
from belink.linker.token_classifier import CombinedFinder, MentionFinder, TokenClassifier
from belink.ontology.release import Release, open_release
from belink.records import Candidate, Concept, Document, Link, Mention
from belink.retrieval.encoder import DeferredEncoder, Encoder, NoEncoder
from belink.retrieval.index import Index, TextEncoder
from belink.retrieval.retrieve import retrieve
from belink.text import abbreviations
from belink.text.normalise import normalise

# Of a search's answers to its query. With the starter encoder the nearest name to "zzzzqqq" has 0.48, to "hello world"
# 0.54; "lung trouble" finds a lung disorder with 0.81, "pain in the belly" a stomach disorder with 0.57.
_MIN_COSINE = 0.55
_CORRECTED = 0.99  # the least probability of NIL where a person has said so; people err, too


class Linker:
    """A loaded bundle that links mentions and texts.

    Model weights are loaded lazily, on the first mention that needs them. An unambiguous exact name needs none.
    """

    def __init__(self, path: Path, cache: Path, *, model_version: str = "") -> None:
        """Load the bundle at ``path``; ``cache`` holds model weights.

        :raises BundleError: a part is missing, or disagrees with the manifest.
        """
        manifest = bundle.check(path)
        self.path = path
        self.cache = cache
        self.declaration = read_stored_linker(path / bundle.LINKER)
        self.index = Index.load(path / "index")
        # Calibration and index are small or mapped from disk; everything with model weights is a cached property below.
        self.calibration = Calibration.from_dict(json.loads((path / "calibration.json").read_text("utf-8")))
        self.lineage: dict[str, str] = {**manifest["lineage"], "model_version": model_version}
        self.ignores_corrections = feedback.IGNORED in manifest["inputs"]  # False also where an older belink made it

    @cached_property
    def encoder(self) -> TextEncoder:
        """The encoder that made the index's vectors, loaded when a mention that is no name needs it."""
        if not self.declaration.encoder.model:
            return NoEncoder()
        return DeferredEncoder(self.index.manifest["encoder"], self._load_encoder)

    def _load_encoder(self) -> Encoder:
        finetuned = self.path / bundle.ENCODER
        if finetuned.is_dir():
            return Encoder.finetuned(self.declaration.encoder, finetuned)
        return Encoder.load(self.declaration.encoder, self.cache)

    @cached_property
    def reranker(self) -> Reranker | None:
        """The re-ranker; ``None`` for a bundle without an adapter, which links by retrieval alone."""
        adapter = self.path / "adapter"
        if not adapter.is_dir():
            return None
        base = weights.resolve(self.declaration.reranker.model, self.cache)
        return Reranker.load(base, adapter, self.declaration.reranker)

    @cached_property
    def detector(self) -> MentionFinder:
        """The finder of mentions: the ontology's names, a token classifier, or both.

        :raises ModelError: the classifier cannot be fetched, or is not the one that the bundle was made with.
        """
        declared = self.declaration.detector
        finders: list[MentionFinder] = []
        if declared.model:
            finders.append(TokenClassifier.load(declared, bundle.resolve_model(self.path, "detector", self.cache)))
        if declared.names or not declared.model:
            finders.append(self.name_finder)
        return finders[0] if len(finders) == 1 else CombinedFinder(finders)

    @cached_property
    def name_finder(self) -> MentionFinder:
        """The finder of the ontologies' names, by what the corpora taught about them."""
        return build_finder(self.index, bundle.release_folders(self.path), self.lexicon)

    @cached_property
    def explainer(self) -> Explainer | None:
        """Says why names in a text are no mentions; ``None`` for taxa, whose automaton takes a minute to build."""
        finder = self.name_finder
        return Explainer(finder, self.index.names(), self.lexicon) if isinstance(finder, NameFinder) else None

    @cached_property
    def lexicon(self) -> Lexicon:
        """What the corpora taught about names."""
        learned = self.path / bundle.LEXICON
        return Lexicon.from_dict(json.loads(learned.read_text("utf-8"))) if learned.is_file() else NOTHING_LEARNED

    def link(self, mentions: Sequence[Mention], *, min_probability: float | None = None) -> list[Link]:
        """Return one link a mention, in order.

        :param min_probability: a concept less probable than this, 0 to 1, is answered as NIL; ``None`` takes
            :meth:`bound`.
        """
        # A mention has the same probabilities wherever it stands, unless the language model reads its sentence.
        keys = [self._answer_key(mention) for mention in mentions]
        distinct = dict(zip(keys, mentions, strict=True))  # equal questions of a batch are answered once
        representatives = list(distinct.values())
        links = self.choose(representatives, self.candidates(representatives), min_probability=min_probability)
        answers, types = dict(zip(distinct, links, strict=True)), self._types(links)
        return [
            replace(link, mention=mention, type=types.get(link.id or "", "") or self._type_of(mention))
            for link, mention in zip((answers[key] for key in keys), mentions, strict=True)
        ]

    def _types(self, links: Sequence[Link]) -> dict[str, str]:
        """Return id → type of the answered concepts that have types of their own; none where the linker declares one.

        A release is asked once a batch, and only for concepts that no batch before had.
        """
        if self.declaration.type:
            return {}
        ids = {link.id for link in links if link.id}
        if self._typed_releases and (unknown := sorted(ids - self._known_types.keys())):
            known = dict.fromkeys(unknown, "")
            for release in self._typed_releases:
                known |= release.types(unknown)
            self._known_types.update(known)
        return {each: self._known_types.get(each, "") for each in ids}

    @cached_property
    def _known_types(self) -> dict[str, str]:
        return {}

    @cached_property
    def _typed_releases(self) -> list[Release]:
        """The releases whose concepts have types; the manifest says which, so that others are not opened."""
        folders = bundle.release_folders(self.path)
        return [open_release(folder) for folder in folders if artefacts.read_manifest(folder)["counts"].get("typed")]

    def _type_of(self, mention: Mention) -> str:
        """Return the type of a mention without a concept, or whose concept has none of its own."""
        return self.declaration.type or mention.type

    def choose(
        self,
        mentions: Sequence[Mention],
        candidates: Sequence[Sequence[Candidate]],
        *,
        min_probability: float | None = None,
        names_hidden: Container[int] = (),
    ) -> list[Link]:
        """Return one link a mention, in order, chosen from the candidates given for it; see :meth:`link`.

        :param names_hidden: positions of mentions whose own names retrieval did not see, nor what people said of them.
        """
        answers = zip(mentions, candidates, *self.probabilities(mentions, candidates, names_hidden), strict=True)
        return [self._answer(*answer, bound=self.bound(answer[0].is_found, min_probability)) for answer in answers]

    def bound(self, found: bool = True, min_probability: float | None = None) -> float:
        """Return the probability, 0 to 1, below which a concept is answered as NIL.

        It is the caller's; else the declared one; else the one that the refresh chose for the declared precision. That
        one holds only for mentions that belink found in raw text: marked mentions must not lose right answers.

        :param found: whether belink found the mention, rather than the caller marked it.
        :param min_probability: the caller's, if any.
        """
        # 0 is a bound, too: it asks for every link.
        if min_probability is not None:
            return min_probability
        if self.declaration.min_probability is not None:
            return self.declaration.min_probability
        chosen = self.calibration.abstention
        return chosen.bound if found and chosen is not None else 0.0

    def abstain(self, link: Link, min_probability: float | None = None) -> Link:
        """Return ``link``, or NIL in its place where its concept is less probable than :meth:`bound`."""
        if link.candidate is None or link.probability >= self.bound(link.mention.is_found, min_probability):
            return link
        return replace(link, candidate=None, probability=link.nil_probability, type=self._type_of(link.mention))

    def link_documents(
        self, documents: Sequence[Document], *, min_probability: float | None = None
    ) -> list[tuple[Document, list[Link]]]:
        """Return each document with one link for each of its mentions; where it marks none, they are looked for.

        >>> documents = [belink.Document(id="1", text="She has schizophrenia."), belink.Document(id="2", text="Fine.")]
        >>> for document, links in linker.link_documents(documents):
        ...     print(document.id, [link.id for link in links])
        1 ['MONDO:0005090']
        2 []

        :param min_probability: see :meth:`link`.
        """
        marked = [self.prepare(document) for document in documents]
        # The mentions of all documents go into one call, so that the encoder and the re-ranker get full batches.
        links = iter(self.link([m for d in marked for m in d.mentions], min_probability=min_probability))
        return [(document, [next(links) for _ in document.mentions]) for document in marked]

    def link_text(self, text: str, *, min_probability: float | None = None) -> list[Link]:
        """Return one link for each mention that the linker finds in ``text``, in order of their offsets.

        >>> [(link.text, link.id) for link in linker.link_text("She has schizophrenia.")]
        [('schizophrenia', 'MONDO:0005090')]

        :param min_probability: see :meth:`link`.
        """
        ((_, links),) = self.link_documents([Document(id="", text=text)], min_probability=min_probability)
        return links

    def prepare(self, document: Document) -> Document:
        """Return ``document`` with mentions (found, where it marks none) and their abbreviations spelled out."""
        if not document.mentions:
            mentions = tuple(
                replace(mention, document=document.id, is_found=True) for mention in self.detector.find(document.text)
            )
            document = replace(document, mentions=mentions)
        return abbreviations.expand(document)

    def candidates(
        self, mentions: Sequence[Mention], *, hide_own_name: bool = False, settle: bool = True
    ) -> list[list[Candidate]]:
        """Return what :func:`belink.retrieval.retrieve.retrieve` finds for each mention, by the declared options."""
        asked = self.index, self.encoder, mentions, self.declaration.retrieval
        return retrieve(*asked, hide_own_name=hide_own_name, settle=settle)

    def search(self, query: str, limit: int = 10) -> list[Candidate]:
        """Return the concepts that a name or an id may mean, best first.

        An obsolete id gives its successors. :meth:`look_up` also returns the notes about them.

        >>> [(concept.id, concept.label) for concept in linker.search("RA - rheumatoid arthritis", limit=1)]
        [('MONDO:0008383', 'rheumatoid arthritis')]
        """
        return self.look_up(query, limit)[0]

    def look_up(self, query: str, limit: int = 10) -> tuple[list[Candidate], list[str]]:
        """Return the concepts that a name or an id may mean, best first, and notes about them.

        Concepts whose names do not resemble the query are left out, so there may be none.

        An obsolete id gives its successors, and a note that says so: linking never returns an obsolete id either.
        """
        if (by_id := self.look_up_id(query, limit)) is not None:
            return by_id
        # A search shows what resembles a taxon's name, too.
        (candidates,) = self.candidates([Mention(text=query)], settle=False)
        return [candidate for candidate in candidates if _resembles(candidate)][:limit], []

    def look_up_id(self, query: str, limit: int = 10) -> tuple[list[Candidate], list[str]] | None:
        """Return the concepts that an id or a cross-reference stands for, and notes; ``None`` for anything else."""
        for release in self._releases():
            identifier = release.standard_id(query)
            ids = release.successor(identifier)
            concept = release.concept(identifier)
            if not ids and concept is None:
                continue
            notes = []
            if ids != (identifier,):
                was = f"{identifier} ({concept.label})" if concept and concept.label else identifier
                notes = [f"{was} is not used any more in {release.ontology} {release.version}"]
            # An obsolete concept without a replacement may still name alternatives. They are shown, but no id is ever
            # replaced by one.
            if not ids and concept and concept.consider:
                notes.append(f"consider {', '.join(concept.consider)}")
                ids = concept.consider
            return [self.index.candidate(id) for id in ids if id in self.index][:limit], notes
        # Ids of every release are tried before cross-references: an ontology's own id must not be read as another's
        # reference.
        for release in self._releases():
            if ids := release.with_xref(query):
                notes = [f"{query} is a cross-reference in {release.ontology} {release.version}"]
                if candidates := [self.index.candidate(id) for id in ids if id in self.index]:
                    return candidates[:limit], notes
        return None

    def concept(self, concept_id: str) -> Concept | None:
        """Return what the linker's releases say of a concept, obsolete ones included; ``None`` for an unknown id.

        >>> concept = linker.concept("MONDO:0008383")
        >>> concept.label, len(concept.synonyms) > 0
        ('rheumatoid arthritis', True)
        """
        for release in self._releases():
            if (concept := release.concept(release.standard_id(concept_id))) is not None:
                return concept
        return None

    def _releases(self) -> Iterator[Release]:
        """The bundle's releases, each open while it is looked at."""
        for folder in bundle.release_folders(self.path):
            with open_release(folder) as release:
                yield release

    def probabilities(
        self,
        mentions: Sequence[Mention],
        candidates: Sequence[Sequence[Candidate]],
        names_hidden: Container[int] = (),
    ) -> tuple[list[np.ndarray], list[str]]:
        """Return each mention's probabilities, float64 (n_options + 1,), NIL last, and what decided it.

        For what they sum to, see :meth:`belink.linker.calibration.Calibration.probabilities`.

        :param names_hidden: see :meth:`choose`.
        """
        # The calibration is fitted to lists of this length, also where the re-ranker is skipped.
        n_options = self.declaration.reranker.options
        options = [list(group[:n_options]) for group in candidates]
        questions = list(zip(mentions, options, strict=True))
        settled = [self.calibration.settled(*question) for question in questions]
        corrected = {i for i, mention in enumerate(mentions) if i not in names_hidden and self._is_without(mention)}
        for i in corrected:
            settled[i] = _with_nil(self.calibration.probabilities(None, *questions[i]))
        unsettled = [i for i, probabilities in enumerate(settled) if probabilities is None]
        logits: dict[int, np.ndarray] = {}
        if unsettled and self.reranker is not None:
            scored = self.reranker.logits([mentions[i] for i in unsettled], [options[i] for i in unsettled])
            logits = dict(zip(unsettled, scored, strict=True))
        results = [
            self.calibration.probabilities(logits.get(i), *questions[i]) if probabilities is None else probabilities
            for i, probabilities in enumerate(settled)
        ]
        decided = [_decided_by(group, i in logits) for i, group in enumerate(options)]
        return results, ["correction" if i in corrected else by for i, by in enumerate(decided)]

    def _is_without(self, mention: Mention) -> bool:
        """Whether people have said of the mention's text that no concept fits it."""
        names = self.index.without_concept
        return bool(names) and normalise(mention.long_form or mention.text) in names

    def _answer_key(self, mention: Mention) -> tuple[object, ...]:
        """Return all that the answer depends on; the sentence only where the language model reads it."""
        shown = mention.sentence if self.declaration.reranker.sentence else ""
        counts = (mention.n_occurrences, mention.n_annotated)
        names = (mention.text, mention.long_form, mention.composed, mention.appositions)
        return (*names, mention.is_found, *counts, shown)

    def _answer(
        self,
        mention: Mention,
        candidates: Sequence[Candidate],
        probabilities: np.ndarray,
        decided_by: str,
        *,
        bound: float,
    ) -> Link:
        nil = float(probabilities[-1])
        # A stable sort keeps retrieval's order among equally probable options.
        order = np.argsort(-probabilities[:-1], kind="stable")
        answer = self.calibration.choice(probabilities)
        # There may be more candidates than options; NIL stands after the options.
        chosen = answer < len(probabilities) - 1 and probabilities[answer] >= bound
        return Link(
            mention=mention,
            candidate=candidates[answer] if chosen else None,
            probability=float(probabilities[answer]) if chosen else nil,
            options=tuple((candidates[i], float(probabilities[i])) for i in order),
            nil_probability=nil,
            decided_by=decided_by,  # type: ignore[arg-type]
            lineage=self.lineage,
            type=self._type_of(mention),
        )


def _with_nil(probabilities: np.ndarray) -> np.ndarray:
    """Return ``probabilities`` with NIL, the last, at least as probable as a person's word; the others keep a rest."""
    nil = max(float(probabilities[-1]), _CORRECTED)
    others = probabilities[:-1].sum()
    scale = (1 - nil) / others if others > 1 - nil else 1.0
    return np.append(probabilities[:-1] * scale, nil)


def _resembles(candidate: Candidate) -> bool:
    """Whether a search should show a candidate. Retrieval always has nearest names, for nonsense too."""
    return candidate.exact or max(candidate.lexical, candidate.dense) >= _MIN_COSINE


def _decided_by(options: Sequence[Candidate], reranked: bool) -> str:
    if not options:
        return "nothing found"
    if reranked:
        return "reranker"
    return "exact" if options[0].exact else "retrieval"
