"""`python -m bench`: run the rows on all sides in turns and write the report."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from bench import (
    access_rows,
    audit_rows,
    certificate,
    gateway_rows,
    large,
    machine,
    orthanc,
    ours,
    report,
    stack_rows,
    storescp,
)
from bench.clients import Wrong
from bench.machine import Unusable
from bench.rows import ROWS, Bench, Row, Way
from bench.server import Server

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Exit code 0 when every row was measured on every side."""
    options = _options()
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    try:
        machine.ensure_programs()
        with (
            tempfile.TemporaryDirectory(prefix="isocenter-bench-", dir=options.scratch) as scratch,
            contextlib.ExitStack() as stack,
        ):
            bench = Bench(Path(scratch), options.quick)
            results: list[report.Result] = []
            complete = True
            if rows:
                ways = dict.fromkeys(row.way for row in rows)
                sides, complete = _start_sides(stack, Path(scratch), ways)
                results = [result for row in rows for result in _run(bench, row, sides[row.way])]
                stack.close()
            results += _run_large(bench, options.only)
            results += _run_gateway(bench, options.only)
            results += _run_costs(bench, options.only)
            results += _run_on_servers(bench, options.only)
            complete = complete and all(result.ratio is not None for result in results)
    except Unusable as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    report.write(options.results, results, quick=options.quick)
    print(f"\nwritten: {options.results}/latest.json and latest.md")
    return 0 if complete else 1


def _run_large(bench: Bench, only: Sequence[str] | None) -> list[report.Result]:
    """The rows of large things, on ours alone."""
    rows = {name: row for name, row in large.ROWS.items() if not only or name in only}
    results = []
    if rows:
        with large.side(bench) as server:
            for row in rows.values():
                result = row(bench, server)
                print(f"{result.name:24} {result.unit:12} {result}", flush=True)
                results.append(result)
    return results


def _run_gateway(bench: Bench, only: Sequence[str] | None) -> list[report.Result]:
    """The rows of the gateway under load, on ours alone."""
    rows = {name: row for name, row in gateway_rows.ROWS.items() if not only or name in only}
    results: list[report.Result] = []
    if rows:
        with gateway_rows.side(bench) as server:
            for row in rows.values():
                for result in row(bench, server):
                    print(f"{result.name:24} {result.unit:12} {result}", flush=True)
                    results.append(result)
    return results


def _run_costs(bench: Bench, only: Sequence[str] | None) -> list[report.Result]:
    """The rows of the audit trail and of access control, on ours with and without them."""
    results: list[report.Result] = []
    for part in (audit_rows, access_rows):
        rows = {name: row for name, row in part.ROWS.items() if not only or name in only}
        if rows:
            with part.sides(bench) as sides:
                for row in rows.values():
                    for result in row(bench, sides):
                        print(f"{result.name:24} {result.unit:12} {result}", flush=True)
                        results.append(result)
    return results


def _run_on_servers(bench: Bench, only: Sequence[str] | None) -> list[report.Result]:
    """The rows on Kafka, Elasticsearch and MinIO."""
    rows = {name: row for name, row in stack_rows.ROWS.items() if not only or name in only}
    results = []
    if rows:
        with contextlib.ExitStack() as running:
            on = stack_rows.StackBench.start(running, bench)
            for row in rows.values():
                result = row(on)
                print(f"{result.name:24} {result.unit:12} {result}", flush=True)
                results.append(result)
    return results


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    others = (large.ROWS, gateway_rows.ROWS, audit_rows.ROWS, access_rows.ROWS)
    others += (stack_rows.ROWS,)
    names = [row.name for row in ROWS] + [name for more in others for name in more]
    parser.add_argument("--only", action="append", choices=names, help="this row (repeatable)")
    parser.add_argument("--quick", action="store_true", help="one short round of each row")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the report")
    parser.add_argument("--scratch", type=Path, help="folder for data, 10 GB (default: system's)")
    return parser.parse_args()


def _start_sides(
    stack: contextlib.ExitStack, scratch: Path, ways: Collection[Way]
) -> tuple[dict[Way, list[Server]], bool]:
    """The sides in each of these ways, ours first, and whether ours is there.

    A run without ours is possible, to look at the peers, but never silent.
    """
    sink = stack.enter_context(storescp.start(scratch / "sink", keep=False))
    destination = (storescp.DESTINATION, sink.dicom_port)
    sides: dict[Way, list[Server]] = {}
    mine: dict[bool, list[Server]] = {}
    for way in ways:
        folder = scratch / way.value
        folder.mkdir()
        tls = certificate.make(folder / "tls") if way is Way.TLS else None
        if (tls is None) not in mine:
            mine[tls is None] = _start_ours(stack, folder, destination, tls)
        nagle = way is Way.AS_INSTALLED
        peers = (
            orthanc.start(folder / "orthanc", destination, nagle=nagle, tls=tls),
            storescp.start(folder / "storescp", keep=True, nagle=nagle, tls=tls),
        )
        sides[way] = mine[tls is None] + [stack.enter_context(peer) for peer in peers]
    return sides, all(mine.values())


def _start_ours(
    stack: contextlib.ExitStack,
    folder: Path,
    destination: tuple[str, int],
    tls: certificate.Certificate | None,
) -> list[Server]:
    try:
        return [stack.enter_context(ours.start(folder / "ours", destination, tls=tls))]
    except Unusable as error:
        print(f"bench: OUR SIDE IS LEFT OUT: {error}", file=sys.stderr)
        return []


def _run(bench: Bench, row: Row, sides: Sequence[Server]) -> list[report.Result]:
    """Measure a row in rounds; a line of the report for each peer."""
    taking_part = [one for one in sides if one.dicomweb or row.storescp_too]
    samples: dict[str, list[float]] = {one.name: [] for one in taking_part}
    for turn in range(1 if bench.quick else row.rounds):
        for one in taking_part:
            try:
                samples[one.name].append(row.measure(bench, one, turn))
            except (Wrong, OSError) as error:
                print(f"bench: {row.name} FAILED ON {one.name}: {error}", file=sys.stderr)
    results = []
    for peer in (name for name in samples if name != ours.NAME):
        name = row.name if peer == orthanc.NAME else f"{row.name}-files"
        mine = samples.get(ours.NAME, [])
        result = report.compare(
            name, row.unit, mine, samples[peer], peer, less_is_better=row.less_is_better
        )
        print(f"{name:24} {row.unit:12} {mine} {samples[peer]} {result.ratio}", flush=True)
        results.append(result)
    return results


if __name__ == "__main__":
    sys.exit(main())
