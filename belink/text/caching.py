"""A cache for functions of a string that holds a bounded number of bytes, whatever strings come."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

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
