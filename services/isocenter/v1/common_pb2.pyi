from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

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

class Caller(_message.Message):
    __slots__ = ("kind", "name", "roles", "groups", "sites", "only", "studies", "emergencies")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Caller.Kind]
        KIND_PERSON: _ClassVar[Caller.Kind]
        KIND_PROGRAM: _ClassVar[Caller.Kind]
        KIND_AE: _ClassVar[Caller.Kind]
        KIND_LINK: _ClassVar[Caller.Kind]
        KIND_SYSTEM: _ClassVar[Caller.Kind]
    KIND_UNSPECIFIED: Caller.Kind
    KIND_PERSON: Caller.Kind
    KIND_PROGRAM: Caller.Kind
    KIND_AE: Caller.Kind
    KIND_LINK: Caller.Kind
    KIND_SYSTEM: Caller.Kind
    class Rights(_message.Message):
        __slots__ = ("names",)
        NAMES_FIELD_NUMBER: _ClassVar[int]
        names: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...
    class Studies(_message.Message):
        __slots__ = ("uids",)
        UIDS_FIELD_NUMBER: _ClassVar[int]
        uids: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, uids: _Optional[_Iterable[str]] = ...) -> None: ...
    class Patient(_message.Message):
        __slots__ = ("id", "issuer")
        ID_FIELD_NUMBER: _ClassVar[int]
        ISSUER_FIELD_NUMBER: _ClassVar[int]
        id: str
        issuer: str
        def __init__(self, id: _Optional[str] = ..., issuer: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    ONLY_FIELD_NUMBER: _ClassVar[int]
    STUDIES_FIELD_NUMBER: _ClassVar[int]
    EMERGENCIES_FIELD_NUMBER: _ClassVar[int]
    kind: Caller.Kind
    name: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    groups: _containers.RepeatedScalarFieldContainer[str]
    sites: _containers.RepeatedScalarFieldContainer[str]
    only: Caller.Rights
    studies: Caller.Studies
    emergencies: _containers.RepeatedCompositeFieldContainer[Caller.Patient]
    def __init__(self, kind: _Optional[_Union[Caller.Kind, str]] = ..., name: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., groups: _Optional[_Iterable[str]] = ..., sites: _Optional[_Iterable[str]] = ..., only: _Optional[_Union[Caller.Rights, _Mapping]] = ..., studies: _Optional[_Union[Caller.Studies, _Mapping]] = ..., emergencies: _Optional[_Iterable[_Union[Caller.Patient, _Mapping]]] = ...) -> None: ...
