"""A drill on the real servers: an index made anew beside the one in use, and compared with it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from minio import Minio

from isocenter.adapters.index.elasticsearch.schema import STUDIES, alias
from support.clients import dcmtk
from support.files import Series, find_instances, write_series
from support.harness import Isocenter, running, wait_until
from support.senders import DimseSender
from support.stack import ACCESS_KEY, SECRET_KEY, Stack


@pytest.fixture
def isocenter(stack: Stack, name: str, tmp_path: Path) -> Iterator[Isocenter]:
    """On the servers, with a bucket that keeps versions."""
    settings = {"process.workers": 1, "s3.versioning": True, **stack.settings(name)}
    with running(tmp_path / "data", "up", settings) as installation:
        yield installation


def store(isocenter: Isocenter, series: Series) -> None:
    sent = dcmtk("storescu", isocenter, "+sd", series.folder, nagle=False)
    assert sent.code == 0, sent.text
    wait_until(lambda: len(find_instances(isocenter, series.study)) == series.count)


def asked(stack: Stack, path: str, method: str = "GET") -> Any:
    """What Elasticsearch answers."""
    url = f"http://{stack.elasticsearch.address}/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=20) as answer:
        return json.load(answer)


def indices(stack: Stack, name: str) -> set[str]:
    return {one["index"] for one in asked(stack, f"_cat/indices/{name}-*?format=json")}


def forget(stack: Stack, index: str, study: str) -> None:
    """Remove a study's document behind the back of everyone."""
    (hit,) = asked(stack, f"{index}/_search?q=study:{study}")["hits"]["hits"]
    place = f"{quote(hit['_id'], safe='')}?routing={quote(hit['_routing'], safe='')}&refresh=true"
    assert asked(stack, f"{hit['_index']}/_doc/{place}", "DELETE")["result"] == "deleted"


def test_a_drill_while_scanners_send_changes_nothing_and_finds_what_is_wrong(
    stack: Stack, name: str, isocenter: Isocenter, tmp_path: Path
) -> None:
    one, other = (write_series(tmp_path / folder, 20) for folder in ("one", "other"))
    store(isocenter, one)
    store(isocenter, other)
    before = indices(stack, name)
    sender = DimseSender(isocenter, [write_series(tmp_path / "during", 3000, rows=16)])
    sender.start()
    wait_until(lambda: len(sender.acknowledged) >= 5, what="storing is under way")
    try:
        drill = isocenter.cli("drill", "--sample", "0.5")
        assert drill.returncode == 0, drill.stdout + drill.stderr
        assert sender.pending, "storing ended before the drill"
    finally:
        sender.stop()
    assert indices(stack, name) - before <= {f"{name}-rebuild"}, "the drill left something"

    minio = Minio(stack.minio.address, ACCESS_KEY, SECRET_KEY, secure=False)
    (key, *_) = isocenter.objects.contents(one.study)
    minio.remove_object(name, key)
    forget(stack, alias(name, STUDIES), other.study)
    drill = isocenter.cli("drill", "--sample", "0")
    told = " ".join(drill.stderr.split())
    assert drill.returncode == 1
    assert "1 instance found, but not kept" in told
    assert f"for example {one.study}" in told
    assert "searches do not find it, though 20 instances of it are kept" in told
    assert f"for example {other.study}" in told
    rebuilt = isocenter.cli("rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert len(find_instances(isocenter, other.study)) == other.count
