"""Names that a declaration adds belong to their concept alone, and to no concept that the source does not list."""

import gzip
import os
from pathlib import Path

import pytest

from belink.declarations import NamesKept, SourceConfig, load_source
from belink.ontology import added_names
from belink.ontology.ingest import Ingested, ingest, reading_content
from belink.ontology.release import open_release
from belink.settings import Settings

DATA = os.environ.get("BELINK_DATA")
OBO = """format-version: 1.2
data-version: 1

[Term]
id: X:1
name: Mus
synonym: "mice" EXACT []
synonym: "Mice" RELATED []

[Term]
id: X:2
name: Mus musculus
synonym: "house mouse" EXACT []
synonym: "HM" BROAD []

[Term]
id: X:3
name: Rat

[Term]
id: X:4
name: obsolete mouse
is_obsolete: true
replaced_by: X:2

[Term]
id: X:5
name: obsolete grey mouse
is_obsolete: true
replaced_by: X:4

[Term]
id: X:6
name: obsolete rodent
is_obsolete: true
replaced_by: X:1
replaced_by: X:3

[Term]
id: X:7
name: Rabbit
alt_id: X:8
"""


def release_of(home: Path, added: dict[str, tuple[str, ...]]) -> Ingested:
    path = home / "x.obo"
    path.write_text(OBO)
    source = SourceConfig(
        name="x", title="X", format="obo", prefixes=("X",), licence="CC0 1.0", names=NamesKept(added=added)
    )
    return ingest(source, [path], Settings(home=home / "home", cache=home, tracking_uri=""))


def names_of(done: Ingested, concept_id: str) -> set[tuple[str, str, str]]:
    with open_release(done.path) as release:
        concept = release.concept(concept_id)
        assert concept is not None
        return {(name.text, name.scope, name.type) for name in concept.synonyms}


def test_an_added_name_is_an_exact_name_of_its_concept_and_of_no_other(tmp_path: Path) -> None:
    done = release_of(tmp_path, {"X:2": ("mice", "house mouse", "HM", "rat")})
    assert names_of(done, "X:2") == {
        ("house mouse", "exact", "added"),
        ("HM", "broad", ""),
        ("mice", "exact", "added"),
        ("HM", "exact", "added"),
        ("rat", "exact", "added"),
    }
    assert names_of(done, "X:1") == set()
    with open_release(done.path) as release:
        other = release.concept("X:3")
        assert added_names.read(release) == ["house mouse", "mice", "HM", "rat"]
    assert other is not None and other.label == "Rat", "a label stays"
    assert (done.rejected, done.repaired) == (0, 2)


def test_a_replaced_id_leads_to_its_successor_and_an_unknown_one_nowhere(tmp_path: Path) -> None:
    done = release_of(tmp_path, {"X:4": ("laboratory mouse",), "X:9": ("mice", "dragon")})
    assert ("laboratory mouse", "exact", "added") in names_of(done, "X:2")
    assert names_of(done, "X:1") == {("mice", "exact", ""), ("Mice", "related", "")}
    assert (done.rejected, done.repaired) == (0, 2)


@pytest.mark.parametrize(
    ("written", "concept"),
    [
        ("x:2", "X:2"),
        ("X_2", "X:2"),
        ("http://purl.obolibrary.org/obo/X_2", "X:2"),
        ("X:5", "X:2"),  # over two steps
        ("X:8", "X:7"),  # an alternative id
    ],
)
def test_an_id_counts_in_any_form_and_over_every_step_of_its_replacement(
    tmp_path: Path, written: str, concept: str
) -> None:
    done = release_of(tmp_path, {written: ("dragon",), concept: ("dragon",)})
    with open_release(done.path) as release:
        assert release.rows("SELECT concept_id, text, type FROM name WHERE type = 'added'") == [
            (concept, "dragon", "added")
        ]
    assert (done.rejected, done.repaired) == (0, 0)


def test_an_id_with_two_successors_gives_its_names_to_neither(tmp_path: Path) -> None:
    done = release_of(tmp_path, {"X:6": ("dragon",)})
    with open_release(done.path) as release:
        assert added_names.read(release) == []
    assert (done.rejected, done.repaired) == (0, 1)


def test_another_set_of_added_names_is_another_reading(tmp_path: Path) -> None:
    plain, added = (
        load_source("hp").model_copy(update={"names": NamesKept(added=each)}) for each in ({}, {"X:1": ("a",)})
    )
    assert "added" not in reading_content(plain)["names"]
    assert reading_content(added)["names"]["added"] == {"X:1": ["a"]}


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="BELINK_DATA is not set")
def test_every_shipped_added_name_belongs_to_one_taxon_of_the_table() -> None:
    added = load_source("ncbitaxon").names.added
    names = [name.casefold() for group in added.values() for name in group]
    assert len(set(names)) == len(names)
    with gzip.open(Path(str(DATA)) / "ncbitaxon/taxa.tsv.gz", "rt", encoding="utf-8") as lines:
        taxa = {"NCBITaxon:" + line.split("\t")[0] for line in lines}
    assert added.keys() <= taxa
