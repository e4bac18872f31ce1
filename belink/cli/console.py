r"""What every command shares: errors as one line and an exit code, log lines, and the one way to print.

Names of concepts come from files that anybody may have written. Control characters in them are shown as ``\x1b``,
because a terminal would obey them.
"""

import errno
import json
import logging
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

import click

from belink.errors import BelinkError, DeclarationError, GateRefused
from belink.text.control import visible, visible_json

ERROR, REFUSED = 1, 3
"""Exit codes: something that the user can correct, and a gate that refused."""
TOUCHED = REFUSED
"""Exit code of ``diff --ids`` where a change touches one of the ids, and of ``impact`` where a link changes."""


class Commands(click.Group):
    """Turns what a user can correct into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if error.option_name == "--home":
                name = ctx.invoked_subcommand or "COMMAND"
                raise click.UsageError(f"--home stands before the command: belink --home DIRECTORY {name}") from error
            raise
        except GateRefused as error:
            message, code = f"refused: {error}", REFUSED
            _release_frames(error)
        except DeclarationError as error:  # may have several mistakes to tell
            message, code = f"error: {error.listed}", ERROR
            _release_frames(error)
        except BelinkError as error:
            message, code = f"error: {error}", ERROR
            _release_frames(error)
        except OSError as error:
            # An `OSError` that Python code has raised by itself is a fault of the program, and keeps its traceback.
            if error.filename is None and error.errno is None:
                raise
            message, code = f"error: {_system_error(error, ctx)}", ERROR
            _release_frames(error)
        echo(message, err=True)
        ctx.exit(code)


def _system_error(error: OSError, ctx: click.Context) -> str:
    """Return one line about an error of the operating system; where a disk is full, with the folders to look at."""
    # Of a rename the target: what is moved there has a name that nobody has given.
    name = error.filename2 or error.filename
    where = f"{name}: " if name else ""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return f"{where or 'the system: '}{error.strerror or error}"
    home = getattr(ctx.obj, "home", "belink's home")
    return (
        f"{where}expected room on the disk, found none; free some where the output, {home} or {tempfile.gettempdir()} "
        "lies (belink gc lists what nothing needs), then repeat the command"
    )


def _release_frames(error: BaseException) -> None:
    """Clear the local variables of the frames of ``error`` and of its causes.

    Prefect keeps the error until the process exits, and with it an open database, which then prints a complaint.
    """
    reason: BaseException | None = error
    while reason is not None:
        # Frames hold local variables, and with them an open DuckDB connection.
        traceback.clear_frames(reason.__traceback__)
        # Each error of the chain has a traceback of its own.
        reason = reason.__cause__ or reason.__context__


class _VisibleFormatter(logging.Formatter):
    """A formatter whose lines hold no control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def log_to_stderr(level: int) -> None:
    """Send belink's own lines to standard error: a terminal has progress bars, a log file needs the lines."""
    # Prefect reports log lines that a server did not take without ending the line: the error would follow in it.
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_VisibleFormatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    for name in ("belink", "flows"):
        logger = logging.getLogger(name)
        # Assigned and not added: a second call, as `serve` makes one, must not print each line twice.
        logger.handlers = [handler]
        logger.setLevel(level)
        # Prefect gives the root logger a handler of its own, which would print the lines once more.
        logger.propagate = False


def json_text(document: Any) -> str:
    """Return ``document`` as one line of JSON, with control characters in JSON's own escapes."""
    return visible_json(json.dumps(document, ensure_ascii=False, default=str))


def echo(text: str, *, err: bool = False) -> None:
    """Print ``text``, control characters made visible."""
    click.echo(visible(text), err=err)


def show_answer(answer: dict[str, Any], as_json: bool, text: Callable[[dict[str, Any]], str]) -> None:
    """Print ``answer`` to standard output: as one line of JSON, or as the text that ``text`` makes of it."""
    if as_json:
        click.echo(json_text(answer))
    else:
        echo(text(answer))
