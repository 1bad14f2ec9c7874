"""What the server says of itself, asked by curl, and that it is so, in both shapes."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

from support.clients import run
from support.harness import Isocenter


def test_the_described_resources_are_there(isocenter: Isocenter) -> None:
    described = run("curl", "-sSf", "-X", "OPTIONS", f"{isocenter.dicomweb}/")
    assert described.code == 0, described.text
    (resources,) = ET.fromstring(described.text)
    assert resources.get("base") == isocenter.dicomweb
    names = [resource.get("path") for resource in resources]
    assert names == ["studies", "series", "instances"]
    for name in names:
        assert isinstance(isocenter.search(f"/{name}?limit=1"), list)


def test_openapi_names_this_server_and_every_path_answers_options(isocenter: Isocenter) -> None:
    fetched = run("curl", "-sSf", f"{isocenter.http_url}/api/openapi.json")
    document = json.loads(fetched.text)
    assert document["servers"] == [{"url": isocenter.http_url}]
    values = {"study": "1.2", "series": "1.3", "instance": "1.4", "frames": "1",
              "path": "00420011", "file": "index.html", "deletion": "1",
              "title": "CT1", "record": "1", "name": "night", "resource": "1",
              "secret": "x", "link": "1", "mark": "1"}  # fmt: skip
    paths = [path.format(**values) for path in document["paths"] if path != "/dicomweb"]
    addresses = [f"{isocenter.http_url}{path}" for path in paths if path != "/dicomweb/"]
    asked = run("curl", "-sS", "-X", "OPTIONS", "-w", "%{http_code} %header{allow}\n", *addresses)
    lines = asked.text.splitlines()
    assert len(lines) == len(addresses)
    assert all(line.startswith("204 ") and "OPTIONS" in line for line in lines), asked.text
