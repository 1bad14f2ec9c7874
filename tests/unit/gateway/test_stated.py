"""The statuses and keys of docs/conformance.md: every one can be met, and no other."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel

from isocenter.core.errors import BY_CODE, Code, IsocenterError, Unprocessable
from isocenter.core.matching import Level
from isocenter.gateway.contexts import COMPOSITE_INSTANCE_ROOT, PATIENT_ROOT
from isocenter.gateway.progress import PENDING_INTERVAL
from isocenter.runtime.aes import KnownAE
from support import statement
from support.commitment_results import Results
from support.gateway_fakes import EXPLICIT, Held, from_test_file, series
from support.live_gateway import CT, Live, associate, in_thread, live
from support.negotiating import item, negotiate

ERRORS = [BY_CODE[code]("provoked") for code in Code]
COMMITMENT = str(StorageCommitmentPushModel)
PASSCODE = b"\2\0\0\3eva\0\5guess"
KERBEROS = b"\3\0\0\6ticket\0\0"  # PS3.7 table D.3-14
WELL_KNOWN = "1.2.840.10008.1.20.1.1"
DOSE, FRAMES = from_test_file("rtdose.dcm"), from_test_file("SC_rgb_rle_2frame.dcm")


@dataclass
class Peer:
    """A client that remembers the statuses it was answered with."""

    gateway: Live
    association: Association
    results: Results

    def store(self) -> set[int]:
        path = get_testdata_file("CT_small.dcm", download=False)
        return {self.association.send_c_store(dcmread(path)).Status}

    def find(self, *, cancel: bool = False, level: str = "IMAGE", **keys: str) -> set[int]:
        answers = self.association.send_c_find(asked(level, **keys), PATIENT_ROOT.find, msg_id=7)
        return self.statuses(answers, PATIENT_ROOT.find if cancel else "")

    def move(self, destination: str, **keys: Any) -> set[int]:
        return self._retrieve(
            lambda identifier: self.association.send_c_move(
                identifier, destination, PATIENT_ROOT.move, msg_id=7
            ),
            PATIENT_ROOT.move,
            **keys,
        )

    def get(self, **keys: Any) -> set[int]:
        return self._retrieve(
            lambda identifier: self.association.send_c_get(identifier, PATIENT_ROOT.get, msg_id=7),
            PATIENT_ROOT.get,
            **keys,
        )

    def frames(self, verb: str) -> set[int]:
        """Of requests for some frames that fail: of no multi-frame image, where they mean nothing
        alone, that are not there, by time where there is none, and without a frame range key."""
        image, dose, cine = "1.2.3.1.1", uid_of(DOSE), uid_of(FRAMES)
        failing = [
            asked("FRAME", SOPInstanceUID=image, SimpleFrameList=[1]),
            asked("FRAME", SOPInstanceUID=dose, SimpleFrameList=[1]),
            asked("FRAME", SOPInstanceUID=cine, SimpleFrameList=[9]),
            asked("FRAME", SOPInstanceUID=cine, TimeRange=[0.0, 1.0]),
            asked("FRAME"),
        ]
        return {status for request in failing for status in self._frames(verb, request)}

    def _frames(self, verb: str, identifier: Dataset) -> set[int]:
        if verb == "move":
            model = COMPOSITE_INSTANCE_ROOT.move
            return self.statuses(self.association.send_c_move(identifier, "DEST", model))
        return self.statuses(self.association.send_c_get(identifier, COMPOSITE_INSTANCE_ROOT.get))

    def commit(self, *, action: int = 1, instance: str = WELL_KNOWN, items: int = 1) -> set[int]:
        information = Dataset()
        information.TransactionUID = generate_uid()
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, "1.2.3.1.1"
        information.ReferencedSOPSequence = [item] * items
        status, _ = self.association.send_n_action(information, action, COMMITMENT, instance)
        if status.Status == 0:
            self.results.wait()
        return {status.Status}

    def _retrieve(
        self, send: Callable[[Dataset], Any], model: str, *, cancel: bool = False, **keys: str
    ) -> set[int]:
        return self.statuses(send(asked(**keys)), model if cancel else "")

    def statuses(self, answers: Any, cancelled_model: str = "") -> set[int]:
        found = set()
        for status, _ in answers:
            if cancelled_model and not found:
                self.association.send_c_cancel(7, query_model=cancelled_model)
            found.add(status.Status)
        return found


def uid_of(held: Held) -> str:
    return held.stored.name.instance


def asked(level: str = "PATIENT", **keys: Any) -> Dataset:
    """An identifier; that of the patient needs the index, which can fail."""
    data_set = Dataset()
    data_set.QueryRetrieveLevel = level
    for keyword, value in (keys or {"PatientID": "PAT1"}).items():
        setattr(data_set, keyword, value)
    return data_set


def provoked(gateway: Live, work: Callable[[Peer], set[int]]) -> set[int]:
    models = (PATIENT_ROOT.find, PATIENT_ROOT.move, PATIENT_ROOT.get)
    instances = (COMPOSITE_INSTANCE_ROOT.move, COMPOSITE_INSTANCE_ROOT.get)
    contexts = (CT, *models, *instances, COMMITMENT)
    results = Results()
    association = associate(
        gateway,
        *((uid, [EXPLICIT]) for uid in contexts),
        handlers=[(evt.EVT_C_STORE, lambda _: 0), *results.handlers],
        roles=[build_role(CT, scu_role=True, scp_role=True)],
    )
    try:
        return work(Peer(gateway, association, results))
    finally:
        association.release()


async def test_c_store():
    def work(peer: Peer) -> set[int]:
        ingest, found = peer.gateway.env.fake_ingest, set()
        for error in (None, *ERRORS):
            ingest.error = error
            found |= peer.store()
        ingest.error, ingest.coerced = None, (0x00100020,)
        return found | peer.store()

    async with live() as gateway:
        assert await in_thread(lambda: provoked(gateway, work)) == statement.statuses("Storage")


async def test_c_find():
    def work(peer: Peer) -> set[int]:
        query = peer.gateway.env.fake_query
        found = peer.find(SOPInstanceUID="") | peer.find(PixelSpacing=None)
        for error in ERRORS:
            query.error = error
            found |= peer.find(SOPInstanceUID="")
        query.error, query.gate_after = None, 1
        return found | peer.find(SOPInstanceUID="", cancel=True)

    async with live(series(3)) as gateway:
        assert await in_thread(lambda: provoked(gateway, work)) == statement.statuses("Query")


def of_every_error(peer: Peer, ask: Callable[[], set[int]]) -> set[int]:
    found = set()
    for error in ERRORS:
        peer.gateway.env.fake_query.error = error
        found |= ask()
    peer.gateway.env.fake_query.error = None
    return found


@pytest.fixture
def dead_port():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@pytest.fixture
def destination():
    ae = AE("DEST")
    ae.add_supported_context(CT, EXPLICIT)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0)]
    )
    yield server.socket.getsockname()[1]
    server.shutdown()


@pytest.fixture
def pending_at_once(monkeypatch):
    assert PENDING_INTERVAL > 0
    monkeypatch.setattr("isocenter.gateway.progress.PENDING_INTERVAL", 0)


async def test_c_move(dead_port, destination, pending_at_once, monkeypatch):
    monkeypatch.setattr("isocenter.gateway.c_move.PAUSES", (0.0,))

    def work(peer: Peer) -> set[int]:
        storage, held = peer.gateway.env.fake_storage, peer.gateway.env.held
        found = peer.move("NOWHERE") | peer.move("DEAD") | peer.move("DEST")
        found |= peer.frames("move")
        found |= of_every_error(peer, lambda: peer.move("DEST"))
        found |= peer.move("DEST", cancel=True)
        storage.errors[held[0].stored.name.instance] = Unprocessable("provoked")
        return found | peer.move("DEST")

    known = [
        KnownAE(title="DEAD", host="127.0.0.1", port=dead_port),
        KnownAE(title="DEST", host="127.0.0.1", port=destination),
    ]
    async with live([*series(40), DOSE, FRAMES], known_aes=known) as gateway:
        found = await in_thread(lambda: provoked(gateway, work))
    assert found == statement.statuses("Retrieve by C-MOVE")


async def test_c_get(pending_at_once):
    def work(peer: Peer) -> set[int]:
        storage, held = peer.gateway.env.fake_storage, peer.gateway.env.held
        found = peer.get() | of_every_error(peer, peer.get) | peer.get(cancel=True)
        found |= peer.frames("get")
        storage.errors[held[0].stored.name.instance] = Unprocessable("provoked")
        found |= peer.get()
        storage.errors |= {one.stored.name.instance: Unprocessable("provoked") for one in held}
        return found | peer.get()

    async with live([*series(10), DOSE, FRAMES]) as gateway:
        found = await in_thread(lambda: provoked(gateway, work))
    assert found == statement.statuses("Retrieve by C-GET")


async def test_n_action(monkeypatch):
    def work(peer: Peer) -> set[int]:
        bus = peer.gateway.env.memory_bus
        found = peer.commit() | peer.commit(action=2)
        found |= peer.commit(instance="1.2.3") | peer.commit(items=0)
        for error in ERRORS:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(bus, "append", failing(error))
                found |= peer.commit()
        return found

    def failing(error: IsocenterError) -> Callable[..., Any]:
        async def append(*_: object) -> None:
            raise error

        return append

    async with live(series(1)) as gateway:
        found = await in_thread(lambda: provoked(gateway, work))
    assert found == statement.statuses("Storage Commitment")


async def test_query_and_retrieve_in_a_context_of_another_sop_class(caplog):
    def work(peer: Peer) -> set[int]:
        association, found = peer.association, set()
        for model in (CT, COMMITMENT, PATIENT_ROOT.move):
            found |= peer.statuses(association.send_c_find(asked(), model))
        for model in (CT, COMMITMENT, PATIENT_ROOT.find):
            found |= peer.statuses(association.send_c_get(asked(), model))
            found |= peer.statuses(association.send_c_move(asked(), "DEST", model))
        return found

    async with live(series(1)) as gateway:
        assert await in_thread(lambda: provoked(gateway, work)) == {0x0122}
        assert gateway.env.fake_query.searches == []
    assert "a handler failed" not in caplog.text


# --- rejections ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "request_", "settings"),
    [
        ("the called AE title is none of ours", {"called": "ELSEWHERE"}, {}),
        (
            "the caller is not known, comes from another address or shows another certificate",
            {},
            {"unknown_callers": "never"},
        ),
        (
            "the caller is not known, comes from another address or shows another certificate",
            {},
            {
                "unknown_callers": "never",
                "known_aes": [KnownAE(title="NEGOTIATOR", host="192.0.2.1")],
            },
        ),
        ("the application context is another", {"application_context": "1.2.3"}, {}),
        (
            "a user identity of a kind that is not taken, or that is not true",
            {"more": item(0x58, KERBEROS)},
            {},
        ),
        (
            "a user identity of a kind that is not taken, or that is not true",
            {"more": item(0x58, PASSCODE)},
            {},
        ),
        ("the protocol version is another", {"version": 2}, {}),
    ],
)
async def test_rejections(why, request_, settings):
    async with live(**settings) as gateway:
        address = ("127.0.0.1", gateway.port)
        answer = await in_thread(lambda: negotiate(address, [(CT, [EXPLICIT])], **request_))
    assert answer == statement.rejection(why)


async def test_too_many_associations_are_rejected_for_a_while():
    stated = statement.rejection(
        "the process or the caller has as many associations as it may, or the process is stopping"
    )
    async with live(max_associations=1) as gateway:
        address = ("127.0.0.1", gateway.port)
        open_one = await in_thread(lambda: associate(gateway, (CT, [EXPLICIT])))
        assert await in_thread(lambda: negotiate(address, [(CT, [EXPLICIT])])) == stated
        await in_thread(open_one.release)


# --- keys ----------------------------------------------------------------------------------------


def stated_keys(level: Level) -> list[statement.Row]:
    return statement.rows(f"Keys of the level {level.value}")


@pytest.mark.parametrize("level", Level)
async def test_the_stated_keys_of_a_level_are_supported_and_answered(level):
    levels = list(Level)
    keys = [
        row["attribute"]
        for above in levels[: levels.index(level) + 1]
        for row in stated_keys(above)
    ]
    assert len(keys) > 10
    answered: list[tuple[int, Dataset | None]] = []

    def work(peer: Peer) -> set[int]:
        identifier = asked(level.value, **dict.fromkeys(keys, None))
        answered.extend(
            (status.Status, answer)
            for status, answer in peer.association.send_c_find(identifier, PATIENT_ROOT.find)
        )
        return set()

    async with live(series(2)) as gateway:
        await in_thread(lambda: provoked(gateway, work))
    (status, answer), *_ = answered
    assert status == 0xFF00
    assert answer is not None
    assert {tag_for_keyword(key) for key in keys} <= {int(element.tag) for element in answer}


async def test_a_key_that_is_not_stated_or_of_a_level_below_is_told_to_be_unsupported():
    def work(peer: Peer) -> set[int]:
        return peer.find(level="STUDY", PixelSpacing=None) | peer.find(
            level="STUDY", SeriesInstanceUID=""
        )

    async with live(series(2)) as gateway:
        assert await in_thread(lambda: provoked(gateway, work)) == {0xFF01, 0x0000}
