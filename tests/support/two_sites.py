"""An installation with a policy: each site has a study, and people see those of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydicom import Dataset

from isocenter.demo.projections import cine, radiograph
from isocenter.demo.studies import CHEST_DX, HEART_US
from support.harness import Isocenter, running, wait_until
from support.keycloak import Keycloak

POLICY = """
[[rules]]
name = "modalities send"
allow = ["store"]
who = ["ae:*"]

[[rules]]
name = "everybody sees what their own site made"
allow = ["search", "read", "download", "share"]
who = ["role:viewer"]
sites = ["own"]

[[rules]]
name = "the RIS sees everything"
allow = ["search", "read"]
who = ["program:ris"]
"""
NORTH, SOUTH = CHEST_DX, HEART_US
EMERGENCY_MINUTES = 0.4


@dataclass(frozen=True, slots=True)
class TwoSites:
    """The installation, and the Study Instance UIDs."""

    url: str
    north: str
    south: str


@contextmanager
def two_sites(
    scratch: Path, keycloak: Keycloak, settings: Mapping[str, object]
) -> Iterator[TwoSites]:
    """It runs in the block."""
    policy = scratch / "policy.toml"
    policy.write_text(POLICY, "utf-8")
    aes = [{"title": "NORTH", "site": "north"}, {"title": "SOUTH", "site": "south"}]
    all_settings = {
        "access.policy": str(policy),
        "access.oidc.refresh_minutes": 0.05,
        "access.emergency_minutes": EMERGENCY_MINUTES,
        "gateway.known_aes": aes,
        **keycloak.settings(scratch),
        **settings,
    }
    with running(scratch / "data", settings=all_settings) as isocenter:
        north = _sent(isocenter, "NORTH", scratch / "north", [radiograph(NORTH)])
        south = _sent(isocenter, "SOUTH", scratch / "south", [cine(SOUTH)])
        token = keycloak.token("ris")
        wait_until(lambda: _found(isocenter, token) == {north, south}, 60, "both are found")
        yield TwoSites(isocenter.http_url, north, south)


def _sent(isocenter: Isocenter, title: str, folder: Path, images: Iterable[Dataset]) -> str:
    folder.mkdir()
    for number, image in enumerate(images):
        image.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    peer = f"dicom://{isocenter.ae_title}@{isocenter.host}:{isocenter.dicom_port}"
    command = [sys.executable, "-m", "isocenter", "send", folder, "--to", peer]
    sent = subprocess.run(
        [*command, "--calling", title], capture_output=True, text=True, check=False
    )
    assert sent.returncode == 0, sent.stderr
    return str(image.StudyInstanceUID)


def _found(isocenter: Isocenter, token: str) -> set[str]:
    headers = {"accept": "application/dicom+json", "authorization": f"Bearer {token}"}
    answer = httpx.get(f"{isocenter.dicomweb}/studies", headers=headers, timeout=60)
    found = answer.raise_for_status().json() if answer.content else []
    return {study["0020000D"]["Value"][0] for study in found}
