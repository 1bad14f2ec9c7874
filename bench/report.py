"""The report: `latest.json`, a list of rows with their circumstances, and `latest.md`."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import machine, orthanc, ours, put_objects, storescp

DURABILITY = {
    ours.NAME: ours.DURABILITY,
    orthanc.NAME: orthanc.DURABILITY,
    storescp.NAME: storescp.DURABILITY,
    "on servers": "object: MinIO, one drive; event: Kafka, one broker, acks=all",
    put_objects.NAME: "the same MinIO, by its SDK",
}


Row = dict[str, Any]  # as in latest.json


@dataclass(frozen=True)
class Result:
    """Medians of one row; `ratio` > 1 means ours is better. None: that side did not run."""

    name: str
    unit: str
    ours: float | None
    peer: float | None
    peer_name: str
    ratio: float | None


def compare(
    name: str,
    unit: str,
    mine: Sequence[float],
    peer: Sequence[float],
    peer_name: str,
    *,
    less_is_better: bool,
) -> Result:
    """The medians of both sides and their ratio."""
    a, b = (statistics.median(side) if side else None for side in (mine, peer))
    ratio = None
    if a and b:
        ratio = round(b / a if less_is_better else a / b, 2)
    return Result(name, unit, _rounded(a), _rounded(b), peer_name, ratio)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def versions() -> dict[str, str]:
    """Versions of all sides and clients."""
    return {
        ours.NAME: importlib.metadata.version("isocenter"),
        orthanc.NAME: machine.package_version("orthanc"),
        "orthanc-dicomweb": machine.package_version("orthanc-dicomweb"),
        "dcmtk": machine.package_version("dcmtk"),
        "wrk": machine.package_version("wrk"),
        "minio SDK": importlib.metadata.version("minio"),
    }


def write(folder: Path, results: Sequence[Result], *, quick: bool) -> None:
    """Write both files into the folder; rows that were not measured this time stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    circumstances = {
        "machine": machine.describe(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "versions": versions(),
        "durability": DURABILITY,
        "quick": quick,
    }
    latest = folder / "latest.json"
    known: list[Row] = json.loads(latest.read_text()) if latest.exists() else []
    rows = {row["name"]: row for row in known}
    rows |= {result.name: {**asdict(result), **circumstances} for result in results}
    latest.write_text(json.dumps(list(rows.values()), indent=2) + "\n")
    (folder / "latest.md").write_text(_markdown(list(rows.values())))


def _markdown(rows: Sequence[Row]) -> str:
    newest = max(rows, key=lambda row: row["date"])
    machine_text = ", ".join(f"{key} {value}" for key, value in newest["machine"].items())
    version_text = ", ".join(f"{key} {value}" for key, value in newest["versions"].items())
    lines = [
        "| work | unit | ours | peer | peer is | ratio (> 1: ours is better) | measured |",
        "|---|---|---:|---:|---|---:|---|",
        *(
            f"| `{row['name']}` | {row['unit']} | {_text(row['ours'])} | {_text(row['peer'])} "
            f"| {row['peer_name']} | {_text(row['ratio'])} "
            f"| {row['date']}{' (quick)' if row['quick'] else ''} |"
            for row in rows
        ),
        "",
        f"Machine of the newest rows: {machine_text}. Versions: {version_text}.",
        "Medians; both sides in one run, in turns, with the same files and clients.",
        "",
        "Durable when success is answered:",
        "",
        *(f"- {name}: {text}" for name, text in newest["durability"].items()),
    ]
    return "\n".join(lines) + "\n"


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
