"""`core.access_api.Guard` by the policy in force."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from isocenter.core import access
from isocenter.core.access import OF_STUDIES, Caller, Policy, Right
from isocenter.core.errors import Refused, Withheld
from isocenter.core.matching import JsonAttributes
from isocenter.core.scope import EVERYTHING, Scope
from isocenter.runtime.access.facts import Facts

_SCOPES = 4096  # of callers, rights and policies


@lru_cache(maxsize=_SCOPES)
def _scope(policy: Policy, caller: Caller, right: Right) -> Scope:
    return access.scope(policy, caller, right)


class PolicyGuard:
    """Decides by a policy that others keep up to date."""

    def __init__(self, policy: Callable[[], Policy], facts: Facts | None = None) -> None:
        """Without `facts` only who may do something with all studies may do it with any."""
        self._policy = policy
        self._facts = facts

    def scope(self, caller: Caller, right: Right) -> Scope:
        """See `Guard`."""
        return _scope(self._policy(), caller, right)

    def require(self, caller: Caller, right: Right) -> None:
        """See `Guard`."""
        decision = access.decide(self._policy(), caller, right)
        if not decision.allowed:
            raise Refused(decision.why)

    async def check(self, caller: Caller, right: Right, partition: str, study: str) -> None:
        """See `Guard`."""
        self.require(caller, right)
        if right not in OF_STUDIES or self.scope(caller, right) == EVERYTHING:
            return
        known = await self._facts.of(partition, study) if self._facts else None
        if known is None:
            raise Withheld("nothing is known of the study yet by which to decide")
        decision = access.decide(self._policy(), caller, right, known)
        if not decision.allowed:
            raise Withheld(decision.why)

    def check_new(self, caller: Caller, right: Right, study: JsonAttributes) -> None:
        """See `Guard`."""
        decision = access.decide(self._policy(), caller, right, study)
        if not decision.allowed:
            raise Refused(decision.why)
