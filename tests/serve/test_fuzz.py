"""Whatever a client sends, the service answers as its OpenAPI document says, and never fails."""

import copy
import json
import sys
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from belink.registry import aliases
from tests.support import small
from tests.support.serving import Made, Server, serving

LOOSE = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.fixture(scope="module")
def fuzzed(served_home: Made) -> Iterator[Server]:
    served_home.register("fuzzed", small.RELEASES[1])
    aliases.promote(served_home.here, "fuzzed", "1")
    with serving(served_home.here, "fuzzed", seconds=30) as running:
        yield running
        requests = [line for line in running.get("/metrics").text.splitlines() if "requests_total{" in line]
        counted = sum(float(line.rpartition(" ")[2]) for line in requests)
        failed = [line for line in requests if 'status="5' in line or 'status="0' in line]
        sys.stdout.write(f"\n{counted:.0f} requests, of which failed: {failed or 'none'}\n")
        assert not failed


def fuzz(server: Server, examples: int) -> int:
    """The number of requests sent; each path gets ``examples`` that fit its description and as many that do not."""
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    sent = 0
    for found in document.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:

            @settings(
                max_examples=examples, deadline=None, suppress_health_check=LOOSE, derandomize=True, database=None
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case) -> None:
                nonlocal sent
                sent += 1
                case.call_and_validate(excluded_checks=[positive_data_acceptance])

            try:
                ask()
            except Unsatisfiable:  # a path that takes nothing can be given nothing wrong
                continue
    return sent


KEYS = st.sampled_from(
    ["text", "documents", "passages", "mentions", "start", "end", "id", "infons", "annotations", "x"]
)
TYPES = [
    "application/json",
    "application/json; charset=utf-16",
    "application/x+json",
    "text/plain",
    "text/xml",
    "a/b",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=a",
    "application/octet-stream",
    "",
    ";;",
    "é",
]
SOUND = [
    {"text": "He has COPD."},
    {"text": "a", "min_probability": 0.5, "candidates": 3},
    {"documents": [{"id": "1", "text": "abc", "mentions": [{"start": 0, "end": 3}]}]},
    {"documents": [{"id": 1, "passages": [{"offset": 0, "text": "ab", "annotations": [{"locations": [{}]}]}]}]},
]  # fmt: skip
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A sound body, with any value in place of one of its own, or with bytes cut out, put in or changed."""
    body = copy.deepcopy(draw(st.sampled_from(SOUND)))
    node, key = body, draw(st.sampled_from(sorted(body)))
    while isinstance(node[key], dict | list) and node[key] and draw(st.booleans()):
        node = node[key]
        key = draw(st.sampled_from(sorted(node)) if isinstance(node, dict) else st.integers(0, len(node) - 1))
    if draw(st.booleans()):
        node[key] = draw(values)
    written = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        start = draw(st.integers(0, len(written)))
        end = draw(st.integers(start, min(len(written), start + 20)))
        written = written[:start] + draw(st.binary(max_size=20)) + written[end:]
    return written


def post_anything(server: Server, examples: int) -> None:
    """Post bodies that are hardly JSON under types that hardly fit; each is answered in words."""

    @settings(max_examples=examples, deadline=None, suppress_health_check=LOOSE, derandomize=True, database=None)
    @given(body=bodies(), type=st.sampled_from([*TYPES, None]), encoded=st.booleans())
    def post(body: bytes, type: str | None, encoded: bool) -> None:
        headers = [("Content-Type", type.encode())] if type is not None else []
        headers += [("Content-Encoding", b"gzip")] if encoded else []
        answer = client.post(f"{server.url}/link", content=body, headers=headers)
        assert answer.status_code in (200, 400, 413, 415, 422), (answer.status_code, body)
        assert answer.status_code == 200 or answer.json()["detail"]
        if answer.status_code != 415:
            assert type is not None and "json" in type

    with httpx.Client(timeout=120) as client:
        post()


def test_bodies_and_types_of_any_kind_are_answered_in_words(fuzzed: Server) -> None:
    post_anything(fuzzed, 150)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_thousands_of_bodies_are_answered_in_words(fuzzed: Server) -> None:
    post_anything(fuzzed, 3000)


def test_every_answer_is_one_that_is_described(fuzzed: Server) -> None:
    assert fuzz(fuzzed, 25) > 150


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_thousands_of_requests_find_nothing_else(fuzzed: Server) -> None:
    assert fuzz(fuzzed, 800) > 5000
