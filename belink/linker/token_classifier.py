"""Raw text → mentions by a token-classification model, the declared alternative to the names of ``name_finder``.

A text longer than the model takes is read in overlapping windows; each token has the label of the window in which it
stands furthest from an end. A word has the label of its first token. Words of one entity are joined by their BIO, IO or
BIOES labels.
"""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from belink import weights
from belink.declarations import DetectorConfig
from belink.errors import ModelError
from belink.records import Mention
from belink.text import abbreviations
from belink.text.sentences import make_mention, split
from belink.waiting import go_on

Span = tuple[int, int]
_OVERLAP = 64  # tokens that a window shares with the previous one
_BATCH = 8  # windows a forward pass
_BEGINS, _ENDS = frozenset("BSU"), frozenset("SUEL")  # BIO, BIOES and BILOU


class MentionFinder(Protocol):
    """A finder of mentions in text."""

    def find(self, text: str, *, document: str = "", sentences: Sequence[Span] = ()) -> list[Mention]:
        """Return the mentions in ``text``, in order, none overlapping, each with its sentence and long form."""


@dataclass(frozen=True, slots=True)
class _Word:
    start: int
    end: int
    label: str  # the entity's type; "" outside of any
    part: str  # B, I, O, E, S …
    score: float


class TokenClassifier:
    """A token classifier that finds mentions. For one thread at a time."""

    def __init__(self, model: Any, tokenizer: Any, config: DetectorConfig) -> None:
        self._model, self._tokenizer, self._config = model, tokenizer, config
        self._labels = {int(number): str(label) for number, label in model.config.id2label.items()}
        # transformers gives a tokenizer of unknown length a ``model_max_length`` of 10 to the 30th.
        longest = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512))
        self._length = max(2, min(config.max_length, longest))

    @classmethod
    def load(cls, config: DetectorConfig, resolved: weights.ResolvedModel) -> Self:
        """Load the model that ``config`` names from ``resolved``.

        :raises ModelError: the folder holds no token classifier with a fast tokenizer.
        """
        from transformers import AutoModelForTokenClassification, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(resolved.path, **weights.LOADING)
            model: Any = AutoModelForTokenClassification.from_pretrained(resolved.path, **weights.LOADING_WEIGHTS)
        except (OSError, ValueError, KeyError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(
                f"{resolved.reference}: expected a token-classification model, found {first}; name another one"
            ) from error
        architectures = model.config.architectures or []
        # ``AutoModelForTokenClassification`` loads any encoder and gives it a random head. Only fast tokenizers have
        # offsets.
        if not any(name.endswith("ForTokenClassification") for name in architectures) or not tokenizer.is_fast:
            raise ModelError(
                f"{resolved.reference}: expected a token classifier with a fast tokenizer, found "
                f"{', '.join(architectures) or 'a model of unknown kind'}; name another one"
            )
        tokenizer.padding_side = "right"  # what is added stands behind the tokens, whatever the model was made for
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        return cls(model.eval(), tokenizer, config)

    def find(self, text: str, *, document: str = "", sentences: Sequence[Span] = ()) -> list[Mention]:
        """Return the mentions in ``text``, in order, none overlapping, each with its sentence, long form and type."""
        within = tuple(sentences) or split(text)
        starts = [start for start, _ in within]
        definitions = abbreviations.find_definitions(text)
        mentions = []
        for start, end, label, score in _entities(self._words(text)):
            if score < self._config.min_score or (self._config.labels and label not in self._config.labels):
                continue
            mention = replace(make_mention(document, text, start, end, within, starts), type=label)
            mentions.append(abbreviations.expand_mention(mention, definitions))
        return mentions

    def _words(self, text: str) -> list[_Word]:
        """Return the words of ``text`` as the tokenizer cuts it, each with its label."""
        if not text.strip():
            return []
        # ``stride`` is the overlap of two windows in transformers, not the step between them.
        windows = self._tokenizer(
            text,
            truncation=True,
            max_length=self._length,
            stride=min(_OVERLAP, self._length // 4),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        best: dict[Span, tuple[int, int, float]] = {}  # offsets → (distance from an end, label, score)
        probabilities = self._probabilities(windows["input_ids"])
        for number, (offsets, scores) in enumerate(zip(windows["offset_mapping"], probabilities, strict=True)):
            words = windows.word_ids(number)
            for at, (start, end) in enumerate(offsets):
                first = words[at] is not None and (at == 0 or words[at] != words[at - 1])
                start += len(text[start:end]) - len(text[start:end].lstrip())  # byte-level tokens keep the blank
                # Special tokens belong to no word, and some tokens hold nothing but a blank.
                if start == end or words[at] is None:
                    continue
                # Such models are mostly trained with labels on first tokens alone. Their labels of other tokens mean
                # nothing.
                label = int(scores[at].argmax()) if first else -1
                # A token near the end of a window lacks context on one side, and a window may begin within a word.
                inside = min(at, len(offsets) - at)
                if inside > best.get((start, end), (-1, 0, 0.0))[0]:
                    best[start, end] = (inside, label, float(scores[at].max()))
        return list(self._joined(text, best))

    def _probabilities(self, rows: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Return a float32 array (n_tokens, n_labels) for each window, each row summing to 1."""
        import torch

        probabilities: list[np.ndarray] = []
        for at in range(0, len(rows), _BATCH):
            go_on()
            batch = self._tokenizer.pad({"input_ids": list(rows[at : at + _BATCH])}, return_tensors="pt")
            with torch.inference_mode():
                logits = self._model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            scores = torch.softmax(logits.float(), -1).cpu().numpy()
            probabilities += [row[: len(ids)] for row, ids in zip(scores, rows[at : at + _BATCH], strict=True)]
        return probabilities

    def _joined(self, text: str, tokens: dict[Span, tuple[int, int, float]]) -> Iterator[_Word]:
        """Yield the words of ``tokens``; a token that continues a word only makes it longer.

        :param tokens: offsets → distance from the window's end, number of the label (-1 for later tokens of a word),
            and score, 0 to 1.
        """
        word: _Word | None = None
        for (start, end), (_, label, score) in sorted(tokens.items()):
            if label < 0 and word is not None and word.end == start:
                word = replace(word, end=end)
                continue
            if word is not None:
                yield word
            part, kind = _parts(self._labels.get(label, "O"))
            word = _Word(start, end, kind, part, score)
        if word is not None:
            yield word


class CombinedFinder:
    """Finds the mentions of several finders; of overlapping ones the longest."""

    def __init__(self, finders: Sequence[MentionFinder]) -> None:
        self._finders = finders

    def find(self, text: str, *, document: str = "", sentences: Sequence[Span] = ()) -> list[Mention]:
        """Return the mentions in ``text``, in order, none overlapping."""
        mentions = [m for finder in self._finders for m in finder.find(text, document=document, sentences=sentences)]
        return longest(mentions)


def longest(mentions: Sequence[Mention]) -> list[Mention]:
    """Return the ``mentions`` that no longer one overlaps, in order; of equally long ones the first given stays."""
    taken: list[Mention] = []  # in order, so that only the neighbours can overlap
    starts: list[int] = []
    # Longest first: ``start - end`` is the negative length.
    for mention in sorted(mentions, key=lambda m: m.start - m.end):
        at = bisect.bisect_right(starts, mention.start)
        if (at and taken[at - 1].end > mention.start) or (at < len(taken) and taken[at].start < mention.end):
            continue
        taken.insert(at, mention)
        starts.insert(at, mention.start)
    return taken


def _parts(label: str) -> tuple[str, str]:
    """Return position and type of a label: ``B-Disease`` is B, Disease; ``Disease`` is I, Disease; ``O`` is O, ""."""
    if label == "O":
        return "O", ""
    prefix, dash, kind = label.partition("-")
    # Some models have labels without a prefix, and a type such as "cell-line" has a hyphen of its own.
    return (prefix, kind) if dash and prefix in "BIOESLU" and prefix else ("I", label)


def _entities(words: Sequence[_Word]) -> Iterator[tuple[int, int, str, float]]:
    """Yield start, end, type and mean score of each run of words of one entity."""
    run: list[_Word] = []
    # The last word is a sentinel that closes the last run.
    for word in [*words, _Word(0, 0, "", "O", 0.0)]:
        goes_on = run and word.label == run[-1].label and word.part not in _BEGINS and run[-1].part not in _ENDS
        if run and not goes_on:
            yield run[0].start, run[-1].end, run[0].label, sum(w.score for w in run) / len(run)
            run = []
        if word.label:
            run.append(word)
