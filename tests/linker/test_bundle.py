"""A bundle is complete and consistent, or it is refused and the part is named."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from belink import artefacts
from belink.errors import BundleError
from belink.linker import bundle
from belink.text import normalise
from tests.support.handmade import adapter, index, parts, release


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return bundle.assemble(parts(tmp_path / "parts"), tmp_path / "bundles")


def rewrite(path: Path, **changes: Any) -> None:
    """Change a JSON file inside a bundle without touching the file it is linked to."""
    document = {**json.loads(path.read_text()), **changes}
    path.unlink()
    if path.name == artefacts.MANIFEST:
        artefacts.write_manifest(path.parent, document)
    else:
        path.write_text(json.dumps(document, indent=1))


def relist(made: Path, name: str) -> None:
    """Let the bundle's manifest list ``name`` as it lies there now."""
    files = artefacts.read_manifest(made)["files"]
    files[name] = {"size": (made / name).stat().st_size, "sha256": artefacts.sha256(made / name)}
    rewrite(made / artefacts.MANIFEST, files=files)


def test_holds_every_part_and_the_sha256_of_each_file(made: Path) -> None:
    manifest = bundle.check(made)
    assert set(manifest["files"]) == {
        str(p.relative_to(made)) for p in made.rglob("*") if p.is_file() and p.parent / p.name != made / "manifest.json"
    }
    assert all(artefacts.sha256(made / name) == file["sha256"] for name, file in manifest["files"].items())
    assert manifest["lineage"]["releases"] == "mondo-sample 2025-02-04"
    assert json.loads((made / "linker.json").read_text())["name"] == "sample"


def test_costs_no_second_copy_of_its_parts(made: Path, tmp_path: Path) -> None:
    original = tmp_path / "parts" / "index-2025-02-04" / "vectors.npy"
    assert (made / "index" / "vectors.npy").stat().st_ino == original.stat().st_ino


def test_equal_parts_are_one_bundle_and_other_gates_another(tmp_path: Path) -> None:
    first = bundle.assemble(parts(tmp_path / "parts"), tmp_path / "bundles")
    assert bundle.assemble(parts(tmp_path / "parts"), tmp_path / "bundles") == first
    other = bundle.assemble(parts(tmp_path / "parts", gates=()), tmp_path / "bundles")
    assert other != first


def test_without_evaluation_it_is_a_draft(tmp_path: Path, made: Path) -> None:
    draft = bundle.assemble(parts(tmp_path / "parts", evaluation=None), tmp_path / "bundles")
    assert bundle.is_draft(bundle.check(draft))
    assert not bundle.is_draft(bundle.check(made))


def test_without_adapter_it_is_still_a_linker(tmp_path: Path) -> None:
    made = bundle.assemble(parts(tmp_path / "parts", adapter=None), tmp_path / "bundles")
    assert bundle.check(made)["lineage"]["adapter"] == "none"


@pytest.mark.parametrize(
    "name",
    [
        "releases/mondo-sample/release.duckdb",
        "releases/mondo-sample/manifest.json",
        "index/vectors.npy",
        "index/manifest.json",
        "adapter/adapter_model.safetensors",
        "calibration.json",
        "linker.json",
        "gates.json",
    ],
)
def test_a_missing_part_is_named(made: Path, name: str) -> None:
    (made / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        bundle.check(made)


def test_a_flipped_bit_is_found_and_a_cut_file_even_without_reading(made: Path) -> None:
    path = made / "releases" / "mondo-sample" / "release.duckdb"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    bundle.check(made, deep=False)
    with pytest.raises(BundleError, match=r"release\.duckdb should have sha256"):
        bundle.check(made)
    path.write_bytes(content[:-1])
    with pytest.raises(BundleError, match=r"release\.duckdb should have"):
        bundle.check(made, deep=False)


def test_an_index_of_another_release_is_refused(tmp_path: Path) -> None:
    wrong = parts(tmp_path / "parts", index=index(tmp_path / "other", "2025-09-02"))
    with pytest.raises(BundleError, match=r"index was built from mondo-sample 2025-09-02.* holds 2025-02-04"):
        bundle.assemble(wrong, tmp_path / "bundles")
    assert not list((tmp_path / "bundles").iterdir())


def test_an_index_over_an_ontology_that_the_bundle_lacks_is_refused(tmp_path: Path) -> None:
    both = {name: {"version": "1", "sha256": "0" * 64} for name in ("hp", "mondo-sample")}
    with pytest.raises(BundleError, match="built from hp 1"):
        bundle.assemble(parts(tmp_path / "parts", index=index(tmp_path / "i", releases=both)), tmp_path / "bundles")


def test_a_calibration_of_other_rules_is_refused(tmp_path: Path) -> None:
    other = parts(tmp_path / "parts")
    found = json.loads(other.calibration.read_text())
    other.calibration.write_text(json.dumps({**found, "version": 1}))
    with pytest.raises(BundleError, match=r"found version 1 over .* refresh the linker"):
        bundle.assemble(other, tmp_path / "bundles")
    other.calibration.write_text("{")
    with pytest.raises(BundleError, match=r"expected calibration\.json as JSON"):
        bundle.assemble(other, tmp_path / "bundles")


def test_a_swapped_release_is_refused(made: Path, tmp_path: Path) -> None:
    shutil.rmtree(made / "releases" / "mondo-sample")
    shutil.copytree(release(tmp_path / "other", "2025-09-02"), made / "releases" / "mondo-sample")
    for name in ("release.duckdb", "manifest.json"):
        relist(made, f"releases/mondo-sample/{name}")
    with pytest.raises(BundleError, match="release of mondo-sample should be 2025-02-04"):
        bundle.check(made)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"names": 6}, "should have 5 names, found 6"),
        ({"concepts": 9}, "should have 3 concepts, found 9"),
        ({"dimension": 8}, "should have 4 dimension, found 8"),
        ({"encoder": "another"}, "encoded by another"),
    ],
)
def test_an_index_that_disagrees_is_refused(made: Path, changes: dict[str, Any], complaint: str) -> None:
    rewrite(made / "index" / "manifest.json", **changes)
    relist(made, "index/manifest.json")
    with pytest.raises(BundleError, match=complaint):
        bundle.check(made)


def test_vectors_of_another_shape_are_refused(made: Path) -> None:
    (made / "index" / "vectors.npy").unlink()
    np.save(made / "index" / "vectors.npy", np.zeros((5, 3), np.float16))
    relist(made, "index/vectors.npy")
    with pytest.raises(BundleError, match=r"shape \(5, 4\), found \(5, 3\)"):
        bundle.check(made)


def test_an_adapter_of_another_base_model_is_refused(tmp_path: Path) -> None:
    wrong = parts(tmp_path / "parts", adapter=adapter(tmp_path / "other", "d" * 64))
    with pytest.raises(BundleError, match="adapter was trained on a base model"):
        bundle.assemble(wrong, tmp_path / "bundles")


def test_an_adapter_needs_the_base_model_that_it_belongs_to(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="the bundle names none"):
        bundle.assemble(parts(tmp_path / "parts", base_model=None), tmp_path / "bundles")


def test_a_bundle_without_an_adapter_names_no_base_model(tmp_path: Path) -> None:
    made = bundle.assemble(parts(tmp_path / "parts", adapter=None, base_model=None), tmp_path / "bundles")
    manifest = bundle.check(made)
    assert "base_model" not in manifest
    assert bundle.base_sha256(manifest) is None


@pytest.mark.parametrize("named", [None, {}, {"reference": "path:/base", "sha256": "b" * 64}])
def test_a_bundle_without_an_adapter_may_name_any_base_model(tmp_path: Path, named: dict[str, str] | None) -> None:
    made = bundle.assemble(parts(tmp_path / "parts", adapter=None, base_model=None), tmp_path / "bundles")
    rewrite(made / artefacts.MANIFEST, base_model=named)
    assert bundle.base_sha256(bundle.check(made)) == (named or {}).get("sha256")


def test_names_normalised_by_another_version_are_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalise, "VERSION", normalise.VERSION + 1)
    with pytest.raises(BundleError, match="normalised by version"):
        bundle.check(made)


@pytest.mark.parametrize("content", ["", "{", '{"format": 1}', '{"format": 99, "kind": "bundle"}', "[]"])
def test_an_invalid_bundle_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(BundleError) as raised:
        bundle.check(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected a bundle"):
        bundle.check(tmp_path)
