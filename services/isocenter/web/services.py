"""What stands behind both doors of the web role, HTTP and gRPC."""

from __future__ import annotations

from dataclasses import dataclass, field

from isocenter.core.access_api import Guard
from isocenter.core.apis import Ingest, Query, Storage, Transcoding
from isocenter.core.attributes import BUILT_IN, Attributes
from isocenter.core.audit_api import AuditTrail
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.ae_administration import AEAdministration
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.change_feed import ChangeFeed
from isocenter.runtime.fair_use import FairUse
from isocenter.runtime.limits import LimitSettings
from isocenter.runtime.study_patients import StudyPatients
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.web.retrieving import Retrieving


@dataclass(frozen=True, slots=True)
class Services:
    """The services that the role calls, and what it tells."""

    ingest: Ingest
    storage: Storage
    query: Query
    transcoding: Transcoding
    audit_log: AuditLog
    feed: ChangeFeed
    aes: AEAdministration
    audit_trail: AuditTrail
    patients: StudyPatients
    doors: Doors
    guard: Guard
    site: str = ""
    attributes: Attributes = BUILT_IN
    telemetry: Telemetry = OFF
    fair_use: FairUse = field(default_factory=lambda: FairUse(LimitSettings()))

    def retrieving(self, protocol: str) -> Retrieving:
        """How instances are found and given out over a protocol."""
        return Retrieving(
            storage=self.storage,
            audit_log=self.audit_log,
            patients=self.patients,
            guard=self.guard,
            telemetry=self.telemetry,
            protocol=protocol,
        )
