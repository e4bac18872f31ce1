r"""What every command shares: errors as one line and an exit code, log lines, and the one way to print.

Names of concepts come from files that anybody may have written. Control characters in them are shown as ``\x1b``: a
terminal would obey them.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from belink.errors import BelinkError, DeclarationError, GateRefused
from belink.text.control import visible, visible_json

ERROR, REFUSED = 1, 3
"""Exit codes: something that the user can correct, and a gate that refused."""
TOUCHED = REFUSED
"""Exit code of ``belink diff --ids`` where a change touches one of the ids: a gate of the user's own."""


class Commands(click.Group):
    """Turns what a user can correct into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
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
            if error.filename is None and error.errno is None:
                raise
            message, code = f"error: {error.filename or 'the system'}: {error.strerror or error}", ERROR
            _release_frames(error)
        echo(message, err=True)
        ctx.exit(code)


def _release_frames(error: BaseException) -> None:
    """Drop what the frames of ``error`` hold: Prefect keeps the error to the end, when an open database complains."""
    reason: BaseException | None = error
    while reason is not None:
        traceback.clear_frames(reason.__traceback__)
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
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


def json_text(document: Any) -> str:
    """Return ``document`` as one line of JSON, with control characters in JSON's own escapes."""
    return visible_json(json.dumps(document, ensure_ascii=False, default=str))


def echo(text: str, *, err: bool = False) -> None:
    """Print ``text``, control characters made visible."""
    click.echo(visible(text), err=err)


def show_answer(answer: dict[str, Any], as_json: bool, text: Callable[[dict[str, Any]], str]) -> None:
    """Print ``answer`` as JSON, or as the text that ``text`` makes of it."""
    if as_json:
        click.echo(json_text(answer))
    else:
        echo(text(answer))
