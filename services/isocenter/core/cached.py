"""Answers that are kept, of functions whose arguments others choose.

`functools.lru_cache` bounds how many answers it keeps, not how large they are: a client that sends
many long texts, each another one, would fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

MAX_LENGTH = 512  # characters of all texts of a call whose answer is kept

P = ParamSpec("P")
T = TypeVar("T")


def cached(maxsize: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """As `functools.lru_cache`, but a call with long texts is made anew each time."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        kept = lru_cache(maxsize)(function)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            size = 0
            for value in args:
                if type(value) is str or type(value) is tuple:
                    size += len(value)
            if size > MAX_LENGTH:
                return function(*args, **kwargs)
            return kept(*args, **kwargs)  # type: ignore[arg-type]  # hashable, as for lru_cache

        return call

    return decorate
