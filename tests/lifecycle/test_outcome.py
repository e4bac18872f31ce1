"""The answer of a refresh says everything that a person has to know of the new version."""

from dataclasses import replace
from pathlib import Path

import pytest

from belink.cli import show
from belink.lifecycle import coverage, refresh
from belink.lifecycle.outcome import RefreshOutcome
from belink.linker.abstention import Abstention
from belink.records import GateResult
from belink.settings import Settings
from tests.support import small
from tests.support.made_releases import concept, release, source


def test_a_promotion_with_unmeasured_gates_says_so() -> None:
    gates = [
        GateResult(name="accuracy_at_1", value=1.0, bound=0.5, passed=True, measured=False),
        GateResult(name="index_recall_at_10", value=1.0, bound=0.95, passed=True),
    ]
    outcome = RefreshOutcome(linker="mine", outcome="promoted", version="1", champion="1", gates=gates)
    assert outcome.summary() == "promoted, version 1; not measured: accuracy_at_1"
    answer = outcome.to_dict()
    assert answer["unmeasured_gates"] == ["accuracy_at_1"]
    assert [gate["measured"] for gate in answer["gates"]] == [False, True]


def test_an_id_of_two_ontologies_is_said_with_both_labels(
    here: Settings, tmp_path: Path, models: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    run = refresh.start(here, str(small.linker(tmp_path, models)))
    sources = {name: replace(run.ontologies[small.ONTOLOGY], source=source(name)) for name in ("b", "a")}
    releases = {
        "a": release(tmp_path / "1", concept(1, "naevus"), ontology="a"),
        "b": release(tmp_path / "2", concept(1, "mole"), ontology="b"),
    }
    with caplog.at_level("WARNING", logger="belink"):
        shared = coverage.shared_ids(replace(run, ontologies=sources), releases)
    words = "ids in several of its ontologies: 1; the first declared names them: X:1 is 'mole' in b and 'naevus' in a"
    assert words in caplog.text
    assert shared == {"concepts": 1, "examples": [{"id": "X:1", "labels": {"b": "mole", "a": "naevus"}}]}
    outcome = RefreshOutcome(linker="mine", outcome="promoted", version="1", champion="1", shared_ids=shared)
    assert outcome.to_dict()["shared_ids"] == shared
    assert words in show.refreshed(outcome.to_dict())
    assert "shared_ids" not in RefreshOutcome(linker="m", outcome="promoted", version="1", champion="1").to_dict()


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (Abstention(declared=0.9, bound=0.62, precision=0.91, kept=0.7, n=300), "a bound of 0.62 keeps"),
        (
            Abstention(declared=0.9, bound=0.9, precision=0.8, kept=0.1, n=300),
            "PRECISION 0.90 IN RAW TEXT IS NOT REACHED",
        ),
        (Abstention(declared=0.9, n=7), "not measured on 7 links"),
        (Abstention(declared=0.9, n=0), "declare a corpus ([[corpora]])"),
    ],
)
def test_an_outcome_says_which_bound_was_chosen_and_what_it_reaches(chosen: Abstention, words: str) -> None:
    outcome = RefreshOutcome(linker="mine", outcome="promoted", version="1", champion="1", abstention=chosen)
    assert words in outcome.summary()
    assert words in show.refreshed(outcome.to_dict())
    assert Abstention.from_dict(outcome.to_dict()["abstention"]) == chosen
    without = RefreshOutcome(linker="mine", outcome="promoted", version="1", champion="1")
    assert "abstention" not in without.to_dict()
