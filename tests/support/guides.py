"""README and the guides, taken apart: code blocks, code spans, commands, links, headings, tables."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
GUIDES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "ontologies/README.md",
    "ontologies/samples/README.md",
    "flows/README.md",
    "docker/README.md",
    "tests/README.md",
    "tests/benchmarks/README.md",
    "tests/benchmarks/EXPERIMENTS.md",
)

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`((?:[^`\n]|\n(?!\n))+)`")


class Found(NamedTuple):
    """A piece of a guide; ``text`` is what pytest shows as the test's id."""

    guide: str
    text: str


def read(guide: str) -> str:
    """The text of a guide."""
    return (ROOT / guide).read_text(encoding="utf-8")


def prose(guide: str) -> str:
    """The text of a guide without its code blocks."""
    return _BLOCK.sub("", read(guide))


def blocks(guide: str, *languages: str) -> list[str]:
    """The contents of the code blocks in one of ``languages``, without the indentation of a list."""
    return [
        re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)
        for indent, language, body in _BLOCK.findall(read(guide))
        if language in languages
    ]


def spans(guide: str) -> list[str]:
    """The code spans of a guide's prose, each on one line."""
    return [re.sub(r"\s+", " ", span) for span in _SPAN.findall(prose(guide))]


def command_lines(guide: str) -> Iterator[str]:
    """What a reader would type: the lines behind ``$`` and the code spans that begin with a program of belink's."""
    for block in blocks(guide, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield line.removeprefix("$ ").split("  #")[0].strip()
    for span in spans(guide):
        if re.match(r"(belink|make|pytest) ", span):
            yield span


def calls(program: str, guides: tuple[str, ...] = GUIDES) -> list[Found]:
    """Every call of ``program``, as the words behind it: also behind ``&&``, and inside ``docker compose exec``."""
    found = []
    for guide in guides:
        for line in command_lines(guide):
            for part in re.split(r" (?:&&|\|) ", line):
                words = shlex.split(re.sub(r" [<>] .*", "", part))
                at = [i for i, word in enumerate(words) if word == program or word.endswith(f"bin/{program}")]
                if at:
                    found.append(Found(guide, shlex.join(words[at[0] + 1 :])))
    return sorted(set(found))


def links(guide: str) -> list[str]:
    """The targets of relative links."""
    return re.findall(r"\]\(((?!https?:)[^)]+)\)", prose(guide))


def slugs(guide: str) -> set[str]:
    """The anchors of a guide's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(guide), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def cells(row: str) -> list[str]:
    """The cells of a table row; an escaped bar belongs to its cell."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip()[1:-1])]


def table_after(guide: str, heading: str) -> list[list[str]]:
    """The rows of the first table behind ``heading`` in its section, without the header."""
    rows = []
    for line in prose(guide).partition(heading)[2].splitlines()[1:]:
        if line.startswith("|"):
            rows.append(cells(line))
        elif rows or line.startswith("#"):
            break
    return rows[2:]
