"""A token classifier finds mentions: windows, label schemes, overlaps; and the bundle holds it and what was learned."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from belink import weights
from belink.declarations import DetectorConfig
from belink.errors import ModelError
from belink.linker import bundle
from belink.linker.linker import Linker
from belink.linker.token_classifier import CombinedFinder, TokenClassifier, _entities, _Word, longest
from belink.records import Mention
from tests.support import small
from tests.support.serving import Made
from tests.support.tiny import tiny_encoder, tiny_tagger


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that calls every word with a capital an entity."""
    return tiny_tagger(tmp_path_factory.mktemp("tagger"))


def tagger(folder: Path, **config: object) -> TokenClassifier:
    declared = DetectorConfig(model=f"path:{folder}", min_score=0.0, **config)
    return TokenClassifier.load(declared, weights.resolve(declared.model, folder))


def found(finder: TokenClassifier, text: str) -> list[tuple[str, str]]:
    mentions = finder.find(text, document="7")
    assert all(text[m.start : m.end] == m.text and m.document == "7" for m in mentions)
    assert all(one.end <= other.start for one, other in itertools.pairwise(mentions))
    return [(m.text, m.type) for m in mentions]


def test_a_span_that_the_model_marks_becomes_a_mention_with_type_and_sentence(folder: Path) -> None:
    text = "He had AAAA and BBBB. Then 😀 AAAA returned."
    assert found(tagger(folder), text) == [("AAAA", "Disease"), ("BBBB", "Drug"), ("AAAA", "Disease")]
    first, *_, last = tagger(folder).find(text)
    assert first.sentence == "He had AAAA and BBBB."
    assert text[last.sentence_start :].startswith(last.sentence)


@pytest.mark.parametrize("text", ["", " \n ", "no entity at all", "😀"])
def test_nothing_is_found_where_nothing_is(folder: Path, text: str) -> None:
    assert found(tagger(folder), text) == []


def test_words_beside_one_another_are_one_mention_and_commas_part_them(folder: Path) -> None:
    assert found(tagger(folder), "AAAA AAAA, AAAA BBBB") == [
        ("AAAA AAAA", "Disease"),
        ("AAAA", "Disease"),
        ("BBBB", "Drug"),
    ]


def test_only_the_declared_types_count(folder: Path) -> None:
    assert found(tagger(folder, labels=("Drug",)), "AAAA and BBBB") == [("BBBB", "Drug")]


def test_windows_make_no_difference(folder: Path) -> None:
    text = " and then ".join(f"AAAA with {'x' * n} BBBB" for n in range(60))
    whole = found(tagger(folder, max_length=2000), text)
    assert len(whole) == 120
    assert found(tagger(folder, max_length=64), text) == whole


def words(*tags: str) -> list[_Word]:
    parts = [tag.partition("-") for tag in tags]
    return [
        _Word(10 * at, 10 * at + 5, kind, "O" if part == "O" else part, 1.0) for at, (part, _, kind) in enumerate(parts)
    ]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        (("B-X", "I-X", "O", "I-X"), [(0, 15), (30, 35)]),
        (("B-X", "B-X"), [(0, 5), (10, 15)]),
        (("I-X", "I-Y"), [(0, 5), (10, 15)]),
        (("B-X", "I-X", "E-X", "S-X"), [(0, 25), (30, 35)]),
        (("B-X", "E-X", "I-X"), [(0, 15), (20, 25)]),
        (("U-X", "B-X", "L-X"), [(0, 5), (10, 25)]),
        (("O",), []),
    ],
)
def test_label_schemes_are_understood(tags: tuple[str, ...], spans: list[tuple[int, int]]) -> None:
    assert [(start, end) for start, end, _, _ in _entities(words(*tags))] == spans


def mention(start: int, end: int) -> Mention:
    return Mention(text="x" * (end - start), start=start, end=end)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([(0, 5), (3, 12), (12, 15)], [(3, 12), (12, 15)]),
        ([(0, 4), (1, 3), (5, 6)], [(0, 4), (5, 6)]),
        ([(4, 8), (0, 4)], [(0, 4), (4, 8)]),
        ([(0, 4), (2, 6)], [(0, 4)]),
        ([(0, 6), (5, 9), (8, 11)], [(0, 6), (8, 11)]),
        ([], []),
    ],
)
def test_of_overlapping_mentions_the_longest_stays(given: list[tuple[int, int]], kept: list[tuple[int, int]]) -> None:
    assert [(m.start, m.end) for m in longest([mention(*span) for span in given])] == kept


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    encoder = tiny_encoder(tmp_path / "encoder")
    with pytest.raises(ModelError, match="expected a token classifier"):
        tagger(encoder)


def detecting(made: Made, folder: Path, tmp_path: Path, **config: object) -> Path:
    """A draft whose linker finds mentions with the classifier."""
    parts = made.parts[small.RELEASES[1]]
    reference = weights.resolve(f"path:{folder}", folder)
    declared = DetectorConfig(model=reference.reference, min_score=0.0, **config)
    parts = replace(
        parts,
        linker=parts.linker.model_copy(update={"detector": declared}),
        detector=bundle.ModelReference(reference=reference.reference, sha256=reference.sha256),
    )
    return bundle.assemble(parts, tmp_path)


def test_a_linker_uses_the_classifier_that_it_declares(served_home: Made, folder: Path, tmp_path: Path) -> None:
    linker = Linker(detecting(served_home, folder, tmp_path), served_home.here.cache)
    assert [link.mention.text for link in linker.link_text("He had AAAA and Crohn disease.")] == ["AAAA"]
    assert linker.link_text("He had AAAA.")[0].options
    name = next(name for name in linker.index.names() if len(name) > 12 and name.isalpha())
    both = Linker(detecting(served_home, folder, tmp_path, names=True), served_home.here.cache)
    assert isinstance(both.detector, CombinedFinder)
    assert [link.mention.text for link in both.link_text(f"AAAA and {name}.")] == ["AAAA", name]


def test_other_weights_than_the_bundle_was_made_with_are_refused(served_home: Made, tmp_path: Path) -> None:
    folder = tiny_tagger(tmp_path / "model")
    linker = Linker(detecting(served_home, folder, tmp_path), served_home.here.cache)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "another": 1}))
    with pytest.raises(ModelError, match="was made with, found"):
        linker.link_text("AAAA")


def test_a_refresh_stores_what_the_corpora_teach(served_home: Made, tmp_path: Path) -> None:
    parts = served_home.parts[small.RELEASES[1]]
    assert parts.lexicon is not None
    learned = json.loads(parts.lexicon.read_text())
    path = bundle.assemble(parts, tmp_path)
    bundle.check(path)
    taught = Linker(path, served_home.here.cache)
    plain = Linker(bundle.assemble(replace(parts, lexicon=None), tmp_path), served_home.here.cache)
    assert taught.lineage["bundle"] != plain.lineage["bundle"]
    extra = next(name for name in learned["extra"] if len(name) > 8)
    text = f"He had {extra}."
    assert extra in [m.text for m in taught.detector.find(text)]
    assert extra not in [m.text for m in plain.detector.find(text)]
