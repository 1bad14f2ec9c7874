"""`isocenter aes`: the AE directory from the command line, on a data directory."""

from __future__ import annotations

import json
import ssl
import sys

import pytest
from pynetdicom import AE, evt

from isocenter.cli.aes import fields_from, read_file
from isocenter.cli.main import main
from isocenter.core.errors import Invalid
from support.authority import Authority

CT1 = ("host=192.0.2.7", "port=104", "verbs=echo, store", "conflict=reject", 'site=Ä "1"')


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs `isocenter aes VERB ...` on a data directory that knows FIXED by its settings."""
    (tmp_path / "blobs").mkdir()
    known = 'gateway.known_aes=[{"title": "FIXED", "site": "here"}]'

    def command(verb: str, *arguments: str, code: int = 0) -> str:
        settings = ["--data", str(tmp_path), "--set", known]
        monkeypatch.setattr(sys, "argv", ["isocenter", "aes", verb, *arguments, *settings])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        assert ended.value.code == code, told
        return told.out if not code else told.err

    return command


def test_entries_are_added_changed_shown_and_removed(run):
    assert run("set", "CT1", *CT1) == "added: CT1\n"
    assert run("set", "CT1", "port=105", "conflict=") == "set: CT1\n"
    listed = [json.loads(line) for line in run("list", "--json").splitlines()]
    assert [one["source"] for one in listed] == ["directory", "settings"]
    assert listed[0]["ae"] == {
        "title": "CT1", "host": "192.0.2.7", "port": 105, "verbs": ["echo", "store"],
        "site": 'Ä "1"',
    }  # fmt: skip
    assert listed[0]["by"]
    shown = json.loads(run("show", "CT1"))["ae"]
    assert (shown["port"], shown["conflict"], shown["addresses"]) == (105, None, [])
    assert "192.0.2.7:105" in run("list")
    assert run("remove", "CT1") == "removed: CT1\n"
    assert "is not in the AE directory" in run("show", "CT1", code=1)
    assert "is not in the AE directory" in run("remove", "CT1", code=1)


def test_mistakes_are_explained_and_change_nothing(run):
    assert "write host=10.0.0.7" in run("set", "CT1", "host", code=1)
    assert "prot: Extra inputs" in run("set", "CT1", "prot=104", code=1)
    assert "give both" in run("set", "CT1", "port=104", code=1)
    assert "entry of the settings" in run("set", "FIXED", "site=there", code=1)
    assert "entry of the settings" in run("remove", "FIXED", code=1)
    assert "no port is known" in run("echo", "FIXED", code=1)
    assert [json.loads(run("list", "--json"))["ae"]["site"]] == ["here"]


@pytest.mark.parametrize("form", ["json", "toml"])
def test_what_is_exported_is_imported(run, tmp_path, form):
    run("set", "CT1", *CT1)
    run("set", "A B", "addresses=192.0.2.0/24,fd00::/64", "certificate=CN=a\\,b,O=H")
    file = tmp_path / f"aes.{form}"
    file.write_text(run("export", "--format", form))
    before = run("list", "--json")
    assert "FIXED" not in file.read_text()
    assert run("import", str(file)) == "0 added, 2 set or as they were\n"
    assert run("list", "--json") == before  # not even written again
    run("remove", "CT1")
    assert run("import", str(file)) == "1 added, 1 set or as they were\n"
    again = [json.loads(line)["ae"] for line in run("list", "--json").splitlines()]
    assert again == [json.loads(line)["ae"] for line in before.splitlines()]


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("aes.json", "{", "cannot be read"),
        ("aes.json", "[]", "no list `aes`"),
        (
            "aes.json",
            '{"aes": [{"title": "A"}, {"title": "B", "port": 1}]}',
            "entry 2: .*give both",
        ),
        ("aes.json", '{"aes": [{"title": "A"}, {"title": "A "}]}', "keep one of each"),
        ("aes.toml", "[[aes]]\ntitle=1", "entry 1: .*title: Input should be a valid string"),
        ("aes.toml", "aes", "cannot be read"),
    ],
)
def test_files_that_are_wrong_are_explained(tmp_path, name, text, hint):
    (tmp_path / name).write_text(text)
    with pytest.raises(Invalid, match=hint):
        read_file(tmp_path / name)
    with pytest.raises(Invalid, match="does not exist"):
        read_file(tmp_path / "none.json")


def test_fields_are_written_as_they_are_meant():
    assert fields_from(["port=104", "verbs=echo,store", 'sop_classes=["1.2"]', "site="]) == {
        "port": "104", "verbs": ["echo", "store"], "sop_classes": ["1.2"], "site": None,
    }  # fmt: skip
    for wrong in ("title=A", "=1", "site=[", "port"):
        with pytest.raises(Invalid):
            fields_from([wrong])


def test_an_ae_is_asked_whether_it_is_there(run):
    ae = AE("WS")
    ae.add_supported_context("1.2.840.10008.1.1")
    called = []
    handlers = [(evt.EVT_C_ECHO, lambda event: called.append(event.assoc.requestor.ae_title) or 0)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    port = server.socket.getsockname()[1]
    run("set", "WS", "host=127.0.0.1", f"port={port}")
    try:
        assert run("echo", "WS") == f"WS at 127.0.0.1:{port} answers\n"
    finally:
        server.shutdown()
    assert called == ["ISOCENTER"]
    assert "error:" in run("echo", "WS", code=1)


def test_an_ae_that_is_called_over_tls_is_asked_over_tls(run, tmp_path):
    files = Authority(tmp_path / "pki").issue("WS")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    ae = AE("WS")
    ae.add_supported_context("1.2.840.10008.1.1")
    server = ae.start_server(("127.0.0.1", 0), block=False, ssl_context=context)
    port = server.socket.getsockname()[1]
    run("set", "WS", "host=127.0.0.1", f"port={port}", "tls=true")
    trust = ("--set", f"gateway.ca_file={files.ca}")
    try:
        assert run("echo", "WS", *trust) == f"WS at 127.0.0.1:{port} answers\n"
        assert "certificate" in run("echo", "WS", code=1)
    finally:
        server.shutdown()


def test_nothing_of_a_file_is_taken_that_names_an_ae_of_the_settings(run, tmp_path):
    file = tmp_path / "aes.json"
    file.write_text('{"aes": [{"title": "NEW"}, {"title": "FIXED"}]}')
    assert "entry of the settings" in run("import", str(file), code=1)
    assert "NEW" not in run("list")
