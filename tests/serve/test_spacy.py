"""Entities of a spaCy pipeline get the ids that the linker gives."""

from collections.abc import Iterator

import pytest

from belink.errors import RegistryError
from belink.linker.linker import Linker
from belink.registry import aliases
from belink.registry.open import open_linker
from tests.support import small
from tests.support.serving import Made

spacy = pytest.importorskip("spacy")


@pytest.fixture(scope="module")
def linker(served_home: Made) -> Linker:
    version = served_home.register("piped", small.RELEASES[1])
    aliases.promote(served_home.here, "piped", version)
    return open_linker(served_home.here, "piped")


@pytest.fixture
def nlp(served_home: Made, linker: Linker) -> Iterator["spacy.Language"]:
    yield pipeline(served_home)


def pipeline(served_home: Made, **config: object) -> "spacy.Language":
    built = spacy.blank("en")
    ruler = built.add_pipe("entity_ruler")
    ruler.add_patterns(
        [
            {"label": "DISEASE", "pattern": "hereditary spastic paraplegia", "id": "hsp"},
            {"label": "DISEASE", "pattern": "xqzzy"},
            {"label": "DRUG", "pattern": "heparin"},
        ]
    )
    built.add_pipe("belink", config={"linker": "piped@champion", "home": str(served_home.here.home), **config})
    return built


TEXT = "They had hereditary spastic paraplegia 😀 and took heparin for xqzzy."


def test_each_entity_has_the_linkers_answer(nlp: "spacy.Language", linker: Linker) -> None:
    doc = nlp(TEXT)
    assert [(e.text, e.label_, e.ent_id_) for e in doc.ents] == [
        ("hereditary spastic paraplegia", "DISEASE", "hsp"),
        ("heparin", "DRUG", ""),
        ("xqzzy", "DISEASE", ""),
    ]
    for entity in doc.ents:
        link = entity._.belink
        assert link.mention.text == entity.text
        assert doc.text[link.mention.start : link.mention.end] == entity.text
        assert entity.kb_id_ == (link.candidate.id if link.candidate else "NIL")
        assert 0 <= link.probability <= 1
        assert link.options and link.lineage["model_version"] == "1"


def test_only_the_labels_asked_for_are_linked_and_known_ids_are_kept(served_home: Made, linker: Linker) -> None:
    nlp = pipeline(served_home, labels=["DISEASE"], overwrite=False, min_probability=1.0)
    doc = nlp.make_doc(TEXT)
    doc.ents = [spacy.tokens.Span(doc, 2, 5, label="DISEASE", kb_id="KEPT:1")]
    doc = nlp(doc)
    ids = {entity.text: entity.kb_id_ for entity in doc.ents}
    assert ids["hereditary spastic paraplegia"] == "KEPT:1"
    assert ids["heparin"] == ""
    assert ids["xqzzy"] == "NIL"


def test_documents_are_linked_together_and_stay_in_order(nlp: "spacy.Language") -> None:
    texts = [TEXT, "Nothing.", "", "heparin and xqzzy"] * 40
    docs = list(nlp.pipe(texts))
    assert [doc.text for doc in docs] == texts
    assert [len([e for e in doc.ents if e.kb_id_]) for doc in docs] == [3, 0, 0, 2] * 40
    assert [e.kb_id_ for e in docs[0].ents] == [e.kb_id_ for e in nlp(TEXT).ents]


def test_a_linker_that_is_not_there_is_an_error(served_home: Made) -> None:
    with pytest.raises(RegistryError, match="absent@champion"):
        pipeline(served_home, linker="absent")
