"""Passwords: which are good enough, and what is kept of them."""

from __future__ import annotations

import pytest

from isocenter.core.errors import Invalid
from isocenter.runtime.access.passwords import LONGEST, SHORTEST, Passwords, check_password
from support.access_rig import PASSWORD, kept

STRONG = "qv7Zkd2mXw9r"  # twelve characters


def test_length_is_bounded() -> None:
    assert len(STRONG) == SHORTEST
    check_password(STRONG, ())
    check_password(STRONG * (LONGEST // SHORTEST), ())
    for wrong in ("", STRONG[:-1], "x" * (LONGEST + 1)):
        with pytest.raises(Invalid, match="12 to 256 characters"):
            check_password(wrong, ())


@pytest.mark.parametrize(
    "guessed", ["password1234", "qwertyuiop12", "aaaaaaaaaaaaaaaaaaaaaaaa", "123456789012"]
)
def test_what_is_easily_guessed_is_not_taken(guessed: str) -> None:
    with pytest.raises(Invalid, match="easily guessed; take several unrelated words"):
        check_password(guessed, ())


def test_what_is_known_of_a_person_makes_it_easier_to_guess() -> None:
    check_password("evangelina.kowalczyk", ())
    with pytest.raises(Invalid, match="easily guessed"):
        check_password("evangelina.kowalczyk", ("evangelina.kowalczyk", ""))


@pytest.mark.parametrize("good", [PASSWORD, "ölweide kran zügig 4", "only small letters count"])
def test_nobody_has_to_mix_letters_digits_and_signs(good: str) -> None:
    check_password(good, ())


async def test_what_is_kept_tells_nothing_of_a_password() -> None:
    passwords = Passwords()
    one, other = await passwords.kept(PASSWORD), await passwords.kept(PASSWORD)
    assert one != other
    assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert PASSWORD not in one
    assert await passwords.is_right(one, PASSWORD)
    assert not await passwords.is_right(one, PASSWORD + " ")


async def test_how_a_keyboard_composes_characters_is_no_difference() -> None:
    composed, apart = "caf\u00e9 weide kran 4", "cafe\u0301 weide kran 4"
    assert await Passwords().is_right(kept(composed), apart)


async def test_nothing_is_the_password_of_who_has_none() -> None:
    passwords = Passwords()
    assert not await passwords.is_right("", "")
    assert not await passwords.is_right("", PASSWORD)


@pytest.mark.parametrize("damaged", ["x", "$argon2id$", kept()[:-3]], ids=["word", "head", "cut"])
async def test_what_cannot_be_read_is_nobodys_password(damaged: str) -> None:
    assert not await Passwords().is_right(damaged, PASSWORD)


async def test_more_than_a_password_may_have_is_not_looked_at() -> None:
    long = "x" * (LONGEST + 1)
    assert not await Passwords().is_right(kept(long), long)
