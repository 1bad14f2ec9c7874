"""Nothing by which somebody is let in can be read in what is kept, or in the audit trail."""

from __future__ import annotations

import base64

import pyotp
import pytest

from isocenter.core.access import Right
from isocenter.core.access_api import Asker
from isocenter.core.errors import Refused
from isocenter.runtime.access.accounts import ACCOUNTS, INVITATIONS, new_factor, new_recovery_codes
from isocenter.runtime.access.administration import new_account
from isocenter.runtime.access.attempts import ATTEMPTS
from isocenter.runtime.access.links import LINKS, OPENINGS
from isocenter.runtime.access.once import CLAIMS
from isocenter.runtime.access.sealing import sealed
from isocenter.runtime.access.sessions import SESSIONS, FederatedPerson, Session
from isocenter.runtime.access.tokens import TOKENS, new_token
from support.access_rig import BROWSER, HERE, PASSWORD, Access, asker

ADA = asker("administrator")
PASSCODE = "blue-7-orange"


def ways_to_write(secret: str) -> set[bytes]:
    """As somebody might keep it who thinks that it is not in clear."""
    plain = secret.encode()
    return {
        plain,
        secret.lower().encode(),
        secret.upper().encode(),
        plain.hex().encode(),
        base64.b64encode(plain),
        base64.urlsafe_b64encode(plain).rstrip(b"="),
        *(
            [base64.b32decode(plain)]
            if set(secret) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
            else []
        ),
    }


async def test_what_lets_somebody_in_is_nowhere_in_clear(access: Access) -> None:
    doors = access.doors
    invited = await access.administration.add(ADA, new_account("eva", roles=["viewer"]))
    account = await doors.accounts.accept(invited, PASSWORD, HERE)
    waiting = await doors.accounts.invite("eva", HERE)
    session = await access.signing_in.begin(account, BROWSER, HERE)
    who, known = await access.known(session)
    codes, digests = new_recovery_codes()
    factor = new_factor()
    _, session = await access.set_factor(who, known, factor, pyotp.TOTP(factor).now())
    eva = await doors.accounts.get("eva")
    await doors.accounts.keep(eva.model_copy(update={"recovery": digests}), HERE)
    again = await access.sign_in("eva", code=codes[0])
    who, known = await access.known(again)
    await access.emergency(who, known, again, "P1", "", "has to be seen at once")
    token, secret = new_token("portal", ["integrator"], 1)
    shown = await access.administration.make_token(ADA, token, secret)
    link = await access.sharing.share(who, "1.2", "Dr. Fox", days=1, passcode=PASSCODE)
    _, guest = await access.sharing.open_link(link, PASSCODE, BROWSER, HERE)
    await access.administration.make_token(
        ADA, *new_token("other", ["viewer"], 1, only=[Right.READ])
    )
    federated = FederatedPerson(
        subject="1", asked_at=account.since, refresh=sealed(session, "refresh-token-of-eva")
    )
    await doors.sessions.begin(Session(person="eva", federated=federated), HERE)

    let_in = {
        PASSWORD, invited, waiting, session, again, *codes, secret, shown, link, PASSCODE, guest,
        "refresh-token-of-eva",
    }  # fmt: skip
    kept = access.blobs.contents()
    for folder in (ACCOUNTS, INVITATIONS, SESSIONS, CLAIMS, TOKENS, LINKS, OPENINGS):
        assert any(key.startswith(folder) for key in kept), folder
    everything = [*kept.values(), *(key.encode() for key in kept)]
    everything.append(repr(access.audit.records).encode())
    for one in let_in:
        for written in ways_to_write(one):
            assert not any(written in content for content in everything), one


async def test_the_secret_of_a_second_factor_is_in_its_account_and_nowhere_else(
    access: Access,
) -> None:
    who, known = await access.known(await access.signed_in("eva"))
    factor = new_factor()
    code = pyotp.TOTP(factor).now()
    await access.set_factor(who, known, factor, code)
    holding = [
        (key, content)
        for key, content in access.blobs.contents().items()
        if any(one in content or one in key.encode() for one in ways_to_write(factor))
    ]
    assert [key.startswith(ACCOUNTS) for key, _ in holding] == [True]
    assert not any(one in repr(access.audit.records).encode() for one in ways_to_write(factor))


async def test_a_wrong_password_is_kept_nowhere(access: Access) -> None:
    await access.account("eva")
    wrong = "something that somebody tried"
    for name in ("eva", "nobody"):
        with pytest.raises(Refused) as error:
            await access.sign_in(name, wrong, wrong)
        assert wrong not in str(error.value)
    kept = access.blobs.contents()
    assert any(key.startswith(ATTEMPTS) for key in kept)
    told = repr(kept) + repr(access.audit.records)
    assert all(one.decode("latin-1") not in told for one in ways_to_write(wrong))


def test_what_is_kept_is_not_told_of_by_those_who_ask() -> None:
    token, secret = new_token("portal", ["viewer"], 1)
    assert secret not in repr(token) + repr(Asker(token.caller, HERE))
