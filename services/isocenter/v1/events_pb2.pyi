import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from isocenter.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConflictPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFLICT_POLICY_UNSPECIFIED: _ClassVar[ConflictPolicy]
    CONFLICT_POLICY_KEEP_FIRST: _ClassVar[ConflictPolicy]
    CONFLICT_POLICY_KEEP_LATEST: _ClassVar[ConflictPolicy]
    CONFLICT_POLICY_REJECT: _ClassVar[ConflictPolicy]

class AuditAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIT_ACTION_UNSPECIFIED: _ClassVar[AuditAction]
    AUDIT_ACTION_STORE: _ClassVar[AuditAction]
    AUDIT_ACTION_QUERY: _ClassVar[AuditAction]
    AUDIT_ACTION_RETRIEVE: _ClassVar[AuditAction]
    AUDIT_ACTION_EXPORT: _ClassVar[AuditAction]
    AUDIT_ACTION_DELETE: _ClassVar[AuditAction]
    AUDIT_ACTION_CONFLICT: _ClassVar[AuditAction]
    AUDIT_ACTION_START: _ClassVar[AuditAction]
    AUDIT_ACTION_STOP: _ClassVar[AuditAction]
    AUDIT_ACTION_SECURITY: _ClassVar[AuditAction]
    AUDIT_ACTION_IMPORT: _ClassVar[AuditAction]
    AUDIT_ACTION_VERIFY: _ClassVar[AuditAction]
    AUDIT_ACTION_AUDIT: _ClassVar[AuditAction]
    AUDIT_ACTION_SIGN_IN: _ClassVar[AuditAction]
    AUDIT_ACTION_SIGN_OUT: _ClassVar[AuditAction]
    AUDIT_ACTION_NETWORK: _ClassVar[AuditAction]

class AuditOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIT_OUTCOME_UNSPECIFIED: _ClassVar[AuditOutcome]
    AUDIT_OUTCOME_SUCCESS: _ClassVar[AuditOutcome]
    AUDIT_OUTCOME_MINOR_FAILURE: _ClassVar[AuditOutcome]
    AUDIT_OUTCOME_FAILURE: _ClassVar[AuditOutcome]

class CommitmentFate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMITMENT_FATE_UNSPECIFIED: _ClassVar[CommitmentFate]
    COMMITMENT_FATE_REPORTED: _ClassVar[CommitmentFate]
    COMMITMENT_FATE_GIVEN_UP: _ClassVar[CommitmentFate]

class LetterFate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LETTER_FATE_UNSPECIFIED: _ClassVar[LetterFate]
    LETTER_FATE_REPLAYED: _ClassVar[LetterFate]
    LETTER_FATE_DISCARDED: _ClassVar[LetterFate]
CONFLICT_POLICY_UNSPECIFIED: ConflictPolicy
CONFLICT_POLICY_KEEP_FIRST: ConflictPolicy
CONFLICT_POLICY_KEEP_LATEST: ConflictPolicy
CONFLICT_POLICY_REJECT: ConflictPolicy
AUDIT_ACTION_UNSPECIFIED: AuditAction
AUDIT_ACTION_STORE: AuditAction
AUDIT_ACTION_QUERY: AuditAction
AUDIT_ACTION_RETRIEVE: AuditAction
AUDIT_ACTION_EXPORT: AuditAction
AUDIT_ACTION_DELETE: AuditAction
AUDIT_ACTION_CONFLICT: AuditAction
AUDIT_ACTION_START: AuditAction
AUDIT_ACTION_STOP: AuditAction
AUDIT_ACTION_SECURITY: AuditAction
AUDIT_ACTION_IMPORT: AuditAction
AUDIT_ACTION_VERIFY: AuditAction
AUDIT_ACTION_AUDIT: AuditAction
AUDIT_ACTION_SIGN_IN: AuditAction
AUDIT_ACTION_SIGN_OUT: AuditAction
AUDIT_ACTION_NETWORK: AuditAction
AUDIT_OUTCOME_UNSPECIFIED: AuditOutcome
AUDIT_OUTCOME_SUCCESS: AuditOutcome
AUDIT_OUTCOME_MINOR_FAILURE: AuditOutcome
AUDIT_OUTCOME_FAILURE: AuditOutcome
COMMITMENT_FATE_UNSPECIFIED: CommitmentFate
COMMITMENT_FATE_REPORTED: CommitmentFate
COMMITMENT_FATE_GIVEN_UP: CommitmentFate
LETTER_FATE_UNSPECIFIED: LetterFate
LETTER_FATE_REPLAYED: LetterFate
LETTER_FATE_DISCARDED: LetterFate

class InstanceStored(_message.Message):
    __slots__ = ("name", "sop_class", "transfer_syntax", "key", "digest", "size", "data_set_offset", "header_length", "header", "source", "received_at", "policy", "patient_id", "checksum", "overlay", "site")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOP_CLASS_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SYNTAX_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_SET_OFFSET_FIELD_NUMBER: _ClassVar[int]
    HEADER_LENGTH_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    name: _common_pb2.InstanceName
    sop_class: str
    transfer_syntax: str
    key: str
    digest: str
    size: int
    data_set_offset: int
    header_length: int
    header: bytes
    source: _common_pb2.Source
    received_at: _timestamp_pb2.Timestamp
    policy: ConflictPolicy
    patient_id: str
    checksum: str
    overlay: str
    site: str
    def __init__(self, name: _Optional[_Union[_common_pb2.InstanceName, _Mapping]] = ..., sop_class: _Optional[str] = ..., transfer_syntax: _Optional[str] = ..., key: _Optional[str] = ..., digest: _Optional[str] = ..., size: _Optional[int] = ..., data_set_offset: _Optional[int] = ..., header_length: _Optional[int] = ..., header: _Optional[bytes] = ..., source: _Optional[_Union[_common_pb2.Source, _Mapping]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., policy: _Optional[_Union[ConflictPolicy, str]] = ..., patient_id: _Optional[str] = ..., checksum: _Optional[str] = ..., overlay: _Optional[str] = ..., site: _Optional[str] = ...) -> None: ...

class InstanceConflict(_message.Message):
    __slots__ = ("name", "current_digest", "other_digest", "policy", "source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CURRENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    OTHER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: _common_pb2.InstanceName
    current_digest: str
    other_digest: str
    policy: ConflictPolicy
    source: _common_pb2.Source
    def __init__(self, name: _Optional[_Union[_common_pb2.InstanceName, _Mapping]] = ..., current_digest: _Optional[str] = ..., other_digest: _Optional[str] = ..., policy: _Optional[_Union[ConflictPolicy, str]] = ..., source: _Optional[_Union[_common_pb2.Source, _Mapping]] = ...) -> None: ...

class InstanceRejected(_message.Message):
    __slots__ = ("name", "digest", "reason", "source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: _common_pb2.InstanceName
    digest: str
    reason: str
    source: _common_pb2.Source
    def __init__(self, name: _Optional[_Union[_common_pb2.InstanceName, _Mapping]] = ..., digest: _Optional[str] = ..., reason: _Optional[str] = ..., source: _Optional[_Union[_common_pb2.Source, _Mapping]] = ...) -> None: ...

class InstanceDeleted(_message.Message):
    __slots__ = ("name", "digest", "reason", "source", "deletion")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DELETION_FIELD_NUMBER: _ClassVar[int]
    name: _common_pb2.InstanceName
    digest: str
    reason: str
    source: _common_pb2.Source
    deletion: str
    def __init__(self, name: _Optional[_Union[_common_pb2.InstanceName, _Mapping]] = ..., digest: _Optional[str] = ..., reason: _Optional[str] = ..., source: _Optional[_Union[_common_pb2.Source, _Mapping]] = ..., deletion: _Optional[str] = ...) -> None: ...

class StudyChanged(_message.Message):
    __slots__ = ("partition", "study", "series_count", "instance_count")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SERIES_COUNT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    partition: str
    study: str
    series_count: int
    instance_count: int
    def __init__(self, partition: _Optional[str] = ..., study: _Optional[str] = ..., series_count: _Optional[int] = ..., instance_count: _Optional[int] = ...) -> None: ...

class StudyQuiet(_message.Message):
    __slots__ = ("partition", "study", "series_count", "instance_count")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SERIES_COUNT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    partition: str
    study: str
    series_count: int
    instance_count: int
    def __init__(self, partition: _Optional[str] = ..., study: _Optional[str] = ..., series_count: _Optional[int] = ..., instance_count: _Optional[int] = ...) -> None: ...

class AuditEvent(_message.Message):
    __slots__ = ("action", "outcome", "source", "at", "id", "partition", "patient_ids", "studies", "series", "instances", "instance_count", "detail", "destination", "error", "query", "digests", "process", "site", "trace")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    PATIENT_IDS_FIELD_NUMBER: _ClassVar[int]
    STUDIES_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    action: AuditAction
    outcome: AuditOutcome
    source: _common_pb2.Source
    at: _timestamp_pb2.Timestamp
    id: str
    partition: str
    patient_ids: _containers.RepeatedScalarFieldContainer[str]
    studies: _containers.RepeatedScalarFieldContainer[str]
    series: _containers.RepeatedScalarFieldContainer[str]
    instances: _containers.RepeatedScalarFieldContainer[str]
    instance_count: int
    detail: str
    destination: str
    error: str
    query: str
    digests: _containers.RepeatedScalarFieldContainer[str]
    process: str
    site: str
    trace: str
    def __init__(self, action: _Optional[_Union[AuditAction, str]] = ..., outcome: _Optional[_Union[AuditOutcome, str]] = ..., source: _Optional[_Union[_common_pb2.Source, _Mapping]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., id: _Optional[str] = ..., partition: _Optional[str] = ..., patient_ids: _Optional[_Iterable[str]] = ..., studies: _Optional[_Iterable[str]] = ..., series: _Optional[_Iterable[str]] = ..., instances: _Optional[_Iterable[str]] = ..., instance_count: _Optional[int] = ..., detail: _Optional[str] = ..., destination: _Optional[str] = ..., error: _Optional[str] = ..., query: _Optional[str] = ..., digests: _Optional[_Iterable[str]] = ..., process: _Optional[str] = ..., site: _Optional[str] = ..., trace: _Optional[str] = ...) -> None: ...

class CommitmentRequested(_message.Message):
    __slots__ = ("transaction", "source", "references", "at")
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    transaction: str
    source: _common_pb2.Source
    references: _containers.RepeatedCompositeFieldContainer[SopReference]
    at: _timestamp_pb2.Timestamp
    def __init__(self, transaction: _Optional[str] = ..., source: _Optional[_Union[_common_pb2.Source, _Mapping]] = ..., references: _Optional[_Iterable[_Union[SopReference, _Mapping]]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SopReference(_message.Message):
    __slots__ = ("sop_class", "instance")
    SOP_CLASS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    sop_class: str
    instance: str
    def __init__(self, sop_class: _Optional[str] = ..., instance: _Optional[str] = ...) -> None: ...

class CommitmentEnded(_message.Message):
    __slots__ = ("transaction", "ae_title", "fate", "committed", "failed", "at", "reason")
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    AE_TITLE_FIELD_NUMBER: _ClassVar[int]
    FATE_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    transaction: str
    ae_title: str
    fate: CommitmentFate
    committed: int
    failed: int
    at: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, transaction: _Optional[str] = ..., ae_title: _Optional[str] = ..., fate: _Optional[_Union[CommitmentFate, str]] = ..., committed: _Optional[int] = ..., failed: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class SweepCheckpoint(_message.Message):
    __slots__ = ("key", "started_at", "done")
    KEY_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    key: str
    started_at: _timestamp_pb2.Timestamp
    done: bool
    def __init__(self, key: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., done: bool = ...) -> None: ...

class DeadLetterResolved(_message.Message):
    __slots__ = ("partition", "offset", "fate", "by", "at", "reason")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    FATE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    fate: LetterFate
    by: _common_pb2.Source
    at: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ..., fate: _Optional[_Union[LetterFate, str]] = ..., by: _Optional[_Union[_common_pb2.Source, _Mapping]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class OutboxRecord(_message.Message):
    __slots__ = ("topic", "key", "type", "data", "headers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    key: str
    type: str
    data: bytes
    headers: _containers.ScalarMap[str, str]
    def __init__(self, topic: _Optional[str] = ..., key: _Optional[str] = ..., type: _Optional[str] = ..., data: _Optional[bytes] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...
