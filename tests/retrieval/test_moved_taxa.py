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
        ("Torulopsis glabrata", "Nakaseomyces glabratus"),  # the genus is not known, and one species has the epithet
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
    near, far = index.latin_names.find_moved([("rana", "pipiens"), ("aphis", "pipiens")])
    assert (len(near), len(far)) == (1, 0)


def test_many_species_with_an_epithet_are_no_answer_where_the_genus_is_not_known(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latin_names, "_FEW", 1)
    assert index.latin_names is not None
    many, one = index.latin_names.find_moved([("xus", "pipiens"), ("xus", "glabrata")])
    assert not len(many) and len(one)


def test_an_index_of_before_is_read_without_moved_species(index: Index, tmp_path: Path) -> None:
    for path in index.path.iterdir():
        if path.name.startswith(("short-keys", "prominence")):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    before = latin_names.LatinNames(tmp_path, index.table)
    assert [len(rows) for rows in before.find_moved([("rana", "pipiens")])] == [0]
    assert not before.is_second(np.arange(3), np.zeros(3, bool)).any()
