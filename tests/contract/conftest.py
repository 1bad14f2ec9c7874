"""What the contract tests of the service APIs share."""

from __future__ import annotations

from support.service_pairs import service

__all__ = ["service"]
