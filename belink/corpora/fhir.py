"""Links as FHIR CodeableConcepts (https://hl7.org/fhir/datatypes.html#CodeableConcept), one JSON line a mention.

A mention is a name in a text. Resources such as Condition state something of a patient, which a linker does not know:
the text may deny it, or speak of a relative. So each line is the data type that all of them hold, for the reader to put
into the resource that fits. NIL is a concept with a text and no coding.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from belink import artefacts, declarations
from belink.errors import DeclarationError
from belink.records import Link, link_json

EXTENSION = "urn:belink:"  # before the names of extensions
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # in a string of FHIR


def read_codes(releases: Iterable[Path]) -> dict[str, str]:
    """Return the FHIR code systems of releases: prefix → ``SYSTEM|CODE`` with ``{id}`` or ``{curie}``.

    A release says what was declared when it was made. For one that does not say, the declaration of today counts.
    """
    codes: dict[str, str] = {}
    for folder in releases:
        manifest = artefacts.read_manifest(folder)
        declared = manifest.get("fhir_codes")
        if declared is None:
            try:
                declared = declarations.load_source(manifest["ontology"]).fhir_codes
            except DeclarationError:
                declared = {}  # made from somebody's own file, which is not at hand
        codes = {**declared, **codes}
    return codes


def codeable_concept(link: Link, codes: Mapping[str, str]) -> dict[str, Any]:
    """Return ``link`` as a CodeableConcept: coding, the mention as text, and extensions for what FHIR has no place for.

    A concept whose prefix has no code system has its CURIE as code, and no system.
    """
    node = link_json(link, n_candidates=0)
    extensions = [{"url": f"{EXTENSION}probability", "valueDecimal": node["probability"]}]
    if document := _string(node["document"]):
        extensions.append({"url": f"{EXTENSION}document", "valueString": document})
    extensions += [{"url": f"{EXTENSION}{name}", "valueUnsignedInt": node[name]} for name in ("start", "end")]
    concept: dict[str, Any] = {"extension": extensions}
    if node["id"] is not None:
        concept["coding"] = [_coding(node, codes)]
    if text := _string(node["text"]):
        concept["text"] = text
    return concept


def _coding(node: Mapping[str, Any], codes: Mapping[str, str]) -> dict[str, str]:
    prefix, _, local = node["id"].partition(":")
    system, _, code = codes.get(prefix, "|{curie}").rpartition("|")
    code = code.replace("{id}", local).replace("{curie}", node["id"])
    # A code of FHIR has no blanks at its ends, and single ones inside.
    coding = {"system": system, "version": node["release"], "code": " ".join(code.split()), "display": node["label"]}
    return {name: text for name, value in coding.items() if (text := _string(value or ""))}


def _string(text: str) -> str:
    """Return ``text`` as FHIR takes it, which has no control characters; ``""`` where nothing but blanks is left."""
    return _FORBIDDEN.sub("\ufffd", text) if text.strip() else ""


def lines(links: Iterable[Link], codes: Mapping[str, str]) -> bytes:
    """Return one line of JSON for each link."""
    return b"".join(json.dumps(codeable_concept(link, codes), ensure_ascii=False).encode() + b"\n" for link in links)
