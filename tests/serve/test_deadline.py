"""Nobody works for a request that has ended: not inside a long document, nor inside a slice of many questions."""

import string
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import httpx
import pytest

from belink import waiting
from belink.linker.linker import Linker
from belink.linker.name_finder import NameFinder
from belink.records import Document, Mention
from belink.registry import aliases
from belink.serve.batching import Batcher
from belink.text import abbreviations
from belink.text.normalise import aligned_words
from tests.support.serving import Made, serving, until

pytestmark = pytest.mark.heavy

LENGTH = 900_000  # characters; a request may have a megabyte
LETTERS = string.ascii_uppercase


def _defined(n: int) -> str:
    """Definitions of ``n`` short forms."""
    shorts = (("".join(letters), number) for number, letters in enumerate(product(LETTERS, repeat=4)) if number < n)
    return ". ".join(
        f"{a.lower()}lpha{number} {b.lower()}eta {c.lower()}amma {d.lower()}elta ({a}{b}{c}{d})"
        for (a, b, c, d), number in shorts
    )


def _filled(text: str, more: str) -> str:
    return (text + more * (LENGTH // len(more)))[:LENGTH]


TEXTS = {
    "definitions": _filled(_defined(20_000), "x"),
    "one short form, often": _filled("multiple sclerosis (MS). ", "MS and asthma, "),
    "many short forms, often": _filled(_defined(2_000) + ". ", "AABC AABD AACA "),
    "names": _filled("", "He had asthma and type 2 diabetes; "),
    "marks": _filled("", "#COPD >asthma³ "),
    "one word": _filled("", "a"),
    "blanks": _filled("", " "),
}
NAMES = ["asthma", "multiple sclerosis", "type 2 diabetes", "copd"]


@contextmanager
def longest_stretch() -> Iterator[list[float]]:
    """Yield a list that holds, at the end, the most seconds of CPU between two looks whether somebody waits."""
    longest, last = [0.0], [time.thread_time()]

    def look() -> bool:
        now = time.thread_time()
        longest[0], last[0] = max(longest[0], now - last[0]), now
        return True

    with waiting.waited_for(look):
        yield longest
        look()


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "find_definitions": abbreviations.find_definitions,
    "find": NameFinder.build(NAMES).find,
    "aligned_words": aligned_words,
    "expand": lambda text: abbreviations.expand(Document(id="", text=text, mentions=(Mention(text=text, start=0),))),
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_work_on_a_long_text_looks_every_second_whether_somebody_waits(name: str, kind: str) -> None:
    def seconds() -> float:
        with longest_stretch() as longest:
            FUNCTIONS[name](TEXTS[kind])
        return longest[0]

    # A garbage collection of the whole test run, or a busy neighbour, lengthens a stretch of one run, not of each.
    assert any(seconds() < 1.0 for _ in range(3))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_work_on_a_long_text_ends_when_nobody_waits(name: str) -> None:
    looks = iter([True] * 3)
    with pytest.raises(waiting.Abandoned), waiting.waited_for(lambda: next(looks, False)):
        FUNCTIONS[name](TEXTS["many short forms, often"])
    waiting.go_on()  # outside the block nobody is asked


@pytest.fixture(scope="module")
def linker(served_home: Made) -> Linker:
    served_home.register("patient")
    aliases.promote(served_home.here, "patient", "1")
    return Linker(aliases.bundle_path(served_home.here, "patient")[0], served_home.here.cache)


def test_questions_to_the_models_end_between_two_batches(linker: Linker) -> None:
    mentions = [Mention(text=f"unheard of {number}") for number in range(200)]
    candidates = linker.candidates(mentions)
    assert linker.reranker is not None
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        return looks < 230  # a look a question, and then one a batch

    with pytest.raises(waiting.Abandoned), waiting.waited_for(look):
        linker.reranker.logits(mentions, [group[:4] for group in candidates])
        linker.candidates([Mention(text=f"other words {number}") for number in range(200)])


def test_a_cancelled_slice_ends_and_the_next_request_is_answered(linker: Linker) -> None:
    batcher = Batcher(lambda: linker, waiting=4)
    try:
        text = TEXTS["one short form, often"]
        started = threading.Event()
        batcher.ask(lambda _: started.set()).result(timeout=60)
        future = batcher.link([Document(id="1", text=text)])
        future.cancel()
        assert batcher.link([Document(id="2", text="asthma")]).result(timeout=60).documents[0][0].id == "2"
        until(lambda: batcher.depth == 0)
    finally:
        batcher.close()


def test_the_work_of_a_request_that_got_504_ends(served_home: Made, linker: Linker, tmp_path: Path) -> None:
    text = TEXTS["one short form, often"]
    started = time.perf_counter()
    linker.prepare(Document(id="", text=text))
    whole = time.perf_counter() - started
    with serving(served_home.here, "patient", seconds=whole / 8) as server:
        server.post(text="asthma")  # loads what the first request loads

        def n_open() -> str:
            lines = server.get("/metrics").text.splitlines()
            (line,) = [line for line in lines if line.startswith("belink_open_requests ")]
            return line.split()[1]

        answer = httpx.post(f"{server.url}/link", json={"text": text}, timeout=120)
        ended = time.perf_counter()
        assert answer.status_code == 504
        until(lambda: n_open() == "0.0")
        assert time.perf_counter() - ended < whole / 3 + 0.5
