"""A Prefect server that does not answer, or does not start in time, is told in one line."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from belink.flows import environment


@pytest.mark.parametrize("words", environment.NO_SERVER)
def test_an_error_of_prefect_about_its_server_is_recognised_by_prefects_own_words(words: str) -> None:
    prefect = find_spec("prefect")
    assert prefect and prefect.origin
    files = ("client/orchestration/__init__.py", "server/api/server.py")
    assert any(words in (Path(prefect.origin).parent / name).read_text(encoding="utf-8") for name in files)
    assert environment.is_without_server(RuntimeError(f"{words}. Ephemeral server process exited with code 1."))


def test_other_errors_are_not_taken_for_a_missing_server() -> None:
    assert not environment.is_without_server(RuntimeError("a step failed"))
