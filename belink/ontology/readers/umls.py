"""A UMLS Metathesaurus in Rich Release Format → a release, set-wise in DuckDB: no Python object for an atom.

Files of the Metathesaurus (MRCONSO and, where present, MRSTY, MRDEF, MRREL, MRCUI, MRRANK, MRSAB, release.dat) may be
plain or gzipped, in a folder, in a zip, or given one by one. Columns are those of NLM's UMLS Reference Manual (NBK9685,
chapter 3). A concept id is ``UMLS:`` and the CUI. Each atom is a name with its vocabulary and term type, also where two
vocabularies have the same string.
"""

import logging
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belink.declarations import SourceConfig
from belink.errors import DeclarationError, SourceError
from belink.ontology.readers import archive
from belink.ontology.readers.delimited import Layout, scan, sifted
from belink.ontology.release_writer import REJECTED_TEXT, ReleaseWriter

log = logging.getLogger(__name__)
PREFIX = "UMLS"

_RRF = {
    "MRCONSO": "CUI LAT TS LUI STT SUI ISPREF AUI SAUI SCUI SDUI SAB TTY CODE STR SRL SUPPRESS CVF",
    "MRSTY": "CUI TUI STN STY ATUI CVF",
    "MRDEF": "CUI AUI ATUI SATUI SAB DEF SUPPRESS CVF",
    "MRREL": "CUI1 AUI1 STYPE1 REL CUI2 AUI2 STYPE2 RELA RUI SRUI SAB SL RG DIR SUPPRESS CVF",
    "MRCUI": "CUI1 VER REL RELA MAPREASON CUI2 MAPIN",
    "MRRANK": "RANK SAB TTY SUPPRESS",
    "MRSAB": "VCUI RCUI VSAB RSAB SON SF SVER VSTART VEND IMETA RMETA SLC SCC SRL TFR CFR CXTY TTYL ATNL LAT CENC "
    "CURVER SABIN SSN SCIT",
}
_REQUIRED = {
    "MRCONSO": ("CUI", "STR"),
    "MRSTY": ("CUI", "TUI"),
    "MRDEF": ("CUI", "DEF"),
    "MRREL": ("CUI1", "REL", "CUI2"),
    "MRCUI": ("CUI1", "REL"),
    "MRRANK": ("RANK", "SAB", "TTY"),
    "MRSAB": (),
}
_FILE = re.compile(rf"({'|'.join(_RRF)})\.RRF(\.gz)?", re.IGNORECASE)
_RELEASE_DAT = "release.dat"
_VERSION = re.compile(r"(?:19|20)\d\d[A-Z]{2}")
_CUI = "C[0-9]{7,8}"

# LAT → BCP 47, for the languages that the Metathesaurus has.
_LANGUAGES = {
    "ENG": "en", "SPA": "es", "FRE": "fr", "GER": "de", "POR": "pt", "ITA": "it", "DUT": "nl", "JPN": "ja",
    "CHI": "zh", "KOR": "ko", "RUS": "ru", "CZE": "cs", "POL": "pl", "HUN": "hu", "SWE": "sv", "NOR": "no",
    "DAN": "da", "FIN": "fi", "EST": "et", "LAV": "lv", "LIT": "lt", "TUR": "tr", "GRE": "el", "HEB": "he",
    "ARA": "ar", "BAQ": "eu", "SCR": "hr", "UKR": "uk",
}  # fmt: skip

# Semantic groups and their types (NLM, SemGroups): a branch may name either.
_GROUPS = {
    "ACTI": "T051 T052 T053 T054 T055 T056 T057 T064 T066",
    "ANAT": "T017 T018 T021 T022 T023 T024 T025 T026 T029 T030 T031",
    "CHEM": "T103 T104 T109 T114 T116 T120 T121 T122 T123 T125 T126 T127 T129 T130 T131 T192 T195 T196 T197 T200",
    "CONC": "T077 T078 T079 T080 T081 T082 T089 T102 T169 T170 T171 T185",
    "DEVI": "T074 T075 T203",
    "DISO": "T019 T020 T033 T037 T046 T047 T048 T049 T050 T184 T190 T191",
    "GENE": "T028 T085 T086 T087 T088",
    "GEOG": "T083",
    "LIVB": "T001 T002 T004 T005 T007 T008 T010 T011 T012 T013 T014 T015 T016 T096 T097 T098 T099 T100 T101 T194 T204",
    "OBJC": "T071 T072 T073 T167 T168",
    "OCCU": "T090 T091",
    "ORGA": "T092 T093 T094 T095",
    "PHEN": "T034 T038 T067 T068 T069 T070",
    "PHYS": "T032 T039 T040 T041 T042 T043 T044 T045 T201",
    "PROC": "T058 T059 T060 T061 T062 T063 T065",
}


def read(paths: Sequence[Path], source: SourceConfig, into: ReleaseWriter) -> None:
    """Write the Metathesaurus at ``paths`` into a release.

    :param paths: a folder, a zip, or the RRF files themselves.
    :raises SourceError: no MRCONSO, an unreadable file, or nothing left after the declaration's filters.
    :raises DeclarationError: a branch that is neither a semantic type nor a semantic group.
    """
    types = _semantic_types(source)
    with tempfile.TemporaryDirectory(prefix=".reading-", dir=into.path.parent) as folder:
        scratch = Path(folder)
        files = _files(paths, scratch)
        if "MRCONSO" not in files:
            raise SourceError(
                f"{paths[0] if paths else 'umls'}: expected MRCONSO.RRF, found none; name the META folder"
            )
        if types and "MRSTY" not in files:
            raise SourceError(f"{source.name}: branches need MRSTY.RRF beside MRCONSO.RRF, found none; add it")
        into.version = _version(paths, files)
        load = _Load(files, source, into, scratch)
        _stage_types(load, types)
        _stage_atoms(load)
        _choose_atoms(load, filtered=bool(types))
        _stage_definitions(load)
        _write_concepts(load)
        _write_parents(load)
        _write_retired(load)
        for table in ("atom", "best", "semantic", "definition", "ranking"):
            into.sql(f"DROP TABLE IF EXISTS temp.{table}")


def _semantic_types(source: SourceConfig) -> list[str]:
    """Return the TUIs of the declaration's branches; none where every concept is kept."""
    types: list[str] = []
    for branch in source.branches:
        if branch in _GROUPS:
            types += _GROUPS[branch].split()
        elif re.fullmatch(r"T\d{3}", branch):
            types.append(branch)
        else:
            raise DeclarationError(
                f"{source.name}: branches: expected semantic types (T047) or groups ({', '.join(_GROUPS)}), "
                f"found {branch!r}; correct the declaration"
            )
    return types


def _is_wanted(name: str) -> bool:
    return bool(_FILE.fullmatch(name)) or name.lower() == _RELEASE_DAT


def _files(paths: Sequence[Path], scratch: Path) -> dict[str, Path]:
    """Return table name (``MRCONSO``) → file; members of a zip are unpacked into ``scratch``."""
    tables: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(inner for inner in path.rglob("*") if inner.is_file() and _is_wanted(inner.name))
        elif archive.is_zip(path):
            inside = archive.unpack(path, _is_wanted, scratch)
        elif _is_wanted(path.name):
            inside = [path]
        else:
            raise SourceError(
                f"{path}: expected a folder, a zip or files named MRCONSO.RRF and so on; rename or name them"
            )
        for file in inside:
            table = file.name.split(".")[0].upper()
            earlier = tables.setdefault(table, file)
            if earlier != file.with_suffix("") and earlier != file:
                raise SourceError(f"{file}: expected one {table}, found {earlier} as well; name one release only")
    return tables


def _version(paths: Sequence[Path], files: Mapping[str, Path]) -> str | None:
    """Return the name of the release (2025AB): from release.dat, else the newest in MRSAB, else from the path."""
    if dat := files.get("RELEASE"):
        match = re.search(r"^umls\.release\.name\s*=\s*(\S+)", _text(dat), re.MULTILINE)
        if match and _VERSION.fullmatch(match[1]):
            return match[1]
    if sab := files.get("MRSAB"):
        column = _RRF["MRSAB"].split().index("IMETA")
        rows = [line.split("|") for line in _text(sab).splitlines()]
        named = [row[column] for row in rows if len(row) > column and _VERSION.fullmatch(row[column])]
        if named:
            return max(named)
    for path in paths:
        if in_path := re.search(rf"(?<![0-9A-Za-z]){_VERSION.pattern}(?![0-9A-Za-z])", "/".join(path.parts[-3:])):
            return in_path[0]
    return None


def _text(path: Path) -> str:
    with archive.open_source(path) as stream:
        return stream.read().decode("utf-8", "replace")


@dataclass(frozen=True)
class _Load:
    """One Metathesaurus while it is read into a release."""

    files: Mapping[str, Path]
    source: SourceConfig
    into: ReleaseWriter
    scratch: Path

    def has(self, table: str) -> bool:
        return table in self.files

    def run(self, statement: str, table: str, **parameters: Any) -> None:
        """Run ``statement``, in which ``{table}`` stands for the sound lines of that RRF file."""
        columns = tuple(_RRF[table].split())
        layout = Layout(columns=columns, delimiter="|", trailing=True, required=_REQUIRED[table])
        path = sifted(self.files[table], layout, self.into, self.scratch)
        parameters["path"] = str(path)
        self.into.sql(statement.replace("{table}", scan("$path", (*columns, "rest"), "|")), parameters)
        if path.parent == self.scratch:
            path.unlink()


def _stage_types(load: _Load, types: Sequence[str]) -> None:
    """Make temp.semantic: the semantic types of every live concept, and whether the branches name one of them."""
    load.into.sql("CREATE TEMP TABLE semantic (CUI VARCHAR, TUI VARCHAR, chosen BOOLEAN)")
    if load.has("MRSTY"):
        load.run(
            """
            INSERT INTO semantic SELECT DISTINCT CUI, TUI, list_contains($types, TUI) FROM {table}
            """,
            "MRSTY",
            types=list(types),
        )


def _stage_atoms(load: _Load) -> None:
    """Make temp.atom: rows of MRCONSO that languages, sources, types and suppression keep, in the order of the file.

    It has no join, which would lose the order. ``preference``, smaller is better, is the position of the language in
    the declaration, then TS, STT, ISPREF.
    """
    filters = load.source.names
    languages = [language.upper() for language in filters.languages]
    codes = languages or ["ENG"]  # English names come first where the declaration keeps every language
    tags = {tag.upper(): code for code, tag in _LANGUAGES.items()}
    load.run(
        """
        CREATE TEMP TABLE atom AS
        SELECT CUI, STR, coalesce(SAB, '') AS SAB, coalesce(TTY, '') AS TTY, coalesce(LAT, '') AS LAT,
            coalesce(list_position($codes, LAT), 99) * 8 + (TS IS DISTINCT FROM 'P')::BIGINT * 4
                + (STT IS DISTINCT FROM 'PF')::BIGINT * 2 + (ISPREF IS DISTINCT FROM 'Y')::BIGINT AS preference
        FROM {table}
        WHERE ($suppressed OR SUPPRESS IS NULL OR SUPPRESS = 'N')
            AND ($every_language OR list_contains($codes, LAT))
            AND (len($sources) = 0 OR list_contains($sources, SAB))
            AND (len($types) = 0 OR list_contains($types, TTY))
        """,
        "MRCONSO",
        codes=[tags.get(code, code) for code in codes],
        every_language=not languages,
        suppressed=filters.suppressed,
        sources=list(filters.sources),
        types=list(filters.types),
    )


def _choose_atoms(load: _Load, filtered: bool) -> None:
    """Make temp.best: for each concept of the branches, the rows of its first and of its preferred atom.

    The preferred atom is in the declaration's first language, then has the highest MRRANK, then goes by TS, STT,
    ISPREF, then comes first in the file.
    """
    load.into.sql("CREATE TEMP TABLE ranking (SAB VARCHAR, TTY VARCHAR, rank BIGINT)")
    if load.has("MRRANK"):
        load.run(
            "INSERT INTO ranking SELECT SAB, TTY, max(least(try_cast(RANK AS BIGINT), 4095)) FROM {table} GROUP BY ALL",
            "MRRANK",
        )
    load.into.sql(
        f"""
        CREATE TEMP TABLE best AS
        SELECT CUI, min(position) AS first, min((preference << 36) | position) & ((1::BIGINT << 36) - 1) AS label
        FROM (
            SELECT CUI, atom.rowid AS position,
                ((preference >> 3) << 15) | ((4095 - coalesce(rank, 0)) << 3) | (preference & 7) AS preference
            FROM atom LEFT JOIN ranking USING (SAB, TTY)
            {"WHERE CUI IN (SELECT CUI FROM semantic WHERE chosen)" if filtered else ""}
        ) GROUP BY CUI
        """  # noqa: S608  constants
    )
    _check_ids(load)
    if not load.into.sql("SELECT count(*) FROM best")[0][0]:
        raise SourceError(
            f"{load.files['MRCONSO']}: expected concepts of the declared languages, sources, types and branches, "
            f"found none; correct [names] and branches of {load.source.name}"
        )


def _check_ids(load: _Load) -> None:
    """Set aside what is not a concept identifier, so that it cannot become one."""
    shape = {"shape": _CUI}
    load.into.sql(
        f"""
        INSERT INTO rejection
        SELECT NULL, left(CUI || '|' || STR, {REJECTED_TEXT}), 'MRCONSO: expected a CUI, C and 7 or 8 digits', false
        FROM atom WHERE CUI IN (SELECT CUI FROM best WHERE NOT regexp_full_match(CUI, $shape)) ORDER BY atom.rowid
        """,  # noqa: S608  a constant
        shape,
    )
    load.into.sql("DELETE FROM best WHERE NOT regexp_full_match(CUI, $shape)", shape)


def _stage_definitions(load: _Load) -> None:
    """Make temp.definition: one for each concept, of a kept vocabulary, with the lowest attribute identifier."""
    load.into.sql("CREATE TEMP TABLE definition (CUI VARCHAR, text VARCHAR)")
    if load.has("MRDEF"):
        load.run(
            """
            INSERT INTO definition SELECT CUI, min_by(DEF, (coalesce(ATUI, ''), DEF)) FROM {table}
            WHERE (SUPPRESS IS NULL OR SUPPRESS = 'N' OR $suppressed) AND SAB IN (SELECT DISTINCT SAB FROM atom)
            GROUP BY CUI
            """,
            "MRDEF",
            suppressed=load.source.names.suppressed,
        )


def _write_concepts(load: _Load) -> None:
    named = {"prefix": PREFIX}
    load.into.sql(
        """
        INSERT INTO concept
        SELECT $prefix || ':' || best.CUI, $prefix, atom.STR, coalesce(definition.text, ''), false, $own
        FROM best JOIN atom ON atom.rowid = best.label LEFT JOIN definition ON definition.CUI = best.CUI
        ORDER BY best.first
        """,
        {**named, "own": load.into.is_own(PREFIX)},
    )
    load.into.sql(
        """
        INSERT INTO name
        SELECT $prefix || ':' || CUI, STR, if(atom.rowid = label, 'label', 'exact') AS scope, TTY,
            coalesce($tags[list_position($codes, LAT)], lower(LAT)), SAB
        FROM atom JOIN best USING (CUI)
        WHERE list_contains($scopes, if(atom.rowid = label, 'label', 'exact')) ORDER BY atom.rowid
        """,
        {
            **named,
            "scopes": list(load.source.names.scopes),
            "codes": list(_LANGUAGES),
            "tags": list(_LANGUAGES.values()),
        },
    )
    load.into.sql(
        """
        INSERT INTO membership SELECT $prefix || ':' || CUI, 'semantic_type', TUI
        FROM semantic SEMI JOIN best USING (CUI) ORDER BY ALL
        """,
        named,
    )


def _write_parents(load: _Load) -> None:
    """Write the parents: MRREL says that CUI2 is parent (PAR) or child (CHD) of CUI1; both must be kept concepts."""
    if not load.has("MRREL"):
        return
    load.run(
        """
        INSERT INTO parent
        SELECT DISTINCT $prefix || ':' || child, $prefix || ':' || above FROM (
            SELECT if(REL = 'PAR', CUI1, CUI2) AS child, if(REL = 'PAR', CUI2, CUI1) AS above FROM {table}
            WHERE REL IN ('PAR', 'CHD') AND CUI1 <> CUI2 AND ($suppressed OR SUPPRESS IS NULL OR SUPPRESS = 'N')
                AND (len($sources) = 0 OR list_contains($sources, SAB)))
        WHERE child IN (SELECT CUI FROM best) AND above IN (SELECT CUI FROM best) ORDER BY ALL
        """,
        "MRREL",
        prefix=PREFIX,
        sources=list(load.source.names.sources),
        suppressed=load.source.names.suppressed,
    )


def _write_retired(load: _Load) -> None:
    """Write the retired CUIs: merged into one other (SY), mapped to several to consider, or deleted.

    A retired CUI whose successors were all left out by the declaration's filters is left out as well.
    """
    if not load.has("MRCUI"):
        return
    load.run(
        """
        CREATE TEMP TABLE retired AS
        SELECT DISTINCT CUI1, if(CUI2 = CUI1 OR REL = 'DEL', NULL, REL) AS REL, if(CUI2 = CUI1, NULL, CUI2) AS CUI2,
            CUI2 IS NOT NULL AND CUI2 NOT IN (SELECT CUI FROM best) AND CUI2 IN (SELECT CUI FROM semantic) AS filtered
        FROM {table} WHERE regexp_full_match(CUI1, $shape)
            AND CUI1 NOT IN (SELECT CUI FROM best) AND CUI1 NOT IN (SELECT CUI FROM semantic)
        """,
        "MRCUI",
        shape=_CUI,
    )
    named = {"prefix": PREFIX}
    load.into.sql(
        """
        INSERT INTO concept SELECT $prefix || ':' || CUI1, $prefix, NULL, '', true, $own
        FROM retired GROUP BY CUI1 HAVING NOT bool_and(filtered) ORDER BY CUI1
        """,
        {**named, "own": load.into.is_own(PREFIX)},
    )
    load.into.sql(
        """
        CREATE TEMP TABLE successor AS
        SELECT CUI1, CUI2, bool_or(REL = 'SY') AND
            count(*) FILTER (bool_or(REL = 'SY')) OVER (PARTITION BY CUI1) = 1 AS merged
        FROM retired WHERE CUI2 IS NOT NULL AND NOT filtered GROUP BY CUI1, CUI2
        """
    )
    for table, merged in (("replaced_by", True), ("consider", False)):
        load.into.sql(
            f"INSERT INTO {table} SELECT $prefix || ':' || CUI1, $prefix || ':' || CUI2 FROM successor "  # noqa: S608
            "WHERE merged = $merged ORDER BY ALL",
            {**named, "merged": merged},
        )
    load.into.sql("DROP TABLE temp.successor")
    load.into.sql("DROP TABLE temp.retired")
