"""A mistake in a declaration, in words and with the line to write instead."""

import difflib
import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from belink.declarations.fields import Declaration

_EXAMPLES: dict[str, Any] = {  # of keys that have no default
    "title": "Plant Ontology",
    "format": "obo",
    "prefixes": ["PO"],
    "licence": "CC BY 4.0",
    "id": "ID",
    "label": "Name",
    "ontologies": ["cl"],
    "name": "my-corpus",
    "file": "corpus.jsonl",
}


def tell_mistake(model: type[BaseModel], loc: Sequence[int | str], kind: str, message: str, found: object) -> str:
    """Return one line: where the mistake is, what was found, and the line to write.

    :param loc: the keys that lead to it, as pydantic gives them.
    :param kind: pydantic's type of error, such as ``missing``.
    :param message: pydantic's own words.
    """
    keys = [str(part) for part in loc]
    where, fields = ".".join(keys), _fields_at(model, loc)
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(keys[-1], fields, n=1)
        advice = f"write {close[0]} = …" if close else f"delete the line; keys here: {', '.join(fields)}"
        return f"{where}: no such key; {advice}"
    field = next((fields[key] for key in reversed(keys) if key in fields), None)
    line = _line(next((key for key in reversed(keys) if key in fields), keys[-1]), field)
    if kind == "missing":
        return f"{where}: expected a value, found none; write {line}"
    return f"{where}: {message} (found {found!r}); write {line}"


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> dict[str, FieldInfo]:
    """Return the fields of the section in which ``loc`` ends."""
    fields = {name: field for name, field in model.model_fields.items() if name != "name"}  # which the file's name is
    for part in loc[:-1]:
        section = _section(fields[str(part)]) if part in fields else None
        if section is not None:
            fields = dict(section.model_fields)
    return fields


def _section(field: FieldInfo) -> type[Declaration] | None:
    """Return the section that a field holds, alone, optional or repeated."""
    waiting: list[Any] = [field.annotation]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, Declaration):
            return kind
        waiting.extend(getattr(kind, "__args__", ()))
    return None


def _line(key: str, field: FieldInfo | None) -> str:
    """Return a line of TOML that is right: the default, or an example."""
    default = PydanticUndefined if field is None else field.get_default(call_default_factory=True)
    if default in (PydanticUndefined, None):
        default = _EXAMPLES.get(key)
    if default is None or isinstance(default, BaseModel | dict):
        return f"{key} = …"
    return f"{key} = {json.dumps(default, ensure_ascii=False)}"
