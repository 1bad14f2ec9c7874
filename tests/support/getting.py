"""A C-GET requester that is pynetdicom."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt

from support.harness import Isocenter


def got(
    isocenter: Isocenter, model: str, identifier: Dataset, sop_class: str, syntax: str
) -> tuple[list[Dataset], int]:
    """What a C-GET brings of a SOP class, in a transfer syntax, and its final status."""
    received: list[Dataset] = []

    def keep(event: evt.Event) -> int:
        data_set = event.dataset
        data_set.file_meta = event.file_meta
        received.append(data_set)
        return 0x0000

    ae = AE("TESTER")
    ae.add_requested_context(model)
    ae.add_requested_context(sop_class, syntax)
    association = ae.associate(
        "127.0.0.1",
        isocenter.dicom_port,
        ae_title="ISOCENTER",
        ext_neg=[build_role(sop_class, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, keep)],
    )
    assert association.is_established
    *_, (status, _) = association.send_c_get(identifier, model)
    association.release()
    return received, status.Status
