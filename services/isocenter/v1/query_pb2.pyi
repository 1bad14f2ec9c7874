from isocenter.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Level(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEVEL_UNSPECIFIED: _ClassVar[Level]
    LEVEL_PATIENT: _ClassVar[Level]
    LEVEL_STUDY: _ClassVar[Level]
    LEVEL_SERIES: _ClassVar[Level]
    LEVEL_INSTANCE: _ClassVar[Level]
LEVEL_UNSPECIFIED: Level
LEVEL_PATIENT: Level
LEVEL_STUDY: Level
LEVEL_SERIES: Level
LEVEL_INSTANCE: Level

class MatchingKey(_message.Message):
    __slots__ = ("tag", "vr", "values", "items")
    TAG_FIELD_NUMBER: _ClassVar[int]
    VR_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    tag: str
    vr: str
    values: _containers.RepeatedScalarFieldContainer[str]
    items: _containers.RepeatedCompositeFieldContainer[MatchingKey]
    def __init__(self, tag: _Optional[str] = ..., vr: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ..., items: _Optional[_Iterable[_Union[MatchingKey, _Mapping]]] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("tag", "descending")
    TAG_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    tag: str
    descending: bool
    def __init__(self, tag: _Optional[str] = ..., descending: bool = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("level", "keys", "partition", "include", "include_all", "limit", "offset", "fuzzy", "every_value", "order", "caller")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ALL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    FUZZY_FIELD_NUMBER: _ClassVar[int]
    EVERY_VALUE_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    level: Level
    keys: _containers.RepeatedCompositeFieldContainer[MatchingKey]
    partition: str
    include: _containers.RepeatedScalarFieldContainer[str]
    include_all: bool
    limit: int
    offset: int
    fuzzy: bool
    every_value: bool
    order: _containers.RepeatedCompositeFieldContainer[Order]
    caller: _common_pb2.Caller
    def __init__(self, level: _Optional[_Union[Level, str]] = ..., keys: _Optional[_Iterable[_Union[MatchingKey, _Mapping]]] = ..., partition: _Optional[str] = ..., include: _Optional[_Iterable[str]] = ..., include_all: bool = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., fuzzy: bool = ..., every_value: bool = ..., order: _Optional[_Iterable[_Union[Order, _Mapping]]] = ..., caller: _Optional[_Union[_common_pb2.Caller, _Mapping]] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("matches",)
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, matches: _Optional[_Iterable[bytes]] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...
