"""NetworkPolicies of one namespace, as Kubernetes defines what they let through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Labels = Mapping[str, str]
Direction = Literal["Ingress", "Egress"]
_PEERS = {"Ingress": "from", "Egress": "to"}


class Policies:
    """Asks pods by their labels; every pod is in the namespace of the policies."""

    def __init__(self, policies: Sequence[Mapping[str, Any]]) -> None:
        self._policies = [policy["spec"] for policy in policies]

    def connects(self, caller: Labels, called: Labels, port: int) -> bool:
        """Whether a pod may call another one."""
        return self.lets(caller, "Egress", port, called) and self.lets(
            called, "Ingress", port, caller
        )

    def lets(
        self,
        pod: Labels,
        direction: Direction,
        port: int,
        peer: Labels | None,
        protocol: str = "TCP",
    ) -> bool:
        """Whether a pod may be called or call on a port. `peer`: labels of the pod at the other
        end, or None for an address outside of the cluster."""
        applying = [
            policy
            for policy in self._policies
            if direction in policy["policyTypes"] and _selects(policy["podSelector"], pod)
        ]
        rules = [rule for policy in applying for rule in policy.get(direction.lower()) or []]
        return not applying or any(
            _port(rule, port, protocol) and _peer(rule.get(_PEERS[direction]), peer)
            for rule in rules
        )


def _selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In", "only this operator is used"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return wanted.items() <= labels.items()


def _port(rule: Mapping[str, Any], port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return not ports or any(
        one["port"] == port and one.get("protocol", "TCP") == protocol for one in ports
    )


def _peer(peers: Sequence[Mapping[str, Any]] | None, pod: Labels | None) -> bool:
    if not peers:
        return True
    if pod is None:
        return any("ipBlock" in one for one in peers)
    return any(
        "ipBlock" not in one
        and ("namespaceSelector" not in one or one["namespaceSelector"] == {})
        and _selects(one.get("podSelector", {}), pod)
        for one in peers
    )
