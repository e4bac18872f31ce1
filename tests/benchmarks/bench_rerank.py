"""One forward pass over the options against prompting: one prompt a mention, text generated, an answer parsed.

    BELINK_DATA=… python tests/benchmarks/bench_rerank.py HOME LINKER[@ALIAS] [--mentions 96] [--tokens 20]

HOME holds a registered linker with a re-ranker, such as the sample of ``make demo``. All methods answer the linker's
evaluation items with the same merged model, options, order and dtype, in turns; retrieval is in every time. ``cascade``
is what the linker does, ``every`` one forward pass for every mention, and ``settled`` the share of mentions that never
reach the model. The figures are mentions a second, and accuracy over the mentions with a concept: of the model's best
option by itself, as parsed, but for ``cascade``. Prints JSON.
"""

import argparse
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from belink import artefacts, settings, weights
from belink.evaluation import run
from belink.linker import prompts, reranker
from belink.linker.linker import Linker
from belink.records import Candidate
from belink.registry.open import open_linker
from belink.training import splits
from belink.training.splits import EvaluationItem
from belink.weights import choose_device

TURN = 32
Answers = list[str | None]


class Generates:
    """The linker's re-ranking model, prompted to write its answer."""

    def __init__(self, linker: Linker) -> None:
        from peft import PeftModel

        config = linker.declaration.reranker
        base = weights.resolve(config.model, linker.cache)
        self.tokenizer = reranker.load_tokenizer(base)
        self.form = prompts.form(self.tokenizer, config)
        whole: Any = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
        whole = PeftModel.from_pretrained(whole, str(linker.path / "adapter")).merge_and_unload()
        device, dtype = choose_device()
        self.model = whole.eval().to(device, dtype)

    def answer(self, item: EvaluationItem, options: list[Candidate], tokens: int) -> str | None:
        """Return the id of the option whose letter the model writes first; ``None`` for NIL, and without any letter."""
        asked = torch.tensor([self.form.tokens(item.mention, options)], device=self.model.device)
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=asked,
                attention_mask=torch.ones_like(asked),
                max_new_tokens=tokens,
                do_sample=False,
                pad_token_id=self.tokenizer.eos_token_id,
            )
        letter = re.search(r"\b[A-Z]\b", self.tokenizer.decode(out[0, asked.shape[1] :]))
        place = prompts.letters(26).index(letter[0]) if letter else len(options)
        return options[place].id if place < len(options) else None


def methods(linker: Linker, tokens: int) -> dict[str, Callable[[list[EvaluationItem]], Answers]]:
    """Return the methods by name; each answers items with the id of their best option."""
    generates, n_options = Generates(linker), linker.declaration.reranker.options

    def offered(items: list[EvaluationItem]) -> list[list[Candidate]]:
        found: list[list[Candidate]] = [[]] * len(items)
        for hide in (False, True):
            at = [place for place, item in enumerate(items) if item.hide_own_name is hide]
            for place, of_one in zip(
                at, linker.candidates([items[p].mention for p in at], hide_own_name=hide), strict=True
            ):
                found[place] = [candidate for candidate in of_one if candidate.id not in items[place].without][
                    :n_options
                ]
        return found

    def generation(items: list[EvaluationItem], n: int = tokens) -> Answers:
        return [generates.answer(item, options, n) for item, options in zip(items, offered(items), strict=True)]

    def every(items: list[EvaluationItem]) -> Answers:
        assert linker.reranker is not None
        options = offered(items)
        logits = linker.reranker.logits([item.mention for item in items], options)
        best = (int(np.argmax(of)) for of in logits)
        return [of[at].id if at < len(of) else None for at, of in zip(best, options, strict=True)]

    def cascade(items: list[EvaluationItem]) -> Answers:
        links, _, _ = run.link_items(linker, items)
        return [link.candidate.id if link.candidate else None for link in links]

    return {
        f"generation, {tokens} tokens": generation,
        "generation, 1 token": lambda items: generation(items, 1),
        "every": every,
        "cascade": cascade,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("linker")
    parser.add_argument("--mentions", type=int, default=96)
    parser.add_argument("--tokens", type=int, default=20)
    given = parser.parse_args()
    home = settings.load(given.home)
    linker = open_linker(home, given.linker)
    items = splits.evaluation_items(linker.declaration, sorted((linker.path / "releases").iterdir()), home.data)
    chosen = np.random.default_rng(13).permutation(len(items))[: given.mentions]
    items = [items[at] for at in sorted(chosen)]
    by_method = methods(linker, given.tokens)
    for answer in by_method.values():
        answer(items[:2])  # weights are loaded by the first question
    answers: dict[str, Answers] = {method: [] for method in by_method}
    seconds = dict.fromkeys(by_method, 0.0)
    for start in range(0, len(items), TURN):
        for method, answer in by_method.items():
            started = time.perf_counter()
            answers[method] += answer(items[start : start + TURN])
            seconds[method] += time.perf_counter() - started
    known = [at for at, item in enumerate(items) if item.mention.gold]
    links, _, _ = run.link_items(linker, items)
    figures: dict[str, Any] = {
        "model": artefacts.read_manifest(linker.path)["base_model"]["reference"],
        "mentions": len(items),
        "settled": round(float(np.mean([link.decided_by != "reranker" for link in links])), 3),
    }
    slowest = next(iter(by_method))
    for method in by_method:
        figures[method] = {
            "mentions/s": round(len(items) / seconds[method], 2),
            f"times {slowest}": round(seconds[slowest] / seconds[method], 1),
            "accuracy": round(float(np.mean([answers[method][at] in items[at].mention.gold for at in known])), 3),
        }
    print(json.dumps(figures, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
