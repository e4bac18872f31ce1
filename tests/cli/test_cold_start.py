"""A command imports what it needs and no more: exact names are linked without a model and without MLflow."""

import os
import subprocess
import sys

import pytest

from belink.linker.linker import Linker
from belink.registry import aliases
from tests.support import small
from tests.support.serving import Made

HEAVY = "torch sklearn transformers sentence_transformers peft mlflow sqlalchemy alembic prefect fastapi pandas lxml"
_RUN = f"""
import atexit, sys
heavy = {HEAVY.split()!r}
atexit.register(lambda: print("loaded:", *[name for name in heavy if name in sys.modules], file=sys.stderr))
from belink.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def home(served_home: Made) -> Made:
    version = served_home.register("cold", small.RELEASES[1])
    aliases.promote(served_home.here, "cold", version)
    return served_home


def loaded(home: Made, *arguments: str) -> set[str]:
    """Which heavy libraries ``belink`` with ``arguments`` has imported when it ends."""
    command = [sys.executable, "-c", _RUN, "--home", str(home.here.home), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("loaded:")[2].split())


def exact_name(home: Made) -> str:
    """A name that the linker settles by itself, without its re-ranker."""
    path, _ = aliases.bundle_path(home.here, "cold")
    linker = Linker(path, home.here.cache)
    names = [name for name in linker.index.names() if len(name) > 12 and name.replace(" ", "").isalpha()]
    for name in names[:200]:
        links = linker.link_text(f"A case of {name}.")
        if [link.decided_by for link in links] == ["exact"]:
            return name
    raise AssertionError("expected a name that is settled by an exact match, found none")


def test_linking_exact_names_loads_no_model_and_no_registry(home: Made) -> None:
    assert loaded(home, "link", f"A case of {exact_name(home)}.", "--linker", "cold") == set()


@pytest.mark.parametrize("query", ["rheumatoid arthritis", "MONDO:0008383"])
def test_searching_a_name_or_an_id_loads_no_model_and_no_registry(home: Made, query: str) -> None:
    assert loaded(home, "search", query, "--linker", "cold") == set()


def test_a_name_of_no_concept_needs_the_encoder_but_no_registry(home: Made) -> None:
    needed = loaded(home, "search", "quite another illness", "--linker", "cold")
    assert "torch" in needed
    assert not needed & {"mlflow", "sqlalchemy", "alembic", "prefect", "fastapi"}


def test_status_loads_no_registry(home: Made) -> None:
    assert not loaded(home, "status") & {"mlflow", "sqlalchemy", "alembic", "prefect", "torch"}


def test_help_and_version_load_nothing(home: Made) -> None:
    for arguments in (["--help"], ["link", "--help"], ["--version"]):
        assert loaded(home, *arguments) == set()
