"""Links and gold in; metrics with intervals, gates and reports out.

Read ``predictions`` first (an answer beside its gold), then ``metrics``. ``run`` asks a linker, ``gates`` holds the
figures against their bounds, ``report`` and ``plots`` show them.
"""
