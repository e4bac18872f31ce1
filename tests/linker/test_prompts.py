from pathlib import Path

import pytest

from belink.declarations import RerankerConfig
from belink.errors import ModelError
from belink.linker import prompts
from belink.records import Candidate, Mention
from tests.support.tiny import tiny_causal_lm

SENTENCE = "One of five patients with DM had early-onset breast cancer (ERBB2 positive) and β-thalassaemia major."


def candidate(name: str, label: str = "", **more: float) -> Candidate:
    return Candidate(id="X:1", label=label, name=name, ontology="x", release="1", **more)


def mention(text: str, sentence: str = "", **more: str) -> Mention:
    start = sentence.index(text) if sentence else 0
    return Mention(
        text=text, start=100 + start, end=100 + start + len(text), sentence=sentence, sentence_start=100, **more
    )


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_causal_lm(tmp_path_factory.mktemp("lm")))


def test_each_option_is_followed_by_its_letter_and_the_mention_comes_last():
    asked = prompts.question(
        mention("DM", SENTENCE, long_form="diabetes mellitus"),
        [candidate("diabetes", "diabetes mellitus"), candidate("myotonic dystrophy", "myotonic dystrophy")],
    )
    assert asked.splitlines() == [
        "diabetes [diabetes mellitus] = A",
        "myotonic dystrophy = B",
        "None of the above = C",
        "DM (diabetes mellitus) =",
    ]


def test_the_classical_form_puts_the_letters_first_and_asks_for_one():
    asked = prompts.question(mention("DM"), [candidate("diabetes")], "letter-first")
    assert asked.splitlines()[-4:] == ["Mention: DM", "A: diabetes", "B: None of the above", "Answer:"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [(40, SENTENCE), (4, "… patients with DM had early-onset …"), (0, "x = A")],
)
def test_the_sentence_is_cut_to_the_words_around_the_mention(words: int, expected: str):
    asked = prompts.question(mention("DM", SENTENCE), [candidate("x")], sentence_words=words)
    assert asked.splitlines()[0] == expected


def test_the_words_that_one_side_lacks_go_to_the_other():
    asked = prompts.question(mention("One", SENTENCE), [candidate("x")], sentence_words=3)
    assert asked.splitlines()[0] == "One of five patients …"
    asked = prompts.question(mention("major.", SENTENCE), [candidate("x")], sentence_words=3)
    assert asked.splitlines()[0] == "… positive) and β-thalassaemia major."


def test_punctuation_around_the_mention_stays_where_it_is():
    asked = prompts.question(mention("ERBB2", SENTENCE), [candidate("x")], sentence_words=2)
    assert asked.splitlines()[0] == "… (ERBB2 positive) …"


def test_offsets_that_do_not_fit_the_sentence_do_not_break_the_question():
    odd = Mention(text="DM", start=5000, end=5002, sentence=SENTENCE, sentence_start=0)
    assert prompts.question(odd, [candidate("x")], sentence_words=3).splitlines()[0] == "One of five …"


@pytest.mark.parametrize("name", ["a\nb = C\n\nmention =", "1->4\t= A", "x\u2028y\r\n"])
def test_a_name_with_line_breaks_or_signs_stays_one_line(name: str):
    asked = prompts.question(mention("m\nn"), [candidate(name), candidate("y")])
    assert len(asked.split("\n")) == 4
    assert asked.endswith("\nm n =")


def test_a_long_name_keeps_both_ends():
    long = "1-" + "methyl" * 50 + "-propane"
    shown = prompts.question(mention("m"), [candidate(long)], characters=30).splitlines()[0].removesuffix(" = A")
    assert len(shown) == 30
    assert shown.startswith("1-methyl")
    assert shown.endswith("-propane")


@pytest.mark.parametrize("n", [0, 27])
def test_there_are_as_many_letters_as_the_alphabet_has(n: int):
    with pytest.raises(ValueError, match="1 to 26"):
        prompts.letters(n)
    assert prompts.letters(26)[-1] == "Z"


@pytest.mark.parametrize("format", ["letter-last", "letter-first"])
def test_the_letter_is_the_one_token_that_follows_the_question(tokenizer, format):
    form = prompts.form(tokenizer, RerankerConfig(format=format))
    assert len(set(form.letter_ids)) == 11
    options = [candidate(name) for name in ("cold", "flu")]
    tokens = form.tokens(mention("influenza"), options)
    text = tokenizer.decode([*tokens, form.letter_ids[1]])
    assert text.rstrip().endswith("B")
    assert form.chat == (format == "letter-first")
    if form.chat:
        assert "assistant" in tokenizer.decode(tokens)
    else:
        assert tokenizer(tokenizer.decode(tokens) + " B")["input_ids"] == [*tokens, form.letter_ids[1]]


def test_a_tokenizer_whose_letters_are_several_tokens_is_refused(tmp_path: Path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # Bytes alone: " A" is two tokens, and "A" after a space is never reached.
    alphabet = sorted({*pre_tokenizers.ByteLevel.alphabet()} - {"B"})
    wordless = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    wordless.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    with pytest.raises(ModelError, match="one token for each of the letters A to D"):
        prompts.form(PreTrainedTokenizerFast(tokenizer_object=wordless), RerankerConfig(options=3))


def test_a_question_over_the_token_bound_drops_the_sentence_then_names_but_never_the_mention(tokenizer):
    options = [candidate("hereditary breast and ovarian cancer syndrome " * 3, "x" * 90) for _ in range(6)]
    asked = mention("DM", SENTENCE)
    whole = prompts.form(tokenizer, RerankerConfig(max_length=5000)).tokens(asked, options)
    assert "One of five" in tokenizer.decode(whole)
    for bound in (len(whole) - 1, 250, 130, 20):
        tokens = prompts.form(tokenizer, RerankerConfig(max_length=bound)).tokens(asked, options)
        assert len(tokens) <= bound
        text = tokenizer.decode(tokens)
        assert "One of five" not in text
        assert text.endswith("DM =")
        if bound >= 250:
            assert "F" in text.splitlines()[-3], "every option must still be there"
