"""Predict how much memory training the re-ranker takes, before its weights are fetched.

Parameters are counted on torch's meta device, which allocates none. What a step keeps for the backward pass is
measured, not derived: one question of full length goes through the architecture with one layer and with two (random
weights, on the device and with the kernels that would train), and every tensor that autograd saves is counted. Both
grow linearly, in layers and in questions. See :class:`Footprint` for what the backward pass adds for a moment.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import weights as models
from belink.declarations import check_language_model
from belink.errors import ModelError, first_line
from belink.linker import prompts
from belink.linker import reranker as rerank
from belink.training.lora import LAYER, add_adapter
from belink.weights import choose_device

if TYPE_CHECKING:
    import torch

    from belink.declarations import LinkerConfig, RerankerConfig, TrainingConfig

_BYTES_TRAINED = 16  # a trained parameter: itself, its gradient and AdamW's two moments, all in float32


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes that training holds with its largest batch: ``batch_size`` questions of ``max_length`` tokens.

    ``total`` is the memory in use when the backward pass begins, without the libraries; the measured peak was 1.01 to
    1.05 times that. On the CPU glibc's allocator keeps 1.5 to 1.7 times as much, with checkpointing 3 times, unless
    MALLOC_MMAP_THRESHOLD_=65536 makes it return free memory, which takes half as long again. Measured by
    tests/benchmarks/bench_footprint.py.
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
    available: int  # free on the device now
    advice: str  # what to declare if it does not fit; "" if it does


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shape:
    parameters: int
    trained: int
    layers: int  # that the backward pass goes through
    hidden: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Saved:
    """Bytes that autograd saves for one question."""

    outside: int  # of the layers
    layer: int
    layer_input: int  # all that checkpointing keeps of a layer
    layers: int

    def question(self, checkpointing: bool) -> int:
        if checkpointing:
            return self.outside + self.layer + self.layers * self.layer_input
        return self.outside + self.layers * self.layer


def footprint(linker: "LinkerConfig", cache: Path, device: str | None = None) -> Footprint:
    """Return what training the re-ranker of ``linker`` as declared would take.

    Of the model only configuration and tokenizer are fetched.

    :param device: "cuda", "mps" or "cpu"; ``None`` takes the best there is.
    :raises DeclarationError: the linker declares no language model.
    :raises ModelError: a model that cannot be fetched, is no causal language model, has no single-token letters or
        linear layers, or fewer positions than ``reranker.max_length``.
    """
    check_language_model(linker)
    reranker, training = linker.reranker, linker.training
    base = models.resolve_config(reranker.model, cache)
    form = prompts.form(rerank.load_tokenizer(base), reranker)
    config = _config(base, reranker)
    chosen, dtype = choose_device(device)
    shape = _shape(config, training)
    outside, layer = _measure_saved(config, form, linker, chosen, dtype)
    layer_input = reranker.max_length * shape.hidden * dtype.itemsize
    per_question = _Saved(outside=outside, layer=layer, layer_input=layer_input, layers=shape.layers)
    # The letters' rows are kept in float32, 4 bytes a number; see ``reranker.cast``.
    weights = shape.parameters * dtype.itemsize + 4 * shape.hidden * len(form.letter_ids)
    adapter, available = shape.trained * _BYTES_TRAINED, _available(chosen)
    activations = training.batch_size * per_question.question(training.gradient_checkpointing)
    return Footprint(
        model=reranker.model,
        device=str(chosen),
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
        advice=_advice(training, per_question, available - weights - adapter),
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
    """Return the parameters of the model with its adapter, counted on the meta device."""
    import torch

    with torch.device("meta"):
        model = _model_of(config)
        head = model.get_output_embeddings().weight
        # ``parameters`` lists a tied tensor once, as the input embeddings, which stay; only an untied head is cut.
        tied = head is model.get_input_embeddings().weight
        parameters = sum(p.numel() for p in model.parameters()) - (0 if tied else head.numel())
        with_adapter = add_adapter(model, training)
    trained = {name: p.numel() for name, p in with_adapter.named_parameters() if p.requires_grad}
    adapted_layers = [int(match[1]) for name in trained if (match := LAYER.search(name))]
    return _Shape(
        parameters=parameters,
        trained=sum(trained.values()),
        # The backward pass ends at the lowest layer with an adapter, so layers below it save nothing.
        layers=config.num_hidden_layers - min(adapted_layers, default=0),
        hidden=head.shape[1],
    )


def _measure_saved(
    config: Any, form: prompts.Form, linker: "LinkerConfig", device: "torch.device", dtype: "torch.dtype"
) -> tuple[int, int]:
    """Return the bytes that autograd saves for a question, outside the layers and in each of them."""
    import torch

    all_layers = linker.training.model_copy(update={"lora_layers": 0})
    question = torch.zeros((1, linker.reranker.max_length), dtype=torch.long, device=device)
    by_depth = []
    for layers in (1, 2):
        small = copy.deepcopy(config)
        small.num_hidden_layers = layers
        # Models that mix kinds of attention list one kind for each layer, and transformers checks the length of the
        # list.
        if getattr(small, "layer_types", None):
            small.layer_types = small.layer_types[:layers]
        # Only the letters of the vocabulary are looked up, and autograd saves nothing of it.
        small.vocab_size, small.pad_token_id = max(form.letter_ids) + 1, None
        model = add_adapter(rerank.cast(rerank.with_letters(_model_of(small), form), dtype), all_layers)
        # ``train`` turns dropout on, whose masks are saved, too.
        by_depth.append(saved_bytes(model.to(device).train(), question))
    one, two = by_depth
    # One layer gives outside + layer, two give outside + 2 layers. Solved for both.
    return max(2 * one - two, 0), two - one


def _model_of(config: Any) -> Any:
    """Return a model of the architecture, with random weights."""
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise ModelError(
            f"{config.model_type}: expected the architecture of a causal language model, found one that transformers "
            "has no such model for; declare another reranker.model"
        ) from error


def saved_bytes(model: Any, questions: "torch.Tensor") -> int:
    """Return the bytes that autograd holds after a forward pass, without parameters.

    :param questions: token ids (n, tokens).
    """
    import torch

    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    # Several saved tensors can be views of one storage, so storages are counted, by address.
    sizes: dict[int, int] = {}  # by address

    def keep(tensor: "torch.Tensor") -> "torch.Tensor":
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(input_ids=questions, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, -1], questions.new_zeros(len(questions)))
    total = sum(sizes.values())
    del loss  # it has kept the saved tensors alive, so that no address was used twice
    return total


def _advice(training: "TrainingConfig", per_question: _Saved, room: int) -> str:
    """Return what to declare so that the activations fit into ``room`` bytes; "" if they do."""
    if training.batch_size * per_question.question(training.gradient_checkpointing) <= room:
        return ""
    choices = []
    for checkpointing in sorted({training.gradient_checkpointing, True}):
        size, question = training.batch_size, per_question.question(checkpointing)
        while size * question > room and size > 1:
            size //= 2
        if size * question <= room:
            smaller = [f"batch_size = {size}"] if size < training.batch_size else []
            choices.append(" and ".join(["gradient_checkpointing = true"] * checkpointing + smaller))
    return " or ".join(choices) or "a smaller reranker.model"


def _available(device: "torch.device") -> int:
    import psutil
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
