"""Distribution over processes: tests that share an installation stay together."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of a shared installation one worker process, and start the longest first."""
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "isocenter" in params:
            item.add_marker(pytest.mark.xdist_group(f"isocenter-{params['isocenter']}"))
        elif "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("stack"))
        elif "isocenter" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(f"isocenter-{item.path.parent.name}"))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
