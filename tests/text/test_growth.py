"""Work on a text grows with its length, not with its square, so that no hostile text stops a service."""

import time
from collections.abc import Callable

import pytest

from belink.ontology.id_spans import id_spans
from belink.records import Document, Mention
from belink.text import abbreviations, formulas, normalise, sentences, symbols, taxa, variants, words
from belink.text.concept_ids import standardise

SMALL, LARGE = 4_000, 64_000  # characters
SEEDS = [
    "a", " ", "(", "(1-", "AB ", " sodium", "d l ", "1,2-", "-\n", "MS (", "a (AB) ", "AB; ", "A: b c;", "x" * 9 + ",",
    "+", "alpha,beta-", "'", "\\", "&", ". A", "  a", "Ca(OH)2", "MONDO_", "http://", "Gly-", "<infon key='", '"', "³",
    "E. coli ", "S. ", "é\u0301",
]  # fmt: skip


def expand(text: str) -> object:
    mention = Mention(text=text, start=0, end=len(text))
    return abbreviations.expand(Document(id="", text="alpha beta (AB). " + text, mentions=(mention,)))


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "normalise": normalise.normalise,
    "aligned_words": normalise.aligned_words,
    "name_variants": variants.name_variants,
    "class_variants": variants.class_variants,
    "bracket_variants": variants.bracket_variants,
    "kind_variants": variants.kind_variants,
    "to_american": variants.to_american,
    "short_key": taxa.short_key,
    "short_form": taxa.short_form,
    "fallbacks": taxa.fallbacks,
    "formula_names": formulas.formula_names,
    "symbol_names": symbols.symbol_names,
    "sentences": sentences.split,
    "find_definitions": abbreviations.find_definitions,
    "expand": expand,
    "find_words": lambda text: words.find_words(text, lambda word: False),
    "standardise": lambda text: standardise(text, ("MONDO",)),
    "id_spans": lambda text: id_spans(f"gold,x\n1,2\n{text.replace(',', ' ')}\n", "csv", ["X"]),
}


def seconds(function: Callable[[str], object], text: str) -> float:
    started = time.process_time()
    try:
        function(text)
    except ValueError:
        pass
    return time.process_time() - started


@pytest.mark.heavy
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_the_time_follows_the_length(name: str) -> None:
    function = FUNCTIONS[name]
    for seed in SEEDS:
        small, large = (seed * (length // len(seed) + 1) + "!" for length in (SMALL, LARGE))
        seconds(function, small)
        n = LARGE / SMALL
        allowed = max(seconds(function, small), 0.002) * n**1.3 + 0.05
        assert min(seconds(function, large) for _ in range(2)) < allowed, f"{name} on {seed!r}"
