"""Bundles made by hand: the layout and manifests of real parts, with next to nothing in them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from belink import artefacts
from belink.declarations import LinkerConfig
from belink.linker import bundle
from belink.linker import calibration as calibrate
from belink.records import GateResult
from belink.text import normalise

NAMES, DIMENSION = 5, 4
SHA = "c0ffee" + "0" * 58


def linker(name: str = "sample", **changes: Any) -> LinkerConfig:
    return LinkerConfig(name=name, title="A sample", ontologies=("mondo-sample",), **changes)


def release(folder: Path, version: str = "2025-02-04", sha256: str = SHA) -> Path:
    with artefacts.build(folder) as aside:
        (aside / "release.duckdb").write_bytes(b"rows of " + version.encode())
        artefacts.write_manifest(
            aside,
            {
                "ontology": "mondo-sample",
                "version": version,
                "sha256": sha256,
                "database_sha256": artefacts.sha256(aside / "release.duckdb"),
            },
        )
    return folder


def index(folder: Path, version: str = "2025-02-04", **changes: Any) -> Path:
    with artefacts.build(folder) as aside:
        np.save(aside / "vectors.npy", np.zeros((NAMES, DIMENSION), np.float16))
        manifest = {
            "format": 1,
            "text_version": normalise.VERSION,
            "encoder": "tiny",
            "releases": {"mondo-sample": {"version": version, "sha256": SHA}},
            "names": NAMES,
            "concepts": 3,
            "dimension": DIMENSION,
        }
        artefacts.write_manifest(aside, {**manifest, **changes})
    return folder


def adapter(folder: Path, base_sha256: str = "b" * 64) -> Path:
    with artefacts.build(folder) as aside:
        (aside / "adapter_model.safetensors").write_bytes(b"weights")
        artefacts.write_manifest(aside, {"base": {"sha256": base_sha256}})
    return folder


def parts(folder: Path, *, version: str = "2025-02-04", name: str = "sample", **changes: Any) -> bundle.Parts:
    """Parts that belong together; ``changes`` replace some of them."""
    folder.mkdir(parents=True, exist_ok=True)
    calibration = folder / "calibration.json"
    calibration.write_text(json.dumps(calibrate.Calibration().to_dict()))
    content: dict[str, Any] = {
        "linker": linker(name),
        "releases": {"mondo-sample": release(folder / version, version)},
        "index": index(folder / f"index-{version}", version),
        "adapter": adapter(folder / "adapter"),
        "calibration": calibration,
        "encoder": bundle.ModelReference(reference="path:/encoder", sha256="e" * 64),
        "base_model": bundle.ModelReference(reference="path:/base", sha256="b" * 64),
        "diffs": {"mondo-sample": "| added | 3 |"},
        "evaluation": {"challenger": {"accuracy_at_1": 0.75}},
        "gates": [GateResult(name="min_accuracy_at_1", value=0.75, bound=0.5, passed=True)],
        "inputs": {"key": "abc"},
    }
    return bundle.Parts(**{**content, **changes})
