"""What a refresh answers with, for the command line, for Prefect's pages and for ``belink status``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from belink.linker.abstention import Abstention
from belink.records import GateResult

Verdict = Literal["promoted", "rejected", "unchanged"]
_ONLY_WHERE_KNOWN = ("trained", "why", "reason", "defaults", "coverage", "shared_ids", "abstention", "impact")


@dataclass(frozen=True, kw_only=True)
class RefreshOutcome:
    """How a refresh ended."""

    linker: str
    outcome: Verdict
    version: str | None  # of the challenger; None: none was registered
    champion: str | None  # the version that is champion now
    encoded: int = 0  # names whose vectors were computed
    reused: int = 0  # names whose vectors an earlier index had
    gates: Sequence[GateResult] = ()
    trained: bool | None = None  # whether a new adapter was trained; None: the refresh did not come so far
    why: str | None = None  # why it was trained or not
    reason: str | None = None  # why the release was refused
    defaults: Mapping[str, Any] | None = None  # of a linker without declaration: what it is made by
    shared_ids: Mapping[str, Any] | None = None  # ``concepts`` that several ontologies have, and ``examples`` of them
    coverage: Mapping[str, Any] | None = None  # ontology → live concepts, how many of them are linked, and the rest
    impact: Mapping[str, Any] | None = None  # watched text → how many of its links change, by cause
    abstention: Abstention | None = None  # the bound on links in raw text; None: the refresh chose none

    @property
    def failed_gates(self) -> list[str]:
        """The names of the gates that failed."""
        return [gate.name for gate in self.gates if not gate.passed]

    @property
    def unmeasured_gates(self) -> list[str]:
        """The names of the gates that too few mentions were left for."""
        return [gate.name for gate in self.gates if not gate.measured]

    def summary(self) -> str:
        """One line, such as ``promoted, version 2``."""
        if self.outcome == "unchanged":
            return f"unchanged, version {self.champion} stays"
        version = "" if self.version is None else f", version {self.version}"
        failed = f" ({', '.join(self.failed_gates)})" if self.failed_gates else ""
        unmeasured = f"; not measured: {', '.join(self.unmeasured_gates)}" if self.unmeasured_gates else ""
        bound = f"; {self.abstention}" if self.abstention else ""
        return f"{self.outcome}{version}{failed}{unmeasured}{bound}"

    def to_dict(self) -> dict[str, Any]:
        """Return what ``belink refresh --json`` prints; keys of :data:`_ONLY_WHERE_KNOWN` only where known."""
        answer = asdict(self)
        answer["gates"] = [asdict(gate) for gate in self.gates]
        answer["unmeasured_gates"] = self.unmeasured_gates
        return {name: value for name, value in answer.items() if value is not None or name not in _ONLY_WHERE_KNOWN}
