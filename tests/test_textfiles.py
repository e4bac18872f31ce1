"""Encodings of text files: what people save comes back letter for letter, or is refused."""

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from belink.corpora.files import read_documents
from belink.errors import BelinkError, CorpusError
from belink.textfiles import detect_encoding

# First and last letter of scripts in which patients are written about.
SCRIPTS = {
    "Greek": "αω", "Cyrillic": "Ая", "Hebrew": "את", "Arabic": "ءغ", "Devanagari": "अह", "Thai": "กฮ",
    "Georgian": "აჰ", "Han": "一龥", "Hangul": "가힣", "Katakana": "ァヺ",
}  # fmt: skip


@st.composite
def foreign_texts(draw: st.DrawFn) -> str:
    ends = SCRIPTS[draw(st.sampled_from(sorted(SCRIPTS)))]
    letters = st.characters(min_codepoint=ord(ends[0]), max_codepoint=ord(ends[1]))
    word = st.text(letters, min_size=4, max_size=12)
    words = draw(st.lists(word | st.sampled_from(["COPD", "2", "{}"]), min_size=6, max_size=400))
    text = draw(st.sampled_from([" ", "\n", "\r\n"])).join(words)
    assume(sum(letter > "\x7f" for letter in text) * 2 > len(text))
    # The lower half of such a letter is a zero byte, too: then both sides have one, as in a binary file.
    assume(all(ord(letter) % 256 or letter < "\x80" for letter in text))
    return text


@example(text=" ".join(["丁丁丁丁"] * 6 + ["COPD"] * 3), encoding="utf-16-le")  # each byte is ASCII
@example(text=" ".join(["丁丁丁丁"] * 6 + ["COPD"] * 3), encoding="utf-16-be")
@given(text=foreign_texts(), encoding=st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-8"]))
def test_text_beyond_latin_is_recognised_without_a_byte_order_mark(text: str, encoding: str) -> None:
    content = text.encode(encoding)
    assert content.decode(detect_encoding(io.BytesIO(content))) == text


def tables() -> st.SearchStrategy[str]:
    rows = st.lists(st.lists(st.text("abcXYZ123", min_size=2, max_size=9), min_size=3, max_size=3), min_size=3)
    return rows.map(lambda rows: "\n".join(map("\t".join, rows)))


@given(
    text=foreign_texts() | st.text("Ménière and µ-opioids ", min_size=4) | tables(),
    places=st.lists(st.integers(0, 1000), min_size=1, max_size=3),
)
def test_stray_zero_bytes_make_no_other_encoding(text: str, places: list[int]) -> None:
    for place in places:
        at = place % (len(text) + 1)
        text = f"{text[:at]}\0{text[at:]}"
    content = text.encode()
    assume(content.count(0) * 4 < len(content))
    assert detect_encoding(io.BytesIO(content)) == "utf-8"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_not_the_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "note.txt"
    path.write_text("He has COPD.", encoding="utf-16")
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda _: open("/dev/full", "r+b", buffering=0))
    with pytest.raises(BelinkError, match=r"expected room to write, found [\d,]+ KiB left") as caught:
        list(read_documents(path))
    assert not isinstance(caught.value, CorpusError)
