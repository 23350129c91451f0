"""Messages as columns, and the search for those that cannot be read."""

import numpy as np
import pyarrow as pa
import pytest

from farebox_processor import wire

NAMED = b"\x0a\x01k\x12\x03\x0a\x01v"
BROKEN = b"\x0a\x09"
MOJIBAKE = b"\x0a\x01\xff"


def read(messages: list[bytes], requests: list[int] | None = None) -> wire.Read:
    ids = np.asarray(requests or [0] * len(messages), dtype=np.int64)
    return wire.KEY_VALUE.read(pa.array(messages, type=pa.binary()), ids)


def test_messages_are_read_into_a_row_each() -> None:
    found = read([NAMED, b"", b"\x0a\x01k"])

    assert found.batch.column("key").to_pylist() == ["k", "", "k"]
    assert found.batch.column("value").field("text").to_pylist()[0] == "v"
    assert found.batch.column("value").is_null().to_pylist() == [False, True, True]
    assert found.undecodable.tolist() == []


def test_no_messages_are_no_rows() -> None:
    assert read([]).batch.num_rows == 0


@pytest.mark.parametrize("at", [0, 1, 63, 64, 998, 999])
def test_one_broken_message_among_many_is_found(at: int) -> None:
    messages = [NAMED] * 1000
    messages[at] = BROKEN

    found = read(messages)

    assert found.undecodable.tolist() == [at]
    assert found.batch.column("key").to_pylist() == ["k"] * at + [""] + ["k"] * (999 - at)


def test_text_that_is_not_utf8_is_mended() -> None:
    found = read([NAMED, MOJIBAKE, BROKEN, NAMED])

    assert found.batch.column("key").to_pylist() == ["k", "\ufffd", "", "k"]
    assert found.undecodable.tolist() == [2]


def test_the_search_gives_up_on_one_request_and_not_on_the_next() -> None:
    messages = [BROKEN, NAMED] * 4000 + [NAMED, BROKEN]

    found = read(messages, [0] * 8000 + [1, 1])

    assert {0, 8001} <= set(found.undecodable.tolist())
    assert 8000 not in found.undecodable
    assert set(range(0, 8000, 2)) < set(found.undecodable.tolist())
    assert found.batch.num_rows == 8002


def test_bodies_that_are_no_requests_are_named_and_read_as_empty() -> None:
    groups, wrong = wire.read_requests([b"\x0a\x00", b"\xff", b"", b"\x0a\x00\x0a\x00", b"\x0a"])

    assert wrong == [1, 4]
    assert [len(of_body) for of_body in groups.to_pylist()] == [1, 0, 0, 2, 0]
