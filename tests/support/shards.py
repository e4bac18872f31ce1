"""Corpora in files for a linker of tiny models, and what must hold when they are linked."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from belink.cli import show_several
from belink.corpora.files import read_documents
from belink.corpora.links import write_links
from belink.linker.group import link_stream
from belink.linker.linker import Linker
from belink.linker.shards import RECORDS
from belink.registry import aliases
from tests.support.serving import Made

NAME = "sharded"


def register(served: Made, number: int = 1) -> str:
    """Register a version of :data:`NAME`; return its reference. The first becomes the champion."""
    version = served.register(NAME, number=number)
    if number == 1:
        aliases.promote(served.here, NAME, version)
    return f"{NAME}@{version}"


def texts(linker: Linker) -> list[str]:
    """Sentences with names of the linker, changed names, and none."""
    names = sorted(linker.index.names(), key=lambda name: (len(name), name))[40:64]
    return [f"Case {i}: {name} and {name[:-1]}s were seen." for i, name in enumerate(names)] + ["Nothing.", "", "α-"]


def write(path: Path, documents: Mapping[Any, str]) -> None:
    """Write a file of JSON Lines, from id → text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"id": str(identifier), "text": text}) + "\n" for identifier, text in documents.items()]
    path.write_text("".join(lines), encoding="utf-8")


def write_many(folder: Path, texts: Sequence[str], *, n_files: int, n_documents: int) -> None:
    """Write ``n_files`` files of ``n_documents`` different documents each."""
    for number in range(n_files):
        documents = {
            f"{number}-{i}": f"{texts[(number + i) % len(texts)]} {texts[i % len(texts)]} {number} {i}"
            for i in range(n_documents)
        }
        write(folder / f"{number}.jsonl", documents)


def command(served: Made, pattern: Path, output: Path, *more: str) -> list[str]:
    """The command that links the files."""
    arguments = ["--home", str(served.here.home), "link", "--linker", NAME, "--input", str(pattern)]
    return [sys.executable, "-m", "belink.cli.main", *arguments, "--output", str(output), "--json", *more]


def is_complete(source: Path, output: Path, linker: Linker) -> bool:
    """Whether ``output`` has for each file the very bytes that linking it alone gives, and nothing else but records."""
    names = sorted(path.name for path in source.iterdir())
    assert sorted(path.name for path in output.iterdir()) == sorted([RECORDS, *names])
    assert sorted(path.name for path in (output / RECORDS).iterdir()) == [".lock", *(f"{name}.json" for name in names)]
    for name in names:
        alone = output.parent / "alone" / name
        write_links(link_stream(linker, read_documents(source / name)), alone, linker.lineage)
        assert (output / name).read_bytes() == alone.read_bytes(), name
    return True


def shown(sums: dict[str, Any], others: Sequence[str] = ()) -> str:
    """What the command prints for a person."""
    return show_several.linked_files({**sums, "others": list(others), "folders": [], "output": "out"})
