"""How much memory training a re-ranker takes, said before its weights are fetched.

Parameters are counted on torch's meta device, which holds none. What a step keeps for its way back is measured, not
derived: one question of full length goes through the architecture with one layer and with two (random weights, on the
device that would train, with its kernels), and every tensor that autograd saves is counted. Both grow by the layer and
by the question. What the way back needs for a moment comes on top; see :class:`Footprint`.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import weights as models
from belink.errors import ModelError, first_line
from belink.linker import prompts
from belink.linker import reranker as rerank
from belink.training.lora import LAYER, add_adapter
from belink.weights import choose_device

if TYPE_CHECKING:
    import torch

    from belink.declarations import LinkerConfig, RerankerConfig, TrainingConfig

_TRAINED = 16  # bytes a trained parameter: itself, its gradient and AdamW's two moments, all in float32


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes that the largest batch of a training may hold: ``training.batch_size`` questions of ``max_length`` tokens.

    ``total`` is what lies there when the way back begins, without the libraries themselves; the peak was 1.01 to 1.05
    times that. On the CPU glibc's allocator keeps 1.5 to 1.7 times, with checkpointing 3 times, unless told to return
    what is free (MALLOC_MMAP_THRESHOLD_=65536), which takes half as long again: tests/benchmarks/bench_footprint.py.
    """

    model: str
    device: str
    dtype: str
    parameters: int  # of the base model, without its output layer
    trained: int  # of the adapter
    batch_size: int
    max_length: int
    gradient_checkpointing: bool
    weights: int
    adapter: int  # weights, gradients and moments of what is trained
    activations: int
    total: int
    available: int  # on the device, at the moment
    advice: str  # what to declare where it does not fit; "" where it does


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shape:
    parameters: int
    trained: int
    layers: int  # that gradients flow through
    hidden: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Held:
    """Bytes that one question makes autograd keep."""

    outside: int  # of the layers
    layer: int
    entry: int  # of what goes into a layer, which is all that checkpointing keeps of it
    layers: int

    def question(self, checkpointing: bool) -> int:
        if checkpointing:
            return self.outside + self.layer + self.layers * self.entry
        return self.outside + self.layers * self.layer


def footprint(linker: "LinkerConfig", cache: Path, device: str | None = None) -> Footprint:
    """What training ``linker``'s re-ranker as declared would take; of its model only configuration and tokenizer are
    fetched.

    :param device: "cuda", "mps", "cpu"; ``None`` takes the best there is.
    :raises ModelError: a model that cannot be had, is no causal language model, has no single-token letters or not as
        many positions as ``reranker.max_length``.
    :raises DeclarationError: LoRA targets that the model does not have.
    """
    reranker, training = linker.reranker, linker.training
    base = models.resolve_config(reranker.model, cache)
    form = prompts.form(rerank.load_tokenizer(base), reranker)
    config = _config(base, reranker)
    place, dtype = choose_device(device)
    shape = _shape(config, training)
    outside, layer = _kept(config, form, linker, place, dtype)
    entry = reranker.max_length * shape.hidden * dtype.itemsize
    held = _Held(outside=outside, layer=layer, entry=entry, layers=shape.layers)
    weights = shape.parameters * dtype.itemsize + 4 * shape.hidden * len(form.letter_ids)
    adapter, available = shape.trained * _TRAINED, _available(place)
    activations = training.batch_size * held.question(training.gradient_checkpointing)
    return Footprint(
        model=reranker.model,
        device=str(place),
        dtype=str(dtype).removeprefix("torch."),
        parameters=shape.parameters,
        trained=shape.trained,
        batch_size=training.batch_size,
        max_length=reranker.max_length,
        gradient_checkpointing=training.gradient_checkpointing,
        weights=weights,
        adapter=adapter,
        activations=activations,
        total=weights + adapter + activations,
        available=available,
        advice=_advice(training, held, available - weights - adapter),
    )


def _config(base: models.ResolvedModel, reranker: "RerankerConfig") -> Any:
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.from_pretrained(base.path, **models.LOADING)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{base.reference}: expected the configuration of a model in {base.path}, found: {first_line(error)}"
        ) from error
    positions = getattr(config, "max_position_embeddings", None)
    if positions and positions < reranker.max_length:
        raise ModelError(
            f"{base.reference}: expected positions for reranker.max_length = {reranker.max_length} tokens, found "
            f"{positions}; declare at most as many"
        )
    return config


def _shape(config: Any, training: "TrainingConfig") -> _Shape:
    import torch

    with torch.device("meta"):
        model = _of(config)
        head = model.get_output_embeddings().weight
        tied = head is model.get_input_embeddings().weight
        parameters = sum(p.numel() for p in model.parameters()) - (0 if tied else head.numel())
        with_adapter = add_adapter(model, training)
    trained = {name: p.numel() for name, p in with_adapter.named_parameters() if p.requires_grad}
    adapted_layers = [int(found[1]) for name in trained if (found := LAYER.search(name))]
    return _Shape(
        parameters=parameters,
        trained=sum(trained.values()),
        layers=config.num_hidden_layers - min(adapted_layers, default=0),
        hidden=head.shape[1],
    )


def _kept(
    config: Any, form: prompts.Form, linker: "LinkerConfig", place: "torch.device", dtype: "torch.dtype"
) -> tuple[int, int]:
    """Bytes a question that are kept outside the layers, and in each of them."""
    import torch

    every = linker.training.model_copy(update={"lora_layers": 0})
    question = torch.zeros((1, linker.reranker.max_length), dtype=torch.long, device=place)
    kept = []
    for layers in (1, 2):
        small = copy.deepcopy(config)
        small.num_hidden_layers = layers
        if getattr(small, "layer_types", None):
            small.layer_types = small.layer_types[:layers]
        # Of the vocabulary only the letters are looked up, and nothing of it is saved.
        small.vocab_size, small.pad_token_id = max(form.letter_ids) + 1, None
        model = add_adapter(rerank.cast(rerank.with_letters(_of(small), form), dtype), every)
        kept.append(saved(model.to(place).train(), question))
    one, two = kept
    return max(2 * one - two, 0), two - one


def _of(config: Any) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise ModelError(
            f"{config.model_type}: expected the architecture of a causal language model, found one that transformers "
            "knows no such model of; declare another reranker.model"
        ) from error


def saved(model: Any, questions: "torch.Tensor") -> int:
    """Bytes that autograd holds after ``questions``, token ids (n, tokens), went forward; parameters left out."""
    import torch

    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    held: dict[int, int] = {}

    def keep(tensor: "torch.Tensor") -> "torch.Tensor":
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(input_ids=questions, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, -1], questions.new_zeros(len(questions)))
    found = sum(held.values())
    del loss  # until here it kept what was saved, so that no address was used twice
    return found


def _advice(training: "TrainingConfig", held: _Held, room: int) -> str:
    """What to declare so that the activations fit into ``room`` bytes; "" where they do."""
    if training.batch_size * held.question(training.gradient_checkpointing) <= room:
        return ""
    ways = []
    for checkpointing in sorted({training.gradient_checkpointing, True}):
        size, question = training.batch_size, held.question(checkpointing)
        while size * question > room and size > 1:
            size //= 2
        if size * question <= room:
            smaller = [f"batch_size = {size}"] if size < training.batch_size else []
            ways.append(" and ".join(["gradient_checkpointing = true"] * checkpointing + smaller))
    return " or ".join(ways) or "a smaller reranker.model"


def _available(place: "torch.device") -> int:
    import psutil
    import torch

    if place.type == "cuda":
        return int(torch.cuda.mem_get_info(place)[0])
    return int(psutil.virtual_memory().available)
