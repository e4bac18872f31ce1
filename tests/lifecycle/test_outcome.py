from belink.lifecycle.outcome import RefreshOutcome
from belink.records import GateResult


def test_a_promotion_with_unmeasured_gates_says_so() -> None:
    gates = [
        GateResult(name="accuracy_at_1", value=1.0, bound=0.5, passed=True, measured=False),
        GateResult(name="index_recall_at_10", value=1.0, bound=0.95, passed=True),
    ]
    outcome = RefreshOutcome(linker="mine", outcome="promoted", version="1", champion="1", gates=gates)
    assert outcome.summary() == "promoted, version 1; not measured: accuracy_at_1"
    answer = outcome.to_dict()
    assert answer["unmeasured_gates"] == ["accuracy_at_1"]
    assert [gate["measured"] for gate in answer["gates"]] == [False, True]
