"""The predicted memory of training equals what is measured, on architectures small enough to count."""

from pathlib import Path

import pytest
import torch

from belink import weights as model_references
from belink.declarations import LinkerConfig, RerankerConfig, TrainingConfig
from belink.errors import ModelError
from belink.linker import prompts
from belink.linker import reranker as rerank
from belink.training import footprint as footprints
from belink.training import lora
from belink.training.footprint import Footprint, footprint
from belink.weights import ResolvedModel
from tests.support.tiny import tiny_causal_lm

pytestmark = pytest.mark.heavy  # seconds in all


@pytest.fixture(scope="module", autouse=True)
def _float32():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("belink.weights._cpu_has_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def deep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    """Build a model of five layers, more than the two that are measured."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tiny_causal_lm(tmp_path_factory.mktemp("deep"))
    config = AutoConfig.from_pretrained(folder)
    config.num_hidden_layers, config.tie_word_embeddings = 5, request.param
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return model_references.resolve(f"path:{folder}", folder)


def declared(base: ResolvedModel, max_length: int = 96, **training: object) -> LinkerConfig:
    reranker = RerankerConfig(model=base.reference, max_length=max_length)
    return LinkerConfig(name="x", title="X", ontologies=("x",), reranker=reranker, training=TrainingConfig(**training))


def predict(linker: LinkerConfig, tmp_path: Path) -> Footprint:
    return footprint(linker, tmp_path, "cpu")


def counted(base: ResolvedModel, linker: LinkerConfig) -> tuple[int, int, int]:
    """Return parameters, trained parameters and saved bytes of the whole model and batch."""
    form = prompts.form(rerank.load_tokenizer(base), linker.reranker)
    model = rerank.cast(rerank.load_model(base, form), torch.float32)
    head = model.get_output_embeddings()
    parameters = sum(p.numel() for p in model.parameters()) - head.weight.numel()
    model = lora.add_adapter(model, linker.training).train()
    batch = torch.zeros((linker.training.batch_size, linker.reranker.max_length), dtype=torch.long)
    saved = footprints.saved_bytes(model, batch)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return parameters, trained, saved


@pytest.mark.parametrize("training", [{"batch_size": 3}, {"batch_size": 2, "lora_layers": 2}, {"lora_rank": 4}])
def test_the_footprint_equals_what_a_step_of_the_whole_model_holds(
    deep: ResolvedModel, tmp_path: Path, training: dict[str, object]
) -> None:
    linker = declared(deep, **training)
    predicted, (parameters, trained, saved) = predict(linker, tmp_path), counted(deep, linker)
    assert (predicted.parameters, predicted.trained) == (parameters, trained)
    assert predicted.activations == pytest.approx(saved, rel=0.05)
    assert predicted.weights == 4 * (parameters + 32 * 11) and predicted.adapter == 16 * trained
    assert predicted.total == predicted.weights + predicted.adapter + predicted.activations and predicted.advice == ""


def test_checkpointing_keeps_the_input_of_each_layer_and_one_layer(deep: ResolvedModel, tmp_path: Path) -> None:
    whole = predict(declared(deep, batch_size=4), tmp_path)
    lighter = predict(declared(deep, batch_size=4, gradient_checkpointing=True), tmp_path)
    entries = 4 * 5 * 96 * 32 * 4
    assert entries < lighter.activations < whole.activations / 2
    assert lighter.total - lighter.activations == whole.total - whole.activations


def test_advice_names_settings_that_fit(deep: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    halved = predict(declared(deep, batch_size=4), tmp_path).total
    monkeypatch.setattr(footprints, "_available", lambda device: halved)
    predicted = predict(declared(deep, batch_size=8), tmp_path)
    assert predicted.advice == "batch_size = 4 or gradient_checkpointing = true"
    assert predict(declared(deep, batch_size=4), tmp_path).advice == ""
    assert predict(declared(deep, batch_size=8, gradient_checkpointing=True), tmp_path).advice == ""
    monkeypatch.setattr(footprints, "_available", lambda device: predicted.weights)
    assert predict(declared(deep), tmp_path).advice == "a smaller reranker.model"


def test_a_configuration_that_cannot_be_trained_is_refused(deep: ResolvedModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="max_length = 4096 tokens, found 2048"):
        predict(declared(deep, max_length=4096), tmp_path)


def test_an_encoder_decoder_is_refused(deep: ResolvedModel, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, T5Config

    T5Config(num_layers=1).save_pretrained(tmp_path / "t5")
    AutoTokenizer.from_pretrained(deep.path).save_pretrained(tmp_path / "t5")
    (tmp_path / "t5" / "model.safetensors").touch()
    base = ResolvedModel(path=tmp_path / "t5", reference=f"path:{tmp_path / 't5'}", sha256="")
    with pytest.raises(ModelError, match="causal language model"):
        predict(declared(base), tmp_path)
