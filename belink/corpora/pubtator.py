"""PubTator: a title line, an abstract line, then one tab-separated line a mention; blank lines between documents.

``8701013|t|Famotidine-associated delirium.``, ``8701013|a|…``, then id, start, end, text, type and concept id of each
mention. The abstract begins one character after the title's end. Relation lines are skipped. The format has neither
sentences nor discontinuous mentions: writing gives the span that covers all pieces.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from belink.corpora.assemble import Annotation, Passage, RawDocument, gold_ids, whole_number
from belink.records import Document, Link, Mention

TITLE = re.compile(r"[^|\t\r\n]{1,200}\|[ta]\|")  # what a PubTator file begins with
_TEXT = re.compile(r"([^|\t]{1,200})\|([a-z])\|(.*)", re.DOTALL)
_RELATION = re.compile(r"[^\t]+\t[A-Za-z_-]+\t[^\t]+\t[^\t]+")
_MAX_LINE = 1 << 28  # bytes; a longer line is not read as one


def read(stream: BinaryIO, default_prefix: str) -> Iterator[RawDocument]:
    """Yield the documents of a PubTator file, in order.

    :param stream: UTF-8 without byte order mark.
    :param default_prefix: put before concept ids that have none.
    :raises ValueError: a line outside any document.
    """
    identifier, passages, annotations = "", list[Passage](), list[Annotation]()
    for number, raw in enumerate(iter(lambda: stream.readline(_MAX_LINE), b""), 1):
        line = raw.decode("utf-8").rstrip("\r\n")
        text = _TEXT.fullmatch(line)
        ends = not line.strip() or (text is not None and text[1] != identifier)
        if ends and passages:
            yield RawDocument(id=identifier, passages=tuple(passages), annotations=tuple(annotations))
            passages, annotations = [], []
        if not line.strip():
            continue
        if text is not None:
            identifier = text[1]
            offset = passages[-1].offset + len(passages[-1].text) + 1 if passages else 0
            passages.append(Passage(offset=offset, text=text[3]))
        elif not passages:
            raise ValueError(f"line {number}: expected ID|t|title, found {line[:60]!r}")
        else:
            annotations += _annotations(line, number, default_prefix)
    if passages:
        yield RawDocument(id=identifier, passages=tuple(passages), annotations=tuple(annotations))


def document_block(document: Document, links: dict[Mention, Link]) -> bytes:
    """Return ``document`` as PubTator lines; other line breaks and tabs in its text become blanks.

    :param links: of some of its mentions; their ids take the place of the mentions' own.
    """
    title, _, abstract = document.text.partition("\n")
    identifier = re.sub(r"[|\t\r\n]", " ", document.id)[:200] or "-"
    lines = [f"{identifier}|t|{_flat(title)}", f"{identifier}|a|{_flat(abstract)}"]
    for mention in document.mentions:
        words = _flat(document.text[mention.start : mention.end])
        cells = [identifier, str(mention.start), str(mention.end), words, _flat(mention.type), _id(mention, links)]
        lines.append("\t".join(cells))
    return ("\n".join(lines) + "\n\n").encode()


def _id(mention: Mention, links: dict[Mention, Link]) -> str:
    if mention in links:
        chosen = links[mention].candidate
        return chosen.id if chosen else "-"
    return "|".join(mention.gold) if mention.gold else "-" if mention.nil else ""


def _annotations(line: str, number: int, default_prefix: str) -> Iterator[Annotation]:
    cells = line.split("\t")
    try:
        if len(cells) < 4:
            raise ValueError(f"a line of {len(cells)} cells")
        start, end = whole_number(cells[1]), whole_number(cells[2])
    except ValueError as error:
        if _RELATION.fullmatch(line) is None:
            yield Annotation(
                spans=(), text=line[:200], line=number, fault=f"expected id, start, end, text; found {error}"
            )
        return
    written = cells[5].strip() if len(cells) > 5 else ""
    gold, nil = gold_ids(written, default_prefix) if written else ((), False)
    kind = cells[4] if len(cells) > 4 else ""
    yield Annotation(spans=((start, end),), text=cells[3], gold=gold, nil=nil, type=kind, line=number)


def _flat(text: str) -> str:
    return re.sub(r"[\r\n\t]", " ", text)
