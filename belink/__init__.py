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
    from belink.records import Candidate, Concept, Document, Link, Mention
    from belink.registry.open import load

__all__ = ["BelinkError", "Candidate", "Concept", "Document", "Link", "Linker", "Mention", "load"]

_HOMES = {
    "BelinkError": "belink.errors",
    "Candidate": "belink.records",
    "Concept": "belink.records",
    "Document": "belink.records",
    "Link": "belink.records",
    "Linker": "belink.linker.linker",
    "Mention": "belink.records",
    "load": "belink.registry.open",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'belink' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
