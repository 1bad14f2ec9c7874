"""Images in memory, the web role that draws them, and pictures read back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from typing import Any

import httpx
import imagecodecs
import numpy as np
import orjson

from isocenter.core.access import Caller
from isocenter.core.apis import Frame, PixelFormat, StoredInstance
from isocenter.core.errors import NotFound
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from isocenter.transcoding.service import TranscodingService
from isocenter.transcoding.settings import TranscodingSettings
from support.web_fakes import SERIES, STUDY, FakeStorage, Web

ROWS, COLUMNS = 24, 36
AS_IT_IS = PixelFormat(
    ROWS, COLUMNS, 1, 8, 8, 0, "MONOCHROME2", 0, 127.5, 255.0, voi_lut_function="LINEAR_EXACT"
)
DECODERS = {
    "image/png": imagecodecs.png_decode,
    "image/jpeg": imagecodecs.jpeg8_decode,
    "image/gif": imagecodecs.gif_decode,
    "image/webp": imagecodecs.webp_decode,
}


def gray(*numbers: int) -> list[np.ndarray]:
    """Frames of 8 bits, each of its own noise."""
    return [
        np.random.default_rng(number).integers(0, 256, (ROWS, COLUMNS), np.uint8)
        for number in numbers
    ]


@dataclass
class PictureStorage(FakeStorage):
    """Keeps frames of 8 bits, shown as they are."""

    images: dict[str, list[np.ndarray]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    pixels: PixelFormat = AS_IT_IS
    drawn: int = 0

    def keep_image(
        self,
        instance: str = "1.2.3.4.5",
        images: Sequence[np.ndarray] = (),
        syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
        **name: str,
    ) -> StoredInstance:
        """An instance of these frames, in the series of `name`."""
        kept = self.keep(instance, syntax, frames=len(images))
        kept = replace(kept, name=replace(kept.name, **name))
        self.kept[instance], self.images[instance] = kept, list(images)
        return kept

    async def metadata(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[bytes]:
        async for _ in self.instances(caller, partition, study, series, instance):
            yield orjson.dumps(self.attributes)

    async def pixel_format(self, instance: StoredInstance) -> PixelFormat:
        if not instance.number_of_frames:
            raise NotFound("no pixel data")
        return self.pixels

    async def frames(
        self, instance: StoredInstance, numbers: Sequence[int]
    ) -> AsyncIterator[Frame]:
        images = self.images[instance.name.instance]
        for number in numbers:
            if number > len(images):
                raise NotFound(f"there is no frame {number}")
        try:
            for number in numbers:
                self.drawn += 1
                yield Frame(number, images[number - 1].tobytes())
        finally:
            self.closed += 1


def gallery() -> Web:
    """The web role with these images, and real transcoding."""
    web = Web(storage=PictureStorage())
    web.transcoding = TranscodingService(TranscodingSettings(threads=2))  # type: ignore[assignment]
    return web


def storage_of(web: Web) -> PictureStorage:
    """Where its images are."""
    assert isinstance(web.storage, PictureStorage)
    return web.storage


def picture(answer: httpx.Response) -> np.ndarray:
    """The pixels of an answer that is one file."""
    assert answer.status_code == 200, answer.text
    return _pixels(answer.headers["content-type"], answer.content)


def _pixels(media_type: str, file: bytes) -> np.ndarray:
    pixels: np.ndarray = DECODERS[media_type](file)
    return pixels


def files(answer: httpx.Response) -> list[tuple[str, str, bytes]]:
    """Media type, location and content of each part, read by an independent parser."""
    assert answer.status_code == 200, answer.text
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    found = message_from_bytes(head + answer.content).get_payload()
    assert isinstance(found, list)
    return [
        (part["Content-Type"], part["Content-Location"], part.get_payload(decode=True))  # type: ignore[union-attr]
        for part in found
    ]


def pictures(answer: httpx.Response) -> list[np.ndarray]:
    """The pixels of the parts of an answer."""
    return [_pixels(media_type, file) for media_type, _, file in files(answer)]


# --- what tests of rendered resources ask for ----------------------------------------------------

STUDY_URL = f"/dicomweb/studies/{STUDY}"
SERIES_URL = f"{STUDY_URL}/series/{SERIES}"
PNG_PARTS = 'multipart/related; type="image/png"'
PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"
H264 = "1.2.840.10008.1.2.4.102"
JPIP = "1.2.840.10008.1.2.4.94"


def one_frame() -> Web:
    """One image of one frame."""
    web = gallery()
    storage_of(web).keep_image(images=gray(1))
    return web


def multi_frame() -> Web:
    """One image of three frames."""
    web = gallery()
    storage_of(web).keep_image(images=gray(1, 2, 3))
    return web


def study() -> Web:
    """Two series: one of a single image and a report, one of three images, a video and a PDF."""
    web = gallery()
    storage = storage_of(web)
    storage.keep_image("1.2.3.4.5", gray(1))
    storage.keep_image("1.2.3.4.6")
    for number in (9, 10, 11):
        storage.keep_image(f"1.2.3.5.{number}", gray(number, number + 10), series="1.2.3.5")
    storage.keep_image("1.2.3.5.20", gray(9), H264, series="1.2.3.5")
    document = storage.keep_image("1.2.3.5.30", series="1.2.3.5")
    storage.kept["1.2.3.5.30"] = replace(document, sop_class=PDF_CLASS)
    return web
