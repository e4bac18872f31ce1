"""Texts become float32 unit vectors, the same ones whatever they are encoded beside."""

from pathlib import Path

import numpy as np
import pytest

from belink.declarations import EncoderConfig
from belink.errors import IndexMismatch, ModelError
from belink.retrieval.encoder import DeferredEncoder, Encoder
from tests.support.tiny import ENCODER_DIMENSION, tiny_encoder

TEXTS = ["type 2 diabetes mellitus", "melanoma", "beta thalassaemia", "β-thalassaemia", "", "melanoma", "x " * 200]
CLOSE = 2e-2  # bfloat16 products, where the hardware has them


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def load(weights: Path, **changes: object) -> Encoder:
    return Encoder.load(
        EncoderConfig.model_validate({"model": f"path:{weights}", "pooling": "mean", **changes}), weights
    )


def test_vectors_are_float32_unit_rows_in_the_order_asked(weights: Path) -> None:
    encoder = load(weights, batch_size=2)
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32 and vectors.shape == (len(TEXTS), ENCODER_DIMENSION) == (7, encoder.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    alone = np.concatenate([load(weights).encode([text]) for text in TEXTS])
    np.testing.assert_allclose(vectors, alone, atol=CLOSE)
    assert (vectors[1] == vectors[5]).all()


def test_nothing_to_encode_is_no_vectors(weights: Path) -> None:
    assert load(weights).encode([]).shape == (0, ENCODER_DIMENSION)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_vectors_are_those_of_the_transformer_under_the_declared_pooling(weights: Path, pooling: str) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(weights), AutoModel.from_pretrained(weights)
    texts = ["breast carcinoma", "hereditary breast and ovarian cancer syndrome"]
    for text, vector in zip(texts, load(weights, pooling=pooling).encode(texts), strict=True):
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
        expected = states[0] if pooling == "cls" else states.mean(axis=0)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=CLOSE)


def test_texts_are_cut_at_the_declared_length(weights: Path) -> None:
    encoder = load(weights, max_length=8)
    long, longer = encoder.encode(["melanoma " * 20, "melanoma " * 20 + "of the skin"])
    np.testing.assert_allclose(long, longer, atol=CLOSE)


def test_a_fingerprint_changes_with_the_vectors_and_with_nothing_else(weights: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.symlink_to(weights)
    other = tiny_encoder(tmp_path / "other", seed=1)
    same = load(weights).fingerprint
    assert same == load(weights, batch_size=3).fingerprint == load(moved).fingerprint
    different = [load(weights, pooling="cls"), load(weights, max_length=8), load(other)]
    assert len({same, *(encoder.fingerprint for encoder in different)}) == 4


def test_plain_transformer_weights_need_a_declared_pooling(weights: Path) -> None:
    with pytest.raises(ModelError, match=r'pooling = "cls"'):
        load(weights, pooling="model").encode(["melanoma"])


def test_a_fingerprint_does_not_wait_for_the_weights_to_load(weights: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in weights.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    (damaged / "model.safetensors").write_bytes(b"not weights")
    encoder = load(damaged)
    assert encoder.fingerprint != load(weights).fingerprint
    with pytest.raises(ModelError, match="expected a sentence encoder"):
        encoder.encode(["melanoma"])


def test_a_deferred_encoder_is_loaded_by_the_first_text_and_must_be_the_one_promised(
    models: dict[str, str], tmp_path: Path
) -> None:
    config = EncoderConfig(model=models["encoder"], pooling="mean")
    loaded: list[Encoder] = []

    def load() -> Encoder:
        loaded.append(Encoder.load(config, tmp_path))
        return loaded[-1]

    expected = Encoder.load(config, tmp_path)
    deferred = DeferredEncoder(expected.fingerprint, load)
    assert (deferred.fingerprint, loaded) == (expected.fingerprint, [])
    np.testing.assert_array_equal(deferred.encode(["eczema"]), expected.encode(["eczema"]))
    assert deferred.dimension == expected.dimension and len(loaded) == 1
    with pytest.raises(IndexMismatch, match="found " + expected.fingerprint):
        DeferredEncoder("another", load).encode(["eczema"])
