"""Several linkers as one registered model, for consumers that know MLflow alone.

Its versions hold no bundle: only the references of the linkers, ``disease@champion`` or ``chemical@3``, in the folder
that a linker's version has its bundle in. They are looked up in the same registry when the model is loaded, so an alias
is followed, and a version stays.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from belink import artefacts, manifests
from belink.errors import RegistryError
from belink.linker.group import LinkerGroup
from belink.registry import aliases, bundles
from belink.registry.open import open_linker
from belink.registry.store import Store, one_line
from belink.settings import Settings


def register_group(settings: Settings, name: str, references: Sequence[str], *, nested: bool = False) -> dict[str, Any]:
    """Register linkers as the model ``name``, make the new version its champion, and return both with the lineage.

    :param references: ``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION``, at least two; the first is preferred where answers
        are equal.
    :param nested: keep a mention that lies within a longer one, too.
    :raises RegistryError: one of them is not registered, or ``name`` is that of another model.
    """
    full = [each if "@" in each else f"{each}@{aliases.CHAMPION}" for each in references]
    lineage = LinkerGroup([open_linker(settings, each) for each in full]).lineage
    content = {"linkers": full, "nested": nested}
    store = Store(settings)
    with one_line(f"{name}: MLflow did not take the linkers"), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / artefacts.key(content)
        folder.mkdir()
        (folder / bundles.GROUP).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        version = store.add_group(name, folder, full, lineage)
        store.set_alias(name, aliases.CHAMPION, version)
    return {"name": name, "version": version, "linkers": full, "lineage": lineage}


def is_group(folder: Path) -> bool:
    """Whether the folder of a stored model lists linkers, rather than holding a bundle."""
    return (folder / bundles.GROUP).is_file()


def open_group(settings: Settings, folder: Path) -> LinkerGroup:
    """Return the linkers that ``folder`` lists, as they are registered now.

    :raises RegistryError: one of them is gone.
    """
    content = manifests.read_object(folder / bundles.GROUP)
    linkers = [open_linker(settings, str(each)) for each in content["linkers"]]
    if not linkers:
        raise RegistryError(f"{folder / bundles.GROUP}: expected linkers, found none; register them again")
    return LinkerGroup(linkers, nested=bool(content["nested"]))
