"""Links mentions in biomedical text to ontology concepts, and keeps that correct while the ontologies change.

>>> import belink
>>> linker = belink.load("sample@champion")
>>> for link in linker.link_text("She has rheumatoid arthritis and schizophrenia."):
...     print(link.text, link.id)
rheumatoid arthritis MONDO:0008383
schizophrenia MONDO:0005090

:func:`load` opens a registered linker or a bundle's folder; the :class:`Linker` that it returns links texts
(``link_text``) and documents (``link_documents``), finds concepts by name or id (``search``) and describes one
(``concept``). To read the code, begin with ``belink/linker/linker.py``: the whole path of one batch of mentions.
"""

# The names are imported when they are first used: "import belink" takes milliseconds, and the modules of the package,
# which never import these names from here, stay free of cycles.
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from belink.errors import BelinkError
    from belink.linker.linker import Linker
    from belink.records import Candidate, Concept, Document, Link, Mention, link_json
    from belink.registry.open import load

__all__ = ["BelinkError", "Candidate", "Concept", "Document", "Link", "Linker", "Mention", "link_json", "load"]

_HOMES = {
    "BelinkError": "belink.errors",
    "Candidate": "belink.records",
    "Concept": "belink.records",
    "Document": "belink.records",
    "Link": "belink.records",
    "Linker": "belink.linker.linker",
    "Mention": "belink.records",
    "link_json": "belink.records",
    "load": "belink.registry.open",
}


def __getattr__(name: str) -> Any:
    if name == "by_reference":
        return _first_layout()
    if name not in _HOMES:
        raise AttributeError(f"module 'belink' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def _first_layout() -> Any:
    """Return ``by_reference`` as the first registered models import it, and make ``belink.link`` importable for them.

    MLflow keeps the file that loads a model with each registered version, and runs it for as long as the version lives.
    """
    import sys
    from types import SimpleNamespace

    from belink.linker import linker
    from belink.registry import bundles

    sys.modules["belink.link"] = linker
    return SimpleNamespace(resolved=bundles.resolve)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
