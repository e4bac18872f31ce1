"""What trainings share: a folder that a killed run is continued from, progress, and what they ran on."""

import json
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belink import progress

if TYPE_CHECKING:
    import torch

_LOGGED = 10  # optimiser steps between entries of the loss history
_STATE = "state.json"


def arguments(work: Path, steps: int, training: Any, place: "torch.device") -> dict[str, Any]:
    """What every Trainer is told, for its ``TrainingArguments``.

    :param training: a declaration with ``learning_rate``, ``checkpoint_every`` and ``seed``.
    """
    return {
        "output_dir": str(work),
        "max_steps": steps,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": "linear",
        "max_grad_norm": 1.0,
        "seed": training.seed,
        "use_cpu": place.type == "cpu",
        "logging_steps": min(_LOGGED, steps),
        "save_steps": training.checkpoint_every,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def history(trainer: Any) -> list[tuple[int, float]]:
    """(optimiser step, mean loss since the entry before) of a Trainer that has run."""
    return [(int(entry["step"]), float(entry["loss"])) for entry in trainer.state.log_history if "loss" in entry]


def workplace(work: Path, identity: str) -> Path:
    """``work``, emptied unless what lies there is of the same run."""
    state = work / _STATE
    try:
        same = json.loads(state.read_text("utf-8"))["identity"] == identity
    except (OSError, ValueError, KeyError):
        same = False
    if not same:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        state.write_text(json.dumps({"identity": identity}), "utf-8")
    return work


def newest(work: Path) -> Path | None:
    """The last checkpoint that was written whole: the Trainer writes trainer_state.json last of its files."""
    found: list[tuple[int, Path]] = []
    for folder in work.glob("checkpoint-*"):
        try:
            found.append((int(json.loads((folder / "trainer_state.json").read_text("utf-8"))["global_step"]), folder))
        except (OSError, ValueError, KeyError):
            shutil.rmtree(folder, ignore_errors=True)
    return max(found)[1] if found else None


def step_of(checkpoint: Path | None) -> int:
    """The optimiser step that a checkpoint was written after; 0 for none."""
    if checkpoint is None:
        return 0
    return int(json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))["global_step"])


def clock(work: Path, begun: int, steps: int, what: str = "training") -> Any:
    """A callback that shows progress and adds up the seconds of all runs that training took."""
    from transformers import TrainerCallback

    file = work / "seconds.json"
    try:
        spent: dict[str, float] = json.loads(file.read_text("utf-8")) if begun else {}  # seconds until a checkpoint
    except (OSError, ValueError):
        spent = {}
    before = spent.get(str(begun), 0.0)

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.started = time.monotonic()
            self.shown = progress.track(range(begun, steps), what=what, total=steps - begun, unit="steps")

        def seconds(self) -> float:
            return before + time.monotonic() - self.started

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.started = time.monotonic()
            next(self.shown, None)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            next(self.shown, None)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            spent[str(state.global_step)] = self.seconds()
            file.write_text(json.dumps(spent), "utf-8")

    return Clock()


def platform_of(place: "torch.device", dtype: "torch.dtype") -> dict[str, str]:
    import peft
    import torch
    import transformers

    return {
        "device": place.type,
        "dtype": str(dtype).removeprefix("torch."),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }


@contextmanager
def quiet() -> Iterator[None]:
    """Log lines of transformers below errors kept off; ours tell the progress."""
    from transformers.utils import logging

    theirs: Any = logging
    level = theirs.get_verbosity()
    theirs.set_verbosity_error()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
