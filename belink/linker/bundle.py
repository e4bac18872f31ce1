"""A bundle is a linker: one folder that serving loads, gates compare and the registry stores.

    releases/<ontology>/   the releases themselves        linker.json       the declaration, whole
    index/                 names, vectors, FAISS          calibration.json  evidence → probability
    adapter/               LoRA weights, if any           lexicon.json      what corpora taught about names, if any
    encoder/               if it was fine-tuned           evaluation.json, gates.json, diffs/<ontology>.md
    manifest.json          the sha256 of each file, the models by reference and sha256, the lineage; written last

Parts are hard-linked, so a bundle costs a folder, not a copy. Without an evaluation it is a *draft*: it links, but the
registry does not take it. Nothing in a bundle is pickled.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from belink import artefacts, weights
from belink.declarations import LinkerConfig
from belink.errors import BelinkError, BundleError, ModelError
from belink.linker.calibration import Calibration
from belink.records import GateResult
from belink.text import normalise

FORMAT = 1
ADAPTER, CALIBRATION, ENCODER, EVALUATION, GATES, INDEX, LEXICON, LINKER = (
    "adapter",
    "calibration.json",
    "encoder",
    "evaluation.json",
    "gates.json",
    "index",
    "lexicon.json",
    "linker.json",
)


@dataclass(frozen=True, kw_only=True)
class ModelReference:
    """Weights that a bundle names but does not hold."""

    reference: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a bundle; folders are complete artefacts."""

    linker: LinkerConfig
    releases: Mapping[str, Path]  # ontology → release folder
    index: Path
    calibration: Path  # calibration.json
    encoder: ModelReference
    adapter: Path | None = None  # None: the linker decides by retrieval alone
    base_model: ModelReference | None = None  # the language model that the adapter belongs to; None: no adapter
    adapted: Path | None = None  # the fine-tuned encoder; None: the one that ``encoder`` names, as it is
    detector: ModelReference | None = None  # None: mentions are found by the ontology's names
    lexicon: Path | None = None  # lexicon.json: what corpora taught about those names; None: nothing
    diffs: Mapping[str, str] = field(default_factory=dict)  # ontology → Markdown, against the champion's release
    evaluation: Mapping[str, Any] | None = None  # None: a draft
    gates: Sequence[GateResult] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)  # what the refresh that made it started from


def assemble(parts: Parts, target_parent: Path) -> Path:
    """Write the bundle of ``parts`` below ``target_parent``, named by its content, and return its folder.

    :raises BundleError: the parts do not belong together.
    """
    described = _describe(parts)
    target = target_parent / str(described["key"])

    def fill(folder: Path) -> dict[str, Any]:
        _place(parts, folder)
        files = {
            str(path.relative_to(folder)): {"size": path.stat().st_size, "sha256": artefacts.sha256(path)}
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        _check_sums(folder, files)
        manifest = {**described, "created": datetime.now(UTC).isoformat(timespec="seconds"), "files": files}
        _check_parts(folder, manifest, deep=False)
        check_rules(folder, manifest)
        return manifest

    artefacts.make(target, fill)
    return target


def check(folder: Path, *, deep: bool = True) -> dict[str, Any]:
    """The manifest of the bundle at ``folder``, whose parts are all there, belong together and can be used.

    :param deep: read every file and compare its sha256; otherwise its size only.
    :raises BundleError: a part is missing, damaged, or made for other parts or by another belink; the message names it.
    """
    manifest = check_parts(folder, deep=deep)
    check_rules(folder, manifest)
    return manifest


def check_parts(folder: Path, *, deep: bool = True) -> dict[str, Any]:
    """As :func:`check` without :func:`check_rules`: a refresh can use the parts of a bundle of other rules."""
    try:
        manifest = artefacts.read_manifest(folder)
    except BelinkError as error:
        raise BundleError(
            f"{folder}: expected a bundle, found none or a damaged one ({error}); refresh again"
        ) from error
    if manifest.get("format") != FORMAT or manifest.get("kind") != "bundle":
        raise BundleError(
            f"{folder}: expected a bundle of format {FORMAT}, "
            f"found {manifest.get('kind')!r} of format {manifest.get('format')!r}; refresh again with this belink"
        )
    try:
        _check_parts(folder, manifest, deep=deep)
    except BundleError:
        raise
    except BelinkError as error:  # the manifest of a part is damaged
        raise BundleError(f"{error}; refresh again or roll back") from error
    return manifest


def _check_parts(folder: Path, manifest: Mapping[str, Any], *, deep: bool) -> None:
    _check_files(folder, manifest["files"], deep=deep)
    _check_releases(folder, manifest)
    _check_index(folder, manifest)
    _check_adapter(folder, manifest)


def check_rules(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Check that names were normalised and weights fitted by the rules of this belink.

    :raises BundleError: they were not.
    """
    if manifest["text_version"] != normalise.VERSION:
        raise BundleError(
            f"{folder}: names were normalised by version {manifest['text_version']}, this belink asks with version "
            f"{normalise.VERSION}; refresh again with this belink"
        )
    read_calibration(folder)


def read_calibration(folder: Path) -> Calibration:
    """Return the calibration of the bundle at ``folder``.

    :raises BundleError: it is damaged, or was fitted by other rules.
    """
    try:
        stored = json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{folder}: expected {CALIBRATION} as JSON, found {error}; refresh again") from error
    return Calibration.from_dict(stored)


def is_draft(manifest: Mapping[str, Any]) -> bool:
    """Whether the bundle was never evaluated."""
    return EVALUATION not in manifest["files"]


def base_sha256(manifest: Mapping[str, Any]) -> str | None:
    """Return the sha256 of the language model that a bundle names; ``None`` for one that links by retrieval alone.

    :param manifest: of the bundle. Those of earlier belinks name a language model without an adapter, too.
    """
    return (manifest.get("base_model") or {}).get("sha256")


def resolve_model(folder: Path, part: str, cache: Path) -> weights.ResolvedModel:
    """Return the weights that the bundle's manifest names as ``part``.

    :raises ModelError: they cannot be fetched, or are not those that the bundle was made with.
    """
    expected = artefacts.read_manifest(folder)[part]
    model = weights.resolve(expected["reference"], cache)
    if model.sha256 != expected["sha256"]:
        raise ModelError(
            f"{expected['reference']}: expected the weights of sha256 {expected['sha256'][:16]}… that {folder} was "
            f"made with, found {model.sha256[:16]}…; name a revision, or refresh again"
        )
    return model


def _describe(parts: Parts) -> dict[str, Any]:
    """The manifest without file hashes: everything that determines the content, and its key."""
    index = _part_manifest(parts.index, "index")
    releases = {name: _release_identity(path) for name, path in sorted(parts.releases.items())}
    if parts.adapter is not None:
        _part_manifest(parts.adapter, "adapter")
    if parts.adapted is not None:
        _part_manifest(parts.adapted, "encoder")
    described: dict[str, Any] = {
        "format": FORMAT,
        "kind": "bundle",
        "linker": parts.linker.name,
        "declaration": artefacts.key(parts.linker.model_dump(mode="json")),
        "belink": _version(),
        "text_version": index["text_version"],
        "releases": releases,
        "index": {
            "key": parts.index.name,
            "names": index["names"],
            "concepts": index["concepts"],
            "dimension": index["dimension"],
        },
        "adapter": parts.adapter.name if parts.adapter else None,
        "calibration": artefacts.sha256(parts.calibration),
        "encoder": {
            **asdict(parts.encoder),
            "fingerprint": index["encoder"],
            "adapted": parts.adapted.name if parts.adapted else None,
        },
        "inputs": dict(parts.inputs),
    }
    if parts.base_model is not None:
        described["base_model"] = asdict(parts.base_model)
    if parts.detector is not None:
        described["detector"] = asdict(parts.detector)
    if parts.lexicon is not None:
        described["lexicon"] = artefacts.sha256(parts.lexicon)
    determined = {
        **described,
        "evaluation": parts.evaluation,
        "gates": [asdict(gate) for gate in parts.gates],
        "diffs": dict(parts.diffs),
    }
    described["key"] = artefacts.key(determined)
    described["lineage"] = {
        "linker": parts.linker.name,
        "releases": ", ".join(f"{name} {release['version']}" for name, release in releases.items()),
        "index": parts.index.name,
        "adapter": parts.adapter.name if parts.adapter else "none",
        "bundle": described["key"],
    }
    return described


def _place(parts: Parts, folder: Path) -> None:
    (folder / "releases").mkdir()
    for name, release in parts.releases.items():
        artefacts.link_or_copy(release, folder / "releases" / name)
    artefacts.link_or_copy(parts.index, folder / INDEX)
    if parts.adapter is not None:
        artefacts.link_or_copy(parts.adapter, folder / ADAPTER)
    if parts.adapted is not None:
        artefacts.link_or_copy(parts.adapted, folder / ENCODER)
    artefacts.link_or_copy(parts.calibration, folder / CALIBRATION)
    if parts.lexicon is not None:
        artefacts.link_or_copy(parts.lexicon, folder / LEXICON)
    _write(folder / LINKER, parts.linker.model_dump(mode="json"))
    if parts.evaluation is not None:
        _write(folder / EVALUATION, parts.evaluation)
        _write(folder / GATES, [asdict(gate) for gate in parts.gates])
    for name, markdown in parts.diffs.items():
        (folder / "diffs").mkdir(exist_ok=True)
        (folder / "diffs" / f"{name}.md").write_text(markdown, encoding="utf-8")


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_files(folder: Path, files: Mapping[str, Mapping[str, Any]], *, deep: bool) -> None:
    for required in (LINKER, CALIBRATION, f"{INDEX}/{artefacts.MANIFEST}"):
        if required not in files:
            raise BundleError(f"{folder}: expected the part {required}, the manifest does not list it; refresh again")
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{folder}: the part {name} is missing; fetch the bundle again or roll back")
        size = path.stat().st_size
        if size != expected["size"]:
            raise BundleError(
                f"{folder}: the part {name} should have {expected['size']} bytes, found {size}; "
                "fetch the bundle again or roll back"
            )
        if deep and (found := artefacts.sha256(path)) != expected["sha256"]:
            raise BundleError(
                f"{folder}: the part {name} should have sha256 {expected['sha256'][:16]}…, found {found[:16]}…; "
                "fetch the bundle again or roll back"
            )


def _check_sums(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that each part has the bytes that it was made with, so that no damage gets a fresh sum.

    :param files: of the bundle, each with its ``sha256``.
    """
    for name in files:
        part, _, last = name.rpartition("/")
        if not part or last != artefacts.MANIFEST:
            continue
        manifest = artefacts.read_manifest(folder / part)
        for file, expected in artefacts.sums(manifest).items():
            sha256 = files.get(f"{part}/{file}", {}).get("sha256")
            if sha256 != expected:
                raise BundleError(
                    f"{part}/{file}: expected the bytes that it was made with (sha256 {expected[:16]}…), found "
                    f"{'others' if sha256 else 'no file'}; the disk has damaged it. Refresh again"
                )


def release_folders(folder: Path) -> list[Path]:
    """Return the folders of the releases in the bundle at ``folder``, each named by its ontology, in that order."""
    return sorted((folder / "releases").iterdir())


def _check_releases(folder: Path, manifest: Mapping[str, Any]) -> None:
    for name, expected in manifest["releases"].items():
        identity = _release_identity(folder / "releases" / name)
        if identity != expected:
            raise BundleError(
                f"{folder}: the release of {name} should be {_identity(expected)}, found {_identity(identity)}; "
                "refresh again"
            )


def _check_index(folder: Path, manifest: Mapping[str, Any]) -> None:
    index = _part_manifest(folder / INDEX, "index")
    built_from = {name: _short(release) for name, release in index["releases"].items()}
    for name in sorted(set(built_from) | set(manifest["releases"])):
        recorded = manifest["releases"].get(name)
        if recorded is None or built_from.get(name) != _short(recorded):
            raise BundleError(
                f"{folder}: the index was built from {name} {_identity(built_from.get(name))}, "
                f"the bundle holds {_identity(recorded)}; refresh again"
            )
    for figure in ("names", "concepts", "dimension"):
        if index[figure] != manifest["index"][figure]:
            raise BundleError(
                f"{folder}: the index should have {manifest['index'][figure]} {figure}, found {index[figure]}; "
                "refresh again"
            )
    if index["encoder"] != manifest["encoder"]["fingerprint"]:
        raise BundleError(
            f"{folder}: the index was encoded by {index['encoder']}, the bundle names the encoder "
            f"{manifest['encoder']['fingerprint']}; refresh again"
        )
    shape = _array_shape(folder / INDEX / "vectors.npy")
    if shape != (index["names"], index["dimension"]):
        raise BundleError(
            f"{folder}: index/vectors.npy should have shape {(index['names'], index['dimension'])}, found {shape}; "
            "refresh again"
        )


def _check_adapter(folder: Path, manifest: Mapping[str, Any]) -> None:
    if manifest["adapter"] is None:
        return
    adapter = _part_manifest(folder / ADAPTER, "adapter")
    base, named = adapter.get("base", {}).get("sha256"), base_sha256(manifest)
    if base is not None and base != named:
        raise BundleError(
            f"{folder}: the adapter was trained on a base model of sha256 {base[:16]}…, the bundle names "
            f"{f'{named[:16]}…' if named else 'none'}; train again"
        )


def _part_manifest(folder: Path, what: str) -> dict[str, Any]:
    try:
        return artefacts.read_manifest(folder)
    except BelinkError as error:
        raise BundleError(f"{folder}: the part {what} is missing or incomplete; refresh again") from error


def _release_identity(folder: Path) -> dict[str, str]:
    manifest = _part_manifest(folder, f"release of {folder.name}")
    return {key: str(manifest[key]) for key in ("version", "sha256", "database_sha256")}


def _short(release: Mapping[str, Any]) -> tuple[str, str]:
    return str(release["version"]), str(release["sha256"])


def _identity(release: Mapping[str, Any] | tuple[str, str] | None) -> str:
    if release is None:
        return "(nothing)"
    version, sha256 = release if isinstance(release, tuple) else _short(release)
    return f"{version} (sha256 {sha256[:16]}…)"


def _array_shape(path: Path) -> tuple[int, ...]:
    import numpy as np

    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape: tuple[int, ...] = read(stream)[0]
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: expected an array of vectors, found {error}; refresh again") from error
    return shape


def _version() -> str:
    from importlib.metadata import version

    return version("belink")
