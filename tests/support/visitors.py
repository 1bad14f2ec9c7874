"""People in front of browsers: each has a profile of their own, and signs in as people do."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from support.keycloak import password_of

PATIENCE = 60.0  # s; everything is drawn and signed by software on a busy machine
_SERIOUS = ("Content Security Policy", "Content-Security-Policy", "Uncaught")


class Visitors:
    """Those of one test."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.heard: list[str] = []
        """What consoles said that no page of ours may make them say."""

    def visitor(self, **how: Any) -> Page:
        """Somebody new, of whom nothing is known."""
        usual = {"viewport": {"width": 1400, "height": 800}, "locale": "en-GB"}
        context = self._browser.new_context(**{**usual, **how})
        context.set_default_timeout(PATIENCE * 1000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self._hear(message.text))
        page.on("pageerror", lambda error: self.heard.append(str(error)))
        return page

    def signed_in(self, url: str, user: str, path: str = "/account") -> Page:
        """Somebody who opened a page of an installation and had to sign in for it."""
        page = self.visitor()
        page.goto(url + path)
        sign_in(page, user)
        page.wait_for_url(url + path)
        return page

    def leave(self) -> None:
        """Close all browsers."""
        for context in self._contexts:
            context.close()

    def _hear(self, text: str) -> None:
        if any(one in text for one in _SERIOUS):
            self.heard.append(text)


def sign_in(page: Page, user: str) -> None:
    """From our page to that of the provider, which is filled in."""
    to_provider(page)
    page.locator("#username").fill(user)
    page.locator("#password").fill(password_of(user))
    page.locator("#kc-login").click()


def to_provider(page: Page) -> None:
    """From our page to the provider."""
    page.get_by_role("link", name="Sign in with the account of your organisation").click()


def is_signed_out(page: Page, address: str) -> bool:
    """Whether a page of ours leads to the sign-in now."""
    with suppress(Error):  # a navigation that another one interrupted
        page.goto(address)
    return "/sign-in" in page.url


def expect_status(page: Page, address: str, status: int) -> None:
    """What the server answers."""
    answer = page.goto(address)
    assert answer is not None
    assert answer.status == status, page.content()
    expect(page.locator("main")).to_be_visible()
