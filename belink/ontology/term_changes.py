"""Changes between two releases that touch a list of ids, such as the terms that a team uses.

Each id of the list has at most one fate: ``merged`` (it leads to a live concept), ``obsoleted`` or ``removed``. An id
that stays live may be ``relabelled``; a name may have ``moved`` from or to it.
"""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belink import markdown, textfiles
from belink.errors import CorpusError
from belink.ontology.diff import tables_of_changes
from belink.ontology.id_spans import BARE_ID, id_spans
from belink.ontology.migrate import fates, prefixes_of
from belink.text.concept_ids import standardise

_COMMENT = re.compile(r"(?:^|\s)#.*")  # the "#" within an address begins no comment
_ROWS = {
    "merged": 'SELECT id, label, "into" FROM merged WHERE id IN (FROM terms)',
    "obsoleted": """
        SELECT id, label, (SELECT string_agg(alternative_id, ', ' ORDER BY alternative_id)
            FROM new.consider WHERE concept_id = obsoleted.id) AS consider
        FROM obsoleted WHERE id IN (FROM terms) AND id NOT IN (SELECT id FROM merged)""",
    "removed": "SELECT id, label FROM removed WHERE id IN (FROM terms) AND id NOT IN (SELECT id FROM merged)",
    "reinstated": "SELECT id, label FROM reinstated WHERE id IN (FROM terms)",
    "relabelled": 'SELECT id, was, "is" FROM relabelled WHERE id IN (FROM terms)',
    # "to" lists ids separated by ", ".
    "names_moved": """
        SELECT name, "from", "to" FROM names_moved
        WHERE "from" IN (FROM terms) OR list_has_any(string_split("to", ', '), (SELECT list(id) FROM terms))""",
}


@dataclass(frozen=True, kw_only=True)
class TermChanges:
    """What a new release changes about the ids of a list."""

    ontology: str
    old: str  # versions
    new: str
    n_ids: int  # distinct ids of the list
    changes: Mapping[str, Sequence[dict[str, Any]]]  # kind of change → its rows, by id
    stale: Sequence[dict[str, Any]]  # ids that are obsolete or merged in the old release already: id, into
    unknown: Sequence[str]  # ids that neither release knows, as the list writes them

    @property
    def is_touched(self) -> bool:
        """Return whether anything about the ids changes."""
        return any(self.changes.values())

    def to_dict(self) -> dict[str, Any]:
        """Return what ``belink diff --ids --json`` prints."""
        changes = {kind: list(rows) for kind, rows in self.changes.items()}
        return {
            "ontology": self.ontology,
            "old": self.old,
            "new": self.new,
            "ids": self.n_ids,
            "touched": self.is_touched,
            "changes": changes,
            "stale": list(self.stale),
            "unknown": list(self.unknown),
            "markdown": self.markdown(),
        }

    def markdown(self) -> str:
        """Return one Markdown table for each kind of change, then the ids that need a look for another reason."""
        title = f"{self.ontology}: {self.old} → {self.new}, {self.n_ids:,} id{'s' * (self.n_ids != 1)}"
        parts = [f"# {markdown.escape(title)}"]
        if not self.is_touched:
            parts.append("No change touches these ids.")
        tables = dict(self.changes)
        tables[f"obsolete or merged in {self.old} already"] = self.stale
        tables["in neither release"] = [{"id": each} for each in self.unknown]
        for kind, rows in tables.items():
            if rows:
                heading = f"## {markdown.escape(kind.replace('_', ' '))} ({len(rows):,})"
                parts += [heading, markdown.table([*rows[0]], [[*row.values()] for row in rows])]
        return "\n\n".join(parts) + "\n"


def term_changes(old: Path, new: Path, terms: Mapping[str, str]) -> TermChanges:
    """Return the changes from the release at ``old`` to the one at ``new`` that touch ``terms``.

    :param terms: ids as CURIEs, each with how the list writes it; see :func:`read_terms`.
    :raises ReleaseError: one of them is no release, or they are of two ontologies.
    :raises CorpusError: neither release knows any of the ids.
    """
    import pyarrow as pa

    with tables_of_changes(old, new) as (connection, before, after):
        connection.register("listed_terms", pa.table({"id": pa.array(sorted(terms), pa.string())}))
        connection.execute("CREATE TEMP TABLE terms AS SELECT id FROM listed_terms")
        changes = {}
        for kind, query in _ROWS.items():
            cursor = connection.execute(f"{query} ORDER BY ALL")
            columns = [column[0] for column in cursor.description or ()]
            changes[kind] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        dead = "SELECT id FROM terms WHERE id NOT IN (SELECT id FROM before) AND id NOT IN (SELECT id FROM after)"
        not_live = [row[0] for row in connection.execute(f"{dead} ORDER BY id").fetchall()]
    fate_of = fates(not_live, [old, new])
    unknown = [terms[each] for each in not_live if fate_of[each].kind == "unknown"]
    if len(unknown) == len(terms):
        raise CorpusError(
            f"expected ids of {after['ontology']} ({', '.join(prefixes_of(new)[:5])}), found none that a release "
            f"knows, such as {unknown[0]!r}; is it the list of another ontology?"
        )
    stale = [
        {"id": each, "into": ", ".join(fate_of[each].targets) or None}
        for each in not_live
        if fate_of[each].kind != "unknown"
    ]
    return TermChanges(
        ontology=after["ontology"],
        old=before["version"],
        new=after["version"],
        n_ids=len(terms),
        changes=changes,
        stale=stale,
        unknown=unknown,
    )


def read_terms(path: Path, folders: Iterable[Path], column: str | None = None) -> dict[str, str]:
    """Return the ids of a list as CURIEs, each with how the list writes it first.

    :param path: one id a line, ``#`` begins a comment; or a CSV or TSV file, told by its suffix. Plain or .gz.
    :param folders: releases, whose prefixes are recognised in every form (see :mod:`belink.text.concept_ids`).
    :param column: of the table, where it has none of the usual names.
    :raises CorpusError: the file cannot be read, has no id, or no ``column``.
    """
    prefixes = tuple(sorted({prefix for folder in folders for prefix in prefixes_of(folder)}))
    try:
        text = textfiles.read_text(path)
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CorpusError(f"{path}: expected a readable file, found: {reason}") from error
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    terms: dict[str, str] = {}
    if suffix in (".csv", ".tsv"):
        try:
            for span in id_spans(text, "csv" if suffix == ".csv" else "tsv", prefixes, column):
                terms.setdefault(span.id, text[span.start : span.end])
        except CorpusError as error:
            raise CorpusError(f"{path}: {error}") from error
    elif column:
        raise CorpusError(f"{path}: expected a .csv or .tsv file with --column, found {path.suffix or 'no suffix'!r}")
    else:
        for line in text.splitlines():
            if written := _COMMENT.sub("", line).strip():
                is_bare = len(prefixes) == 1 and BARE_ID.fullmatch(written)
                terms.setdefault(f"{prefixes[0]}:{written}" if is_bare else standardise(written, prefixes), written)
    if not terms:
        raise CorpusError(f"{path}: expected one id a line, found none; is it the right file?")
    return terms
