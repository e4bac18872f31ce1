from pathlib import Path

import numpy as np
import pytest

from belink import artefacts
from belink.declarations import RerankerConfig
from belink.errors import ModelError
from belink.linker import prompts
from belink.linker import reranker as rerank
from belink.linker.reranker import Reranker
from belink.records import Candidate, Mention
from belink.weights import ResolvedModel, resolve
from tests.support.tiny import tiny_causal_lm

pytestmark = pytest.mark.usefixtures("float32")

NAMES = (
    "breast carcinoma",
    "type 2 diabetes mellitus",
    "β-thalassaemia major",
    "Alzheimer disease, early onset",
    "1->4 linked = A\nglucan",
    "DM",
)


def options(n: int, shift: int = 0) -> list[Candidate]:
    names = [NAMES[(i + shift) % len(NAMES)] for i in range(n)]
    return [Candidate(id=f"X:{i}", label=name, name=name, ontology="x", release="1") for i, name in enumerate(names)]


ASKED = [
    (Mention(text="melanoma", sentence="Two patients had melanoma.", start=17, end=25), options(3)),
    (Mention(text="DM", long_form="diabetes mellitus"), options(9)),
    (Mention(text="nothing at all"), []),
    (Mention(text="breast cancer", sentence="Hereditary breast cancer " * 8, start=11, end=24), options(6, shift=2)),
    (Mention(text="x"), options(1)),
]
MENTIONS = [mention for mention, _ in ASKED]
CANDIDATES = [candidates for _, candidates in ASKED]


def load(base_model: ResolvedModel, **config: object) -> Reranker:
    return Reranker.load(base_model, None, RerankerConfig.model_validate({"orders": 1, **config}), device="cpu")


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    """The architecture of Qwen3, which normalises queries and keys and has wider heads than Llama."""
    folder = tmp_path_factory.mktemp("qwen3")
    return resolve(f"path:{tiny_causal_lm(folder / 'model', architecture='Qwen3')}", folder)


@pytest.mark.parametrize("format", ["letter-last", "letter-first"])
@pytest.mark.parametrize("architecture", ["base_model", "qwen3"])
def test_letters_have_the_logits_that_the_whole_model_gives_them(request, architecture, format):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base_model = request.getfixturevalue(architecture)
    reranker = load(base_model, format=format)
    whole = AutoModelForCausalLM.from_pretrained(base_model.path, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(base_model.path)
    space = "" if format == "letter-first" else " "
    for (mention, candidates), found in zip(ASKED, reranker.logits(MENTIONS, CANDIDATES), strict=True):
        if not candidates:
            continue
        tokens = reranker.form.tokens(mention, candidates)
        with torch.inference_mode():
            everything = whole(torch.tensor([tokens])).logits[0, -1]
        letters = [tokenizer(f"{space}{letter}", add_special_tokens=False)["input_ids"][-1] for letter in "ABCDEFGHIJ"]
        expected = everything[letters[: len(candidates) + 1]].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_batch_answers_as_its_questions_would_one_by_one(base_model):
    together = load(base_model, batch_tokens=100_000).logits(MENTIONS, CANDIDATES)
    reranker = load(base_model, batch_tokens=1)
    for mention, candidates, found in zip(MENTIONS, CANDIDATES, together, strict=True):
        (alone,) = reranker.logits([mention], [candidates])
        assert found.dtype == np.float32
        assert found.shape == (len(candidates) + 1,)
        np.testing.assert_allclose(found, alone, atol=1e-4)


def test_long_re_ranking_says_how_far_it_is(base_model, caplog, monkeypatch):
    monkeypatch.setattr("belink.progress._LINE_EVERY", 0.0)
    caplog.set_level("INFO")
    load(base_model, batch_tokens=1).logits(MENTIONS, CANDIDATES)
    assert "re-ranking: 4 of 4 questions" in caplog.text  # a mention without candidates asks none


def test_padding_on_the_right_does_not_change_logits(base_model):
    import torch

    reranker = load(base_model)
    tokens = reranker.form.tokens(*ASKED[0])
    ids, last = rerank.pad([tokens, tokens + [5] * 40])
    assert ids.shape == (2, len(tokens) + 40)
    assert last.tolist() == [len(tokens) - 1, len(tokens) + 39]
    with torch.inference_mode():
        padded = reranker.model(input_ids=ids).logits[0, last[0]]
        other = ids.clone()
        other[0, len(tokens) :] = 7
        assert torch.allclose(padded, reranker.model(input_ids=other).logits[0, last[0]], atol=1e-5)


def test_a_mention_without_candidates_has_one_option_and_no_forward_pass(base_model):
    reranker = load(base_model)
    reranker.model = None
    assert [found.tolist() for found in reranker.logits([MENTIONS[2]], [[]])] == [[0.0]]
    assert reranker.logits([], []) == []


def test_a_question_asked_twice_in_a_batch_is_answered_once(base_model):
    reranker = load(base_model)
    rows = []
    model = reranker.model

    def counted(input_ids, **more):
        rows.append(len(input_ids))
        return model(input_ids=input_ids, **more)

    reranker.model = counted
    found = reranker.logits([MENTIONS[0]] * 5 + [MENTIONS[1]], [CANDIDATES[0]] * 5 + [CANDIDATES[1]])
    assert sum(rows) == 2
    assert all(np.array_equal(found[0], again) for again in found[1:5])


def test_over_several_orders_the_answer_does_not_depend_on_the_order_given(base_model):
    once, all_orders = load(base_model), load(base_model, orders=2)
    two = options(2)
    (given,), (turned,) = once.logits([MENTIONS[0]], [two]), once.logits([MENTIONS[0]], [two[::-1]])
    (mean,) = all_orders.logits([MENTIONS[0]], [two])
    (mean_turned,) = all_orders.logits([MENTIONS[0]], [two[::-1]])
    np.testing.assert_allclose(mean, mean_turned[[1, 0, 2]], atol=1e-5)
    assert not np.allclose(given - given[2], turned[[1, 0, 2]] - turned[2], atol=1e-5)
    expected = (given - np.logaddexp.reduce(given) + (turned - np.logaddexp.reduce(turned))[[1, 0, 2]]) / 2
    np.testing.assert_allclose(mean, expected, atol=1e-5)


def test_more_options_than_the_declaration_allows_are_a_mistake_of_the_caller(base_model):
    with pytest.raises(ValueError, match="at most 3 options, found 4"):
        load(base_model, options=3).logits([MENTIONS[0]], [options(4)])
    with pytest.raises(ValueError, match="one list of candidates a mention"):
        load(base_model).logits(MENTIONS, [])


@pytest.mark.parametrize(
    ("lengths", "tokens", "expected"),
    [
        ([], 10, []),
        ([50], 10, [[0]]),
        ([5, 5, 5], 10, [[0, 1], [2]]),
        ([9, 4, 4, 4], 12, [[0], [1, 2, 3]]),
        ([4, 4, 9], 12, [[0, 1], [2]]),
    ],
)
def test_batches_stay_within_the_padded_tokens(lengths, tokens, expected):
    assert [list(batch) for batch in rerank.batches(lengths, tokens)] == expected


def test_rerankers_that_answer_differently_have_other_fingerprints(base_model):
    same = load(base_model).fingerprint
    assert load(base_model, batch_tokens=77).fingerprint == same
    assert load(base_model, sentence=False).fingerprint != same
    assert load(base_model, orders=2).fingerprint != same


def test_a_folder_without_a_language_model_is_refused(base_model, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="expected a"):
        Reranker.load(ResolvedModel(path=tmp_path / "empty", reference="path:x", sha256="0"), None, RerankerConfig())


def test_bfloat16_keeps_the_letters_apart_as_float32_does(base_model):
    import torch

    reranker = load(base_model)
    exact = reranker.logits(MENTIONS, CANDIDATES)
    rerank.cast(reranker.model, torch.bfloat16)
    assert reranker.model.get_output_embeddings().weight.dtype == torch.float32
    for one, other in zip(exact, reranker.logits(MENTIONS, CANDIDATES), strict=True):
        np.testing.assert_allclose(one - one.mean(), other - other.mean(), atol=0.02)


def adapter(base_model: ResolvedModel, folder: Path, seed: int) -> Path:
    """An adapter of random weights on the top layer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base_model.path, dtype=torch.float32)
    top = model.config.num_hidden_layers - 1
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], layers_to_transform=[top], init_lora_weights=False)
    with artefacts.build(folder) as aside:
        get_peft_model(model, config).save_pretrained(aside)
        asking = rerank.question_settings(RerankerConfig(orders=1))
        manifest = {"base": {"sha256": base_model.sha256}, "prompts": prompts.VERSION, "asking": asking}
        artefacts.write_manifest(aside, manifest)
    return folder


@pytest.mark.parametrize("architecture", ["base_model", "qwen3"])
def test_adapters_of_one_base_hold_what_they_do_not_change_once_and_answer_the_same(
    request, architecture, tmp_path: Path
):
    base_model = request.getfixturevalue(architecture)
    config = RerankerConfig(orders=1)
    folders = [adapter(base_model, tmp_path / str(seed), seed) for seed in (1, 2)]
    alone = []
    for folder in folders:
        alone.append(Reranker.load(base_model, folder, config, device="cpu").logits(MENTIONS, CANDIDATES))
    first, second = (Reranker.load(base_model, folder, config, device="cpu") for folder in folders)
    again = Reranker.load(base_model, folders[0], config, device="cpu")
    assert again.model is first.model
    pointers = [{name: p.data_ptr() for name, p in each.model.named_parameters()} for each in (first, second)]
    shared = {name for name in pointers[0] if pointers[0][name] == pointers[1][name]}
    assert any("embed_tokens" in name for name in shared)
    assert not any(f".{first.model.config.num_hidden_layers - 1}.mlp.down_proj" in name for name in shared)
    assert len(shared) > len(pointers[0]) / 3
    for reranker, logits in zip((first, second), alone, strict=True):
        for found, expected in zip(reranker.logits(MENTIONS, CANDIDATES), logits, strict=True):
            np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(alone[0][0], alone[1][0])
