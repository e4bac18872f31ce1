"""A text with some of its ids replaced, and with them the labels and versions beside them; no other byte changes."""

import html
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from belink.ontology.id_spans import Companion, Layout, Span
from belink.text.control import as_cell

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Edit = tuple[int, int, str]  # start, end, what is written there


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of ids that are replaced, and of those that replace them."""

    old: Mapping[str, Collection[str]]  # id → each label that it had
    new: Mapping[str, str]  # id → the label that it has now


def rewrite(text: str, edits: Sequence[Edit]) -> str:
    """Return ``text`` with ``edits``, which do not overlap."""
    pieces, position = [], 0
    for start, end, new in sorted(edits):
        pieces += [text[position:start], new]
        position = end
    return "".join([*pieces, text[position:]])


def id_edits(spans: Sequence[Span], successors: Mapping[str, str]) -> Iterator[Edit]:
    """Yield an edit for each span whose id has a successor, which is written in the form of the id."""
    for span in spans:
        if target := successors.get(span.id):
            # A successor of another prefix cannot be written in the old form, so it is written as a CURIE.
            prefix, _, local = target.partition(":")
            yield span.start, span.end, span.beginning + local if span.id.startswith(f"{prefix}:") else target


def companion_edits(
    text: str,
    layout: Layout,
    spans: Sequence[Span],
    companions: Sequence[Companion],
    successors: Mapping[str, str],
    open_ids: Collection[str],
    labels: Labels,
    versions: tuple[Collection[str], str],
) -> Iterator[Edit]:
    """Yield an edit for each label of a replaced id that stands beside it, and for the version beside it.

    A label counts where it is one that the id had, so that no other column changes. The version does where each id
    beside it is replaced or stays.

    :param spans: all ids of ``text``.
    :param open_ids: those that a person has to decide on.
    :param versions: earlier versions, and the one that takes their place.
    """
    replaced: dict[int, set[str]] = defaultdict(set)
    for span in spans:
        if span.id in successors:
            replaced[span.group].add(span.id)
    unsettled = {span.group for span in spans if span.id in open_ids}
    for companion in companions:
        value = _read(text[companion.start : companion.end], layout)
        if companion.kind == "version":
            is_settled = companion.group in replaced and companion.group not in unsettled
            new = versions[1] if is_settled and value in versions[0] else ""
        else:
            ids = (each for each in replaced.get(companion.group, ()) if value in labels.old.get(each, ()))
            new = next((labels.new.get(successors[each], "") for each in ids), "")
        if new and new != value:
            yield companion.start, companion.end, _written(new, text, companion.start, layout)


def _read(written: str, layout: Layout) -> str:
    """Return the value that is written in a file of ``layout``."""
    if layout == "json":
        # ``strict=False`` accepts control characters, which some writers leave unescaped.
        return str(json.loads(f'"{written}"', strict=False))
    if layout == "bioc-xml":
        return html.unescape(written)
    # The apostrophe is what ``as_cell`` puts before a cell that looks like a formula.
    return written.replace('""', '"').removeprefix("'")


def _written(value: str, text: str, start: int, layout: Layout) -> str:
    """Return ``value`` as a file of ``layout`` writes it at ``start`` of its text."""
    if layout == "json":
        # The quotes around it stand in the text already.
        return json.dumps(value, ensure_ascii=False)[1:-1]
    if layout == "bioc-xml":
        return escape(_NOT_XML.sub("\ufffd", value))
    value = as_cell(value)
    # A cell that is quoted stays quoted; one that is not gets quotes only where its new value needs them.
    doubled = value.replace('"', '""')
    if text[start - 1 : start] == '"':
        return doubled
    marks = ',;"\r\n' if layout == "csv" else '"\t\r\n'
    return f'"{doubled}"' if any(mark in value for mark in marks) else value
