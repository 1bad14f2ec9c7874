"""Messages that carry data are protobuf to anybody else, with fewer copies to us."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError

from isocenter.runtime.rpc_pieces import CHUNK, Gathering, _parser, gathered, piece
from isocenter.v1 import ingest_pb2, storage_pb2

Store, Stage, Chunk = ingest_pb2.StoreRequest, storage_pb2.StageRequest, storage_pb2.Chunk
Item = storage_pb2.ItemChunk
SIZES = [0, 1, 127, 128, 16383, 16384, CHUNK]


@pytest.mark.parametrize("size", SIZES)
def test_what_we_write_is_what_protobuf_reads(size):
    data = bytes(size)
    assert Store.FromString(piece(Store, [data])) == Store(data=data)
    assert Store.FromString(piece(Store, [data[:10], data[10:]], field="last")) == Store(last=data)
    commit = Stage(commit=Stage.Commit(key="k", digest="d"))
    assert Stage.FromString(piece(Stage, [data], field="rest", others=commit)) == Stage(
        commit=commit.commit, rest=data
    )
    numbered = Item(last=True, number=7)
    assert Item.FromString(piece(Item, [data], others=numbered)) == Item(
        data=data, last=True, number=7
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("field", ["data", "last"])
def test_what_protobuf_writes_is_what_we_read(size, field):
    read = _parser(Store.FromString)(Store(**{field: bytes(size)}).SerializeToString())
    assert read.WhichOneof("part") == field
    assert getattr(read, field) == bytes(size)


def test_other_fields_are_read_beside_the_data():
    item = _parser(Item.FromString)(Item(data=b"x" * 500, last=True, number=7).SerializeToString())
    assert (item.data, item.last, item.number) == (b"x" * 500, True, 7)
    stage = Stage(commit=Stage.Commit(key="k", digest="d"))
    for message in (
        Stage(commit=stage.commit, rest=b"end").SerializeToString(),
        piece(Stage, [b"end"], field="rest", others=stage),
    ):
        read = _parser(Stage.FromString)(message)
        assert read.WhichOneof("part") == "commit"
        assert (read.commit, read.rest) == (stage.commit, b"end")


@pytest.mark.parametrize("message", [Store(complete=True), Store(), Item(last=True), Item()])
def test_messages_without_data_are_those_of_protobuf(message):
    assert _parser(type(message).FromString)(message.SerializeToString()) == message


@pytest.mark.parametrize(
    "message", [b"\x12", b"\x12\x05abcd", b"\x12\xff\xff\xff\xff\xff\xff\xff", b"\x12\x01a\xff"]
)
def test_malformed_messages_are_refused(message):
    with pytest.raises(DecodeError):
        _parser(Store.FromString)(message)


async def test_many_small_buffers_are_one_message_though_each_is_reused():
    async def parts():
        buffer = bytearray(5)
        for number in range(10):
            buffer[:] = bytes([number]) * 5
            yield memoryview(buffer)

    messages = [Store.FromString(message) async for message in gathered(parts(), Store)]
    assert messages == [Store(last=b"".join(bytes([number]) * 5 for number in range(10)))]


async def test_no_message_is_larger_than_a_chunk():
    data = bytes(range(256)) * (CHUNK // 100)

    async def parts():
        yield data[:1000]
        yield data[1000:]

    messages = [Store.FromString(message) async for message in gathered(parts(), Store)]
    assert [len(message.data) for message in messages[:-1]] == [CHUNK] * 2
    assert 0 < len(messages[-1].last) <= CHUNK
    assert b"".join(message.data or message.last for message in messages) == data


def test_what_is_gathered_is_less_than_a_message():
    gathering = Gathering(Chunk)
    assert list(gathering.add(bytes(CHUNK))) == []
    assert len(list(gathering.add(bytes(2 * CHUNK)))) == 2
    assert sum(map(len, gathering.rest())) == CHUNK
