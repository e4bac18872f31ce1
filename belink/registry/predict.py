"""A registered bundle, or several, as a function of plain dictionaries: all that stored models know of belink.

A copy of ``pyfunc_model.py`` lies beside every registered bundle. It runs for as long as the version is used, with
whichever belink is installed then. So :func:`load_bundle` keeps its name, its argument and the keys of what it returns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from belink.linker.group import LinkerGroup
from belink.linker.linker import Linker
from belink.records import Document, Mention, link_json
from belink.registry import bundles, groups
from belink.registry.moved import own_copy
from belink.registry.store import asked_store

Predict = Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]


def load_bundle(folder: str) -> Predict:
    """Return a function of requests; its answers come one a request, in order.

    A request has ``text``, and may have ``mentions`` (each with ``start`` and ``end``, code points into the text) and
    ``min_probability``. An answer has ``links``, each as :func:`belink.records.link_json` writes it, and ``lineage``.

    :param folder: of the bundle, of the reference to it, or of a list of linkers, beside the stored model.
    :raises BundleError: the bundle is damaged, or leads to nothing.
    :raises RegistryError: a listed linker, or the alias or version given for it, is gone.
    """
    store = asked_store()
    settings, own = own_copy(store, Path(folder))
    linker: Linker | LinkerGroup
    if groups.is_group(own):
        # Python code may have named a store that the environment does not.
        linker = groups.open_group(replace(settings, tracking_uri=store), own)
    else:
        linker = Linker(bundles.resolve(settings, own), settings.cache)

    def predict(requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [_answer(linker, request, str(number)) for number, request in enumerate(requests)]

    return predict


def _answer(linker: Linker | LinkerGroup, request: Mapping[str, Any], number: str) -> dict[str, Any]:
    text = str(request["text"])
    # The request number serves as the document id: the records need one, and the answer does not show it.
    mentions = tuple(
        Mention(text=text[span["start"] : span["end"]], start=span["start"], end=span["end"], document=number)
        for span in request.get("mentions") or ()
    )
    document = Document(id=number, text=text, mentions=mentions)
    ((_, links),) = linker.link_documents([document], min_probability=request.get("min_probability"))
    return {"links": [link_json(link) for link in links], "lineage": linker.lineage}
