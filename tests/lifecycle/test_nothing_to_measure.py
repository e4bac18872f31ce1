"""A linker whose concepts have one name each, and no annotated text, is told what it lacks."""

from pathlib import Path

import pytest

from belink.errors import CorpusError
from belink.lifecycle import promotion, refresh
from belink.settings import Settings
from tests.support import handmade, small
from tests.support.made_releases import concept, release


def test_concepts_with_one_name_each_cannot_be_measured_on(
    here: Settings, tmp_path: Path, models: dict[str, str]
) -> None:
    toml = small.linker(tmp_path, models)
    toml.write_text(toml.read_text(encoding="utf-8").partition("[[corpora]]")[0], encoding="utf-8")
    run = refresh.start(here, str(toml))
    folder = release(tmp_path / "releases" / small.ONTOLOGY, *(concept(n, f"fever {n}") for n in range(20)))
    parts = handmade.parts(tmp_path / "parts", releases={small.ONTOLOGY: folder})
    challenger = promotion.Challenger(path=tmp_path, parts=parts)
    with pytest.raises(CorpusError, match=r"small: expected names to hide .* A concept needs a second name"):
        promotion.evaluate(run, challenger, None)
