import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RebuildRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RebuildProgress(_message.Message):
    __slots__ = ("studies", "instances", "problems", "done")
    class ProblemsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STUDIES_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    studies: int
    instances: int
    problems: _containers.ScalarMap[str, str]
    done: bool
    def __init__(self, studies: _Optional[int] = ..., instances: _Optional[int] = ..., problems: _Optional[_Mapping[str, str]] = ..., done: bool = ...) -> None: ...

class ReplayRequest(_message.Message):
    __slots__ = ("since", "offsets")
    class OffsetsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    SINCE_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    since: _timestamp_pb2.Timestamp
    offsets: _containers.ScalarMap[int, int]
    def __init__(self, since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., offsets: _Optional[_Mapping[int, int]] = ...) -> None: ...

class ReplayProgress(_message.Message):
    __slots__ = ("events", "problems", "done")
    class ProblemsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    events: int
    problems: _containers.ScalarMap[str, str]
    done: bool
    def __init__(self, events: _Optional[int] = ..., problems: _Optional[_Mapping[str, str]] = ..., done: bool = ...) -> None: ...

class SweepRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SweepProgress(_message.Message):
    __slots__ = ("objects", "announced", "waiting", "problems", "done")
    class ProblemsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    objects: int
    announced: int
    waiting: int
    problems: _containers.ScalarMap[str, str]
    done: bool
    def __init__(self, objects: _Optional[int] = ..., announced: _Optional[int] = ..., waiting: _Optional[int] = ..., problems: _Optional[_Mapping[str, str]] = ..., done: bool = ...) -> None: ...

class UnfilledRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnfilledResponse(_message.Message):
    __slots__ = ("attributes",)
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: FillProgress
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[FillProgress, _Mapping]] = ...) -> None: ...
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.MessageMap[str, FillProgress]
    def __init__(self, attributes: _Optional[_Mapping[str, FillProgress]] = ...) -> None: ...

class FillProgress(_message.Message):
    __slots__ = ("looked", "total")
    LOOKED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    looked: int
    total: int
    def __init__(self, looked: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...
