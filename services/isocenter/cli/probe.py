"""`isocenter probe`: a synthetic instance all the way in and out again, as users send and read."""

from __future__ import annotations

import asyncio
import io
import tempfile
from pathlib import Path
from time import perf_counter

import httpx
from pydicom import dcmread
from pydicom.dataset import Dataset

from isocenter.cli.common import out
from isocenter.cli.peers import shown_by
from isocenter.cli.send import send
from isocenter.core.errors import IsocenterError, Refused, Unavailable

_POLL_SECONDS = 0.2
_REQUEST_SECONDS = 30.0
_WHOLE = {"Accept": "application/dicom; transfer-syntax=*"}
_MAKE = "`isocenter token create NAME --role viewer` prints a token for it"


async def probe(dicom: str, web: str, *, seconds: float, token_file: Path | None = None) -> int:
    """Store over DIMSE, find within some seconds and read over DICOMweb, with the token of a file;
    the same instance at every run, so that an archive keeps one. 0 if what came back is what was
    sent. Raises `Invalid` if the file cannot be read."""
    shown = shown_by(token_file)
    sent = await asyncio.to_thread(_instance)
    began = perf_counter()
    with tempfile.TemporaryDirectory(prefix="isocenter-probe-") as folder:
        file = Path(folder) / "probe.dcm"
        sent.save_as(file, enforce_file_format=True)
        if code := await send([file], dicom, calling="ISOCENTER-PROBE", parallel=1):
            return code
    out.print(f"stored after {perf_counter() - began:.2f} s")
    async with httpx.AsyncClient(
        timeout=_REQUEST_SECONDS, trust_env=False, headers=shown
    ) as client:
        try:
            address = await _find(client, web.rstrip("/"), sent, seconds)
            out.print(f"found after {perf_counter() - began:.2f} s")
            answer = (await client.get(address, headers=_WHOLE)).raise_for_status()
        except httpx.HTTPError as error:
            raise _told(web, error) from error
    if dcmread(io.BytesIO(answer.content)) != sent:
        raise IsocenterError(
            "what was read is not what was sent", fix="`isocenter verify` names damaged objects"
        )
    out.print(f"read back after {perf_counter() - began:.2f} s, as it was sent")
    return 0


def _told(web: str, error: httpx.HTTPError) -> IsocenterError:
    answered = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0
    if answered in (401, 403):
        return Refused(f"{web} answers {answered}", fix=f"name another --token-file; {_MAKE}")
    return Unavailable(
        f"{web}: {str(error) or type(error).__name__}", fix="see whether the web role is ready"
    )


def _instance() -> Dataset:
    from isocenter.demo.documents import pdf_report
    from isocenter.demo.modules import Study

    patient = ("probe", "PROBE^ISOCENTER", "ISOCENTER-PROBE", "20000101", "O", "026Y")
    return pdf_report(Study(*patient, "20260101", "000000", "Probe", "PROBE"), 1)


async def _find(client: httpx.AsyncClient, web: str, sent: Dataset, seconds: float) -> str:
    """The instance's address, once it is found. Raises `Unavailable` when the time is over."""
    study = f"{web}/studies/{sent.StudyInstanceUID}"
    end = perf_counter() + seconds
    while True:
        search = {"SOPInstanceUID": str(sent.SOPInstanceUID)}
        answer = await client.get(f"{study}/instances", params=search)
        if answer.raise_for_status().content.strip() not in (b"", b"[]"):
            return f"{study}/series/{sent.SeriesInstanceUID}/instances/{sent.SOPInstanceUID}"
        if perf_counter() > end:
            raise Unavailable(
                f"stored, but not found within {seconds:.0f} s",
                fix="see whether the indexing role is ready, and how far it lags",
            )
        await asyncio.sleep(_POLL_SECONDS)
