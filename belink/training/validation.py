"""Measure a model at a few points of its training, for a curve beside the loss.

The sample is fixed, and drawn from what calibrates: it is held out from training, and nothing of it is evaluated on
(see :mod:`belink.training.splits`). Nothing is chosen by it either. A training takes its planned steps and keeps its
last weights, the same ones as without validation.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from belink import progress

POINTS = 4  # measurements during a training, at equal distances; the last is after the last step
PREFIX = "validation_"  # of figures in the Trainer's history


def validating(
    group: str, steps: int, measure: Callable[[], Mapping[str, float]], record: "progress.Record | None"
) -> Any:
    """Return a callback that measures before the first step and at :data:`POINTS` points, and records the figures.

    They are kept in the Trainer's history, and with it in checkpoints. So a continued run has the curve of one that was
    never interrupted.

    :param group: before the names in MLflow, with a slash.
    :param measure: returns name → figure of the model as it is.
    """
    from transformers import TrainerCallback

    at = {math.ceil(steps * part / POINTS) for part in range(1, POINTS + 1)}

    def validate(state: Any) -> None:
        with _random_numbers_kept():
            figures = measure()
        entry = {f"{PREFIX}{name}": value for name, value in figures.items()}
        state.log_history.append({**entry, "step": state.global_step})
        if record is not None:
            for name, value in entry.items():
                record(f"{group}/{name}", value, state.global_step)

    class Validator(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 0:
                validate(state)

        # The Trainer writes checkpoints after this, so that of a point has its figures.
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step in at:
                validate(state)

    return Validator()


def validation_history(trainer: Any) -> list[dict[str, float]]:
    """Return ``step`` and figures of each measurement of a Trainer that has run."""
    return [
        {name.removeprefix(PREFIX): value for name, value in entry.items() if name == "step" or name.startswith(PREFIX)}
        for entry in trainer.state.log_history
        if any(name.startswith(PREFIX) for name in entry)
    ]


@contextmanager
def _random_numbers_kept() -> Iterator[None]:
    """Let the training draw the same random numbers after the block as without it."""
    import torch

    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the Trainer's own generator)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
