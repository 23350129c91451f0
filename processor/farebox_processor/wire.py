"""Protobuf bytes in, Arrow columns out, one level of OTLP's nesting at a time.

The descriptors below are farebox's own and read the same bytes as OTLP's: fields that nothing
here needs are left out, and what may be nested without end, or may be hostile, stays bytes until
it has been counted. That is nearly three times as quick as OTLP's descriptors, and thirty million
empty spans cost five bytes of memory each.

A level that does not parse is searched for the rows to blame, so that they alone are lost.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool
from ptars import HandlerPool

__all__ = [
    "EVENT",
    "KEY_VALUE",
    "LINK",
    "RESOURCE",
    "SCOPE",
    "SPAN",
    "Message",
    "Read",
    "read_requests",
]

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE: Final = "farebox.wire"

# name of the message -> (name, number, type) of its fields; "type*" is repeated
_MESSAGES: Final = {
    "Request": [("resource_spans", 1, "ResourceSpans*")],
    "ResourceSpans": [("resource", 1, "bytes"), ("scope_spans", 2, "ScopeSpans*")],
    "ScopeSpans": [("scope", 1, "bytes"), ("spans", 2, "bytes*")],
    "Resource": [("attributes", 1, "bytes*")],
    "Scope": [("name", 1, "string"), ("version", 2, "string")],
    "Span": [
        ("trace_id", 1, "bytes"),
        ("span_id", 2, "bytes"),
        ("trace_state", 3, "string"),
        ("parent_span_id", 4, "bytes"),
        ("name", 5, "string"),
        ("kind", 6, "int32"),
        ("start_time_unix_nano", 7, "fixed64"),
        ("end_time_unix_nano", 8, "fixed64"),
        ("attributes", 9, "bytes*"),
        ("events", 11, "bytes*"),
        ("links", 13, "bytes*"),
        ("status", 15, "Status"),
    ],
    "Status": [("message", 2, "string"), ("code", 3, "int32")],
    "KeyValue": [("key", 1, "string"), ("value", 2, "AnyValue")],
    # A oneof in OTLP. Optional fields keep what is absent apart from what is empty.
    "AnyValue": [
        ("text", 1, "string"),
        ("boolean", 2, "bool"),
        ("integer", 3, "int64"),
        ("double", 4, "double"),
        ("array", 5, "bytes"),
        ("map", 6, "bytes"),
        ("bytes", 7, "bytes"),
    ],
    "Event": [
        ("time_unix_nano", 1, "fixed64"),
        ("name", 2, "string"),
        ("attributes", 3, "bytes*"),
    ],
    "Link": [
        ("trace_id", 1, "bytes"),
        ("span_id", 2, "bytes"),
        ("trace_state", 3, "string"),
        ("attributes", 4, "bytes*"),
    ],
}

_NONE: Final = np.empty(0, dtype=np.int64)
_SPLIT: Final = 8
_MOST_PARTS: Final = 2048
"""Parts of one request that are tried before the rest of it counts as undecodable: some 0.1 s."""


@dataclass(frozen=True, slots=True)
class Read:
    """A level of messages as columns."""

    batch: pa.RecordBatch
    """One row per message; a message that could not be read has the defaults of every field."""
    undecodable: npt.NDArray[np.int64]
    """Rows of the messages that could not be read, ascending."""


class Message:
    """A kind of message that can be read in bulk."""

    def __init__(self, name: str) -> None:
        self._strict = _STRICT[name]
        self._lenient = _LENIENT[name]

    def read(self, raw: pa.Array, requests: npt.NDArray[Any]) -> Read:
        """Read serialised messages (Arrow `binary`); text that is not UTF-8 gets U+FFFD.

        `requests` says which request each one came in, in ascending order: the search for what
        cannot be read is bounded per request, so that no sender can spend another one's time.
        """
        try:
            return Read(self._strict.array_to_record_batch(raw), _NONE)
        except ValueError:
            return self._search(raw, requests)

    def read_each_once(
        self, raw: pa.Array, requests: npt.NDArray[Any]
    ) -> tuple[Read, npt.NDArray[Any]]:
        """Read serialised messages of which many are equal, and return the row of each as well.

        To tell that two are equal costs an eighth of reading them. Where one cannot be read none
        are shared, so that no sender's message is lost among those of another one.
        """
        encoded = raw.dictionary_encode()
        try:
            batch = self._strict.array_to_record_batch(encoded.dictionary)
        except ValueError:
            return self._search(raw, requests), np.arange(len(raw))
        return Read(batch, _NONE), encoded.indices.to_numpy()

    def _search(self, raw: pa.Array, requests: npt.NDArray[Any]) -> Read:
        batches: list[pa.RecordBatch] = []
        undecodable: list[range] = []
        tried: Counter[int] = Counter()
        parts = [(0, len(raw))]
        while parts:
            start, stop = parts.pop()
            request = int(requests[start])
            is_shared = request != requests[stop - 1]
            tried[request] += not is_shared
            is_given_up = not is_shared and tried[request] > _MOST_PARTS
            batch = None if is_given_up else self._mended(raw.slice(start, stop - start))
            if batch is not None:
                batches.append(batch)
            elif is_given_up or stop - start == 1:
                undecodable.append(range(start, stop))
                batches.append(self._empty(stop - start))
            else:
                cuts = np.unique(np.linspace(start, stop, _SPLIT + 1, dtype=int)).tolist()
                parts += reversed(list(pairwise(cuts)))
        rows = np.concatenate(
            [np.asarray(part, dtype=np.int64) for part in [range(0), *undecodable]]
        )
        return Read(pa.concat_batches(batches), rows)

    def _mended(self, raw: pa.Array) -> pa.RecordBatch | None:
        """Read messages whose text may not be UTF-8; None where more than the text is wrong."""
        try:
            batch = self._lenient.array_to_record_batch(raw)
        except ValueError:
            return None
        schema = self._strict.schema()
        columns = [
            _as_text(column, field.type)
            for column, field in zip(batch.columns, schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def _empty(self, rows: int) -> pa.RecordBatch:
        return self._strict.array_to_record_batch(pa.array([b""] * rows, type=pa.binary()))


def read_requests(bodies: Sequence[bytes]) -> tuple[pa.Array, list[int]]:
    """Read the skeleton of ExportTraceServiceRequests: resources, scopes and spans as bytes.

    Returns, per body, the list of its ResourceSpans, and which bodies are no such request; those
    are read as empty ones.
    """
    read = _STRICT["Request"].list_to_record_batch
    try:
        return read(list(bodies)).column(0), []
    except ValueError:
        refused = [index for index, body in enumerate(bodies) if not _is_request(body)]
    wrong = set(refused)
    bodies = [b"" if index in wrong else body for index, body in enumerate(bodies)]
    return read(bodies).column(0), refused


def _is_request(body: bytes) -> bool:
    try:
        _STRICT["Request"].list_to_record_batch([body])
    except ValueError:
        return False
    return True


def _as_text(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Turn bytes that should be text into text, one level of structs deep."""
    if pa.types.is_struct(wanted):
        fields = [
            _as_text(array.field(index), wanted.field(index).type)
            for index in range(wanted.num_fields)
        ]
        return pa.StructArray.from_arrays(fields, fields=list(wanted), mask=array.is_null())
    if not (pa.types.is_string(wanted) and pa.types.is_binary(array.type)):
        return array
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid:
        values = array.to_pylist()
        mended = [None if value is None else value.decode("utf-8", "replace") for value in values]
        return pa.array(mended, type=wanted)


def _handlers(text_type: str) -> dict[str, Any]:
    """Build a reader per message, with its text read as `text_type`."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"farebox_{text_type}.proto", package=f"{_PACKAGE}.{text_type}", syntax="proto3"
    )
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for name, number, kind in fields:
            field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
            if kind.endswith("*"):
                field.label = _Field.LABEL_REPEATED
            _set_type(field, kind.rstrip("*").replace("string", text_type), file.package)
            if message_name == "AnyValue":
                field.oneof_index = 0
        if message_name == "AnyValue":
            message.oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindFileByName(file.name)
    handlers = HandlerPool([descriptor])
    return {
        name: handlers.get_for_message(message)
        for name, message in descriptor.message_types_by_name.items()
    }


def _set_type(field: descriptor_pb2.FieldDescriptorProto, kind: str, package: str) -> None:
    if kind in _MESSAGES:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{package}.{kind}"
    else:
        field.type = _Field.Type.Value(f"TYPE_{kind.upper()}")


_STRICT: Final = _handlers("string")
_LENIENT: Final = _handlers("bytes")

RESOURCE: Final = Message("Resource")
SCOPE: Final = Message("Scope")
SPAN: Final = Message("Span")
KEY_VALUE: Final = Message("KeyValue")
EVENT: Final = Message("Event")
LINK: Final = Message("Link")
