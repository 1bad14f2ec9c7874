"""The storage SOP classes of the standard (PS3.4 table B.5-1), retired ones included."""

from __future__ import annotations

from pynetdicom import AllStoragePresentationContexts, StoragePresentationContexts

# Retired from PS3.4 table B.5-1, or of DICOS and DICONDE: still composite instances of a study.
_STORAGE_BESIDE_THE_TABLE = frozenset(
    {
        "1.2.840.10008.5.1.1.27",  # Stored Print
        "1.2.840.10008.5.1.1.29",  # Hardcopy Grayscale Image
        "1.2.840.10008.5.1.1.30",  # Hardcopy Color Image
        "1.2.840.10008.5.1.4.1.1.3",  # Ultrasound Multi-frame Image
        "1.2.840.10008.5.1.4.1.1.5",  # Nuclear Medicine Image
        "1.2.840.10008.5.1.4.1.1.6",  # Ultrasound Image
        "1.2.840.10008.5.1.4.1.1.8",  # Standalone Overlay
        "1.2.840.10008.5.1.4.1.1.9",  # Standalone Curve
        "1.2.840.10008.5.1.4.1.1.9.1",  # Waveform - Trial
        "1.2.840.10008.5.1.4.1.1.10",  # Standalone Modality LUT
        "1.2.840.10008.5.1.4.1.1.11",  # Standalone VOI LUT
        "1.2.840.10008.5.1.4.1.1.12.3",  # X-Ray Angiographic Bi-Plane Image
        "1.2.840.10008.5.1.4.1.1.77.1",  # VL Image - Trial
        "1.2.840.10008.5.1.4.1.1.77.2",  # VL Multi-frame Image - Trial
        "1.2.840.10008.5.1.4.1.1.88.1",  # Text SR - Trial
        "1.2.840.10008.5.1.4.1.1.88.2",  # Audio SR - Trial
        "1.2.840.10008.5.1.4.1.1.88.3",  # Detail SR - Trial
        "1.2.840.10008.5.1.4.1.1.88.4",  # Comprehensive SR - Trial
        "1.2.840.10008.5.1.4.1.1.129",  # Standalone PET Curve
        "1.2.840.10008.5.1.4.34.1",  # RT Beams Delivery Instruction - Trial
        "1.2.840.10008.5.1.4.1.1.501.1",  # DICOS CT Image
        "1.2.840.10008.5.1.4.1.1.501.2.1",  # DICOS Digital X-Ray Image - For Presentation
        "1.2.840.10008.5.1.4.1.1.501.2.2",  # DICOS Digital X-Ray Image - For Processing
        "1.2.840.10008.5.1.4.1.1.501.3",  # DICOS Threat Detection Report
        "1.2.840.10008.5.1.4.1.1.501.4",  # DICOS 2D AIT
        "1.2.840.10008.5.1.4.1.1.501.5",  # DICOS 3D AIT
        "1.2.840.10008.5.1.4.1.1.501.6",  # DICOS Quadrupole Resonance
        "1.2.840.10008.5.1.4.1.1.601.1",  # Eddy Current Image
        "1.2.840.10008.5.1.4.1.1.601.2",  # Eddy Current Multi-frame Image
    }
)

# Non-patient objects (PS3.4 GG) are not among them: they belong to no study, nothing can keep them.
STORAGE_SOP_CLASSES: frozenset[str] = _STORAGE_BESIDE_THE_TABLE | {
    str(context.abstract_syntax) for context in AllStoragePresentationContexts
}

# As many as one association can propose, of those that are in use.
COMMON_STORAGE_SOP_CLASSES: tuple[str, ...] = tuple(
    str(context.abstract_syntax) for context in StoragePresentationContexts
)
