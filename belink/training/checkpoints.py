"""What both trainings share: arguments of the Trainer, checkpoints to continue from, progress, and checks."""

import json
import math
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import manifests, progress
from belink.errors import BelinkError, ModelError
from belink.training import validation

if TYPE_CHECKING:
    import torch

_RECORDED = ("loss", "learning_rate", "grad_norm")  # of what the Trainer logs
_LOG_EVERY = 10  # optimiser steps between entries of the loss history
_STATE = "state.json"


def trainer_arguments(work: Path, steps: int, config: Any, device: "torch.device") -> dict[str, Any]:
    """Return the arguments that every ``TrainingArguments`` here has in common.

    :param config: a declaration with ``learning_rate``, ``checkpoint_every`` and ``seed``.
    """
    return {
        "output_dir": str(work),
        "max_steps": steps,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "linear",
        "max_grad_norm": 1.0,
        "seed": config.seed,
        # The Trainer takes an accelerator by itself; only ``use_cpu`` keeps it on the CPU.
        "use_cpu": device.type == "cpu",
        "logging_steps": min(_LOG_EVERY, steps),
        "logging_nan_inf_filter": False,  # by default a loss of NaN is reported as the mean so far
        "save_steps": config.checkpoint_every,
        # Two checkpoints, since a killed run may leave the newest incomplete.
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        # torch warns about pinned memory on a machine without a GPU.
        "dataloader_pin_memory": False,
    }


def loss_history(trainer: Any) -> list[tuple[int, float]]:
    """Return (optimiser step, mean loss since the entry before) of a Trainer that has run."""
    return [(int(entry["step"]), float(entry["loss"])) for entry in trainer.state.log_history if "loss" in entry]


def check_weights(model: Any, work: Path) -> None:
    """Refuse a model that training has left with trained weights that are infinite or NaN.

    :raises ModelError: there is one; the checkpoints in ``work`` are removed.
    """
    import torch

    broken = [name for name, p in model.named_parameters() if p.requires_grad and not bool(torch.isfinite(p).all())]
    if broken:
        raise _diverged(f"infinite or NaN weights in {len(broken)} tensors, such as {broken[0]}", work)


def check_loss(loss: float, step: int, work: Path) -> None:
    """Refuse a loss that is infinite or NaN.

    :raises ModelError: it is; the checkpoints in ``work`` are removed.
    """
    if not math.isfinite(loss):
        raise _diverged(f"a loss of {loss} after {step} steps", work)


def _diverged(found: str, work: Path) -> ModelError:
    shutil.rmtree(work, ignore_errors=True)  # a continued run would start from the same weights
    return ModelError(f"training diverged: expected finite numbers, found {found}; declare a lower learning_rate")


def prepare_work(work: Path, identity: str) -> Path:
    """Return ``work``, emptied unless its checkpoints are of the same run.

    :param identity: names everything that the run depends on.
    """
    state = work / _STATE
    try:
        same_run = manifests.read_object(state)["identity"] == identity
    except (OSError, BelinkError):
        same_run = False
    if not same_run:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        # The identity is written before the first checkpoint, so no checkpoint ever lies beside another run's identity.
        state.write_text(json.dumps({"identity": identity}), "utf-8")
    return work


def newest_checkpoint(work: Path) -> Path | None:
    """Return the last complete checkpoint, if any, and remove incomplete ones.

    The Trainer writes trainer_state.json as the last of a checkpoint's files.
    """
    complete: list[tuple[int, Path]] = []
    for folder in work.glob("checkpoint-*"):
        try:
            complete.append((checkpoint_step(folder), folder))
        except (OSError, BelinkError, TypeError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
    return max(complete)[1] if complete else None


def checkpoint_step(checkpoint: Path | None) -> int:
    """Return the optimiser step after which a checkpoint was written; 0 for none."""
    if checkpoint is None:
        return 0
    return int(manifests.read_object(checkpoint / "trainer_state.json")["global_step"])


def recording(prefix: str, record: progress.Record | None) -> list[Any]:
    """Return the callbacks that hand each loss, learning rate and norm of the gradient to ``record``; ``[]`` for none.

    A continued run begins with the figures of the run before it, up to the checkpoint.

    :param prefix: before the names, with a slash, by which MLflow groups them.
    """
    from transformers import TrainerCallback

    if record is None:
        return []

    def note(entry: Any, step: int) -> None:
        for name, value in entry.items():
            if name in _RECORDED or name.startswith(validation.PREFIX):
                record(f"{prefix}/{name}", float(value), step)

    class Recorder(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            for entry in state.log_history:
                note(entry, int(entry["step"]))

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            note(logs or {}, state.global_step)

    return [Recorder()]


def training_clock(work: Path, first_step: int, steps: int, what: str = "training") -> Any:
    """Return a callback that shows progress, ends a run whose loss is not finite, and counts the seconds of all runs.

    :param first_step: the step that this run begins with; above 0 for a continued one.
    :param what: the name of the work, for the progress bar.
    """
    from transformers import TrainerCallback

    file = work / "seconds.json"
    try:
        seconds_at: dict[str, float] = manifests.read_object(file) if first_step else {}  # by checkpoint
        before = float(seconds_at.get(str(first_step), 0.0))
    except (OSError, BelinkError, TypeError, ValueError):
        seconds_at, before = {}, 0.0

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.started = time.monotonic()
            self.progress = progress.track(range(first_step, steps), what=what, total=steps - first_step, unit="steps")

        def seconds(self) -> float:
            return before + time.monotonic() - self.started

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            # Training begins here; loading a checkpoint before it does not count.
            self.started = time.monotonic()
            next(self.progress, None)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            next(self.progress, None)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                check_loss(float(logs["loss"]), state.global_step, work)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            # The seconds belong to a checkpoint: steps after it are lost with a killed run, and so is their time.
            seconds_at[str(state.global_step)] = self.seconds()
            file.write_text(json.dumps(seconds_at), "utf-8")

    return Clock()


def describe_platform(device: "torch.device", dtype: "torch.dtype") -> dict[str, str]:
    """Return the device, the dtype and the library versions that a training ran with."""
    import peft
    import torch
    import transformers

    return {
        "device": device.type,
        "dtype": str(dtype).removeprefix("torch."),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' log lines below errors within the block; progress is shown by :func:`training_clock`."""
    from transformers.utils import logging

    # transformers keeps a verbosity of its own, which it sets on its root logger.
    transformers_log: Any = logging  # the module has no type hints
    level = transformers_log.get_verbosity()
    transformers_log.set_verbosity_error()
    try:
        yield
    finally:
        transformers_log.set_verbosity(level)
