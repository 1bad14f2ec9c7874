"""The report: `latest.json`, a list of rows with their circumstances, and `latest.md`."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import machine, orthanc, ours, put_objects, storescp

DURABILITY = {
    ours.NAME: ours.DURABILITY,
    orthanc.NAME: orthanc.DURABILITY,
    storescp.NAME: storescp.DURABILITY,
    "on servers": "object: MinIO, one drive; event: Kafka, one broker, acks=all",
    put_objects.NAME: "the same MinIO, by its SDK",
}


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
    }


def write(folder: Path, results: Sequence[Result], *, quick: bool) -> None:
    """Write both files into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    circumstances = {
        "machine": machine.describe(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "versions": versions(),
        "durability": DURABILITY,
        "quick": quick,
    }
    rows = [{**asdict(result), **circumstances} for result in results]
    (folder / "latest.json").write_text(json.dumps(rows, indent=2) + "\n")
    (folder / "latest.md").write_text(_markdown(results, circumstances))


def _markdown(results: Sequence[Result], circumstances: Mapping[str, object]) -> str:
    machine_text = ", ".join(f"{key} {value}" for key, value in machine.describe().items())
    version_text = ", ".join(f"{key} {value}" for key, value in versions().items())
    lines = [
        "| work | unit | ours | peer | peer is | ratio (> 1: ours is better) |",
        "|---|---|---:|---:|---|---:|",
        *(
            f"| `{one.name}` | {one.unit} | {_text(one.ours)} | {_text(one.peer)} "
            f"| {one.peer_name} | {_text(one.ratio)} |"
            for one in results
        ),
        "",
        f"Measured on {circumstances['date']}"
        + (" with `--quick`" if circumstances["quick"] else "")
        + f": {machine_text}. Versions: {version_text}.",
        "Medians; both sides in one run, in turns, with the same files and clients.",
        "",
        "Durable when success is answered:",
        "",
        *(f"- {name}: {text}" for name, text in DURABILITY.items()),
    ]
    return "\n".join(lines) + "\n"


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
