from isocenter.v1 import common_pb2 as _common_pb2
from isocenter.v1 import query_pb2 as _query_pb2
from isocenter.v1 import storage_pb2 as _storage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoreObjectsRequest(_message.Message):
    __slots__ = ("data", "end")
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    end: bool
    def __init__(self, data: _Optional[bytes] = ..., end: bool = ...) -> None: ...

class StoreObjectsResponse(_message.Message):
    __slots__ = ("number", "name", "sop_class", "transfer_syntax", "digest", "size", "failure", "coerced")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOP_CLASS_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SYNTAX_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    COERCED_FIELD_NUMBER: _ClassVar[int]
    number: int
    name: _common_pb2.InstanceName
    sop_class: str
    transfer_syntax: str
    digest: str
    size: int
    failure: StoreFailure
    coerced: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, number: _Optional[int] = ..., name: _Optional[_Union[_common_pb2.InstanceName, _Mapping]] = ..., sop_class: _Optional[str] = ..., transfer_syntax: _Optional[str] = ..., digest: _Optional[str] = ..., size: _Optional[int] = ..., failure: _Optional[_Union[StoreFailure, _Mapping]] = ..., coerced: _Optional[_Iterable[int]] = ...) -> None: ...

class StoreFailure(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: int
    message: str
    def __init__(self, reason: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class RetrieveObjectsRequest(_message.Message):
    __slots__ = ("study", "series", "instance", "transfer_syntaxes")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SYNTAXES_FIELD_NUMBER: _ClassVar[int]
    study: str
    series: str
    instance: str
    transfer_syntaxes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, study: _Optional[str] = ..., series: _Optional[str] = ..., instance: _Optional[str] = ..., transfer_syntaxes: _Optional[_Iterable[str]] = ...) -> None: ...

class RetrieveObjectsResponse(_message.Message):
    __slots__ = ("data", "head")
    DATA_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    head: ObjectHead
    def __init__(self, data: _Optional[bytes] = ..., head: _Optional[_Union[ObjectHead, _Mapping]] = ...) -> None: ...

class ObjectHead(_message.Message):
    __slots__ = ("name", "sop_class", "transfer_syntax", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOP_CLASS_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SYNTAX_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: _common_pb2.InstanceName
    sop_class: str
    transfer_syntax: str
    digest: str
    def __init__(self, name: _Optional[_Union[_common_pb2.InstanceName, _Mapping]] = ..., sop_class: _Optional[str] = ..., transfer_syntax: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class RetrieveMetadataRequest(_message.Message):
    __slots__ = ("study", "series", "instance")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    study: str
    series: str
    instance: str
    def __init__(self, study: _Optional[str] = ..., series: _Optional[str] = ..., instance: _Optional[str] = ...) -> None: ...

class RetrieveFramesRequest(_message.Message):
    __slots__ = ("study", "series", "instance", "numbers", "decoded")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    DECODED_FIELD_NUMBER: _ClassVar[int]
    study: str
    series: str
    instance: str
    numbers: _containers.RepeatedScalarFieldContainer[int]
    decoded: bool
    def __init__(self, study: _Optional[str] = ..., series: _Optional[str] = ..., instance: _Optional[str] = ..., numbers: _Optional[_Iterable[int]] = ..., decoded: bool = ...) -> None: ...

class RetrieveFramesResponse(_message.Message):
    __slots__ = ("data", "last", "number", "transfer_syntax")
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SYNTAX_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    last: bool
    number: int
    transfer_syntax: str
    def __init__(self, data: _Optional[bytes] = ..., last: bool = ..., number: _Optional[int] = ..., transfer_syntax: _Optional[str] = ...) -> None: ...

class RetrieveBulkDataRequest(_message.Message):
    __slots__ = ("study", "series", "instance", "path", "offset", "length")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    study: str
    series: str
    instance: str
    path: str
    offset: int
    length: int
    def __init__(self, study: _Optional[str] = ..., series: _Optional[str] = ..., instance: _Optional[str] = ..., path: _Optional[str] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class SearchArchiveRequest(_message.Message):
    __slots__ = ("level", "match", "include", "include_all", "limit", "offset", "fuzzy", "order")
    class Match(_message.Message):
        __slots__ = ("attribute", "value")
        ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        attribute: str
        value: str
        def __init__(self, attribute: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ALL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    FUZZY_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    level: _query_pb2.Level
    match: _containers.RepeatedCompositeFieldContainer[SearchArchiveRequest.Match]
    include: _containers.RepeatedScalarFieldContainer[str]
    include_all: bool
    limit: int
    offset: int
    fuzzy: bool
    order: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, level: _Optional[_Union[_query_pb2.Level, str]] = ..., match: _Optional[_Iterable[_Union[SearchArchiveRequest.Match, _Mapping]]] = ..., include: _Optional[_Iterable[str]] = ..., include_all: bool = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., fuzzy: bool = ..., order: _Optional[_Iterable[str]] = ...) -> None: ...

class SearchArchiveResponse(_message.Message):
    __slots__ = ("answers", "ignored", "incomplete")
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedScalarFieldContainer[bytes]
    ignored: _containers.RepeatedScalarFieldContainer[str]
    incomplete: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, answers: _Optional[_Iterable[bytes]] = ..., ignored: _Optional[_Iterable[str]] = ..., incomplete: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchChangesRequest(_message.Message):
    __slots__ = ("since",)
    SINCE_FIELD_NUMBER: _ClassVar[int]
    since: str
    def __init__(self, since: _Optional[str] = ...) -> None: ...

class WatchChangesResponse(_message.Message):
    __slots__ = ("id", "type", "time", "position", "data")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    time: str
    position: str
    data: str
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., time: _Optional[str] = ..., position: _Optional[str] = ..., data: _Optional[str] = ...) -> None: ...
