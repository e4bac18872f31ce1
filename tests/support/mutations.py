"""Damaged copies of sound files: bytes changed, cut and doubled; fields of a tree removed, replaced and nested deep."""

import copy
import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from belink.errors import BelinkError

TOKENS = [
    b'"', b"'", b"|", b"\t", b"\n", b"\r", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\\", b",", b"[", b"]", b"{",
    b"}", b"<", b">", b"&", b"null", b"NaN", b"-1", b"1e999", b"true", b"Infinity", b"9" * 30, b"9" * 5000,
    b"[]", b"{}",
    b'""', b"\\ud800", "\u2028é".encode(), b"0", b"<!--", b"]]>", b"\x1b", b"(a+)+$",
]  # fmt: skip
ODD: list[Any] = [
    None, 5, -0.5, True, "", " ", "x", "X:1", "\ud800", [], [[]], {}, {"a": 3}, ["x"], float("nan"), float("inf"),
    10**30, -1, "2025-13-45", [None], {"start": None},
]  # fmt: skip
DEEP = (50, 950, 20_000)  # levels of nesting
SECONDS = 20.0  # that a reading may take, on a busy machine


def changed_bytes(rng: random.Random, content: bytes) -> bytes:
    """Return ``content`` with one to four changes: inserted, replaced, removed, doubled or cut off."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content) + 1)
        kind, token = rng.choice(["insert", "replace", "delete", "byte", "double", "cut"]), rng.choice(TOKENS)
        if kind == "insert":
            content = content[:at] + token + content[at:]
        elif kind == "replace":
            content = content[:at] + token + content[at + len(token) :]
        elif kind == "delete":
            content = content[:at] + content[at + rng.randint(1, 30) :]
        elif kind == "byte":
            content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
        elif kind == "double":
            content = content[: at + rng.randint(1, 200)] + content[at:]
        elif rng.random() < 0.3:  # more often, nothing of the file would be left to try the rest on
            content = content[:at]
    return content


def changed_tree(rng: random.Random, tree: Any) -> bytes:
    """Return ``tree`` as JSON with one or two values removed, replaced, or nested deep."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.randint(1, 2)):
        paths = [path for path in _paths(tree) if path]
        if not paths:
            break
        *above, last = rng.choice(paths)
        part = tree
        for step in above:
            part = part[step]
        kind = rng.randrange(4)
        if kind == 0:
            del part[last]
        else:
            part[last] = f"@{rng.choice(DEEP)}@" if kind == 1 else copy.deepcopy(rng.choice(ODD))
    text = json.dumps(tree)
    for levels in DEEP:
        nested = "[" * levels + "]" * levels if rng.random() < 0.5 else '{"a":' * levels + "1" + "}" * levels
        text = text.replace(f'"@{levels}@"', nested)
    return text.encode()


def _paths(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield from _paths(child, (*path, key))


def outcome(read: Callable[[], Any]) -> str:
    """Return ``read`` or ``refused``; anything but a result or one line of a belink error in time fails the test."""
    try:
        with _time_limit():
            read()
    except BelinkError as error:
        assert str(error).strip()
        assert "\n" not in str(error), repr(str(error))
        return "refused"
    return "read"


@contextmanager
def _time_limit() -> Iterator[None]:
    def end(*_: object) -> None:
        raise AssertionError(f"not done after {SECONDS:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
