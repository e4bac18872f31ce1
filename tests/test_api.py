"""The Python API: two lines to a link, examples that run, and an import that costs nothing."""

import doctest
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import belink
from belink.linker import linker as linker_module
from belink.ontology.release import open_release
from belink.registry import aliases
from belink.registry import open as open_module
from belink.settings import Settings
from tests.support import small
from tests.support.serving import Made

TEXT = "She has rheumatoid arthritis."
_HEAVY = "numpy pydantic duckdb pyarrow torch sklearn mlflow sqlalchemy transformers prefect pandas".split()


@pytest.fixture
def home(served_home: Made, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The default home, with a champion of ``sample``."""
    version = served_home.register("sample", small.RELEASES[1])
    aliases.promote(served_home.here, "sample", version)
    monkeypatch.setenv("BELINK_HOME", str(served_home.here.home))
    monkeypatch.setenv("BELINK_CACHE", str(served_home.here.cache))
    yield served_home.here


@pytest.mark.parametrize("module", [belink, open_module, linker_module], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_run(home: Settings, module: object) -> None:
    examples = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert examples
    for example in examples:
        example.globs = {"belink": belink, "linker": belink.load("sample")}
        result = doctest.DocTestRunner().run(example)
        assert result.failed == 0, example.name


def test_every_form_of_reference_opens_the_same_bundle(home: Settings) -> None:
    path, version = aliases.bundle_path(home, "sample")
    references = [
        "sample",
        "sample@champion",
        f"sample@{version}",
        "models:/sample@champion",
        f"models:/sample/{version}",
    ]
    linkers = [belink.load(reference) for reference in references]
    linkers += [belink.load(path), belink.load(str(path)), belink.load("sample", home=home.home)]
    assert {linker.path for linker in linkers} == {path}
    answers = {tuple((link.id, link.probability) for link in linker.link_text(TEXT)) for linker in linkers}
    assert len(answers) == 1
    assert [linker.lineage["model_version"] for linker in linkers] == [version] * 5 + ["", "", version]


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("nowhere", "nowhere@champion: expected a registered version"),
        ("sample@99", "no version 99; registered: "),
        ("models:/sample/99", "no version 99"),
        ("./no/bundle", "expected the folder of a bundle, found nothing"),
        (Path("tests"), "expected the folder of a bundle, found a folder without manifest.json"),
    ],
)
def test_what_cannot_be_opened_is_named(home: Settings, reference: str | Path, says: str) -> None:
    with pytest.raises(belink.BelinkError, match=says.replace(".", r"\.")):
        belink.load(reference)


def test_search_gives_successors_of_an_obsolete_id_and_concept_describes_it(home: Settings) -> None:
    linker = belink.load("sample")
    with open_release(linker.path / "releases" / small.ONTOLOGY) as release:
        ((old, new), *_) = release.rows(
            "SELECT concept_id, replacement_id FROM replaced_by JOIN concept c ON c.id = replacement_id "
            "JOIN concept o ON o.id = concept_id WHERE NOT c.obsolete AND o.obsolete ORDER BY ALL"
        )
    assert [candidate.id for candidate in linker.search(old)] == [new]
    assert linker.look_up(old)[1][0].startswith(old)
    concept = linker.concept(old)
    assert concept is not None
    assert concept.obsolete
    assert linker.concept("MONDO:none") is None


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(belink, name) is not None for name in belink.__all__)
    assert set(belink.__all__) <= set(dir(belink))
    with pytest.raises(AttributeError, match="nothing"):
        belink.nothing  # noqa: B018


def test_importing_belink_loads_nothing_heavy() -> None:
    code = f"import sys, belink; print(*sorted(set({_HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.split() == []


def test_the_file_that_loads_the_first_registered_models_still_runs(home: Settings) -> None:
    path, _ = aliases.bundle_path(home, "sample")
    code = f"""
from pathlib import Path
from belink import by_reference, settings
from belink.link import Linker
here = settings.load()
linker = Linker(by_reference.resolved(here, Path({str(path)!r})), here.cache)
print(linker.link_text({TEXT!r})[0].mention.text)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "rheumatoid arthritis"


@pytest.mark.parametrize(
    ("exact", "lexical", "dense", "shown"),
    [(True, 0.0, 0.0, True), (False, 0.2, 0.5, False), (False, 0.6, 0.1, True), (False, 0.0, 0.6, True)],
)
def test_a_search_leaves_out_what_does_not_resemble_the_query(
    home: Settings, exact: bool, lexical: float, dense: float, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    linker = belink.load("sample")
    candidate = belink.Candidate(
        id="MONDO:1", label="a", name="a", ontology="o", release="1", exact=exact, lexical=lexical, dense=dense
    )
    monkeypatch.setattr("belink.linker.linker.retrieve", lambda *_, **__: [[candidate]])
    assert linker.search("zzzzqqq") == [candidate] * shown
