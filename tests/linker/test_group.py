"""Several linkers answer as one: overlaps, types, ids, models held once."""

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import belink
from belink.corpora.links import write_links
from belink.errors import BelinkError
from belink.linker.group import LinkerGroup, settle
from belink.linker.linker import Linker
from belink.records import Candidate, Document, Link, Mention
from belink.registry import aliases
from tests.support import small
from tests.support.made_releases import concept
from tests.support.serving import Made, register_concepts

TEXT = "Heparin for drug-induced hepatitis; no aspirin intolerance, no aspirin."


@pytest.fixture(scope="module")
def drugs(served_home: Made, tmp_path_factory: pytest.TempPathFactory) -> Linker:
    folder = tmp_path_factory.mktemp("drugs")
    drug = (concept(1, "heparin"), concept(2, "aspirin", "acetylsalicylic acid"), concept(3, "induced"))
    register_concepts(served_home, folder, "drugs", "Chemical", *drug)
    return belink.load("drugs", home=served_home.here.home)


@pytest.fixture(scope="module")
def signs(served_home: Made, tmp_path_factory: pytest.TempPathFactory) -> Linker:
    folder = tmp_path_factory.mktemp("signs")
    sign = (concept(7, "aspirin intolerance"), concept(8, "hepatitis"), concept(9, "heparin"))
    register_concepts(served_home, folder, "signs", "Sign", *sign)
    return belink.load("signs", home=served_home.here.home)


@pytest.fixture(scope="module")
def diseases(served_home: Made) -> Linker:
    aliases.promote(served_home.here, "diseases", served_home.register("diseases", small.RELEASES[1]))
    return belink.load("diseases", home=served_home.here.home)


@pytest.fixture(scope="module")
def group(diseases: Linker, drugs: Linker, signs: Linker) -> LinkerGroup:
    return LinkerGroup([diseases, drugs, signs])


def answers(links: list[Link]) -> list[tuple[str, str | None, str]]:
    return [(link.text, link.id, link.linker) for link in links]


def test_the_longer_mention_wins_over_linkers(group: LinkerGroup) -> None:
    links = group.link_text(TEXT, min_probability=0)
    by_text = {link.text: link for link in links}
    assert by_text["aspirin intolerance"].linker == "signs"
    assert by_text["aspirin intolerance"].id == "X:7"
    assert "induced" not in by_text and "hepatitis" not in by_text
    assert by_text["drug-induced hepatitis"].linker == "diseases"
    assert [link.start for link in links] == sorted(link.start for link in links)
    assert TEXT[links[-1].start : links[-1].end] == "aspirin"


def test_nested_mentions_are_kept_where_they_are_asked_for(diseases: Linker, drugs: Linker, signs: Linker) -> None:
    links = LinkerGroup([diseases, drugs, signs], nested=True).link_text(TEXT, min_probability=0)
    texts = [link.text for link in links]
    assert texts.index("drug-induced hepatitis") < texts.index("induced") < texts.index("hepatitis")
    assert texts.count("Heparin") == 1  # two linkers have it: of equal spans one stays


def test_each_link_says_its_linker_its_ontology_and_its_type(group: LinkerGroup) -> None:
    links = {link.text: link for link in group.link_text(TEXT, min_probability=0)}
    node = belink.link_json(links["aspirin intolerance"])
    assert (node["linker"], node["type"], node["ontology"]) == ("signs", "Sign", "signs-terms")
    assert links["aspirin"].lineage["linker"] == "drugs"
    assert links["aspirin"].type == "Chemical"
    assert group.lineage["linker"] == "diseases, drugs, signs"


def test_a_marked_mention_is_asked_of_the_linkers_of_its_type(group: LinkerGroup) -> None:
    mentions = tuple(Mention(text="heparin", start=0, end=7, type=kind) for kind in ("Sign", "chemical", "Gene"))
    ((_, links),) = group.link_documents([Document(id="1", text="heparin", mentions=mentions)], min_probability=0)
    assert [link.linker for link in links[:2]] == ["signs", "drugs"]
    assert links[2].id in ("X:1", "X:9")  # of no linker's type: of all, the most probable
    assert [link.mention.type for link in links] == ["Sign", "chemical", "Gene"]


def test_marked_mentions_keep_the_order_in_which_they_were_marked(group: LinkerGroup) -> None:
    mentions = (Mention(text="aspirin", start=8, end=15), Mention(text="heparin", start=0, end=7))
    ((document, links),) = group.link_documents([Document(id="1", text="heparin aspirin", mentions=mentions)])
    assert [link.text for link in links] == [mention.text for mention in document.mentions] == ["aspirin", "heparin"]


def test_a_bound_is_held_against_the_most_probable_concept_alone(group: LinkerGroup) -> None:
    for bound in (0.0, 0.5, 1.0):
        for mention in (Mention(text="heparin"), Mention(text="no such thing"), Mention(text="aspirine")):
            (raw,), (link,) = group.link([mention], min_probability=0.0), group.link([mention], min_probability=bound)
            assert link == group.abstain(raw, bound)
            assert link.id is None or (link.id == raw.id and link.probability >= bound)


def test_an_id_is_answered_by_the_linkers_that_know_it_alone(drugs: Linker, signs: Linker) -> None:
    group = LinkerGroup([drugs, signs])
    assert [candidate.id for candidate in group.search("X:9")] == ["X:9"]
    assert [candidate.id for candidate in group.search("X:2")] == ["X:2"]


def test_one_linker_of_a_group_answers_as_by_itself(group: LinkerGroup, drugs: Linker) -> None:
    (alone,) = drugs.link_text("acetylsalicylic acid")
    (link,) = LinkerGroup([drugs]).link_text("acetylsalicylic acid")
    assert (link.id, link.probability, link.options, link.lineage) == (
        alone.id, alone.probability, alone.options, alone.lineage,
    )  # fmt: skip


def test_a_search_takes_turns_and_a_concept_comes_from_who_knows_it(group: LinkerGroup) -> None:
    found = [candidate.id for candidate in group.search("heparin")]
    assert found[:2] == ["X:1", "X:9"]
    assert group.concept("X:7").label == "aspirin intolerance"
    assert group.concept("X:2").label == "aspirin"
    assert group.concept("X:99") is None


def test_files_give_each_link_its_own_lineage(group: LinkerGroup, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    linked = group.link_documents([Document(id="d", text=TEXT)], min_probability=0)
    for name in ("links.parquet", "links.csv", "links.jsonl"):
        write_links(linked, tmp_path / name, group.lineage)
    rows = pq.read_table(tmp_path / "links.parquet").to_pylist()
    assert {(row["text"], row["linker"], row["type"]) for row in rows} >= {
        ("aspirin", "drugs", "Chemical"),
        ("aspirin intolerance", "signs", "Sign"),
    }
    assert '"signs"' in (tmp_path / "links.csv").read_text(encoding="utf-8")
    (line,) = (tmp_path / "links.jsonl").read_text(encoding="utf-8").splitlines()
    assert {link["linker"] for link in json.loads(line)["links"]} == {"diseases", "drugs", "signs"}


def test_linkers_of_one_encoder_hold_it_once(group: LinkerGroup) -> None:
    models = [linker.encoder._encoder._model for linker in group.linkers]
    assert all(model is models[0] for model in models)


def test_a_linker_is_named_once(drugs: Linker) -> None:
    with pytest.raises(BelinkError, match="expected each linker once, found drugs, drugs"):
        LinkerGroup([drugs, drugs])


spans = st.tuples(st.integers(0, 20), st.integers(1, 8), st.booleans(), st.integers(0, 4))


def _link(start: int, length: int, concept_found: bool, tenths: int) -> Link:
    candidate = Candidate(id="X:1", label="", name="", ontology="x", release="1") if concept_found else None
    mention = Mention(text="x" * length, start=start, end=start + length, is_found=True)
    return Link(mention=mention, candidate=candidate, probability=tenths / 4)


def _overlap(one: Link, other: Link) -> bool:
    return one.start < other.end and other.start < one.end


def _is_better(one: Link, other: Link) -> bool:
    """Whether ``one`` is at least as good."""
    return (one.candidate is not None, one.end - one.start, one.probability) >= (
        other.candidate is not None, other.end - other.start, other.probability,
    )  # fmt: skip


@given(st.lists(spans, max_size=25))
def test_what_is_settled_does_not_overlap_and_what_is_left_out_overlaps_something_better(drawn: list) -> None:
    links = [_link(*each) for each in drawn]
    kept = settle(links)
    assert all(not _overlap(one, other) for one, other in combinations(kept, 2))
    for link in links:
        if not any(link is each for each in kept):
            assert any(_overlap(link, other) and _is_better(other, link) for other in kept)
    assert [link.start for link in kept] == sorted(link.start for link in kept)


@given(st.lists(spans, max_size=25))
def test_nested_spans_are_nested_or_apart(drawn: list) -> None:
    kept = settle([_link(*each) for each in drawn], nested=True)
    for one, other in combinations(kept, 2):
        if _overlap(one, other):
            inner, outer = sorted((one, other), key=lambda link: link.end - link.start)
            assert outer.start <= inner.start and inner.end <= outer.end
            assert (inner.start, inner.end) != (outer.start, outer.end)


@given(st.lists(spans, max_size=12))
def test_marked_mentions_all_stay(drawn: list) -> None:
    links = [_link(*each) for each in drawn]
    marked = [belink.Link(mention=Mention(text=m.text, start=m.start, end=m.end), candidate=m.candidate,
                          probability=m.probability) for m in links]  # fmt: skip
    assert len(settle(marked)) == len(marked)
