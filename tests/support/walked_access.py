"""How the routes by which people come in, and by which access is administered, are called for the
walk of the audit trail: by accounts, sessions and links that are made for each."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pyotp

from support.walked_requests import FORM, JSON, Answer, Asked, Prepare

if TYPE_CHECKING:
    from support.walked_routes import Routes

PASSWORD = "correct horse battery staple 7"
ANOTHER = "staple battery horse correct 8"
_INVITATION = re.compile(rb"/invitation/([A-Za-z0-9_-]+)")
_SHARED = re.compile(rb"/share/([A-Za-z0-9_-]{20,})")
_FACTOR = re.compile(rb'name="factor" value="([A-Z2-7]+)"')
_ID = re.compile(rb'name="id" value="([^"]+)"')
_MARK = re.compile(rb'/access/marks/removed".*?name="name" value="([^"]+)"', re.DOTALL)


def _sent(routes: Routes, template: str, cookie: str = "", **fields: str) -> Answer:
    """A form that prepares something; `secret` is of the address."""
    secret = fields.pop("secret", "")
    asked = _filled(Asked({"secret": secret}, cookie=cookie), fields)
    return routes.prepare("POST", template, asked)


def _filled(asked: Asked, fields: Mapping[str, str]) -> Asked:
    asked.body, asked.media = urlencode(fields).encode(), FORM
    return asked


def _found(pattern: re.Pattern[bytes], answer: Answer) -> str:
    """The first one: what was made last."""
    found = pattern.search(answer.body)
    assert found, (pattern, answer)
    return found[1].decode()


# --- what is there before ------------------------------------------------------------------------


def _account(routes: Routes) -> tuple[str, str]:
    """A new account's name, and the secret of its one-time link."""
    name = f"walker-{secrets.token_hex(4)}"
    made = _sent(routes, "/access/accounts", name=name, role="administrator")
    return name, _found(_INVITATION, made)


def person(routes: Routes) -> tuple[str, str]:
    """Somebody with a password: the name, and the cookie of a session."""
    name, secret = _account(routes)
    there = _sent(routes, "/invitation/{secret}", secret=secret, password=PASSWORD, again=PASSWORD)
    return name, there.cookie


def _factor_of(routes: Routes, cookie: str) -> dict[str, str]:
    shown = routes.prepare("GET", "/account/factor", Asked({}, cookie=cookie))
    factor = _found(_FACTOR, shown)
    return {"current": PASSWORD, "factor": factor, "code": pyotp.TOTP(factor).now()}


def _link(routes: Routes, asked: Asked) -> Answer:
    fields = {"study": asked.values["study"], "label": "walked", "days": "1"}
    return _sent(routes, "/share", **fields)


def _listed(routes: Routes, template: str, cookie: str = "") -> Answer:
    return routes.prepare("GET", template, Asked({}, cookie=cookie))


# --- the requests --------------------------------------------------------------------------------


def _signing_in(routes: Routes, asked: Asked) -> None:
    name, _ = person(routes)
    _filled(asked, {"name": name, "password": PASSWORD})


def _signing_out(routes: Routes, asked: Asked) -> None:
    _, asked.cookie = person(routes)
    _filled(asked, {})


def _accepting(routes: Routes, asked: Asked) -> None:
    _, asked.values["secret"] = _account(routes)
    _filled(asked, {"password": PASSWORD, "again": PASSWORD})


def _invited(routes: Routes, asked: Asked) -> None:
    _, asked.values["secret"] = _account(routes)


def _changing_password(routes: Routes, asked: Asked) -> None:
    _, asked.cookie = person(routes)
    _filled(asked, {"current": PASSWORD, "password": ANOTHER, "again": ANOTHER})


def _begun_factor(routes: Routes, asked: Asked) -> None:
    _, asked.cookie = person(routes)


def _setting_factor(routes: Routes, asked: Asked) -> None:
    _, asked.cookie = person(routes)
    _filled(asked, _factor_of(routes, asked.cookie))


def _dropping_factor(routes: Routes, asked: Asked) -> None:
    _, cookie = person(routes)
    kept = _sent(routes, "/account/factor", cookie, **_factor_of(routes, cookie))
    asked.cookie = kept.cookie
    _filled(asked, {"current": PASSWORD})


def _ending_own_session(routes: Routes, asked: Asked) -> None:
    name, asked.cookie = person(routes)
    _sent(routes, "/sign-in", name=name, password=PASSWORD)
    there = _listed(routes, "/account", asked.cookie)
    _filled(asked, {"id": _found(_ID, there)})


def _ending_session(routes: Routes, asked: Asked) -> None:
    name, _ = person(routes)
    of = f'<td>{name}</td>(?:(?!</tr>).)*?/access/sessions/ended.*?name="id" value="([^"]+)"'
    there = _listed(routes, "/access")
    _filled(asked, {"id": _found(re.compile(of.encode(), re.DOTALL), there)})


def _of_account(**more: str) -> Prepare:
    def prepare(routes: Routes, asked: Asked) -> None:
        name, _ = _account(routes)
        _filled(asked, {"name": name, **more})

    return prepare


def _new_account(routes: Routes, asked: Asked) -> None:
    del routes
    _filled(asked, {"name": f"new-{secrets.token_hex(4)}", "role": "viewer"})


def _new_token(routes: Routes, asked: Asked) -> None:
    del routes
    _filled(asked, {"name": "walked", "role": "integrator", "days": "1"})


def _revoking_token(routes: Routes, asked: Asked) -> None:
    _sent(routes, "/access/tokens", name="walked", role="integrator", days="1")
    of = re.compile(rb'/access/tokens/revoked"[^>]*>.*?name="id" value="([^"]+)"', re.DOTALL)
    _filled(asked, {"id": _found(of, _listed(routes, "/access"))})


def _marking(routes: Routes, asked: Asked) -> None:
    del routes
    _filled(asked, {"patient": f"WALK-{secrets.token_hex(4)}", "reason": "walked"})


def _unmarking(routes: Routes, asked: Asked) -> None:
    _sent(routes, "/access/marks", patient=f"WALK-{secrets.token_hex(4)}", reason="walked")
    _filled(asked, {"name": _found(_MARK, _listed(routes, "/access"))})


def _in_emergency(routes: Routes, asked: Asked) -> None:
    name, cookie = person(routes)
    roles = {"name": name, "role": "viewer"}
    _sent(routes, "/access/accounts/changed", **roles)
    asked.cookie = cookie
    _filled(asked, {"patient": "WALK-1", "reason": "the walk of the audit trail"})


def _sharing(routes: Routes, asked: Asked) -> None:
    del routes
    _filled(asked, {"study": asked.values["study"], "label": "walked", "days": "1"})


def _revoking_link(routes: Routes, asked: Asked) -> None:
    _link(routes, asked)
    _filled(asked, {"id": _found(_ID, _listed(routes, "/share"))})


def _shared(routes: Routes, asked: Asked) -> None:
    asked.values["secret"] = _found(_SHARED, _link(routes, asked))


def _opening(routes: Routes, asked: Asked) -> None:
    _shared(routes, asked)
    _filled(asked, {})


def _json(asked: Asked, fields: Mapping[str, str]) -> None:
    asked.body, asked.media = json.dumps(fields).encode(), JSON


def _linking(routes: Routes, asked: Asked) -> None:
    del routes
    _json(asked, {"study": asked.values["study"], "label": "walked"})


def _unlinking(routes: Routes, asked: Asked) -> None:
    _link(routes, asked)
    asked.values["link"] = _found(_ID, _listed(routes, "/share"))


def _protecting(routes: Routes, asked: Asked) -> None:
    del routes
    _json(asked, {"patient": f"WALK-{secrets.token_hex(4)}"})


def _unprotecting(routes: Routes, asked: Asked) -> None:
    _sent(routes, "/access/marks", patient=f"WALK-{secrets.token_hex(4)}", reason="walked")
    asked.values["mark"] = _found(_MARK, _listed(routes, "/access"))


PREPARED: Mapping[tuple[str, str], Prepare] = {
    ("POST", "/sign-in"): _signing_in,
    ("POST", "/sign-out"): _signing_out,
    ("GET", "/invitation/{secret}"): _invited,
    ("POST", "/invitation/{secret}"): _accepting,
    ("GET", "/account/factor"): _begun_factor,
    ("GET", "/account"): _begun_factor,
    ("POST", "/account/password"): _changing_password,
    ("POST", "/account/factor"): _setting_factor,
    ("POST", "/account/factor/removed"): _dropping_factor,
    ("POST", "/account/sessions/ended"): _ending_own_session,
    ("POST", "/access/accounts"): _new_account,
    ("POST", "/access/accounts/changed"): _of_account(role="viewer"),
    ("POST", "/access/accounts/invited"): _of_account(),
    ("POST", "/access/accounts/removed"): _of_account(),
    ("POST", "/access/tokens"): _new_token,
    ("POST", "/access/tokens/revoked"): _revoking_token,
    ("POST", "/access/sessions/ended"): _ending_session,
    ("POST", "/access/marks"): _marking,
    ("POST", "/access/marks/removed"): _unmarking,
    ("POST", "/api/links"): _linking,
    ("DELETE", "/api/links/{link}"): _unlinking,
    ("POST", "/api/marks"): _protecting,
    ("DELETE", "/api/marks/{mark}"): _unprotecting,
    ("POST", "/emergency"): _in_emergency,
    ("POST", "/share"): _sharing,
    ("POST", "/share/revoked"): _revoking_link,
    ("GET", "/share/{secret}"): _shared,
    ("POST", "/share/{secret}"): _opening,
}
