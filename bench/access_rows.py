"""The rows of access control: what sessions and a policy cost.

A person with a session and rules of a network of hospitals, against whoever is on the machine,
where that is trusted and there is no policy.
"""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import costs, ours, rows, storescp
from bench.clients import CALLING, Wrong
from bench.costs import Measure, Sides
from bench.rows import Bench
from bench.server import HOST, Server

WITHOUT = "without sign-in and policy"
SITES, MARKED = 40, 200
PERSON, ADMINISTRATOR = "eva", "ada"
_PASSWORD = "a long enough sentence 7"
_LINK = re.compile(r"/invitation/[A-Za-z0-9_-]+")
_FORM = "application/x-www-form-urlencoded"

_RULES = """
[patients.staff]
ids = ["EMP*", "STAFF-????"]
issuer = "HR"

[[rules]]
name = "everybody does what they do with what their own site made"
allow = ["*"]
sites = ["own"]

[[rules]]
name = "administrators say what is confidential"
allow = ["mark"]
who = ["role:administrator"]

[[rules]]
name = "colleagues' own images are nobody's business"
deny = ["search", "read", "download"]
who = ["*"]
patients = ["staff"]

[[rules]]
name = "their physicians see them"
allow = ["search", "read"]
who = ["group:occupational-health"]
patients = ["staff"]
confidential = true
"""
_SITE_RULE = """
[[rules]]
name = "{site} is read at the next site"
allow = ["search", "read"]
who = ["group:readers-of-{site}"]
sites = ["{site}"]
modalities = ["CT", "MR", "US"]
"""

cost = partial(costs.cost, without=WITHOUT)
ROWS: Mapping[str, Measure] = {
    "access-qido": cost(
        "access-qido",
        "requests/s",
        rows.qido_patient_id(16, costs.WINDOW),
        rounds=costs.WINDOW_ROUNDS,
    ),
    "access-frame": cost("access-frame", "requests/s", rows.frame),
}


@contextmanager
def sides(bench: Bench) -> Iterator[Sides]:
    """Ours with a session under a policy, and ours without both."""
    policy = bench.scratch / "policy.toml"
    of_sites = (_SITE_RULE.format(site=f"site-{number}") for number in range(SITES))
    policy.write_text(_RULES + "".join(of_sites), encoding="utf-8")
    guarded = {
        "ISOCENTER_ACCESS__TRUST_LOOPBACK": "false",
        "ISOCENTER_ACCESS__POLICY": str(policy),
        # Counted as ever, and never reached: one client stands for a hospital.
        "ISOCENTER_LIMITS__REQUESTS_PER_SECOND": "1000000",
    }
    sender = {"title": CALLING, "host": HOST, "site": "site-0"}
    with storescp.start(bench.scratch / "access-sink", keep=False) as sink:
        destination = (storescp.DESTINATION, sink.dicom_port)
        folder = bench.scratch / "access-with"
        with (
            ours.start(folder, destination, aes=[sender], env=guarded) as with_,
            ours.start(bench.scratch / "access-without", destination, aes=[sender]) as without,
        ):
            yield _signed_in(with_, folder / "data"), replace(without, name=WITHOUT)


def _signed_in(server: Server, data: Path) -> Server:
    """The same, asked by a person of the site that stores, while patients of others are marked."""
    administrator = _session(server, data, ADMINISTRATOR, "administrator")
    for number in range(MARKED):
        _post(server, "/access/marks", {"patient": f"CONFIDENTIAL{number}"}, administrator)
    return replace(server, headers=(("Cookie", _session(server, data, PERSON, "viewer")),))


def _session(server: Server, data: Path, name: str, role: str) -> str:
    """The cookie of a new account's session."""
    command = [sys.executable, "-m", "isocenter", "account", "add", name, "--data", str(data)]
    command += ["--role", role, "--site", "site-0"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    link = _LINK.search(told)
    if link is None:
        raise Wrong(f"no link was made for {name}: {told}")
    return _post(server, link[0], {"password": _PASSWORD, "again": _PASSWORD})


def _post(server: Server, path: str, fields: Mapping[str, str], cookie: str = "") -> str:
    """Send a form; the cookie that is set. Raises `Wrong`."""
    root = urllib.parse.urlsplit(server.dicomweb)
    connection = http.client.HTTPConnection(root.netloc, timeout=60)
    headers = {"Content-Type": _FORM, "Origin": f"http://{root.netloc}", "Cookie": cookie}
    connection.request("POST", path, urllib.parse.urlencode(fields), headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 303:
        raise Wrong(f"POST {path}: {answer.status}")
    return str(answer.headers.get("Set-Cookie", "")).partition(";")[0]
