"""What axe-core says of a page: the rules of WCAG 2.2 AA, and of good practice."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, ViewportSize

_AXE = Path(__file__).parents[1] / "browser/node_modules/axe-core/axe.min.js"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_LOOK = """async rules => {
    const found = await axe.run(document, { runOnly: { type: 'tag', values: rules } })
    return found.violations.map(
        one => one.id + ': ' + one.nodes.map(node => node.html.slice(0, 200)).join(' | '))
}"""
_WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"

_SCREENS: tuple[ViewportSize, ...] = (
    {"width": 320, "height": 256},  # 1280 at 400 %
    {"width": 320, "height": 640},
    {"width": 768, "height": 1024},
)


def require_axe() -> None:
    """Fails where it was not fetched."""
    if not _AXE.exists():
        missing = "axe-core is missing. Type: npm ci --ignore-scripts --prefix tests/browser"
        pytest.fail(missing, pytrace=False)


def assert_no_violation(page: Page) -> None:
    """Of any rule, with everything unfolded."""
    for details in page.locator("details").all():
        details.evaluate("one => one.open = true")
    page.evaluate(_AXE.read_text("utf-8"))
    assert page.evaluate(_LOOK, _RULES) == [], page.url


def assert_fits(page: Page) -> None:
    """On screens of each kind."""
    for size in _SCREENS:
        page.set_viewport_size(size)
        width, screen = page.evaluate(_WIDTHS)
        assert width <= screen, (page.url, size)
