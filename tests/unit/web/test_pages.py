"""Health and the viewer."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from isocenter.web.settings import WebSettings
from support.web_fakes import Web


@pytest.fixture
def viewer(tmp_path: Path) -> Path:
    folder = tmp_path / "viewer"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "index.html").write_text("<html>the viewer</html>")
    (folder / "12.bundle.b4688cdbdd856b75.js").write_text("plain")
    (folder / "12.bundle.b4688cdbdd856b75.js.gz").write_bytes(b"\x1f\x8b")
    (folder / "0ddf166f7a343eda.wasm").write_bytes(b"\0asm")
    return folder


def serving(folder: Path | None) -> Web:
    return Web(settings=WebSettings(port=0, viewer=folder))


async def test_the_process_lives_and_says_whether_it_is_ready() -> None:
    web = Web()
    assert (await web.get("/livez")).status_code == 200
    assert (await web.get("/readyz")).json() == {"status": "ok", "problems": []}
    web.problems = ["indexing: the log does not answer"]
    answer = await web.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == web.problems


async def test_the_root_leads_to_the_viewer() -> None:
    for path in ("/", "/viewer"):
        answer = await Web().get(path)
        assert (answer.status_code, answer.headers["location"]) == (307, "/viewer/")


@pytest.mark.parametrize("path", ["", "viewer", "some/deep/path"])
async def test_paths_that_the_viewer_makes_up_give_its_page_isolated(
    viewer: Path, path: str
) -> None:
    answer = await serving(viewer).get(f"/viewer/{path}?StudyInstanceUIDs=1.2")
    assert answer.text == "<html>the viewer</html>"
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
    assert answer.headers["cache-control"] == "no-cache"
    again = await serving(viewer).get(f"/viewer/{path}", if_none_match=answer.headers["etag"])
    assert again.status_code == 304


async def test_files_have_their_media_types_and_compressed_forms(viewer: Path) -> None:
    web = serving(viewer)
    script = "/viewer/12.bundle.b4688cdbdd856b75.js"
    plain = await web.get(script, accept_encoding="identity")
    assert (plain.text, plain.headers["content-type"]) == (
        "plain",
        "text/javascript; charset=utf-8",
    )
    assert "immutable" in plain.headers["cache-control"]
    async with (
        web.client() as client,
        client.stream("GET", script, headers={"accept-encoding": "gzip"}) as packed,
    ):
        assert packed.headers["content-encoding"] == "gzip"
    wasm = await web.get("/viewer/0ddf166f7a343eda.wasm")
    assert wasm.headers["content-type"] == "application/wasm"


@pytest.mark.parametrize("asked", ["bytes=0-0", "bytes=-0", "bytes=0-0,1-1", "lines=1", "x"])
async def test_files_come_as_a_whole(viewer: Path, asked: str) -> None:
    answer = await serving(viewer).get("/viewer/index.html", range=asked)
    assert (answer.status_code, answer.text) == (200, "<html>the viewer</html>")
    assert answer.headers["accept-ranges"] == "none"


@pytest.mark.parametrize(
    "path", ["missing.js", "..%2fsecret.txt", "%2e%2e/secret.txt", "a%00.js", "%2fetc/host.conf"]
)
async def test_nothing_outside_the_folder_is_served(viewer: Path, path: str) -> None:
    answer = await serving(viewer).get(f"/viewer/{path}")
    assert answer.status_code == 404
    assert "secret" not in answer.text


async def test_the_configuration_names_this_server(viewer: Path) -> None:
    answer = await serving(viewer).get("/viewer/app-config.js")
    assert answer.text.startswith("window.config = {")
    assert '"wadoRoot":"/dicomweb"' in answer.text
    assert '"routerBasename":"/viewer"' in answer.text


async def test_a_missing_viewer_says_how_to_get_it(tmp_path: Path) -> None:
    for folder in (None, tmp_path / "nothing"):
        answer = await serving(folder).get("/viewer/")
        assert answer.status_code == 503
        assert "make viewer" in answer.text


def test_settings_name_the_fix() -> None:
    assert WebSettings(public_url="https://pacs.example.org/").public_url.endswith(".org")
    with pytest.raises(ValidationError, match=r"https://pacs\.example\.org"):
        WebSettings(public_url="pacs")
