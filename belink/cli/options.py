"""Options and types that several commands share."""

import glob
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

as_json = click.option("--json", "json_", is_flag=True, help="Print one JSON document instead of text.")
linkers_option = click.option(
    "--linker",
    "linker",
    metavar="NAME[@ALIAS],…",
    help="Registered linkers, separated by commas. May be left out where there is only one.",
)
existing = click.Path(exists=True, path_type=Path)


class InputFiles(click.Path):
    """A file that exists, or a pattern with wildcards (``*``, ``?``, ``[…]``), which may match many."""

    name = "path or pattern"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        # Brackets may stand in the name of a file, too.
        return Path(value) if is_pattern(value) else super().convert(value, param, ctx)


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` has wildcards and names no file itself."""
    return glob.has_magic(os.fspath(path)) and not os.path.exists(path)


def check_output(output: Path | None, input_: Path | None) -> None:
    """Check that what a command writes does not take the place of what it reads.

    :raises click.UsageError: both are one file, whatever their paths.
    """
    if output is None or input_ is None or not (output.exists() and input_.exists()):
        return
    if output.samefile(input_):
        raise click.UsageError(f"{output}: expected another file for --output, found the input itself")


class Words(click.types.StringParamType):
    """A text of the command line. Bytes in it that are not UTF-8 are read as Windows-1252, as in a file."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # Python decodes arguments with `surrogateescape`; this gives back the bytes as they were typed.
        written = os.fsencode(str(value))
        try:
            return written.decode("utf-8")
        except UnicodeDecodeError:
            # Five bytes have no character in Windows-1252.
            return written.decode("cp1252", "replace")


class Probability(click.FloatRange):
    """A number from 0 to 1. ``nan`` is refused, although no bound excludes it."""

    name = "probability"

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        # Every comparison with NaN is false, so `FloatRange` lets it pass.
        if math.isnan(number):
            self.fail(f"expected a number from 0 to 1, found {value!r}", param, ctx)
        return number


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that all services have: where they listen, whom they answer, and their limits."""
    # Click lists the decorator that was applied last first.
    for option in reversed(_SERVICE_OPTIONS):
        command = option(command)
    return command


_SERVICE_OPTIONS = (
    click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on."),
    click.option(
        "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port to listen on."
    ),
    click.option(
        "--queue",
        type=click.IntRange(1),
        default=128,
        show_default=True,
        help="Requests that may be open at once; more get 503.",
    ),
    click.option(
        "--max-bytes", type=click.IntRange(1), default=1 << 20, show_default=True, help="Longest body of a request."
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0.1),
        default=60.0,
        show_default=True,
        help="Seconds that a request may take.",
    ),
    click.option(
        "--every",
        type=click.FloatRange(0.05),
        default=5.0,
        show_default=True,
        help="Seconds between looks at the registry.",
    ),
    click.option(
        "--allow-host",
        "hosts",
        multiple=True,
        metavar="NAME",
        help="Answer without a token by this name too, besides localhost and addresses; * for any. May be repeated.",
    ),
)
