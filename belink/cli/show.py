"""What the command line prints for people: one function for each command's answer, from JSON document to text."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from belink.linker.abstention import Abstention
from belink.text.control import visible

_WIDTH = 120  # columns, where the output is not a terminal
_PREFIXES = 8  # of concepts that are left out, named at most

Answer = dict[str, Any]


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> str:
    """Return a table as plain text, at most as wide as the terminal, or 120 columns without one.

    :param header: column names; one that begins with ``# `` is of numbers, aligned right and shown without the sign.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in header:
        grid.add_column(name.removeprefix("# "), justify="right" if name.startswith("#") else "left", overflow="fold")
    for row in rows:
        # Text, not markup: a name may hold square brackets.
        grid.add_row(*(Text("" if cell is None else visible(str(cell))) for cell in row))
    # No colours: every control character that belink prints is then one that came with the data.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(grid)
    # Rich pads lines to the full width, which copies badly.
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")


def _lines(answer: Answer, *names: str) -> str:
    # Empty values are left out, but 0 and False are shown: both say something.
    shown = [(name, answer[name]) for name in names if answer.get(name) not in (None, "", {}, [])]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name.replace('_', ' '):<{width}}  {_number(value)}" for name, value in shown)


def _number(value: object) -> str:
    # `bool` is a subclass of `int`, so it is asked for first.
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def ingested(answer: Answer) -> str:
    head = f"{answer['ontology']} {answer['version']}: {'read' if answer['new'] else 'already here'}"
    counts = _lines(answer, "concepts", "obsolete", "names", "rejected", "repaired", "release", "sha256")
    unmeasured = [f"not measured: {gate['name']}, {gate['detail']}" for gate in answer["gates"] if not gate["measured"]]
    left_out = coverage(answer["coverage"])
    return "\n".join([head, counts, *unmeasured, *([left_out] if left_out else [])])


def declared(answer: Answer) -> str:
    lines = _lines(answer, "ontology", "linker", "format", "version", "names", "rejected", "title", "licence")
    others = {prefix: count for prefix, count in answer["by_prefix"].items() if prefix not in answer["prefixes"]}
    own = sum(answer["by_prefix"].get(prefix, 0) for prefix in answer["prefixes"])
    covered = {
        "concepts": sum(answer["by_prefix"].values()),
        "linked": own,
        "prefixes": answer["prefixes"],
        "left_out": others,
    }
    left_out = coverage(covered).replace("live concepts", "concepts")
    next_step = f"next: belink refresh {answer['linker']} --file {answer['file']}"
    return "\n".join([lines, *([left_out] if left_out else []), next_step])


def coverage(of: Answer) -> str:
    """Return which live concepts are linked, and the prefixes of those that are not; ``""`` where all of them are."""
    if not of["left_out"]:
        return ""
    rest = [f"{prefix} {count:,}" for prefix, count in of["left_out"].items()]
    more = f" and {len(rest) - _PREFIXES} more prefixes" if len(rest) > _PREFIXES else ""
    linked = f"{of['linked']:,} of {', '.join(of['prefixes'])} are linked" if of["linked"] else "none is linked"
    return f"{of['concepts']:,} live concepts, {linked}; left out (`prefixes`): {', '.join(rest[:_PREFIXES])}{more}"


def defaults(answer: Answer) -> str:
    """Return what a linker without declaration is made by, one line each."""
    lines = {**answer, "gates": ", ".join(f"{name} {bound:g}" for name, bound in answer["gates"].items())}
    return "no linker of that name is declared; made by default:\n" + _lines(lines, *lines)


def diff(answer: Answer) -> str:
    return str(answer["markdown"])


def impact(answer: Answer) -> str:
    return str(answer["markdown"])


def impact_lines(watched: Answer | None) -> list[str]:
    """Return one line about each watched text."""
    lines = []
    for name, text in (watched or {}).items():
        causes = [f"{cause} {count:,}" for cause, count in text["counts"].items() if count and cause != "unchanged"]
        lines.append(
            f"text {name}: {text['changed']:,} of {text['mentions']:,} links change, "
            f"{text['unexplained_changes']:,} of them unexplained" + (f" ({', '.join(causes)})" if causes else "")
        )
    return lines


def diff_counts(answer: Answer) -> str:
    """Return how many changes of each kind there are, without examples."""
    counts = [
        (name.replace("_", " "), f"{value:,}") for name, value in answer.items() if isinstance(value, int) and value
    ]
    return table(("change", "# count"), counts)


def migrated(answer: Answer) -> str:
    return _lines(answer, "unchanged", "migrated", "review", "unknown", "output", "review_file")


def indexed(answer: Answer) -> str:
    return _lines(answer, "names", "encoded", "reused", "recall_at_10", "index")


def trained(answer: Answer) -> str:
    return _lines(answer, "examples", "seconds", "adapter")


def footprint(answer: Answer) -> str:
    lines = {
        "model": f"{answer['model']}, {answer['dtype']} on {answer['device']}",
        "parameters": answer["parameters"],
        "trained": answer["trained"],
        "batch": f"{answer['batch_size']} questions of at most {answer['max_length']} tokens"
        + ", gradients checkpointed" * answer["gradient_checkpointing"],
        **{name: _gib(answer[name]) for name in ("weights", "adapter", "activations", "total", "available")},
    }
    return _lines(lines, *lines)


def too_large(answer: Answer) -> str:
    return (
        f"expected {_gib(answer['total'])} of memory on {answer['device']}, found {_gib(answer['available'])}; "
        f"declare {answer['advice']}"
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def gates(results: Iterable[Answer]) -> str:
    rows = [
        (
            g["name"],
            _measured(g["value"]),
            _measured(g["bound"]),
            "FAIL" if not g["passed"] else "pass" if g.get("measured", True) else "not measured",
            g.get("detail", ""),
        )
        for g in results
    ]
    return table(("gate", "# value", "# bound", "", "detail"), rows)


def _measured(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "not measured"


def refreshed(answer: Answer) -> str:
    head = f"{answer['linker']}: {answer['outcome']}"
    if answer.get("unmeasured_gates"):
        head += f"; not measured, on too few mentions: {', '.join(answer['unmeasured_gates'])}"
    if answer["outcome"] == "unchanged":
        return f"{head}; champion is version {answer['champion']}"
    counts = _lines(answer, "version", "champion", "encoded", "reused")
    left_out = [f"{name}: {text}" for name, of in answer.get("coverage", {}).items() if (text := coverage(of))]
    shared = [_shared(answer["shared_ids"])] if answer.get("shared_ids") else []
    reason = [answer["reason"]] if answer.get("reason") else []
    bound = [str(chosen)] if (chosen := Abstention.from_dict(answer.get("abstention"))) else []
    texts = impact_lines(answer.get("impact"))
    return "\n".join([head, counts, *bound, *texts, *left_out, *shared, *reason, gates(answer["gates"])])


def _shared(of: Answer) -> str:
    from belink.lifecycle.coverage import shared_in_words

    return shared_in_words(of["examples"], of["concepts"])


def evaluated(answer: Answer) -> str:
    low, high = answer["accuracy_ci95"]
    rows = [("accuracy@1", f"{answer['accuracy_at_1']:.3f}  ({low:.3f} to {high:.3f})")]
    rows += [(f"recall@{k}", f"{answer[f'recall_at_{k}']:.3f}") for k in (1, 10, 20)]
    rows += [("mentions/s", f"{answer['mentions_per_second']:.1f}")]
    distinct = answer["distinct"]
    low, high = distinct["accuracy_ci95"]
    rows += [("accuracy@1, distinct", f"{distinct['accuracy_at_1']:.3f}  ({low:.3f} to {high:.3f})")]
    rule = f"Distinct ({distinct['n']:,}): {distinct['rule']}."
    marked = table(("metric", "value"), rows, title=f"{answer['n']:,} mentions") + f"\n{rule}"
    return f"{marked}\n\n{_raw_text(answer['end_to_end'])}" if answer["end_to_end"] else marked


def _raw_text(figures: Answer) -> str:
    """Return the figures from raw text, with the default bound and without any."""
    names = ("precision", "recall", "f1", "nil_precision", "nil_recall")
    groups = (figures, figures["unbounded"])
    cells = ["not measured" if group[name] is None else f"{group[name]:.3f}" for name in names for group in groups]
    rows = list(zip(("precision", "recall", "F1", "NIL precision", "NIL recall"), cells[::2], cells[1::2], strict=True))
    title = f"from raw text: {figures['n_annotated']:,} mentions annotated, {figures['n_found']:,} found"
    head = ("metric", f"# links from {figures['bound']:.2f}", "# no bound")
    return table(head, [*rows, ("ECE", "", f"{figures['ece']:.3f}")], title=title)


def links(answers: Sequence[Answer]) -> str:
    """Return a table of links, one row a mention; with document and offsets where they come from a file."""
    if not answers:
        return "no mention found"
    # A text from the command line is one document without an id.
    with_document = any(link["document"] for link in answers)
    with_linker = len({link["linker"] for link in answers}) > 1
    rows = [
        (
            *((link["document"], link["start"], link["end"]) if with_document else ()),
            link["text"],
            link["id"] or "NIL",
            link["label"] or "",
            f"{link['probability']:.2f}",
            f"{link['ontology']} {link['release']}" if link["id"] else "",
            *((link["linker"],) if with_linker else ()),
        )
        for link in answers
    ]
    header = ("mention", "id", "label", "# probability", "release", *(("linker",) if with_linker else ()))
    return table(("document", "# start", "# end", *header) if with_document else header, rows)


def linked(answer: Answer) -> str:
    if answer.get("output"):
        return f"{answer['documents']:,} documents, {answer['mentions']:,} mentions, written to {answer['output']}"
    text = links(answer["links"])
    if "unlinked" in answer:
        return f"{text}\n\n{_unlinked(answer['unlinked'])}"
    return text if answer["links"] else f"{text}; --explain says why names in the text are not linked"


def _unlinked(names: Sequence[Answer]) -> str:
    """Return a table of the names that are not linked, with the best concept where there was one."""
    if not names:
        return "every name in the text is linked"
    rows = [
        (
            *((name["document"],) if any(each["document"] for each in names) else ()),
            f"{name['start']}-{name['end']}",
            name["text"],
            name["reason"],
            f"{name['id']} {name['label']} {name['probability']:.2f}" if name["id"] else "",
        )
        for name in names
    ]
    # Rows have one cell more where a document has an id.
    header = ("offsets", "name", "why it is not linked", "best concept")
    return table(("document", *header) if len(rows[0]) > len(header) else header, rows)


def search_results(answer: Answer) -> str:
    notes = "\n".join(answer["notes"])
    if not answer["concepts"]:
        return notes or f"nothing like {answer['query']!r}"
    rows = [
        (
            concept["id"],
            concept["label"],
            concept["name"],
            f"{concept['score']:.3f}",
            f"{concept['ontology']} {concept['release']}",
        )
        for concept in answer["concepts"]
    ]
    return table(("id", "label", "matched name", "# score", "release"), rows) + (f"\n{notes}" if notes else "")


def deployed(answer: Answer) -> str:
    rows = [(name, answer["schedules"].get(name, "")) for name in answer["deployments"]]
    pools = ", ".join(f"{name} ({limit or 'any number'} at a time)" for name, limit in answer["pools"].items())
    head = f"server  {answer['server']}\npools   {answer['infrastructure']}: {pools}"
    return head + "\n" + table(("deployment", "cron, UTC"), rows)


def aliases_moved(answer: Answer) -> str:
    return f"{answer['linker']}: champion is version {answer['champion']}, previous {answer['previous'] or 'none'}"


def model_pulled(answer: Answer) -> str:
    return _lines(answer, "reference", "path", "sha256")


def cleaned(answer: Answer) -> str:
    if not answer["remove"]:
        return "nothing to remove"
    rows = [(item["what"], item["path"], _mib(item["bytes"]), item["why"]) for item in answer["remove"]]
    verb = "removed" if answer["done"] else "would be removed; --yes does it"
    kept = f"; left alone: {', '.join(answer['busy'])} (a refresh is running)" if answer["busy"] else ""
    return table(("what", "which", "# MiB", "why"), rows) + f"\n{_mib(answer['freed'])} MiB {verb}{kept}"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f}"
