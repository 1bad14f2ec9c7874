import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListAEsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAERequest(_message.Message):
    __slots__ = ("title",)
    TITLE_FIELD_NUMBER: _ClassVar[int]
    title: str
    def __init__(self, title: _Optional[str] = ...) -> None: ...

class SetAERequest(_message.Message):
    __slots__ = ("ae",)
    AE_FIELD_NUMBER: _ClassVar[int]
    ae: str
    def __init__(self, ae: _Optional[str] = ...) -> None: ...

class RemoveAERequest(_message.Message):
    __slots__ = ("title",)
    TITLE_FIELD_NUMBER: _ClassVar[int]
    title: str
    def __init__(self, title: _Optional[str] = ...) -> None: ...

class RemoveAEResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AEEntry(_message.Message):
    __slots__ = ("title", "ae", "source", "by", "changed_at")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    AE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    title: str
    ae: str
    source: str
    by: str
    changed_at: _timestamp_pb2.Timestamp
    def __init__(self, title: _Optional[str] = ..., ae: _Optional[str] = ..., source: _Optional[str] = ..., by: _Optional[str] = ..., changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
