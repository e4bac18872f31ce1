"""MLflow, Prefect, DuckDB and FAISS are named in few modules, in types as well: import-linter does not see those."""

import ast
from pathlib import Path

import pytest

import belink

PACKAGE = Path(belink.__file__).parent
DOORS = {
    "mlflow": {"registry/store", "registry/pyfunc_model.py"},
    "prefect": {"flows"},
    "duckdb": {"ontology/"},  # imported by release and release_writer alone; others of the package name its relations
    "faiss": {"retrieval/vectors.py"},
}


@pytest.mark.heavy
@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library: str) -> None:
    importing = {
        path.relative_to(PACKAGE).as_posix()
        for path in [*PACKAGE.rglob("*.py"), *(PACKAGE / "flows").rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom) and library in imported(node)
    }
    assert importing
    assert not [path for path in importing if not any(path.startswith(door) for door in DOORS[library])]


def imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    """The top-level packages that a statement imports."""
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return {name.partition(".")[0] for name in names}
