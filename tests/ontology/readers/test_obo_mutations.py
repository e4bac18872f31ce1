"""Damaged files of the three formats: refused in one line, or read with what was lost on record; never anything else.

``pytest -m slow tests/test_obo_mutations.py -s`` tries a thousand of each and writes what became of them.
"""

import json
import sys
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from belink.errors import SourceError
from belink.ontology.readers.obo.syntax import frames
from tests.ontology.readers.test_obo import SAMPLES, TERM
from tests.ontology.readers.test_obo_formats import OWL, as_json, graph
from tests.support.recorded import Recorded, read

pytestmark = pytest.mark.heavy

FORMATS = ("obo", "owl", "json")
TOKENS = [
    token.encode("utf-8", "surrogateescape")
    for token in (
        *'"\\{}!:;,<>&/ \n\t\x00\x1b\x0b\udcff\udce9', "\r\n", "\u2028", "é", "[Term]", "[", "]", "id: ", "id:",
        "name:", "is_a: ", "synonym: ", "EXACT", "null", "true", "0", "[]", "{}", '""', "\\u0000", "\\ud800", "\ufeff",
        "&lt;", "&#0;", "<!--", "]]>", "rdf:resource", "owl:Class",
    )
]  # fmt: skip

places = st.integers(0, 1 << 20)
edits = st.one_of(
    st.tuples(st.just("insert"), places, st.sampled_from(TOKENS)),
    st.tuples(st.just("insert"), places, st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("delete"), places, st.integers(1, 200)),
    st.tuples(st.just("repeat"), places, st.integers(1, 2000)),
    st.tuples(st.just("cut line"), places, st.integers(0, 80)),
    st.tuples(st.just("swap lines"), places, places),
    st.tuples(st.just("end"), places, st.none()),
)
ODD: list[Any] = [None, 5, -0.5, True, "", " ", "x", "X:1", "\ud800", "http://a b", [], [[]], {}, {"val": 3}, ["x"]]
changes = st.tuples(st.sampled_from(["remove", "replace", "repeat", "move"]), places, st.sampled_from(ODD), places)


def sound(form: str) -> bytes:
    """A small ontology of the format: every kind of clause, and the first terms of the sample."""
    if form == "owl":
        return OWL.encode()
    if form == "json":
        return as_json(graph()).replace(", ", ",\n").encode()
    sample = (SAMPLES / "mondo-sample-2025-02-04.obo").read_text(encoding="utf-8")
    return (TERM + sample[sample.index("[Term]") : 20_000].rpartition("[Term]")[0]).encode()


def damaged(content: bytes, edits: list[tuple[str, int, object]]) -> bytes:
    for kind, where, what in edits:
        place = where % (len(content) + 1)
        if isinstance(what, bytes):
            content = content[:place] + what + content[place:]
        elif kind == "delete" and isinstance(what, int):
            content = content[:place] + content[place + what :]
        elif kind == "repeat" and isinstance(what, int):
            content = content[: place + what] + content[place:]
        elif kind == "end":
            content = content[:place]
        else:
            lines = content.split(b"\n")
            assert isinstance(what, int)
            one, other = where % len(lines), what % len(lines)
            if kind == "cut line":
                lines[one] = lines[one][:what]
            else:
                lines[one], lines[other] = lines[other], lines[one]
            content = b"\n".join(lines)
    return content


def rearranged(form: str, content: bytes, changes: list[tuple[str, int, Any, int]]) -> bytes:
    """Still JSON, or still XML, but no longer saying what it should."""
    change = _change_json if form == "json" else _change_xml
    for each in changes:
        content = change(content, *each)
    return content


def _change_json(content: bytes, kind: str, where: int, odd: Any, other: int) -> bytes:
    document = json.loads(content)
    slots: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        found = list(holder) if isinstance(holder, dict) else range(len(holder))
        slots += [(holder, key) for key in found]
        waiting += [holder[key] for key in found if isinstance(holder[key], dict | list)]
    if not slots:
        return content
    holder, key = slots[where % len(slots)]
    if kind == "remove":
        del holder[key]
    elif kind == "replace":
        holder[key] = odd
    elif kind == "repeat" and isinstance(holder, list):
        holder.append(holder[key])
    else:
        target, place = slots[other % len(slots)]
        target[place] = json.loads(json.dumps(holder[key]))
    return json.dumps(document, indent=0).encode()


def _change_xml(content: bytes, kind: str, where: int, odd: Any, other: int) -> bytes:
    root = etree.fromstring(content)
    elements = [element for element in root.iter() if isinstance(element.tag, str) and element is not root]
    if not elements:
        return content
    element, second = elements[where % len(elements)], elements[other % len(elements)]
    text = "x" if odd is None or odd == "\ud800" else str(odd)
    if kind == "remove":
        element.getparent().remove(element)
    elif kind == "replace" and element.attrib and other % 2:
        element.set(sorted(element.attrib)[other % len(element.attrib)], text)
    elif kind == "replace":
        element.text = text
    elif kind == "repeat":
        element.tag = second.tag
    else:
        second.append(deepcopy(element))
    return etree.tostring(root)


def broken(form: str) -> st.SearchStrategy[bytes]:
    """Damaged contents of a format: bytes and lines of OBO; of the two others also their structure."""
    content = sound(form)
    by_bytes = st.lists(edits, min_size=1, max_size=8).map(lambda each: damaged(content, each))
    by_structure = st.lists(changes, min_size=1, max_size=12).map(lambda each: rearranged(form, content, each))
    return by_bytes if form == "obo" else st.one_of(by_structure, by_structure, by_bytes)


def outcome(path: Path, content: bytes) -> Recorded | None:
    """What both ways of reading give alike; None where they refuse alike.

    Any error but a SourceError of one line goes through.
    """
    path.write_bytes(content)
    read_ways: list[Recorded | str] = []
    for by_frame in (False, True):
        try:
            read_ways.append(read(path, by_frame=by_frame))
        except SourceError as refused:
            assert "\n" not in str(refused)
            read_ways.append(str(refused))
    through_pronto, frame_by_frame = read_ways
    if isinstance(through_pronto, str) or isinstance(frame_by_frame, str):
        assert through_pronto == frame_by_frame
        return None
    assert through_pronto.content == frame_by_frame.content
    return through_pronto


def check(into: Recorded, content: bytes, form: str) -> None:
    for concept in into.listed:
        assert concept.id.strip()
        repr(concept).encode()
        assert all(name.text.strip() for name in concept.synonyms)
    for rejection in into.rejections:
        assert rejection.reason and len(rejection.text) <= 500
        rejection.text.encode()
    if form == "obo":
        text = content.decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
        terms = sum(frame.kind == "Term" for frame in frames(line + "\n" for line in text.split("\n")))
        nameless = sum(rejection.reason == "expected a term with an id, found none" for rejection in into.rejected)
        assert len(into.listed) + nameless == terms


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@pytest.mark.parametrize("form", FORMATS)
def test_the_undamaged_files_are_sound(folder: Path, form: str) -> None:
    into = outcome(folder / f"sound.{form}", sound(form))
    assert into is not None
    assert len(into.listed) > 2
    assert not into.rejected


def trial(form: str, folder: Path, content: bytes, said: Counter[str]) -> None:
    into = outcome(folder / f"damaged.{form}", content)
    said["tried"] += 1
    if into is None:
        said["refused"] += 1
        return
    check(into, content, form)
    said["read"] += 1
    said["read, clauses set aside"] += bool(into.rejected)
    said["read, clauses repaired"] += bool(into.repaired)
    said["clauses set aside"] += len(into.rejected)


@pytest.mark.parametrize("form", FORMATS)
def test_damage_is_refused_or_recorded(folder: Path, form: str) -> None:
    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(broken(form))
    def run(content: bytes) -> None:
        trial(form, folder, content, Counter())

    run()


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_a_thousand_damages_are_refused_or_recorded(folder: Path, form: str) -> None:
    said: Counter[str] = Counter()

    @settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(broken(form))
    def run(content: bytes) -> None:
        trial(form, folder, content, said)

    run()
    sys.stdout.write(f"\n{form}: {', '.join(f'{count} {what}' for what, count in said.items())}\n")
    assert said["tried"] >= 1000
    assert said["read"] and said["refused"]


@pytest.mark.parametrize(
    "clause",
    [
        'synonym: "a" ' + "x " * 20_000 + '"',
        'synonym: "a" ' + " " * 20_000 + 'x "',
        'synonym: "' + '" [' * 20_000,
        'def: "' + '\\"' * 20_000,
        "name: " + 'a{b="' * 20_000,
        "name: " + '{a="b" ' * 20_000,
        "xref: http://" + "%" * 20_000,
        "is_a: " + "a:" * 20_000,
    ],
    ids=lambda clause: clause[:20],
)
@pytest.mark.timeout(20)
def test_a_line_made_to_be_slow_is_not(folder: Path, clause: str) -> None:
    into = outcome(folder / "slow.obo", f"[Term]\nid: X:1\n{clause}\n\n[Term]\nid: X:2\n".encode())
    assert into is not None
    assert len(into.listed) == 2
    assert into.rejections
