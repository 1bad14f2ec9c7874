"""`isocenter up`: what it prints, what it starts, and when it refuses to start."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from isocenter.app import CONSUMER_ROLES, REQUEST_ROLES, Process
from isocenter.cli import demo
from isocenter.cli.check import check, complain_about
from isocenter.cli.peers import parse_peer
from isocenter.cli.serving import is_served, only_one
from isocenter.cli.up import _children, banner, up
from isocenter.core.errors import Invalid, Unavailable
from isocenter.dimse.target import Target
from isocenter.settings import load
from support.ports import free_ports


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_banner_shows_the_addresses_that_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOCENTER_WEB__PORT", "18081")
    monkeypatch.setenv("ISOCENTER_GATEWAY__PORT", "11199")
    flags = {"gateway.ae_title": "ARCHIVE", "gateway.host": "0.0.0.0", "web.host": "10.1.2.3"}
    (tmp_path / "index.html").touch()
    text = banner(load(data=tmp_path, flags={**flags, "web.viewer": str(tmp_path)}))
    for expected in (
        f"Data directory: {tmp_path}",
        "http://10.1.2.3:18081/viewer/",
        "http://10.1.2.3:18081/dicomweb",
        "AE title ARCHIVE, host localhost, port 11199",
        "storescu -aec ARCHIVE localhost 11199",
        "findscu -aec ARCHIVE localhost 11199",
        "curl -H @who 'http://10.1.2.3:18081/dicomweb/studies",
    ):
        assert expected in text
    trusting = banner(load(data=tmp_path, flags={**flags, "access.trust_loopback": "true"}))
    assert "curl 'http://" in trusting
    assert "token" not in trusting


def test_the_banner_warns_of_what_is_not_there(tmp_path: Path) -> None:
    text = banner(load(data=tmp_path))
    assert "Viewer         not there; `isocenter check` says why" in text


def test_one_process_per_worker_and_one_for_the_consumers_each_by_its_name(tmp_path: Path) -> None:
    settings = load(data=tmp_path, flags={"process.workers": "2"})
    told = _children(settings, Path("my.toml"), ["web.port=18081"], tmp_path)
    children = [child for child, _ in told]
    assert [socket.name for _, socket in told] == [f"{child.name}.sock" for child in children]
    assert [child.name for child in children] == ["requests-1", "requests-2", "consumers"]
    for child, roles in zip(children, (REQUEST_ROLES, REQUEST_ROLES, CONSUMER_ROLES), strict=True):
        line = " ".join(child.command)
        assert f"isocenter run {' '.join(roles)} --name {child.name} " in line
        assert f"--data {tmp_path}" in line
        assert "--config my.toml" in line
        assert "--set web.port=18081" in line


def test_a_process_is_known_by_host_and_name_and_without_one_by_its_roles(tmp_path: Path) -> None:
    settings = load(data=tmp_path)
    named = Process(settings, REQUEST_ROLES, "requests-1")
    assert (named.name, named.instance) == ("requests-1", f"{socket.gethostname()}/requests-1")
    assert Process(settings, ["indexing", "audit"]).name == "indexing+audit"
    assert Process(settings).instance.endswith("/cli")


def test_a_data_directory_is_served_by_one_installation_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(Unavailable, match=r"is being served already.*--data")
    with only_one(tmp_path), refused, only_one(tmp_path):
        pytest.fail("two hold the same directory")
    with only_one(tmp_path):
        """The lock goes with its holder."""


def test_whether_a_data_directory_is_served_is_seen_by_others(tmp_path: Path) -> None:
    assert not is_served(tmp_path)
    with only_one(tmp_path):
        assert is_served(tmp_path)
    assert not is_served(tmp_path)


async def test_a_data_directory_that_cannot_be_made_is_named_with_what_to_do(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=r"file is not a directory; .*--data"):
        await up(load(data=tmp_path / "file"), None, [], demo=False)
    with pytest.raises(Unavailable, match=r"below cannot be made: Not a directory; .*--data"):
        await up(load(data=tmp_path / "file" / "below"), None, [], demo=False)


async def test_a_backend_that_nothing_can_use_is_named_once_before_anything_starts(
    tmp_path: Path,
) -> None:
    settings = load(data=tmp_path, flags={"bus": "pulsar://broker:6650"})
    with pytest.raises(
        Unavailable, match=r"bus: nothing here can use 'pulsar:.*begin with kafka: or log:"
    ):
        await up(settings, None, [], demo=False)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_no_matter_of_the_port(tmp_path: Path, host: str) -> None:
    settings = load(data=tmp_path, flags={"web.host": host, "gateway.port": "0"})
    with pytest.raises(Unavailable, match=r"--set web\.host=ADDRESS") as caught:
        complain_about(settings)
    assert "PORT" not in caught.value.fix


@pytest.mark.parametrize("section", ["web", "monitor"])
def test_a_taken_port_is_named_with_the_ways_to_choose_another(
    tmp_path: Path, taken: int, section: str
) -> None:
    free = {"gateway.port": "0", "web.port": "0"}
    settings = load(data=tmp_path, flags={**free, f"{section}.port": str(taken)})
    with pytest.raises(Unavailable) as caught:
        complain_about(settings)
    variable = f"ISOCENTER_{section.upper()}__PORT=N"
    for expected in (f"{section}.port {taken}", f"--set {section}.port=N", variable):
        assert expected in str(caught.value)


def test_all_taken_ports_are_named_at_once(tmp_path: Path, taken: int) -> None:
    settings = load(data=tmp_path, flags={"gateway.port": str(taken), "web.port": str(taken)})
    with pytest.raises(Unavailable, match=r"gateway\.port.*web\.port"):
        complain_about(settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "127.0.0.2"])
def test_one_port_for_two_protocols_is_refused_where_they_would_share_it(
    tmp_path: Path, host: str
) -> None:
    [port] = free_ports(1)
    both = {"gateway.port": str(port), "web.grpc_port": str(port), "gateway.host": host}
    settings = load(data=tmp_path, flags={**both, "web.port": "0", "web.host": "127.0.0.1"})
    if host == "127.0.0.2":
        complain_about(settings)
        return
    with pytest.raises(
        Unavailable, match=r"web\.grpc_port \d+ on 127\.0\.0\.1: gateway\.port is the same"
    ) as caught:
        complain_about(settings)
    assert "--set web.grpc_port=N" in str(caught.value)


async def test_any_free_port_is_none_that_processes_can_share(tmp_path: Path) -> None:
    settings = load(data=tmp_path, flags={"gateway.port": "0", "web.port": "0"})
    with pytest.raises(Invalid, match=r"gateway\.port is 0"):
        await up(settings, None, [], demo=False)


async def test_nothing_is_started_while_a_port_is_taken(tmp_path: Path, taken: int) -> None:
    settings = load(data=tmp_path, flags={"gateway.port": str(taken), "web.port": "0"})
    with pytest.raises(Unavailable, match=r"gateway\.port"):
        await up(settings, None, [], demo=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["up.lock"]


async def test_demo_studies_that_were_loaded_are_not_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    sent: list[str] = []

    async def send(paths: list[Path], to: str, *, calling: str, parallel: int) -> int:
        sent.append(to)
        return 0

    def make(folder: Path) -> None:
        folder.mkdir()
        made.append(folder)

    monkeypatch.setattr(demo, "send", send)
    monkeypatch.setattr(demo, "_make", make)
    settings = load(data=tmp_path, flags={"gateway.port": "11199"})
    await demo.load_demo(settings)
    await demo.load_demo(settings)
    assert made == [tmp_path / "demo"]
    assert sent == ["dicom://ISOCENTER@127.0.0.1:11199"]


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("0.0.0.0", "dicom://ISOCENTER@127.0.0.1:11112"),
        ("10.1.2.3", "dicom://ISOCENTER@10.1.2.3:11112"),
        ("::1", "dicom://ISOCENTER@[::1]:11112"),
    ],
)
def test_the_demo_studies_are_sent_to_where_the_gateway_listens(host: str, peer: str) -> None:
    to = demo._own_gateway(load(flags={"gateway.host": host}))
    assert to == peer
    assert isinstance(parse_peer(to, "US"), Target)


async def test_demo_studies_that_were_refused_are_tried_again_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [1, 0]

    async def send(paths: list[Path], to: str, *, calling: str, parallel: int) -> int:
        return answers.pop(0)

    monkeypatch.setattr(demo, "send", send)
    monkeypatch.setattr(demo, "_make", lambda folder: folder.mkdir(exist_ok=True))
    settings = load(data=tmp_path)
    with pytest.raises(Unavailable, match="demo studies"):
        await demo.load_demo(settings)
    await demo.load_demo(settings)
    assert answers == []


async def test_check_says_what_is_wrong_and_what_to_do(
    tmp_path: Path, taken: int, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = {"gateway.port": "0", "web.port": str(taken), "storage.reserve_bytes": str(10**18)}
    assert await check(load(data=tmp_path / "new", flags=flags)) == 1
    told = capsys.readouterr().out
    for expected in (
        f"wrong web.port {taken}",
        "fix: stop the program that listens there",
        "wrong disk of",
        "fix: make room",
        "wrong viewer: not there",
        "fix: `make viewer` fetches it",
        "3 to fix",
        "ok    pydicom: 3.",
    ):
        assert expected in told


async def test_check_takes_ports_of_a_served_directory_for_its_own(
    tmp_path: Path, taken: int, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load(data=tmp_path, flags={"gateway.port": "0", "web.port": str(taken)})
    with only_one(tmp_path):
        await check(settings)
    assert f"ok    web.port {taken} on 127.0.0.1: in use while" in capsys.readouterr().out


async def test_check_says_what_is_wrong_with_folders_backends_and_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 1024))
    flags = {"bus": "pulsar:", "blobs": f"file:{tmp_path}/objects", "web.host": "0.0.0.0"}
    flags |= {"gateway.port": "0", "web.port": "0", "storage.reserve_bytes": "1000"}
    assert await check(load(data=tmp_path / "file", flags=flags)) == 1
    told = capsys.readouterr().out
    for expected in (
        f"wrong data directory {tmp_path}/file: {tmp_path}/file is a file",
        f"ok    disk of blobs {tmp_path}/objects",
        "ok    web.host: 0.0.0.0 (other machines can reach it)",
        "wrong bus: nothing here can use 'pulsar:'",
        "wrong open files: limit 1,024",
        "fix: LimitNOFILE=8000",
    ):
        assert expected in told
    assert told.count("wrong ") == told.count("fix: ")


async def test_check_names_what_another_user_left_in_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("log", "blobs"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path / "log")
    await check(load(data=tmp_path))
    told = capsys.readouterr().out
    assert f"wrong data directory {tmp_path}: not writable in it: log" in told
    assert "fix: chown -R" in told


async def test_check_is_content_with_a_machine_that_has_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.html").touch()
    flags = {"gateway.port": "0", "web.port": "0", "web.viewer": str(tmp_path)}
    flags["storage.reserve_bytes"] = "1000"
    assert await check(load(data=tmp_path, flags=flags)) == 0
    assert "everything is as it should be" in capsys.readouterr().out
