"""Stores files and gets them back over DICOMweb, with dicomweb-client.

pip install dicomweb-client
isocenter token create example > token
python dicomweb.py http://localhost:8080/dicomweb token FILE...
"""

from __future__ import annotations

import sys
from pathlib import Path

from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread


def main(root: str, token_file: str, paths: list[str]) -> None:
    """Store, wait until it is found, and retrieve it in several forms."""
    token = Path(token_file).read_text().strip()
    client = DICOMwebClient(url=root, headers={"Authorization": f"Bearer {token}"})
    images = [dcmread(path) for path in paths]
    answer = client.store_instances(datasets=images)
    print(f"stored: {len(answer.ReferencedSOPSequence)}")

    study = images[0].StudyInstanceUID
    series, instance = images[0].SeriesInstanceUID, images[0].SOPInstanceUID
    # What is stored is found within a second; it can be retrieved by its UIDs at once.
    found = client.search_for_studies(
        search_filters={"PatientID": images[0].PatientID}, fields=["StudyDescription"]
    )
    print(f"studies of the patient: {len(found)}")

    metadata = client.retrieve_series_metadata(study, series)
    print(f"instances in the series: {len(metadata)}")
    (frame,) = client.retrieve_instance_frames(study, series, instance, [1])
    print(f"bytes of the first frame: {len(frame)}")
    picture = client.retrieve_instance_rendered(study, series, instance, media_types=["image/png"])
    print(f"PNG: {picture.startswith(bytes([0x89]) + b'PNG')}")
    again = client.retrieve_instance(study, series, instance)
    print(f"same pixels: {again.PixelData == images[0].PixelData}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
