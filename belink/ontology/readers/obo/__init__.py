"""OBO, OWL and OBO Graph JSON in, concepts and rejected clauses out, through pronto.

Read ``reader`` first. What pronto refuses is repaired where that loses nothing (``repair``), otherwise set aside with
its line and reason.
"""
