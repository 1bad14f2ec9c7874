"""A throw-away CA."""

from __future__ import annotations

import subprocess
from pathlib import Path

from isocenter.runtime.tls_files import Tls


class Authority:
    """A CA in a directory."""

    def __init__(self, directory: Path, *, days: int = 2) -> None:
        """`days` below 0: it has expired."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.certificate = directory / "ca.crt"
        self._key = directory / "ca.key"
        request, extensions = directory / "ca.csr", directory / "ca.extensions"
        extensions.write_text("basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n")
        _openssl(
            "req", *_NEW_KEYS["ec"], "-subj", "/O=Hospital/CN=CA",
            "-keyout", self._key, "-out", request,
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", request, "-signkey", self._key, "-days", days,
            "-extfile", extensions, "-out", self.certificate,
        )  # fmt: skip

    def issue(
        self,
        name: str,
        subject_alternative_name: str = "IP:127.0.0.1",
        *,
        kind: str = "ec",
        days: int = 2,
        section: str = "rpc",
        use: str = "",
    ) -> Tls:
        """A certificate of this name, in place of the one that had it before, as the files of a
        section of the settings. `use` is its extended key usage; it may be used for anything
        without."""
        key, request, certificate = (
            self.directory / f"{name}.{end}" for end in ("key", "csr", "crt")
        )
        extensions = self.directory / "extensions"
        usage = f"extendedKeyUsage=critical,{use}\n" if use else ""
        extensions.write_text(f"subjectAltName={subject_alternative_name}\n{usage}")
        _openssl(
            "req", *_NEW_KEYS[kind], "-subj", f"/O=Hospital/CN={name}",
            "-keyout", key, "-out", request,
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-days", days, "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return Tls(self.certificate, certificate, key, section)


_NEW_KEYS = {
    "ec": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
    "rsa": ("-newkey", "rsa:2048", "-nodes"),
}


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
