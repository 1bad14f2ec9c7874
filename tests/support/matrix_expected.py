"""Who is expected to be let through which door, as tables: what a route, a verb or a method of gRPC
takes, and what it is about. They are written by hand, from what the documentation promises, and
nothing of the code under test is read but the names.

What something is about says what becomes of a study that the caller may not see:

- `study`: the study that is named. It is answered as if it were not there.
- `search`: all that the caller may see. The study is not among it, nor counted.
- `change`: the same, of events.
- `store`: what comes in. Nothing comes into the study.
- `count`: the same, of which only the number is told.
- `study?`: the study that a form names. It is said not to be there.
- `everywhere`: studies of any site. It is refused to who may not do this with all of them, or not
  there.
- `trail`: the audit trail, which tells auditors of everybody's studies.
- `own`: what is the caller's own, told by a form: an empty one is answered with what it lacks.
- `-`: nothing that is a study's; `nothing`: besides, it is not there in this installation.

In the place of a right, `anybody` needs none, `known` is whoever has said who they are, `person` is
the same but for who comes by a link, and of `unasked` nobody is asked who they are, whatever they
show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

ANYBODY, KNOWN, PERSON, UNASKED = "anybody", "known", "person", "unasked"


@dataclass(frozen=True, slots=True)
class Line:
    """What is expected of one door."""

    needs: str  # a right by its value, or one of the above
    about: str
    accept: str = "*/*"
    query: Mapping[str, str] = field(default_factory=dict)


ROUTES = """
GET     /dicomweb                                                     known      -
OPTIONS /dicomweb                                                     known      -
GET     /dicomweb/                                                    known      -
OPTIONS /dicomweb/                                                    known      -
GET     /dicomweb/studies                                             search     search
GET     /dicomweb/series                                              search     search
GET     /dicomweb/instances                                           search     search
POST    /dicomweb/studies                                             store      store
GET     /dicomweb/STUDY                                               download   study
POST    /dicomweb/STUDY                                               store      store
DELETE  /dicomweb/STUDY                                               delete     study
GET     /dicomweb/STUDY/series                                        search     study
GET     /dicomweb/STUDY/instances                                     search     study
GET     /dicomweb/STUDY/metadata                                      read       study
GET     /dicomweb/STUDY/thumbnail                                     read       study
GET     /dicomweb/STUDY/rendered                                      read       study
GET     /dicomweb/STUDY/bulkdata                                      read       study
GET     /dicomweb/STUDY/pixeldata                                     read       study
GET     /dicomweb/STUDY/SERIES                                        download   study
DELETE  /dicomweb/STUDY/SERIES                                        delete     study
GET     /dicomweb/STUDY/SERIES/instances                              search     study
GET     /dicomweb/STUDY/SERIES/metadata                               read       study
GET     /dicomweb/STUDY/SERIES/thumbnail                              read       study
GET     /dicomweb/STUDY/SERIES/rendered                               read       study
GET     /dicomweb/STUDY/SERIES/bulkdata                               read       study
GET     /dicomweb/STUDY/SERIES/pixeldata                              read       study
GET     /dicomweb/STUDY/SERIES/INSTANCE                               download   study
DELETE  /dicomweb/STUDY/SERIES/INSTANCE                               delete     study
GET     /dicomweb/STUDY/SERIES/INSTANCE/metadata                      read       study
GET     /dicomweb/STUDY/SERIES/INSTANCE/thumbnail                     read       study
GET     /dicomweb/STUDY/SERIES/INSTANCE/rendered                      read       study
GET     /dicomweb/STUDY/SERIES/INSTANCE/bulkdata                      read       study
GET     /dicomweb/STUDY/SERIES/INSTANCE/pixeldata                     read       study
GET     /dicomweb/STUDY/SERIES/INSTANCE/bulkdata/{path...}            read       study
GET     /dicomweb/STUDY/SERIES/INSTANCE/frames/{frames}               read       study
GET     /dicomweb/STUDY/SERIES/INSTANCE/frames/{frames}/rendered      read       study
GET     /dicomweb/STUDY/SERIES/INSTANCE/frames/{frames}/thumbnail     read       study
GET     /wado                                                         read       study
GET     /changes                                                      search     change
GET     /api/deletions                                                delete     everywhere
POST    /api/deletions/{deletion}/restore                             delete     everywhere
GET     /api/aes                                                      aes        -
GET     /api/aes/{title...}                                           aes        -
PUT     /api/aes/{title...}                                           aes        -
DELETE  /api/aes/{title...}                                           aes        -
GET     /api/audit/records                                            audit      trail
GET     /api/audit/records/{record}                                   audit      trail
GET     /api/audit/records/{record}/proof                             audit      trail
GET     /api/audit/count                                              audit      trail
GET     /api/audit/tally                                              audit      trail
GET     /api/audit/objects/{instance}                                 audit      trail
GET     /api/audit/state                                              audit      trail
POST    /api/audit/verification                                       audit      trail
GET     /api/audit/export                                             audit      trail
GET     /api/audit/searches                                           audit      trail
GET     /api/audit/searches/{name...}                                 audit      trail
PUT     /api/audit/searches/{name...}                                 hold       trail
DELETE  /api/audit/searches/{name...}                                 hold       trail
GET     /api/audit/holds                                              audit      trail
GET     /api/audit/holds/{name...}                                    audit      trail
PUT     /api/audit/holds/{name...}                                    hold       trail
DELETE  /api/audit/holds/{name...}                                    hold       trail
GET     /fhir/metadata                                                audit      -
GET     /fhir/AuditEvent                                              audit      trail
POST    /fhir/AuditEvent/_search                                      audit      trail
GET     /fhir/AuditEvent/{record}                                     audit      trail
GET     /fhir/{resource...}                                           audit      nothing
GET     /audit                                                        audit      trail
GET     /audit/search                                                 audit      trail
GET     /audit/patient                                                audit      trail
GET     /audit/person                                                 audit      trail
GET     /audit/study                                                  audit      trail
GET     /audit/object                                                 audit      trail
GET     /audit/records/{record}                                       audit      trail
GET     /audit/verification                                           audit      trail
POST    /audit/verification                                           audit      trail
POST    /audit/searches                                               hold       trail
POST    /audit/searches/remove                                        hold       trail
POST    /audit/holds                                                  hold       trail
POST    /audit/holds/release                                          hold       trail
GET     /static/{file}                                                anybody    nothing
GET     /sign-in                                                      anybody    -
POST    /sign-in                                                      anybody    -
GET     /sign-in/provider                                             anybody    nothing
GET     /sign-in/answer                                               anybody    nothing
POST    /sign-out                                                     anybody    -
GET     /invitation/{secret}                                          anybody    -
POST    /invitation/{secret}                                          anybody    -
GET     /access                                                       access     -
POST    /access/accounts                                              access     -
POST    /access/accounts/changed                                      access     -
POST    /access/accounts/removed                                      access     -
POST    /access/accounts/invited                                      access     -
POST    /access/tokens                                                access     -
POST    /access/tokens/revoked                                        access     -
POST    /access/sessions/ended                                        access     -
POST    /access/marks                                                 mark       everywhere
POST    /access/marks/removed                                         mark       everywhere
GET     /api/marks                                                    access     -
POST    /api/marks                                                    mark       everywhere
DELETE  /api/marks/{mark}                                             mark       everywhere
GET     /api/links                                                    share      -
POST    /api/links                                                    share      study
DELETE  /api/links/{link}                                             share      own
GET     /account                                                      person     -
POST    /account/password                                             known      own
GET     /account/factor                                               known      own
POST    /account/factor                                               known      own
POST    /account/factor/removed                                       known      own
POST    /account/sessions/ended                                       person     own
GET     /emergency                                                    emergency  -
POST    /emergency                                                    emergency  own
GET     /share                                                        share      -
POST    /share                                                        share      study?
POST    /share/revoked                                                share      own
GET     /share/{secret}                                               anybody    -
POST    /share/{secret}                                               anybody    -
GET     /                                                             anybody    -
GET     /viewer                                                       anybody    -
GET     /viewer/app-config.js                                         known      -
GET     /viewer/{file...}                                             known      nothing
GET     /livez                                                        unasked    -
GET     /readyz                                                       unasked    -
GET     /api/openapi.json                                             known      -
"""

LISTS_LINKS = frozenset({"/share", "/share/revoked", "/api/links"})
"""Here links are listed: those that somebody has made, and all to who administers access, to
whatever study they lead."""

_STUDY = "/dicomweb/studies/{study}"
VARIANTS: Mapping[str, tuple[str, Line]] = {
    "a ZIP file": (_STUDY, Line("download", "study", accept="application/zip")),
    "an object by WADO-URI": (
        "/wado", Line("download", "study", query={"contentType": "application/dicom"})
    ),
    "all attributes of studies": (
        "/dicomweb/studies", Line("search", "search", query={"includefield": "all"})
    ),
    "all attributes of instances": (
        "/dicomweb/instances", Line("search", "search", query={"includefield": "all"})
    ),
    "a search answered in XML": (
        "/dicomweb/studies",
        Line("search", "search", accept='multipart/related; type="application/dicom+xml"'),
    ),
    "a search of one study": (
        "/dicomweb/studies", Line("search", "search", query={"StudyInstanceUID": "{study}"})
    ),
    "a search of one patient": (
        "/dicomweb/series", Line("search", "search", query={"PatientID": "{patient}"})
    ),
    "a search by the beginning of a name": (
        "/dicomweb/studies", Line("search", "search", query={"PatientName": "PHANTOM*"})
    ),
}  # fmt: skip
"""What a route answers otherwise: with another media type, or by other parameters. All are GET."""

METHODS = """
ArchiveService/StoreObjects         store       store
ArchiveService/RetrieveObjects      download    study
ArchiveService/RetrieveMetadata     read        study
ArchiveService/RetrieveFrames       read        study
ArchiveService/RetrieveBulkData     read        study
ObjectService/GetObject             download    study
ArchiveService/SearchArchive        search      search
ArchiveService/CountArchive         search      count
ArchiveService/WatchChanges         search      change
AEDirectoryService/ListAEs          aes         -
AEDirectoryService/GetAE            aes         -
AEDirectoryService/SetAE            aes         -
AEDirectoryService/RemoveAE         aes         -
AuditService/SearchRecords          audit       trail
AuditService/CountRecords           audit       trail
AuditService/GetRecord              audit       trail
AuditService/TallyRecords           audit       trail
AuditService/GetStory               audit       trail
AuditService/ProveRecord            audit       trail
AuditService/VerifyTrail            audit       trail
AuditService/GetTrailState          audit       trail
AuditService/ListSavedSearches      audit       trail
AuditService/ListHolds              audit       trail
AuditService/SaveSearch             hold        trail
AuditService/ForgetSearch           hold        trail
AuditService/AddHold                hold        trail
AuditService/ReleaseHold            hold        trail
"""
"""Methods of the port of programs. No other method of ours is answered there."""

VERBS = """
C_ECHO      echo        -
C_STORE     store       store
C_FIND      find        search
C_MOVE      move        search
C_GET       get         search
N_ACTION    commit      search
"""
"""DIMSE verbs; what they take is what the AE directory says of an AE."""

_SHORT = {
    "STUDY": "studies/{study}",
    "SERIES": "series/{series}",
    "INSTANCE": "instances/{instance}",
}


def routes() -> Mapping[tuple[str, str], Line]:
    """Method and template -> what is expected. HEAD is let through as GET is (RFC 9110 9.3.2)."""
    found: dict[tuple[str, str], Line] = {}
    for method, short, needs, about in _rows(ROUTES):
        path = "/".join(_SHORT.get(part, part) for part in short.split("/"))
        found[method, path] = Line(needs, about)
        if method == "GET":
            found["HEAD", path] = Line(needs, about)
    return found


def methods() -> Mapping[str, Line]:
    """Service and method -> what is expected."""
    return {name: Line(needs, about) for name, needs, about in _rows(METHODS)}


def verbs() -> Mapping[str, Line]:
    """Name of a DIMSE request -> what is expected."""
    return {name: Line(needs, about) for name, needs, about in _rows(VERBS)}


def _rows(table: str) -> Iterator[list[str]]:
    return (row.split() for row in table.strip().splitlines())
