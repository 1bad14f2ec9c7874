"""Writing text in the character sets of (0008,0005), read again by us and by pydicom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from isocenter.core.charset import Charset
from isocenter.core.charset_encoder import Encoder

# PS3.5 annexes H to K: names as the standard writes them.
NAMES = [
    (("",), "Doe^Jane"),
    (("ISO_IR 100",), "Buc^Jérôme"),
    (("ISO_IR 101",), "Wałęsa"),
    (("ISO_IR 109",), "Ġorġ"),
    (("ISO_IR 110",), "Bērziņš"),
    (("ISO_IR 126",), "Διονυσιος"),
    (("ISO_IR 127",), "قباني^لنزار"),
    (("ISO_IR 138",), "שרון^דבורה"),
    (("ISO_IR 144",), "Люкceмбypг"),  # noqa: RUF001
    (("ISO_IR 148",), "Çavuşoğlu"),
    (("ISO_IR 166",), "นามสกุล"),
    (("ISO_IR 203",), "Œuvre^€"),
    (("ISO_IR 13",), "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    (("ISO_IR 192",), "Wang^XiaoDong=王^小東=😀"),
    (("GB18030",), "Wang^XiaoDong=王^小东"),
    (("GBK",), "Wang^XiaoDong=王^小东"),
    (("", "ISO 2022 IR 87"), "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (("ISO 2022 IR 13", "ISO 2022 IR 87"), "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    (("", "ISO 2022 IR 87", "ISO 2022 IR 159"), "丂田a丂"),
    (("", "ISO 2022 IR 149"), "Hong^Gildong=洪^吉洞=홍^길동"),
    (("ISO 2022 IR 149",), "Hong^Gildong=洪^吉洞=홍^길동"),
    (("", "ISO 2022 IR 58"), "Zhang^XiaoDong=张^小东"),
    (("ISO_IR 100", "ISO 2022 IR 144", "ISO 2022 IR 126"), "Müller=Люк Διον ä"),
]

# pydicom does not know the one, and leaves the escape sequences of the other in the text.
NOT_PYDICOM_S = [("ISO_IR 203",), ("", "ISO 2022 IR 58")]


@pytest.mark.parametrize(("values", "name"), NAMES)
def test_names_are_read_as_they_were_written(values, name):
    encoder = Encoder.of(values)
    assert encoder is not None
    assert Charset.of(values).decode(encoder.encode(name, "PN")) == name


@pytest.mark.parametrize(
    ("values", "name"), [(values, name) for values, name in NAMES if values not in NOT_PYDICOM_S]
)
def test_pydicom_reads_what_was_written(values, name):
    encoder = Encoder.of(values)
    assert encoder is not None
    data_set = Dataset()
    data_set.SpecificCharacterSet = list(values)
    data_set.add(DataElement(0x00100010, "PN", encoder.encode(name, "PN")))
    data_set.decode()
    assert str(data_set.PatientName) == name


def test_the_standard_s_own_bytes():
    korean = Encoder.of(("", "ISO 2022 IR 149"))
    japanese = Encoder.of(("ISO 2022 IR 13", "ISO 2022 IR 87"))
    assert korean is not None
    assert japanese is not None
    assert korean.encode("Hong^Gildong=洪^吉洞=홍^길동", "PN") == (
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
    )
    assert japanese.encode("ﾔﾏﾀﾞ^ﾀﾛｳ=山田", "PN") == (
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J\x1b)I"
    )


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (("",), "Müller"),
        (("ISO_IR 100",), "山田"),
        (("ISO_IR 13",), "山田"),
        (("", "ISO 2022 IR 87"), "홍"),
        (("", "ISO 2022 IR 149"), "😀"),
    ],
)
def test_what_a_character_set_lacks_is_not_written(values, text):
    encoder = Encoder.of(values)
    assert encoder is not None
    with pytest.raises(UnicodeEncodeError):
        encoder.encode(text, "LO")


@pytest.mark.parametrize(
    "values", [(), ("ISO_IR 999",), ("", "ISO_IR 192"), ("", "latin_1"), ("GBK", "ISO 2022 IR 87")]
)
def test_no_encoder_for_what_is_no_character_set(values):
    assert Encoder.of(values) is None


ALPHABET = "aZ \\^=Üéşżя中山田やﾔ홍洪αΩ"


@given(st.sampled_from([values for values, _ in NAMES]), st.text(ALPHABET, max_size=12))
def test_whatever_can_be_written_is_read_again(values, text):
    encoder = Encoder.of(values)
    assert encoder is not None
    try:
        encoded = encoder.encode(text, "PN")
    except UnicodeEncodeError:
        return
    assert Charset.of(values).decode(encoded) == text
