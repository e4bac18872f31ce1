"""An index holds every name of the live concepts once, and borrows every vector that the one before it has."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from belink import artefacts
from belink.declarations import EncoderConfig, LinkerConfig
from belink.errors import IndexMismatch, ReleaseError
from belink.ontology.release import open_release
from belink.retrieval import index, name_table, vectors
from belink.retrieval.encoder import Encoder
from belink.retrieval.index import Index, build_index
from belink.text.normalise import normalise
from tests.support.made_releases import concept, real_mondo, release, with_data

OLD = [
    concept(1, "type 2 diabetes mellitus", "NIDDM", "Type-2 Diabetes Mellitus", "T2DM"),
    concept(2, "type 1 diabetes mellitus", "IDDM", "T1DM"),
    concept(3, "Alzheimer disease", "AD", "Alzheimer's disease"),
    concept(4, "atopic dermatitis", "AD", "atopic eczema"),
    concept(5, "obsolete diabetes", "sugar disease", obsolete=True, replaced_by=[1]),
    concept(6),
    concept("OTHER:7", "pancreas"),
]
NEW = [*OLD[:3], concept(4, "atopic eczema", "AD", "atopic dermatitis", "neurodermatitis"), *OLD[4:]]
LIVE = {normalise(name.text) for each in OLD[:4] for name in each.synonyms} | {normalise(c.label) for c in OLD[:4]}


class Counting:
    """A real encoder that counts what it is asked."""

    def __init__(self, encoder: Encoder, *, dies_after: int | None = None) -> None:
        self.fingerprint, self.dimension = encoder.fingerprint, encoder.dimension
        self.asked: list[str] = []
        self._encoder, self._dies_after = encoder, dies_after

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        if self._dies_after is not None and len(self.asked) >= self._dies_after:
            raise KeyboardInterrupt
        self.asked += texts
        return self._encoder.encode(texts)


@pytest.fixture(scope="module")
def encoder(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(EncoderConfig(model=models["encoder"], pooling="mean"), tmp_path_factory.mktemp("cache"))


def linker(**changes: Any) -> LinkerConfig:
    return LinkerConfig(name="x", title="X", ontologies=("x",), **changes)


def concept_ids(opened: Index, name: str) -> list[str]:
    """The concepts that have the name, the one whose label it is first."""
    rows = opened.table.find([name])
    _, owners = opened.table.owners(rows[rows >= 0])
    owners = owners[np.argsort(opened.table.owner_scope[owners], kind="stable")]
    return opened.table.concepts(opened.table.owner_concept[owners])["id"]


def vectors_by_name(opened: Index) -> dict[str, bytes]:
    return {name: vector.tobytes() for name, vector in zip(opened.names(), opened.vectors.stored, strict=True)}


def test_every_name_of_the_live_concepts_is_held_once(tmp_path: Path, encoder: Encoder) -> None:
    counting = Counting(encoder)
    report = build_index([release(tmp_path / "1", *OLD)], linker(), counting, tmp_path / "index")
    opened = Index.load(report.path)
    assert sorted(opened.names()) == sorted(counting.asked) == sorted(LIVE)
    assert (report.names, report.encoded, report.reused) == (len(LIVE), len(LIVE), 0)
    assert opened.table.n_concepts == opened.manifest["concepts"] == 5
    assert "X:6" in opened and "X:5" not in opened and "OTHER:7" not in opened


def test_a_name_of_several_concepts_is_one_vector_with_several_owners(tmp_path: Path, encoder: Encoder) -> None:
    report = build_index([release(tmp_path / "1", *OLD)], linker(), encoder, tmp_path / "index")
    opened = Index.load(report.path)
    assert concept_ids(opened, "ad") == ["X:3", "X:4"]
    assert concept_ids(opened, "type 2 diabetes mellitus") == ["X:1"]
    assert concept_ids(opened, "sugar disease") == []
    (owner,) = opened.table.owners(opened.table.find(["type 2 diabetes mellitus"]))[1]
    assert opened.table.owner_texts(np.array([owner])) == ["type 2 diabetes mellitus"]  # the label's spelling is kept
    candidate = opened.candidate("X:3")
    assert (candidate.label, candidate.ontology, candidate.release) == ("Alzheimer disease", "x", "1")
    with pytest.raises(KeyError):
        opened.candidate("X:5")


def test_the_concept_whose_label_a_name_is_comes_first(tmp_path: Path, encoder: Encoder) -> None:
    concepts = [concept(1, "eczema", "dermatitis"), concept(2, "dermatitis")]
    report = build_index([release(tmp_path / "1", *concepts)], linker(), encoder, tmp_path / "index")
    assert concept_ids(Index.load(report.path), "dermatitis") == ["X:2", "X:1"]


def test_the_next_release_encodes_only_the_names_that_are_new(tmp_path: Path, encoder: Encoder) -> None:
    old = build_index([release(tmp_path / "1", *OLD)], linker(), encoder, tmp_path / "index")
    counting = Counting(encoder)
    new = release(tmp_path / "2", *NEW)
    report = build_index([new], linker(), counting, tmp_path / "index", previous=old.path)
    assert counting.asked == ["neurodermatitis"]
    assert (report.encoded, report.reused) == (1, len(LIVE))
    cold = build_index([new], linker(), encoder, tmp_path / "cold")
    warm_vectors, cold_vectors = (vectors_by_name(Index.load(path)) for path in (report.path, cold.path))
    assert warm_vectors.keys() == cold_vectors.keys()
    for name, vector in warm_vectors.items():
        pair = [np.frombuffer(raw, np.float16).astype(float) for raw in (vector, cold_vectors[name])]
        np.testing.assert_allclose(*pair, atol=2e-2)


def test_an_unchanged_release_costs_nothing(tmp_path: Path, encoder: Encoder) -> None:
    only = release(tmp_path / "1", *OLD)
    first = build_index([only], linker(), encoder, tmp_path / "index")
    counting = Counting(encoder)
    again = build_index([only], linker(), counting, tmp_path / "index", previous=first.path)
    assert again.path == first.path and counting.asked == [] and (again.encoded, again.reused) == (0, len(LIVE))


def test_another_encoder_lends_nothing(tmp_path: Path, encoder: Encoder, models: dict[str, str]) -> None:
    only = release(tmp_path / "1", *OLD)
    first = build_index([only], linker(), encoder, tmp_path / "index")
    other = Encoder.load(EncoderConfig(model=models["encoder"], pooling="cls"), tmp_path)
    report = build_index([only], linker(), other, tmp_path / "index", previous=first.path)
    assert report.path != first.path and (report.encoded, report.reused) == (len(LIVE), 0)
    with pytest.raises(IndexMismatch, match="encoder"):
        Index.load(first.path).check(other)


def test_a_killed_build_leaves_no_index_and_goes_on_where_it_was(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_SHARD", 2)
    only = release(tmp_path / "1", *OLD)
    killed = Counting(encoder, dies_after=4)
    with pytest.raises(KeyboardInterrupt):
        build_index([only], linker(), killed, tmp_path / "index")
    assert not [path for path in (tmp_path / "index").iterdir() if artefacts.exists(path)]
    counting = Counting(encoder)
    report = build_index([only], linker(), counting, tmp_path / "index")
    assert len(killed.asked) == 4 and sorted(killed.asked + counting.asked) == sorted(LIVE)
    assert report.encoded == len(LIVE)
    assert [path.name for path in (tmp_path / "index").iterdir() if not path.name.endswith(".lock")] == [
        report.path.name
    ]
    cold = build_index([only], linker(), encoder, tmp_path / "cold")
    assert vectors_by_name(Index.load(report.path)).keys() == vectors_by_name(Index.load(cold.path)).keys()


def test_several_ontologies_join_and_the_first_keeps_a_shared_concept(tmp_path: Path, encoder: Encoder) -> None:
    first = release(tmp_path / "1", concept(1, "melanoma"), concept(2, "naevus"), ontology="x")
    second = release(tmp_path / "2", concept(1, "malignant melanoma"), concept(3, "melanoma", "mole"), ontology="y")
    opened = Index.load(build_index([first, second], linker(), encoder, tmp_path / "index").path)
    assert concept_ids(opened, "melanoma") == ["X:1", "X:3"]
    assert concept_ids(opened, "malignant melanoma") == ["X:1"]
    assert [opened.candidate(each).ontology for each in ("X:1", "X:2", "X:3")] == ["x", "x", "y"]
    assert opened.candidate("X:1").label == "melanoma"
    assert set(opened.manifest["releases"]) == {"x", "y"}
    other_order = Index.load(build_index([second, first], linker(), encoder, tmp_path / "index").path)
    assert other_order.candidate("X:1").label == "malignant melanoma"
    third = release(tmp_path / "3", concept(9, "mole"), ontology="z")
    either = {build_index(each, linker(), encoder, tmp_path / "i").path for each in ([first, third], [third, first])}
    assert len(either) == 1  # without an id in both, the order decides nothing


def test_a_linker_may_offer_other_prefixes(tmp_path: Path, encoder: Encoder) -> None:
    only = release(tmp_path / "1", *OLD)
    report = build_index([only], linker(prefixes=("OTHER",)), encoder, tmp_path / "index")
    assert list(Index.load(report.path).names()) == ["pancreas"]


def test_a_release_without_names_makes_no_index(tmp_path: Path, encoder: Encoder) -> None:
    only = release(tmp_path / "1", *OLD)
    with pytest.raises(ReleaseError, match="expected live concepts with names"):
        build_index([only], linker(prefixes=("NONE",)), encoder, tmp_path / "index")
    assert not [path for path in (tmp_path / "index").iterdir() if path.is_dir()]


def test_exact_search_agrees_with_a_product_of_matrices(tmp_path: Path, encoder: Encoder) -> None:
    report = build_index([release(tmp_path / "1", *OLD)], linker(), encoder, tmp_path / "index")
    opened = Index.load(report.path)
    asked = encoder.encode(["diabetes", "eczema", "alzheimer"])
    rows, scores = opened.vectors.search(asked, 4)
    everything = asked @ opened.vectors.stored.astype(np.float32).T
    np.testing.assert_allclose(scores, -np.sort(-everything, axis=1)[:, :4], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(everything, rows, axis=1), scores, atol=1e-5)
    np.testing.assert_allclose(
        opened.vectors.cosines(asked, np.repeat(np.arange(3), 4), rows.ravel()), scores.ravel(), atol=1e-5
    )
    assert report.recall_at_10 == 1.0
    beyond, _ = opened.vectors.search(asked, len(LIVE) + 5)
    assert (np.sort(beyond, axis=1)[:, :5] == -1).all()


def many_concepts(n: int) -> list[Any]:
    parts = ["hepatic", "renal", "cardiac", "dermal", "ocular", "neural", "gastric", "lipid", "ossified", "familial"]
    ends = [
        "carcinoma",
        "dystrophy",
        "stenosis",
        "atrophy",
        "anomaly",
        "fibrosis",
        "adenoma",
        "failure",
        "palsy",
        "oedema",
    ]
    digits = [[int(digit) for digit in f"{i:04}"] for i in range(n)]
    return [concept(i, f"{parts[a]} {parts[b]} {ends[c]} type {d}") for i, (a, b, c, d) in enumerate(digits)]


@pytest.mark.heavy
def test_many_names_are_compressed_and_still_found(tmp_path: Path, encoder: Encoder) -> None:
    only = release(tmp_path / "1", *many_concepts(3000))
    declared = linker(retrieval={"exact_below": 1000}, evaluation={"index_queries": 200})
    report = build_index([only], declared, encoder, tmp_path / "index")
    opened = Index.load(report.path)
    assert (report.path / "index.faiss").is_file() and report.names == 3000
    assert 0.95 <= report.recall_at_10 == opened.manifest["recall_at_10"] <= 1.0
    asked = opened.vectors.stored[:50].astype(np.float32)
    rows, scores = opened.vectors.search(asked, 5)
    np.testing.assert_array_equal(rows[:, 0], np.arange(50))
    stored = opened.vectors.stored[rows].astype(np.float32)
    np.testing.assert_allclose(scores, np.einsum("ijk,ik->ij", stored, asked), atol=1e-3)


def test_names_too_few_to_compress_are_compared_exactly(tmp_path: Path, encoder: Encoder) -> None:
    report = build_index([release(tmp_path / "1", *OLD)], linker(retrieval={"exact_below": 0}), encoder, tmp_path)
    assert report.recall_at_10 == 1.0 and not (report.path / "index.faiss").exists()


@pytest.mark.heavy
def test_a_compressed_index_reads_as_many_lists_as_its_recall_needs(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Names of no families: the neighbours of one lie in many lists.
    only = release(tmp_path / "1", *(concept(i, artefacts.key(i)) for i in range(3000)))
    declared = linker(retrieval={"exact_below": 1000}, evaluation={"index_queries": 200})
    monkeypatch.setattr(vectors, "_LISTS_READ", 1)
    monkeypatch.setattr(vectors, "_RECALL", 0.0)
    careless = build_index([only], declared, encoder, tmp_path / "careless")
    monkeypatch.setattr(vectors, "_RECALL", 0.99)
    careful = build_index([only], declared, encoder, tmp_path / "careful")
    assert careless.recall_at_10 < 0.9 and careful.recall_at_10 >= 0.99
    lists_read = [Index.load(report.path).manifest["lists_read"] for report in (careless, careful)]
    assert lists_read[0] == 1 < lists_read[1] <= Index.load(careful.path).vectors.n_lists


def test_names_are_found_where_their_hashes_collide(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_table, "hashes", lambda names: np.array([len(name) % 3 for name in names], np.uint64))
    opened = Index.load(build_index([release(tmp_path / "1", *OLD)], linker(), encoder, tmp_path / "index").path)
    assert sorted(opened.names()) == sorted(LIVE)
    rows = opened.table.find(sorted(LIVE))
    assert list(opened.table.names(rows)) == sorted(LIVE)
    assert list(opened.table.find(["nothing", "", "diabetes"])) == [-1, -1, -1]


@pytest.mark.parametrize("collide", [False, True])
@pytest.mark.parametrize("with_letters", [True, False])
def test_a_name_is_found_by_its_letters_where_only_one_has_them(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch, collide: bool, with_letters: bool
) -> None:
    if collide:
        monkeypatch.setattr(name_table, "hashes", lambda names: np.array([len(name) % 2 for name in names], np.uint64))
    path = release(tmp_path / "1", concept(1, "oxo steroid", "PG E"), concept(2, "di oxane"), concept(3, "dio xane"))
    opened = Index.load(build_index([path], linker(), encoder, tmp_path / "index").path)
    if not with_letters:  # as the first indices were written
        for file in opened.path.glob("name-letters*"):
            file.unlink()
        opened = Index.load(opened.path)
    asked = ["oxosteroid", "oxo steroid", "pge", "dioxane", "oxosteroids", ""]
    found = opened.table.find_spelled(asked)
    name = "".join(opened.table.names(found[:1]))
    assert found.tolist() == [*opened.table.find(["oxo steroid"] * 2), -1, -1, -1, -1]
    assert name == "oxo steroid"


def test_an_index_of_another_normalisation_is_refused_but_lends_its_vectors(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = build_index([release(tmp_path / "1", *OLD)], linker(), encoder, tmp_path / "index")
    with pytest.raises(IndexMismatch, match="expected an index, found no complete one"):
        Index.load(tmp_path / "index")
    monkeypatch.setattr("belink.text.normalise.VERSION", -1)
    with pytest.raises(IndexMismatch, match="text_version -1"):
        Index.load(report.path)
    again = build_index([release(tmp_path / "1", *OLD)], linker(), encoder, tmp_path / "index", previous=report.path)
    assert (again.encoded, again.reused) == (0, report.names) and again.path != report.path
    assert Index.load(again.path).manifest["text_version"] == -1


@with_data
@pytest.mark.data
def test_a_real_release_reuses_all_but_its_new_names(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, encoder: Encoder
) -> None:
    here = real_mondo(tmp_path_factory)
    paths = [here.releases / "mondo" / version for version in ("2025-02-04", "2025-09-02")]

    class Hashed:
        """Stands for an encoder: 88,000 names through a real one take minutes."""

        fingerprint, dimension = "hashed", 8

        def encode(self, texts: Sequence[str]) -> np.ndarray:
            vectors = np.random.default_rng(0).standard_normal((len(texts), 8)).astype(np.float32)
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    declared = linker(evaluation={"index_queries": 100})
    old = build_index(paths[:1], declared, Hashed(), tmp_path)
    new = build_index(paths[1:], declared, Hashed(), tmp_path, previous=old.path)
    before, after = map(normalised_names, paths)
    assert (old.names, old.encoded) == (len(before), len(before))
    assert (new.names, new.encoded) == (len(after), len(after - before))
    assert set(Index.load(new.path).names()) == after


def normalised_names(path: Path) -> set[str]:
    with open_release(path) as opened:
        return {key for text in opened.names()["text"].to_pylist() if (key := normalise(text))}


def test_names_borrowed_from_an_index_are_those_that_it_would_make(tmp_path: Path) -> None:
    texts = ["Alzheimer’s Disease", "alzheimer disease", "TNF-α", "β-thalassaemia", "NIDDM", "(+)-x", "…"]
    tables = []
    for number, old in enumerate(([], texts[:4], texts[2:], texts)):
        before, after = tmp_path / f"{number}-before", tmp_path / f"{number}-after"
        borrowed = None
        if old:
            before.mkdir()
            name_table.build([of_release(old)], before)
            borrowed = name_table.NameTable.load(before)
        after.mkdir()
        name_table.build([of_release(texts)], after, previous=borrowed)
        tables.append({path.name: path.read_bytes() for path in sorted(after.iterdir())})
    assert all(table == tables[0] for table in tables)


def of_release(texts: Sequence[str]) -> name_table.OfRelease:
    ids = [f"X:{number}" for number in range(len(texts))]
    names = pa.record_batch({"concept_id": ids, "text": list(texts), "scope": ["label"] * len(texts)})
    concepts = pa.table({"id": ids, "label": list(texts)})
    return name_table.OfRelease(ontology="x", version="1", concepts=concepts, names=[names])
