"""Mention and candidates → logits of the option letters, by one forward pass of a language model.

Nothing is generated. The model's output layer is replaced by its rows for the letters, in float32, so that a vocabulary
of 49,152 tokens is never multiplied and bfloat16 never rounds the few numbers that matter. Questions are padded on the
right, where a causal model cannot look, so a batch needs no attention mask and has the logits of its questions alone.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from belink import artefacts, progress
from belink import weights as models
from belink.errors import BelinkError, ModelError, first_line
from belink.linker import prompts
from belink.records import Candidate, Mention
from belink.waiting import go_on
from belink.weights import choose_device

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from belink import declarations
    from belink.weights import ResolvedModel

log = logging.getLogger(__name__)

_LOADING = Lock()
# Weak references let a model go with the last linker that uses it.
_LOADED: "WeakValueDictionary[tuple[Any, ...], Any]" = WeakValueDictionary()
"""Models by base, adapter, letters, device and precision. Linkers that use the same one hold it in memory once."""

_MERGED_EXACTLY = 3_000_000_000  # parameters up to which an adapter is merged in float32, before any rounding


class Reranker:
    """A base model with its LoRA adapter merged."""

    def __init__(
        self,
        model: Any,
        form: prompts.Form,
        config: "declarations.RerankerConfig",
        device: "torch.device",
        fingerprint: str,
    ) -> None:
        self.model = model
        self.form = form
        self.config = config
        self.device = device
        self.fingerprint = fingerprint  # 16 hex digits; equal fingerprints give equal logits, up to rounding

    @classmethod
    def load(
        cls,
        base: "ResolvedModel",
        adapter: Path | None,
        config: "declarations.RerankerConfig",
        device: str | None = None,
    ) -> "Reranker":
        """Return the re-ranker of ``base`` and, where there is one, the adapter that training wrote.

        :param device: "cuda", "mps", "cpu"; ``None`` takes the best there is.
        :raises ModelError: weights that cannot be loaded, an adapter of another base model or question format, or a
            tokenizer without single-token letters.
        """
        fingerprint = {
            "base": base.sha256,
            "prompts": prompts.VERSION,
            "adapter": None,
            **_fingerprint_settings(config),
        }
        if adapter is not None:
            fingerprint["adapter"] = _check_adapter(adapter, base, config)
        torch_device, dtype = choose_device(device)
        form = prompts.form(load_tokenizer(base), config)
        key = (base.sha256, fingerprint["adapter"], form.letter_ids, str(torch_device), str(dtype))
        # Two threads of a server that load at once would otherwise hold the model twice.
        with _LOADING:
            model = _LOADED.get(key)
            if model is None:
                model = load_model(base, form)
                if adapter is not None:
                    # A merged adapter costs nothing per question. It is merged before the cast, so that the sum is
                    # rounded once.
                    model = _merge(model, adapter)
                # ``eval`` turns dropout off. Weights without gradients keep nothing for a backward pass.
                model = cast(model.eval().requires_grad_(False), dtype).to(torch_device)
                _share_weights(model, [other for other_key, other in _LOADED.items() if other_key[0] == base.sha256])
                _LOADED[key] = model
        return cls(model, form, config, torch_device, artefacts.key(fingerprint))

    def logits(
        self, mentions: Sequence[Mention], candidates: Sequence[Sequence[Candidate]]
    ) -> "list[NDArray[np.float32]]":
        """Return a float32 array (n_options + 1,) a mention, "None of the above" last; only differences mean anything.

        Options are shown in the order given. Where ``config.orders`` is above 1, the array is the mean of the
        log-probabilities over that many orders of the options. A mention without candidates gets ``[0.0]``.

        :raises ValueError: more candidates than the letters allow, or lists of different lengths.
        """
        if len(mentions) != len(candidates):
            raise ValueError(f"expected one list of candidates a mention, found {len(candidates)} for {len(mentions)}")
        shown_orders: list[tuple[int, list[int]]] = []  # (which mention, its options in the order shown)
        questions: list[tuple[int, ...]] = []
        for i, (mention, options) in enumerate(zip(mentions, candidates, strict=True)):
            go_on()
            if len(options) >= len(self.form.letter_ids):
                raise ValueError(
                    f"{mention.text!r}: expected at most {len(self.form.letter_ids) - 1} options, found {len(options)}"
                )
            for order in _orders(len(options), self.config.orders):
                shown_orders.append((i, order))
                questions.append(tuple(self.form.tokens(mention, [options[j] for j in order])))
        scored = self._score(questions)
        answers = [np.zeros(len(options) + 1, dtype=np.float32) for options in candidates]
        times = np.zeros(len(mentions))
        for (i, order), letters in zip(shown_orders, scored, strict=True):
            shown = letters[: len(order) + 1]
            # Logits of two passes have no common zero, so only log-probabilities can be averaged.
            if self.config.orders > 1:
                shown = shown - np.logaddexp.reduce(shown)
            answers[i][[*order, len(order)]] += shown
            times[i] += 1
        return [answer / np.float32(max(n, 1)) for answer, n in zip(answers, times, strict=True)]

    def _score(self, questions: Sequence[tuple[int, ...]]) -> "list[NDArray[np.float32]]":
        """Return all letters' logits at each question's last token; equal questions share a forward pass."""
        import torch

        # Mentions that differ only in what the question does not show give equal questions.
        distinct = list(dict.fromkeys(questions))
        distinct.sort(key=len, reverse=True)  # the longest batch first, so that too little memory shows at once
        letters_of: dict[tuple[int, ...], NDArray[np.float32]] = {}
        with torch.inference_mode():
            runs = batches([len(question) for question in distinct], self.config.batch_tokens)
            for batch in progress.track(runs, what="re-ranking", total=len(distinct), unit="questions", size=len):
                go_on()
                rows = [distinct[i] for i in batch]
                ids, last = pad(rows)
                out = self.model(input_ids=ids.to(self.device), use_cache=False).logits
                letters = out[torch.arange(len(rows)), last.to(self.device)].float().cpu().numpy()
                letters_of.update(zip(rows, letters, strict=True))
        return [letters_of[question] for question in questions]


def load_tokenizer(base: "ResolvedModel") -> Any:
    """Return the base model's tokenizer.

    :raises ModelError: there is none that transformers can read.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(base.path, **models.LOADING)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{base.reference}: expected a tokenizer in {base.path}, found: {first_line(error)}"
        ) from error


def load_model(base: "ResolvedModel", form: prompts.Form) -> Any:
    """Return the base model with its output layer cut to the letters of ``form``.

    Its logits are float32 (batch, tokens, n_letters).

    All other weights are in the precision they are stored in; see :func:`cast`.

    :raises ModelError: no causal language model that transformers can read.
    """
    from transformers import AutoModelForCausalLM

    try:
        with progress.hide_bars_of_transformers():
            model: Any = AutoModelForCausalLM.from_pretrained(base.path, dtype="auto", **models.LOADING_WEIGHTS)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{base.reference}: expected a causal language model in {base.path}, found: {first_line(error)}"
        ) from error
    return with_letters(model, form)


def with_letters(model: Any, form: prompts.Form) -> Any:
    """Return ``model``, changed in place, with its output layer cut to the letters of ``form``."""
    import torch

    whole = model.get_output_embeddings()
    rows = torch.tensor(form.letter_ids)
    head = torch.nn.Linear(whole.weight.shape[1], len(rows), bias=getattr(whole, "bias", None) is not None)
    with torch.no_grad():
        head.weight.copy_(whole.weight[rows])
        if head.bias is not None:
            head.bias.copy_(whole.bias[rows])
    # Hidden states are often bfloat16, and a linear layer refuses inputs of another dtype than its own.
    head.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    # Otherwise transformers would tie the head to the input embeddings again, which have a row for each token.
    model.config.tie_word_embeddings = False
    model.set_output_embeddings(head)
    return model


def cast(model: Any, dtype: "torch.dtype") -> Any:
    """Convert ``model`` to ``dtype``, but for the letters' rows, which stay in float32."""
    import torch

    # ``Module.to`` converts every parameter, so the head is converted back after it.
    head = model.get_output_embeddings()
    model.to(dtype)
    head.to(torch.float32)
    return model


def pad(rows: "Sequence[Sequence[int]]") -> "tuple[torch.Tensor, torch.Tensor]":
    """Return token ids, int64 (n, longest), padded on the right with 0, and the position (n,) of each last token."""
    import torch

    ids = torch.zeros((len(rows), max(len(row) for row in rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, torch.tensor([len(row) - 1 for row in rows])


def batches(lengths: Sequence[int], tokens: int) -> Iterator[range]:
    """Yield runs of neighbours whose padded size stays within ``tokens``; a single one may exceed it.

    :param lengths: tokens of each question, sorted, so that neighbours need little padding.
    """
    start = 0
    longest = 0
    for i, length in enumerate(lengths):
        longest = max(longest, length)
        if i > start and longest * (i + 1 - start) > tokens:
            yield range(start, i)
            start, longest = i, length
    if start < len(lengths):
        yield range(start, len(lengths))


def question_settings(config: "declarations.RerankerConfig") -> dict[str, Any]:
    """Return the settings of a question that must be those the adapter was trained with."""
    return config.model_dump(include={"format", "sentence", "sentence_words"})


def _fingerprint_settings(config: "declarations.RerankerConfig") -> dict[str, Any]:
    # ``max_length`` and ``orders`` change logits but not what an adapter learned, so they stand only in the
    # fingerprint.
    return config.model_dump(include={"format", "sentence", "sentence_words", "max_length", "orders"})


def _orders(n: int, n_orders: int) -> list[list[int]]:
    """Return ``n_orders`` orders of ``n`` options (or all there are): as given, reversed, then rotated."""
    if n == 0:
        return []
    given = list(range(n))
    # The reversed order comes second, so with two orders, the default, the first option also stands last.
    rotated = [given[step:] + given[:step] for step in range(1, n)]
    distinct = dict.fromkeys(tuple(order) for order in [given, given[::-1], *rotated])
    return [list(order) for order in list(distinct)[:n_orders]]


def _check_adapter(adapter: Path, base: "ResolvedModel", config: "declarations.RerankerConfig") -> str:
    """Check that the adapter belongs to this base model and question format; return the sha256 of its weights."""
    try:
        manifest = artefacts.read_manifest(adapter)
    except BelinkError as error:
        raise ModelError(str(error)) from error
    sha256 = manifest.get("base", {}).get("sha256")
    if sha256 != base.sha256:
        raise ModelError(
            f"{adapter}: expected an adapter of {base.reference} ({base.sha256[:12]}…), found one of "
            f"{manifest.get('base', {}).get('reference')} ({str(sha256)[:12]}…); train it again"
        )
    trained = (manifest.get("prompts"), manifest.get("asking"))
    expected = (prompts.VERSION, question_settings(config))
    if trained != expected:
        raise ModelError(
            f"{adapter}: expected an adapter trained on questions {expected}, found {trained}; train it again or "
            "declare the same format"
        )
    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        raise ModelError(f"{adapter}: expected {weights.name}, found none; train the adapter again")
    return artefacts.sha256(weights)


def _merge(model: Any, adapter: Path) -> Any:
    import torch
    from peft import PeftModel

    # Merging in bfloat16 can round the adapter's small changes away. In float32, 3 billion parameters take 12 GB.
    if sum(p.numel() for p in model.parameters()) <= _MERGED_EXACTLY:
        model = model.to(torch.float32)
    with progress.hide_bars_of_transformers():
        return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()


def _share_weights(model: Any, others: Sequence[Any]) -> None:
    """Let ``model`` use the tensors of ``others`` where they are equal: all of a base model that no adapter changed."""
    import torch

    held = [dict(other.named_parameters()) for other in others]
    for name, parameter in model.named_parameters():
        for theirs in (parameters.get(name) for parameters in held):
            # Equal numbers in another precision or on another device cannot share memory.
            if theirs is None or (theirs.dtype, theirs.device) != (parameter.dtype, parameter.device):
                continue
            if torch.equal(theirs, parameter):
                parameter.data = theirs.data
                break
