"""What only a CUDA device shows; run with ``pytest -m gpu``, which the other tests never are."""

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
def test_training_on_the_device_lowers_the_loss(base, tmp_path, checkpointing):
    training = TRAINING.model_copy(update={"epochs": 6.0, "gradient_checkpointing": checkpointing})
    report = lora.train(make_questions(40, right=1), base, training, CONFIG, tmp_path / "adapter", device="cuda")
    assert report.loss < 0.9 * report.first_loss  # as far as test_train asks of the same model


def test_an_adapter_of_the_device_answers_on_the_processor_as_it_does_there(base, tmp_path):
    questions = make_questions(40, right=1)
    training = TRAINING.model_copy(update={"epochs": 6.0})
    adapter = lora.train(questions, base, training, CONFIG, tmp_path / "adapter", device="cuda").path
    there, here = (ask(Reranker.load(base, adapter, CONFIG, device), questions) for device in ("cuda", "cpu"))
    for device, processor in zip(there, here, strict=True):
        assert device - device.mean() == pytest.approx(processor - processor.mean(), abs=0.1)  # bfloat16 there
    same = [int(a.argmax()) == int(b.argmax()) for a, b in zip(there, here, strict=True)]
    assert np.mean(same) > 0.95


def test_the_device_has_room_that_a_dry_run_can_name():
    assert 2**30 < footprint._available(torch.device("cuda")) <= torch.cuda.get_device_properties(0).total_memory
