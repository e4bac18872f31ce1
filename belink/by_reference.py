"""Kept for models that MLflow has stored: versions before the packages import ``resolved`` from here; see ``link``."""

from belink.registry.bundles import resolve as resolved

__all__ = ["resolved"]
