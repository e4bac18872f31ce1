"""Lists of synonyms without ids (``….synonyms.tsv``, ``UNII_Names….txt``) → further names of the concepts of a release.

Vocabularies of drugs and substances (UNII, DrugBank's open vocabulary, a team's own list) know brand names, salts and
codes that an ontology lacks, but not its ids. What their names mean is told by the names that both have.
"""

import logging
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from belink.errors import SourceError
from belink.ontology.readers import archive
from belink.ontology.readers.delimited import Layout, first_line, in_utf8, scan, sifted
from belink.ontology.release_writer import ReleaseWriter

TYPE = "listed"
"""The type of these names in a release."""

_COLUMNS = ("preferred_name", "name")
_PREFERRED_BY_FDA = ("display_name", "pt")  # in its list of names of substances (UNII), today and before 2022
_MIN_LENGTH = 3  # characters; shorter names mean too much
_MIN_SOLE_LENGTH = 10  # of the only name that tells what a set means: a herbicide is called "Reward", a gene GGF2
_FILE = re.compile(r".*\.synonyms\.tsv(\.gz)?|UNII_Names.*\.txt(\.gz)?", re.IGNORECASE)
_ZIP_BY_FDA = re.compile(r"UNII.*\.zip", re.IGNORECASE)
# Names are compared without case, hyphens and repeated blanks. Signs stay: "(+)-" and "(-)-" are other substances.
_KEY = "trim(regexp_replace(lower({}), '[\\s\\-]+', ' ', 'g'))"
# FDA writes "DOXORUBICIN [INN]" and ".BETA.-CAROTENE".
_GREEK = "ALPHA|BETA|GAMMA|DELTA|EPSILON|ZETA|ETA|THETA|KAPPA|LAMBDA|MU|XI|PI|RHO|SIGMA|TAU|CHI|PSI|OMEGA"
_AS_FDA_WRITES = f"regexp_replace(regexp_replace({{}}, ' \\[[^\\]]+\\]$', ''), '\\.({_GREEK})\\.', '\\1', 'g')"
# Names of up to four letters are short forms, of which papers mean something else by every other one.
_LEFT_OUT_OF_FDA = "WHERE NOT regexp_full_match(text, '[A-Za-z]{1,4}')"

log = logging.getLogger(__name__)


def is_synonym_list(path: Path) -> bool:
    """Return whether the name is that of a list of synonyms: ``….synonyms.tsv``, or FDA's UNII names, also packed."""
    return bool(_FILE.fullmatch(path.name) or _ZIP_BY_FDA.fullmatch(path.name))


def read(paths: Sequence[Path], into: ReleaseWriter) -> int:
    """Add the names in ``paths`` to the concepts that are in the release, as exact names; return how many.

    A file is a tab-separated table with the columns ``preferred_name`` and ``name``, or FDA's list of substances as it
    is published (UNII; the preferred name is its ``Display Name``), also in its zip; other columns are ignored. Rows
    with one preferred name are a set of synonyms. A set belongs to the live concept that its preferred name means;
    where that is a name of no concept or of several, to the one that all its other names mean which are names of one
    concept, if these are two, or one of ten characters. Names that the release has stay as they are, and a name in sets
    of several concepts is left out, as are those under three characters or without a letter.

    :raises SourceError: no such table, or truncated.
    """
    _list_known_names(into)
    n_added = 0
    with tempfile.TemporaryDirectory(prefix=".reading-", dir=into.path.parent) as folder:
        for path in (file for given in paths for file in _unpacked(given, Path(folder))):
            with in_utf8(path, Path(folder)) as text:
                _stage(text, into, Path(folder))
            n_added += _add(path, into)
    into.sql("DROP TABLE temp.known")
    return n_added


def _unpacked(path: Path, scratch: Path) -> list[Path]:
    """Return the lists in ``path``: the file itself, or those of a zip, unpacked into ``scratch``."""
    if not _ZIP_BY_FDA.fullmatch(path.name):
        return [path]
    lists = archive.unpack(path, lambda name: bool(_FILE.fullmatch(name)), scratch)
    if not lists:
        raise SourceError(f"{path}: expected a file UNII_Names….txt in the zip, found none; fetch the list of names")
    return lists


def _list_known_names(into: ReleaseWriter) -> None:
    """Fill the table temp.known: the keys of all names, with the concept where only one live concept has the name."""
    into.sql(
        f"""
        CREATE TEMP TABLE known AS
        SELECT {_KEY.format("name.text")} AS key,
            min(concept_id) FILTER (own) AS concept_id, count(DISTINCT concept_id) FILTER (own) AS n_concepts
        FROM name JOIN (SELECT id, NOT obsolete AS own FROM concept) concept ON concept.id = concept_id
        GROUP BY ALL
        """  # noqa: S608  no values
    )


def _stage(path: Path, into: ReleaseWriter, scratch: Path) -> None:
    """Fill the table temp.member: set (its preferred name), text, key."""
    first = first_line(path)
    columns = tuple(column.strip().lower().replace(" ", "_") for column in first.split("\t"))
    preferred = next((name for name in (_COLUMNS[0], *_PREFERRED_BY_FDA) if name in columns), _COLUMNS[0])
    required = (preferred, _COLUMNS[1])
    if missing := [name for name in required if name not in columns]:
        raise SourceError(
            f"{path}: expected a tab-separated table with the columns {' and '.join(required)}, found no "
            f"{' and no '.join(missing)} in {first[:100]!r}"
        )
    plain = sifted(path, Layout(columns=columns, delimiter="\t", required=required), into, scratch)
    rows = scan("$path", [f"c{i}" for i in range(len(columns))], "\t", skip=1)
    is_by_fda = preferred in _PREFERRED_BY_FDA
    written = _AS_FDA_WRITES if is_by_fda else "{}"
    set_, text = (written.format(f"trim(c{columns.index(column)})") for column in required)
    into.sql(
        f"""
        CREATE TEMP TABLE member AS
        WITH row AS (SELECT {set_} AS set, {text} AS text FROM {rows})
        SELECT set, text, {_KEY.format("text")} AS key
        FROM (SELECT set, text FROM row {_LEFT_OUT_OF_FDA if is_by_fda else ""} UNION SELECT set, set FROM row)
        """,  # noqa: S608  positions, no values
        {"path": str(plain)},
    )


def _add(path: Path, into: ReleaseWriter) -> int:
    into.sql(
        f"""
        CREATE TEMP TABLE meant AS
        SELECT set, coalesce(
            any_value(concept_id) FILTER (key = {_KEY.format("set")}),
            CASE WHEN count(DISTINCT concept_id) = 1
                AND (count(DISTINCT key) > 1 OR max(length(key)) >= {_MIN_SOLE_LENGTH}) THEN any_value(concept_id) END
        ) AS concept_id
        FROM member JOIN known USING (key) WHERE n_concepts = 1 GROUP BY set
        """  # noqa: S608  no values
    )
    into.sql(
        """
        CREATE TEMP TABLE fresh AS
        SELECT key, min(concept_id) AS concept_id, min(text) AS text, count(DISTINCT concept_id) AS n_concepts
        FROM member JOIN meant USING (set)
        WHERE concept_id IS NOT NULL AND key NOT IN (SELECT key FROM known)
            AND length(key) >= $shortest AND regexp_matches(key, '\\p{L}')
        GROUP BY key
        """,
        {"shortest": _MIN_LENGTH},
    )
    into.sql(
        """
        INSERT INTO name SELECT concept_id, text, 'exact', $type, '', '' FROM fresh WHERE n_concepts = 1
        ORDER BY concept_id, text
        """,
        {"type": TYPE},
    )
    # A later file sees the names of this one.
    into.sql("INSERT INTO known SELECT key, concept_id, n_concepts FROM fresh WHERE n_concepts = 1")
    (n_added, n_ambiguous), *_ = into.sql(
        "SELECT count(*) FILTER (n_concepts = 1), count(*) FILTER (n_concepts > 1) FROM fresh"
    )
    n_sets, n_meant = into.sql(
        "SELECT (SELECT count(DISTINCT set) FROM member), (SELECT count(concept_id) FROM meant)"
    )[0]
    log.info(
        "%s: %d names added; %d of %d sets belong to a concept, %d names of several concepts left out",
        path.name, n_added, n_meant, n_sets, n_ambiguous,
    )  # fmt: skip
    for table in ("member", "meant", "fresh"):
        into.sql(f"DROP TABLE temp.{table}")
    return int(n_added)
