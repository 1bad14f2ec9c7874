"""Isocenter: a PACS platform. One code base, all in one process group or as separate services."""

from __future__ import annotations

__version__ = "0.3.0"
