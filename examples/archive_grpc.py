"""Stores files and gets them back over gRPC, with grpcio and the stubs of the package.

    pip install isocenter
    isocenter token create example > token
    python archive_grpc.py localhost:50052 token FILE...

Other languages make their stubs from `protos/isocenter/v1/archive.proto`, or ask the server for it
by reflection.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc

from isocenter.v1 import archive_pb2, archive_pb2_grpc, query_pb2

CHUNK = 256 * 1024


def main(address: str, token_file: str, paths: list[str]) -> None:
    """Store, watch for it, search it, and retrieve it in several forms."""
    who = [("authorization", f"Bearer {Path(token_file).read_text().strip()}")]
    with grpc.insecure_channel(address) as channel:
        archive = archive_pb2_grpc.ArchiveServiceStub(channel)
        stored = list(archive.StoreObjects(messages_of(paths), metadata=who))
        for one in stored:
            outcome = f"refused: {one.failure.message}" if one.failure.reason else one.digest[:16]
            print(f"file {one.number}: {outcome}")
        name = stored[0].name

        # The log tells what was stored from the oldest event it still holds on, and goes on
        # telling; what is stored is found within a second.
        changes = archive.WatchChanges(
            archive_pb2.WatchChangesRequest(since="oldest"), metadata=who
        )
        for change in changes:
            if not change.type.endswith(".StudyChanged"):  # the first tells a position alone
                continue
            told = json.loads(change.data)
            if told["study"] == name.study:
                print(f"the study now has {told['instanceCount']} instances")
                changes.cancel()
                break

        request = archive_pb2.SearchArchiveRequest(
            level=query_pb2.LEVEL_STUDY,
            match=[
                archive_pb2.SearchArchiveRequest.Match(
                    attribute="StudyInstanceUID", value=name.study
                )
            ],
            include=["StudyDescription"],
        )
        for answer in archive.SearchArchive(request, metadata=who):
            for study in map(json.loads, answer.answers):
                print(f"patient: {study['00100020']['Value'][0]}")

        place = {"study": name.study, "series": name.series, "instance": name.instance}
        (item,) = archive.RetrieveMetadata(
            archive_pb2.RetrieveMetadataRequest(**place), metadata=who
        )
        print(f"rows: {json.loads(item.data)['00280010']['Value'][0]}")
        wanted = archive_pb2.RetrieveFramesRequest(**place, numbers=[1], decoded=True)
        frame = b"".join(piece.data for piece in archive.RetrieveFrames(wanted, metadata=who))
        print(f"bytes of the first frame: {len(frame)}")
        objects = archive.RetrieveObjects(
            archive_pb2.RetrieveObjectsRequest(study=name.study), metadata=who
        )
        print(f"files: {sum(1 for part in objects if part.WhichOneof('part') == 'head')}")


def messages_of(paths: list[str]) -> Iterator[archive_pb2.StoreObjectsRequest]:
    """The files, one after the other, in chunks."""
    for path in paths:
        with Path(path).open("rb") as file:
            chunk = file.read(CHUNK)
            while following := file.read(CHUNK):
                yield archive_pb2.StoreObjectsRequest(data=chunk)
                chunk = following
            yield archive_pb2.StoreObjectsRequest(data=chunk, end=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
