"""What every command of the command line shares: errors as one line and an exit code, log lines, what is printed."""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from belink.errors import BelinkError, GateRefused

MENDABLE, REFUSED = 1, 3


class Commands(click.Group):
    """Turns what a user can mend into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except GateRefused as error:
            said, code = f"refused: {error}", REFUSED
            _let_go(error)
        except BelinkError as error:
            said, code = f"error: {error}", MENDABLE
            _let_go(error)
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            said, code = f"error: {error.filename or 'the system'}: {error.strerror or error}", MENDABLE
            _let_go(error)
        click.echo(said, err=True)
        ctx.exit(code)


def _let_go(error: BaseException) -> None:
    """Close what the frames of ``error`` hold: Prefect keeps the error to the end, when an open database complains."""
    reason: BaseException | None = error
    while reason is not None:
        traceback.clear_frames(reason.__traceback__)
        reason = reason.__cause__ or reason.__context__


def log_to_stderr(level: int) -> None:
    """Send belink's own lines to standard error: a terminal has progress bars, a log file needs the lines."""
    # Prefect tells of log lines that a server did not take, without ending the line: the error would follow in it.
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("belink")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


def show_answer(document: dict[str, Any], as_json: bool, text: Callable[[dict[str, Any]], str]) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, default=str) if as_json else text(document))
