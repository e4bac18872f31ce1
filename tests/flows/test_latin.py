"""A linker of taxa is refreshed from a table to a champion, and by the next release at the cost of change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from belink.flows import refresh
from belink.linker.linker import Linker
from belink.records import Mention
from belink.registry import aliases
from belink.settings import Settings
from tests.support import latin

pytestmark = [pytest.mark.usefixtures("prefect"), pytest.mark.heavy]

# Bacillus cereus is merged, Zea mays renamed, and a nematode new.
AFTER = [
    *((4577, "Zea maizea", *row[2:]) if row[0] == 4577 else row for row in latin.TAXA if row[0] != 1396),
    (1900009, "Novinema primum", "", "", "species", 2759),
]


def run(here: Settings, folder: Path, taxa: list[Any], version: str, gates: str = "") -> dict[str, Any]:
    toml = latin.linker(folder / "taxa.toml", gates=gates)
    file = latin.table(folder / f"taxa-{version}.tsv", taxa)
    return refresh.run(here, str(toml), {"ncbitaxon": [file]}, versions={"ncbitaxon": version}).to_dict()


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, make_home: Callable[[Path], Settings], prefect_server: Path
) -> tuple[Settings, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("latin")
    here = make_home(folder)
    strict = '[gates.min_stratum_accuracy]\n"from short forms" = 0.5\n"from no such stratum" = 0.5'
    return here, [
        run(here, folder, latin.TAXA, "1", gates=strict),
        run(here, folder, latin.TAXA, "1"),
        run(here, folder, AFTER, "2"),
    ]


def champion(here: Settings) -> Linker:
    return Linker(aliases.bundle_path(here, "taxa", "champion")[0], here.cache)


def test_a_stratum_below_its_bound_or_without_mentions_refuses_the_linker(told: Any) -> None:
    gates = {gate["name"]: gate for gate in told[1][0]["gates"]}
    assert told[1][0]["outcome"] == "rejected"
    assert not gates["accuracy_at_1 from no such stratum"]["passed"]
    assert gates["accuracy_at_1 from short forms"]["value"] > 0.5


def test_a_linker_of_taxa_becomes_champion_and_so_does_the_next_release(told: Any) -> None:
    assert [outcome["outcome"] for outcome in told[1]] == ["rejected", "promoted", "promoted"]


@pytest.mark.parametrize(
    ("text", "number", "decided_by"),
    [
        ("Escherichia coli", 562, "exact"),
        ("E. coli", 562, "retrieval"),
        ("C.brenneri", 135651, "retrieval"),
        ("Novinema primum", 1900009, "exact"),
        ("Zea maizea", 4577, "exact"),
        ("Bacillus subtilis ATCC 6633", 1423, "retrieval"),
        ("zebrafish", 7955, "exact"),
    ],
)
def test_the_champion_links_what_papers_write(told: Any, text: str, number: int, decided_by: str) -> None:
    (link,) = champion(told[0]).link([Mention(text=text)])
    assert (link.id, link.decided_by) == (f"NCBITaxon:{number}", decided_by)


def test_a_short_form_of_several_taxa_is_less_probable_than_a_name(told: Any) -> None:
    name, short = champion(told[0]).link([Mention(text="Caenorhabditis brenneri"), Mention(text="C. brenneri")])
    assert short.probability < name.probability
    assert len(short.options) == 3
