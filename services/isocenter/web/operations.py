"""What every route and method takes and answers: one table, of which the capabilities
(`web.capabilities`) and the OpenAPI document (`web.openapi`) are made.

A test holds that it describes all routes of `web.role`, and no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydicom.datadict import keyword_for_tag

from isocenter.core.access import Right
from isocenter.core.attributes import BY_TAG, DEPTH, ORDERS, TABLE
from isocenter.core.events import AuditAction
from isocenter.core.matching import Level
from isocenter.web import render_parameters
from isocenter.web.access_operations import PATH_PARAMETERS as ACCESS_PATH_PARAMETERS
from isocenter.web.access_operations import ROUTES as ACCESS_ROUTES
from isocenter.web.aes import ENTRY
from isocenter.web.aes import ROUTE as AES
from isocenter.web.audit_operations import NO_PATIENT_DATA
from isocenter.web.audit_operations import PATH_PARAMETERS as AUDIT_PATH_PARAMETERS
from isocenter.web.audit_operations import ROUTES as AUDIT_ROUTES
from isocenter.web.changes import EVENT_STREAM
from isocenter.web.changes import ROUTE as CHANGES
from isocenter.web.deletions import RESTORE
from isocenter.web.deletions import ROUTE as DELETIONS
from isocenter.web.exchange import DICOMWEB
from isocenter.web.negotiation import (
    DICOM,
    DICOM_JSON,
    DICOM_XML,
    FRAME_MEDIA_TYPES,
    JSON,
    MULTIPART,
    OCTETS,
    ZIP,
)
from isocenter.web.operation import UID, Door, Operation, Parameter
from isocenter.web.pictures import IMAGE_TYPES, PDF

WADL = "application/vnd.sun.wadl+xml"
OPENAPI_PATH = "/api/openapi.json"

_CONDITIONAL = frozenset({"8.9", "9.4", "10.4"})  # sections of PS3.18
_BARE_HEADS = frozenset({CHANGES, DELETIONS})  # besides those of what is retrieved

_FRAMES = r"^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$"


PATH_PARAMETERS: Mapping[str, Parameter] = {
    one.name: one
    for one in (
        Parameter("study", "Study Instance UID", UID),
        Parameter("series", "Series Instance UID", UID),
        Parameter("instance", "SOP Instance UID", UID),
        Parameter("frames", "frame numbers from 1, separated by commas",
                  {"type": "string", "pattern": _FRAMES}),
        Parameter("deletion", "id of a deletion"),
        Parameter("title", "AE title"),
        Parameter("path", "what follows in the BulkDataURI of the metadata, slashes included"),
        Parameter("file", "a file of the viewer, or a path that its page makes up"),
        *AUDIT_PATH_PARAMETERS,
        *ACCESS_PATH_PARAMETERS,
    )
}  # fmt: skip

_CHARSET = Parameter("charset", "character sets of text; utf-8 must be among them")
_ACCEPT = Parameter("accept", "media types, instead of the header field (PS3.18 8.3.3.1)")
_NUMBER: Mapping[str, object] = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
_SEARCH = (
    Parameter("limit", "most answers", _NUMBER),
    Parameter("offset", "answers to be skipped", _NUMBER),
    Parameter("fuzzymatching", "also match names by how words begin and sound",
              {"type": "boolean"}),
    Parameter("includefield", "attributes to answer with, by keyword or tag, or all",
              {"type": "array", "items": {"type": "string"}}),
    _ACCEPT,
)  # fmt: skip
_ORDERBY = (
    Parameter(
        "orderby",
        f"attributes of {', '.join(BY_TAG[tag].keyword for tag in ORDERS)}, with"
        " commas between them; a - in front for descending",
    ),
)
_OTHER_KEYS = Parameter(
    "attributes",
    "other attributes by keyword or tag: matched if the settings make them searchable; if not, they"
    " are answered with, as a Warning field says",
    {"type": "object", "additionalProperties": {"type": "string"}},
    others=True,
)


def _parts(*media: str) -> Sequence[str]:
    return [f'{MULTIPART}; type="{one}"' for one in media]


def _of_table(rows: Mapping[str, render_parameters.Parameter]) -> Sequence[Parameter]:
    most = "`web.max_viewport`"
    return [
        Parameter(row.name, f"{row.allowed.format(most=most)} (PS3.18 {row.section})")
        for row in rows.values()
    ]


_FRAME_TYPES = tuple(dict.fromkeys((OCTETS, *FRAME_MEDIA_TYPES.values())))
_MODEL = (DICOM_JSON, JSON, *_parts(DICOM_XML))
_PICTURES = (*IMAGE_TYPES, *_parts(*IMAGE_TYPES), PDF)


def search_keys(level: Level) -> Sequence[Parameter]:
    """The attributes that a search of a level matches (PS3.18 10.6.1.2)."""
    keys = []
    for row in TABLE:
        if row.matched and DEPTH[row.level] <= DEPTH[level]:
            items = [f".{keyword_for_tag(int(tag, 16))}" for tag in row.items] or [""]
            keys += [
                Parameter(f"{row.keyword}{item}", f"({row.tag[:4]},{row.tag[4:]}) {row.vr}")
                for item in items
            ]
    return keys


_ADDRESSED = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID"}


def _search(level: Level, name: str, *addressed: str) -> Operation:
    """`addressed`: what the path says already."""
    said = {_ADDRESSED[one] for one in addressed}
    keys = [key for key in search_keys(level) if key.name not in said]
    return Operation(
        f"searchFor{name}",
        f"Search for {level.value.lower() if level is not Level.INSTANCE else 'instance'}s",
        "10.6",
        (*_SEARCH, *(_ORDERBY if level is Level.STUDY else ()), *keys, _OTHER_KEYS),
        answers={200: _MODEL},
        schema="DataSets",
        errors=(406,),
        audited=AuditAction.QUERY,
        needs=Right.SEARCH,
    )


def _retrieve(what: str, *, single: bool = False) -> Operation:
    media = [*_parts(DICOM), ZIP, *([DICOM] if single else [])]
    return Operation(
        f"retrieve{what}", f"Retrieve the objects of a {what.lower()}", "10.4",
        (_ACCEPT,), answers={200: media}, errors=(404, 406, 422),
        audited=AuditAction.RETRIEVE, needs=Right.DOWNLOAD,
    )  # fmt: skip


def _metadata(what: str) -> Operation:
    return Operation(
        f"retrieve{what}Metadata", f"Retrieve the metadata of a {what.lower()}", "10.4",
        (_ACCEPT, _CHARSET), answers={200: _MODEL}, schema="DataSets", errors=(404, 406),
        audited=AuditAction.RETRIEVE, needs=Right.READ,
    )  # fmt: skip


_STORED = (DICOM, DICOM_JSON, DICOM_XML)


def _store(id_: str, summary: str) -> Operation:
    return Operation(
        id_, summary, "10.5", (_ACCEPT,), takes=[*_parts(*_STORED), *_STORED],
        answers=dict.fromkeys((200, 202, 409), (DICOM_JSON, DICOM_XML, JSON)), schema="DataSet",
        errors=(406, 408, 411, 413, 415, 507), audited=AuditAction.STORE, needs=Right.STORE,
    )  # fmt: skip


def _picture(id_: str, summary: str, parameters: Sequence[Parameter]) -> Operation:
    return Operation(
        id_, summary, "10.4", parameters,
        answers={200: _PICTURES}, errors=(404, 406, 422),
        audited=AuditAction.RETRIEVE, needs=Right.READ,
    )  # fmt: skip


def _thumbnail(what: str) -> Operation:
    summary = f"Retrieve a small picture of a {what.lower()}"
    return _picture(f"retrieve{what}Thumbnail", summary, _of_table(render_parameters.THUMBNAIL))


def _rendered(what: str) -> Operation:
    summary = f"Retrieve pictures of a {what.lower()}"
    return _picture(f"retrieveRendered{what}", summary, _of_table(render_parameters.RENDERED))


def _bulk(what: str, level: str) -> Operation:
    return Operation(
        f"retrieve{level}{what}Data", f"Retrieve all {what.lower()} data of a {level.lower()}",
        "10.4", (_ACCEPT,), answers={200: _parts(*_FRAME_TYPES)}, errors=(404, 406, 422),
        audited=AuditAction.RETRIEVE, needs=Right.READ,
    )  # fmt: skip


_REASON = Parameter("reason", "why, for the audit trail", {"type": "string", "maxLength": 200})


def _delete(what: str) -> Operation:
    return Operation(
        f"delete{what}", f"Delete a {what.lower()}; it can be restored for a while",
        parameters=(_REASON,), answers={200: [JSON], 202: [JSON]}, schema="Deletion",
        errors=(404,), audited=AuditAction.DELETE, needs=Right.DELETE,
    )  # fmt: skip


def _with_conditions(method: str, operation: Operation) -> Operation:
    """What is retrieved has validators (`web.conditions`)."""
    if method not in ("GET", "OPTIONS") or operation.section not in _CONDITIONAL:
        return operation
    answers = {**operation.answers, 304: ()}
    return replace(operation, answers=answers, errors=(*operation.errors, 412))


def _with_head(template: str, methods: Mapping[str, Operation]) -> Mapping[str, Operation]:
    """HEAD beside GET: the same header fields, and no content (RFC 9110 9.3.2)."""
    get = methods.get("GET")
    if get is None:
        return methods
    bare = get.audited is AuditAction.RETRIEVE or template in _BARE_HEADS
    audited = "a head alone tells nothing of a patient" if bare else get.audited
    return {**methods, "HEAD": replace(get, id=f"{get.id}Head", audited=audited)}


_STUDY = "/studies/{study}"
_SERIES = _STUDY + "/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"
_FRAME = _INSTANCE + "/frames/{frames}"

_CAPABILITIES = Operation(
    "retrieveCapabilities", "Retrieve the description of this service", "8.9",
    (_ACCEPT,), answers={200: [WADL, JSON]}, schema="Document", errors=(406,),
    audited=NO_PATIENT_DATA, needs=Door.KNOWN,
)  # fmt: skip

_DICOMWEB: Mapping[str, Mapping[str, Operation]] = {
    "": {"GET": _CAPABILITIES,
         "OPTIONS": replace(_CAPABILITIES, id="retrieveCapabilitiesByOptions")},
    "/": {"GET": replace(_CAPABILITIES, id="retrieveCapabilitiesOfBase"),
          "OPTIONS": replace(_CAPABILITIES, id="retrieveCapabilitiesOfBaseByOptions")},
    "/studies": {"GET": _search(Level.STUDY, "Studies"),
                 "POST": _store("storeInstances", "Store objects")},
    "/series": {"GET": _search(Level.SERIES, "Series")},
    "/instances": {"GET": _search(Level.INSTANCE, "Instances")},
    _STUDY: {"GET": _retrieve("Study"), "DELETE": _delete("Study"),
             "POST": _store("storeStudyInstances", "Store objects of this study")},
    _STUDY + "/series": {"GET": _search(Level.SERIES, "StudySeries", "study")},
    _STUDY + "/instances": {"GET": _search(Level.INSTANCE, "StudyInstances", "study")},
    _STUDY + "/metadata": {"GET": _metadata("Study")},
    _STUDY + "/thumbnail": {"GET": _thumbnail("Study")},
    _SERIES: {"GET": _retrieve("Series"), "DELETE": _delete("Series")},
    _SERIES + "/instances": {"GET": _search(Level.INSTANCE, "SeriesInstances", "study", "series")},
    _SERIES + "/metadata": {"GET": _metadata("Series")},
    _SERIES + "/thumbnail": {"GET": _thumbnail("Series")},
    _INSTANCE: {"GET": _retrieve("Instance", single=True), "DELETE": _delete("Instance")},
    _INSTANCE + "/metadata": {"GET": _metadata("Instance")},
    _INSTANCE + "/thumbnail": {"GET": _thumbnail("Instance")},
    _FRAME: {"GET": Operation(
        "retrieveFrames", "Retrieve the pixel data of frames", "10.4", (_ACCEPT,),
        answers={200: [*_parts(*_FRAME_TYPES), *_FRAME_TYPES]}, errors=(404, 406, 422),
        audited=AuditAction.RETRIEVE, needs=Right.READ,
    )},
    _FRAME + "/rendered": {"GET": _rendered("Frame")},
    **{
        path + end: {"GET": operation}
        for path, level in ((_STUDY, "Study"), (_SERIES, "Series"), (_INSTANCE, "Instance"))
        for end, operation in (
            ("/rendered", _rendered(level)),
            ("/bulkdata", _bulk("Bulk", level)),
            ("/pixeldata", _bulk("Pixel", level)),
        )
    },
    _FRAME + "/thumbnail": {"GET": _thumbnail("Frame")},
    _INSTANCE + "/bulkdata/{path...}": {"GET": Operation(
        "retrieveBulkData", "Retrieve the value of an element", "10.4", (_ACCEPT,),
        answers={200: [*_parts(*_FRAME_TYPES), OCTETS, "*/*"], 206: ["*/*"]},
        errors=(404, 406, 416, 422), audited=AuditAction.RETRIEVE, needs=Right.READ,
    )},
}  # fmt: skip

_VIEWER_FILE = Operation(
    "viewerFile", "A file of the viewer", answers={200: ["*/*"], 304: [], 503: ["text/html"]},
    errors=(404, 412), audited=NO_PATIENT_DATA, needs=Door.KNOWN,
)  # fmt: skip
_TO_VIEWER = Operation(
    "toViewer", "To the viewer", answers={307: []}, audited=NO_PATIENT_DATA, needs=Door.OPEN
)

_ROUTES: Mapping[str, Mapping[str, Operation]] = {
    **{DICOMWEB + path: methods for path, methods in _DICOMWEB.items()},
    CHANGES: {"GET": Operation(
        "readChanges", "Read events of instances and studies, or wait for them",
        parameters=(
            _ACCEPT,
            Parameter("since", "where to begin: oldest, now, or `next` of the page before"),
            Parameter("limit", "most events of a page",
                      {"type": "integer", "minimum": 1, "maximum": 1000}),
            Parameter("wait", "seconds to wait for an event",
                      {"type": "integer", "minimum": 0, "maximum": 60}),
        ),
        answers={200: [JSON, EVENT_STREAM]}, schema="Document", errors=(404, 406),
        audited=AuditAction.QUERY, needs=Right.SEARCH,
    )},
    "/wado": {"GET": Operation(
        "retrieveByUri", "Retrieve an instance as an object or a picture", "9.4",
        _of_table(render_parameters.WADO_URI),
        answers={200: [DICOM, *IMAGE_TYPES, PDF]}, errors=(404, 406, 422),
        audited=AuditAction.RETRIEVE, needs=Right.READ,
    )},
    DELETIONS: {"GET": Operation(
        "listDeletions", "What was deleted and can be restored",
        answers={200: [JSON]}, schema="Deletions", audited=AuditAction.QUERY, needs=Right.DELETE,
    )},
    RESTORE: {"POST": Operation(
        "restore", "Undo a deletion", answers={200: [JSON], 202: [JSON]}, schema="Deletion",
        errors=(404,), audited=AuditAction.DELETE, needs=Right.DELETE,
    )},
    AES: {"GET": Operation(
        "listAEs", "The AE directory: who may call over DIMSE, and what they may do",
        answers={200: [JSON]}, schema="AEs", audited=NO_PATIENT_DATA, needs=Right.AES,
    )},
    ENTRY: {
        "GET": Operation(
            "getAE", "An AE of the directory", answers={200: [JSON]}, schema="AEEntry",
            errors=(404,), audited=NO_PATIENT_DATA, needs=Right.AES,
        ),
        "PUT": Operation(
            "setAE", "Add an AE, or say everything about it anew (schema KnownAE)", takes=[JSON],
            answers={200: [JSON], 201: [JSON]}, schema="AEEntry", errors=(408, 409, 413, 415),
            audited=AuditAction.SECURITY, needs=Right.AES,
        ),
        "DELETE": Operation(
            "removeAE", "Forget an AE", answers={204: []}, errors=(404, 409),
            audited=AuditAction.SECURITY, needs=Right.AES,
        ),
    },
    **AUDIT_ROUTES,
    **ACCESS_ROUTES,
    "/": {"GET": _TO_VIEWER},
    "/viewer": {"GET": replace(_TO_VIEWER, id="toViewerPage")},
    "/viewer/app-config.js": {"GET": Operation(
        "viewerConfiguration", "The viewer's settings", answers={200: ["text/javascript"]},
        audited=NO_PATIENT_DATA, needs=Door.KNOWN,
    )},
    "/viewer/{file...}": {"GET": _VIEWER_FILE},
    "/livez": {"GET": Operation(
        "livez", "Whether this process runs", answers={200: [JSON]}, schema="Health",
        audited=NO_PATIENT_DATA, needs=Door.OPEN,
    )},
    "/readyz": {"GET": Operation(
        "readyz", "Whether it can do its work", answers={200: [JSON], 503: [JSON]},
        schema="Health", audited=NO_PATIENT_DATA, needs=Door.OPEN,
    )},
    OPENAPI_PATH: {"GET": Operation(
        "openapi", "This description", answers={200: [JSON]}, schema="Document",
        audited=NO_PATIENT_DATA, needs=Door.KNOWN,
    )},
}  # fmt: skip

OPERATIONS: Mapping[str, Mapping[str, Operation]] = {
    template: _with_head(
        template, {name: _with_conditions(name, one) for name, one in methods.items()}
    )
    for template, methods in _ROUTES.items()
}
