"""How every DIMSE verb is asked for the walks of the audit trail and of access, with each of its
SOP classes, by pynetdicom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
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


@dataclass
class Told:
    """What came of a verb."""

    status: int = -1  # the final one; -1: it could not be asked for
    data: list[Dataset] = field(default_factory=list)  # identifiers, objects, event information
    completed: int = 0  # sub-operations

    def last(self, answers: Iterable[tuple[Dataset, Dataset | None]]) -> None:
        """Keep what is answered; the status is the last one."""
        for status, found in answers:
            self.status = int(status.Status)
            self.completed = int(status.get("NumberOfCompletedSuboperations", 0))
            if found is not None:
                self.data.append(found)

    def take(self, event: evt.Event) -> int:
        """Take in an object of a C-GET."""
        self.data.append(event.dataset)
        return SUCCESS


class Verbs:
    """Asks for them, as an AE that nobody else is."""

    def __init__(self, isocenter: Isocenter, series: Series) -> None:
        self._isocenter = isocenter
        self._series = series

    def ask(self, field: int, sop_class: str, title: str, stored: Series) -> int:
        """Ask for a verb as `title`; the final status. `stored`: what C-STORE sends."""
        return self.told(field, sop_class, title, stored).status

    def told(
        self,
        field: int,
        sop_class: str,
        title: str,
        stored: Series,
        identifier: Dataset | None = None,
    ) -> Told:
        """The same, and all that came of it. `identifier`: in place of that of the series."""
        ae = AE(title)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
        ae.add_requested_context(sop_class, EXPLICIT)
        roles = []
        if field == CommandField.C_GET:
            ae.add_requested_context(CT, EXPLICIT)
            roles = [build_role(CT, scp_role=True)]
        results, told = Results(), Told()
        association = ae.associate(
            self._isocenter.host,
            self._isocenter.dicom_port,
            ae_title=self._isocenter.ae_title,
            ext_neg=roles,
            evt_handlers=[(evt.EVT_C_STORE, told.take), *results.handlers],
        )
        if sop_class not in {one.abstract_syntax for one in association.accepted_contexts}:
            association.release()
            return told
        asked = identifier or self._identifier(sop_class)
        try:
            _VERBS[field](self, association, sop_class, told, stored, asked)
            if field == CommandField.N_ACTION and told.status == SUCCESS:
                results.wait()
                told.data += [information for _, information in results.reports]
            return told
        finally:
            association.release()

    # --- verbs -----------------------------------------------------------------------------------

    def _echo(self, association: Association, sop_class: str, told: Told, *_: object) -> None:
        del sop_class
        told.last([(association.send_c_echo(), None)])

    def _store(
        self, association: Association, sop_class: str, told: Told, stored: Series, *_: object
    ) -> None:
        (path,) = stored.files.values()
        assert dcmread(path, stop_before_pixels=True).SOPClassUID == sop_class
        told.last([(association.send_c_store(path), None)])

    def _find(
        self, association: Association, sop_class: str, told: Told, _: Series, asked: Dataset
    ) -> None:
        told.last(association.send_c_find(asked, sop_class))

    def _get(
        self, association: Association, sop_class: str, told: Told, _: Series, asked: Dataset
    ) -> None:
        told.last(association.send_c_get(asked, sop_class))

    def _move(
        self, association: Association, sop_class: str, told: Told, _: Series, asked: Dataset
    ) -> None:
        told.last(association.send_c_move(asked, DESTINATION, sop_class))

    def _commit(self, association: Association, sop_class: str, told: Told, *_: object) -> None:
        asked, item = Dataset(), Dataset()
        item.ReferencedSOPClassUID = CT
        item.ReferencedSOPInstanceUID = next(iter(self._series.files))
        asked.TransactionUID = generate_uid()
        asked.ReferencedSOPSequence = [item]
        told.last([association.send_n_action(asked, 1, sop_class, WELL_KNOWN)])

    def _identifier(self, sop_class: str) -> Dataset:
        """One instance of the series in a model that knows no other level, else its study."""
        identifier = Dataset()
        if sop_class not in MODELS:
            return identifier
        levels = [level.value for level in MODELS[sop_class].levels]
        identifier.QueryRetrieveLevel = "STUDY" if "STUDY" in levels else levels[-1]
        identifier.StudyInstanceUID = self._series.study
        if identifier.QueryRetrieveLevel == "IMAGE":
            identifier.SeriesInstanceUID = self._series.series
            identifier.SOPInstanceUID = next(iter(self._series.files))
        return identifier


_VERBS: Mapping[int, Callable[[Verbs, Association, str, Told, Series, Dataset], None]] = {
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
