"""`core.access_api.Guard` by the policy in force."""

from __future__ import annotations

from collections.abc import Callable

from isocenter.core import access
from isocenter.core.access import OF_STUDIES, Caller, Kind, Policy, Right
from isocenter.core.errors import Refused, Unavailable, Withheld
from isocenter.core.matching import JsonAttributes
from isocenter.core.scope import EVERYTHING, Scope, holds
from isocenter.runtime.access.facts import Facts

_SCOPES = 4096  # of callers and rights


class PolicyGuard:
    """Decides by a policy that others keep up to date."""

    def __init__(
        self,
        policy: Callable[[], Policy],
        facts: Facts | None = None,
        complete: Callable[[], bool] = lambda: True,
    ) -> None:
        """`complete`: whether all of the policy is known; before, nobody may do anything with any
        study. Without `facts` only who may do something with all studies may do it with any."""
        self._policy = policy
        self._facts = facts
        self._complete = complete
        self._of: Policy | None = None  # of which the scopes are
        self._scopes: dict[tuple[Caller, Right], Scope] = {}
        self._allowed: dict[tuple[Caller, Right], JsonAttributes] = {}  # last, by that policy

    def scope(self, caller: Caller, right: Right) -> Scope:
        """See `Guard`."""
        if caller.kind is Kind.SYSTEM:
            return EVERYTHING
        self._check_complete()
        policy = self._policy()
        if policy is not self._of or len(self._scopes) > _SCOPES:
            self._of, self._scopes, self._allowed = policy, {}, {}
        found = self._scopes.get((caller, right))
        if found is None:
            found = self._scopes[caller, right] = access.scope(policy, caller, right)
        return found

    def require(self, caller: Caller, right: Right) -> None:
        """See `Guard`."""
        if right not in caller.rights:
            raise Refused(access.decide(self._policy(), caller, right).why)

    async def check(
        self, caller: Caller, right: Right, partition: str, study: str, *, at_once: bool = False
    ) -> None:
        """See `Guard`."""
        self.require(caller, right)
        if right not in OF_STUDIES or self.scope(caller, right) == EVERYTHING:
            return
        known = await self._known(partition, study, at_once=at_once)
        if self._is_allowed(caller, right, known):
            return  # nobody asks why
        decision = access.decide(self._policy(), caller, right, known)
        if not decision.allowed:
            raise Withheld(decision.why)

    def _is_allowed(self, caller: Caller, right: Right, known: JsonAttributes) -> bool:
        """By the scope. Who opens a study asks again for each of its frames, and what is known of
        it stays the same object for a while."""
        scope = self.scope(caller, right)
        if self._allowed.get((caller, right)) is known:
            return True
        if not holds(scope, known):
            return False
        self._allowed[caller, right] = known
        return True

    async def check_sending(self, to: Caller, partition: str, study: str) -> None:
        """See `Guard`."""
        self._check_complete()
        if not any(self._policy().concerned(to, Right.READ, allows=False)):
            return
        known = await self._known(partition, study, at_once=False)
        denied = access.denial(self._policy(), to, Right.READ, known)
        if denied is not None:
            raise Withheld(f"{to} would have it: {denied.why}")

    async def _known(self, partition: str, study: str, *, at_once: bool) -> JsonAttributes:
        known = None
        if self._facts is not None:
            ask = self._facts.of if at_once else self._facts.once_indexed
            known = await ask(partition, study)
        if known is None:
            raise Withheld("nothing is known of the study yet by which to decide")
        return known

    async def check_addition(
        self, caller: Caller, partition: str, study: str, brought: JsonAttributes
    ) -> bool:
        """See `Guard`."""
        policy = self._policy()
        if caller.kind is Kind.SYSTEM or not policy.tells_studies_apart:
            return True
        known = await self._facts.as_kept(partition, study) if self._facts is not None else None
        if known is None:
            return True
        decision = access.addition(policy, caller, known, brought)
        if not decision.allowed:
            raise Refused(decision.why)
        return access.decide(policy, caller, Right.READ, known).allowed

    def _check_complete(self) -> None:
        if not self._complete():
            raise Unavailable("it is not known yet what is confidential", fix="try again")

    def check_new(self, caller: Caller, right: Right, study: JsonAttributes) -> None:
        """See `Guard`."""
        if caller.kind is not Kind.SYSTEM:
            self._check_complete()
        decision = access.decide(self._policy(), caller, right, study)
        if not decision.allowed:
            raise Refused(decision.why)
