"""README's commands and Python do what README says, on a linker of tiny models that is named as README's."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from belink.cli.main import belink
from belink.registry import aliases
from tests.support import guides, small
from tests.support.serving import Made

# What asks a publisher, builds the real linker, or runs until it is stopped; tests of its own run each of them.
ELSEWHERE = ("demo", "refresh", "serve", "--help")
LINES = [text for _, text in guides.calls("belink", ("README.md",)) if not text.startswith(ELSEWHERE)]


@pytest.fixture(scope="module")
def home(served_home: Made) -> Path:
    """A home with the linker ``sample`` in two versions, of which the second is champion."""
    for number, version in enumerate(small.RELEASES, 1):
        aliases.promote(served_home.here, "sample", served_home.register("sample", version, number))
    return served_home.here.home


@pytest.fixture(autouse=True)
def _readers_folder(served_home: Made, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where a reader works, with the files that README names."""
    monkeypatch.setenv("BELINK_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    Path("notes.jsonl").write_text('{"id": "1", "text": "He has type 2 diabetes mellitus."}\n', encoding="utf-8")
    yield
    aliases.promote(served_home.here, "sample", "2")  # README rolls it back


@pytest.mark.parametrize("line", LINES)
def test_every_command_of_readme_runs(line: str) -> None:
    ran = CliRunner().invoke(belink, shlex.split(line), catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.strip()


@pytest.fixture
def my_pipeline() -> None:
    """What README calls ``my_pipeline``: a pipeline that finds one entity."""
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "DISEASE", "pattern": "COPD"}])
    nlp.to_disk("my_pipeline")


@pytest.mark.usefixtures("my_pipeline")
@pytest.mark.parametrize("source", guides.blocks("README.md", "python"))
def test_the_python_of_readme_runs(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(source, "README.md", "exec"), {})
    assert "COPD" in capsys.readouterr().out
