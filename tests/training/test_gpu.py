"""Training and re-ranking on a CUDA device; run with ``pytest -m gpu``."""

import numpy as np
import pytest
import torch

from belink import weights as model_references
from belink.linker.reranker import Reranker
from belink.training import footprint, lora
from belink.weights import ResolvedModel
from tests.training.test_lora import CONFIG, TRAINING, ask, make_questions

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="expected a CUDA device, found none"),
]


@pytest.fixture(scope="module")
def base(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    return model_references.resolve(models["reranker"], tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_on_a_gpu_lowers_the_loss(base, tmp_path, checkpointing):
    training = TRAINING.model_copy(update={"epochs": 6.0, "gradient_checkpointing": checkpointing})
    report = lora.train(make_questions(40, right=1), base, training, CONFIG, tmp_path / "adapter", device="cuda")
    assert report.loss < 0.9 * report.first_loss  # as test_lora asks of the same model


def test_an_adapter_gives_the_same_answers_on_gpu_and_cpu(base, tmp_path):
    questions = make_questions(40, right=1)
    training = TRAINING.model_copy(update={"epochs": 6.0})
    adapter = lora.train(questions, base, training, CONFIG, tmp_path / "adapter", device="cuda").path
    on_gpu, on_cpu = (ask(Reranker.load(base, adapter, CONFIG, device), questions) for device in ("cuda", "cpu"))
    for gpu_logits, cpu_logits in zip(on_gpu, on_cpu, strict=True):
        # The GPU computes in bfloat16.
        assert gpu_logits - gpu_logits.mean() == pytest.approx(cpu_logits - cpu_logits.mean(), abs=0.1)
    same = [int(a.argmax()) == int(b.argmax()) for a, b in zip(on_gpu, on_cpu, strict=True)]
    assert np.mean(same) > 0.95


def test_free_gpu_memory_is_known():
    assert 2**30 < footprint._available(torch.device("cuda")) <= torch.cuda.get_device_properties(0).total_memory
