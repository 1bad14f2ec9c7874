"""Names that people, programs and AEs have in accounts, tokens and the directory."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, StringConstraints, ValidationError

from isocenter.core.access import OWN, ROLES
from isocenter.core.sites import MAX_SITE


def _role(text: str) -> str:
    if text not in ROLES:
        raise ValueError(f"{text!r} is no role; roles are {', '.join(ROLES)}")
    return text


def _site(text: str) -> str:
    if len(text.encode()) > MAX_SITE or text == OWN or not text.isprintable():
        raise ValueError(f"a site's name has up to {MAX_SITE} bytes, and is not {OWN!r}")
    return text


Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]
RoleName = Annotated[str, AfterValidator(_role)]
SiteName = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_site)]


def told_of(error: ValidationError) -> str:
    """What is wrong, and where, without the values."""
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        ": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"]))) for one in wrong
    )
