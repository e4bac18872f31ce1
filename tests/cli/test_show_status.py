"""What `belink status` says in each state that a linker can be in, from the registry to the words."""

from dataclasses import replace
from typing import Any

import pytest

from belink.cli.show_status import status
from belink.linker import bundle
from belink.registry import aliases
from belink.registry.status import read_status
from belink.registry.store import RunRecord
from belink.settings import Settings
from tests.support.handmade import parts, release

ECE = {"name": "ece", "value": 0.1432, "bound": 0.1, "passed": False, "detail": "300 mentions"}
ASKED = {"name": "approved", "value": 0.0, "bound": 1.0, "passed": False, "detail": "a person decides"}


def register(here: Settings, number: int, name: str = "sample", **changes: Any) -> str:
    made = parts(here.home / f"parts-{name}", name=name, inputs={"key": str(number)})
    return aliases.register(here, bundle.assemble(replace(made, **changes), here.bundles / name), RunRecord())


def end_refresh(here: Settings, version: str | None, outcome: str, *failed: dict[str, Any], **more: Any) -> None:
    if version is not None:
        aliases.settle(here, "sample", version, [gate["name"] for gate in failed])
    aliases.note_refresh(here, {"linker": "sample", "outcome": outcome, "version": version, "gates": failed, **more})


def test_a_home_without_linker_says_what_makes_one(here: Settings) -> None:
    assert "There is no linker yet. belink refresh NAME makes one" in status(read_status(here))


@pytest.mark.heavy
def test_each_state_is_said_in_words_with_the_next_command(registry_home: Settings) -> None:
    here = registry_home

    def said() -> str:
        return " ".join(status(read_status(here)).split())

    end_refresh(here, register(here, 1), "rejected", ECE)
    assert "sample: nothing answers yet, no version is champion. The last refresh (20" in said()
    assert "made version 1, which was REFUSED by ece. ece: 0.1432, the bound is 0.1 (300 mentions)." in said()
    assert "belink promote sample 1 takes it all the same" in said()

    aliases.promote(here, "sample", "1")
    end_refresh(here, "1", "promoted")
    assert "sample: version 1 answers since 20" in said()
    assert "made version 1 the champion." in said()
    assert "It is made from mondo-sample 2025-02-04 (index " in said() and "adapter " in said()
    assert "without a language model" not in said() and "rollback" not in said()
    assert "No newer release lies in this home; belink refresh sample asks the publishers." in said()

    aliases.promote(here, "sample", register(here, 2, adapter=None, base_model=None))
    assert "mondo-sample 2025-02-04, without a language model (index " in said() and "adapter" not in said()
    assert "Before it, version 1 answered; belink rollback sample goes back to it." in said()

    aliases.rollback(here, "sample")
    assert "version 1 answers since" in said() and "Before it" not in said()
    assert "Version 2 was rolled back 20" in said() and "belink promote sample 2 does." in said()

    end_refresh(here, register(here, 3), "rejected", ASKED)
    assert "made version 3, which WAITS for a person; all other gates passed. approved: a person decides." in said()
    assert "What to do: belink promote sample 3 makes it champion." in said()

    end_refresh(here, None, "failed", reason="x.obo: expected OBO, found HTML")
    assert "FAILED: x.obo: expected OBO, found HTML What to do: belink refresh sample tries again." in said()
    assert "linkers;" not in said()

    release(here.releases / "mondo-sample" / "2026-01-01", "2026-01-01")
    assert "NEWER releases lie in this home: mondo-sample 2026-01-01; belink refresh sample takes them." in said()

    aliases.promote(here, "other", register(here, 1, "other"))
    assert "2 linkers; sample: the last refresh left something to do." in said()
    assert "other: version 1 answers since" in said()
    end_refresh(here, "1", "unchanged")
    assert "2 linkers; none needs you." in said() and "found nothing new." in said()
