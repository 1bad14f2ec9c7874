"""Names of things: UIDs, AE titles, instances, and the keys under which objects are kept.

Keys (design of the object store; every component matches `KEY_COMPONENT`):

- `objects/{partition}/{study}/{series}/{instance}/{digest}.dcm`: an object, a Part 10 file.
  The digest is the lower-case hexadecimal SHA-256 of the whole file, so `sha256sum` checks it.
- `objects/{partition}/{study}/{series}/{instance}/{digest}/{time}.{overlay}.overlay`: corrections
  of that object (`core.overlays`), beside it, so that whoever lists objects sees both as of one
  moment; `time` is in microseconds, hexadecimal: the last one counts. `overlay` is its SHA-256.
- `packs/{partition}/{study}/{series}/...`: metadata packs of a series (`core.packs`).
- `conflicts/{partition}/{study}/{series}/{instance}/{n}.{digest}`: the decision taken when
  another object arrived under the same name; the highest `n` names the current digest.
- `outbox/{topic}/{time}-{random}`: an event that waits for the log to answer again
  (`runtime.outbox`); the time is in nanoseconds, hexadecimal, so keys sort as events were made.
- `deletions/{partition}/{deletion}` and `deleted/{partition}/{study}/{deletion}/...`: what was
  deleted together, and the objects of it until their time is over (`core.deletions`).
- `audit/...`: the sealed segments of the audit trail, and what belongs to it (`audit.seals`,
  `audit.notes`).
- `aes/{title}/{change}`: what administrators keep in the AE directory (`runtime.ae_records`).
- `sites/{partition}/{study}/{site}`: where something of a study came from (`core.sites`).
- `access/...`: accounts, sessions, tokens, links and marks (`runtime.access`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# PS3.5 9.1: components of digits without leading zeros, at most 64 characters in all.
_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")
UID_MAX_LENGTH = 64

OBJECTS = "objects/"
PACKS = "packs/"
CONFLICTS = "conflicts/"
OUTBOX = "outbox/"
DELETIONS = "deletions/"
DELETED = "deleted/"
AES = "aes/"
AUDIT = "audit/"
ACCESS = "access/"
SITES = "sites/"

KEY_COMPONENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_OVERLAY = ".overlay"
_OVERLAY_FILE = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{64})\.overlay")

# PS3.8 table 9-11 and PS3.5 6.2 (AE): 16 bytes of the default repertoire, no backslash, not blank.
_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")

IMPLEMENTATION_CLASS_UID = "2.25.202185340297312384907713480529061284375"

DEFAULT_PARTITION = "main"


def is_uid(text: str) -> bool:
    """Whether `text` is a UID of PS3.5 9.1."""
    return len(text) <= UID_MAX_LENGTH and _UID.fullmatch(text) is not None


def is_ae_title(text: str) -> bool:
    """Whether `text`, leading and trailing spaces apart, is an AE title of PS3.5 6.2."""
    return bool(text.strip(" ")) and _AE_TITLE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class InstanceName:
    """Identity of a composite instance.

    The whole path counts, not the SOP Instance UID alone: senders reuse SOP Instance UIDs in
    several series or studies, and such objects must not be mixed up.
    """

    partition: str
    study: str
    series: str
    instance: str

    @property
    def path(self) -> str:
        """`{partition}/{study}/{series}/{instance}`."""
        return f"{self.partition}/{self.study}/{self.series}/{self.instance}"


@dataclass(frozen=True, slots=True, order=True)
class ObjectName:
    """One kept version of an instance: its name and the digest of its Part 10 file."""

    name: InstanceName
    digest: str

    @property
    def key(self) -> str:
        """The key of the object in the blob store."""
        return f"objects/{self.name.path}/{self.digest}.dcm"

    @classmethod
    def from_key(cls, key: str) -> ObjectName | None:
        """The object a key names, or None if the key is not an object's."""
        match key.split("/"):
            case ["objects", partition, study, series, instance, file] if file.endswith(".dcm"):
                digest = file.removesuffix(".dcm")
                if _DIGEST.fullmatch(digest):
                    return cls(InstanceName(partition, study, series, instance), digest)
        return None


@dataclass(frozen=True, slots=True, order=True)
class OverlayName:
    """One overlay of an object."""

    object: ObjectName
    made: int  # microseconds since 1970, UTC
    digest: str  # SHA-256 of its content

    @property
    def key(self) -> str:
        """The key of the overlay in the blob store."""
        return f"{overlays_prefix(self.object)}{self.made:016x}.{self.digest}{_OVERLAY}"

    @classmethod
    def from_key(cls, key: str) -> OverlayName | None:
        """The overlay a key names, or None if the key is not an overlay's."""
        above, _, file = key.rpartition("/")
        named = ObjectName.from_key(f"{above}.dcm")
        found = _OVERLAY_FILE.fullmatch(file)
        return cls(named, int(found[1], 16), found[2]) if named and found else None


def overlays_prefix(name: ObjectName) -> str:
    """Prefix of the keys of the overlays of an object."""
    return f"{OBJECTS}{name.name.path}/{name.digest}/"


def objects_prefix(partition: str, study: str = "", series: str = "", instance: str = "") -> str:
    """Prefix of the keys of all objects at or below this level; ends with a slash."""
    parts = ["objects", partition, *(uid for uid in (study, series, instance) if uid)]
    return "/".join(parts) + "/"


def packs_prefix(partition: str, study: str, series: str = "") -> str:
    """Prefix of the keys of the metadata packs of a series, or of all series of a study."""
    parts = ["packs", partition, study, *([series] if series else [])]
    return "/".join(parts) + "/"


def outbox_key(topic: str, identifier: str) -> str:
    """The key of an event in the outbox."""
    return f"{OUTBOX}{topic}/{identifier}"


def conflicts_prefix(name: InstanceName) -> str:
    """Prefix of the keys of the conflict decisions of one instance."""
    return f"{CONFLICTS}{name.path}/"
