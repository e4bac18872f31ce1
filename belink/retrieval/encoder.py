"""Texts → float32 unit vectors, by sentence-transformers."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

import numpy as np

from belink import artefacts, progress, weights
from belink.declarations import EncoderConfig
from belink.errors import IndexMismatch, ModelError
from belink.waiting import go_on

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

log = logging.getLogger(__name__)

_TRACKED_FROM = 20_000  # texts from which on progress is reported
_LOADING = Lock()
_LOADED: "WeakValueDictionary[str, SentenceTransformer]" = WeakValueDictionary()
"""Models by fingerprint. Linkers of one process that use the same encoder hold it in memory once."""


class Encoder:
    """A sentence encoder. Its weights are loaded when the first text is encoded."""

    def __init__(self, config: EncoderConfig, resolved: weights.ResolvedModel) -> None:
        self._config = config
        self._folder = resolved.path
        # The batch size is left out: it changes vectors by rounding only.
        self.fingerprint = artefacts.key(  # equal fingerprints give equal vectors
            {"sha256": resolved.sha256, "pooling": config.pooling, "max_length": config.max_length}
        )

    @classmethod
    def load(cls, config: EncoderConfig, cache: Path) -> Self:
        """Return the encoder that a linker declares; it runs on CUDA, MPS or the CPU, whichever is there.

        :raises ModelError: the reference cannot be resolved, or, on first use, the folder holds no encoder.
        """
        return cls(config, weights.resolve(config.model, cache))

    @classmethod
    def finetuned(cls, config: EncoderConfig, folder: Path) -> Self:
        """Return the fine-tuned encoder in ``folder``, which pools as its own modules.json says."""
        # Fine-tuning saves modules.json, so what the declaration says of pooling is in the folder already.
        return cls(config.model_copy(update={"pooling": "model"}), weights.resolve(f"path:{folder}", folder))

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        dimension = self._model.get_embedding_dimension()
        if dimension is None:
            raise ModelError(f"{self._config.model}: expected an encoder that knows its dimension; use another one")
        return dimension

    @cached_property
    def _model(self) -> "SentenceTransformer":
        from safetensors import SafetensorError

        with _LOADING:
            if (loaded := _LOADED.get(self.fingerprint)) is not None:
                return loaded
            try:
                with progress.hide_bars_of_transformers():
                    return _LOADED.setdefault(self.fingerprint, load_model(self._folder, self._config))
            except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
                first = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ModelError(
                    f"{self._config.model}: expected a sentence encoder, found {first}; "
                    "check the reference and its pooling"
                ) from error

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (n, dimension): one unit row a text, in order; the same text twice is encoded once."""
        return encode(self._model, texts, self._config.batch_size)


class DeferredEncoder:
    """An encoder that is loaded when the first text is encoded; until then only its fingerprint is known."""

    def __init__(self, fingerprint: str, load: Callable[[], Encoder]) -> None:
        self.fingerprint = fingerprint
        self._load = load

    @cached_property
    def _encoder(self) -> Encoder:
        encoder = self._load()
        # Vectors of two encoders have the same shape and compare without an error, but mean nothing to each other.
        if encoder.fingerprint != self.fingerprint:
            raise IndexMismatch(
                f"expected the encoder {self.fingerprint} that made the index's vectors, found {encoder.fingerprint}; "
                "refresh again"
            )
        return encoder

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._encoder.dimension

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (n, dimension): one unit row a text, in order.

        :raises IndexMismatch: the encoder that was loaded has another fingerprint.
        :raises ModelError: it cannot be loaded.
        """
        return self._encoder.encode(texts)


def encode(model: "SentenceTransformer", texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
    """Return float32 (n, dimension): one unit row a text, in order; the same text twice is encoded once."""
    # Two concepts often share a name, and each distinct text costs one row of a forward pass.
    distinct: dict[str, int] = {}
    rows = [distinct.setdefault(text, len(distinct)) for text in texts]
    vectors = np.empty((len(distinct), model.get_embedding_dimension() or 0), np.float32)
    ordered = _by_length(model, list(distinct))
    batches: Iterable[int] = range(0, len(ordered), batch_size)
    if len(ordered) >= _TRACKED_FROM:
        batches = progress.track(batches, what="encoding", total=-(-len(ordered) // batch_size), unit="batches")
    for start in batches:
        go_on()
        batch = ordered[start : start + batch_size]
        with _autocast(model.device):
            vectors[[distinct[text] for text in batch]] = model.encode(
                batch,
                batch_size=batch_size,
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
    return vectors[rows]


def _by_length(model: "SentenceTransformer", texts: list[str]) -> list[str]:
    """Return ``texts`` by number of tokens: 7 % of a batch is then padding, against 45 % when sorted by characters."""
    if not texts:
        return texts
    tokens = model.tokenizer(texts, truncation=True, max_length=model.max_seq_length)["input_ids"]
    return [texts[i] for i in sorted(range(len(texts)), key=lambda i: len(tokens[i]))]


def _autocast(device: "torch.device") -> AbstractContextManager[Any]:
    """Return a context that multiplies in bfloat16 if the device has it.

    It is twice as fast, and the cosine to float32's vectors is above 0.9999.
    """
    import torch

    dtype = weights.native_dtype(device)
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


class NoEncoder:
    """The encoder of a linker that declares none: vectors have no numbers, so names and trigrams find everything."""

    fingerprint = "none"
    dimension = 0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (n, 0)."""
        return np.empty((len(texts), 0), np.float32)


def load_model(folder: Path, config: EncoderConfig) -> "SentenceTransformer":
    """Return the encoder in ``folder``, on the best device there is, its pooling and length as declared.

    :raises ModelError: the folder does not say how it pools, nor does the declaration.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    device = str(weights.choose_device()[0])
    if config.pooling == "model":
        if not (folder / "modules.json").is_file():
            raise ModelError(
                f"{config.model}: expected modules.json, which says how the encoder pools, found none; "
                'declare pooling = "cls" (SapBERT) or "mean"'
            )
        model = SentenceTransformer(
            str(folder), device=device, model_kwargs={"use_safetensors": True}, **weights.LOADING
        )
    else:
        transformer = Transformer(
            str(folder),
            model_kwargs=weights.LOADING_WEIGHTS,
            processor_kwargs=weights.LOADING,
            config_kwargs=weights.LOADING,
        )
        pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode=config.pooling)
        model = SentenceTransformer(modules=[transformer, pooling], device=device)
    # A model without a limit of its own has ``None`` here.
    model.max_seq_length = min(config.max_length, model.max_seq_length or config.max_length)
    return model
