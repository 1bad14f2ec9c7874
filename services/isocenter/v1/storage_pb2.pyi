import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from isocenter.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Chunk(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class ItemChunk(_message.Message):
    __slots__ = ("data", "last", "number", "versions")
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    last: bool
    number: int
    versions: Versions
    def __init__(self, data: _Optional[bytes] = ..., last: bool = ..., number: _Optional[int] = ..., versions: _Optional[_Union[Versions, _Mapping]] = ...) -> None: ...

class Versions(_message.Message):
    __slots__ = ("digest", "modified_at")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    digest: str
    modified_at: _timestamp_pb2.Timestamp
    def __init__(self, digest: _Optional[str] = ..., modified_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class KeepRequest(_message.Message):
    __slots__ = ("data", "key", "digest")
    DATA_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    key: str
    digest: str
    def __init__(self, data: _Optional[bytes] = ..., key: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class PutRequest(_message.Message):
    __slots__ = ("target", "data", "complete", "last")
    class Target(_message.Message):
        __slots__ = ("key", "digest")
        KEY_FIELD_NUMBER: _ClassVar[int]
        DIGEST_FIELD_NUMBER: _ClassVar[int]
        key: str
        digest: str
        def __init__(self, key: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    target: PutRequest.Target
    data: bytes
    complete: bool
    last: bytes
    def __init__(self, target: _Optional[_Union[PutRequest.Target, _Mapping]] = ..., data: _Optional[bytes] = ..., complete: bool = ..., last: _Optional[bytes] = ...) -> None: ...

class PutResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StageRequest(_message.Message):
    __slots__ = ("data", "commit", "rest")
    class Commit(_message.Message):
        __slots__ = ("key", "digest")
        KEY_FIELD_NUMBER: _ClassVar[int]
        DIGEST_FIELD_NUMBER: _ClassVar[int]
        key: str
        digest: str
        def __init__(self, key: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...
    DATA_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    REST_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    commit: StageRequest.Commit
    rest: bytes
    def __init__(self, data: _Optional[bytes] = ..., commit: _Optional[_Union[StageRequest.Commit, _Mapping]] = ..., rest: _Optional[bytes] = ...) -> None: ...

class StageResponse(_message.Message):
    __slots__ = ("durable",)
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    durable: bool
    def __init__(self, durable: bool = ...) -> None: ...

class StatRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class BlobInfo(_message.Message):
    __slots__ = ("key", "size", "modified_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    key: str
    size: int
    modified_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[str] = ..., size: _Optional[int] = ..., modified_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReadRequest(_message.Message):
    __slots__ = ("key", "offset", "length")
    KEY_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    key: str
    offset: int
    length: int
    def __init__(self, key: _Optional[str] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("prefix", "after")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    after: str
    def __init__(self, prefix: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class RemoveRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class RemoveResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MoveRequest(_message.Message):
    __slots__ = ("key", "target")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    key: str
    target: str
    def __init__(self, key: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class MoveResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LevelRequest(_message.Message):
    __slots__ = ("partition", "study", "series", "instance", "caller")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    partition: str
    study: str
    series: str
    instance: str
    caller: _common_pb2.Caller
    def __init__(self, partition: _Optional[str] = ..., study: _Optional[str] = ..., series: _Optional[str] = ..., instance: _Optional[str] = ..., caller: _Optional[_Union[_common_pb2.Caller, _Mapping]] = ...) -> None: ...

class StoredInstance(_message.Message):
    __slots__ = ("name", "digest", "key", "size", "sop_class", "transfer_syntax", "data_set_offset", "number_of_frames", "checksum", "modified_at", "overlay")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SOP_CLASS_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SYNTAX_FIELD_NUMBER: _ClassVar[int]
    DATA_SET_OFFSET_FIELD_NUMBER: _ClassVar[int]
    NUMBER_OF_FRAMES_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    name: _common_pb2.InstanceName
    digest: str
    key: str
    size: int
    sop_class: str
    transfer_syntax: str
    data_set_offset: int
    number_of_frames: int
    checksum: str
    modified_at: _timestamp_pb2.Timestamp
    overlay: str
    def __init__(self, name: _Optional[_Union[_common_pb2.InstanceName, _Mapping]] = ..., digest: _Optional[str] = ..., key: _Optional[str] = ..., size: _Optional[int] = ..., sop_class: _Optional[str] = ..., transfer_syntax: _Optional[str] = ..., data_set_offset: _Optional[int] = ..., number_of_frames: _Optional[int] = ..., checksum: _Optional[str] = ..., modified_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., overlay: _Optional[str] = ...) -> None: ...

class PixelFormat(_message.Message):
    __slots__ = ("rows", "columns", "samples_per_pixel", "bits_allocated", "bits_stored", "pixel_representation", "photometric_interpretation", "planar_configuration", "window_center", "window_width", "rescale_slope", "rescale_intercept", "palette", "palette_first", "voi_lut_function")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_PER_PIXEL_FIELD_NUMBER: _ClassVar[int]
    BITS_ALLOCATED_FIELD_NUMBER: _ClassVar[int]
    BITS_STORED_FIELD_NUMBER: _ClassVar[int]
    PIXEL_REPRESENTATION_FIELD_NUMBER: _ClassVar[int]
    PHOTOMETRIC_INTERPRETATION_FIELD_NUMBER: _ClassVar[int]
    PLANAR_CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    WINDOW_CENTER_FIELD_NUMBER: _ClassVar[int]
    WINDOW_WIDTH_FIELD_NUMBER: _ClassVar[int]
    RESCALE_SLOPE_FIELD_NUMBER: _ClassVar[int]
    RESCALE_INTERCEPT_FIELD_NUMBER: _ClassVar[int]
    PALETTE_FIELD_NUMBER: _ClassVar[int]
    PALETTE_FIRST_FIELD_NUMBER: _ClassVar[int]
    VOI_LUT_FUNCTION_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: int
    samples_per_pixel: int
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    photometric_interpretation: str
    planar_configuration: int
    window_center: float
    window_width: float
    rescale_slope: float
    rescale_intercept: float
    palette: _containers.RepeatedScalarFieldContainer[bytes]
    palette_first: int
    voi_lut_function: str
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ..., samples_per_pixel: _Optional[int] = ..., bits_allocated: _Optional[int] = ..., bits_stored: _Optional[int] = ..., pixel_representation: _Optional[int] = ..., photometric_interpretation: _Optional[str] = ..., planar_configuration: _Optional[int] = ..., window_center: _Optional[float] = ..., window_width: _Optional[float] = ..., rescale_slope: _Optional[float] = ..., rescale_intercept: _Optional[float] = ..., palette: _Optional[_Iterable[bytes]] = ..., palette_first: _Optional[int] = ..., voi_lut_function: _Optional[str] = ...) -> None: ...

class FramesRequest(_message.Message):
    __slots__ = ("instance", "numbers")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    instance: StoredInstance
    numbers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, instance: _Optional[_Union[StoredInstance, _Mapping]] = ..., numbers: _Optional[_Iterable[int]] = ...) -> None: ...

class BulkRequest(_message.Message):
    __slots__ = ("instance", "path", "offset", "length")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    instance: StoredInstance
    path: str
    offset: int
    length: int
    def __init__(self, instance: _Optional[_Union[StoredInstance, _Mapping]] = ..., path: _Optional[str] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class GetBulkSizeResponse(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class VerifyRequest(_message.Message):
    __slots__ = ("prefix",)
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    def __init__(self, prefix: _Optional[str] = ...) -> None: ...

class VerifyResponse(_message.Message):
    __slots__ = ("key", "ok", "problem")
    KEY_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    key: str
    ok: bool
    problem: str
    def __init__(self, key: _Optional[str] = ..., ok: bool = ..., problem: _Optional[str] = ...) -> None: ...
