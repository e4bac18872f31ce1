"""PubTator: a title line, an abstract line, then one tab-separated line a mention; blank lines between documents.

``8701013|t|Famotidine-associated delirium.``, ``8701013|a|…``, then id, start, end, text, type and concept id of each
mention. The abstract begins one character after the title's end. Relation lines are skipped. The format has neither
sentences nor discontinuous mentions: writing gives the span that covers all pieces.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from belink.corpora.raw import Annotation, Passage, RawDocument, gold_ids, whole_number
from belink.records import Document, Link, Mention, Rejection

TITLE = re.compile(r"(?:#[^\n]*\n\s*)*[^|\t\r\n]{1,200}\|[ta]\|")  # what a PubTator file begins with
_TEXT = re.compile(r"([^|\t]{1,200})\|([a-z])\|(.*)", re.DOTALL)
_RELATION = re.compile(r"[^\t]+\t[A-Za-z_-]+\t[^\t]+\t[^\t]+(?:\t[^\t]*)?")  # BioRED adds whether it is novel
_CHANGE = re.compile(r"[a-z]\|[A-Z]+\|\S*")  # a variant as tmVar writes it: "p|SUB|V|600|E"
_JOINED = re.compile(r"([A-Z][a-z]+)([A-Z]{2,}\w*:\S+)")  # type and id without the tab between them
# Types of PubTator whose bare ids belong to a vocabulary of their own; "" for those with ids of many kinds.
_PREFIX_OF_TYPE = {
    "gene": "NCBIGene", "species": "NCBITaxon", "genus": "NCBITaxon", "strain": "NCBITaxon", "cellline": "CVCL",
    "snp": "", "mutation": "", "variant": "", "dnamutation": "", "proteinmutation": "", "dnaacidchange": "",
    "proteinacidchange": "", "copynumbervariant": "", "chromosome": "",
}  # fmt: skip
_MAX_LINE = 1 << 28  # bytes; a longer line is not read as one


def read(stream: BinaryIO, default_prefix: str) -> Iterator[RawDocument]:
    """Yield the documents of a PubTator file, in order.

    A document goes on until the title of the next one: blank lines do not end it. Lines between an abstract and the
    first mention continue the abstract. Comments (``#``) before the first document are passed over. Other lines that
    are no mention of their document are set aside, each with what is wrong with it.

    :param stream: UTF-8 without byte order mark.
    :param default_prefix: put before concept ids that have none, for types that its vocabulary has.
    :raises ValueError: a line before the first document.
    """
    current: _Block | None = None
    for number, raw in enumerate(_lines(stream), 1):
        line = raw.decode("utf-8")
        text = _TEXT.fullmatch(line)
        if not line.strip():
            if current:
                current.n_blank += 1
        elif text is not None:
            # A second title begins a document even where the id stays the same.
            if current and (text[1] != current.id or (text[2] == "t" and current.passages)):
                yield current.document()
                current = None
            current = current or _Block(text[1])
            current.add_passage(text[3])
        elif current:
            current.add_line(line, number, default_prefix)
        elif not line.startswith("#"):
            raise ValueError(f"line {number}: expected ID|t|title, found {line[:60]!r}")
    if current:
        yield current.document()


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of ``stream``, which end in LF, CRLF or CR, without their ends."""
    for line in iter(lambda: stream.readline(_MAX_LINE), b""):
        yield from line.removesuffix(b"\n").removesuffix(b"\r").split(b"\r")


@dataclass
class _Block:
    """The lines of one document."""

    id: str
    passages: list[Passage] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    notes: list[Rejection] = field(default_factory=list)  # lines that were repaired
    n_lines: int = 0  # after the passages, other than those that continue the last one
    n_blank: int = 0  # blank lines since the last line of text

    def document(self) -> RawDocument:
        return RawDocument(
            id=self.id,
            passages=tuple(self.passages),
            annotations=tuple(self.annotations),
            has_offsets=False,
            notes=tuple(self.notes),
        )

    def add_passage(self, text: str) -> None:
        self.n_blank = 0
        last = self.passages[-1] if self.passages else None
        # The line end between title and abstract counts as one character, as NCBI's own offsets have it.
        self.passages.append(Passage(offset=last.offset + len(last.text) + 1 if last else 0, text=text))

    def add_line(self, line: str, number: int, default_prefix: str) -> None:
        if self.n_lines == 0 and "\t" not in line and not line.startswith(f"{self.id} "):
            # Structured abstracts are often pasted with their line ends, which offsets count as one character each.
            last = self.passages[-1]
            self.passages[-1] = replace(last, text=last.text + "\n" * (self.n_blank + 1) + line)
            self.n_blank = 0
            self._note(number, line, "continues the text before it; read as one passage")
            return
        self.n_lines += 1
        cells = line.split("\t")
        # A mention has its start in the second cell, a relation the name of its type.
        if _RELATION.fullmatch(line) and not cells[1].isdigit():
            return
        if cells[0].strip() != self.id.strip() and len(cells) > 1:
            fault = f"expected a line of document {self.id}, found one of {cells[0][:40]!r}"
            self.annotations.append(Annotation(spans=(), text=line[:200], line=number, fault=fault))
            return
        if len(cells) == 5 and (joined := _JOINED.fullmatch(cells[4])):
            cells = [*cells[:4], joined[1], joined[2]]
            self._note(number, line, "a tab is missing before the concept id; read as if it were there")
        self.annotations.append(_annotation(cells, line, number, default_prefix))

    def _note(self, number: int, line: str, reason: str) -> None:
        self.notes.append(Rejection(line=number, text=f"{self.id}: {line}"[:500], reason=reason, repaired=True))


def document_block(document: Document, links: dict[Mention, Link]) -> bytes:
    """Return ``document`` as PubTator lines; other line breaks and tabs in its text become blanks.

    :param links: of some of its mentions; their ids take the place of the mentions' own.
    """
    # The first line takes the place of a title. One line end is one character, so offsets stay valid.
    title, _, abstract = document.text.partition("\n")
    identifier = re.sub(r"[|\t\r\n]", " ", document.id)[:200] or "-"
    lines = [f"{identifier}|t|{_flat(title)}", f"{identifier}|a|{_flat(abstract)}"]
    for mention in document.mentions:
        words = _flat(document.text[mention.start : mention.end])
        kind = mention.type or (links[mention].type if mention in links else "")
        cells = [identifier, str(mention.start), str(mention.end), words, _flat(kind), _id(mention, links)]
        lines.append("\t".join(cells))
    return ("\n".join(lines) + "\n\n").encode()


def _id(mention: Mention, links: dict[Mention, Link]) -> str:
    if mention in links:
        chosen = links[mention].candidate
        return chosen.id if chosen else "-"
    return "|".join(mention.gold) if mention.gold else "-" if mention.is_nil else ""


def _annotation(cells: list[str], line: str, number: int, default_prefix: str) -> Annotation:
    try:
        if len(cells) < 4:
            raise ValueError(f"{len(cells)} cells; are tabs missing?")
        start, end = whole_number(cells[1]), whole_number(cells[2])
    except ValueError as error:
        fault = f"expected id, start, end, text between tabs; found {error}"
        return Annotation(spans=(), text=line[:200], line=number, fault=fault)
    kind = cells[4] if len(cells) > 4 else ""
    identifiers = cells[5].strip() if len(cells) > 5 else ""
    # A corpus mixes types, and the default prefix holds only for those without a vocabulary of their own.
    prefix = _PREFIX_OF_TYPE.get(kind.casefold(), default_prefix)
    gold, nil = gold_ids(identifiers, prefix) if identifiers else ((), False)
    if _CHANGE.fullmatch(identifiers):
        gold = (identifiers,)  # its bars separate no ids
    return Annotation(spans=((start, end),), text=cells[3], gold=gold, is_nil=nil, type=kind, line=number)


def _flat(text: str) -> str:
    return re.sub(r"[\r\n\t]", " ", text)
