"""Every mention of a text has one cause of change, and the difference of the releases explains what it can."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belink import artefacts
from belink.corpora.links import write_links
from belink.corpora.past_links import read_links, releases_of
from belink.errors import CorpusError
from belink.evaluation import run_impact
from belink.evaluation.impact import CAUSES, Cause, ReleaseChanges, compare_links, release_changes
from belink.lifecycle import watch
from belink.records import Candidate, Document, Link, Mention
from tests.support.made_releases import concept, release

LABELS = {"X:1": "asthma", "X:2": "gout", "X:3": "scurvy", "X:4": "plague", "X:7": "vitamin C deficiency"}


def link(start: int, text: str, concept_id: str | None, *, document: str = "a", name: str = "") -> Link:
    mention = Mention(text=text, start=start, end=start + len(text), document=document, sentence=f"It is {text}.")
    candidate = None
    if concept_id is not None:
        label = LABELS.get(concept_id, "")
        candidate = Candidate(id=concept_id, label=label, name=name or text, ontology="x", release="1")
    return Link(mention=mention, candidate=candidate, probability=0.75)


_starts = st.integers(0, 30)
_texts = st.sampled_from(["gout", "asthma", "scurvy", "croup"])
_ids = st.sampled_from([None, "X:1", "X:2", "X:3", "X:4", "X:7"])
_links = st.lists(st.builds(link, _starts, _texts, _ids, document=st.sampled_from("ab")), max_size=12)
_names = st.dictionaries(_ids.filter(bool), st.sets(_texts, min_size=1))
_changes = st.builds(
    ReleaseChanges,
    retired=st.sets(st.sampled_from(["X:3", "X:4"])),
    new=st.sets(st.sampled_from(["X:7"])),
    successors=st.dictionaries(st.just("X:3"), st.just(("X:7",))),
    names_gained=_names,
    names_lost=_names,
)
_MIRRORED: dict[Cause, Cause] = {
    "mention found": "mention lost",
    "mention lost": "mention found",
    "abstained before": "abstains now",
    "abstains now": "abstained before",
}


@settings(max_examples=50, deadline=None)
@given(_links, _links, _changes)
def test_every_mention_has_exactly_one_cause(before: list[Link], now: list[Link], changes: ReleaseChanges) -> None:
    impact = compare_links(before, now, changes, examples=100)
    assert tuple(impact.counts) == CAUSES
    assert sum(impact.counts.values()) == impact.n_mentions
    assert max(len(before), len(now)) <= impact.n_mentions <= len(before) + len(now)
    assert impact.counts["mention found"] - impact.counts["mention lost"] == len(now) - len(before)
    assert impact.n_changed == sum(len(group) for group in impact.examples.values())
    assert impact.n_unexplained == sum(not each.explained for group in impact.examples.values() for each in group)
    assert all(each.cause == cause for cause, group in impact.examples.items() for each in group)
    assert json.loads(json.dumps(impact.to_dict()))["changed"] == impact.n_changed


@settings(max_examples=50, deadline=None)
@given(_links, _changes)
def test_a_linker_against_itself_changes_nothing(links: list[Link], changes: ReleaseChanges) -> None:
    impact = compare_links(links, list(links), changes)
    assert (impact.n_changed, impact.n_unexplained, impact.examples) == (0, 0, {})
    assert impact.n_mentions == len(links)


@settings(max_examples=50, deadline=None)
@given(_links, _links)
def test_swapped_links_of_one_release_mirror(before: list[Link], now: list[Link]) -> None:
    there, back = (compare_links(*pair, ReleaseChanges()) for pair in ((before, now), (now, before)))
    assert {_MIRRORED.get(cause, cause): count for cause, count in there.counts.items()} == dict(back.counts)
    # Without a new release nothing explains a change.
    assert there.n_unexplained == there.n_changed == back.n_unexplained


@settings(max_examples=50, deadline=None)
@given(_links, _links, _changes)
def test_what_is_found_one_way_is_lost_the_other(before: list[Link], now: list[Link], changes: ReleaseChanges) -> None:
    there, back = compare_links(before, now, changes), compare_links(now, before, changes)
    assert there.counts["mention found"] == back.counts["mention lost"]
    assert there.counts["unchanged"] == back.counts["unchanged"]


@pytest.mark.parametrize(
    ("old", "new", "cause", "explained"),
    [
        (link(0, "asthma", "X:1"), link(0, "asthma", "X:1"), "unchanged", True),
        (link(0, "scurvy", "X:3"), link(0, "scurvy", "X:7"), "id replaced", True),
        (link(0, "plague", "X:4"), link(0, "plague", None), "concept obsolete", True),
        (link(0, "plague", "X:4"), link(0, "plague", "X:1"), "concept obsolete", True),
        (link(0, "croup", None), link(0, "croup", "X:8"), "new concept", True),
        (link(0, "podagra", "X:2"), link(0, "podagra", "X:1"), "name changed", True),
        (link(0, "wheeze", None), link(0, "wheeze", "X:1"), "name changed", True),
        (link(0, "wheezing", None), link(0, "wheezing", "X:1", name="wheeze"), "name changed", True),
        (link(0, "gout", "X:2"), link(0, "gout", "X:1"), "other choice", False),
        (link(0, "gout", "X:2"), link(0, "gout", None), "abstains now", False),
        (link(0, "gout", None), link(0, "gout", "X:2"), "abstained before", False),
        (None, link(0, "croup", "X:8"), "mention found", True),
        (None, link(0, "gout", "X:2"), "mention found", False),
        (link(0, "podagra", "X:2"), None, "mention lost", True),
        (link(0, "gout", "X:2"), None, "mention lost", False),
    ],
)
def test_causes_come_from_the_releases(
    two: tuple[Path, Path], old: Link | None, new: Link | None, cause: Cause, explained: bool
) -> None:
    before, now = ([each] if each else [] for each in (old, new))
    changes = release_changes({"x": two[0]}, {"x": two[1]}, [*before, *now])
    impact = compare_links(before, now, changes)
    assert {each for each, count in impact.counts.items() if count} == {cause}
    assert impact.n_unexplained == (not explained)


@pytest.mark.parametrize(("probability", "explained"), [(0.4, True), (0.01, False)])
@pytest.mark.parametrize("answer", [None, "X:1"])
def test_a_probable_rival_that_lost_its_name_explains_another_answer(
    two: tuple[Path, Path], answer: str | None, probability: float, explained: bool
) -> None:
    rival = link(0, "podagra", "X:2").candidate
    assert rival is not None
    old = replace(link(0, "poda", answer), options=((rival, probability),))
    for before, now, releases in (([old], [link(0, "poda", "X:5")], two), ([link(0, "poda", "X:5")], [old], two[::-1])):
        changes = release_changes({"x": releases[0]}, {"x": releases[1]}, [*before, *now])
        assert compare_links(before, now, changes).n_unexplained == (not explained)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("releases")
    old = (concept(1, "asthma"), concept(2, "gout", "podagra"), concept(3, "scurvy"), concept(4, "plague"))
    new = (
        concept(1, "asthma", "wheeze"),
        concept(2, "gout"),
        concept(3, "obsolete scurvy", obsolete=True, replaced_by=(7,)),
        concept(4, "obsolete plague", obsolete=True),
        concept(7, "vitamin C deficiency", "scurvy"),
        concept(8, "croup"),
    )
    return release(folder / "1", *old), release(folder / "2", *new)


def test_a_longer_new_name_explains_the_shorter_mention_that_it_replaces() -> None:
    changes = ReleaseChanges(new={"X:7"})
    before, now = [link(10, "gout", "X:2")], [link(6, "the gout", "X:7")]
    assert compare_links(before, now, changes).n_unexplained == 0
    elsewhere = [replace(before[0], mention=replace(before[0].mention, document="b"))]
    assert compare_links(elsewhere, now, changes).n_unexplained == 1


def test_an_ontology_that_only_one_side_has_explains_nothing(two: tuple[Path, Path]) -> None:
    changes = release_changes({"y": two[0]}, {"x": two[1]}, [link(0, "croup", "X:8")])
    assert changes == ReleaseChanges()


def test_the_table_shows_both_answers_and_escapes_the_text() -> None:
    before, now = [link(0, "a|b", "X:1")], [link(0, "a|b", None)]
    text = compare_links(before, now, ReleaseChanges(), old="1", new="2").markdown("mine")
    assert "1 of 1 links change, 1 of them unexplained" in text
    assert "| a\\|b | It is a\\|b. | X:1 asthma (0.75) | no concept (0.75) | no |" in text
    assert "| abstains now | 1 | 1 |" in text


def test_links_of_a_file_are_what_was_written(tmp_path: Path) -> None:
    links = [link(0, "gout", "X:2"), link(9, "croup", None)]
    options = tuple((each.candidate, 0.75) for each in links[:1] if each.candidate)
    links[0] = replace(links[0], options=options)
    path = tmp_path / "links.jsonl.gz"
    write_links([(Document(id="a", text="…"), links)], path, {"linker": "mine"})
    past = read_links(path)
    assert [(each.document, each.start, each.end, each.id, each.label, each.probability) for each in past] == [
        (each.document, each.start, each.end, each.id, each.label, each.probability) for each in links
    ]
    assert past[0].candidate is not None
    assert past[0].candidate.name == "gout"
    assert _unchanged(past, links) == 2


def _unchanged(before: Sequence[Link], now: Sequence[Link]) -> int:
    return compare_links(before, now, ReleaseChanges()).counts["unchanged"]


def test_a_file_that_holds_no_links_says_its_line(tmp_path: Path) -> None:
    path = tmp_path / "links.jsonl"
    path.write_text('{"id": "1", "text": "no links"}\n', encoding="utf-8")
    with pytest.raises(CorpusError, match=r"line 1: expected a document with links and lineage"):
        read_links(path)


def test_documents_of_several_files_keep_ids_of_their_own(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.jsonl").write_text('{"id": "1", "text": "Gout."}\n', encoding="utf-8")
    paths = [tmp_path / folder / "notes.jsonl" for folder in ("a", "b")]
    assert [document.id for document in run_impact._documents(paths)] == ["a/notes.jsonl: 1", "b/notes.jsonl: 1"]
    assert [document.id for document in run_impact._documents(paths[:1])] == ["1"]


def test_a_comparison_depends_on_the_files_and_the_limit_of_a_text(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text(path.name)
    sums = [watch._sum(*of) for of in ((paths, None), (paths, 5), (paths[:1], None), (paths[:1], 5), (paths[1:], None))]
    assert len(set(sums)) == len(sums)
    assert sums[2] == artefacts.sha256(paths[0]), "comparisons of one whole file that homes hold are found again"


@pytest.mark.parametrize(
    "name", ["l.jsonl", "l.csv", "l.tsv.gz", "l.parquet", "l.xml", "l.json", "l.json.gz", "l.pubtator"]
)
def test_links_of_every_format_are_read_as_they_were_written(tmp_path: Path, name: str) -> None:
    text = "It is gout. =1+1 or croup. That is gout."
    documents = []
    for document in ("a", "b"):
        links = []
        for words, concept_id in (("gout", "X:2"), ("=1+1", "X:3"), ("croup", None)):
            one = link(text.index(words), words, concept_id, document=document)
            links.append(replace(one, lineage={"linker": "mine", "releases": "x 1"}))
        mentions = tuple(each.mention for each in links)
        documents.append((Document(id=document, text=text, mentions=mentions), links))
    path = tmp_path / name
    write_links(documents, path, {"linker": "mine", "releases": "x 1"})
    past = read_links(path)
    written = [each for _, links in documents for each in links]
    assert [(p.document, p.start, p.end, p.text, p.id) for p in past] == [
        (w.document, w.start, w.end, w.text, w.id) for w in written
    ]
    assert releases_of(past) == ({} if name == "l.pubtator" else {"x": "1"})
    impact = compare_links(past, written, ReleaseChanges())
    assert (impact.n_mentions, impact.n_changed) == (6, 0)
    changed = [replace(each, candidate=None) for each in written]
    assert json.loads(json.dumps(compare_links(past, changed, ReleaseChanges()).to_dict(), allow_nan=False))
    assert compare_links(past, changed, ReleaseChanges()).markdown("mine")
