"""The sites that a study came from: small records beside the objects, so that an index made anew
knows them too.

`sites/{partition}/{study}/{site in hexadecimal}`: something of the study came from there. It is
durable before the first object from there is announced, and stays as long as the study does.
"""

from __future__ import annotations

from isocenter.core.attributes import SITES
from isocenter.core.identity import SITES as PREFIX
from isocenter.core.matching import JsonAttributes

MAX_SITE = 63  # bytes in UTF-8


def site_key(partition: str, study: str, site: str) -> str:
    """The key of a record, which is empty."""
    return f"{sites_prefix(partition, study)}{site.encode().hex()}"


def sites_prefix(partition: str, study: str) -> str:
    """Prefix of the records of a study; ends with a slash."""
    return f"{PREFIX}{partition}/{study}/"


def site_of(key: str) -> str:
    """The site that a key names; empty for a key that names none."""
    try:
        return bytes.fromhex(key.rpartition("/")[2]).decode()
    except ValueError:
        return ""


def with_sites(attributes: JsonAttributes, sites: frozenset[str]) -> JsonAttributes:
    """Searchable attributes, with the sites of their study."""
    if not sites:
        return attributes
    return {**attributes, SITES.tag: {"vr": SITES.vr, "Value": sorted(sites)}}
