"""An artefact is there whole or not at all, whatever happens to the process that builds it."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from belink import artefacts
from belink.errors import BelinkError

BUILD = """
import sys, time
from pathlib import Path
from belink import artefacts
with artefacts.build(Path(sys.argv[1])) as folder:
    for at in range(200):
        (folder / f"part-{at}").write_bytes(b"x" * 20_000)
        time.sleep(float(sys.argv[2]))
    artefacts.write_manifest(folder, {"parts": 200})
"""


def build_once(target: Path, content: str) -> None:
    with artefacts.build(target) as folder:
        (folder / "part").write_text(content)
        artefacts.write_manifest(folder, {"content": content})


def build_after(target: Path, content: str, ready: object, go: object) -> None:
    with artefacts.build(target) as folder:
        (folder / "part").write_text(content)
        ready.release()  # type: ignore[attr-defined]
        go.wait()  # type: ignore[attr-defined]
        artefacts.write_manifest(folder, {"content": content})


def leftovers(parent: Path) -> list[str]:
    return [path.name for path in parent.iterdir() if path.name.startswith(".tmp-")]


def test_nothing_is_visible_before_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "release" / "v1"
    with artefacts.build(target) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "part").write_text("x")
        artefacts.write_manifest(folder, {"n": 1})
        assert folder.parent == target.parent
        assert not target.exists() and not artefacts.exists(target)
    assert artefacts.exists(target) and artefacts.read_manifest(target) == {"n": 1}
    assert (target / "deep" / "part").read_text() == "x"
    assert leftovers(target.parent) == []


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="half-way"), artefacts.build(tmp_path / "a") as folder:
        artefacts.write_manifest(folder, {})
        raise RuntimeError("half-way")
    assert list(tmp_path.iterdir()) == []


def test_building_without_a_manifest_is_a_mistake_of_the_programmer(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="manifest"), artefacts.build(tmp_path / "a") as folder:
        (folder / "part").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_complete_artefact_is_never_replaced(tmp_path: Path) -> None:
    build_once(tmp_path / "a", "first")
    build_once(tmp_path / "a", "second")
    assert (tmp_path / "a" / "part").read_text() == "first"
    assert leftovers(tmp_path) == []


def test_a_folder_without_a_manifest_gives_way(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "debris").write_text("x")
    build_once(tmp_path / "a", "whole")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["manifest.json", "part"]


@pytest.mark.heavy
def test_of_builders_at_the_same_time_one_wins_and_all_end_well(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    builders = [
        context.Process(target=build_after, args=(tmp_path / "a", f"content {n}", ready, go), daemon=True)
        for n in range(6)
    ]
    for builder in builders:
        builder.start()
    for _ in builders:
        assert ready.acquire(timeout=60)
    assert len(leftovers(tmp_path)) == 6  # nobody took another one's work for debris
    go.set()
    for builder in builders:
        builder.join(60)
        assert builder.exitcode == 0
    assert artefacts.read_manifest(tmp_path / "a")["content"] == (tmp_path / "a" / "part").read_text()
    assert leftovers(tmp_path) == []


@pytest.mark.heavy
def test_a_killed_build_is_invisible_and_swept_by_the_next(tmp_path: Path) -> None:
    for seconds in (0.0, 0.05, 0.2):
        process = subprocess.Popen([sys.executable, "-c", BUILD, str(tmp_path / "a"), "0.01"])
        deadline = time.monotonic() + 30
        begun = f".tmp-a-{process.pid}-*"  # its own: what the one before left lies there from the start
        while not list(tmp_path.glob(begun)) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(seconds)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not artefacts.exists(tmp_path / "a")
        assert leftovers(tmp_path) == [path.name for path in tmp_path.glob(begun)] != []
    build_once(tmp_path / "a", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_sweeping_spares_builds_that_are_alive(tmp_path: Path) -> None:
    alive = tmp_path / f".tmp-x-y-{os.getpid()}-abcd1234"
    dead = tmp_path / ".tmp-x-y-999999999-abcd1234"
    for folder in (alive, dead):
        folder.mkdir()
    artefacts.clean(tmp_path)
    assert (alive.exists(), dead.exists()) == (True, False)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report.html"
    with artefacts.atomic_write(target) as aside:
        aside.write_text("old")
        assert not target.exists()
    with pytest.raises(RuntimeError), artefacts.atomic_write(target) as aside:
        aside.write_text("new")
        raise RuntimeError
    assert target.read_text() == "old"
    assert leftovers(target.parent) == []


def test_sweeping_takes_files_too(tmp_path: Path) -> None:
    (tmp_path / ".tmp-report.html-999999999-abcd1234").write_text("half")
    artefacts.clean(tmp_path)
    assert leftovers(tmp_path) == []


def test_a_missing_or_damaged_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BelinkError, match="build it again"):
        artefacts.read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BelinkError, match="build it again") as caught:
        artefacts.read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_equal_content_has_one_key_in_whatever_order_it_was_written(content: dict[str, object]) -> None:
    turned = dict(reversed(list(content.items())))
    assert artefacts.key(content) == artefacts.key(turned) == artefacts.key(json.loads(json.dumps(content)))
    assert len(artefacts.key(content)) == 16
    assert artefacts.key(content) != artefacts.key({**content, "one more": 1})


def test_an_artefact_is_made_once(tmp_path: Path) -> None:
    fills: list[Path] = []

    def fill(folder: Path) -> dict[str, int]:
        fills.append(folder)
        (folder / "part").write_text("x")
        return {"n": len(fills)}

    made = [artefacts.make(tmp_path / "a", fill) for _ in range(3)]
    assert [manifest["n"] for manifest in made] == [1, 1, 1]
    assert fills[0] != tmp_path / "a"
    assert (tmp_path / "a" / "part").read_text() == "x"


@pytest.mark.parametrize("damage", ["other bytes", "gone"])
def test_what_was_damaged_on_the_disk_is_made_again(tmp_path: Path, damage: str) -> None:
    def fill(folder: Path) -> dict[str, str]:
        (folder / "deep").mkdir()
        (folder / "deep" / "part").write_text("x")
        return {"kind": "test"}

    part = tmp_path / "a" / "deep" / "part"
    first = artefacts.make(tmp_path / "a", fill)
    part.write_text("y") if damage == "other bytes" else part.unlink()
    assert artefacts.damaged_file(tmp_path / "a") == part
    assert artefacts.make(tmp_path / "a", fill) == first
    assert part.read_text() == "x"


@pytest.mark.parametrize(
    "manifest",
    [
        {"files": {"part": "{}"}},
        {"files": {"part": {"size": 1, "sha256": "{}"}}},
        {"sha256": {"part": "{}"}},
    ],
)
def test_sums_are_read_in_each_form_that_manifests_have(tmp_path: Path, manifest: dict[str, object]) -> None:
    (tmp_path / "part").write_text("x")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest).replace("{}", artefacts.sha256(tmp_path / "part")))
    assert artefacts.damaged_file(tmp_path) is None
    (tmp_path / "part").write_text("y")
    assert artefacts.damaged_file(tmp_path) == tmp_path / "part"


def test_an_artefact_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    def fill(folder: Path) -> dict[str, int]:
        (folder / "part").write_text("x")
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        artefacts.make(tmp_path / "a", fill)
    assert list(tmp_path.iterdir()) == []


def test_an_adopted_artefact_is_the_same_and_stays_when_its_source_goes(tmp_path: Path) -> None:
    artefacts.make(tmp_path / "a", lambda folder: {"n": (folder / "part").write_text("x")})
    adopted = artefacts.adopt(tmp_path / "a", tmp_path / "deep" / "b")
    artefacts.remove(tmp_path / "a")
    assert artefacts.read_manifest(adopted)["n"] == 1
    assert artefacts.adopt(tmp_path / "a", adopted) == adopted


class Inner(BaseModel):
    rank: int = 4
    batch: int = 8


class Outer(BaseModel):
    title: str = "t"
    inner: Inner = Inner()
    other: Inner = Inner()


def test_every_field_is_content_but_those_that_are_listed() -> None:
    listed = {"title": "only shown", "inner.batch": "speed", "other": "of another stage"}
    assert artefacts.content(Outer(), listed) == {"inner": {"rank": 4}}


@pytest.mark.parametrize("name", ["titel", "inner.titel", "nowhere.rank"])
def test_a_listed_field_that_does_not_exist_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        artefacts.content(Outer(), {name: "a renamed field"})


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert artefacts.sha256(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_linking_shares_content_without_copying_it(tmp_path: Path) -> None:
    (tmp_path / "from" / "deep").mkdir(parents=True)
    (tmp_path / "from" / "deep" / "part").write_text("x")
    artefacts.link_or_copy(tmp_path / "from", tmp_path / "to")
    artefacts.link_or_copy(tmp_path / "from" / "deep" / "part", tmp_path / "one")
    linked = tmp_path / "to" / "deep" / "part"
    assert linked.read_text() == "x" == (tmp_path / "one").read_text()
    assert linked.stat().st_ino == (tmp_path / "from" / "deep" / "part").stat().st_ino


def test_where_links_are_impossible_content_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "from").write_text("x")
    artefacts.link_or_copy(tmp_path / "from", tmp_path / "to")
    assert (tmp_path / "to").read_text() == "x"
    assert (tmp_path / "to").stat().st_ino != (tmp_path / "from").stat().st_ino


def test_a_file_that_is_written_through_memory_has_its_room_before(tmp_path: Path) -> None:
    path, size = tmp_path / "vectors", 1 << 20
    with path.open("wb") as stream:
        stream.truncate(size)
    if path.stat().st_blocks * 512 >= size:
        pytest.skip("this file system has no sparse files")
    artefacts.reserve(path)
    assert path.stat().st_blocks * 512 >= size == path.stat().st_size
    empty = tmp_path / "empty"
    empty.touch()
    artefacts.reserve(empty)
