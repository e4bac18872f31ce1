"""Gold ids of annotated text brought to the releases in use: an id that a release replaced becomes its successors."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from belink.ontology.release import open_release
from belink.records import Document, Mention


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldMigration:
    """What bringing gold ids to the release in use did."""

    mentions: int = 0  # with gold
    moved: int = 0  # at least one id replaced
    lost: int = 0  # no id left


def migrate_gold(
    mentions: Iterable[Mention], successors: Mapping[str, Sequence[str]]
) -> tuple[list[Mention], GoldMigration]:
    """``mentions`` with each gold id replaced by its successors; ids that are no key stay as they are.

    An id with an empty successor is retired. A mention left without any id becomes unannotated and counts as lost: a
    concept that was taken away is no proof that none fits.
    """
    found: list[Mention] = []
    with_gold = moved = lost = 0
    for mention in mentions:
        gold = tuple(dict.fromkeys(new for old in mention.gold for new in successors.get(old, (old,))))
        with_gold += bool(mention.gold)
        moved += bool(gold) and gold != mention.gold
        lost += bool(mention.gold) and not gold
        found.append(mention if gold == mention.gold else replace(mention, gold=gold))
    return found, GoldMigration(mentions=with_gold, moved=moved, lost=lost)


def successors(read: Iterable[Document], folders: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """Each gold id → the live ids that stand for it, in the first release that has any; ``()`` where none has."""
    ids = {gold for document in read for mention in document.mentions for gold in mention.gold}
    with ExitStack() as stack:
        opened = [stack.enter_context(open_release(folder)) for folder in folders]
        # Most ids are live, and known to be so at once; only the others are followed.
        live = [set(release.concepts_table(own=False)["id"].to_pylist()) for release in opened]

        def standing(wanted: str) -> tuple[str, ...]:
            for release, known in zip(opened, live, strict=True):
                if found := (wanted,) if wanted in known else release.successor(wanted):
                    return found
            return ()

        return {wanted: standing(wanted) for wanted in sorted(ids)}
