"""Mention and candidates → the question that a language model answers with one letter.

Training and inference share this definition. In ``letter-last`` the letter stands *after* its option and the mention
comes last, so the answer copies what followed a like name before (induction); a model of 135 M parameters learns that
in minutes. ``letter-first`` is the usual multiple choice with an instruction, for which larger models were tuned.
Nothing is parsed from generated text: the answer is read from the letters' logits, so no name can break it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, Literal

from belink.errors import ModelError
from belink.records import Candidate, Mention
from belink.text.normalise import normalise

if TYPE_CHECKING:
    from belink import declarations

Format = Literal["letter-last", "letter-first"]

VERSION = 1
"""Raise it with any change of the text: an adapter is used with the version that it was trained on."""

NONE_OF_THE_ABOVE = "None of the above"
_NAME = 120  # characters of a name that are shown at most; a tenth of MeSH's chemicals is longer
_SHORTER = (_NAME, 60, 30, 15)  # characters a name, tried in turn while a question exceeds ``max_length`` tokens
_INSTRUCTION = (
    "Which of these concepts does the mention name? Take the one with the same meaning; "
    f'answer "{NONE_OF_THE_ABOVE}" where none fits. Answer with the letter only.'
)


@dataclass(frozen=True)
class Form:
    """Questions as tokens of one tokenizer, and the token of each letter."""

    tokenizer: Any
    config: "declarations.RerankerConfig"
    letter_ids: tuple[int, ...]  # token of option 0, 1, …; one more than ``config.options``, for None of the above
    chat: bool = field(default=False)  # the question goes through the tokenizer's chat template

    def tokens(self, mention: Mention, candidates: Sequence[Candidate]) -> list[int]:
        """Return the token ids of the question, at most ``config.max_length``.

        Where it is too long, these are left out in turn: the sentence, the middle of long names and, if even names of
        15 characters are too long, the beginning of the question.
        """
        tokens: list[int] = []
        for sentence in (True, False) if self.config.sentence and mention.sentence else (False,):
            for characters in _SHORTER if not sentence else (_NAME,):
                tokens = self._encode(_text(mention, candidates, self.config, sentence, characters))
                if len(tokens) <= self.config.max_length:
                    return tokens
        # The end is kept, because the letters' logits are read at the last token.
        return tokens[-self.config.max_length :]

    def _encode(self, text: str) -> list[int]:
        return _encode(self.tokenizer, text, self.chat)


def letters(n: int) -> list[str]:
    """Return the first ``n`` option letters, "A" first.

    :raises ValueError: ``n`` is not between 1 and 26.
    """
    if not 1 <= n <= len(ascii_uppercase):
        raise ValueError(f"expected 1 to {len(ascii_uppercase)} options, None of the above included, found {n}")
    return list(ascii_uppercase[:n])


def question(
    mention: Mention,
    candidates: Sequence[Candidate],
    format: Format = "letter-last",
    *,
    sentence_words: int = 0,
    characters: int = _NAME,
) -> str:
    """Return the question's text; option ``i`` has the ``i``-th letter, "None of the above" the one after the last.

    ``sentence_words`` bounds the words of the sentence that are shown, the mention in their middle; 0 shows none.
    ``characters`` bounds each name.
    """
    options = [_option(candidate, characters) for candidate in candidates] + [NONE_OF_THE_ABOVE]
    named = list(zip(letters(len(options)), options, strict=True))
    mention_text = _shown(mention, characters)
    context = _context(mention, sentence_words) if sentence_words else ""
    if format == "letter-last":
        lines = [context] if context else []
        return "\n".join([*lines, *(f"{option} = {letter}" for letter, option in named), f"{mention_text} ="])
    lines = [_INSTRUCTION, *([f"Sentence: {context}"] if context else []), f"Mention: {mention_text}"]
    return "\n".join([*lines, *(f"{letter}: {option}" for letter, option in named), "Answer:"])


def form(tokenizer: Any, config: "declarations.RerankerConfig") -> Form:
    """Return how questions are put to a model that has this tokenizer.

    ``letter-first`` goes through the chat template where the tokenizer has one; ``letter-last`` is plain text, which
    is what induction needs.

    :raises ModelError: the tokenizer does not write each letter as one token of its own after the question.
    """
    # Base models have no chat template. They get the question as plain text in either format.
    chat = config.format == "letter-first" and bool(getattr(tokenizer, "chat_template", None))
    mention = Mention(text="heart attack")
    options = [Candidate(id="", label="", name=name, ontology="", release="") for name in ("heart", "attack")]
    # Tokens depend on what precedes them, so the letters are tried at the end of a real question.
    probe = question(mention, options, config.format)
    wanted = letters(config.options + 1)
    # Most tokenizers write " A" after "=" or ":" as one token, but a chat template ends with a new line.
    for space in ("", " ") if chat else (" ", ""):
        ids = [_letter_id(tokenizer, probe, space + letter, chat) for letter in wanted]
        if None not in ids and len(set(ids)) == len(ids):
            return Form(tokenizer, config, tuple(i for i in ids if i is not None), chat)
    raise ModelError(
        f"{getattr(tokenizer, 'name_or_path', 'tokenizer')}: expected one token for each of the letters A to "
        f"{wanted[-1]} after the question, found several or shared ones; choose another model or fewer options"
    )


def _letter_id(tokenizer: Any, probe: str, letter: str, chat: bool) -> int | None:
    before = _encode(tokenizer, probe, chat)
    if chat:
        # The template writes the special tokens itself. Without ``add_special_tokens=False`` they would stand there
        # twice.
        after = tokenizer(_templated(tokenizer, probe) + letter, add_special_tokens=False)["input_ids"]
    else:
        after = tokenizer(probe + letter)["input_ids"]
        if after and after[-1] == getattr(tokenizer, "eos_token_id", None):
            after = after[:-1]
    # A letter that merges with the token before it changes that token, and then its logit would be read at the wrong
    # place.
    return int(after[-1]) if len(after) == len(before) + 1 and after[:-1] == before else None


def _encode(tokenizer: Any, text: str, chat: bool) -> list[int]:
    if chat:
        return list(tokenizer(_templated(tokenizer, text), add_special_tokens=False)["input_ids"])
    ids = list(tokenizer(text)["input_ids"])
    # A tokenizer that closes every text would put the answer after the end.
    return ids[:-1] if len(ids) > 1 and ids[-1] == getattr(tokenizer, "eos_token_id", None) else ids


def _templated(tokenizer: Any, text: str) -> str:
    turn = [{"role": "user", "content": text}]
    # Qwen3's template lets the model reason before it answers unless ``enable_thinking`` is false. Other templates
    # ignore the argument.
    templated: str = tokenizer.apply_chat_template(
        turn, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return templated


def _text(
    mention: Mention,
    candidates: Sequence[Candidate],
    config: "declarations.RerankerConfig",
    sentence: bool,
    characters: int,
) -> str:
    words = config.sentence_words if sentence else 0
    return question(mention, candidates, config.format, sentence_words=words, characters=characters)


def _option(candidate: Candidate, characters: int) -> str:
    name, label = _cut(candidate.name, characters), _cut(candidate.label, characters)
    return f"{name} [{label}]" if label and normalise(candidate.label) != normalise(candidate.name) else name


def _shown(mention: Mention, characters: int) -> str:
    text, long_form = _cut(mention.text, characters), _cut(mention.long_form, characters)
    return f"{text} ({long_form})" if long_form and long_form != text else text


def _cut(text: str, characters: int) -> str:
    """Return ``text`` on one line; what is too long loses its middle, because names differ at both ends."""
    text = " ".join(text.split())
    if len(text) <= characters:
        return text
    # One character is left for the ellipsis. The beginning, which usually tells more, gets two thirds.
    head = (characters - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (characters - 1 - head) :]}"


def _context(mention: Mention, words: int) -> str:
    """Return at most ``words`` words of the sentence, as many before the mention as after, and the mention itself."""
    start = mention.start - mention.sentence_start
    end = mention.end - mention.sentence_start
    # A mention built by hand may have a sentence but no offsets in it. Then the sentence's beginning is shown.
    if not 0 <= start <= end <= len(mention.sentence):
        start = end = 0
    before, after = mention.sentence[:start].split(), mention.sentence[end:].split()
    # Words that one side lacks are given to the other.
    left = min(len(before), max(words // 2, words - len(after)))
    right = min(len(after), words - left)
    # The blanks around the mention are kept as they are: "(DM)" must not become "( DM )".
    head = mention.sentence[:start]
    tail = mention.sentence[end:]
    head = head if left == len(before) else "… " + _last_words(head, left)
    tail = tail if right == len(after) else _first_words(tail, right) + " …"
    return " ".join((head + mention.sentence[start:end] + tail).split())


def _last_words(text: str, n: int) -> str:
    blank = text[len(text.rstrip()) :]
    return " ".join(text.split()[-n:]) + blank if n else ""


def _first_words(text: str, n: int) -> str:
    blank = text[: len(text) - len(text.lstrip())]
    return blank + " ".join(text.split()[:n]) if n else ""
