"""The sample corpus keeps what its README promises; the releases are read by line, so that no parser is trusted."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from belink.text.normalise import normalise

SAMPLES = Path(__file__).parents[2] / "ontologies" / "samples"
DOCUMENTS: list[dict[str, Any]] = [
    json.loads(line) for line in (SAMPLES / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
]
MENTIONS = [(document["id"], mention) for document in DOCUMENTS for mention in document["mentions"]]
ENOUGH = {"exact": 100, "variant": 60, "abbreviation": 30, "ambiguous": 40, "nil": 25, "new": 10, "retired": 4}


def live_names(release: str) -> dict[str, set[str]]:
    """The normalised names of each live concept."""
    text = (SAMPLES / f"mondo-sample-{release}.obo").read_text(encoding="utf-8")
    names = {}
    for stanza in text.split("\n[Term]\n")[1:]:
        if "\nis_obsolete: true" not in stanza:
            found = re.findall(r'^(?:name: (.+)|synonym: "((?:[^"\\]|\\.)*)")', stanza, flags=re.M)
            names[stanza.split("\n", 1)[0].removeprefix("id: ")] = {
                normalise(re.sub(r"\\(.)", r"\1", label or synonym)) for label, synonym in found
            }
    return names


FIRST, SECOND = live_names("2025-02-04"), live_names("2025-09-02")


def owners(release: dict[str, set[str]], text: str) -> set[str]:
    key = normalise(text)
    return {concept for concept, names in release.items() if key in names}


def of_kind(*kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((document, mention) for document, mention in MENTIONS if mention["kind"] in kinds)


def test_it_is_large_enough_and_has_every_kind() -> None:
    counts = Counter(mention["kind"] for _, mention in MENTIONS)
    assert counts.keys() == ENOUGH.keys()
    assert {kind: n for kind, n in counts.items() if n < ENOUGH[kind]} == {}
    assert sum(len(document["sentences"]) for document in DOCUMENTS) >= 150
    assert len(MENTIONS) >= 250
    assert len({concept for _, mention in MENTIONS for concept in mention["ids"]}) >= 120
    assert len({document["id"] for document in DOCUMENTS}) == len(DOCUMENTS)


def test_readme_gives_the_counts() -> None:
    readme = (SAMPLES / "README.md").read_text(encoding="utf-8")
    table = {kind: int(n) for kind, n in re.findall(r"^\| `(\w+)` \| (\d+) \|", readme, flags=re.M)}
    assert table == Counter(mention["kind"] for _, mention in MENTIONS)
    sentences = sum(len(document["sentences"]) for document in DOCUMENTS)
    concepts = len({concept for _, mention in MENTIONS for concept in mention["ids"]})
    prose = " ".join(readme.split())
    assert f"{len(DOCUMENTS)} short documents" in prose
    assert f"{sentences} sentences, annotated with {len(MENTIONS)} mentions" in prose
    assert f"that name {concepts} concepts" in prose


def test_mentions_lie_where_they_say_in_order_each_in_one_sentence() -> None:
    for document in DOCUMENTS:
        end = 0
        for mention in document["mentions"]:
            assert mention["start"] >= end, (document["id"], mention)
            end = mention["end"]
            assert document["text"][mention["start"] : end] == mention["text"] != "", document["id"]
            assert any(a <= mention["start"] and end <= b for a, b in document["sentences"]), (document["id"], mention)


def test_sentences_cover_the_text() -> None:
    for document in DOCUMENTS:
        text = document["text"]
        borders = [0, *(offset for span in document["sentences"] for offset in span), len(text)]
        assert borders == sorted(borders), document["id"]
        assert not "".join(text[a:b] for a, b in zip(borders[::2], borders[1::2], strict=True)).strip(), document["id"]


def test_ids_are_live_where_the_kind_says() -> None:
    for document, mention in MENTIONS:
        for concept in mention["ids"]:
            expected = {"new": (False, True), "retired": (True, False)}.get(mention["kind"], (True, True))
            assert (concept in FIRST, concept in SECOND) == expected, (document, mention)


def test_only_nil_mentions_have_no_ids() -> None:
    for document, mention in MENTIONS:
        assert (mention["kind"] == "nil") == (not mention["ids"]) == mention.get("nil", False), (document, mention)


def test_no_nil_mention_is_a_name_in_either_release() -> None:
    for document, mention in of_kind("nil"):
        assert not owners(FIRST, mention["text"]) | owners(SECOND, mention["text"]), (document, mention)


def test_exact_mentions_are_names_of_their_concept_and_variants_are_not() -> None:
    for document, mention in of_kind("exact", "ambiguous", "variant"):
        named = owners(FIRST, mention["text"]) | owners(SECOND, mention["text"])
        assert bool(named & set(mention["ids"])) == (mention["kind"] != "variant"), (document, mention)


def test_ambiguous_mentions_name_several_concepts_in_one_release() -> None:
    for document, mention in of_kind("ambiguous"):
        assert max(len(owners(release, mention["text"])) for release in (FIRST, SECOND)) > 1, (document, mention)


def test_the_same_short_form_means_different_concepts() -> None:
    meanings: dict[str, set[str]] = {}
    for _, mention in of_kind("ambiguous"):
        meanings.setdefault(mention["text"], set()).update(mention["ids"])
    assert sum(len(ids) > 1 for ids in meanings.values()) >= 20
