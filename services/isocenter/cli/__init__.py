"""The command line. Each verb is a thin module; what it does lives in the services."""

from __future__ import annotations

from isocenter.cli.main import main

__all__ = ["main"]
