"""The web role with local accounts, on fakes: people sign in as they do, all else is made up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from isocenter.runtime.access.accounts import Account
from isocenter.runtime.access.settings import AccessSettings
from support.access_rig import PASSWORD
from support.closed_web import BY, ClosedWeb
from support.served import Served


class LocalPeople(Served):
    """It, where accounts can be made."""

    web: ClosedWeb

    def invite(self, name: str, *roles: str) -> str:
        """A new account; the address of its one-time link."""
        accounts = self.web.doors.accounts
        self.run(accounts.keep(Account(name=name, roles=roles, sites=("north",)), BY))
        return f"{self.url}/invitation/{self.run(accounts.invite(name, BY))}"

    def know(self, name: str, *roles: str) -> None:
        """A new account with the password."""
        secret = self.invite(name, *roles).rpartition("/")[2]
        self.run(self.web.doors.accounts.accept(secret, PASSWORD, BY))

    def forget(self, name: str) -> None:
        """No account any more."""
        self.run(self.web.doors.accounts.remove(name, BY))


@contextmanager
def local_people(**settings: object) -> Iterator[LocalPeople]:
    """They are there in the block."""
    access = AccessSettings.model_validate({"follow_seconds": 0.01, **settings})
    with LocalPeople(ClosedWeb(access=access)) as people:
        yield people
