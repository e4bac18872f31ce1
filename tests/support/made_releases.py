"""Releases and OBO files of a few concepts, made on the spot."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from belink import artefacts, settings
from belink.declarations import SourceConfig, load_source
from belink.ontology.release import DATABASE, FORMAT, ReleaseWriter
from belink.records import Concept, Name, Rejection


def concept(local: int | str, label: str | None = None, *synonyms: str, **changes: Any) -> Concept:
    """X:<local>; plain numbers in ``parents``, ``replaced_by``… are ids of X too."""
    ids = {"parents", "replaced_by", "consider", "alt_ids"} & changes.keys()
    changes.update({key: tuple(_id(each) for each in changes[key]) for key in ids})
    names = tuple(Name(text=text, scope="exact") for text in synonyms)
    return Concept(id=_id(local), label=label, synonyms=names, **changes)


def _id(local: int | str) -> str:
    return local if isinstance(local, str) and ":" in local else f"X:{local}"


def source(name: str = "x", **changes: Any) -> SourceConfig:
    given: dict[str, Any] = {"title": name, "format": "obo", "prefixes": ("X",), "licence": "CC0"}
    return SourceConfig(name=name, **{**given, **changes})


def release(
    target: Path, *concepts: Concept, created: str = "", rejections: Iterable[Rejection] = (), ontology: str = "x"
) -> Path:
    """A release at ``target``, its version being the folder's name."""
    with artefacts.build(target) as aside:
        with ReleaseWriter(aside / DATABASE, source(ontology)) as into:
            into.concepts(concepts)
            for rejection in rejections:
                into.reject(rejection)
            counts = into.counts()
        manifest = {"format": FORMAT, "ontology": ontology, "version": target.name, "prefixes": ["X"], "counts": counts}
        artefacts.write_manifest(aside, {**manifest, "created": created or target.name, "sha256": target.name})
    return target


def obo(*concepts: Concept, version: str | None = "2025-01-01") -> str:
    """The concepts as an OBO file."""
    lines = ["format-version: 1.4", *([f"data-version: x/releases/{version}"] if version else []), "ontology: x", ""]
    for each in concepts:
        lines += ["[Term]", f"id: {each.id}"]
        lines += [f"name: {each.label}"] if each.label else []
        lines += [f"alt_id: {other}" for other in each.alt_ids]
        lines += [f'synonym: "{name.text}" {name.scope.upper()} []' for name in each.synonyms]
        lines += [f"is_a: {parent}" for parent in each.parents]
        lines += ["is_obsolete: true"] if each.obsolete else []
        lines += [f"replaced_by: {other}" for other in each.replaced_by]
        lines += [f"consider: {other}" for other in each.consider]
        lines.append("")
    return "\n".join(lines)


def real_mondo(factory: pytest.TempPathFactory) -> settings.Settings:
    """A home with the MONDO releases 2025-02-04 and 2025-09-02, read once a session."""
    from belink.ontology.ingest import ingest

    here = settings.load(factory.getbasetemp() / "real-mondo")
    for version in ("2025-02-04", "2025-09-02"):
        file = Path(os.environ["BELINK_DATA"]) / "ontologies" / f"mondo-{version}.obo.gz"
        ingest(load_source("mondo"), [file], here)
    return here


with_data = pytest.mark.skipif("BELINK_DATA" not in os.environ, reason="BELINK_DATA is not set")
