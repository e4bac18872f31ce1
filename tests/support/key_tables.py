"""The tables of keys in ``ontologies/README.md``, rendered from the fields of the declarations.

``python -m tests.support.key_tables`` writes them anew; a test fails where guide and fields differ.
"""

import json
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from belink.declarations import Columns, NamesKept, ReleaseGates, SourceConfig

GUIDE = Path(__file__).parents[2] / "ontologies" / "README.md"
TABLES: dict[str, tuple[type[BaseModel], str]] = {  # name in the guide's comments → model, head of the last column
    "declaration": (SourceConfig, "meaning"),
    "names": (NamesKept, "meaning"),
    "columns": (Columns, "meaning"),
    "gates": (ReleaseGates, "the release is refused if"),
}
SECTIONS = ("name", "names", "columns", "gates")  # the file's name, and sections with a table of their own


def render(model: type[BaseModel], head: str) -> str:
    """Return the table of a model's keys: key, default, and its field's description."""
    rows = [
        f"| `{key}` | {_default(field)} | {field.description} |"
        for key, field in model.model_fields.items()
        if not (model is SourceConfig and key in SECTIONS)
    ]
    return "\n".join([f"| key | default | {head} |", "| --- | --- | --- |", *rows])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=True)
    text = "none" if default is None else f"`{json.dumps(default)}`"
    return text.replace("|", "\\|")


def rendered(guide: str) -> str:
    """Return the guide's text with its tables as the fields say."""
    for name, (model, head) in TABLES.items():
        begin = f"<!-- keys of {name}: made by tests/support/key_tables.py -->"
        before, found, rest = guide.partition(begin)
        _, end, after = rest.partition("<!-- end of keys -->")
        assert found and end, f"the guide has no place for the keys of {name}"
        guide = f"{before}{begin}\n\n{render(model, head)}\n\n{end}{after}"
    return guide


if __name__ == "__main__":
    GUIDE.write_text(rendered(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
