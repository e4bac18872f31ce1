"""Sources that would be read for ever are refused in one line: devices, pipes, patterns made to be slow."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from belink.corpora.files import read_documents
from belink.declarations import undeclared_source
from belink.errors import BelinkError
from belink.ontology.ingest import ingest
from belink.ontology.readers.files import sniff
from belink.ontology.release import first_group
from belink.settings import Settings
from tests.support.made_releases import concept, obo


@pytest.fixture(params=["pipe", "device"])
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "device":
        return Path("/dev/zero")
    os.mkfifo(tmp_path / "pipe.obo")
    return tmp_path / "pipe.obo"


@pytest.mark.timeout(30)
def test_a_device_or_pipe_is_refused(endless: Path, here: Settings) -> None:
    uses: list[Callable[[], object]] = [
        lambda: sniff(endless),
        lambda: ingest(undeclared_source("x", "obo"), [endless], here, version="1"),
        lambda: ingest(undeclared_source("x", "table"), [endless], here, version="1"),
        lambda: list(read_documents(endless)),
    ]
    for use in uses:
        with pytest.raises(BelinkError, match=r"regular file|cannot be read") as caught:
            use()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b()", "((a*)*)*c", "(.*a){25}"])
def test_a_pattern_made_to_be_slow_is_not(pattern: str, here: Settings, tmp_path: Path) -> None:
    path = tmp_path / f"{'a' * 120}_.obo"
    path.write_text(obo(concept(1, "gout"), version=None))
    source = undeclared_source("x", "obo").model_copy(update={"version": pattern})
    started = time.process_time()
    try:
        ingest(source, [path], here, refuse=False)
    except BelinkError as error:
        assert "\n" not in str(error)
    assert time.process_time() - started < 5


def test_the_first_group_is_the_version() -> None:
    assert first_group(r"(\d{4}-\d{2}-\d{2})", "mondo-2025-09-02.obo") == "2025-09-02"
    assert first_group(r"(\d{4})", "mondo.obo") is None
    with pytest.raises(BelinkError, match="without references"):
        first_group(r"(a)\1", "aa")
