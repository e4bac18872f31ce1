"""The dictionary of the package ``drug-named-entity-recognition`` → a list of synonyms.

It collects names of 20,000 drugs from DrugBank's open vocabulary (CC0), MeSH, MedlinePlus, the NHS and Wikipedia; the
package is MIT-licensed. Its code is not used: it keeps a cache in the user's home and can ask services.
"""

import bz2
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from belink.errors import SourceError


class _PlainUnpickler(pickle.Unpickler):
    """Reads containers, strings and numbers; a pickle that names anything to import is refused before it is."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}")


def convert(dictionary: Path, target: Path) -> Path:
    """Write the names in ``dictionary`` (a pickled mapping, bz2) to ``target`` as ``preferred_name`` and ``name``.

    :raises SourceError: not the package's dictionary.
    """
    try:
        with bz2.open(dictionary) as stream:
            content: Mapping[str, Any] = _PlainUnpickler(stream).load()
        drugs = content["drug_canonical_to_data"]
        pairs = [
            (str(drugs.get(drug, {}).get("name") or drug), str(variant))
            for variant, of_drugs in content["drug_variant_to_canonical"].items()
            for drug in of_drugs
        ]
    except (OSError, EOFError, pickle.UnpicklingError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{dictionary}: expected the dictionary of drug-named-entity-recognition, found {error}; name a version of "
            "the package that has it"
        ) from error
    with target.open("w", encoding="utf-8", newline="\n") as out:
        out.write("preferred_name\tname\n")
        out.writelines("\t".join(" ".join(text.split()) for text in pair) + "\n" for pair in pairs)
    return target
