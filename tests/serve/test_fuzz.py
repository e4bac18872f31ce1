"""Whatever a client sends, the service answers as its OpenAPI document says, and never fails."""

import sys
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
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


def test_every_answer_is_one_that_is_described(fuzzed: Server) -> None:
    assert fuzz(fuzzed, 25) > 150


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_thousands_of_requests_find_nothing_else(fuzzed: Server) -> None:
    assert fuzz(fuzzed, 800) > 5000
