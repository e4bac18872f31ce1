"""Commands of people's corrections: feedback list, export and import; and review, the queue of mentions to judge."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from belink.cli.console import show_answer
from belink.cli.options import as_json, check_output, existing
from belink.settings import Settings


@click.group()
def feedback() -> None:
    """List, export and import people's corrections of links."""


@feedback.command("list")
@click.argument("linker")
@as_json
@click.pass_obj
def list_(settings: Settings, linker: str, json_: bool) -> None:
    """List the corrections of a linker, and whether each teaches, measures or is in conflict."""
    from belink.cli import corrections

    show_answer(corrections.list_corrections(settings, linker), json_, corrections.listed)


@feedback.command()
@click.argument("linker")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "label-studio", "doccano"]),
    default="jsonl",
    show_default=True,
    help="jsonl is a corpus that belink reads.",
)
@as_json
@click.pass_obj
def export(
    settings: Settings, linker: str, output: Path, format_: Literal["jsonl", "label-studio", "doccano"], json_: bool
) -> None:
    """Write the corrections in force to a file.

    Corrections on which people disagree are left out. Labels are concept ids, "NIL" or "no mention".
    """
    from belink.cli import corrections

    show_answer(corrections.export_corrections(settings, linker, output, format_), json_, corrections.exported)


@feedback.command("import")
@click.argument("linker")
@click.option(
    "--input", "input_", type=existing, required=True, help="Label Studio's or doccano's export, or a corpus."
)
@click.option("--who", default="import", show_default=True, help="The name that the corrections are kept under.")
@as_json
@click.pass_obj
def import_(settings: Settings, linker: str, input_: Path, who: str, json_: bool) -> None:
    """Store the labels of a file as corrections of a linker."""
    from belink.cli import corrections

    show_answer(corrections.import_corrections(settings, linker, input_, who), json_, corrections.imported)


@click.command()
@click.argument("linker", metavar="LINKER[@ALIAS]")
@click.option(
    "--input",
    "input_",
    type=click.Path(exists=True, allow_dash=True, path_type=Path),
    required=True,
    help="Texts in any format of belink link, plain or gzip; - reads standard input.",
)
@click.option("--n", type=click.IntRange(1), default=100, show_default=True, help="Mentions to list.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the queue for belink serve --review, as JSONL.")
@as_json
@click.pass_obj
def review(settings: Settings, linker: str, input_: Path, n: int, output: Path | None, json_: bool) -> None:
    """List the mentions of a file that are most worth a person's minute.

    Best first, by the number of wrong links that one judgement is expected to mend: one less the probability of the
    answer, times the mentions with the same text; twice that for a concept that is new in the release.
    """
    from belink.cli import corrections

    check_output(output, input_)
    show_answer(corrections.review(settings, linker, input_, n, output), json_, corrections.queued)
