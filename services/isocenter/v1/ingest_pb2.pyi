import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from isocenter.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoreRequest(_message.Message):
    __slots__ = ("announcement", "data", "complete", "last")
    ANNOUNCEMENT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    announcement: Announcement
    data: bytes
    complete: bool
    last: bytes
    def __init__(self, announcement: _Optional[_Union[Announcement, _Mapping]] = ..., data: _Optional[bytes] = ..., complete: bool = ..., last: _Optional[bytes] = ...) -> None: ...

class StoreWholeRequest(_message.Message):
    __slots__ = ("data", "announcement")
    DATA_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCEMENT_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    announcement: Announcement
    def __init__(self, data: _Optional[bytes] = ..., announcement: _Optional[_Union[Announcement, _Mapping]] = ...) -> None: ...

class Announcement(_message.Message):
    __slots__ = ("source", "transfer_syntax", "sop_class", "instance", "study", "general_sop_class", "caller")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SYNTAX_FIELD_NUMBER: _ClassVar[int]
    SOP_CLASS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    GENERAL_SOP_CLASS_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    source: _common_pb2.Source
    transfer_syntax: str
    sop_class: str
    instance: str
    study: str
    general_sop_class: str
    caller: _common_pb2.Caller
    def __init__(self, source: _Optional[_Union[_common_pb2.Source, _Mapping]] = ..., transfer_syntax: _Optional[str] = ..., sop_class: _Optional[str] = ..., instance: _Optional[str] = ..., study: _Optional[str] = ..., general_sop_class: _Optional[str] = ..., caller: _Optional[_Union[_common_pb2.Caller, _Mapping]] = ...) -> None: ...

class StoreResponse(_message.Message):
    __slots__ = ("name", "sop_class", "transfer_syntax", "digest", "size", "coerced")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOP_CLASS_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SYNTAX_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    COERCED_FIELD_NUMBER: _ClassVar[int]
    name: _common_pb2.InstanceName
    sop_class: str
    transfer_syntax: str
    digest: str
    size: int
    coerced: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[_Union[_common_pb2.InstanceName, _Mapping]] = ..., sop_class: _Optional[str] = ..., transfer_syntax: _Optional[str] = ..., digest: _Optional[str] = ..., size: _Optional[int] = ..., coerced: _Optional[_Iterable[int]] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("partition", "study", "series", "instance", "source", "reason", "caller")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    partition: str
    study: str
    series: str
    instance: str
    source: _common_pb2.Source
    reason: str
    caller: _common_pb2.Caller
    def __init__(self, partition: _Optional[str] = ..., study: _Optional[str] = ..., series: _Optional[str] = ..., instance: _Optional[str] = ..., source: _Optional[_Union[_common_pb2.Source, _Mapping]] = ..., reason: _Optional[str] = ..., caller: _Optional[_Union[_common_pb2.Caller, _Mapping]] = ...) -> None: ...

class ListDeletionsRequest(_message.Message):
    __slots__ = ("partition", "caller")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    partition: str
    caller: _common_pb2.Caller
    def __init__(self, partition: _Optional[str] = ..., caller: _Optional[_Union[_common_pb2.Caller, _Mapping]] = ...) -> None: ...

class RestoreRequest(_message.Message):
    __slots__ = ("partition", "deletion", "source", "caller")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    DELETION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    partition: str
    deletion: str
    source: _common_pb2.Source
    caller: _common_pb2.Caller
    def __init__(self, partition: _Optional[str] = ..., deletion: _Optional[str] = ..., source: _Optional[_Union[_common_pb2.Source, _Mapping]] = ..., caller: _Optional[_Union[_common_pb2.Caller, _Mapping]] = ...) -> None: ...

class Deletion(_message.Message):
    __slots__ = ("id", "partition", "study", "series", "instance", "source", "reason", "at", "keep_until", "instances", "objects", "bytes", "kept")
    ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    KEEP_UNTIL_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    id: str
    partition: str
    study: str
    series: str
    instance: str
    source: _common_pb2.Source
    reason: str
    at: _timestamp_pb2.Timestamp
    keep_until: _timestamp_pb2.Timestamp
    instances: int
    objects: int
    bytes: int
    kept: int
    def __init__(self, id: _Optional[str] = ..., partition: _Optional[str] = ..., study: _Optional[str] = ..., series: _Optional[str] = ..., instance: _Optional[str] = ..., source: _Optional[_Union[_common_pb2.Source, _Mapping]] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., keep_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., instances: _Optional[int] = ..., objects: _Optional[int] = ..., bytes: _Optional[int] = ..., kept: _Optional[int] = ...) -> None: ...
