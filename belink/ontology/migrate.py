"""Ids of an older release → ids of a newer one, in annotated data and earlier outputs.

The fate of an id is read from every release between the two: ``replaced_by``, alternative ids and ``consider``; the
newest statement about an id counts. An id that is live in the newer release is never replaced, whichever concept lists
it as an alternative. A single successor takes the place of the id; all other cases stay as they are and go to a review
file with the options.
"""

import json
import logging
import re
import zlib
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from belink import artefacts, textfiles
from belink.errors import CorpusError, ReleaseError
from belink.ontology import release as releases
from belink.ontology.id_spans import Layout, Span, companions, id_spans, layout_of
from belink.ontology.proposals import propose
from belink.ontology.rewriting import Edit, Labels, companion_edits, id_edits, rewrite
from belink.settings import Settings

if TYPE_CHECKING:
    import duckdb

Kind = Literal["same", "merged", "split", "consider", "deleted", "unknown"]
# A successor of another form could break the JSON, XML or CSV that it is written into.
_SAFE_ID = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*:[A-Za-z0-9_.:/#~\-]+")
_DATED = re.compile(r"\d{4}(-\d{2}-\d{2})?")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What happened to an id between two releases."""

    id: str
    kind: Kind  # merged: one successor; split: several; consider: only suggestions; unknown: in none of the releases
    targets: tuple[str, ...] = ()  # live ids, in alphabetical order; (id,) where it is the same


@dataclass(frozen=True, kw_only=True)
class MigrationReport:
    """How many ids of a file were migrated; each occurrence counts."""

    unchanged: int
    migrated: int
    review: int
    unknown: int
    output: Path
    review_file: Path | None  # JSONL, an occurrence a line: line, id, label, fate, options; None for none
    fates: Mapping[str, int] = field(default_factory=dict)  # distinct ids by kind


def migrate(
    ontology: str, old: str, new: str, input: Path, output: Path, settings: Settings, column: str | None = None
) -> MigrationReport:
    """Rewrite the ids in ``input`` (JSONL, BioC, PubTator, CSV, TSV; plain or .gz) into ``output``.

    Only ids with exactly one successor change, and with them their label and their version where these stand in a field
    beside them; no other byte does. An id is written as it was: as a CURIE, as an address, with an underscore or
    without its prefix. ``output`` may be ``input``.

    :param column: a field or column with ids, beside the usual ones (see :mod:`belink.ontology.id_spans`).
    :raises ReleaseError: one of the two versions has not been ingested.
    :raises CorpusError: ``input`` cannot be read, has no ``column``, or no id of the ontology.
    """
    chain = chain_between(settings, ontology, old, new)
    content = _read(input)
    text = content.text
    prefixes = {prefix for folder in chain for prefix in prefixes_of(folder)}
    try:
        layout = layout_of(input, text[:4096])
        spans = id_spans(text, layout, prefixes, column)
        if not spans:
            raise CorpusError(
                f"expected ids of {ontology} ({', '.join(sorted(prefixes)[:5])}) in the fields that hold ids, "
                "found none; name the field with --column"
            )
    except CorpusError as error:
        raise CorpusError(f"{input}: {error}") from error
    fates_by_id = fates({span.id for span in spans}, chain)
    review_file = output.with_name(output.name + ".review.jsonl")
    reviewed = [span for span in spans if _for_review(fates_by_id[span.id])]
    rewritten = [span for span in spans if not _for_review(fates_by_id[span.id])]
    merged = {span.id for span in rewritten if fates_by_id[span.id].kind == "merged"}
    successors = {each: fates_by_id[each].targets[0] for each in merged}
    edits = [
        *id_edits(rewritten, successors),
        *_beside(text, layout, spans, successors, {span.id for span in reviewed}, chain),
    ]
    # The file is read whole before it is written, so the output may be the input.
    _write(output, rewrite(text, edits).encode(content.encoding, content.errors))
    if reviewed:
        _write(review_file, _review(text, reviewed, fates_by_id, chain).encode("utf-8", "replace"))
    else:
        # A review file of an earlier run would speak of ids that are settled by now.
        review_file.unlink(missing_ok=True)
    kinds = Counter(fates_by_id[span.id].kind for span in rewritten)
    return MigrationReport(
        unchanged=kinds["same"],
        migrated=kinds["merged"],
        review=len(reviewed),
        unknown=kinds["unknown"],
        output=output,
        review_file=review_file if reviewed else None,
        fates=dict(Counter(fate.kind for fate in fates_by_id.values())),
    )


def _beside(
    text: str,
    layout: Layout,
    spans: Sequence[Span],
    successors: Mapping[str, str],
    open_ids: Set[str],
    chain: Sequence[Path],
) -> list[Edit]:
    """Return the edits of labels and versions that stand beside ids with a successor."""
    labels, versions = _labels_of(successors, chain), ([folder.name for folder in chain[:-1]], chain[-1].name)
    edits = companion_edits(text, layout, spans, companions(text, layout), successors, open_ids, labels, versions)
    # In a file that is not UTF-8 such a label would mix two encodings.
    is_utf8 = not any("\udc80" <= letter <= "\udcff" for letter in text)
    return [edit for edit in edits if is_utf8 or edit[2].isascii()]


def chain_between(settings: Settings, ontology: str, old: str, new: str) -> list[Path]:
    """Return the releases from ``old`` to ``new``, both included: by date where versions are dates, else as made.

    :raises ReleaseError: one of them has not been ingested.
    """
    folders = releases.list_releases(settings, ontology)
    names = [path.name for path in folders]
    for version in (old, new):
        if version not in names:
            if version in (folder.name for folder in releases.list_refused(settings, ontology)):
                raise ReleaseError(
                    f"{ontology}: expected a release, and {version} was refused by a gate; repeat its command with "
                    "--accept to take it"
                )
            raise ReleaseError(
                f"{ontology}: expected a release {version}, found {', '.join(names) or 'none'}; ingest it first"
            )
    # An older release may be ingested after a newer one, so dates go before the order of ingesting.
    if all(_DATED.fullmatch(name) for name in names):
        folders.sort(key=lambda path: path.name)
        names = [path.name for path in folders]
    first, last = names.index(old), names.index(new)
    return folders[first : last + 1] if first <= last else folders[last : first + 1][::-1]


def fate(concept_id: str, chain: Sequence[Path]) -> Fate:
    """Return the fate of one id; see :func:`fates`."""
    return fates([concept_id], chain)[concept_id]


def fates(ids: Iterable[str], chain: Sequence[Path]) -> dict[str, Fate]:
    """Return the fate of each id up to the last release of ``chain``.

    :param chain: releases, oldest first. A single one is enough to follow its own statements.
    """
    import pyarrow as pa

    queried = sorted(set(ids))
    with releases.attached({f"r{position}": folder for position, folder in enumerate(chain)}) as connection:
        connection.register("queried_ids", pa.table({"id": pa.array(queried, pa.string())}))
        connection.execute("CREATE TEMP TABLE queried AS SELECT id FROM queried_ids")
        last = f"r{len(chain) - 1}"
        connection.execute(f"CREATE TEMP TABLE live AS SELECT id FROM {last}.concept WHERE NOT obsolete")  # noqa: S608
        _steps(connection, len(chain))
        same = {row[0] for row in connection.execute("SELECT id FROM queried SEMI JOIN live USING (id)").fetchall()}
        all_ids = " UNION ALL ".join(f"SELECT id FROM r{position}.concept" for position in range(len(chain)))  # noqa: S608
        in_a_release = connection.execute(
            f"SELECT id FROM queried SEMI JOIN ({all_ids} UNION ALL SELECT source FROM step) h(id) USING (id)"  # noqa: S608
        ).fetchall()
        reached = _reached(connection)
    # Later updates override earlier ones: a live id is the same, whatever else is said of it.
    answers = {each: Fate(id=each, kind="unknown") for each in queried}
    answers.update({each: Fate(id=each, kind="deleted") for (each,) in in_a_release})
    answers.update({each: _fate_of(each, ends) for each, ends in reached.items()})
    answers.update({each: Fate(id=each, kind="same", targets=(each,)) for each in same})
    return answers


@dataclass(kw_only=True)
class _Ends:
    """Where the successors of one id end."""

    firm: set[str] = field(default_factory=set)  # live ids, through replaced_by and alternative ids alone
    loose: set[str] = field(default_factory=set)  # live ids, through a consider
    dead: set[str] = field(default_factory=set)  # ids without a live successor


def _fate_of(concept_id: str, ends: _Ends) -> Fate:
    targets = tuple(sorted(ends.firm | ends.loose))
    if not targets:
        return Fate(id=concept_id, kind="deleted")
    # A dead branch beside the one successor means that the split is not fully known, so a person decides.
    if len(ends.firm) == 1 and not (ends.loose - ends.firm) and not ends.dead:
        return Fate(id=concept_id, kind="merged", targets=targets)
    return Fate(id=concept_id, kind="split" if ends.firm else "consider", targets=targets)


def _steps(connection: "duckdb.DuckDBPyConnection", n_releases: int) -> None:
    """Make the table ``step(source, target, loose)``: the newest statement about each id that is not live."""
    statements = " UNION ALL ".join(
        f"SELECT concept_id, replacement_id, false, {position} FROM r{position}.replaced_by "  # noqa: S608
        f"UNION ALL SELECT alt_id, concept_id, false, {position} FROM r{position}.alt_id "
        f"UNION ALL SELECT concept_id, alternative_id, true, {position} FROM r{position}.consider"
        for position in range(n_releases)
    )
    connection.execute(
        f"""
        CREATE TEMP TABLE step AS
        WITH said(source, target, loose, position) AS ({statements}),
        newest AS (
            SELECT * FROM said ANTI JOIN live ON live.id = source WHERE source <> target
            QUALIFY position = max(position) OVER (PARTITION BY source))
        SELECT DISTINCT source, target, loose FROM newest
        QUALIFY loose = bool_and(loose) OVER (PARTITION BY source)
        """  # noqa: S608  numbers of releases
    )


def _reached(connection: "duckdb.DuckDBPyConnection") -> dict[str, _Ends]:
    rows = connection.execute(
        """
        WITH RECURSIVE reached(origin, id, loose) AS (
            SELECT id, id, false FROM queried ANTI JOIN live USING (id)
            UNION SELECT origin, step.target, reached.loose OR step.loose
            FROM reached JOIN step ON step.source = reached.id)
        SELECT origin, reached.id, loose, live.id IS NOT NULL
        FROM reached LEFT JOIN live ON live.id = reached.id
        WHERE live.id IS NOT NULL OR reached.id NOT IN (SELECT source FROM step)
        """
    ).fetchall()
    ends: dict[str, _Ends] = defaultdict(_Ends)
    for origin, concept_id, loose, is_live in rows:
        if not is_live and concept_id == origin:
            continue  # no statement about it: deleted or unknown
        (ends[origin].dead if not is_live else ends[origin].loose if loose else ends[origin].firm).add(concept_id)
    return dict(ends)


def prefixes_of(folder: Path) -> list[str]:
    """Return the prefixes of the ids that the release at ``folder`` gives to its own concepts."""
    manifest = artefacts.read_manifest(folder)
    return manifest.get("prefixes") or list(manifest["counts"]["by_prefix"])


def _for_review(fate: Fate) -> bool:
    """Return whether a person has to decide, also because a successor could break the file it is written into."""
    is_unsafe = fate.kind == "merged" and not _SAFE_ID.fullmatch(fate.targets[0])
    return is_unsafe or fate.kind in ("split", "consider", "deleted")


def _review(text: str, spans: Sequence[Span], fates_by_id: Mapping[str, Fate], chain: Sequence[Path]) -> str:
    """Return one JSON line for each occurrence that a person has to decide on.

    Its options are the successors that the releases name, otherwise concepts with the same or a similar name.
    """
    ends = [match.end() for match in re.finditer("\n", text)]
    labels = _labels({each for span in spans for each in (span.id, *fates_by_id[span.id].targets)}, chain)
    without = {span.id for span in spans if not fates_by_id[span.id].targets and span.id in labels}
    proposals = propose({each: labels[each] for each in without}, chain[-1]) if without else {}
    rows = [
        {
            "line": bisect_right(ends, span.start) + 1,
            "id": span.id,
            "label": labels.get(span.id),
            "fate": fates_by_id[span.id].kind,
            "options": [{"id": each, "label": labels.get(each)} for each in fates_by_id[span.id].targets]
            or proposals.get(span.id, []),
        }
        for span in spans
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _labels(ids: Iterable[str], chain: Sequence[Path]) -> dict[str, str]:
    """Return the labels of the ids, from the newest release that has one."""
    labels: dict[str, str] = {}
    # Later releases override earlier ones.
    for folder in chain:
        with releases.open_release(folder) as release:
            query = "SELECT id, label FROM concept WHERE label IS NOT NULL AND id IN (SELECT unnest($ids))"
            labels.update(release.rows(query, {"ids": sorted(ids)}))
    return labels


def _labels_of(successors: Mapping[str, str], chain: Sequence[Path]) -> Labels:
    """Return each label that a replaced id had in a release of ``chain``, and the newest of its successor."""
    old: dict[str, set[str]] = defaultdict(set)
    for folder in chain:
        for each, label in _labels(successors, [folder]).items():
            old[each].add(label)
    return Labels(old=old, new=_labels(successors.values(), chain[-1:]))


class _Content(NamedTuple):
    """A file as text, and how to write it again byte for byte."""

    text: str
    encoding: str
    errors: str  # how bytes that are not text are kept


def _read(path: Path) -> _Content:
    try:
        with textfiles.open_bytes(path) as stream:
            encoding = textfiles.marked_encoding(stream)
            content = stream.read()
            if encoding in (None, "utf-8-sig"):  # a mark, and bytes that are not UTF-8, stay as they are
                return _Content(content.decode("utf-8", "surrogateescape"), "utf-8", "surrogateescape")
            return _Content(content.decode(encoding), encoding, "strict")
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CorpusError(f"{path}: expected a readable file, found: {reason}") from error


def _write(path: Path, content: bytes) -> None:
    with textfiles.write_whole(path) as stream:
        stream.write(content)
