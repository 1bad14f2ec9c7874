"""Application Entities: what is known of each peer, and the directory that names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cached_property
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from isocenter.core.access import DEVICE, Caller, Kind, Right
from isocenter.core.charset import is_character_set
from isocenter.core.coercion import Coercions
from isocenter.core.errors import Invalid
from isocenter.core.events import ConflictPolicy, Source
from isocenter.core.identity import is_ae_title, is_uid
from isocenter.runtime.access.names import SiteName, told_of
from isocenter.runtime.addresses import Network, Networks, ip_of, is_within, networks_of
from isocenter.runtime.coercions import CoercionRule
from isocenter.runtime.shown_certificates import is_fingerprint, spelled


class Verb(Enum):
    """What an AE may ask of us."""

    ECHO = "echo"
    STORE = "store"
    FIND = "find"
    MOVE = "move"
    GET = "get"
    COMMIT = "commit"


# What each takes of the policy. Retrieves are resolved by searches; a commitment is to objects that
# the AE may store.
_RIGHTS: Mapping[Verb, frozenset[Right]] = {
    Verb.ECHO: frozenset(),
    Verb.STORE: frozenset({Right.STORE}),
    Verb.FIND: frozenset({Right.SEARCH}),
    Verb.MOVE: frozenset({Right.SEARCH, Right.READ, Right.DOWNLOAD}),
    Verb.GET: frozenset({Right.SEARCH, Right.READ, Right.DOWNLOAD}),
    Verb.COMMIT: frozenset({Right.STORE}),
}
OF_STRANGERS = frozenset({Verb.ECHO, Verb.STORE, Verb.COMMIT})
"""What an AE that is not in the directory may ask, where it is let in at all."""


def _rights(verbs: Iterable[Verb]) -> frozenset[Right]:
    return frozenset[Right]().union(*(_RIGHTS[verb] for verb in verbs))


STRANGER = Caller(Kind.AE, "not in the directory", (DEVICE,), only=_rights(OF_STRANGERS))
"""An AE that is not in the directory. It is not called by its title, which proves nothing, and no
title is as long as its name (PS3.5 6.2)."""


def _ae_title(text: str) -> str:
    if not is_ae_title(text):
        raise ValueError(
            "an AE title has 1 to 16 characters of ASCII, no backslash, and is not blank"
            " (PS3.5 6.2); shorten or respell it"
        )
    return text.strip(" ")


def _uid(text: str) -> str:
    if not is_uid(text):
        raise ValueError("this is no UID; use digits and dots, at most 64 characters (PS3.5 9.1)")
    return text


def _certificate(text: str) -> str:
    text = spelled(text)
    if text and "=" not in text and not is_fingerprint(text):
        raise ValueError(
            "neither a subject nor a fingerprint; write CN=ct1,O=Hospital or sha256: and"
            " 64 hexadecimal digits"
        )
    return text


AETitle = Annotated[str, AfterValidator(_ae_title)]
Uid = Annotated[str, AfterValidator(_uid)]
Certificate = Annotated[str, AfterValidator(_certificate)]


class Lane(Enum):
    """Whose work goes first, the most urgent first."""

    EMERGENCY = "emergency"
    ROUTINE = "routine"
    BULK = "bulk"


class KnownAE(BaseModel):
    """One peer: it may call, and with an address it is a C-MOVE destination."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: AETitle = Field(description="Its AE title.")
    host: str = Field(
        default="",
        max_length=255,
        description="Its address or name: where it is called, and an address is also where it must"
        " call from, unless `addresses` says otherwise.",
    )
    port: int = Field(
        default=0, ge=0, le=65535, description="Its DICOM port; 0: no C-MOVE destination."
    )
    addresses: tuple[Network, ...] = Field(
        default=(),
        max_length=256,
        description="Addresses and networks that it may call from; none: `host` if that is an"
        " address, else anywhere.",
    )
    certificate: Certificate = Field(
        default="",
        max_length=1024,
        description="Certificate that a caller with this title must show on the TLS port: its"
        " subject, most specific first (`CN=ct1,O=Hospital`), or its fingerprint (`sha256:...`).",
    )
    site: SiteName = Field(
        default="",
        description="Where it is: the site that what it stores comes from, and the `own` one of"
        " rules of the policy about it.",
    )
    verbs: tuple[Verb, ...] = Field(
        default=tuple(Verb),
        max_length=16,
        description="What it may ask: `echo`, `store`, `find`, `move`, `get`, `commit`.",
    )
    sop_classes: tuple[Uid, ...] = Field(
        default=(),
        max_length=1024,
        description="SOP classes that it may store, private ones too; none: all that are taken.",
    )
    conflict: ConflictPolicy | None = Field(
        default=None,
        description="What to do with another object of it under a name that is taken:"
        " `keep-first`, `keep-latest` or `reject`; none: as the settings of ingest say.",
    )
    transfer_syntaxes: tuple[Uid, ...] = Field(
        default=(),
        max_length=256,
        description="Transfer syntaxes that are preferred where it offers several, best first;"
        " none: its own order.",
    )
    character_set: str = Field(
        default="",
        description="Specific Character Set of objects that it sends with text in none, or in one"
        " that is not true; several values with a backslash between.",
    )
    coercions: tuple[CoercionRule, ...] = Field(
        default=(),
        max_length=100,
        description="What is corrected in objects that it sends; see [DICOM](dicom.md#coercion).",
    )

    move_associations: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Associations at once for one C-MOVE to it; one that it does not accept is"
        " done without. More are quicker where it takes them: some archives lose objects that come"
        " at the same moment.",
    )
    move_requests: int = Field(
        default=4,
        ge=1,
        le=1000,
        description="C-MOVEs to it at once in one process; further ones wait.",
    )
    tls: bool = Field(
        default=False,
        description="Whether it is called over TLS: its certificate must be one that"
        " `gateway.ca_file` trusts, and it is shown ours.",
    )
    tls_name: str = Field(
        default="", description="The name in its certificate, if that is not `host`."
    )
    lane: Lane = Field(
        default=Lane.ROUTINE,
        description="`emergency`, `routine` or `bulk`: while a lane has work, those after it have"
        " one place for each kind of work.",
    )
    max_associations: int = Field(
        default=200, ge=1, description="Associations at once in one process; more are rejected."
    )
    max_bytes: int = Field(
        default=0,
        ge=0,
        description="Bytes received and not yet durable, of all its associations in one process;"
        " beyond, only the object that began first is read on. 0: only each association has a"
        " bound.",
    )

    @model_validator(mode="after")
    def _destination_is_complete(self) -> KnownAE:
        if self.port and not self.host:
            raise ValueError(f"AE {self.title} has a port but no host; give both, or no port")
        return self

    @field_validator("character_set")
    @classmethod
    def _character_set_is_known(cls, value: str) -> str:
        if value and not is_character_set(value):
            raise ValueError(
                f"{value!r} is no Specific Character Set; write defined terms of PS3.3 C.12.1.1.2,"
                " as ISO_IR 100"
            )
        return value

    @cached_property
    def coercing(self) -> Coercions | None:
        """What is done with its objects, if anything is."""
        rules = tuple(one.rule for one in self.coercions)
        return Coercions(rules, self.character_set) if rules or self.character_set else None

    @cached_property
    def caller(self) -> Caller:
        """The AE, as the policy names it. What it may do is what `verbs` says; the policy says with
        which studies."""
        sites = (self.site,) if self.site else ()
        return Caller(Kind.AE, self.title, (DEVICE,), sites=sites, only=_rights(self.verbs))

    @property
    def networks(self) -> Networks:
        """Where it calls from; nothing: anywhere."""
        if not self.addresses and (address := ip_of(self.host)) is not None:
            return networks_of((str(address),))
        return networks_of(self.addresses)

    @property
    def by_title_alone(self) -> bool:
        """Whether whoever says its title is taken for it."""
        return not (self.networks or self.certificate)

    def is_at(self, host: str) -> bool:
        """Whether it may call from an address. A host given by name is not compared: names are
        resolved for what we call, not for who calls."""
        return not self.networks or is_within(host, self.networks)

    def has_shown(self, tls_subject: str, tls_fingerprint: str) -> bool:
        """Whether a certificate with this subject and fingerprint, both empty without one, is the
        one that it must show."""
        if not self.certificate:
            return True
        return self.certificate in (tls_subject, f"sha256:{tls_fingerprint}")


def parsed(fields: object) -> KnownAE:
    """An AE by its fields, as JSON and TOML hold them. Raises `Invalid`, naming each mistake."""
    try:
        return KnownAE.model_validate(fields)
    except ValidationError as error:
        raise Invalid(f"this is no entry of the AE directory: {told_of(error)}") from error


def fields_of(ae: KnownAE) -> dict[str, Any]:
    """What is said of an AE, as JSON holds it: all that is not as it is by default."""
    return ae.model_dump(mode="json", exclude_defaults=True)


class Directory:
    """The AEs that are known, by title: those of the settings, and those that administrators keep
    while everything runs (`runtime.ae_records`). What the settings say of a title counts."""

    def __init__(self, aes: Iterable[KnownAE]) -> None:
        self.fixed: Mapping[str, KnownAE] = {ae.title: ae for ae in aes}
        """Those of the settings."""
        self.keep({})

    def keep(self, aes: Mapping[str, KnownAE]) -> None:
        """What administrators keep is this, by title."""
        self._aes = {**aes, **self.fixed}
        addresses = [(ip_of(ae.host), ae) for ae in reversed(self._aes.values())]
        self._by_address = {address: ae for address, ae in addresses if address is not None}
        self.complete = True
        """Whether nothing is known to be missing."""

    @property
    def by_title_alone(self) -> Sequence[str]:
        """Titles that whoever says them is taken for."""
        return [title for title, ae in self._aes.items() if ae.by_title_alone]

    def named(self, title: str) -> KnownAE | None:
        """The AE of a title; spaces around it do not count (PS3.5 6.2)."""
        return self._aes.get(title.strip(" "))

    def sender(self, source: Source) -> KnownAE | None:
        """The AE that an object comes from: by its title, over protocols without titles the first
        one of its address. None for strangers."""
        if not source.known:
            return None
        if source.ae_title:
            return self.named(source.ae_title)
        address = ip_of(source.host)
        return None if address is None else self._by_address.get(address)
