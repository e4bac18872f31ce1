"""Kept for models that MLflow has stored: versions before the packages import ``Linker`` from here.

A copy of ``registry/pyfunc_model.py`` lies beside every registered bundle, and the installed belink runs it. Copies
from before know ``belink.link`` and ``belink.by_reference``. New ones know ``belink.registry.predict`` alone.
"""

from belink.linker.linker import Linker

__all__ = ["Linker"]
