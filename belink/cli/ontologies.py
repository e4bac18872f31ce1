"""Commands about ontology releases: read, compare, move ids."""

from __future__ import annotations

from pathlib import Path

import click

from belink.cli.console import TOUCHED, show_answer
from belink.cli.options import as_json, check_output, existing
from belink.settings import Settings


@click.command()
@click.argument("ontology")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=existing,
    help="A local file to read instead of the declared address. May be repeated.",
)
@click.option("--version", "version", help="The version of the release, where the file does not name it.")
@click.option("--accept", is_flag=True, help="Keep the release although a gate refuses it.")
@as_json
@click.pass_obj
def ingest(
    settings: Settings, ontology: str, files: tuple[Path, ...], version: str | None, accept: bool, json_: bool
) -> None:
    """Read an ontology into an immutable release.

    ONTOLOGY is the name of a declaration or a TOML file.
    """
    from belink.cli import commands, show

    show_answer(commands.ingest_ontology(settings, ontology, files, version, refuse=not accept), json_, show.ingested)


@click.command()
@click.argument("name")
@click.option(
    "--file", type=existing, required=True, help="The ontology: OBO, OWL, OBO Graph, MeSH, RRF, taxdump, table."
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="Where ontologies/NAME.toml and linkers/NAME.toml are written.",
)
@as_json
def new(name: str, file: Path, folder: Path, json_: bool) -> None:
    """Write the declarations of an ontology and a linker.

    Both TOML files are filled in from the file, with comments on the lines to choose.
    """
    from belink.cli import show
    from belink.ontology import new_declaration

    # The path is only for the next step that the text names: `belink refresh NAME --file PATH`.
    answer = new_declaration.as_json(new_declaration.write(name, file, folder))
    show_answer({**answer, "file": str(file)}, json_, show.declared)


@click.command()
@click.argument("ontology")
@click.argument("old")
@click.argument("new")
@click.option("--ids", type=existing, help="Show only what touches the ids in this file: one a line, or CSV or TSV.")
@click.option("--column", help="The column that holds ids, where --ids is a CSV or TSV file.")
@as_json
@click.pass_context
def diff(
    ctx: click.Context, ontology: str, old: str, new: str, ids: Path | None, column: str | None, json_: bool
) -> None:
    """Compare two releases of an ontology, given by version.

    "rejected" stands for the release that a gate refused last.

    With --ids the exit code is 3 where a change touches one of the ids, else 0.
    """
    from belink.cli import commands, show

    if ids is None:
        if column is not None:
            raise click.UsageError("--column names a column of the file of --ids; give both")
        show_answer(commands.compare(ctx.obj, ontology, old, new), json_, show.diff)
        return
    answer = commands.compare_terms(ctx.obj, ontology, old, new, ids, column=column)
    show_answer(answer, json_, show.diff)
    if answer["touched"]:
        ctx.exit(TOUCHED)


@click.command()
@click.argument("ontology")
@click.option("--from", "old", required=True, help="The release that the ids in the file come from.")
@click.option("--to", "new", required=True, help="The release to move them to.")
@click.option("--input", "input_", type=existing, required=True, help="The file to read.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.option("--column", help="The column that holds ids, in a CSV or TSV file.")
@as_json
@click.pass_obj
def migrate(
    settings: Settings,
    ontology: str,
    old: str,
    new: str,
    input_: Path,
    output: Path,
    column: str | None,
    json_: bool,
) -> None:
    """Move the ids in a file from one release to another.

    The file is annotated data or earlier output. An id without exactly one successor is listed in a review file
    beside the output.
    """
    from belink.cli import commands, show

    check_output(output, input_)
    show_answer(commands.migrate_file(settings, ontology, old, new, input_, output, column), json_, show.migrated)
