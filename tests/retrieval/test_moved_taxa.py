"""A species that was moved is found by its former name; a name that papers use for one taxon is first that taxon's."""

from pathlib import Path

import numpy as np
import pytest

from belink.declarations import RetrievalConfig
from belink.records import Mention
from belink.retrieval import latin_names
from belink.retrieval.encoder import NoEncoder
from belink.retrieval.index import Index
from belink.retrieval.retrieve import retrieve
from tests.support import latin

TAXA = [
    (1, "root", "", "", "no_rank", 1),
    (10, "Anura", "", "", "order", 1),
    (8397, "Ranidae", "", "", "family", 10),
    (8399, "Rana", "", "", "genus", 8397),
    (192748, "Lithobates", "", "", "genus", 8397),
    (8382, "Bufonidae", "", "", "family", 10),
    (8383, "Bufo", "", "", "genus", 8382),
    (2000000, "Lithobates obscurata", "", "", "species", 192748),
    (8404, "Lithobates pipiens", "", "Northern leopard frog", "species", 192748),
    (7175, "Culex pipiens", "", "Culex pipiens", "species", 1),
    *((100 + step, f"Rank {step}", "", "", "no_rank", 101 + step) for step in range(4)),
    (104, "Rank 4", "", "", "no_rank", 1),
    (105, "Aphis", "", "", "genus", 100),
    (102, "Nakaseomyces", "", "", "genus", 1),
    (5478, "Nakaseomyces glabratus", "", "", "species", 102),
    (7215, "Drosophila", "", "Drosophila", "genus", 1),
    (7227, "Drosophila melanogaster", "fruit fly", "Drosophila melanogaster", "species", 7215),
    (200, "Platypus", "", "", "genus", 1),
    (9258, "Ornithorhynchus anatinus", "platypus", "", "species", 1),
    (12305, "Cucumber mosaic virus", "", "", "species", 1),
    (10092, "Mus musculus domesticus", "", "", "subspecies", 1),
    (224308, "Bacillus subtilis subsp. subtilis str. 168", "", "", "strain", 1),
]
LABELS = {f"NCBITaxon:{number}": name for number, name, *_ in TAXA}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return latin.index(tmp_path_factory.mktemp("index"), latin.release(tmp_path_factory.mktemp("moved"), TAXA))


def first(index: Index, text: str) -> str | None:
    (candidates,) = retrieve(index, NoEncoder(), [Mention(text=text)], RetrievalConfig())
    return LABELS[candidates[0].id] if candidates else None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Rana pipiens", "Lithobates pipiens"),  # the genus is near
        ("Torulopsella glabrata", "Nakaseomyces glabratus"),  # the genus is not known, and one species has the epithet
        ("Cullex pipiens", "Culex pipiens"),  # the genus is misspelt
        ("Drosophila", "Drosophila melanogaster"),
        ("platypus", "Ornithorhynchus anatinus"),
        ("Platypus", "Platypus"),
        ("M. m. domesticus", "Mus musculus domesticus"),
        ("Bacillus subtilis 168", "Bacillus subtilis subsp. subtilis str. 168"),
        ("CMV", "Cucumber mosaic virus"),
    ],
)
def test_a_taxon_is_found_as_papers_call_it(index: Index, text: str, label: str) -> None:
    assert first(index, text) == label


def test_a_species_of_a_genus_far_off_is_another_one(index: Index) -> None:
    assert index.latin_names is not None
    (near, nearness), (far, nothing) = index.latin_names.find_moved([("rana", "pipiens"), ("aphis", "pipiens")])
    assert (len(near), len(far)) == (1, 0)
    assert nearness > 0 and nothing == 0


def test_a_genus_is_nearer_the_fewer_ranks_are_between(index: Index) -> None:
    assert index.latin_names is not None
    asked = [("cullex", "pipiens"), ("rana", "pipiens"), ("bufo", "pipiens"), ("xus", "glabrata")]
    nearness = [value for _, value in index.latin_names.find_moved(asked)]
    assert nearness == sorted(nearness, reverse=True) and len(set(nearness)) == len(asked)
    assert all(0 < value <= 1 for value in nearness)


def test_an_obscure_species_is_found_by_a_near_genus_alone(index: Index) -> None:
    assert index.latin_names is not None
    (by_near, _), (by_unknown, _) = index.latin_names.find_moved([("rana", "obscurata"), ("xus", "obscurata")])
    assert len(by_near) == 1 and not len(by_unknown)


def test_names_that_resemble_a_species_are_looked_for_where_its_genus_is_not_near(index: Index) -> None:
    lists = retrieve(
        index, NoEncoder(), [Mention(text="Rana pipiens"), Mention(text="Culexella glabrata")], RetrievalConfig()
    )
    known = [[candidate for candidate in candidates if candidate.evidence.nearness > 0] for candidates in lists]
    assert len(lists[0]) == len(known[0]) and len(lists[1]) > len(known[1]) > 0


def test_evidence_says_how_near_the_genus_of_a_moved_species_is(index: Index) -> None:
    texts = ["Rana pipiens", "Lithobates pipiens", "L. pipiens", "Lithobates pipeins"]
    lists = retrieve(index, NoEncoder(), [Mention(text=text) for text in texts], RetrievalConfig())
    evidence = [candidates[0].evidence for candidates in lists]
    assert [each.nearness > 0 for each in evidence] == [True, False, False, False]
    assert [each.is_short_form for each in evidence] == [False, False, True, False]


def test_many_species_with_an_epithet_are_no_answer_where_the_genus_is_not_known(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latin_names, "_FEW", 1)
    assert index.latin_names is not None
    (many, _), (one, _) = index.latin_names.find_moved([("xus", "pipiens"), ("xus", "glabrata")])
    assert not len(many) and len(one)


def test_an_index_of_before_is_read_without_moved_species(index: Index, tmp_path: Path) -> None:
    for path in index.path.iterdir():
        if path.name.startswith(("short-keys", "prominence")):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    before = latin_names.LatinNames(tmp_path, index.table)
    assert [(len(rows), nearness) for rows, nearness in before.find_moved([("rana", "pipiens")])] == [(0, 0)]
    assert not before.is_second(np.arange(3), np.zeros(3, bool)).any()
