"""SSSOM mappings → the cross-references of a release (https://mapping-commons.github.io/sssom/, TSV form).

The ``sssom`` package is not used: of a mapping set only subject, predicate, object and modifier count. DuckDB reads
those set-wise, and the package brings pandas, linkml and rdflib for the rest.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from belink.errors import SourceError
from belink.ontology.readers.archive import open_source
from belink.ontology.readers.delimited import Layout, first_line, in_utf8, scan, sifted
from belink.ontology.release_writer import ReleaseWriter
from belink.text.concept_ids import standardise

# Predicates that make subject and object the same concept; others are kept as relationships.
_SAME = (
    "skos:exactMatch", "skos:closeMatch", "oboInOwl:hasDbXref", "oio:hasDbXref", "owl:equivalentClass", "owl:sameAs",
    "semapv:crossSpeciesExactMatch",
)  # fmt: skip
# What a relationship is called from its object's end; a predicate that is not here holds from its subject alone.
_INVERSE = {
    "skos:broadMatch": "skos:narrowMatch", "skos:narrowMatch": "skos:broadMatch",
    "skos:relatedMatch": "skos:relatedMatch", "rdfs:subClassOf": "skos:narrowMatch",
}  # fmt: skip
_NEEDED = ("subject_id", "predicate_id", "object_id")
_MODIFIER = "predicate_modifier"
_NOTHING = "sssom:NoTermFound"
_CURIE = r"[A-Za-z_][A-Za-z0-9_.\-]*:[^\s/][^\s]*"
_CURIE_MAP = re.compile(
    r"^#([ \t]*)curie_map:[ \t]*\r?\n((?:^#\1[ \t]+.*\n?)*)", re.MULTILINE
)  # its lines stand deeper
_DECLARED = re.compile(
    r"""^#\s+["']?(?P<prefix>[A-Za-z][\w.\-]*)["']?:\s+["']?(?P<address>https?://[^\s"']+)""", re.MULTILINE
)
_OBO_ADDRESS = re.compile(r"https?://purl\.obolibrary\.org/obo/([A-Za-z][A-Za-z0-9]*)_([A-Za-z0-9.\-]+)")
_BUILT_IN = {  # prefixes that SSSOM lets a file leave out
    "owl": "http://www.w3.org/2002/07/owl#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "semapv": "https://w3id.org/semapv/vocab/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "sssom": "https://w3id.org/sssom/",
}
_HEAD = 1 << 20  # bytes that hold the comments and the header
_FILE = re.compile(r".*\.sssom\.tsv(\.gz)?", re.IGNORECASE)


def is_mapping_set(path: Path) -> bool:
    """Return whether the name is that of a set of SSSOM mappings (``….sssom.tsv``, also ``.gz``)."""
    return bool(_FILE.fullmatch(path.name))


def read(paths: Sequence[Path], into: ReleaseWriter) -> int:
    """Add the mappings of ``paths`` to the concepts that are in the release; return how many rows were added.

    A mapping counts from both its ends: ``XX:3 skos:broadMatch ZZ:1`` is ``ZZ:1 skos:narrowMatch XX:3``. Ids of the
    release count in any form (addresses, other case). Negated mappings, and those to nothing, are left out. Mappings
    without a concept of the release, or whose predicate holds only from the other end, become rejections.

    :raises SourceError: not a mapping set, or truncated.
    """
    before = _count(into)
    with tempfile.TemporaryDirectory(prefix=".reading-", dir=into.path.parent) as folder:
        for path in paths:
            with in_utf8(path, Path(folder)) as text:
                _stage(text, into, Path(folder))
            _add(path, into)
            into.sql("DROP TABLE temp.mapping")
    return _count(into) - before


def _count(into: ReleaseWriter) -> int:
    return int(into.sql("SELECT (SELECT count(*) FROM xref) + (SELECT count(*) FROM relationship)")[0][0])


def _stage(path: Path, into: ReleaseWriter, scratch: Path) -> None:
    """Fill the table temp.mapping: subject, predicate, object, negated."""
    first = first_line(path, comment="#")
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
    _standardise_ids(into, _curie_map(path))
    into.sql("DELETE FROM mapping WHERE negated OR subject = $nothing OR object = $nothing", nothing)
    into.sql(
        """
        CREATE TEMP TABLE unfit AS
        SELECT row, CASE WHEN NOT curies THEN 'expected two CURIEs'
            WHEN NOT (has_subject OR has_object) THEN 'neither end is a concept of the release'
            ELSE 'its subject is no concept of the release, and the predicate has no inverse' END AS reason
        FROM (SELECT rowid AS row, subject IN (SELECT id FROM concept) AS has_subject,
                object IN (SELECT id FROM concept) AS has_object, list_contains($both_ends, predicate) AS both_ends,
                regexp_full_match(subject, $shape) AND regexp_full_match(object, $shape) AS curies FROM mapping)
        WHERE NOT curies OR NOT (has_subject OR (has_object AND both_ends))
        """,
        {"shape": _CURIE, "both_ends": [*_SAME, *_INVERSE]},
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
        SELECT one, other FROM (
            SELECT subject AS one, object AS other, rowid AS row FROM mapping WHERE list_contains($same, predicate)
            UNION ALL SELECT object, subject, rowid FROM mapping WHERE list_contains($same, predicate))
        WHERE one IN (SELECT id FROM concept) AND one <> other
            AND (one, other) NOT IN (SELECT (concept_id, xref) FROM xref)
        GROUP BY one, other ORDER BY min(row), one
        """,
        {"same": list(_SAME)},
    )
    into.sql(
        """
        INSERT INTO relationship
        WITH inverse AS (SELECT unnest($predicates) AS predicate, unnest($inverses) AS inverse)
        SELECT one, predicate, other FROM (
            SELECT subject AS one, predicate, object AS other, rowid AS row FROM mapping
            WHERE NOT list_contains($same, predicate)
            UNION ALL SELECT object, inverse, subject, mapping.rowid FROM mapping JOIN inverse USING (predicate))
        WHERE one IN (SELECT id FROM concept) AND one <> other
            AND (one, predicate, other) NOT IN (SELECT (concept_id, predicate, object_id) FROM relationship)
        GROUP BY one, predicate, other ORDER BY min(row), one
        """,
        {"same": list(_SAME), "predicates": list(_INVERSE), "inverses": list(_INVERSE.values())},
    )


def _curie_map(path: Path) -> dict[str, str]:
    """Return prefix → beginning of an address, as the comments before the table declare them."""
    with open_source(path) as stream:
        comments = stream.read(_HEAD).decode("utf-8-sig", "replace")
    maps = "".join(match[2] for match in _CURIE_MAP.finditer(comments))
    return {match["prefix"]: match["address"] for match in _DECLARED.finditer(maps)}


def _contracted(identifier: str, curie_map: Mapping[str, str]) -> str:
    """Return an address as a CURIE by the file's own map, or by the rule of OBO addresses; anything else unchanged."""
    address, prefix = max(
        ((begin, prefix) for prefix, begin in curie_map.items() if identifier.startswith(begin)), default=("", "")
    )
    if address:
        return f"{prefix}:{identifier[len(address) :]}"
    obo = _OBO_ADDRESS.fullmatch(identifier)
    return f"{obo[1]}:{obo[2]}" if obo else identifier


def _standardise_ids(into: ReleaseWriter, curie_map: Mapping[str, str]) -> None:
    """Bring ids and predicates that are written as addresses to CURIEs, and ids of the release to its own form."""
    curie_map = {**_BUILT_IN, **curie_map}
    prefixes = into.prefixes()
    others = into.sql(
        "SELECT subject FROM mapping UNION SELECT object FROM mapping UNION SELECT predicate FROM mapping "
        "EXCEPT SELECT id FROM concept ORDER BY ALL"
    )
    standard = {other: standardise(other, prefixes) for (other,) in others}
    curies = {other: curie if curie != other else _contracted(other, curie_map) for other, curie in standard.items()}
    changed = {other: curie for other, curie in curies.items() if curie != other}
    for column in ("subject", "object", "predicate") if changed else ():
        into.sql(
            f"""
            UPDATE mapping SET {column} = curie
            FROM (SELECT unnest($others) AS other, unnest($curies) AS curie) WHERE {column} = other
            """,  # noqa: S608  the names above
            {"others": list(changed), "curies": list(changed.values())},
        )
