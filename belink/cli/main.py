"""``belink …``: each command opens what it names, calls one function and prints its answer.

Exit codes: 0 done, 1 an error that the user can correct (one line says how), 2 wrong usage, 3 a gate refused, a change
touches a listed id (``diff --ids``) or a link changes (``impact``). With ``--json`` standard output holds exactly one
JSON document; everything else goes to standard error. Imports of anything heavy stand inside the commands: ``belink
--help`` answers in a tenth of a second.
"""

import logging
import sys
from pathlib import Path

import click

from belink.cli import feedback, linkers, linking, ontologies
from belink.cli.console import Commands, log_to_stderr
from belink.settings import load


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where releases, models and the registry lie. Default: BELINK_HOME, or ./.belink.",
)
@click.option("-v", "--verbose", is_flag=True, help="Print log lines to standard error.")
@click.version_option(package_name="belink")
@click.pass_context
def belink(ctx: click.Context, home: Path | None, verbose: bool) -> None:
    """Link mentions in biomedical text to ontology concepts, and keep that correct while the ontologies change."""
    # Without a terminal (cron, CI) nobody sees progress bars, so the log has the lines.
    log_to_stderr(logging.INFO if verbose or not sys.stderr.isatty() else logging.WARNING)
    ctx.obj = load(home)


# In the order of work: ontologies, linkers, linking.
for command in [
    ontologies.new, ontologies.ingest, ontologies.diff, ontologies.migrate,
    linkers.index, linkers.train, linkers.refresh, linkers.evaluate, linkers.impact,
    linkers.status, linkers.register, linkers.promote, linkers.rollback, linkers.gc, linkers.deploy,
    linking.link, linking.search, linking.serve, linking.mcp, linking.models, linking.demo,
    feedback.feedback, feedback.review,
]:  # fmt: skip
    belink.add_command(command)


def main() -> None:
    """Entry point of the console command."""
    belink()


if __name__ == "__main__":
    main()
