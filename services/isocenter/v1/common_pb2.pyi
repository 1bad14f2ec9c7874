from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class InstanceName(_message.Message):
    __slots__ = ("partition", "study", "series", "instance")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    partition: str
    study: str
    series: str
    instance: str
    def __init__(self, partition: _Optional[str] = ..., study: _Optional[str] = ..., series: _Optional[str] = ..., instance: _Optional[str] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("protocol", "host", "ae_title", "called_ae_title", "user", "tls_subject", "unknown", "purpose")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    AE_TITLE_FIELD_NUMBER: _ClassVar[int]
    CALLED_AE_TITLE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    TLS_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    protocol: str
    host: str
    ae_title: str
    called_ae_title: str
    user: str
    tls_subject: str
    unknown: bool
    purpose: str
    def __init__(self, protocol: _Optional[str] = ..., host: _Optional[str] = ..., ae_title: _Optional[str] = ..., called_ae_title: _Optional[str] = ..., user: _Optional[str] = ..., tls_subject: _Optional[str] = ..., unknown: bool = ..., purpose: _Optional[str] = ...) -> None: ...
