"""docs/conformance.md against a running installation: nothing is accepted that is not stated, and
all that is stated is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pynetdicom.sop_class
from pydicom import dcmread
from pydicom._uid_dict import UID_dictionary
from pynetdicom.dsutils import encode

from isocenter.dimse import requestor
from isocenter.dimse.contexts import ProposedContext
from support import dicom_rs, statement
from support.clients import Outcome, dcmtk
from support.datasets import ct_image
from support.files import count_instances, write_series
from support.harness import Isocenter, wait_until
from support.negotiating import (
    ACCEPTANCE,
    CLASS_UID,
    MAX_CONTEXTS,
    MAX_LENGTH,
    NO_ABSTRACT_SYNTAX,
    NO_TRANSFER_SYNTAX,
    ROLES,
    VERSION_NAME,
    Answer,
    item,
    negotiate,
)
from support.other_archives import dcmqrscp

Pair = tuple[str, str]

SOP_CLASSES = sorted(
    {uid for uid, (_, kind, *_) in UID_dictionary.items() if kind.endswith("SOP Class")}
    | {
        str(uid)
        for uid in vars(pynetdicom.sop_class).values()
        if isinstance(uid, pynetdicom.sop_class.SOPClass)
    }
    | statement.accepted().keys()
)
SYNTAXES = sorted(
    {uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"}
    | {uid for uids in statement.transfer_syntaxes().values() for uid in uids}
)
PRIVATE = "1.3.6.1.4.1.9999.1"


def address(isocenter: Isocenter) -> tuple[str, int]:
    return isocenter.host, isocenter.dicom_port


def batches(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    remaining = iter(pairs)
    while batch := list(islice(remaining, MAX_CONTEXTS)):
        yield batch


def results(isocenter: Isocenter, batch: list[Pair]) -> dict[Pair, tuple[int, str]]:
    """What each context, of one transfer syntax, is answered with."""
    answer = negotiate(address(isocenter), [(abstract, [syntax]) for abstract, syntax in batch])
    assert isinstance(answer, Answer)
    return {pair: answer.contexts[2 * number + 1] for number, pair in enumerate(batch)}


def test_every_sop_class_is_accepted_in_the_stated_transfer_syntaxes_and_no_others(
    isocenter: Isocenter,
) -> None:
    assert len(SOP_CLASSES) > 300
    assert len(SYNTAXES) > 60
    stated = {
        (abstract, syntax)
        for abstract, (syntaxes, _) in statement.accepted().items()
        for syntax in syntaxes
    }
    every = [(abstract, syntax) for abstract in [*SOP_CLASSES, PRIVATE] for syntax in SYNTAXES]
    found: dict[Pair, tuple[int, str]] = {}
    with ThreadPoolExecutor(4) as pool:
        for part in pool.map(lambda batch: results(isocenter, batch), batches(every)):
            found |= part
    assert found.keys() == set(every)
    accepted = {pair for pair, (result, _) in found.items() if result == ACCEPTANCE}
    assert accepted == stated
    assert all(found[pair][1] == pair[1] for pair in accepted)
    refused = {pair: result for pair, (result, _) in found.items() if result != ACCEPTANCE}
    known = statement.accepted()
    assert {result for pair, result in refused.items() if pair[0] in known} == {NO_TRANSFER_SYNTAX}
    assert {result for pair, result in refused.items() if pair[0] not in known} == {
        NO_ABSTRACT_SYNTAX
    }


def test_roles_are_accepted_as_stated(isocenter: Isocenter) -> None:
    """The requestor proposes both roles for everything; its SCP role is our SCU role."""
    found: dict[str, frozenset[str]] = {}
    for batch in batches((abstract, "1.2.840.10008.1.2") for abstract in statement.accepted()):
        names = [abstract for abstract, _ in batch]
        answer = negotiate(address(isocenter), [(name, [uid]) for name, uid in batch], roles=names)
        assert isinstance(answer, Answer)
        for name in names:
            scu, scp = answer.roles.get(name, (True, False))  # PS3.7 D.3.3.4: unanswered
            found[name] = frozenset(["SCP"] * scu + ["SCU"] * scp)
    assert found == {name: roles for name, (_, roles) in statement.accepted().items()}


def test_of_several_transfer_syntaxes_the_first_that_is_stated_is_accepted(
    isocenter: Isocenter,
) -> None:
    for order in (SYNTAXES, SYNTAXES[::-1]):
        proposed = [(abstract, order) for abstract in statement.accepted()]
        for start in range(0, len(proposed), MAX_CONTEXTS):
            batch = proposed[start : start + MAX_CONTEXTS]
            answer = negotiate(address(isocenter), batch)
            assert isinstance(answer, Answer)
            for number, (abstract, _) in enumerate(batch):
                syntaxes, _ = statement.accepted()[abstract]
                first = next(uid for uid in order if uid in syntaxes)
                assert answer.contexts[2 * number + 1] == (ACCEPTANCE, first)


def test_we_say_who_we_are_and_how_much_we_take_as_stated(isocenter: Isocenter) -> None:
    """Asynchronous operations, extended negotiation and a user identity are proposed, too; the last
    is not answered."""
    uid = b"1.2.840.10008.5.1.4.1.2.2.1"
    more = b"".join(
        (
            item(0x53, b"\0\5\0\5"),
            item(0x56, len(uid).to_bytes(2, "big") + uid + b"\1\1\1\1"),
            item(0x57, len(uid).to_bytes(2, "big") + uid + b"\0\0\0\0"),
            item(0x58, b"\1\1\0\4user\0\0"),
        )
    )
    answer = negotiate(address(isocenter), [(uid.decode(), ["1.2.840.10008.1.2"])], more=more)
    assert isinstance(answer, Answer)
    fields = statement.rows("Negotiation of users and extended negotiation")
    finding = [row["supported"] == "yes" for row in fields if row["service"] == "C-FIND"]
    supported = bytes(finding[:4])  # as many as were proposed
    stated = {row["item"]: row["value"] for row in statement.rows("General")}
    assert answer.application_context == stated["Application Context Name"]
    assert answer.user_items == {
        MAX_LENGTH: [int(stated["Maximum length received"]).to_bytes(4, "big")],
        CLASS_UID: [stated["Implementation Class UID"].encode()],
        VERSION_NAME: [stated["Implementation Version Name"].encode()],
        0x53: [b"\0\5\0\1"],
        0x56: [len(uid).to_bytes(2, "big") + uid + supported],
    }
    assert ROLES not in answer.user_items


def test_another_called_title_is_rejected_as_stated(isocenter: Isocenter) -> None:
    stated = statement.rejection("the called AE title is none of ours")
    contexts = [("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])]
    assert negotiate(address(isocenter), contexts, called="ELSEWHERE") == stated


# --- stacks of others, from end to end -----------------------------------------------------------


@dicom_rs.BUILT
async def test_what_dicom_rs_stores_it_finds_and_receives(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "sent", count=6)
    peer = f"{isocenter.ae_title}@{isocenter.host}:{isocenter.dicom_port}"
    sent = await dicom_rs.dicom_rs("storescu", "-c", "2", "--fail-first", peer, series.folder)
    assert sent.code == 0, sent.text
    wait_until(lambda: count_instances(isocenter, series.study) == 6, what="found")
    keys = ("QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={series.study}", "SOPInstanceUID=")
    asked = [argument for key in keys for argument in ("-q", key)]
    found = await dicom_rs.dicom_rs("findscu", "-S", peer, *asked)
    # It shows no more of a value than this.
    assert all(uid[:48] in found.text for uid in series.files), found.text
    received = tmp_path / "received"
    received.mkdir()
    async with dicom_rs.storescp(received, port=isocenter.destination_port):
        moved = await asyncio.to_thread(move, isocenter, series.study)
    assert moved.code == 0, moved.text
    assert {dcmread(file).SOPInstanceUID for file in received.iterdir()} == set(series.files)


def test_what_dcmtk_sends_its_archive_receives(isocenter: Isocenter, tmp_path: Path) -> None:
    series = write_series(tmp_path / "sent", count=6)
    sent = dcmtk("dcmsend", isocenter, "+sd", series.folder)
    assert sent.code == 0, sent.text
    wait_until(lambda: count_instances(isocenter, series.study) == 6, what="found")
    port = isocenter.destination_port
    with dcmqrscp(tmp_path / "archive", title="DESTINATION", port=port):
        moved = move(isocenter, series.study)
    assert moved.code == 0, moved.text
    received = (tmp_path / "archive/kept").glob("CT*")
    assert {dcmread(file).SOPInstanceUID for file in received} == set(series.files)
    ended = dcmtk("termscu", isocenter)
    assert "No Acceptable Presentation Contexts" in ended.text
    assert dcmtk("echoscu", isocenter).code == 0


def move(isocenter: Isocenter, study: str) -> Outcome:
    return dcmtk(
        "movescu", isocenter, "-S", "-aem", "DESTINATION", "-k", "QueryRetrieveLevel=STUDY",
        "-k", f"StudyInstanceUID={study}",
    )  # fmt: skip


# --- statuses that no fake makes -----------------------------------------------------------------


async def test_objects_that_cannot_be_kept_have_the_stated_statuses(isocenter: Isocenter) -> None:
    good, another_class, no_study = (ct_image(8, 8) for _ in range(3))
    another_class.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    del no_study.StudyInstanceUID
    association = await requestor.associate(
        isocenter.host,
        isocenter.dicom_port,
        calling_ae_title="TESTER",
        called_ae_title=isocenter.ae_title,
        contexts=[ProposedContext(good.SOPClassUID, (good.file_meta.TransferSyntaxUID,))],
    )
    [context] = association.contexts.values()
    found = []
    for one in (good, another_class, no_study):
        content = encode(one, False, True)
        response = await association.c_store(context, good.SOPClassUID, one.SOPInstanceUID, content)
        found.append(response.status)
    unreadable = await association.c_store(context, good.SOPClassUID, "1.2.3", b"\1" * 400)
    await association.release()
    assert found[:2] == [0x0000, 0xA900]
    assert {found[2], unreadable.status} <= statement.statuses("Storage") - {0x0000}
