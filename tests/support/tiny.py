"""Transformers small enough to build in a second: random weights, real tokenizers, the real folder layout."""

import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ENCODER_DIMENSION = 32

_TEXTS = (
    "type 2 diabetes mellitus",
    "insulin-dependent diabetes mellitus",
    "Alzheimer disease, early onset",
    "breast carcinoma",
    "hereditary breast and ovarian cancer syndrome",
    "β-thalassaemia major",
    "Which concept does the mention name?\nSentence: Two patients had melanoma.\nmelanoma = A\nNone of the above = B\n",
)


def tiny_encoder(folder: Path, seed: int = 0) -> Path:
    """A two-layer BERT of 32 dimensions with tokenizer, saved to ``folder`` as plain transformers do (no pooling)."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = _tokenizer(cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]")
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=ENCODER_DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertModel(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_causal_lm(folder: Path, seed: int = 0, vocabulary: int = 400, *, architecture: str = "Llama") -> Path:
    """A two-layer Llama of 32 dimensions; "A" to "Z" are one token each, with a space before and without.

    :param architecture: another that transformers has, such as "Qwen3".
    """
    import torch
    import transformers

    tokenizer = _tokenizer(
        vocabulary=vocabulary, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    torch.manual_seed(seed)
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    getattr(transformers, f"{architecture}ForCausalLM")(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(vocabulary: int = 400, **special: str) -> Any:
    """Byte-level BPE: every text can be written, newlines and Greek letters too."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=special.get("unk_token")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(dict.fromkeys(special.values())),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_texts(), trainer)
    if "cls_token" in special:
        cls, sep = special["cls_token"], special["sep_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=2048, **special)


def _training_texts() -> Iterable[str]:
    yield from _TEXTS
    for letter in string.ascii_uppercase:
        yield f" {letter}" * 50  # often enough that space and letter become one token


def tiny_tagger(folder: Path) -> Path:
    """A token classifier with a word-level tokenizer: AAAA is a Disease, BBBB a Drug, everything else is nothing.

    One linear layer over one-hot embeddings, its weights set by hand: what it says depends on the word alone.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    vocabulary = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "AAAA": 4, "BBBB": 5}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    plain.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]",
        model_max_length=2048,
    )  # fmt: skip
    labels = ["O", "I-Disease", "I-Drug"]
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=8, num_hidden_layers=0, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=2048, id2label=dict(enumerate(labels)), label2id={n: i for i, n in enumerate(labels)},
    )  # fmt: skip
    model = BertForTokenClassification(config).eval()
    with torch.no_grad():
        for parameter in model.bert.embeddings.parameters():
            parameter.zero_()
        model.bert.embeddings.LayerNorm.weight.fill_(1.0)
        model.bert.embeddings.word_embeddings.weight.copy_(torch.eye(len(vocabulary), 8))
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()
        for word in range(len(vocabulary)):
            model.classifier.weight[{4: 1, 5: 2}.get(word, 0), word] = 4.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
