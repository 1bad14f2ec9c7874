"""Timeouts of associations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds."""

    artim: float = 30  # association request, response and release (PS3.8 9.1.5)
    network: float = 60  # silence while it is the peer's turn, or a peer that reads nothing
    dimse: float = 60  # the (next) response to a request of ours
    connect: float = 10  # transport connection
