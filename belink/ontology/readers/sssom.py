"""SSSOM mappings ↔ the cross-references of a release (https://mapping-commons.github.io/sssom/, TSV form).

Read and written here rather than through the ``sssom`` package: of a mapping set only subject, predicate, object and
modifier count, DuckDB takes those set-wise, and the package brings pandas, linkml and rdflib for the rest.
"""

import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from belink.errors import SourceError
from belink.ontology.readers.archive import opened
from belink.ontology.readers.delimited import Layout, scan, sifted
from belink.ontology.release_writer import ReleaseWriter

if TYPE_CHECKING:
    from belink.ontology.release import Release

# What makes the object another name of the subject; other predicates are kept as relationships under their own name.
_SAME = (
    "skos:exactMatch", "skos:closeMatch", "oboInOwl:hasDbXref", "oio:hasDbXref", "owl:equivalentClass", "owl:sameAs",
    "semapv:crossSpeciesExactMatch",
)  # fmt: skip
_XREF = "oboInOwl:hasDbXref"
_NEEDED = ("subject_id", "predicate_id", "object_id")
_MODIFIER = "predicate_modifier"
_NOTHING = "sssom:NoTermFound"
_COLUMNS = ("subject_id", "subject_label", "predicate_id", "object_id", "mapping_justification")
_CURIE = r"[A-Za-z_][A-Za-z0-9_.\-]*:[^\s/][^\s]*"
_HEAD = 1 << 20
_RESOLVER = "https://bioregistry.io/"  # turns any CURIE prefix into an address
_FILE = re.compile(r".*\.sssom\.tsv(\.gz)?", re.IGNORECASE)


def is_mapping_set(path: Path) -> bool:
    """Whether the name says that the file holds SSSOM mappings (``….sssom.tsv``, also ``.gz``)."""
    return bool(_FILE.fullmatch(path.name))


def read(paths: Sequence[Path], into: ReleaseWriter) -> int:
    """Add the mappings of ``paths`` to the concepts that the release holds already; how many were added.

    A mapping counts from both its ends. Negated ones, and those to nothing, are left out; one of which neither end is
    in the release becomes a rejection, as does one that is not between CURIEs.

    :raises SourceError: not a mapping set, or truncated.
    """
    before = _count(into)
    with tempfile.TemporaryDirectory(prefix=".reading-", dir=into.path.parent) as folder:
        for path in paths:
            _stage(path, into, Path(folder))
            _add(path, into)
            into.sql("DROP TABLE temp.mapping")
    return _count(into) - before


def _count(into: ReleaseWriter) -> int:
    return int(into.sql("SELECT (SELECT count(*) FROM xref) + (SELECT count(*) FROM relationship)")[0][0])


def _stage(path: Path, into: ReleaseWriter, scratch: Path) -> None:
    """temp.mapping: subject, predicate, object, negated."""
    with opened(path) as stream:
        head = stream.read(_HEAD).decode("utf-8-sig", "replace")
    first = next((line for line in head.split("\n") if line.strip() and not line.startswith("#")), "").rstrip("\r")
    columns = tuple(first.split("\t"))
    if missing := [name for name in _NEEDED if name not in columns]:
        raise SourceError(
            f"{path}: expected SSSOM, a tab-separated table with {', '.join(missing)}, found {first[:100]!r}"
        )
    positional = [f"c{i}" for i in range(len(columns))]
    at = {name: f"trim(coalesce(c{columns.index(name)}, ''))" for name in (*_NEEDED, _MODIFIER) if name in columns}
    plain = sifted(path, Layout(columns=columns, delimiter="\t", required=_NEEDED, comment="#"), into, scratch)
    rows = scan("$path", positional, "\t", skip=1)
    into.sql(
        f"""
        CREATE TEMP TABLE mapping AS
        SELECT {at["subject_id"]} AS subject, {at["predicate_id"]} AS predicate, {at["object_id"]} AS object,
            lower({at.get(_MODIFIER, "''")}) = 'not' AS negated
        FROM {rows}
        """,  # noqa: S608  positions, no values
        {"path": str(plain)},
    )


def _add(path: Path, into: ReleaseWriter) -> None:
    nothing = {"nothing": _NOTHING}
    into.sql("DELETE FROM mapping WHERE negated OR subject = $nothing OR object = $nothing", nothing)
    into.sql(
        """
        CREATE TEMP TABLE unfit AS
        SELECT rowid AS row, if(curies, 'neither end is a concept of the release', 'expected two CURIEs') AS reason
        FROM (SELECT rowid, subject, object,
                regexp_full_match(subject, $shape) AND regexp_full_match(object, $shape) AS curies FROM mapping)
        WHERE NOT curies OR (subject NOT IN (SELECT id FROM concept) AND object NOT IN (SELECT id FROM concept))
        """,
        {"shape": _CURIE},
    )
    into.sql(
        """
        INSERT INTO rejection
        SELECT NULL, left(concat_ws(' ', subject, predicate, object), 500), $file || ': ' || reason, false
        FROM mapping JOIN unfit ON unfit.row = mapping.rowid ORDER BY unfit.row
        """,
        {"file": path.name},
    )
    into.sql("DELETE FROM mapping WHERE rowid IN (SELECT row FROM unfit)")
    into.sql("DROP TABLE temp.unfit")
    into.sql(
        """
        INSERT INTO xref
        SELECT here, there FROM (
            SELECT subject AS here, object AS there, rowid AS row FROM mapping WHERE list_contains($same, predicate)
            UNION ALL SELECT object, subject, rowid FROM mapping WHERE list_contains($same, predicate))
        WHERE here IN (SELECT id FROM concept) AND here <> there
            AND (here, there) NOT IN (SELECT (concept_id, xref) FROM xref)
        GROUP BY here, there ORDER BY min(row), here
        """,
        {"same": list(_SAME)},
    )
    into.sql(
        """
        INSERT INTO relationship
        SELECT subject, predicate, object FROM mapping
        WHERE NOT list_contains($same, predicate) AND subject IN (SELECT id FROM concept)
            AND (subject, predicate, object) NOT IN (SELECT (concept_id, predicate, object_id) FROM relationship)
        GROUP BY ALL ORDER BY min(rowid)
        """,
        {"same": list(_SAME)},
    )


def write(release: "Release", target: Path) -> int:
    """Write the cross-references of the own, live concepts of ``release`` as a mapping set; how many.

    SKOS relationships (``skos:broadMatch``) keep their predicate, every other reference is ``oboInOwl:hasDbXref``.
    References that are not CURIEs (addresses) cannot be an SSSOM object and are left out. Rows are in the order of
    subject and object, so that equal releases give equal files.
    """
    mappings = release.table(
        """
        WITH stated AS (
            SELECT concept_id, ? AS predicate, xref AS object FROM xref
            UNION SELECT concept_id, predicate, object_id FROM relationship WHERE starts_with(predicate, 'skos:'))
        SELECT concept_id, coalesce(label, ''), predicate, object
        FROM stated JOIN concept ON concept.id = concept_id WHERE own AND NOT obsolete AND regexp_full_match(object, ?)
        ORDER BY ALL
        """,
        [_XREF, _CURIE],
    )
    rows = list(zip(*(column.to_pylist() for column in mappings.columns), strict=True))
    prefixes = {curie.partition(":")[0] for row in rows for curie in (row[0], row[3])}
    part = target.with_name(f".{target.name}.part")
    with part.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(_header(release, prefixes))
        out.write("\t".join(_COLUMNS) + "\n")
        for subject, label, predicate, other in rows:
            label = " ".join(label.split())
            out.write(f"{subject}\t{label}\t{predicate}\t{other}\tsemapv:UnspecifiedMatching\n")
    part.replace(target)
    return len(rows)


def _header(release: "Release", prefixes: Iterable[str]) -> list[str]:
    """The set's description, as YAML in comment lines; JSON's strings are YAML's."""
    licence = str(release.manifest.get("licence", ""))
    address = licence if licence.startswith("https://") else "https://w3id.org/sssom/license/unspecified"
    expansions = {prefix: f"{_RESOLVER}{prefix}:" for prefix in sorted(prefixes)}
    expansions["oboInOwl"] = "http://www.geneontology.org/formats/oboInOwl#"
    lines = ["curie_map:", *(f"  {json.dumps(prefix)}: {json.dumps(where)}" for prefix, where in expansions.items())]
    described = {
        "mapping_set_id": f"urn:belink:{release.ontology}:{release.version}",
        "mapping_set_version": release.version,
        "license": address,
        "comment": f"cross-references of {release.ontology} {release.version}, licence: {licence}",
    }
    lines += [f"{slot}: {json.dumps(value)}" for slot, value in described.items()]
    return [f"#{line}\n" for line in lines]
