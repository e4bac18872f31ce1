"""People's corrections of links: append-only records in the home, and the corpus that a refresh makes of them.

``feedback/<linker>/corrections.jsonl`` has one record a line: a correction, or the withdrawal of one. A record is never
changed. It holds the sentence around the mention and nothing else of the text. The newest record of each person about a
span is in force, unless it is withdrawn. Where people in force disagree, the span is a conflict and teaches nothing.
"""

import errno
import json
import logging
import os
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import get_args

from belink import artefacts
from belink.corpora import jsonl
from belink.declarations import CORRECTIONS_FILE, LinkerConfig
from belink.errors import CorpusError, DeclarationError
from belink.records import Document, JudgedSpan, Mention, Verdict
from belink.settings import Settings
from belink.text import sentences

log = logging.getLogger(__name__)

SENTENCE = "sentence "  # what the ids of documents begin with that are a sentence of nobody knows which document
WITH_CONCEPT: tuple[Verdict, ...] = ("right", "other", "missed")
"""Verdicts that name the right concept."""

Place = tuple[str, int, int]  # sentence, start, end


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """One person's judgement of one span."""

    id: str
    at: str  # ISO 8601, UTC
    who: str
    verdict: Verdict
    text: str  # the sentence around the span, or several that the span runs across
    start: int  # of the span in ``text``, in code points
    end: int
    concept: str | None = None  # the right concept; None for "nil" and "no-mention"
    answered: str | None = None  # what the linker had answered; None for NIL, or for no mention
    document: str = ""  # id, where the client gave one
    lineage: Mapping[str, str] = field(default_factory=dict)  # of the linker that was corrected

    @property
    def mention(self) -> str:
        """The span's own text."""
        return self.text[self.start : self.end]

    @property
    def group(self) -> str:
        """What corrections are held out by: the document, or the sentence where no document is named."""
        return self.document or f"{SENTENCE}{sha256(self.text.encode()).hexdigest()[:16]}"

    @property
    def place(self) -> Place:
        """What two people speak of the same span by."""
        return self.text, self.start, self.end

    @property
    def outcome(self) -> str:
        """What the verdict says of the span: its concept, ``nil`` or ``no-mention``."""
        return self.concept or self.verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdrawal:
    """A record that takes a correction out of force."""

    id: str
    at: str
    who: str
    withdraws: str


Record = Correction | Withdrawal


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Which corrections count."""

    agreed: tuple[Correction, ...] = ()  # in force and without contradiction, oldest first
    conflicts: tuple[Correction, ...] = ()  # in force, but people contradict each other

    @property
    def in_force(self) -> tuple[Correction, ...]:
        """All of them; those of one span from the oldest to the newest."""
        return *self.agreed, *self.conflicts


def corrections_file(settings: Settings, linker: str) -> Path:
    """Return where the corrections of ``linker`` lie."""
    return settings.home / "feedback" / linker / "corrections.jsonl"


def make_correction(
    text: str,
    start: int,
    end: int,
    verdict: Verdict,
    who: str,
    *,
    concept: str | None = None,
    answered: str | None = None,
    document: str = "",
    lineage: Mapping[str, str] | None = None,
) -> Correction:
    """Return the correction of the span from ``start`` to ``end`` of ``text``, with only the sentence around it.

    :param text: the text that was linked; offsets are code points into it.
    :raises CorpusError: the span is no place in the text, or verdict and concept do not fit together.
    """
    if not 0 <= start < end <= len(text):
        raise CorpusError(f"expected a span inside the text of {len(text)} code points, found {start} to {end}")
    if verdict not in get_args(Verdict):
        raise CorpusError(f"expected a verdict of {', '.join(get_args(Verdict))}, found {verdict!r}")
    if (concept is None) == (verdict in WITH_CONCEPT):
        expected = "a concept" if concept is None else "no concept"
        raise CorpusError(f"expected {expected} with the verdict {verdict}, found {concept or 'none'}")
    # Readers of corpora take blanks off a mention, so the record must not have them either.
    piece = text[start:end]
    start, end = start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
    if start >= end:
        raise CorpusError("expected a span with a word in it, found blanks")
    sentence, start, end = cut_sentence(text, start, end)
    return Correction(
        id=secrets.token_hex(16),
        at=datetime.now(UTC).isoformat(timespec="microseconds"),
        who=who,
        verdict=verdict,
        text=sentence,
        start=start,
        end=end,
        concept=concept,
        answered=answered,
        document=document,
        lineage=dict(lineage or {}),
    )


def cut_sentence(text: str, start: int, end: int) -> Place:
    """Return the sentence around a span of ``text``, or the sentences that it runs across, and the span in it."""
    spans = sentences.split(text)
    from_, to = sentences.surrounding(start, end, spans, [first for first, _ in spans])
    return text[from_:to], start - from_, end - from_


def withdraw(settings: Settings, linker: str, correction_id: str, who: str) -> Withdrawal:
    """Return the record that takes a correction out of force, once it is stored; of two at once, one succeeds.

    The person's earlier correction of the same span counts again, if there is one.

    :raises CorpusError: there is no such correction, or it is withdrawn already.
    """
    with _exclusive(settings, linker):
        records = read_records(settings, linker)
        withdrawn = {record.withdraws for record in records if isinstance(record, Withdrawal)}
        ids = {record.id for record in records if isinstance(record, Correction)}
        if correction_id not in ids - withdrawn:
            raise CorpusError(
                f"{correction_id[:100]}: expected a correction of {linker} in force, found none of that id"
            )
        withdrawal = Withdrawal(
            id=secrets.token_hex(16),
            at=datetime.now(UTC).isoformat(timespec="microseconds"),
            who=who,
            withdraws=correction_id,
        )
        _write(corrections_file(settings, linker), [withdrawal])
    return withdrawal


def append(settings: Settings, linker: str, records: Sequence[Record]) -> None:
    """Store ``records``; they are on the disk when this returns. Threads and processes take turns."""
    with _exclusive(settings, linker):
        _write(corrections_file(settings, linker), records)


def check_writable(settings: Settings, linker: str) -> None:
    """:raises CorpusError: corrections of ``linker`` cannot be stored here."""
    path = corrections_file(settings, linker)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(settings, linker):
            if not os.access(path if path.exists() else path.parent, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise CorpusError(
            f"{path}: expected a file that corrections can be written to, found: {error.strerror or error}; make it "
            "writable, or start without --feedback"
        ) from error


@contextmanager
def _exclusive(settings: Settings, linker: str) -> Iterator[None]:
    """Keep out whoever else writes corrections of ``linker``."""
    from filelock import FileLock

    settings.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.locks / f"feedback-{linker}.lock"):
        yield


def _write(path: Path, records: Sequence[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records).encode()
    with path.open("ab") as out:
        # A process that was killed while it wrote may have left half a line; the next record begins a line of its own.
        if out.tell() and not _ends_with_newline(path):
            lines = b"\n" + lines
        out.write(lines)
        out.flush()
        os.fsync(out.fileno())


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def read_records(settings: Settings, linker: str) -> list[Record]:
    """Return all records of ``linker``, oldest first; a damaged line is named in the log and passed over."""
    path = corrections_file(settings, linker)
    return _parse(path.read_bytes(), path) if path.is_file() else []


def read_added(settings: Settings, linker: str, offset: int) -> tuple[list[Record], int]:
    """Return the records that were stored behind ``offset``, and the offset behind them; both in whole lines.

    :param offset: in bytes; 0 at first, then what the last call returned.
    """
    path = corrections_file(settings, linker)
    if not path.is_file():
        return [], 0
    with path.open("rb") as stream:
        stream.seek(offset)
        added = stream.read()
    whole = added[: added.rfind(b"\n") + 1]  # somebody may be writing the rest
    return _parse(whole, path), offset + len(whole)


def _parse(lines: bytes, path: Path) -> list[Record]:
    records: list[Record] = []
    for line in lines.split(b"\n"):
        if not line.strip():
            continue
        try:
            node = json.loads(line)
            records.append(Withdrawal(**node) if "withdraws" in node else Correction(**node))
        except (ValueError, TypeError) as error:
            start = line[:60].decode(errors="replace")
            log.warning("%s: %r is no record and counts for nothing: %s", path, start, str(error)[:100])
    return records


def standing(records: Iterable[Record]) -> Standing:
    """Return the corrections in force: the newest of each person about a span, but for the withdrawn ones."""
    records = list(records)
    withdrawn = {record.withdraws for record in records if isinstance(record, Withdrawal)}
    newest: dict[tuple[Place, str], Correction] = {}
    for record in records:
        if isinstance(record, Correction) and record.id not in withdrawn:
            newest[record.place, record.who] = record
    in_force = sorted(newest.values(), key=lambda correction: (correction.at, correction.id))
    outcomes: defaultdict[Place, set[str]] = defaultdict(set)
    for correction in in_force:
        outcomes[correction.place].add(correction.outcome)
    return Standing(
        agreed=tuple(each for each in in_force if len(outcomes[each.place]) == 1),
        conflicts=tuple(each for each in in_force if len(outcomes[each.place]) > 1),
    )


def correction_documents(corrections: Iterable[Correction]) -> Iterator[Document]:
    """Yield the corrected sentences as annotated documents, in an order that depends on the content alone.

    The id is that of the document that the sentence comes from, so that all its sentences are held out, or none.
    """
    groups: defaultdict[tuple[str, str], dict[tuple[int, int], Correction]] = defaultdict(dict)
    for correction in corrections:
        # Several people who agree are one annotation; an error that one of them saw outweighs a confirmation.
        spans, span = groups[correction.group, correction.text], (correction.start, correction.end)
        if span not in spans or spans[span].verdict == "right":
            spans[span] = correction
    for (group, text), spans in sorted(groups.items()):
        ordered = [spans[span] for span in sorted(spans)]
        yield Document(
            id=group,
            text=text,
            mentions=tuple(_mention(each) for each in ordered if each.verdict != "no-mention"),
            judged=tuple(JudgedSpan(start=each.start, end=each.end, verdict=each.verdict) for each in ordered),
        )


def _mention(correction: Correction) -> Mention:
    return Mention(
        text=correction.mention,
        start=correction.start,
        end=correction.end,
        gold=(correction.concept,) if correction.concept else (),
        is_nil=correction.verdict == "nil",
        document=correction.group,
    )


IGNORED = "ignores_corrections"  # the key among a bundle's inputs, there only where it holds


def is_learned(linker: LinkerConfig) -> bool:
    """Return whether refreshes of ``linker``, as it is declared, learn from corrections."""
    return any(corpus.feedback for corpus in linker.corpora)


def ignored_note(linker: str, n: int | None = None) -> str:
    """Return the line that says that corrections (``n`` of them) teach a linker nothing, and what to do."""
    what = "corrections are" if n is None else f"{n} correction{' is' if n == 1 else 's are'}"
    return (
        f"{linker}: {what} stored and teach nothing, since its declaration has no [[corpora]] with feedback = true; "
        "add both lines to its TOML and refresh"
    )


def resolve(settings: Settings, linker: LinkerConfig) -> LinkerConfig:
    """Return ``linker`` with the corrections in force as the file of its corpus ``feedback = true``.

    The file is named by its content and stays. Without any correction the corpus is left out: then a refresh depends on
    the same inputs as without the declaration.

    :raises DeclarationError: the corpus names a file of its own.
    """
    corpora, folder = [], corrections_file(settings, linker.name).parent / "corpora"
    for corpus in linker.corpora:
        if corpus.feedback and corpus.file != CORRECTIONS_FILE and Path(corpus.file).parent != folder:
            raise DeclarationError(
                f"{linker.name}: corpora.file: expected none beside feedback = true, found {corpus.file}; delete the "
                "line, or declare the file as a corpus of its own"
            )
        if corpus.file != CORRECTIONS_FILE:
            corpora.append(corpus)
        elif (path := _write_corpus(settings, linker.name, folder)) is not None:
            corpora.append(corpus.model_copy(update={"file": str(path)}))
    return linker.model_copy(update={"corpora": tuple(corpora)})


def _write_corpus(settings: Settings, linker: str, folder: Path) -> Path | None:
    """Return the corpus of the corrections in force; ``None`` without any."""
    agreed = standing(read_records(settings, linker)).agreed
    text = "".join(jsonl.document_line(document) for document in correction_documents(agreed))
    if not text:
        return None
    path = folder / f"{sha256(text.encode()).hexdigest()[:16]}.jsonl"
    if not path.is_file():
        with artefacts.atomic_write(path) as aside:
            aside.write_bytes(text.encode())
    return path
