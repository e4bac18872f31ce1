import threading
from pathlib import Path

import pytest

from belink import artefacts, settings
from belink.errors import ReleaseError, SourceError
from belink.ontology.release import (
    DATABASE,
    compare,
    latest,
    list_releases,
    open_release,
    release_path,
    shared_concepts,
)
from belink.ontology.release_writer import ReleaseWriter
from belink.records import Concept, Name, Rejection
from tests.support.made_releases import concept, release, source

FULL = Concept(
    id="X:1",
    label='a "quoted" | piped\tlabel',
    definition="it's\na definition; DROP TABLE concept;--",
    synonyms=(
        Name(text="β-thalassémie", scope="exact", type="OMO:0003012", language="fr", source="SAB"),
        Name(text="", scope="related"),
    ),
    obsolete=True,
    replaced_by=("X:2", "X:3"),
    consider=("X:4",),
    alt_ids=("X:9", "X:8"),
    parents=("X:5", "Y:1"),
    relationships=(("part_of", "X:6"), ("has'quote", "X:7")),
    xrefs=("MESH:D1", "OMIM:2"),
    memberships=(("subset", "slim"), ("tree_number", "C01.2")),
)


def test_a_concept_comes_back_as_it_was_written(tmp_path: Path) -> None:
    with open_release(release(tmp_path / "1", FULL)) as opened:
        assert opened.concept("X:1") == FULL
        assert opened.concept("X:404") is None


@pytest.mark.heavy
def test_more_concepts_than_one_batch_keep_their_order(tmp_path: Path) -> None:
    many = [concept(n, f"label {n}", f"synonym {n}") for n in range(45_000)]
    with open_release(release(tmp_path / "1", *many)) as opened:
        assert opened.concepts_table()["id"].to_pylist() == [each.id for each in many]
        names = opened.names()
        assert names["text"].to_pylist()[-2:] == ["label 44999", "synonym 44999"]
        assert names.num_rows == 90_000
        batches = list(opened.name_batches(rows=20_000))
        assert len(batches) > 2
        assert [text for batch in batches for text in batch["text"].to_pylist()] == names["text"].to_pylist()


def test_only_live_names_of_the_ontology_itself_are_offered(tmp_path: Path) -> None:
    path = release(
        tmp_path / "1", concept(1, "a", "b"), concept(2, "old", obsolete=True), concept("Y:1", "other"), concept(3)
    )
    with open_release(path) as opened:
        assert opened.names().to_pydict() == {
            "concept_id": ["X:1", "X:1"],
            "text": ["a", "b"],
            "scope": ["label", "exact"],
        }
        assert opened.names(live=False)["text"].to_pylist() == ["a", "b", "old"]
        assert opened.names(own=False)["text"].to_pylist() == ["a", "b", "other"]
        assert opened.names(prefixes=["Y"])["text"].to_pylist() == ["other"]
        assert opened.concepts_table()["label"].to_pylist() == ["a", None]


def test_an_ontology_without_declared_prefixes_owns_everything(tmp_path: Path) -> None:
    with ReleaseWriter(tmp_path / "x.duckdb", source(prefixes=())) as into:
        into.concepts([concept(1), concept("Y:2"), Concept(id="no-prefix", label="n")])
        assert into.counts()["own"] == 3
        assert into.counts()["by_prefix"] == {"": 1, "X": 1, "Y": 1}


def test_names_that_the_declaration_does_not_keep_are_left_out(tmp_path: Path) -> None:
    names = (
        Name(text="exact", scope="exact", language="en"),
        Name(text="nah", scope="related"),
        Name(text="genau", scope="exact", language="de"),
        Name(text="unsaid", scope="exact"),
    )
    kept = source(names={"scopes": ("label", "exact"), "languages": ("en",)})
    with ReleaseWriter(tmp_path / "x.duckdb", kept) as into:
        into.concepts([Concept(id="X:1", label="a", synonyms=names)])
        assert into.sql("SELECT text FROM name ORDER BY rowid") == [("a",), ("exact",), ("unsaid",)]


def test_an_obsolete_id_gives_its_successors(tmp_path: Path) -> None:
    path = release(
        tmp_path / "1",
        concept(1, "live"),
        concept(2, obsolete=True, replaced_by=(1,)),
        concept(3, obsolete=True, replaced_by=(2,)),
        concept(4, obsolete=True, replaced_by=(3, 9)),
        concept(5, obsolete=True, replaced_by=(6,)),
        concept(6, obsolete=True, replaced_by=(5,)),
        concept(8, obsolete=True),
        concept(9, "live too", alt_ids=(7, 1)),
    )
    successors = {
        "X:1": ("X:1",),
        "X:2": ("X:1",),  # replaced_by
        "x_2": ("X:1",),  # another form of it
        "X:3": ("X:1",),  # by an obsolete one, which is replaced itself
        "X:4": ("X:1", "X:9"),  # two of them
        "X:5": (),  # in a circle
        "X:7": ("X:9",),  # an alternative id without a frame of its own
        "X:8": (),  # obsolete, no word on what stands for it
        "X:404": (),
    }
    with open_release(path) as opened:
        assert opened.successors(successors.keys()) == successors
        assert {identifier: opened.successor(identifier) for identifier in successors} == successors
        assert opened.successors([]) == {}


def test_threads_may_share_a_release(tmp_path: Path) -> None:
    found: list[int] = []
    with open_release(release(tmp_path / "1", *(concept(n, f"n{n}") for n in range(500)))) as opened:
        threads = [
            threading.Thread(target=lambda: found.extend(opened.names().num_rows for _ in range(20))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [500] * 80


def test_a_release_cannot_be_changed(tmp_path: Path) -> None:
    path = release(tmp_path / "1", concept(1, "a"))
    with open_release(path) as opened, pytest.raises(Exception, match="read-only"):
        opened.rows("DELETE FROM concept")
    with compare(path, path) as connection, pytest.raises(Exception, match="read-only"):
        connection.execute("DELETE FROM old.concept")


def test_text_that_is_no_unicode_is_kept_as_near_as_it_goes(tmp_path: Path) -> None:
    with open_release(release(tmp_path / "1", concept(1, "half \ud800 a pair", "nul \x00 byte"))) as opened:
        assert opened.names()["text"].to_pylist() == ["half ? a pair", "nul \x00 byte"]


def test_rejections_are_stored_with_line_and_reason_and_cut(tmp_path: Path) -> None:
    rejected = [
        Rejection(line=7, text="x" * 900, reason="why"),
        Rejection(line=None, text="y", reason="z", repaired=True),
    ]
    with open_release(release(tmp_path / "1", concept(1), rejections=rejected)) as opened:
        first, second = opened.rejections()
        assert (first.line, len(first.text), first.reason, first.repaired) == (7, 500, "why", False)
        assert second == rejected[1]


def test_of_two_concepts_with_one_id_the_first_stays_and_the_other_is_counted(tmp_path: Path) -> None:
    with ReleaseWriter(tmp_path / "x.duckdb", source()) as into:
        into.concepts([concept(1, "first"), concept(2, "b"), concept(1, "second")])
        assert into.drop_repeated() == 1
        assert into.sql("SELECT id, label FROM concept ORDER BY rowid") == [("X:1", "first"), ("X:2", "b")]
        assert into.counts()["rejected"] == 1


def test_branches_keep_descendants_and_obsolete_ids_that_lead_to_them(tmp_path: Path) -> None:
    with ReleaseWriter(tmp_path / "x.duckdb", source()) as into:
        into.concepts(
            [
                concept(1, "root"),
                concept(2, "kept", "s", parents=(1,)),
                concept(3, "kept too", parents=(2, 9)),
                concept(4, "kept in a circle", parents=(3, 4)),
                concept(5, "gone", parents=(9,)),
                concept(6, "obsolete kept", obsolete=True, replaced_by=(3,)),
                concept(7, "obsolete gone", "t", obsolete=True, replaced_by=(5,)),
                concept(8, "replaced by an obsolete one", obsolete=True, replaced_by=(6,)),
                concept(9, "other root"),
            ]
        )
        into.keep_branches(["X:1"])
        kept = [row[0] for row in into.sql("SELECT id FROM concept ORDER BY id")]
        assert kept == ["X:1", "X:2", "X:3", "X:4", "X:6", "X:8"]
        assert into.counts()["names"] == 7
        assert into.sql("SELECT count(*) FROM replaced_by") == [(2,)]
        with pytest.raises(SourceError, match="X:404"):
            into.keep_branches(["X:1", "X:404"])


def test_columns_go_in_whole_or_not_at_all(tmp_path: Path) -> None:
    with ReleaseWriter(tmp_path / "x.duckdb", source()) as into:
        into.insert("parent", {"parent_id": ["X:1"], "concept_id": ["X:2"]})
        assert into.sql("SELECT concept_id, parent_id FROM parent") == [("X:2", "X:1")]
        with pytest.raises(ValueError, match="expected columns concept_id, parent_id"):
            into.insert("parent", {"concept_id": ["X:2"]})


def test_releases_are_listed_in_the_order_of_making_and_half_made_ones_not_at_all(tmp_path: Path) -> None:
    here = settings.load(tmp_path)
    assert latest(here, "x") is None
    release(release_path(here, "x", "b"), concept(1), created="2025-01-01")
    release(release_path(here, "x", "a"), concept(1), created="2025-02-01")
    (here.releases / "x" / "c").mkdir()
    release(here.releases / "x" / ".tmp-d-1-2", concept(1), created="2026-01-01")
    assert [path.name for path in list_releases(here, "x")] == ["b", "a"]
    assert latest(here, "x") == here.releases / "x" / "a"


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", ".hidden", "x" * 101, "a b", "nul\x00"])
def test_a_version_cannot_climb_out_of_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReleaseError, match="expected of a version"):
        release_path(settings.load(tmp_path), "x", name)
    with pytest.raises(ReleaseError, match="expected of a name"):
        release_path(settings.load(tmp_path), name, "1")


def test_an_incomplete_release_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="found no complete one"):
        open_release(tmp_path)
    path = release(tmp_path / "1", concept(1))
    (path / DATABASE).write_bytes(b"not a database" * 1000)
    with pytest.raises(ReleaseError, match="expected a readable release") as error:
        open_release(path)
    assert "\n" not in str(error.value)
    artefacts.write_manifest(path, {"format": 99})
    with pytest.raises(ReleaseError, match="format 1, found 99"):
        open_release(path)


def test_concepts_of_several_ontologies_are_found_with_the_label_of_each(tmp_path: Path) -> None:
    x = release(tmp_path / "1", concept(1, "Melanoma"), concept(2, "naevus"), concept(3, "gout"), concept("O:1", "a"))
    again = [concept(1, "melanoma"), concept(2, "mole"), concept(3, "gout", obsolete=True), concept("O:1", "b")]
    y = release(tmp_path / "2", *again, ontology="y")
    mole = {"id": "X:2", "labels": {"y": "mole", "x": "naevus"}}
    melanoma = {"id": "X:1", "labels": {"y": "melanoma", "x": "Melanoma"}}
    assert shared_concepts({"y": y, "x": x}) == [mole, melanoma]  # other labels first; live ones only
    assert list(shared_concepts({"y": y, "x": x})[0]["labels"]) == ["y", "x"]
    assert shared_concepts({"x": x, "y": y}, ["O"]) == [{"id": "O:1", "labels": {"x": "a", "y": "b"}}]
    assert shared_concepts({"x": x}) == []
