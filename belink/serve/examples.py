"""Texts to try a linker with, made of its own names: those that annotated text has, then those of its releases."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from belink.ontology.release import open_release
from belink.serve.following import Served

_N_NAMES = 12  # for all examples together
_N_READ = 2_000  # concepts looked at: those with the most names, which are the best known
_LETTERS = re.compile(r"[A-Za-z][A-Za-z0-9 '-]{4,39}")
_INITIALS = re.compile(r"[A-Z]{3,5}")


def example_texts(served: Sequence[Served]) -> list[str]:
    """Return texts that mention concepts of the linkers in ``served``; ``[]`` where no name fits."""
    each = [_names(one) for one in served]
    # The names of several linkers in turn, so that each example shows all of them.
    names = list(dict.fromkeys(name for group in zip(*each, strict=False) for name in group))[:_N_NAMES]
    pairs = [pair for one in served for pair in _acronyms(*(release.path for release in one.releases))[:1]]
    texts = [f"The report names {_listed(group)}." for group in (names[:3], names[3:6]) if len(group) == 3]
    texts += [
        f"The first finding was {long} ({short}). Two years later {short} was confirmed." for long, short in pairs
    ]
    if len(names) == _N_NAMES:
        texts.append(" ".join(f"Case {number} concerns {name}." for number, name in enumerate(names, 1)))
    return texts


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _names(served: Served) -> list[str]:
    counts = served.linker.lexicon.counts
    # A name that is always annotated is a mention wherever it stands.
    always = [name for name, (n, n_annotated) in counts.items() if n == n_annotated and _LETTERS.fullmatch(name)]
    annotated = sorted(always, key=lambda name: (-counts[name][1], name))
    # Alphabetical neighbours are often variants of one concept, so the list is taken at even steps.
    annotated = annotated[:: max(1, len(annotated) // _N_NAMES)]
    return list(dict.fromkeys([*annotated, *_labels(*(release.path for release in served.releases))]))[:_N_NAMES]


# Releases never change, so each is read once.
@lru_cache(maxsize=8)
def _labels(*releases: Path) -> list[str]:
    return [label for label, _ in _named(*releases) if _LETTERS.fullmatch(label)][:_N_NAMES]


@lru_cache(maxsize=8)
def _acronyms(*releases: Path) -> list[tuple[str, str]]:
    """Return label and short form of concepts whose short form is made of the initials of the label."""
    pairs = []
    for label, names in _named(*releases):
        initials = "".join(word[0] for word in re.split(r"[\s-]+", label) if word).upper()
        if _LETTERS.fullmatch(label) and _INITIALS.fullmatch(initials) and initials in names:
            pairs.append((label, initials))
    return pairs


def _named(*releases: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield label and names of the live concepts with the most names, of each release."""
    query = (
        "SELECT c.label, list(n.text) FROM concept c JOIN name n ON n.concept_id = c.id "
        "WHERE c.own AND NOT c.obsolete AND c.label IS NOT NULL GROUP BY c.id, c.label "
        "ORDER BY count(*) DESC, c.id LIMIT ?"
    )
    for path in releases:
        with open_release(path) as release:
            yield from release.rows(query, [_N_READ])
