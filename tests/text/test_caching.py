"""Results for short strings are kept; long ones take no room."""

from belink.linker import features, finding
from belink.text.caching import Recent, cache_short


def test_short_strings_are_computed_once_and_long_ones_are_not_kept() -> None:
    calls: list[str] = []

    @cache_short(2, longest=3)
    def upper(text: str) -> str:
        calls.append(text)
        return text.upper()

    assert [upper(text) for text in ("a", "a", "long", "long", "b")] == ["A", "A", "LONG", "LONG", "B"]
    assert calls == ["a", "long", "long", "b"]
    assert upper.cache_info().currsize == 2  # type: ignore[attr-defined]


def test_words_of_a_megabyte_fill_no_cache() -> None:
    caches = (features._words, finding.fold_word)
    before = [cache.cache_info().currsize for cache in caches]  # type: ignore[attr-defined]
    for number in range(5):
        word = f"{number}" * 100_000
        for cache in caches:
            assert cache(word)
    assert [cache.cache_info().currsize for cache in caches] == before  # type: ignore[attr-defined]


def test_the_last_few_results_are_kept_by_their_keys() -> None:
    calls: list[str] = []
    recent: Recent[int] = Recent(2)

    def ask(key: str) -> int:
        return recent.get(key, lambda: calls.append(key) or len(calls))

    assert [ask(key) for key in ("a", "b", "a", "c", "b", "a")] == [1, 2, 1, 3, 2, 4]
    assert calls == ["a", "b", "c", "a"]
