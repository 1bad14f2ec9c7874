"""docs/conformance.md against a running installation: nothing is accepted that is not stated, and
all that is stated is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pynetdicom.sop_class
from pydicom._uid_dict import UID_dictionary

from support import statement
from support.harness import Isocenter
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
    """Asynchronous operations, extended negotiation and a user identity are proposed, too."""
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
    stated = {row["item"]: row["value"] for row in statement.rows("General")}
    assert answer.application_context == stated["Application Context Name"]
    assert answer.user_items == {
        MAX_LENGTH: [int(stated["Maximum length received"]).to_bytes(4, "big")],
        CLASS_UID: [stated["Implementation Class UID"].encode()],
        VERSION_NAME: [stated["Implementation Version Name"].encode()],
    }
    assert ROLES not in answer.user_items


def test_another_called_title_is_rejected_as_stated(isocenter: Isocenter) -> None:
    (row,) = (
        row
        for row in statement.rows("Association acceptance")
        if row.get("why") == "the called AE title is none of ours"
    )
    stated = tuple(
        int(row[column].rpartition("(")[2].strip(")")) for column in ("result", "source", "reason")
    )
    contexts = [("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])]
    assert negotiate(address(isocenter), contexts, called="ELSEWHERE") == stated
