"""Links of one text by two linkers → what changes for it, by cause.

A pair of links of the same mention has exactly one cause, the first of these that holds:

==================  ================================================================================================
unchanged           both answer with the same concept, or both with none
id replaced         the new concept is a successor of the old one, which the new release retires
concept obsolete    the new release retires the old concept and names another successor, or none
new concept         only the new release has the concept that is answered now
name changed        the concept that is answered now gained a name of the mention, or the old one lost it
abstained before    only the new linker answers with a concept
abstains now        only the old linker answers with a concept
other choice        both answer, with different concepts
==================  ================================================================================================

A mention that only one of the linkers finds is ``mention found`` or ``mention lost``. A change is *explained* where
the difference of the releases accounts for it: always for the causes down to ``name changed``; for the three below
where a rival candidate, or the name that it matched, came or went; for a found or lost mention where its concept or its
name did. A lost mention that overlaps an explained found one is explained, and the reverse. The rest comes from the
models: weights, calibration, lexicon. That a change is explained does not say that the new link is right.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from belink import markdown
from belink.ontology import release
from belink.ontology.migrate import fates
from belink.records import Candidate, Link
from belink.text.normalise import normalise

Cause = Literal[
    "unchanged", "id replaced", "concept obsolete", "new concept", "name changed", "abstained before", "abstains now",
    "other choice", "mention found", "mention lost",
]  # fmt: skip
CAUSES: tuple[Cause, ...] = get_args(Cause)
"""Every cause, in the order in which they are shown."""

RIVAL_PROBABILITY = 0.05
"""The least probability of a candidate that may have kept another one from being the answer."""

_BY_RELEASE: frozenset[Cause] = frozenset({"id replaced", "concept obsolete", "new concept", "name changed"})


@dataclass(frozen=True, kw_only=True)
class ReleaseChanges:
    """What the releases of two linkers differ in, for the concepts that the linkers answer with."""

    retired: Set[str] = frozenset()  # live before, not live now
    new: Set[str] = frozenset()  # live now, not live before
    successors: Mapping[str, Sequence[str]] = field(default_factory=dict)  # retired id → live ids that stand for it
    names_gained: Mapping[str, Set[str]] = field(default_factory=dict)  # id → normalised names
    names_lost: Mapping[str, Set[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one linker says of a mention."""

    id: str | None  # None: NIL
    label: str | None
    probability: float | None  # of this answer, 0 to 1; None where the file that it was read from does not say


@dataclass(frozen=True, kw_only=True)
class Change:
    """A mention, and what both linkers say of it."""

    cause: Cause
    explained: bool  # by the difference of the releases
    document: str
    start: int  # code points
    end: int
    text: str
    sentence: str  # "" where the links do not have it
    old: Answer | None  # None: this linker does not find the mention
    new: Answer | None


@dataclass(frozen=True, kw_only=True)
class Impact:
    """How many links of a text change, by cause, and examples."""

    old: str  # what made the earlier links, in words
    new: str
    n_mentions: int  # found by either
    counts: Mapping[Cause, int]  # every cause; together ``n_mentions``
    unexplained: Mapping[Cause, int]  # those of them that the difference of the releases does not explain
    examples: Mapping[Cause, Sequence[Change]]  # unexplained changes first

    @property
    def n_changed(self) -> int:
        """How many mentions have another link, or one in only one of the two."""
        return self.n_mentions - self.counts["unchanged"]

    @property
    def n_unexplained(self) -> int:
        """How many changes the difference of the releases does not explain."""
        return sum(self.unexplained.values())

    def summary(self) -> str:
        """Return one line, such as ``3 of 120 links change, 1 of them unexplained``."""
        return f"{self.n_changed:,} of {self.n_mentions:,} links change, {self.n_unexplained:,} of them unexplained"

    def to_dict(self) -> dict[str, Any]:
        """Return the impact as JSON writes it."""
        return {
            "old": self.old,
            "new": self.new,
            "mentions": self.n_mentions,
            "changed": self.n_changed,
            "unexplained_changes": self.n_unexplained,
            "counts": dict(self.counts),
            "unexplained": dict(self.unexplained),
            "examples": {cause: [asdict(change) for change in changes] for cause, changes in self.examples.items()},
        }

    def markdown(self, title: str) -> str:
        """Return a Markdown table of the counts, then the examples of each cause."""
        rows = [(cause, f"{self.counts[cause]:,}", _unexplained(self, cause)) for cause in CAUSES]
        parts = [
            f"# {markdown.escape(title)}: {markdown.escape(self.old)} → {markdown.escape(self.new)}",
            f"{self.summary()}.",
            markdown.table(["cause", "mentions", "unexplained"], rows, right=["mentions", "unexplained"]),
        ]
        for cause, changes in self.examples.items():
            first = f" (first {len(changes)})" if len(changes) < self.counts[cause] else ""
            columns = ["mention", "sentence", "before", "now", "explained"]
            parts += [f"## {cause}{first}", markdown.table(columns, [_row(change) for change in changes])]
        return "\n\n".join(parts) + "\n"


def compare_links(
    before: Iterable[Link],
    now: Iterable[Link],
    changes: ReleaseChanges,
    *,
    old: str = "before",
    new: str = "now",
    examples: int = 20,
) -> Impact:
    """Return what changes between two linkers' links of the same texts.

    :param before: the earlier linker's, of all documents.
    :param now: the later linker's, of the same documents.
    :param changes: see :func:`release_changes`.
    :param old: what made ``before``, in words.
    :param new: what made ``now``, in words.
    :param examples: how many changes of each cause to list.
    """
    found = _explain_overlaps([_change(pair, changes) for pair in _paired(before, now)])
    by_cause: dict[Cause, list[Change]] = {cause: [] for cause in CAUSES}
    for change in found:
        by_cause[change.cause].append(change)
    return Impact(
        old=old,
        new=new,
        n_mentions=len(found),
        counts={cause: len(group) for cause, group in by_cause.items()},
        unexplained={cause: sum(not each.explained for each in group) for cause, group in by_cause.items()},
        examples={
            # The sort is stable, so changes stay in the order of the text.
            cause: sorted(group, key=lambda change: change.explained)[:examples]
            for cause, group in by_cause.items()
            if group and cause != "unchanged"
        },
    )


def release_changes(old: Mapping[str, Path], new: Mapping[str, Path], links: Iterable[Link]) -> ReleaseChanges:
    """Return what changes between two sets of releases for the answers and rival candidates of ``links``.

    :param old: ontology → its release. An ontology that only one side has is left out: it is another linker's choice,
        and no release explains it.
    :param links: of both linkers.
    :raises ReleaseError: a release cannot be read.
    """
    ids = sorted({candidate.id for link in links for candidate in (*_rivals(link), link.candidate) if candidate})
    live: tuple[set[str], set[str]] = (set(), set())
    names: tuple[dict[str, set[str]], dict[str, set[str]]] = (defaultdict(set), defaultdict(set))
    both = sorted(old.keys() & new.keys())
    for ontology in both:
        for folder, live_ids, names_of in zip((old[ontology], new[ontology]), live, names, strict=True):
            _read(folder, ids, live_ids, names_of)
    retired = live[0] - live[1]
    successors: dict[str, Sequence[str]] = {}
    for ontology in both if retired else ():
        answers = fates(retired, [old[ontology], new[ontology]])
        successors.update({each: fate.targets for each, fate in answers.items() if fate.targets})
    everything = names[0].keys() | names[1].keys()
    return ReleaseChanges(
        retired=retired,
        new=live[1] - live[0],
        successors=successors,
        names_gained={each: gained for each in everything if (gained := names[1][each] - names[0][each])},
        names_lost={each: lost for each in everything if (lost := names[0][each] - names[1][each])},
    )


def _read(folder: Path, ids: Sequence[str], live: set[str], names: dict[str, set[str]]) -> None:
    """Add which of ``ids`` are live in a release, and their names there."""
    with release.open_release(folder) as opened:
        query = "SELECT id FROM concept WHERE NOT obsolete AND id IN (SELECT unnest($ids))"
        live_here = sorted(str(row[0]) for row in opened.rows(query, {"ids": list(ids)}))
        live.update(live_here)
        query = "SELECT concept_id, text FROM name WHERE concept_id IN (SELECT unnest($ids))"
        for concept_id, text in opened.rows(query, {"ids": live_here}):
            names[concept_id].add(normalise(text))


def _paired(before: Iterable[Link], now: Iterable[Link]) -> Iterator[tuple[Link | None, Link | None]]:
    """Yield the links of each mention, in the order of the text."""
    sides = [dict(_keyed(links)) for links in (before, now)]
    for key in sorted(sides[0].keys() | sides[1].keys()):
        yield sides[0].get(key), sides[1].get(key)


def _keyed(links: Iterable[Link]) -> Iterator[tuple[tuple[str, int, int, int], Link]]:
    counts: Counter[tuple[str, int, int]] = Counter()
    for link in links:
        key = (link.document, link.start, link.end)
        counts[key] += 1  # two annotators may have marked one span
        yield (*key, counts[key]), link


def _change(pair: tuple[Link | None, Link | None], changes: ReleaseChanges) -> Change:
    old, new = pair
    cause = _cause(old, new, changes)
    links = [link for link in (new, old) if link is not None]
    mention = links[0].mention
    return Change(
        cause=cause,
        explained=cause == "unchanged"
        or cause in _BY_RELEASE
        or _came_or_went(old, new, changes)
        or _rival_changed(old, new, changes),
        document=mention.document,
        start=mention.start,
        end=mention.end,
        text=mention.text,
        # Links that were read from a file have no sentences.
        sentence=next((link.mention.sentence for link in links if link.mention.sentence), ""),
        old=_answer(old),
        new=_answer(new),
    )


def _cause(old: Link | None, new: Link | None, changes: ReleaseChanges) -> Cause:
    """Return the first cause that holds; the order is the module's."""
    if old is None:
        return "mention found"
    if new is None:
        return "mention lost"
    if old.id == new.id:
        return "unchanged"
    if new.id is not None and new.id in changes.successors.get(old.id or "", ()):
        return "id replaced"
    if old.id in changes.retired:
        return "concept obsolete"
    if new.id in changes.new:
        return "new concept"
    if _has_name(new, changes.names_gained) or _has_name(old, changes.names_lost):
        return "name changed"
    if old.id is None:
        return "abstained before"
    return "abstains now" if new.id is None else "other choice"


def _came_or_went(old: Link | None, new: Link | None, changes: ReleaseChanges) -> bool:
    """Return whether the one link of a found or lost mention has a concept or a name that came or went."""
    if old is None and new is not None:
        return new.id in changes.new or _has_name(new, changes.names_gained)
    if new is None and old is not None:
        return old.id in changes.retired or _has_name(old, changes.names_lost)
    return False


def _rival_changed(old: Link | None, new: Link | None, changes: ReleaseChanges) -> bool:
    """Return whether a rival candidate that one side has, or the name that it matched, is not in the other release."""
    if old is None or new is None:
        return False
    sides = ((old, changes.retired, changes.names_lost), (new, changes.new, changes.names_gained))
    return any(
        rival.id in concepts or normalise(rival.name) in names.get(rival.id, ())
        for link, concepts, names in sides
        for rival in _rivals(link)
    )


def _rivals(link: Link) -> Iterator[Candidate]:
    return (candidate for candidate, probability in link.options if probability >= RIVAL_PROBABILITY)


def _has_name(link: Link, names: Mapping[str, Set[str]]) -> bool:
    """Return whether ``names`` of the link's concept hold the mention, its long form, or the name that it matched."""
    if link.candidate is None or link.candidate.id not in names:
        return False
    written = (link.text, link.mention.long_form, link.candidate.name)
    return not names[link.candidate.id].isdisjoint(normalise(text) for text in written if text)


def _answer(link: Link | None) -> Answer | None:
    if link is None:
        return None
    probability = None if math.isnan(link.probability) else round(link.probability, 4)
    return Answer(id=link.id, label=link.label, probability=probability)


def _explain_overlaps(found: Sequence[Change]) -> list[Change]:
    """Return the changes; a lost mention that overlaps an explained found one is explained, and the reverse.

    A new name is often longer than the one inside it that was found before.
    """
    explained: dict[tuple[str, Cause], list[Change]] = defaultdict(list)
    for change in found:
        if change.explained:
            explained[change.document, change.cause].append(change)
    other: dict[Cause, Cause] = {"mention found": "mention lost", "mention lost": "mention found"}

    def is_overlapped(change: Change) -> bool:
        opposite = other.get(change.cause)
        beside = explained.get((change.document, opposite), ()) if opposite else ()
        return any(each.start < change.end and change.start < each.end for each in beside)

    return [replace(each, explained=True) if not each.explained and is_overlapped(each) else each for each in found]


def _unexplained(impact: Impact, cause: Cause) -> str:
    return "" if cause == "unchanged" or cause in _BY_RELEASE else f"{impact.unexplained[cause]:,}"


def _row(change: Change) -> tuple[str, str, str, str, str]:
    return change.text, change.sentence, _said(change.old), _said(change.new), "yes" if change.explained else "no"


def _said(answer: Answer | None) -> str:
    if answer is None:
        return "not found"
    concept = "no concept" if answer.id is None else f"{answer.id} {answer.label or ''}".strip()
    return concept if answer.probability is None else f"{concept} ({answer.probability:.2f})"
