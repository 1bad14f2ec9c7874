"""How every DIMSE verb is asked for the walk of the audit trail, with each of its SOP classes, by
pynetdicom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association

from isocenter.dimse.messages import CommandField
from isocenter.gateway.contexts import MODELS, STORAGE_COMMITMENT, VERIFICATION
from support.commitment_results import Results
from support.files import Series
from support.harness import Isocenter

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"  # of Storage Commitment
DESTINATION = "DESTINATION"
SUCCESS = 0x0000


class Verbs:
    """Asks for them, as an AE that nobody else is."""

    def __init__(self, isocenter: Isocenter, series: Series) -> None:
        self._isocenter = isocenter
        self._series = series

    def ask(self, field: int, sop_class: str, title: str, stored: Series) -> int:
        """Ask for a verb as `title`; the final status. `stored`: what C-STORE sends."""
        ae = AE(title)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
        ae.add_requested_context(sop_class, EXPLICIT)
        roles = []
        if field == CommandField.C_GET:
            ae.add_requested_context(CT, EXPLICIT)
            roles = [build_role(CT, scp_role=True)]
        results = Results()
        association = ae.associate(
            self._isocenter.host,
            self._isocenter.dicom_port,
            ae_title=self._isocenter.ae_title,
            ext_neg=roles,
            evt_handlers=[(evt.EVT_C_STORE, _taken), *results.handlers],
        )
        assert association.is_established, title
        try:
            status = _VERBS[field](self, association, sop_class, stored)
            if field == CommandField.N_ACTION:
                results.wait()
            return status
        finally:
            association.release()

    # --- verbs -----------------------------------------------------------------------------------

    def _echo(self, association: Association, sop_class: str, stored: Series) -> int:
        del sop_class, stored
        return int(association.send_c_echo().Status)

    def _store(self, association: Association, sop_class: str, stored: Series) -> int:
        (path,) = stored.files.values()
        assert dcmread(path, stop_before_pixels=True).SOPClassUID == sop_class
        return int(association.send_c_store(path).Status)

    def _find(self, association: Association, sop_class: str, stored: Series) -> int:
        del stored
        *_, (status, _) = association.send_c_find(self._identifier(sop_class), sop_class)
        return int(status.Status)

    def _get(self, association: Association, sop_class: str, stored: Series) -> int:
        del stored
        *_, (status, _) = association.send_c_get(self._identifier(sop_class), sop_class)
        return int(status.Status)

    def _move(self, association: Association, sop_class: str, stored: Series) -> int:
        del stored
        asked = self._identifier(sop_class)
        *_, (status, _) = association.send_c_move(asked, DESTINATION, sop_class)
        return int(status.Status)

    def _commit(self, association: Association, sop_class: str, stored: Series) -> int:
        del stored
        asked, item = Dataset(), Dataset()
        item.ReferencedSOPClassUID = CT
        item.ReferencedSOPInstanceUID = next(iter(self._series.files))
        asked.TransactionUID = "1.2.3.99"
        asked.ReferencedSOPSequence = [item]
        status, _ = association.send_n_action(asked, 1, sop_class, WELL_KNOWN)
        return int(status.Status)

    def _identifier(self, sop_class: str) -> Dataset:
        """One instance of the series in a model that knows no other level, else its study."""
        identifier = Dataset()
        levels = [level.value for level in MODELS[sop_class].levels]
        identifier.QueryRetrieveLevel = "STUDY" if "STUDY" in levels else levels[-1]
        identifier.StudyInstanceUID = self._series.study
        if identifier.QueryRetrieveLevel == "IMAGE":
            identifier.SeriesInstanceUID = self._series.series
            identifier.SOPInstanceUID = next(iter(self._series.files))
        return identifier


def _taken(event: evt.Event) -> int:
    del event
    return SUCCESS


_VERBS: Mapping[int, Callable[[Verbs, Association, str, Series], int]] = {
    CommandField.C_ECHO: Verbs._echo,
    CommandField.C_STORE: Verbs._store,
    CommandField.C_FIND: Verbs._find,
    CommandField.C_GET: Verbs._get,
    CommandField.C_MOVE: Verbs._move,
    CommandField.N_ACTION: Verbs._commit,
}


def cases(sop_classes: Mapping[int, Any], fields: Mapping[int, Any]) -> list[tuple[int, str]]:
    """Every verb with each of its SOP classes; what is stored is of one that stands for all."""
    assert {VERIFICATION, STORAGE_COMMITMENT} <= {one for of in sop_classes.values() for one in of}
    return [(field, one) for field in fields for one in sorted(sop_classes.get(field, {CT}))]
