"""Ids of an older release → ids of a newer one, in annotated data and past outputs.

What became of an id is read from every release between the two: ``replaced_by``, alternative ids and ``consider``, the
newest word on an id counting. An id that is live in the newer release is never replaced, whoever claims it. One clear
successor is put in its place; everything else stays as it is and goes to a review file with the options.
"""

import gzip
import json
import logging
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from belink import artefacts
from belink.errors import CorpusError, ReleaseError
from belink.ontology import release as releases
from belink.ontology.id_spans import Span, id_spans, layout_of
from belink.settings import Settings

if TYPE_CHECKING:
    import duckdb

Kind = Literal["same", "merged", "split", "consider", "deleted", "unknown"]
_GZIP = b"\x1f\x8b"
_DATED = re.compile(r"\d{4}(-\d{2}-\d{2})?")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of an id."""

    id: str
    kind: Kind  # merged: one successor; split: several; consider: only suggestions; unknown: in none of the releases
    targets: tuple[str, ...] = ()  # live ids, in alphabetical order; (id,) where it is the same


@dataclass(frozen=True, kw_only=True)
class MigrationReport:
    """How many ids of a file, each occurrence counted."""

    unchanged: int
    migrated: int
    review: int
    unknown: int
    output: Path
    review_file: Path | None  # one JSON object an occurrence: line, id, label, fate, options; None: nothing to review
    fates: Mapping[str, int] = field(default_factory=dict)  # distinct ids by kind


def migrate(
    ontology: str, old: str, new: str, input: Path, output: Path, settings: Settings, column: str | None = None
) -> MigrationReport:
    """Rewrite the ids in ``input`` (JSONL, BioC, PubTator, CSV, TSV; plain or .gz) into ``output``.

    Only ids with exactly one successor change, and no other byte does. ``output`` may be ``input``.

    :param column: a field or column that holds ids, beside those known (see :mod:`belink.ontology.id_spans`).
    :raises ReleaseError: one of the two versions has not been ingested.
    :raises CorpusError: ``input`` cannot be read.
    """
    chain = chain_between(settings, ontology, old, new)
    text = _read(input)
    prefixes = {prefix for folder in chain for prefix in _prefixes(folder)}
    try:
        spans = id_spans(text, layout_of(input, text[:4096]), prefixes, column)
    except CorpusError as error:
        raise CorpusError(f"{input}: {error}") from error
    found = fates({span.id for span in spans}, chain)
    review_file = output.with_name(output.name + ".review.jsonl")
    reviewed = [span for span in spans if found[span.id].kind in ("split", "consider", "deleted")]
    _write(output, _rewritten(text, spans, found))
    if reviewed:
        _write(review_file, _review(text, reviewed, found, chain))
    else:
        review_file.unlink(missing_ok=True)
    kinds = Counter(found[span.id].kind for span in spans)
    return MigrationReport(
        unchanged=kinds["same"],
        migrated=kinds["merged"],
        review=len(reviewed),
        unknown=kinds["unknown"],
        output=output,
        review_file=review_file if reviewed else None,
        fates=dict(Counter(fate.kind for fate in found.values())),
    )


def chain_between(settings: Settings, ontology: str, old: str, new: str) -> list[Path]:
    """The releases from ``old`` to ``new``, both included; by date where versions are dates, else as they were made.

    :raises ReleaseError: one of them has not been ingested.
    """
    there = releases.list_releases(settings, ontology)
    names = [path.name for path in there]
    for version in (old, new):
        if version not in names:
            raise ReleaseError(
                f"{ontology}: expected a release {version}, found {', '.join(names) or 'none'}; ingest it first"
            )
    if all(_DATED.fullmatch(name) for name in names):
        there.sort(key=lambda path: path.name)
        names = [path.name for path in there]
    first, last = names.index(old), names.index(new)
    return there[first : last + 1] if first <= last else there[last : first + 1][::-1]


def fate(concept_id: str, chain: Sequence[Path]) -> Fate:
    """What became of one id; see :func:`fates`."""
    return fates([concept_id], chain)[concept_id]


def fates(ids: Iterable[str], chain: Sequence[Path]) -> dict[str, Fate]:
    """What became of each id, up to the last release of ``chain``.

    :param chain: releases, the oldest first; one alone is enough to follow what it says itself.
    """
    import pyarrow as pa

    asked = sorted(set(ids))
    with releases.attached({f"r{position}": folder for position, folder in enumerate(chain)}) as connection:
        connection.register("asked_ids", pa.table({"id": pa.array(asked, pa.string())}))
        connection.execute("CREATE TEMP TABLE asked AS SELECT id FROM asked_ids")
        last = f"r{len(chain) - 1}"
        connection.execute(f"CREATE TEMP TABLE live AS SELECT id FROM {last}.concept WHERE NOT obsolete")  # noqa: S608
        _steps(connection, len(chain))
        same = {row[0] for row in connection.execute("SELECT id FROM asked SEMI JOIN live USING (id)").fetchall()}
        heard = " UNION ALL ".join(f"SELECT id FROM r{position}.concept" for position in range(len(chain)))  # noqa: S608
        known = connection.execute(
            f"SELECT id FROM asked SEMI JOIN ({heard} UNION ALL SELECT source FROM step) h(id) USING (id)"  # noqa: S608
        ).fetchall()
        reached = _reached(connection)
    answers = {each: Fate(id=each, kind="unknown") for each in asked}
    answers.update({each: Fate(id=each, kind="deleted") for (each,) in known})
    answers.update({each: _judged(each, ends) for each, ends in reached.items()})
    answers.update({each: Fate(id=each, kind="same", targets=(each,)) for each in same})
    return answers


@dataclass(kw_only=True)
class _Ends:
    """Where the ways from one id lead."""

    firm: set[str] = field(default_factory=set)  # live ids, through replaced_by and alternative ids alone
    loose: set[str] = field(default_factory=set)  # live ids, through a consider
    dead: set[str] = field(default_factory=set)  # ids that lead nowhere


def _judged(concept_id: str, ends: _Ends) -> Fate:
    targets = tuple(sorted(ends.firm | ends.loose))
    if not targets:
        return Fate(id=concept_id, kind="deleted")
    if len(ends.firm) == 1 and not (ends.loose - ends.firm) and not ends.dead:
        return Fate(id=concept_id, kind="merged", targets=targets)
    return Fate(id=concept_id, kind="split" if ends.firm else "consider", targets=targets)


def _steps(connection: "duckdb.DuckDBPyConnection", n_releases: int) -> None:
    """Table ``step(source, target, loose)``: what the newest release that says so says of an id that is not live."""
    said = " UNION ALL ".join(
        f"SELECT concept_id, replacement_id, false, {position} FROM r{position}.replaced_by "  # noqa: S608
        f"UNION ALL SELECT alt_id, concept_id, false, {position} FROM r{position}.alt_id "
        f"UNION ALL SELECT concept_id, alternative_id, true, {position} FROM r{position}.consider"
        for position in range(n_releases)
    )
    connection.execute(
        f"""
        CREATE TEMP TABLE step AS
        WITH said(source, target, loose, position) AS ({said}),
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
            SELECT id, id, false FROM asked ANTI JOIN live USING (id)
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
            continue  # nothing was said of it: deleted or unknown
        (ends[origin].dead if not is_live else ends[origin].loose if loose else ends[origin].firm).add(concept_id)
    return dict(ends)


def _prefixes(folder: Path) -> list[str]:
    manifest = artefacts.read_manifest(folder)
    return manifest.get("prefixes") or list(manifest["counts"]["by_prefix"])


def _rewritten(text: str, spans: Sequence[Span], found: Mapping[str, Fate]) -> str:
    pieces, position = [], 0
    for span in spans:
        if found[span.id].kind == "merged":
            target = found[span.id].targets[0]
            kept, _, local = target.partition(":")
            bare = span.bare and span.id.startswith(f"{kept}:")
            pieces += [text[position : span.start], local if bare else target]
            position = span.end
    return "".join([*pieces, text[position:]])


def _review(text: str, spans: Sequence[Span], found: Mapping[str, Fate], chain: Sequence[Path]) -> str:
    """One JSON line an occurrence that a person has to decide on."""
    ends = [match.end() for match in re.finditer("\n", text)]
    labels = _labels({each for span in spans for each in (span.id, *found[span.id].targets)}, chain)
    rows = [
        {
            "line": bisect_right(ends, span.start) + 1,
            "id": span.id,
            "label": labels.get(span.id),
            "fate": found[span.id].kind,
            "options": [{"id": each, "label": labels.get(each)} for each in found[span.id].targets],
        }
        for span in spans
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _labels(ids: Iterable[str], chain: Sequence[Path]) -> dict[str, str]:
    """Labels of the ids, from the newest release that has one."""
    labels: dict[str, str] = {}
    for folder in chain:
        with releases.open_release(folder) as release:
            query = "SELECT id, label FROM concept WHERE label IS NOT NULL AND id IN (SELECT unnest($ids))"
            labels.update(release.rows(query, {"ids": sorted(ids)}))
    return labels


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CorpusError(f"{path}: expected a readable file, found: {reason}") from error
    return content.decode("utf-8", "surrogateescape")


def _write(path: Path, text: str) -> None:
    """Write aside, then into place; packed where the name ends in .gz."""
    content = text.encode("utf-8", "surrogateescape")
    if path.name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    with artefacts.atomic_write(path) as aside:
        aside.write_bytes(content)
