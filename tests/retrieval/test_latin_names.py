"""A mention of a taxon finds it by its short form and without its strain; the well-known taxon comes first."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from belink.declarations import LinkerConfig, RetrievalConfig, load_linker
from belink.linker import features
from belink.ontology.prominence import count_descendants, measure_prominence
from belink.ontology.release import open_release
from belink.records import Candidate, Mention
from belink.retrieval.encoder import NoEncoder
from belink.retrieval.index import Index, build_index
from belink.retrieval.retrieve import retrieve
from tests.support import latin

SETTINGS = RetrievalConfig()
LABELS = {f"NCBITaxon:{number}": name for number, name, *_ in latin.TAXA}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return latin.release(tmp_path_factory.mktemp("latin"))


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> LinkerConfig:
    return load_linker(str(latin.linker(tmp_path_factory.mktemp("declared") / "taxa.toml")))


@pytest.fixture(scope="module")
def index(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return latin.index(tmp_path_factory.mktemp("index"), release)


def candidates(index: Index, *mentions: Mention | str) -> list[list[Candidate]]:
    asked = [Mention(text=mention) if isinstance(mention, str) else mention for mention in mentions]
    return retrieve(index, NoEncoder(), asked, SETTINGS)


def labels(found: list[Candidate]) -> list[str]:
    return [LABELS[candidate.id] for candidate in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("E. coli", ["Escherichia coli", "Entamoeba coli", "Enchytraeus coli"]),
        ("C.brenneri", ["Caenorhabditis brenneri", "Centruroides brenneri", "Clarkia brenneri"]),
        ("En. coli", ["Entamoeba coli", "Enchytraeus coli"]),
        ("Ae. aegypti", ["Aedes aegypti"]),
        ("A. aegypti", ["Aedes aegypti", "Anopheles aegypti"]),
        ("R. prolixus", ["Rhodnius prolixus"]),
        ("E. coli K-12", ["Escherichia coli K-12"]),
    ],
)
def test_a_short_form_proposes_all_taxa_that_it_may_stand_for_the_best_known_first(
    index: Index, text: str, expected: list[str]
) -> None:
    (found,) = candidates(index, text)
    assert labels(found)[:1] == expected[:1]
    assert sorted(labels(found)) == sorted(expected)
    assert all(each.evidence.is_short_form and not each.exact for each in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Escherichia coli strain XY-123", "Escherichia coli"),
        ("Escherichia coli str. K-12", "Escherichia coli K-12"),
        ("E. coli ATCC 25922", "Escherichia coli"),
        ("Rhodnius prolixus sp. nov.", "Rhodnius prolixus"),
        ("Rhodnius prolixsu", "Rhodnius prolixus"),
        ("yellow fever mosquitoes", "Aedes aegypti"),
        ("house mouse", "Mus musculus"),
    ],
)
def test_other_forms_of_a_name_find_the_taxon_first(index: Index, text: str, expected: str) -> None:
    (found,) = candidates(index, text)
    assert labels(found)[0] == expected


def test_names_that_resemble_a_known_name_are_not_looked_for(index: Index) -> None:
    known, misspelt = candidates(index, "Bacillus subtilis", "Bacillus subtilsi")
    assert labels(known) == ["Bacillus subtilis"]
    assert "Bacillus cereus" in labels(misspelt)
    (searched,) = retrieve(index, NoEncoder(), [Mention(text="Bacillus subtilis")], SETTINGS, settle=False)
    assert labels(searched)[0] == "Bacillus subtilis" and "Bacillus cereus" in labels(searched)


def test_evidence_says_which_name_the_mention_misspells(index: Index) -> None:
    (found,) = candidates(index, "Escherichia coil")
    assert [labels([each]) for each in found if each.evidence.is_misspelling] == [["Escherichia coli"]]
    (known,) = candidates(index, "Bacillus cereus")
    assert not known[0].evidence.is_misspelling


@pytest.mark.parametrize(
    ("text", "expected"),
    [("escherichio", False), ("EscheriChio", False), ("Escherichio", True), ("zebrafisk", True), ("Zebrafisk", True)],
)
def test_a_word_without_the_capital_of_a_genus_misspells_none(index: Index, text: str, expected: bool) -> None:
    (found,) = candidates(index, text)
    assert found[0].evidence.is_misspelling == expected


def test_a_long_form_of_the_document_rules_out_the_others(index: Index) -> None:
    (found,) = candidates(index, Mention(text="E. coli", long_form="Entamoeba coli"))
    assert labels(found) == ["Entamoeba coli"]


def test_a_long_form_of_a_renamed_genus_leaves_the_short_form_to_say_what_is_meant(index: Index) -> None:
    (found,) = candidates(index, Mention(text="L. plantarum", long_form="Lactobacillus plantarum"))
    assert labels(found)[0] == "Lactiplantibacillus plantarum"


def test_the_answer_does_not_depend_on_the_other_mentions(index: Index) -> None:
    texts = ["E. coli", "e coli", "Escherichia coli", "En. coli", "Bacillus subtilsi", "E. coli ATCC 25922"]
    assert candidates(index, *texts) == [candidates(index, text)[0] for text in texts]


def test_an_index_of_other_names_has_no_short_forms(release: Path, linker: LinkerConfig, tmp_path: Path) -> None:
    plain = linker.model_copy(update={"names": "any"})
    index = Index.load(build_index([release], plain, NoEncoder(), tmp_path).path)
    assert index.latin_names is None
    (found,) = candidates(index, "E. coli")
    assert found and not any(each.evidence.is_short_form or each.evidence.prominence for each in found)


def test_prominence_grows_with_names_articles_strains_and_age(release: Path) -> None:
    with open_release(release) as opened:
        table = measure_prominence(opened)
    prominence = dict(zip(table["id"].to_pylist(), table["prominence"].to_pylist(), strict=True))
    assert len(prominence) == len(latin.TAXA)
    assert all(value >= 0 for value in prominence.values())
    of = {LABELS[identifier]: value for identifier, value in prominence.items()}
    assert of["Escherichia coli"] - of["Staphylococcus aureus"] == pytest.approx(
        0.5 * np.log(3) + 0.4 * np.log(1280 / 562), abs=1e-4
    )
    assert of["Aedes aegypti"] > of["Rhodnius prolixus"] > of["Entamoeba coli"] > of["Enchytraeus coli"]


def test_descendants_are_counted_at_any_depth_and_cycles_end() -> None:
    #        0 ← 1 ← 2, 1 ← 3;  4 ↔ 5 ← 6
    parent = np.array([-1, 0, 1, 1, 5, 4, 5])
    assert count_descendants(parent).tolist() == [3, 2, 0, 0, 0, 1, 0]
    assert count_descendants(np.empty(0, np.int64)).tolist() == []


def test_features_of_taxa_are_zero_for_all_others() -> None:
    mention = Mention(text="x")
    others = [Candidate(id="X:1", label="x", name="x", ontology="", release="", score=1.0, exact=True)]
    row = dict(zip([f.name for f in features.RETRIEVAL], features.design(mention, others)[0], strict=True))
    assert (row["is_short_form"], row["is_misspelling"], row["prominence"]) == (0.0, 0.0, 0.0)
    of_list = features.nil(mention, others)
    assert (of_list["nil.any_short_form"], of_list["nil.any_misspelling"]) == (0.0, 0.0)


@given(st.lists(st.integers(0, len(latin.TAXA) - 1), min_size=1, unique=True), st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_index_of_the_next_release_is_the_one_made_from_nothing(
    linker: LinkerConfig, tmp_path_factory: pytest.TempPathFactory, left_out: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("releases")
    renamed = data.draw(st.lists(st.integers(0, len(latin.TAXA) - 1), unique=True))
    before = [
        (*taxon[:1], f"{taxon[1]}us", *taxon[2:]) if i in renamed else taxon for i, taxon in enumerate(latin.TAXA)
    ]
    before = [taxon for i, taxon in enumerate(before) if i not in left_out] or before[:1]
    old, new = latin.release(folder / "old", before), latin.release(folder / "new")
    first = build_index([old], linker, NoEncoder(), folder / "index")
    second = build_index([new], linker, NoEncoder(), folder / "index", previous=first.path)
    anew = build_index([new], linker, NoEncoder(), folder / "anew")
    assert second.path.name == anew.path.name
    # Weights of trigrams differ in their last bit.
    files = [path.name for path in anew.path.glob("*.npy") if not path.name.startswith("lexical")]
    assert "short-keys.npy" in files
    assert all((second.path / name).read_bytes() == (anew.path / name).read_bytes() for name in files)
