from isocenter.v1 import storage_pb2 as _storage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecodeRequest(_message.Message):
    __slots__ = ("frame", "data", "complete", "last")
    class Frame(_message.Message):
        __slots__ = ("transfer_syntax", "pixels")
        TRANSFER_SYNTAX_FIELD_NUMBER: _ClassVar[int]
        PIXELS_FIELD_NUMBER: _ClassVar[int]
        transfer_syntax: str
        pixels: _storage_pb2.PixelFormat
        def __init__(self, transfer_syntax: _Optional[str] = ..., pixels: _Optional[_Union[_storage_pb2.PixelFormat, _Mapping]] = ...) -> None: ...
    FRAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    frame: DecodeRequest.Frame
    data: bytes
    complete: bool
    last: bytes
    def __init__(self, frame: _Optional[_Union[DecodeRequest.Frame, _Mapping]] = ..., data: _Optional[bytes] = ..., complete: bool = ..., last: _Optional[bytes] = ...) -> None: ...

class TranscodeDataSetRequest(_message.Message):
    __slots__ = ("task", "data", "complete", "last")
    class Task(_message.Message):
        __slots__ = ("transfer_syntax", "target")
        TRANSFER_SYNTAX_FIELD_NUMBER: _ClassVar[int]
        TARGET_FIELD_NUMBER: _ClassVar[int]
        transfer_syntax: str
        target: str
        def __init__(self, transfer_syntax: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...
    TASK_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    task: TranscodeDataSetRequest.Task
    data: bytes
    complete: bool
    last: bytes
    def __init__(self, task: _Optional[_Union[TranscodeDataSetRequest.Task, _Mapping]] = ..., data: _Optional[bytes] = ..., complete: bool = ..., last: _Optional[bytes] = ...) -> None: ...

class TargetsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TargetsResponse(_message.Message):
    __slots__ = ("by_transfer_syntax",)
    class Targets(_message.Message):
        __slots__ = ("transfer_syntaxes",)
        TRANSFER_SYNTAXES_FIELD_NUMBER: _ClassVar[int]
        transfer_syntaxes: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, transfer_syntaxes: _Optional[_Iterable[str]] = ...) -> None: ...
    class ByTransferSyntaxEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: TargetsResponse.Targets
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[TargetsResponse.Targets, _Mapping]] = ...) -> None: ...
    BY_TRANSFER_SYNTAX_FIELD_NUMBER: _ClassVar[int]
    by_transfer_syntax: _containers.MessageMap[str, TargetsResponse.Targets]
    def __init__(self, by_transfer_syntax: _Optional[_Mapping[str, TargetsResponse.Targets]] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    width: float
    height: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., width: _Optional[float] = ..., height: _Optional[float] = ...) -> None: ...

class RenderRequest(_message.Message):
    __slots__ = ("task", "data", "complete", "last")
    class Task(_message.Message):
        __slots__ = ("transfer_syntax", "pixels", "media_type", "quality", "window_center", "window_width", "columns", "rows", "window_function", "source", "flip_horizontal", "flip_vertical")
        TRANSFER_SYNTAX_FIELD_NUMBER: _ClassVar[int]
        PIXELS_FIELD_NUMBER: _ClassVar[int]
        MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
        QUALITY_FIELD_NUMBER: _ClassVar[int]
        WINDOW_CENTER_FIELD_NUMBER: _ClassVar[int]
        WINDOW_WIDTH_FIELD_NUMBER: _ClassVar[int]
        COLUMNS_FIELD_NUMBER: _ClassVar[int]
        ROWS_FIELD_NUMBER: _ClassVar[int]
        WINDOW_FUNCTION_FIELD_NUMBER: _ClassVar[int]
        SOURCE_FIELD_NUMBER: _ClassVar[int]
        FLIP_HORIZONTAL_FIELD_NUMBER: _ClassVar[int]
        FLIP_VERTICAL_FIELD_NUMBER: _ClassVar[int]
        transfer_syntax: str
        pixels: _storage_pb2.PixelFormat
        media_type: str
        quality: int
        window_center: float
        window_width: float
        columns: int
        rows: int
        window_function: str
        source: Region
        flip_horizontal: bool
        flip_vertical: bool
        def __init__(self, transfer_syntax: _Optional[str] = ..., pixels: _Optional[_Union[_storage_pb2.PixelFormat, _Mapping]] = ..., media_type: _Optional[str] = ..., quality: _Optional[int] = ..., window_center: _Optional[float] = ..., window_width: _Optional[float] = ..., columns: _Optional[int] = ..., rows: _Optional[int] = ..., window_function: _Optional[str] = ..., source: _Optional[_Union[Region, _Mapping]] = ..., flip_horizontal: bool = ..., flip_vertical: bool = ...) -> None: ...
    TASK_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    task: RenderRequest.Task
    data: bytes
    complete: bool
    last: bytes
    def __init__(self, task: _Optional[_Union[RenderRequest.Task, _Mapping]] = ..., data: _Optional[bytes] = ..., complete: bool = ..., last: _Optional[bytes] = ...) -> None: ...
