"""What every method of our gRPC services leaves in the audit trail.

Roles call each other in the name of whoever called an edge, and the edge has recorded that; what
programs call records itself. A test holds that every method of `isocenter.v1` is here, and calls
each of those that record.
"""

from __future__ import annotations

from collections.abc import Mapping

from isocenter.core.events import AuditAction

_BY_EDGE = "a role calls it in the name of whoever called an edge, which records that"
_BY_VERB = "verbs of the command line call it, and record that"
_NO_PATIENT_DATA = "it touches no patient data"
_IN_PIPELINE = "roles call it while they take in, index or send what an edge or a verb has recorded"

_STORE, _QUERY, _RETRIEVE = AuditAction.STORE, AuditAction.QUERY, AuditAction.RETRIEVE
_DELETE, _SECURITY = AuditAction.DELETE, AuditAction.SECURITY

# Service and method -> the action of the record, or why the method leaves none.
METHODS: Mapping[str, AuditAction | str] = {
    # of programs
    "ArchiveService/StoreObjects": _STORE,
    "ArchiveService/RetrieveObjects": _RETRIEVE,
    "ArchiveService/RetrieveMetadata": _RETRIEVE,
    "ArchiveService/RetrieveFrames": _RETRIEVE,
    "ArchiveService/RetrieveBulkData": _RETRIEVE,
    "ArchiveService/SearchArchive": _QUERY,
    "ArchiveService/CountArchive": _QUERY,
    "ArchiveService/WatchChanges": _QUERY,
    "ObjectService/GetObject": _RETRIEVE,
    "AEDirectoryService/ListAEs": _NO_PATIENT_DATA,
    "AEDirectoryService/GetAE": _NO_PATIENT_DATA,
    "AEDirectoryService/SetAE": _SECURITY,
    "AEDirectoryService/RemoveAE": _SECURITY,
    # of programs at the edge, which records them, and of roles in somebody's name
    **{
        f"AuditService/{method}": AuditAction.AUDIT
        for method in (
            "SearchRecords", "CountRecords", "GetRecord", "TallyRecords", "GetStory", "ProveRecord",
            "GetTrailState", "ListSavedSearches", "SaveSearch", "ForgetSearch",
            "ListHolds", "AddHold", "ReleaseHold",
        )
    },
    "AuditService/VerifyTrail": AuditAction.VERIFY,
    # of roles among themselves; these record in the caller's name
    "IngestService/Store": _STORE,
    "IngestService/StoreWhole": _STORE,
    "IngestService/Delete": _DELETE,
    "IngestService/Restore": _DELETE,
    # these do not
    "IngestService/ListDeletions": _BY_EDGE,
    "QueryService/Search": _BY_EDGE,
    "QueryService/Count": _BY_EDGE,
    "AttributeService/Unfilled": _NO_PATIENT_DATA,
    "IndexingService/Rebuild": _BY_VERB,
    "IndexingService/Replay": _BY_VERB,
    "IndexingService/Sweep": _BY_VERB,
    **{
        f"StorageService/{method}": _IN_PIPELINE
        for method in ("Put", "Keep", "Stage", "Stat", "Read", "List", "Remove", "Move")
    },
    **{
        f"StorageService/{method}": _BY_EDGE
        for method in (
            "Instances", "Metadata", "DataSet", "GetPixelFormat", "Frames", "Bulk", "GetBulkSize",
        )
    },
    "StorageService/Verify": _BY_VERB,
    "TranscodingService/Decode": _BY_EDGE,
    "TranscodingService/TranscodeDataSet": _BY_EDGE,
    "TranscodingService/Targets": _NO_PATIENT_DATA,
    "TranscodingService/Render": _BY_EDGE,
}  # fmt: skip
