"""What the command line says of corrections."""

from belink.cli.corrections import listed


def row(mention: str, verdict: str, state: str = "teaches", concept: str | None = None) -> dict[str, object]:
    return {
        "id": "1", "at": "2026-01-01T00:00:00", "who": "anna", "verdict": verdict, "mention": mention,
        "concept": concept, "state": state, "sentence": f"All {mention} here.", "start": 4, "end": 4 + len(mention),
    }  # fmt: skip


def test_the_list_says_which_names_a_correction_settles_in_every_text() -> None:
    rows = [row("included", "no-mention"), row("ileus", "nil"), row("rash", "other", concept="X:1")]
    text = listed({"linker": "sample", "corrections": [*rows, row("held", "nil", "held out")]})
    stopped, without = text.splitlines()[-2:]
    assert stopped.startswith('"no mention" stops these names in every text') and stopped.endswith(": included")
    assert without.startswith("NIL is the answer to these names in every text") and without.endswith(": ileus")
    assert "All [ileus] here." in text
    assert "every text" not in listed({"linker": "sample", "corrections": [rows[2]]})
