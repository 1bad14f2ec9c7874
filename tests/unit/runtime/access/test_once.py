"""What may be used once is used once, whoever asks at the same moment."""

from __future__ import annotations

import asyncio

from isocenter.runtime.access.once import CLAIMS, Once
from support.access_rig import Access


async def test_a_name_is_claimed_once(access: Access) -> None:
    once = Once(access.storage)
    assert await once.claim("one")
    assert not await once.claim("one")
    assert await once.claim("other")
    assert not await Once(access.another().storage).claim("one")


async def test_a_later_step_is_claimed_and_none_of_before(access: Access) -> None:
    once = Once(access.storage)
    assert [await once.claim("code", step) for step in (7, 7, 6, 8, 8, 7, 1_000_000)] == [
        True, False, False, True, False, False, True,
    ]  # fmt: skip


async def test_steps_of_before_are_forgotten(access: Access) -> None:
    once = Once(access.storage)
    for step in range(20):
        assert await once.claim("code", step)
    assert len(access.blobs.contents()) == 1


async def test_of_many_at_the_same_moment_not_two_claim(access: Access) -> None:
    stores = [Once(access.storage), Once(access.another().storage)]
    claims = (stores[number % 2].claim("one") for number in range(10))
    assert sum(await asyncio.gather(*claims)) <= 1


async def test_names_are_not_told(access: Access) -> None:
    await Once(access.storage).claim("code of somebody")
    assert not any("somebody" in key for key in access.blobs.contents())
    assert all(key.startswith(CLAIMS) for key in access.blobs.contents())
