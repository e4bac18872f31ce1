"""Links beside their gold: what is measured, compared and kept as JSONL, one answer a line.

``{"doc", "start", "end", "text", "gold": [ids], "predicted": id or null, "probability", "candidates": [{"id", "score",
"probability"}], "strata": […]}``. An empty ``gold`` is a mention annotated as having no concept; mentions that nobody
annotated are never among predictions.
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

_TIE = 1e-9
CONCEPT_REMOVED = (
    "concept taken away"  # in an exam, to see whether NIL is known; as often as the exam wants, not as text has it
)
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
"""The strata that :func:`strata` gives, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """A candidate as it is kept with a prediction."""

    id: str
    score: float = 0.0  # retrieval's
    probability: float = 0.0  # final; 0 where it was not among the options


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One answer beside its gold."""

    document: str
    start: int
    end: int
    text: str
    gold: tuple[str, ...]  # acceptable ids; () where no concept fits
    predicted: str | None  # None: NIL
    probability: float  # of the answer
    candidates: tuple[Option, ...] = ()  # in retrieval's order, best first
    strata: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a linker has seen, for strata; ``None`` where that is not known."""

    mentions: Set[str] | None = None  # texts of training mentions, normalised
    concepts: Set[str] | None = None  # gold ids of training mentions
    new_concepts: Set[str] | None = None  # ids of the release in use that the one before had not


def predictions_from_links(
    links: Sequence[Link],
    candidates: Sequence[Sequence[Candidate]] | None = None,
    known: Seen | None = None,
) -> list[Prediction]:
    """Predictions of the annotated mentions among ``links``; the others have nothing to be held against.

    :param candidates: what retrieval offered for each link, best first; without it, the link's options by score.
    """
    offered = candidates if candidates is not None else [_by_score(link) for link in links]
    return [
        _prediction(link, of_one, known or Seen())
        for link, of_one in zip(links, offered, strict=True)
        if link.mention.gold or link.mention.nil
    ]


def strata(mention: Mention, candidates: Sequence[Candidate], known: Seen) -> tuple[str, ...]:
    """The strata that ``mention`` belongs to, each named in words."""
    n_exact = sum(candidate.exact for candidate in candidates)
    found = ["exact match" if n_exact else "no exact match"]
    found += ["ambiguous name"] if n_exact > 1 else []
    found.append("abbreviation" if mention.long_form or _is_acronym(mention.text) else "no abbreviation")
    if known.mentions is not None:
        found.append(_seen("mention", normalise(mention.text) in known.mentions))
    if known.concepts is not None and mention.gold:
        found.append(_seen("concept", not known.concepts.isdisjoint(mention.gold)))
    if known.new_concepts is not None and not known.new_concepts.isdisjoint(mention.gold):
        found.append("concept new in this release")
    return (*found, *(() if mention.gold else ("no concept fits",)))


def strictly_right(prediction: Prediction) -> bool:
    """Whether the answer is right, and was not one of several equally probable ones of which some are wrong."""
    if prediction.predicted is None:
        return not prediction.gold
    return _first_ids(prediction) <= set(prediction.gold)


def leniently_right(prediction: Prediction) -> bool:
    """Whether one of the equally probable first answers is right."""
    if prediction.predicted is None:
        return not prediction.gold
    return not _first_ids(prediction).isdisjoint(prediction.gold)


def write_predictions(predictions: Iterable[Prediction], path: Path) -> None:
    """Write ``predictions`` to ``path`` (.gz if it says so), whole or not at all."""
    with textfiles.write_whole(path) as out:
        for prediction in predictions:
            node = asdict(prediction)
            line = json.dumps({"doc": node.pop("document"), **node}, ensure_ascii=False)
            out.write(line.encode() + b"\n")


def read_predictions(path: Path) -> list[Prediction]:
    """What :func:`write_predictions` wrote.

    :raises CorpusError: the file cannot be read, or a line is not a prediction.
    """
    try:
        with textfiles.open_utf8(path) as lines:
            return [_read(line, f"{path}: line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise CorpusError(f"{path}: expected predictions as JSONL, plain or .gz, found {error}") from error


def keyed(predictions: Iterable[Prediction]) -> Iterator[tuple[tuple[object, ...], Prediction]]:
    """Each prediction with a key that is the same for the same mention in another run; repeats are numbered."""
    counts: dict[tuple[object, ...], int] = {}
    for prediction in predictions:
        key = (prediction.document, prediction.start, prediction.end, prediction.text, prediction.gold)
        counts[key] = counts.get(key, 0) + 1
        yield (*key, counts[key]), prediction


def _prediction(link: Link, candidates: Sequence[Candidate], known: Seen) -> Prediction:
    mention = link.mention
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
        strata=strata(mention, candidates, known),
    )


def _by_score(link: Link) -> list[Candidate]:
    # By id where scores tie: the options' own order would lend retrieval what re-ranking knows.
    return sorted((candidate for candidate, _ in link.options), key=lambda c: (-c.score, c.id))


def _seen(what: str, seen: bool) -> str:
    return f"{what} {'seen' if seen else 'not seen'} in training"


def _is_acronym(text: str) -> bool:
    capitals = sum(letter.isupper() for letter in text)
    return capitals > 1 and " " not in text and sum(letter.islower() for letter in text) < capitals


def _first_ids(prediction: Prediction) -> set[str | None]:
    tied = {option.id for option in prediction.candidates if abs(option.probability - prediction.probability) <= _TIE}
    return {prediction.predicted, *tied}


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
            candidates=tuple(Option(**option) for option in node.get("candidates", ())),
            strata=tuple(map(str, node.get("strata", ()))),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CorpusError(
            f"{where}: expected a prediction, found {line[:60].decode(errors='replace').strip()!r} ({repr(error)[:80]})"
        ) from error
