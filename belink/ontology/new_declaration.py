"""Two TOML files to start from: an ontology's and a linker's, filled in from a file, with a comment where to choose."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from belink import artefacts
from belink.declarations import ReleaseGates, SourceConfig, default_linker, load_linker, load_source
from belink.errors import DeclarationError
from belink.ontology.describe import Description, describe
from belink.ontology.release import folder_name

_SHOWN = 8  # prefixes named in a comment


@dataclass(frozen=True, kw_only=True)
class NewDeclaration:
    """The files that were written."""

    ontology: Path
    linker: Path
    description: Description


def write(name: str, file: Path, folder: Path) -> NewDeclaration:
    """Write ``ontologies/NAME.toml`` and ``linkers/NAME.toml`` below ``folder``, and return what they say.

    :raises DeclarationError: one of them is there already.
    :raises SourceError: the file is of no format that belink reads.
    """
    paths = [folder / kind / f"{folder_name(name, 'name')}.toml" for kind in ("ontologies", "linkers")]
    for path in paths:
        if path.exists():
            raise DeclarationError(f"{path}: expected no file, found one; give another name, or remove it")
    description = describe(name, file)
    for path, text in zip(paths, (ontology_toml(name, file, description), linker_toml(name, description)), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        with artefacts.atomic_write(path) as aside:
            aside.write_text(text, encoding="utf-8")
    ontology, linker = paths
    load_linker(str(linker))  # a mistake of ours shows now
    load_source(str(ontology))
    return NewDeclaration(ontology=ontology, linker=linker, description=description)


def ontology_toml(name: str, file: Path, of: Description) -> str:
    """Return the declaration of an ontology. Lines that a person may want are there as comments."""
    others = [f"{prefix} {count:,}" for prefix, count in of.by_prefix.items() if prefix not in of.prefixes]
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    own = ", ".join(f"{of.by_prefix.get(prefix, 0):,} of {prefix}" for prefix in of.prefixes)
    left = f"; left out: {', '.join(others[:_SHOWN])}{more}" if others else ""
    lines = [
        f"# An ontology, as belink new found it in {file.name}. All keys: ontologies/README.md.",
        _line("title", of.title or name, "" if of.title else "the file states none"),
        _line("format", of.format),
        '# url = "https://…"  # where a refresh fetches it; without it, give --file',
        _line("version", of.version_rule, f"this file: {of.version}"),
        _line("prefixes", list(of.prefixes), f"concepts in the file: {own or 'no prefix'}{left}"),
        _line("licence", of.licence or "unknown", "" if of.licence else "the file states none"),
    ]
    if of.licence_url:
        lines.append(_line("licence_url", of.licence_url))
    if not of.licence:
        lines.append(
            _line("redistributable", False, "keeps it off a shared MLflow server; true once the licence allows")
        )
    lines += [
        '# citation = "…"',
        '# schedule = "0 2 1 * *"  # cron, UTC: when a deployment fetches it; needs url',
        f'# branches = ["{of.prefixes[0] if of.prefixes else "X"}:…"]  # keep only these and what lies below them',
    ]
    if of.comment:
        lines.append(_line("comment", of.comment, "lines that begin so are no rows"))
    if of.columns:
        columns = [_line(key, column) for key, column in of.columns.items()]
        lines += ["", "[columns]", *columns]
        if "separator" not in of.columns:
            lines.append('# separator = "|"  # between the values of one cell')
    lines += ["", *_gates(of)]
    return "\n".join(lines) + "\n"


def _gates(of: Description) -> list[str]:
    """Return the section of gates: comments, but for the bounds that the file itself would break."""
    head = "[gates]  # what a release must hold before anything is built on it"
    lines = [head if of.over_bound else f"# {head}"]
    for key, bound in ReleaseGates().model_dump(mode="json").items():
        measured = of.over_bound.get(key)
        if measured is None:
            lines.append(f"# {key} = {bound}")
        else:
            # A share gets a tenth more than the file has, in whole hundredths, so that the next release passes as well.
            wider = math.ceil(measured) if isinstance(bound, int) else min(1.0, math.ceil(measured * 110) / 100)
            lines.append(_line(key, wider, f"this file has {measured:.4g}; {bound} is the default"))
    return lines


def linker_toml(name: str, of: Description) -> str:
    """Return the declaration of a linker: the default one, each line to be changed."""
    # Only the defaults of a linker are taken from it, and those do not depend on the licence.
    source = SourceConfig(name=name, title=of.title or name, format=of.format, prefixes=of.prefixes, licence="unknown")
    linker = default_linker(source, name)
    gates = linker.gates.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    lines = [
        f"# A linker of the ontology {name}. All keys: flows/README.md.",
        _line("title", linker.title),
        _line("ontologies", [f"../ontologies/{name}.toml"], "relative to this file"),
        '# schedule = "0 4 1 * *"  # cron, UTC: a deployed retraining also runs then',
        "# min_probability = 0.5  # a link below it is answered as NIL",
        "",
        "[training]",
        _line("questions", linker.training.questions, "1200 trains a language model on the names: 10 minutes more"),
        _line("held_out", linker.training.held_out, "share of names that measure; 0.1 where questions train"),
        "",
        "[evaluation]",
        _line("items", linker.evaluation.items, "names that are hidden and asked"),
        "",
        "[gates]  # what must hold before a version becomes champion",
        *(_line(key, value) for key, value in gates.items()),
        "max_latency_ratio = 100.0  # a mention takes milliseconds, and the time of so little is the machine's",
        "",
        "[[corpora]]",
        "feedback = true  # learn from the corrections that belink serve --feedback stores",
        "",
        "# [[corpora]]  # annotated text, if there is any: it trains, calibrates and evaluates",
        '# name = "my-corpus"',
        '# file = "corpus.jsonl"  # BioC, PubTator or JSONL, beside this file',
    ]
    return "\n".join(lines) + "\n"


def as_json(new: NewDeclaration) -> dict[str, object]:
    """Return what ``belink new --json`` prints."""
    described = asdict(new.description)
    return {"ontology": str(new.ontology), "linker": str(new.linker), **described}


def _line(key: str, value: object, comment: str = "") -> str:
    # For strings, numbers, booleans and lists of them JSON and TOML are written alike.
    text = json.dumps(value, ensure_ascii=False)
    return f"{key} = {text}" + (f"  # {comment}" if comment else "")
