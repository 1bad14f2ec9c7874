"""Until when certificates are valid, as openssl made them."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from isocenter.runtime.certificates import valid_until
from support.authority import Authority


def told_by_openssl(certificate: Path) -> datetime:
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", certificate],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    end = told.stdout.strip().removeprefix("notAfter=").removesuffix(" GMT")
    return datetime.strptime(end, "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("days", [1, 2000, 40_000])  # the last one ends after 2049
def test_the_end_is_what_openssl_says(tmp_path: Path, kind: str, days: int) -> None:
    certificate = Authority(tmp_path).issue("one", kind=kind, days=days).certificate
    end = valid_until(certificate.read_bytes())
    assert end == told_by_openssl(certificate)
    assert abs(end - datetime.now(UTC) - timedelta(days=days)) < timedelta(hours=1)


def test_of_several_certificates_the_first_that_ends_counts(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    long, short = authority.issue("long", days=100), authority.issue("short", days=3)
    for files in ((long, short), (short, long)):
        chain = b"text before\n" + b"".join(one.certificate.read_bytes() for one in files)
        assert valid_until(chain) == told_by_openssl(short.certificate)
