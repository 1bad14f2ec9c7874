"""What monitors answer."""

from __future__ import annotations

import urllib.error
import urllib.request


def refusal(port: int) -> str:
    """What a monitor that is not ready says; empty from one that is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10):
            return ""
    except urllib.error.HTTPError as error:
        return error.read().decode()
