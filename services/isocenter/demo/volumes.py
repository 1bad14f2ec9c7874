"""Demo series of slices: CT, MR, and a PET with its CT."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage

from isocenter.demo import anatomy
from isocenter.demo.modules import (
    Series,
    Study,
    code,
    composite,
    gray_pixels,
    item,
    put,
    rescaled,
    slice_geometry,
    uid,
    window,
)
from isocenter.demo.painting import Array, Grid

_CT_GRID = Grid((100, 320, 320), (1.14, 1.14, 3.0))
_HEAD_GRID = Grid((40, 256, 256), (0.9, 0.9, 4.0))
_FUSION_CT = Grid((60, 256, 256), (1.5, 1.5, 5.0))
_PET_GRID = Grid((60, 128, 128), (3.0, 3.0, 5.0))

_CT_WINDOWS = {"SOFT TISSUE": (40.0, 400.0), "LUNG": (-500.0, 1500.0), "BONE": (480.0, 2500.0)}
_DOSE = 370e6  # injected activity, Bq
_HALF_LIFE = 6586.2  # of F-18, s
_DELAY = 3600  # from injection to the scan, s


def ct(study: Study, number: int = 1) -> Iterator[Dataset]:
    """A chest and upper abdomen."""
    series = Series(
        study, number, "CT", CTImageStorage, "Chest and abdomen 3.0 mm", "Phantom CT", "CHEST"
    )
    yield from _ct_slices(series, _CT_GRID, seed=11)


def pet_ct(study: Study) -> Iterator[Dataset]:
    """A low-dose CT and a PET in one frame of reference."""
    low_dose = Series(
        study, 1, "CT", CTImageStorage, "CT attenuation 5.0 mm", "Phantom PET/CT", "CHEST"
    )
    yield from _ct_slices(low_dose, _FUSION_CT, seed=12)
    yield from _pet_slices(study)


def _ct_slices(series: Series, grid: Grid, seed: int) -> Iterator[Dataset]:
    volume = anatomy.torso(grid, seed)
    heights = grid.axis(2)
    for index in range(len(heights)):
        image = composite(series, index + 1)
        slice_geometry(
            image,
            frame_of_reference=uid(f"{series.study.code}/frame"),
            shape=grid.shape[1:],
            spacing=grid.spacing,
            height=float(heights[index]),
        )
        put(
            image,
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
            AcquisitionNumber=1,
            AcquisitionDate=series.study.date,
            AcquisitionTime=series.study.time,
            KVP="120",
            XRayTubeCurrent="200",
            ExposureTime="500",
            ConvolutionKernel="SOFT",
            RescaleIntercept="-1024",
            RescaleSlope="1",
            RescaleType="HU",
        )
        window(image, _CT_WINDOWS)
        gray_pixels(image, rescaled(volume[index], 1, -1024).astype(np.uint16), 12)
        yield image


def mr(study: Study) -> Iterator[Dataset]:
    """A head in T1 and T2 contrast."""
    contrasts = anatomy.head(_HEAD_GRID, seed=21)
    kinds = (("T1 axial", "500", "12"), ("T2 axial", "4500", "100"))
    for number, (values, (name, repetition, echo)) in enumerate(
        zip(contrasts, kinds, strict=True), 1
    ):
        series = Series(study, number, "MR", MRImageStorage, name, "Phantom MR", "HEAD")
        yield from _mr_slices(series, values, repetition, echo)


def _mr_slices(series: Series, values: Array, repetition: str, echo: str) -> Iterator[Dataset]:
    heights = _HEAD_GRID.axis(2)
    for index in range(len(heights)):
        image = composite(series, index + 1)
        slice_geometry(
            image,
            frame_of_reference=uid(f"{series.study.code}/frame"),
            shape=_HEAD_GRID.shape[1:],
            spacing=_HEAD_GRID.spacing,
            height=float(heights[index]),
        )
        put(
            image,
            ImageType=["ORIGINAL", "PRIMARY", "OTHER"],
            ScanningSequence="SE",
            SequenceVariant="NONE",
            ScanOptions="",
            MRAcquisitionType="2D",
            RepetitionTime=repetition,
            EchoTime=echo,
            EchoTrainLength="1",
            MagneticFieldStrength="1.5",
            SpacingBetweenSlices="4",
            FlipAngle="90",
            AcquisitionNumber=1,
        )
        window(image, {"NORMAL": (480.0, 960.0)})
        gray_pixels(image, np.clip(values[index], 0, 4095).astype(np.uint16), 12)
        yield image


def _pet_slices(study: Study) -> Iterator[Dataset]:
    series = Series(
        study,
        2,
        "PT",
        PositronEmissionTomographyImageStorage,
        "PET FDG attenuation corrected",
        "Phantom PET/CT",
        "CHEST",
    )
    # Standardised uptake by body weight -> Bq/ml at the start of the series.
    decayed = _DOSE * 2 ** (-_DELAY / _HALF_LIFE)
    unit = decayed / (float(study.weight) * 1000)
    activity = anatomy.uptake(_PET_GRID, seed=13) * np.float32(unit)
    heights = _PET_GRID.axis(2)
    for index in range(len(heights)):
        image = composite(series, index + 1)
        slice_geometry(
            image,
            frame_of_reference=uid(f"{study.code}/frame"),
            shape=_PET_GRID.shape[1:],
            spacing=_PET_GRID.spacing,
            height=float(heights[index]),
        )
        # Patient Orientation Code Sequence stands in its place (PS3.3 C.8.9.5).
        del image.PatientPosition
        _pet_attributes(image, study, index, len(heights))
        slope = float(f"{max(float(activity[index].max()), 1.0) / 32000:.6g}")
        put(image, RescaleIntercept="0", RescaleSlope=slope)
        window(image, {"NORMAL": (float(round(unit * 4)), float(round(unit * 8)))})
        gray_pixels(image, rescaled(activity[index], slope, 0), 16)
        yield image


def _pet_attributes(image: Dataset, study: Study, index: int, slices: int) -> None:
    """PET Series, PET Isotope and PET Image modules (PS3.3 C.8.9)."""
    put(
        image,
        ImageType=["ORIGINAL", "PRIMARY"],
        AcquisitionDate=study.date,
        AcquisitionTime=study.time,
        Units="BQML",
        CountsSource="EMISSION",
        SeriesType=["STATIC", "IMAGE"],
        NumberOfSlices=slices,
        CorrectedImage=["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"],
        RandomsCorrectionMethod="DLYD",
        AttenuationCorrectionMethod="measured by CT",
        ScatterCorrectionMethod="model",
        DecayCorrection="START",
        ReconstructionMethod="phantom",
        CollimatorType="NONE",
        FrameReferenceTime="0",
        ActualFrameDuration="120000",
        DecayFactor="1",
        ImageIndex=index + 1,
        PatientOrientationCodeSequence=[code("102538003", "SCT", "recumbent")],
        PatientGantryRelationshipCodeSequence=[code("102540008", "SCT", "headfirst")],
        RadiopharmaceuticalInformationSequence=[_tracer(study)],
    )
    image.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = [
        code("40199007", "SCT", "supine")
    ]


def _tracer(study: Study) -> Dataset:
    hour = int(study.time[:2])
    return item(
        Radiopharmaceutical="Fluorodeoxyglucose F18",
        RadiopharmaceuticalStartTime=f"{hour - _DELAY // 3600:02d}{study.time[2:]}",
        RadiopharmaceuticalStartDateTime=(
            f"{study.date}{hour - _DELAY // 3600:02d}{study.time[2:]}"
        ),
        RadionuclideTotalDose=str(int(_DOSE)),
        RadionuclideHalfLife=str(_HALF_LIFE),
        RadionuclidePositronFraction="0.967",
        RadionuclideCodeSequence=[code("77004003", "SCT", "^18^Fluorine")],
        RadiopharmaceuticalCodeSequence=[code("35321007", "SCT", "Fluorodeoxyglucose F^18^")],
    )
