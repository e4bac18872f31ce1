"""Caches: of functions of a string, in a bounded number of bytes whatever strings come, and of few costly results."""

from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import Generic, TypeVar

T = TypeVar("T")


def cache_short(n_entries: int, longest: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """Return a decorator that remembers the results for the ``n_entries`` strings used last.

    Strings of more than ``longest`` characters are computed each time: a number of entries alone bounds no memory, and
    a service is sent words of a megabyte.
    """

    def decorate(function: Callable[[str], T]) -> Callable[[str], T]:
        cached = lru_cache(n_entries)(function)

        @wraps(function)
        def call(text: str) -> T:
            return cached(text) if len(text) <= longest else function(text)

        call.cache_info = cached.cache_info  # type: ignore[attr-defined]
        return call

    return decorate


class Recent(Generic[T]):
    """The last few results of a costly function, each by a key of all that it depends on."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._values: dict[Hashable, T] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` returned for ``key``, asked now unless it is one of the last few."""
        if key not in self._values:
            while len(self._values) >= self._n:
                del self._values[next(iter(self._values))]
            self._values[key] = make()
        return self._values[key]
