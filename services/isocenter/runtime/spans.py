"""What is traced, as data: every kind of span; `docs/telemetry.md` is made from this table.

Attributes hold no UID of a study, series or instance, no host, nothing of a patient.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpanKind:
    """One row of the table of spans. `*` in a name is what differs between them."""

    name: str
    parent: str
    what: str
    attributes: tuple[str, ...] = ()


_AE = ("dicom.calling_ae_title", "dicom.called_ae_title")
_RPC = ("rpc.system", "rpc.service", "rpc.method", "rpc.grpc.status_code")

SPANS = (
    SpanKind(
        "C-*",
        "none: a trace begins",
        "A DIMSE operation asked of us, named by its verb: `C-STORE`",
        (*_AE, "dicom.sop_class", "dicom.transfer_syntax", "dicom.status"),
    ),
    SpanKind(
        "* /*",
        "the client's, if it sends `traceparent`",
        "An HTTP request, named by method and route: `GET /dicomweb/studies/{study}`; by the "
        "method alone where there is no such route",
        ("http.request.method", "http.route", "http.response.status_code"),
    ),
    SpanKind(
        "isocenter.v1.*",
        "the caller's",
        "A gRPC call, one span on each side: `isocenter.v1.IngestService/Store`",
        _RPC,
    ),
    SpanKind(
        "ingest.store",
        "the edge's",
        "An instance from its first byte to its announcement",
        (
            "isocenter.protocol",
            "dicom.calling_ae_title",
            "dicom.sop_class",
            "dicom.transfer_syntax",
            "isocenter.size",
        ),
    ),
    SpanKind(
        "storage.put", "the caller's", "A small blob until it is durable", ("isocenter.size",)
    ),
    SpanKind(
        "storage.commit", "the caller's", "A staged blob until it is durable", ("isocenter.size",)
    ),
    SpanKind(
        "storage.read",
        "the caller's",
        "A blob, or a range of it",
        ("isocenter.operation", "isocenter.size"),
    ),
    SpanKind("storage.delete", "the caller's", "Removal of a blob"),
    SpanKind("storage.move", "the caller's", "An object that is deleted or restored"),
    SpanKind(
        "bus.append",
        "the caller's",
        "Records until they are durable in the log; they carry its trace context",
        ("messaging.destination.name", "messaging.batch.message_count"),
    ),
    SpanKind(
        "indexing.batch",
        "none: a trace begins, linked to those of its events",
        "A batch of events until they are findable",
        ("messaging.batch.message_count",),
    ),
    SpanKind(
        "indexing.event",
        "bus.append",
        "One event of a batch, in its own trace",
        ("cloudevents.event_type",),
    ),
    SpanKind("index.*", "the caller's", "A call of the search index: `index.upsert`"),
    SpanKind("query.search", "the caller's", "A search", ("isocenter.level", "isocenter.answers")),
    SpanKind(
        "query.first_answer",
        "indexing.event",
        "The first answer of this process that shows what was stored; linked to its search",
    ),
    SpanKind(
        "transcoding.*",
        "the caller's",
        "Pixels decoded, drawn, or turned into another transfer syntax",
        ("dicom.transfer_syntax",),
    ),
)
