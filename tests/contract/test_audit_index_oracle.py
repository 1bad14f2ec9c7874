"""What audit indices are compared with keeps the contract of `AuditIndex` itself."""

from __future__ import annotations

import pytest

from contract.audit_index_suite import AuditIndexSuite
from support.audit_index_oracle import OracleAuditIndex


class TestOracleAuditIndex(AuditIndexSuite):
    __test__ = True

    @pytest.fixture
    def index(self) -> OracleAuditIndex:
        return OracleAuditIndex()
