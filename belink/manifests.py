"""JSON that belink wrote, read with doubt: a disk may damage a file, and people edit them.

A manifest holds a sum over its own content, so that damage of any kind is noticed. One that was written before there
were sums is compared with the models below: each value must be of the kind that its readers expect.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on

from belink.errors import BelinkError, first_line

SUM = "sum"  # the key of a manifest's sum over its other keys


class Stored(dict[str, Any]):
    """A JSON object that belink wrote, or an object in it. A key that it lacks is a damaged file, not a mistake."""

    path: Path

    def __missing__(self, key: str) -> Any:
        raise BelinkError(f"{self.path}: expected {key}, found none; the file is damaged, remove it and build it again")


def read_object(path: Path) -> Stored:
    """Return the JSON object in ``path``.

    :raises FileNotFoundError: there is no file.
    :raises BelinkError: it holds something else.
    """
    try:
        return as_object(path.read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as error:
        raise BelinkError(f"{path}: expected JSON, found {error}; remove it and build it again") from error


def as_object(text: str, path: Path) -> Stored:
    """Return the JSON object in ``text``, the content of ``path``.

    :raises BelinkError: it is something else.
    """

    def stored(node: dict[str, Any]) -> Stored:
        each = Stored(node)
        each.path = path
        return each

    try:
        # The hook sees nested objects, too, so a key that is missing anywhere is reported with the file.
        content = json.loads(text, object_hook=stored)
    except (ValueError, RecursionError) as error:
        raise BelinkError(f"{path}: expected JSON, found {first_line(error)}; remove it and build it again") from error
    if not isinstance(content, Stored):
        raise BelinkError(f"{path}: expected a JSON object, found {text[:40]!r}; remove it and build it again")
    return content


def content_sum(content: dict[str, Any]) -> str:
    """Return 16 hex digits over ``content`` without its own :data:`SUM`."""
    rest = {name: value for name, value in content.items() if name != SUM}
    # In ASCII even half a surrogate pair has a sum, which UTF-8 could not encode.
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def check(manifest: Stored) -> None:
    """Check that ``manifest`` is as it was written.

    :raises BelinkError: it differs from its sum, or has none and a value of a kind that no manifest has there.
    """
    if SUM in manifest:
        if manifest[SUM] != content_sum(manifest):
            raise BelinkError(
                f"{manifest.path}: expected the content that it was written with, found another; the disk has damaged "
                "it or somebody edited it. Remove its folder and build it again"
            )
        return
    from pydantic import ValidationError

    try:
        _models()[manifest.get("kind") == "bundle"].validate_python(manifest, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BelinkError(
            f"{manifest.path}: {where}: {first['msg']}, found {str(first.get('input'))[:60]!r}; the file is damaged, "
            "remove its folder and build it again"
        ) from error


# What manifests hold; keys that are not listed may hold anything.
class _File(TypedDict):
    size: int
    sha256: str


class _Model(TypedDict, total=False):
    reference: str
    sha256: str
    fingerprint: str
    adapted: str | None


class _Release(TypedDict, total=False):
    version: str
    sha256: str | None
    database_sha256: str | None


class _Index(TypedDict):
    key: str
    names: int
    concepts: int
    dimension: int


class _Counts(TypedDict, total=False):
    by_prefix: dict[str, int]
    concepts: int
    names: int
    obsolete: int
    own: int
    rejected: int
    repaired: int
    typed: int


class _Gate(TypedDict, total=False):
    name: str
    value: float | None
    bound: float
    passed: bool
    detail: str
    measured: bool


class _Part(TypedDict, total=False):
    format: int
    text_version: int
    ontology: str
    version: str
    created: str
    sha256: str | dict[str, str]
    database_sha256: str
    content_sha256: str
    reading: str
    prefixes: list[str]
    redistributable: bool
    counts: _Counts
    gates: list[_Gate]
    releases: dict[str, _Release]
    files: dict[str, str | _File]
    encoder: str | dict[str, Any]
    base: _Model
    names: int
    concepts: int
    dimension: int
    encoded: int
    reused: int
    recall_at_10: float | None
    lists_read: int | None
    examples: int
    steps: int
    seconds: float | dict[str, float]
    loss: float
    first_loss: float
    loss_retrieval: float
    history: list[list[float]]
    gguf: str
    gguf_sha256: str


class _Bundle(TypedDict, total=False):
    format: int
    text_version: int
    linker: str
    key: str
    created: str
    releases: dict[str, _Release]
    index: _Index
    adapter: str | None
    encoder: _Model
    base_model: _Model
    detector: _Model
    calibration: str
    lineage: dict[str, str]
    inputs: dict[str, Any]
    files: dict[str, _File]


@cache
def _models() -> "tuple[Any, Any]":
    """Return the models of a part's manifest and of a bundle's.

    Only a manifest without a sum needs them, so pydantic is imported here.
    """
    from pydantic import TypeAdapter

    return TypeAdapter(_Part), TypeAdapter(_Bundle)
