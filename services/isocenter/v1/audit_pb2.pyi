import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from isocenter.v1 import common_pb2 as _common_pb2
from isocenter.v1 import events_pb2 as _events_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TallyBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TALLY_BY_UNSPECIFIED: _ClassVar[TallyBy]
    TALLY_BY_HOUR: _ClassVar[TallyBy]
    TALLY_BY_WHO: _ClassVar[TallyBy]
    TALLY_BY_ACTION: _ClassVar[TallyBy]
    TALLY_BY_OUTCOME: _ClassVar[TallyBy]
TALLY_BY_UNSPECIFIED: TallyBy
TALLY_BY_HOUR: TallyBy
TALLY_BY_WHO: TallyBy
TALLY_BY_ACTION: TallyBy
TALLY_BY_OUTCOME: TallyBy

class AuditFilter(_message.Message):
    __slots__ = ("since", "until", "actions", "outcomes", "who", "study", "patient_id", "instance", "place", "text")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    actions: _containers.RepeatedScalarFieldContainer[_events_pb2.AuditAction]
    outcomes: _containers.RepeatedScalarFieldContainer[_events_pb2.AuditOutcome]
    who: str
    study: str
    patient_id: str
    instance: str
    place: str
    text: str
    def __init__(self, since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actions: _Optional[_Iterable[_Union[_events_pb2.AuditAction, str]]] = ..., outcomes: _Optional[_Iterable[_Union[_events_pb2.AuditOutcome, str]]] = ..., who: _Optional[str] = ..., study: _Optional[str] = ..., patient_id: _Optional[str] = ..., instance: _Optional[str] = ..., place: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class SearchRecordsRequest(_message.Message):
    __slots__ = ("which", "limit", "before")
    WHICH_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    which: AuditFilter
    limit: int
    before: str
    def __init__(self, which: _Optional[_Union[AuditFilter, _Mapping]] = ..., limit: _Optional[int] = ..., before: _Optional[str] = ...) -> None: ...

class SearchRecordsResponse(_message.Message):
    __slots__ = ("records", "places")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[_events_pb2.AuditEvent]
    places: _containers.RepeatedCompositeFieldContainer[AuditPlace]
    def __init__(self, records: _Optional[_Iterable[_Union[_events_pb2.AuditEvent, _Mapping]]] = ..., places: _Optional[_Iterable[_Union[AuditPlace, _Mapping]]] = ...) -> None: ...

class AuditPlace(_message.Message):
    __slots__ = ("chain", "sequence")
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    chain: str
    sequence: int
    def __init__(self, chain: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("record", "place")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    record: _events_pb2.AuditEvent
    place: AuditPlace
    def __init__(self, record: _Optional[_Union[_events_pb2.AuditEvent, _Mapping]] = ..., place: _Optional[_Union[AuditPlace, _Mapping]] = ...) -> None: ...

class CountRecordsResponse(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class GetRecordRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class TallyRecordsRequest(_message.Message):
    __slots__ = ("which", "by")
    WHICH_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    which: AuditFilter
    by: _containers.RepeatedScalarFieldContainer[TallyBy]
    def __init__(self, which: _Optional[_Union[AuditFilter, _Mapping]] = ..., by: _Optional[_Iterable[_Union[TallyBy, str]]] = ...) -> None: ...

class TallyRecordsResponse(_message.Message):
    __slots__ = ("tallies",)
    TALLIES_FIELD_NUMBER: _ClassVar[int]
    tallies: _containers.RepeatedCompositeFieldContainer[Tally]
    def __init__(self, tallies: _Optional[_Iterable[_Union[Tally, _Mapping]]] = ...) -> None: ...

class Tally(_message.Message):
    __slots__ = ("keys", "count")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    count: int
    def __init__(self, keys: _Optional[_Iterable[str]] = ..., count: _Optional[int] = ...) -> None: ...

class GetStoryRequest(_message.Message):
    __slots__ = ("instance",)
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    def __init__(self, instance: _Optional[str] = ...) -> None: ...

class ProveRecordResponse(_message.Message):
    __slots__ = ("proof",)
    PROOF_FIELD_NUMBER: _ClassVar[int]
    proof: bytes
    def __init__(self, proof: _Optional[bytes] = ...) -> None: ...

class VerifyTrailRequest(_message.Message):
    __slots__ = ("trust", "heads")
    TRUST_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    trust: _containers.RepeatedScalarFieldContainer[str]
    heads: _containers.RepeatedCompositeFieldContainer[ChainHead]
    def __init__(self, trust: _Optional[_Iterable[str]] = ..., heads: _Optional[_Iterable[_Union[ChainHead, _Mapping]]] = ...) -> None: ...

class ChainHead(_message.Message):
    __slots__ = ("chain", "last", "head", "seal", "at")
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    SEAL_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    chain: str
    last: int
    head: str
    seal: str
    at: str
    def __init__(self, chain: _Optional[str] = ..., last: _Optional[int] = ..., head: _Optional[str] = ..., seal: _Optional[str] = ..., at: _Optional[str] = ...) -> None: ...

class AuditKey(_message.Message):
    __slots__ = ("number", "id", "since", "introduced_by")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    INTRODUCED_BY_FIELD_NUMBER: _ClassVar[int]
    number: int
    id: str
    since: str
    introduced_by: str
    def __init__(self, number: _Optional[int] = ..., id: _Optional[str] = ..., since: _Optional[str] = ..., introduced_by: _Optional[str] = ...) -> None: ...

class AuditFinding(_message.Message):
    __slots__ = ("what", "chain", "first", "last", "since", "until")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    what: str
    chain: str
    first: int
    last: int
    since: str
    until: str
    def __init__(self, what: _Optional[str] = ..., chain: _Optional[str] = ..., first: _Optional[int] = ..., last: _Optional[int] = ..., since: _Optional[str] = ..., until: _Optional[str] = ...) -> None: ...

class VerifyTrailResponse(_message.Message):
    __slots__ = ("records", "total", "segments", "chains", "expired", "since", "until", "keys", "findings", "done")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    CHAINS_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    records: int
    total: int
    segments: int
    chains: _containers.RepeatedScalarFieldContainer[str]
    expired: int
    since: str
    until: str
    keys: _containers.RepeatedCompositeFieldContainer[AuditKey]
    findings: _containers.RepeatedCompositeFieldContainer[AuditFinding]
    done: bool
    def __init__(self, records: _Optional[int] = ..., total: _Optional[int] = ..., segments: _Optional[int] = ..., chains: _Optional[_Iterable[str]] = ..., expired: _Optional[int] = ..., since: _Optional[str] = ..., until: _Optional[str] = ..., keys: _Optional[_Iterable[_Union[AuditKey, _Mapping]]] = ..., findings: _Optional[_Iterable[_Union[AuditFinding, _Mapping]]] = ..., done: bool = ...) -> None: ...

class GetTrailStateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetTrailStateResponse(_message.Message):
    __slots__ = ("heads", "keys", "records", "sealed", "problems", "holds", "waiting")
    HEADS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    heads: _containers.RepeatedCompositeFieldContainer[ChainHead]
    keys: _containers.RepeatedCompositeFieldContainer[AuditKey]
    records: int
    sealed: int
    problems: _containers.RepeatedScalarFieldContainer[str]
    holds: int
    waiting: int
    def __init__(self, heads: _Optional[_Iterable[_Union[ChainHead, _Mapping]]] = ..., keys: _Optional[_Iterable[_Union[AuditKey, _Mapping]]] = ..., records: _Optional[int] = ..., sealed: _Optional[int] = ..., problems: _Optional[_Iterable[str]] = ..., holds: _Optional[int] = ..., waiting: _Optional[int] = ...) -> None: ...

class SavedSearch(_message.Message):
    __slots__ = ("name", "which", "by", "at", "days")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WHICH_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    name: str
    which: AuditFilter
    by: _common_pb2.Source
    at: _timestamp_pb2.Timestamp
    days: int
    def __init__(self, name: _Optional[str] = ..., which: _Optional[_Union[AuditFilter, _Mapping]] = ..., by: _Optional[_Union[_common_pb2.Source, _Mapping]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., days: _Optional[int] = ...) -> None: ...

class ListSavedSearchesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSavedSearchesResponse(_message.Message):
    __slots__ = ("searches",)
    SEARCHES_FIELD_NUMBER: _ClassVar[int]
    searches: _containers.RepeatedCompositeFieldContainer[SavedSearch]
    def __init__(self, searches: _Optional[_Iterable[_Union[SavedSearch, _Mapping]]] = ...) -> None: ...

class SaveSearchResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ForgetSearchRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ForgetSearchResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LegalHold(_message.Message):
    __slots__ = ("name", "reason", "by", "at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    by: _common_pb2.Source
    at: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ..., by: _Optional[_Union[_common_pb2.Source, _Mapping]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListHoldsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListHoldsResponse(_message.Message):
    __slots__ = ("holds",)
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    holds: _containers.RepeatedCompositeFieldContainer[LegalHold]
    def __init__(self, holds: _Optional[_Iterable[_Union[LegalHold, _Mapping]]] = ...) -> None: ...

class AddHoldResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReleaseHoldRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ReleaseHoldResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
