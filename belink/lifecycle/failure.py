"""Errors that end a refresh, kept for ``belink status``."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from belink.errors import BelinkError, GateRefused
from belink.lifecycle.refresh import RefreshRun
from belink.registry import aliases


@contextmanager
def failure_noted(run: RefreshRun) -> Iterator[None]:
    """Note on the linker that an error ended its refresh; the error goes on.

    A gate's refusal is an outcome, and noted as such.
    """
    try:
        yield
    except GateRefused:
        raise
    except Exception as error:
        words = " ".join(str(error).split())
        reason = words if isinstance(error, BelinkError) else f"{type(error).__name__}: {words}"
        note = {"linker": run.linker.name, "outcome": "failed", "version": None, "gates": (), "reason": reason}
        # The registry may be what failed. The first error is the one to show.
        with suppress(Exception):
            aliases.note_refresh(run.settings, note)
        raise
