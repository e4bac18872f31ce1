"""From links and gold ids to metrics with intervals, gates and reports.

Read ``predictions`` first (an answer beside its gold), then ``metrics``. ``run`` lets a linker answer, ``gates`` holds
the metrics against their bounds, and ``report`` and ``plots`` show them.
"""
