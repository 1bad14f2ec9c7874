"""The table of transfer syntaxes agrees with pydicom's."""

from __future__ import annotations

import pydicom.uid
import pytest
from pydicom._uid_dict import UID_dictionary

from isocenter.core.errors import Unsupported
from isocenter.core.transfer_syntax import TRANSFER_SYNTAXES, Codec, lookup

NO_FILES = {"6.1", "6.2", "7.1", "7.2", "7.3", "1.20"}


def test_every_transfer_syntax_of_the_standard_is_there_but_those_that_are_no_files() -> None:
    known = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"}
    left_out = {uid for uid in known if uid not in TRANSFER_SYNTAXES}
    assert left_out == {
        uid for uid in known if any(uid.endswith(f"1.2.{end}") for end in NO_FILES)
    } | {"1.2.840.10008.1.20"}


@pytest.mark.parametrize("uid", TRANSFER_SYNTAXES)
def test_byte_order_and_vr_form_agree_with_pydicom(uid: str) -> None:
    syntax = lookup(uid)
    theirs = pydicom.uid.UID(uid)
    if uid not in UID_dictionary:
        return
    assert syntax.implicit_vr == theirs.is_implicit_VR
    assert syntax.little_endian == theirs.is_little_endian
    if syntax.codec is not Codec.JPIP:
        assert syntax.deflated == theirs.is_deflated
        assert syntax.encapsulated == theirs.is_encapsulated


@pytest.mark.parametrize("uid", ["", "1.2.840.10008.1.1", "1.2.3", "x" * 1000])
def test_another_uid_is_unsupported(uid: str) -> None:
    with pytest.raises(Unsupported) as raised:
        lookup(uid)
    assert len(str(raised.value)) < 300
