"""What two linkers made by hand change in a text, in the form that a refresh registers."""

from typing import Any

from belink.evaluation.impact import ReleaseChanges, compare_links
from belink.records import Candidate, Link, Mention

TEXT = "The scurvy and the gout of a child."
SENTENCE_WITH_MARKUP = "A <b>croup</b> was seen, and gout."


def watched(n: int = 1) -> dict[str, dict[str, Any]]:
    """Return the impact on a text ``notes``: ``n`` other choices, a mention found, and one link unchanged."""
    before = [_link(4, "scurvy", "X:3"), *(_link(19, "gout", "X:2", document=str(i)) for i in range(n))]
    now = [_link(4, "scurvy", "X:3"), *(_link(19, "gout", "X:1", document=str(i)) for i in range(n))]
    found = Link(
        mention=Mention(text="croup", start=5, end=10, document="m", sentence=SENTENCE_WITH_MARKUP),
        candidate=Candidate(id="X:4", label="croup", name="croup", ontology="x", release="1"),
        probability=0.5,
    )
    impact = compare_links(before, [*now, found], ReleaseChanges(new={"X:4"}), old="version 1 (x 1)", new="x 2")
    return {"notes": {"linker": "sample", **impact.to_dict(), "markdown": impact.markdown("notes")}}


def _link(start: int, text: str, concept: str, *, document: str = "a") -> Link:
    candidate = Candidate(id=concept, label=text, name=text, ontology="x", release="1")
    mention = Mention(text=text, start=start, end=start + len(text), document=document, sentence=TEXT)
    return Link(mention=mention, candidate=candidate, probability=0.75)
