"""Names are found by their characters: trigrams weighed by rarity."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belink.errors import IndexMismatch
from belink.retrieval import trigrams
from belink.retrieval.trigrams import Borrowed, TrigramIndex
from belink.text.normalise import normalise

NAMES = [
    "non insulin dependent diabetes mellitus",
    "insulin dependent diabetes mellitus",
    "diabetes insipidus",
    "beta thalassaemia",
    "alpha thalassaemia",
    "melanoma",
    "uveal melanoma",
    "b",
    "12 dihydroxyvitamin d3",
]


@pytest.fixture
def names(tmp_path: Path) -> TrigramIndex:
    trigrams.build(NAMES, len(NAMES), tmp_path)
    return TrigramIndex.load(tmp_path)


def found(names: TrigramIndex, text: str, k: int = 3) -> list[str]:
    (rows,) = names.search(names.vectors([normalise(text)]), k)
    return [NAMES[row] for row in rows]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("β-thalassemia", "beta thalassaemia"),
        ("alfa-thalassaemia", "alpha thalassaemia"),
        ("melanomas", "melanoma"),
        ("melanoma of the uvea", "uveal melanoma"),
        ("insulin-dependant diabetes", "insulin dependent diabetes mellitus"),
        ("1,2-dihydroxyvitamin D3", "12 dihydroxyvitamin d3"),
        ("B", "b"),
    ],
)
def test_misspellings_plurals_and_word_forms_find_their_name(names: TrigramIndex, asked: str, expected: str) -> None:
    assert found(names, asked)[0] == expected


def test_cosines_are_those_of_scikit_learn(names: TrigramIndex) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    theirs = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), lowercase=False)
    rows = theirs.fit_transform(NAMES)
    known = ["beta thalassaemia", "insulin diabetes", "melanoma melanoma"]  # no trigram that no name has
    expected = (theirs.transform(known) @ rows.T).toarray()
    which, at = np.divmod(np.arange(expected.size), len(NAMES))
    np.testing.assert_allclose(names.cosines(names.vectors(known), which, at), expected.ravel(), atol=1e-6)


def test_the_search_finds_what_comparing_with_every_name_finds(names: TrigramIndex) -> None:
    vectors = names.vectors(NAMES)
    everything = np.arange(len(NAMES))
    for row, rows in enumerate(names.search(vectors, len(NAMES))):
        cosines = names.cosines(vectors, np.full(len(NAMES), row), everything)
        assert set(rows) == set(np.flatnonzero(cosines > 0))
        assert (np.diff(cosines[rows]) <= 1e-6).all()


def test_trigrams_that_many_names_share_are_not_searched_but_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigrams, "_ALWAYS_SEARCHED", 1)
    monkeypatch.setattr(trigrams, "_RARE", 0.0)
    common = [f"{word} disease" for word in ("brill", "chagas", "fabry", "krabbe")]
    trigrams.build(common, len(common), tmp_path)
    opened = TrigramIndex.load(tmp_path)
    (rows,) = opened.search(opened.vectors(["fabry disease"]), 10)
    assert list(rows) == [2]
    (cosine,) = opened.cosines(opened.vectors(["fabry disease"]), np.array([0]), np.array([1]))
    assert 0.2 < cosine < 0.8


def test_a_text_without_letters_finds_nothing(names: TrigramIndex) -> None:
    assert found(names, "") == []
    assert found(names, "melanoma", k=0) == []


def test_vectors_of_another_format_are_refused(tmp_path: Path) -> None:
    trigrams.build(NAMES, len(NAMES), tmp_path)
    about = tmp_path / "lexical.json"
    about.write_text(about.read_text().replace(f'"format": {trigrams.FORMAT}', '"format": 0'))
    with pytest.raises(IndexMismatch, match="format"):
        TrigramIndex.load(tmp_path)


name_lists = st.lists(st.text("abc d", max_size=12).map(normalise).filter(bool), min_size=1, max_size=12, unique=True)


@given(st.lists(name_lists, min_size=2, max_size=4))
@settings(max_examples=60, deadline=None)
def test_borrowed_vectors_are_those_that_are_made_anew_release_after_release(
    tmp_path_factory: pytest.TempPathFactory, releases: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("trigrams")
    names = releases[0]
    trigrams.build(names, len(names), folder)
    previous = TrigramIndex.load(folder)
    for number, after in enumerate(releases[1:]):
        anew, borrowed = folder / f"{number}-anew", folder / f"{number}-borrowed"
        anew.mkdir()
        borrowed.mkdir()
        trigrams.build(after, len(after), anew)
        rows = np.array([names.index(name) if name in names else -1 for name in after])
        new = [name for name in after if name not in names]
        trigrams.build(new, len(after), borrowed, Borrowed(previous, rows))
        expected, names, previous = TrigramIndex.load(anew), after, TrigramIndex.load(borrowed)
        assert abs(expected._rows - previous._rows).max() < 1e-6
        assert abs(expected._columns - previous._columns).max() < 1e-6
