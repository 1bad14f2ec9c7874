"""Answers of data sets in either form of the model (PS3.18 8.7.3.2): one array of the DICOM JSON
Model, or a part for each of the Native DICOM Model in XML."""

from __future__ import annotations

from dataclasses import dataclass

from isocenter.core.matching import JsonAttributes
from isocenter.core.native_model import to_xml
from isocenter.web import negotiation
from isocenter.web.exchange import Exchange
from isocenter.web.multipart import MultipartWriter
from isocenter.web.negotiation import DICOM_JSON, DICOM_XML


@dataclass(frozen=True, slots=True)
class Framing:
    """What stands before, between and behind the data sets."""

    content_type: bytes
    begin: bytes
    between: bytes
    end: bytes
    parts: MultipartWriter | None = None  # of XML

    def part(self, attributes: JsonAttributes, location: str = "") -> bytes:
        """A data set in XML."""
        assert self.parts is not None
        return self.parts.begin(DICOM_XML, location) + to_xml(attributes)


_JSON = Framing(DICOM_JSON.encode("ascii"), b"[", b",", b"]")


def framing(exchange: Exchange) -> Framing:
    """The form that is wanted. Raises the 406 `Problem`."""
    if not negotiation.wants_xml(exchange):
        return _JSON
    writer = MultipartWriter(DICOM_XML)
    return Framing(writer.content_type, b"", b"", writer.end, writer)
