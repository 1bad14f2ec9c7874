"""How many requests are generated, and which."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

# `make fuzz` sends more; a run with the same seed and number makes the same requests.
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "4000"))
SEED = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().randrange(2**32))

# Byte streams at the DICOM port, and the first of them: to repeat one, that and one stream.
STREAMS = int(os.environ.get("FUZZ_STREAMS", "4000"))
FIRST_STREAM = int(os.environ.get("FUZZ_FIRST_STREAM", "0"))

SHAPES = 2


def run(test: Callable[..., None], share: float, **data: Any) -> None:
    """A Hypothesis test with its share of all requests."""
    print(f"FUZZ_SEED={SEED}", file=sys.stderr)
    profile = settings(
        max_examples=max(5, int(REQUESTS * share / SHAPES)),
        deadline=None,
        database=None,
        phases=[Phase.generate],  # what hangs is not asked again and again
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    seed(SEED)(profile(given(**data)(test)))()
