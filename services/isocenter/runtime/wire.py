"""Records of `core` as protobuf messages and back: the one place that knows both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Protocol, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from isocenter.core.access import SYSTEM, Caller, Kind, Patient, Right
from isocenter.core.apis import PixelFormat, StoredInstance, Versions
from isocenter.core.deletions import Deletion
from isocenter.core.errors import Invalid
from isocenter.core.events import (
    AuditAction,
    AuditOutcome,
    CommitmentFate,
    ConflictPolicy,
    LetterFate,
    Source,
)
from isocenter.core.identity import InstanceName
from isocenter.core.matching import Key, Level, Order, Search
from isocenter.core.ports import BlobInfo
from isocenter.v1 import common_pb2, events_pb2, ingest_pb2, query_pb2, storage_pb2

E = TypeVar("E", bound=Enum)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Names(Protocol):
    """The enumeration wrapper of protobuf: number of a name."""

    def Value(self, name: str) -> int: ...  # noqa: N802 (protobuf's name)


def _numbers(kind: type[E], names: _Names, prefix: str) -> Mapping[E, Any]:
    """The number of each member; protobuf's stubs type them as the enumeration, hence `Any`."""
    return {member: names.Value(f"{prefix}_{member.name}") for member in kind}


POLICIES = _numbers(ConflictPolicy, events_pb2.ConflictPolicy, "CONFLICT_POLICY")
ACTIONS = _numbers(AuditAction, events_pb2.AuditAction, "AUDIT_ACTION")
OUTCOMES = _numbers(AuditOutcome, events_pb2.AuditOutcome, "AUDIT_OUTCOME")
FATES = _numbers(LetterFate, events_pb2.LetterFate, "LETTER_FATE")
COMMITMENT_FATES = _numbers(CommitmentFate, events_pb2.CommitmentFate, "COMMITMENT_FATE")
LEVELS = _numbers(Level, query_pb2.Level, "LEVEL")
CALLER_KINDS = _numbers(Kind, common_pb2.Caller.Kind, "KIND")


def enum_from(table: Mapping[E, Any], number: int) -> E:
    """The member that `number` stands for. Raises `Invalid` for one this version lacks."""
    for member, known in table.items():
        if known == number:
            return member
    kind = type(next(iter(table))).__name__
    raise Invalid(f"{number} is no {kind} known here", fix="run the same version everywhere")


def timestamp(moment: datetime) -> Timestamp:
    """A UTC time, to the microsecond."""
    delta = moment - _EPOCH
    return Timestamp(seconds=delta.days * 86400 + delta.seconds, nanos=delta.microseconds * 1000)


def moment(stamp: Timestamp) -> datetime:
    """The UTC time of a timestamp, to the microsecond."""
    return stamp.ToDatetime(tzinfo=UTC)


def name_to(name: InstanceName) -> common_pb2.InstanceName:
    """An instance name as a message."""
    return common_pb2.InstanceName(
        partition=name.partition, study=name.study, series=name.series, instance=name.instance
    )


def name_from(message: common_pb2.InstanceName) -> InstanceName:
    """An instance name from its message."""
    return InstanceName(message.partition, message.study, message.series, message.instance)


def source_to(source: Source) -> common_pb2.Source:
    """A source as a message."""
    return common_pb2.Source(
        protocol=source.protocol,
        host=source.host,
        ae_title=source.ae_title,
        called_ae_title=source.called_ae_title,
        user=source.user,
        tls_subject=source.tls_subject,
        unknown=not source.known,
        purpose=source.purpose,
    )


def source_from(message: common_pb2.Source) -> Source:
    """A source from its message."""
    return Source(
        protocol=message.protocol,
        host=message.host,
        ae_title=message.ae_title,
        called_ae_title=message.called_ae_title,
        user=message.user,
        tls_subject=message.tls_subject,
        known=not message.unknown,
        purpose=message.purpose,
    )


def caller_to(caller: Caller) -> common_pb2.Caller:
    """A caller as a message."""
    kind = common_pb2.Caller
    only, studies = caller.only, caller.studies
    return kind(
        kind=CALLER_KINDS[caller.kind],
        name=caller.name,
        roles=caller.roles,
        groups=caller.groups,
        sites=caller.sites,
        only=None if only is None else kind.Rights(names=sorted(one.value for one in only)),
        studies=None if studies is None else kind.Studies(uids=studies),
        emergencies=[kind.Patient(id=one.id, issuer=one.issuer) for one in caller.emergencies],
    )


def caller_from(message: common_pb2.Caller) -> Caller:
    """A caller from its message. One that is not there is a process of a version without callers,
    which is as much of the installation as this one."""
    if not message.kind:
        return SYSTEM
    return Caller(
        kind=enum_from(CALLER_KINDS, message.kind),
        name=message.name,
        roles=tuple(message.roles),
        groups=tuple(message.groups),
        sites=tuple(message.sites),
        only=_rights(message.only.names) if message.HasField("only") else None,
        studies=tuple(message.studies.uids) if message.HasField("studies") else None,
        emergencies=tuple(Patient(one.id, one.issuer) for one in message.emergencies),
    )


def _rights(names: Iterable[str]) -> frozenset[Right]:
    """Without those that only a newer version knows."""
    return frozenset(right for right in Right if right.value in names)


def key_to(key: Key) -> query_pb2.MatchingKey:
    """A matching key as a message."""
    return query_pb2.MatchingKey(
        tag=key.tag, vr=key.vr, values=key.values, items=[key_to(item) for item in key.items]
    )


def key_from(message: query_pb2.MatchingKey) -> Key:
    """A matching key from its message."""
    return Key(
        message.tag,
        message.vr,
        tuple(message.values),
        tuple(key_from(item) for item in message.items),
    )


def search_to(caller: Caller, search: Search) -> query_pb2.SearchRequest:
    """A search as a message."""
    return query_pb2.SearchRequest(
        caller=caller_to(caller),
        level=LEVELS[search.level],
        keys=[key_to(key) for key in search.keys],
        partition=search.partition,
        include=search.include,
        include_all=search.include_all,
        limit=search.limit,
        offset=search.offset,
        fuzzy=search.fuzzy,
        every_value=search.every_value,
        order=[
            query_pb2.Order(tag=order.tag, descending=order.descending) for order in search.order
        ],
    )


def search_from(message: query_pb2.SearchRequest) -> Search:
    """A search from its message."""
    return Search(
        level=enum_from(LEVELS, message.level),
        keys=tuple(key_from(key) for key in message.keys),
        partition=message.partition,
        include=tuple(message.include),
        include_all=message.include_all,
        limit=message.limit if message.HasField("limit") else None,
        offset=message.offset,
        fuzzy=message.fuzzy,
        every_value=message.every_value,
        order=tuple(Order(order.tag, order.descending) for order in message.order),
    )


def blob_info_to(info: BlobInfo) -> storage_pb2.BlobInfo:
    """What a listing tells of one blob, as a message."""
    return storage_pb2.BlobInfo(
        key=info.key, size=info.size, modified_at=timestamp(info.modified_at)
    )


def blob_info_from(message: storage_pb2.BlobInfo) -> BlobInfo:
    """What a listing tells of one blob, from its message."""
    return BlobInfo(message.key, message.size, moment(message.modified_at))


def instance_to(instance: StoredInstance) -> storage_pb2.StoredInstance:
    """A stored instance as a message."""
    return storage_pb2.StoredInstance(
        name=name_to(instance.name),
        digest=instance.digest,
        key=instance.key,
        size=instance.size,
        sop_class=instance.sop_class,
        transfer_syntax=instance.transfer_syntax,
        data_set_offset=instance.data_set_offset,
        number_of_frames=instance.number_of_frames,
        checksum=instance.checksum,
        modified_at=instance.modified_at and timestamp(instance.modified_at),
        overlay=instance.overlay,
    )


def instance_from(message: storage_pb2.StoredInstance) -> StoredInstance:
    """A stored instance from its message."""
    return StoredInstance(
        name=name_from(message.name),
        digest=message.digest,
        key=message.key,
        size=message.size,
        sop_class=message.sop_class,
        transfer_syntax=message.transfer_syntax,
        data_set_offset=message.data_set_offset,
        number_of_frames=message.number_of_frames,
        checksum=message.checksum,
        modified_at=moment(message.modified_at) if message.HasField("modified_at") else None,
        overlay=message.overlay,
    )


def versions_to(versions: Versions) -> storage_pb2.Versions:
    """The versions of a level as a message."""
    return storage_pb2.Versions(digest=versions.digest, modified_at=timestamp(versions.modified_at))


def versions_from(message: storage_pb2.Versions) -> Versions:
    """The versions of a level from their message."""
    return Versions(message.digest, moment(message.modified_at))


def pixels_to(pixels: PixelFormat) -> storage_pb2.PixelFormat:
    """A pixel format as a message."""
    return storage_pb2.PixelFormat(
        rows=pixels.rows,
        columns=pixels.columns,
        samples_per_pixel=pixels.samples_per_pixel,
        bits_allocated=pixels.bits_allocated,
        bits_stored=pixels.bits_stored,
        pixel_representation=pixels.pixel_representation,
        photometric_interpretation=pixels.photometric_interpretation,
        planar_configuration=pixels.planar_configuration,
        window_center=pixels.window_center,
        window_width=pixels.window_width,
        rescale_slope=pixels.rescale_slope,
        rescale_intercept=pixels.rescale_intercept,
        palette=pixels.palette or (),
        palette_first=pixels.palette_first,
        voi_lut_function=pixels.voi_lut_function,
    )


def pixels_from(message: storage_pb2.PixelFormat) -> PixelFormat:
    """A pixel format from its message."""
    match tuple(message.palette):
        case ():
            palette = None
        case (red, green, blue):
            palette = (red, green, blue)
        case other:
            raise Invalid(f"a palette has three tables, not {len(other)}", fix="send all or none")
    return PixelFormat(
        rows=message.rows,
        columns=message.columns,
        samples_per_pixel=message.samples_per_pixel,
        bits_allocated=message.bits_allocated,
        bits_stored=message.bits_stored,
        pixel_representation=message.pixel_representation,
        photometric_interpretation=message.photometric_interpretation,
        planar_configuration=message.planar_configuration,
        window_center=message.window_center if message.HasField("window_center") else None,
        window_width=message.window_width if message.HasField("window_width") else None,
        rescale_slope=message.rescale_slope,
        rescale_intercept=message.rescale_intercept,
        palette=palette,
        palette_first=message.palette_first,
        voi_lut_function=message.voi_lut_function,
    )


def deletion_to(deletion: Deletion) -> ingest_pb2.Deletion:
    """A deletion as a message."""
    return ingest_pb2.Deletion(
        id=deletion.id,
        partition=deletion.partition,
        study=deletion.study,
        series=deletion.series,
        instance=deletion.instance,
        source=source_to(deletion.by),
        reason=deletion.reason,
        at=timestamp(deletion.at),
        keep_until=timestamp(deletion.keep_until),
        instances=deletion.instances,
        objects=deletion.objects,
        bytes=deletion.size,
        kept=deletion.kept,
    )


def deletion_from(message: ingest_pb2.Deletion) -> Deletion:
    """A deletion from its message; its times are in its id."""
    return Deletion(
        id=message.id,
        partition=message.partition,
        study=message.study,
        series=message.series,
        instance=message.instance,
        by=source_from(message.source),
        reason=message.reason,
        instances=message.instances,
        objects=message.objects,
        size=message.bytes,
        kept=message.kept,
    )
