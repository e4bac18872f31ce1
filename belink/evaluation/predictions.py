"""Predictions: links beside their gold ids, kept as JSONL with one prediction a line.

``{"doc", "start", "end", "text", "gold": [ids], "predicted": id or null, "probability", "candidates": [{"id", "score",
"probability"}], "strata": […]}``. An empty ``gold`` means that the mention is annotated as having no concept. Mentions
without annotation have no prediction.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path

from belink import textfiles
from belink.errors import CorpusError
from belink.records import Candidate, Link, Mention
from belink.text.normalise import normalise

# Probabilities of equal concepts can differ in their last bits.
_TIE = 1e-9
CONCEPT_REMOVED = "concept taken away"  # stratum of items whose concept was removed, so that NIL is right; see splits
STRATA = (
    "exact match",
    "no exact match",
    "ambiguous name",
    "abbreviation",
    "no abbreviation",
    "mention seen in training",
    "mention not seen in training",
    "concept seen in training",
    "concept not seen in training",
    "concept new in this release",
    "no concept fits",
)
"""The strata that :func:`strata` returns, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """A candidate as a prediction keeps it."""

    id: str
    score: float = 0.0  # of retrieval
    probability: float = 0.0  # final; 0 for a candidate that was not among the options


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One answer beside its gold ids."""

    document: str
    start: int
    end: int
    text: str
    gold: tuple[str, ...]  # acceptable ids; () if no concept fits
    predicted: str | None  # None: NIL
    probability: float  # of the answer
    candidates: tuple[Option, ...] = ()  # in retrieval's order, best first
    strata: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a linker has seen in training, for strata; ``None`` if that is unknown."""

    mentions: Set[str] | None = None  # texts of training mentions, normalised
    concepts: Set[str] | None = None  # gold ids of training mentions
    new_concepts: Set[str] | None = None  # ids of the release in use that the previous one did not have


def predictions_from_links(
    links: Sequence[Link],
    candidates: Sequence[Sequence[Candidate]] | None = None,
    seen: Seen | None = None,
) -> list[Prediction]:
    """Return the predictions of the annotated mentions among ``links``.

    :param candidates: retrieval's candidates of each link, best first; by default the link's options by score.
    """
    candidates = candidates if candidates is not None else [_by_score(link) for link in links]
    return [
        _prediction(link, of_link, seen or Seen())
        for link, of_link in zip(links, candidates, strict=True)
        if link.mention.gold or link.mention.is_nil
    ]


def strata(mention: Mention, candidates: Sequence[Candidate], seen: Seen) -> tuple[str, ...]:
    """Return the strata that ``mention`` belongs to, each named in words."""
    n_exact = sum(candidate.exact for candidate in candidates)
    names = ["exact match" if n_exact else "no exact match"]
    names += ["ambiguous name"] if n_exact > 1 else []
    names.append("abbreviation" if mention.long_form or _is_acronym(mention.text) else "no abbreviation")
    if seen.mentions is not None:
        names.append(_seen_stratum("mention", normalise(mention.text) in seen.mentions))
    if seen.concepts is not None and mention.gold:
        names.append(_seen_stratum("concept", not seen.concepts.isdisjoint(mention.gold)))
    if seen.new_concepts is not None and not seen.new_concepts.isdisjoint(mention.gold):
        names.append("concept new in this release")
    return (*names, *(() if mention.gold else ("no concept fits",)))


def strictly_right(prediction: Prediction) -> bool:
    """Whether the answer is right, and no equally probable answer is wrong."""
    if prediction.predicted is None:
        return not prediction.gold
    # A tie with a wrong concept was decided by chance.
    return _first_ids(prediction) <= set(prediction.gold)


def leniently_right(prediction: Prediction) -> bool:
    """Whether one of the equally probable first answers is right."""
    if prediction.predicted is None:
        return not prediction.gold
    return not _first_ids(prediction).isdisjoint(prediction.gold)


def write_predictions(predictions: Iterable[Prediction], path: Path) -> None:
    """Write ``predictions`` to ``path``, packed if it ends in .gz, whole or not at all."""
    with textfiles.write_whole(path) as out:
        for prediction in predictions:
            node = asdict(prediction)
            line = json.dumps({"doc": node.pop("document"), **node}, ensure_ascii=False)
            out.write(line.encode() + b"\n")


def read_predictions(path: Path) -> list[Prediction]:
    """Return the predictions that :func:`write_predictions` wrote.

    :raises CorpusError: the file cannot be read, or a line is not a prediction.
    """
    try:
        with textfiles.open_utf8(path) as lines:
            return [_read(line, f"{path}: line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise CorpusError(f"{path}: expected predictions as JSONL, plain or .gz, found {error}") from error


def keyed(predictions: Iterable[Prediction]) -> Iterator[tuple[tuple[object, ...], Prediction]]:
    """Yield each prediction with a key of its mention, equal in every run; repeated mentions are numbered."""
    counts: dict[tuple[object, ...], int] = {}
    for prediction in predictions:
        # Names of the ontology have no document; the text, the gold ids and a count tell them apart.
        key = (prediction.document, prediction.start, prediction.end, prediction.text, prediction.gold)
        counts[key] = counts.get(key, 0) + 1
        yield (*key, counts[key]), prediction


def _prediction(link: Link, candidates: Sequence[Candidate], seen: Seen) -> Prediction:
    mention = link.mention
    # Retrieval returns more candidates than the re-ranker's options; the rest keeps probability 0.
    probability = {candidate.id: share for candidate, share in link.options}
    return Prediction(
        document=mention.document,
        start=mention.start,
        end=mention.end,
        text=mention.text,
        gold=mention.gold,
        predicted=link.candidate.id if link.candidate else None,
        probability=link.probability,
        candidates=tuple(Option(id=c.id, score=c.score, probability=probability.get(c.id, 0.0)) for c in candidates),
        strata=strata(mention, candidates, seen),
    )


def _by_score(link: Link) -> list[Candidate]:
    # Ties are broken by id: the options' own order is that of re-ranking, which retrieval must not profit from.
    return sorted((candidate for candidate, _ in link.options), key=lambda c: (-c.score, c.id))


def _seen_stratum(subject: str, seen: bool) -> str:
    return f"{subject} {'seen' if seen else 'not seen'} in training"


def _is_acronym(text: str) -> bool:
    # "COPD" and "mRNA" are acronyms; "Type" and "McArdle" are not.
    capitals = sum(letter.isupper() for letter in text)
    return capitals > 1 and " " not in text and sum(letter.islower() for letter in text) < capitals


def _first_ids(prediction: Prediction) -> set[str | None]:
    tied = {option.id for option in prediction.candidates if abs(option.probability - prediction.probability) <= _TIE}
    return {prediction.predicted, *tied}


def _option(id: str, score: float = 0.0, probability: float = 0.0) -> Option:
    return Option(id=str(id), score=float(score), probability=float(probability))


def _read(line: bytes, where: str) -> Prediction:
    try:
        node = json.loads(line)
        return Prediction(
            document=str(node["doc"]),
            start=int(node["start"]),
            end=int(node["end"]),
            text=str(node["text"]),
            gold=tuple(map(str, node["gold"])),
            predicted=None if node["predicted"] is None else str(node["predicted"]),
            probability=float(node["probability"]),
            candidates=tuple(_option(**option) for option in node.get("candidates", ())),
            strata=tuple(map(str, node.get("strata", ()))),
        )
    # The file is a user's, and a line may hold any JSON, nested or numbers without bound.
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise CorpusError(
            f"{where}: expected a prediction, found {line[:60].decode(errors='replace').strip()!r} ({repr(error)[:80]})"
        ) from error
