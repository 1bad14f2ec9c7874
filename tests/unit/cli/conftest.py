"""An installation of its own for each test of a verb."""

from __future__ import annotations

from support.audited import audit, isocenter

__all__ = ["audit", "isocenter"]
