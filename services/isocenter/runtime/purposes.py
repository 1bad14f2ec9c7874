"""Why something is asked for, as callers say it: PurposeOfUse of IHE ITI TF-2 3.20.7.8."""

from __future__ import annotations

from isocenter.core.errors import Invalid

FIELD = "purpose-of-use"  # a header field of HTTP, a metadata key of gRPC
MAX_LENGTH = 256  # characters


def checked(purpose: str) -> str:
    """A purpose that can be recorded. Raises `Invalid`."""
    if len(purpose) > MAX_LENGTH or not purpose.isprintable():
        raise Invalid(
            f"Purpose-Of-Use is longer than {MAX_LENGTH} characters or not printable",
            fix="say in a few words, or by a code, what it is asked for",
        )
    return purpose
