"""Commands that make and manage linkers: build, train, refresh, measure, promote, clean up, schedule."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from belink.cli.console import REFUSED, TOUCHED, echo, show_answer
from belink.cli.options import as_json, existing
from belink.settings import Settings


@click.command()
@click.argument("linker")
@as_json
@click.pass_obj
def index(settings: Settings, linker: str, json_: bool) -> None:
    """Build the index of a linker's newest releases.

    Vectors of unchanged names are copied from the index before.
    """
    from belink.cli import commands, show

    show_answer(commands.index_linker(settings, linker), json_, show.indexed)


@click.command()
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
    # Exit code 1, so that a script can ask before it trains.
    if answer["advice"]:
        raise click.ClickException(show.too_large(answer))


@click.command()
@click.argument("linker")
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="[ONTOLOGY=]PATH",
    help="A local file to read instead of an ontology's address. May be repeated.",
)
@click.option(
    "--version",
    "versions",
    multiple=True,
    metavar="[ONTOLOGY=]VERSION",
    help="The version to ask for, which is also the release's. May be repeated.",
)
@click.option("--accept", is_flag=True, help="Take a release although a gate on releases refuses it.")
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
    versions: tuple[str, ...],
    accept: bool,
    retrain: Literal["auto", "always", "never"],
    share_restricted: bool,
    json_: bool,
) -> None:
    """Update a linker, and promote it if its gates pass.

    Steps: releases, index, training where needed, calibration, evaluation, gates, registry, champion. LINKER is the
    name of a linker or of an ontology, or a TOML file. An ontology alone is linked by defaults.
    """
    from belink.cli import commands, show
    from belink.flows.refresh import run

    # On standard error, because standard output belongs to the outcome.
    if defaults := commands.linker_defaults(linker):
        echo(show.defaults(defaults), err=True)
    outcome = run(
        settings,
        linker,
        _paths(_by_ontology(linker, files, "PATH")),
        retrain,
        # As usual on a command line, the last of several values counts.
        versions={name: given[-1] for name, given in _by_ontology(linker, versions, "VERSION").items()},
        accept=accept,
        share_restricted=share_restricted,
    )
    show_answer(outcome.to_dict(), json_, show.refreshed)
    # A refused challenger is a result and no error: it is shown in full, and the exit code tells scripts.
    if outcome.outcome == "rejected":
        sys.exit(REFUSED)


def _by_ontology(linker: str, given: tuple[str, ...], what: str) -> dict[str, list[str]]:
    """Return ontology → values of ``ONTOLOGY=VALUE``; the ontology may be left out where the linker has one."""
    values: dict[str, list[str]] = {}
    for text in given:
        ontology, separator, value = text.partition("=")
        if not separator or Path(text).exists():  # a path may hold "=", too
            from belink.cli import commands

            ontologies, value = commands.ontologies_of(linker), text
            if len(ontologies) > 1:
                raise click.BadParameter(
                    f"expected ONTOLOGY={what} with one of {', '.join(ontologies)}, found {text!r}"
                )
            (ontology,) = ontologies
        values.setdefault(ontology, []).append(value)
    return values


def _paths(files: dict[str, list[str]]) -> dict[str, list[Path]]:
    for ontology, paths in files.items():
        for path in paths:
            # Click cannot check a path that stands behind `ONTOLOGY=`.
            if not Path(path).exists():
                raise click.BadParameter(f"expected ONTOLOGY=PATH with an existing path, found '{ontology}={path}'")
    return {ontology: [Path(path) for path in paths] for ontology, paths in files.items()}


@click.command()
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


@click.command()
@click.argument("linker")
@click.option("--from", "old", metavar="VERSION", help="The version or alias that made the links so far.")
@click.option(
    "--past",
    type=existing,
    help="Instead of --from: links as belink link --output wrote them. For PubTator add --from.",
)
@click.option(
    "--to", "new", metavar="VERSION", default="champion", show_default=True, help="The version or alias to compare."
)
@click.option(
    "--input",
    "input_",
    type=existing,
    required=True,
    help="The texts, in any format that belink link reads; of --past, the ones it was made from.",
)
@as_json
@click.pass_context
def impact(
    ctx: click.Context, linker: str, old: str | None, past: Path | None, new: str, input_: Path, json_: bool
) -> None:
    """Show which links of your texts change between two versions, and why.

    A change is explained where the difference of their releases accounts for it. The exit code is 3 where a link
    changes, else 0.
    """
    from belink.cli import commands, show

    if old is None and past is None:
        raise click.UsageError("give --from or --past")
    answer = commands.impact(ctx.obj, linker, old, new, input_, past)
    show_answer(answer, json_, show.impact)
    if answer["changed"]:
        ctx.exit(TOUCHED)


@click.command()
@as_json
@click.pass_obj
def status(settings: Settings, json_: bool) -> None:
    """Say what answers, since when, made from what, what is new, what failed last, and what to do."""
    from belink.cli.show_status import status
    from belink.registry.status import read_status

    show_answer(read_status(settings), json_, status)


@click.command()
@click.argument("name")
@click.argument("linkers", metavar="LINKER[@ALIAS]...", nargs=-1, required=True)
@click.option("--nested", is_flag=True, help="Keep mentions that lie within longer ones, too.")
@as_json
@click.pass_obj
def register(settings: Settings, name: str, linkers: tuple[str, ...], nested: bool, json_: bool) -> None:
    """Register several linkers as one MLflow model, NAME.

    The model follows the aliases: it looks them up when it is loaded. LINKER@VERSION stays at that version.
    """
    from belink.cli import show_several
    from belink.registry import groups

    if len(linkers) < 2:
        raise click.UsageError("name two linkers or more; a single one is a model already")
    show_answer(groups.register_group(settings, name, linkers, nested=nested), json_, show_several.registered)


@click.command()
@click.argument("linker")
@click.argument("version")
@as_json
@click.pass_obj
def promote(settings: Settings, linker: str, version: str, json_: bool) -> None:
    """Make a registered version the champion."""
    from belink.cli import show
    from belink.registry import aliases

    show_answer(aliases.promote(settings, linker, version), json_, show.aliases_moved)


@click.command()
@click.argument("linker")
@as_json
@click.pass_obj
def rollback(settings: Settings, linker: str, json_: bool) -> None:
    """Make the version before the champion again."""
    from belink.cli import show
    from belink.registry import aliases

    show_answer(aliases.rollback(settings, linker), json_, show.aliases_moved)


@click.command()
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


@click.command()
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

    # A deployment without an image would fail only when its first run starts.
    if pools != "process" and not image:
        raise click.UsageError(f"give --image: {pools} pools run flows in containers")
    request = Wanted(linkers=linkers, infrastructure=pools, image=image, share_restricted=share_restricted)
    if print_:
        # Plain `click.echo`: this text goes into a file, and `echo` would replace control characters.
        click.echo(prefect_yaml(request), nl=False)
        return
    from belink.flows.deploy import deploy as run

    show_answer(run(request), json_, show.deployed)
