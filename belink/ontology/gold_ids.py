"""Gold ids of annotated text → the ids of the releases in use.

An id that a release replaced becomes its successors; an id written in another form (``MONDO_0005002``) becomes the
release's own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from belink.errors import CorpusError
from belink.ontology.release import Release, open_release
from belink.records import Document, Mention


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldMigration:
    """Counts of mentions whose gold ids were migrated."""

    mentions: int = 0  # with gold
    moved: int = 0  # at least one id replaced
    lost: int = 0  # no id left


def migrate_gold(
    mentions: Iterable[Mention], successors: Mapping[str, Sequence[str]]
) -> tuple[list[Mention], GoldMigration]:
    """Return ``mentions`` with each gold id replaced by its successors; ids without an entry stay as they are.

    An id with no successors is retired. A mention left without any id becomes unannotated and counts as lost: that its
    concept was removed does not prove that no other fits.
    """
    migrated: list[Mention] = []
    with_gold = moved = lost = 0
    for mention in mentions:
        # Two ids may have merged into one, so repetitions are dropped and the order is kept.
        gold = tuple(dict.fromkeys(new for old in mention.gold for new in successors.get(old, (old,))))
        with_gold += bool(mention.gold)
        moved += bool(gold) and gold != mention.gold
        lost += bool(mention.gold) and not gold
        migrated.append(mention if gold == mention.gold else replace(mention, gold=gold))
    return migrated, GoldMigration(mentions=with_gold, moved=moved, lost=lost)


def successors(documents: Iterable[Document], folders: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """Return each gold id with the live ids that stand for it in the first release that has any; ``()`` for none."""
    ids = sorted({gold for document in documents for mention in document.mentions for gold in mention.gold})
    current: dict[str, tuple[str, ...]] = dict.fromkeys(ids, ())
    for folder in folders:
        with open_release(folder) as release:
            current |= release.successors([identifier for identifier, live in current.items() if not live])
    return current


def unknown_ids(documents: Iterable[Document], folders: Sequence[Path]) -> Counter[str]:
    """Return the gold ids that no release knows, in any form, with the number of mentions of each."""
    counts = Counter(gold for document in documents for mention in document.mentions for gold in mention.gold)
    for folder in folders:
        with open_release(folder) as release:
            for identifier, live in release.successors(counts).items():
                if live or release.concept(identifier):
                    del counts[identifier]
    return counts


def current_id(identifier: str, releases: Sequence[Release], is_offered: Callable[[str], bool]) -> str:
    """Return the id that ``releases`` write ``identifier`` by.

    :param releases: of a linker.
    :param is_offered: whether the linker can answer with an id.
    :raises CorpusError: no release has it, it is retired, or the linker never answers with it.
    """
    for release in releases:
        ids = release.successor(identifier)
        standard = release.standard_id(identifier)
        where = f"{release.ontology} {release.version}"
        if standard in ids:
            if not is_offered(standard):
                raise CorpusError(
                    f"{standard}: expected a concept that the linker offers, found one that it leaves out"
                )
            return standard
        if ids:
            instead = " or ".join(ids)
            raise CorpusError(f"{standard}: not used any more in {where}; its successor is {instead}; give that id")
        if release.concept(standard) is not None:
            raise CorpusError(f"{standard}: not used any more in {where}, and nothing replaces it; give another id")
    names = ", ".join(f"{release.ontology} {release.version}" for release in releases)
    raise CorpusError(f"{identifier[:100]}: expected a concept of {names}, found none of that id")
