"""What the commands say of TLS: its files, its ports, and where it is the only way in."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from isocenter.cli.check import check, complain_about
from isocenter.cli.demo import load_demo
from isocenter.cli.up import banner
from isocenter.core.errors import Invalid
from isocenter.runtime.tls_files import Tls
from isocenter.settings import load
from support.authority import Authority

TLS_PORT = "22762"


def flags_of(files: Tls, **more: str) -> dict[str, str]:
    return {
        "gateway.tls_port": TLS_PORT,
        "gateway.certificate_file": str(files.certificate),
        "gateway.key_file": str(files.key),
        **{f"gateway.{name}": value for name, value in more.items()},
    }


@pytest.mark.parametrize(("days", "wrong"), [(29, True), (40, False)])
async def test_a_certificate_that_ends_within_a_month_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], days: int, wrong: bool
) -> None:
    files = Authority(tmp_path).issue("gateway", days=days)
    await check(load(data=tmp_path, flags=flags_of(files)))
    told = capsys.readouterr().out
    mark = "wrong" if wrong else "ok   "
    assert f"{mark} gateway.certificate_file {files.certificate}: valid until 20" in told
    assert ("fix: put a new one there, and its key into" in told) is wrong


async def test_files_that_cannot_be_used_are_a_finding_and_stop_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority(tmp_path)
    good, other = authority.issue("gateway"), authority.issue("other")
    settings = load(data=tmp_path, flags=flags_of(good, key_file=str(other.key)))
    await check(settings)
    told = capsys.readouterr().out
    assert f"wrong gateway.certificate_file {good.certificate}: gateway.certificate_file" in told
    assert "fix: name two files in PEM format that belong together" in told
    with pytest.raises(Invalid, match=r"gateway\.key_file .* are not a certificate and its key"):
        complain_about(settings)


async def test_files_with_which_peers_are_called_are_looked_at_without_a_port_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = Authority(tmp_path).issue("gateway")
    flags = {**flags_of(files, ca_file=str(files.ca)), "gateway.tls_port": "0"}
    await check(load(data=tmp_path, flags=flags))
    told = capsys.readouterr().out
    assert f"wrong gateway.certificate_file {files.certificate}: valid until 20" in told
    files.ca.write_text("no PEM")
    with pytest.raises(Invalid, match=r"gateway\.ca_file: .* holds no certificates"):
        complain_about(load(data=tmp_path, flags=flags))


async def test_calls_between_processes_have_their_certificates_looked_at_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = Authority(tmp_path).issue("one")
    await check(
        load(
            data=tmp_path,
            flags={
                "rpc.ca_file": str(files.ca),
                "rpc.certificate_file": str(files.certificate),
                "rpc.key_file": str(files.key),
            },
        )
    )
    assert f"wrong rpc.certificate_file {files.certificate}: valid until" in capsys.readouterr().out


async def test_a_taken_port_of_tls_is_named_with_its_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = Authority(tmp_path).issue("gateway")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        await check(load(data=tmp_path, flags=flags_of(files, tls_port=str(taken))))
    told = capsys.readouterr().out
    assert f"wrong gateway.tls_port {taken} on 127.0.0.1" in told
    assert "--set gateway.tls_port=N or ISOCENTER_GATEWAY__TLS_PORT=N" in told


async def test_a_plain_port_that_is_switched_off_may_be_in_use_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = Authority(tmp_path).issue("gateway")
    await check(load(data=tmp_path, flags=flags_of(files, tls_only="true")))
    told = capsys.readouterr().out
    assert "gateway.port" not in told
    assert f"gateway.tls_port {TLS_PORT} on 127.0.0.1: free" in told


async def test_the_banner_shows_the_ports_that_are_open(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue("gateway")
    both = banner(load(data=tmp_path, flags=flags_of(files, port="22112")))
    assert f"port 22112, port {TLS_PORT} with TLS" in both
    assert "storescu -aec ISOCENTER localhost 22112" in both
    settings = load(data=tmp_path, flags=flags_of(files, port="22112", tls_only="true"))
    alone = banner(settings)
    assert f"host localhost, port {TLS_PORT} with TLS" in alone
    assert f"+tls KEY CERTIFICATE +cf CA localhost {TLS_PORT}" in alone
    assert "22112" not in alone


async def test_the_demo_studies_say_why_they_do_not_come_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isocenter.cli.demo._make", lambda folder: folder.mkdir())
    files = Authority(tmp_path).issue("gateway")
    with pytest.raises(Invalid, match=r"gateway\.tls_only"):
        await load_demo(load(data=tmp_path, flags=flags_of(files, tls_only="true")))
