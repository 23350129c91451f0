"""Export requests and attached attributes in, export requests with these attributes out.

A span stays the bytes that it was: a serialised message grows by the fields that are appended to
it. So nothing of a request is lost, not even fields that are not known here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from farebox_processor.enrichment import ATTACHED, Attached
from farebox_processor.otlp import Decoded

__all__ = ["Enriched", "Flushed", "enrich"]

_Rows: TypeAlias = npt.NDArray[np.int64]

_NO_SEPARATOR: Final = pa.scalar(b"", pa.binary())
# Tags of protobuf fields: number << 3 | wire type.
_SPAN_ATTRIBUTES: Final = b"\x4a"
_KEY: Final = b"\x0a"
_VALUE: Final = b"\x12"
_TEXT: Final = b"\x0a"
_INTEGER: Final = b"\x18"
_DOUBLE: Final = b"\x21"


@dataclass(frozen=True, slots=True)
class Flushed:
    """What one flush has stored: the requests as they came, and what their spans are given."""

    bodies: Sequence[bytes]
    requests: pl.Series
    """Index of the request of each span that was taken, ascending."""
    places: _Rows
    """Which span of its request each of them is."""
    attached: Attached
    repeated: frozenset[int]
    """Rows of the spans that came with attributes of the same names, which are left out."""
    size_bytes: int

    @classmethod
    def of(cls, bodies: Sequence[bytes], decoded: Decoded, attached: Attached) -> "Flushed":
        """Put together what is needed of a flush, and count its bytes."""
        return cls(
            bodies=bodies,
            requests=decoded.spans["request"],
            places=decoded.places,
            attached=attached,
            repeated=frozenset(decoded.span_attributes.rows_with(ATTACHED).tolist()),
            size_bytes=sum(map(len, bodies)) + int(attached.attributes.estimated_size()),
        )


@dataclass(frozen=True, slots=True)
class Enriched:
    """A request ready to be sent; several of them, one after another, are one request too."""

    body: bytes
    spans: int


def enrich(flushed: Flushed) -> Iterator[Enriched]:
    """Yield the requests of a flush that have spans, with those that were taken, enriched."""
    added = _added(flushed.attached, len(flushed.requests))
    requests = flushed.requests.to_numpy()
    bounds = np.searchsorted(requests, np.arange(len(flushed.bodies) + 1)).tolist()
    for index, body in enumerate(flushed.bodies):
        begin, end = bounds[index], bounds[index + 1]
        if begin < end:
            places = flushed.places[begin:end].tolist()
            wanted = dict(zip(places, range(begin, end), strict=True))
            yield Enriched(_rebuilt(body, wanted, added, flushed.repeated), end - begin)


def _rebuilt(
    body: bytes, wanted: dict[int, int], added: list[bytes], repeated: frozenset[int]
) -> bytes:
    """Append to the spans at the places that are keys of `wanted`; leave the others out."""
    try:
        request = _Request.FromString(body)
    except DecodeError:
        return body  # the decoder takes more than protobuf does; the downstream may, too
    place = 0
    for group in request.resource_spans:
        for scope in group.scope_spans:
            rows = [wanted.get(place + at) for at in range(len(scope.spans))]
            place += len(rows)
            scope.spans[:] = [
                (_without_attached(span) if row in repeated else span) + added[row]
                for span, row in zip(scope.spans, rows, strict=True)
                if row is not None
            ]
    rebuilt: bytes = request.SerializeToString()
    return rebuilt


def _without_attached(span: bytes) -> bytes:
    try:
        message = Span.FromString(span)
    except DecodeError:
        return span  # its text is not UTF-8; the attributes appended are read last
    kept = [one for one in message.attributes if one.key not in ATTACHED]
    del message.attributes[:]
    message.attributes.extend(kept)
    return message.SerializeToString()


def _added(attached: Attached, height: int) -> list[bytes]:
    """Return, for each of `height` spans, its attributes as serialised fields of a Span."""
    rows: list[bytes] = [b""] * height
    if attached.rows.is_empty():
        return rows
    fields = [_field(column) for column in attached.attributes]
    joined = _join(*(pc.fill_null(field, b"") for field in fields))
    for row, suffix in zip(attached.rows, joined.to_pylist(), strict=True):
        rows[row] = suffix
    return rows


def _field(values: pl.Series) -> pa.Array:
    """Serialise a KeyValue for each value, as one of the attributes of a Span; null for null."""
    key = values.name.encode()
    value = _any_value(values)
    start = _KEY + _varint(len(key)) + key + _VALUE
    key_value = _join(start, _varints(pc.binary_length(value)), value)
    return _join(_SPAN_ATTRIBUTES, _varints(pc.binary_length(key_value)), key_value)


def _any_value(values: pl.Series) -> pa.Array:
    if values.dtype == pl.String:
        text = values.cast(pl.Binary).to_arrow().cast(pa.binary())
        return _join(_TEXT, _varints(pc.binary_length(text)), text)
    if values.dtype == pl.Float64:
        little_endian = values.fill_null(0).to_numpy().astype("<f8").tobytes()
        block = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(8), len(values), [None, pa.py_buffer(little_endian)]
        )
        mask = values.is_not_null().to_arrow()
        return _join(_DOUBLE, pc.if_else(mask, block.cast(pa.binary()), None))
    return _join(_INTEGER, _varints(values.to_arrow()))


def _varints(numbers: pa.Array) -> pa.Array:
    """Write numbers from 0 on as protobuf does; there are few different ones."""
    encoded = numbers.dictionary_encode()
    written = pa.array(map(_varint, encoded.dictionary.to_pylist()), type=pa.binary())
    return written.take(encoded.indices)


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*written, number))


def _join(*parts: pa.Array | bytes) -> pa.Array:
    """Join texts row by row; null where one of them is."""
    scalars = [pa.scalar(part, pa.binary()) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*scalars, _NO_SEPARATOR)


def _request_class() -> Any:
    """Return a message of which only the spans are looked at, as bytes; the rest is carried on."""
    file = descriptor_pb2.FileDescriptorProto(
        name="farebox_enriched.proto", package="farebox.enriched", syntax="proto3"
    )
    for name, field, number, kind in (
        ("Request", "resource_spans", 1, "ResourceSpans"),
        ("ResourceSpans", "scope_spans", 2, "ScopeSpans"),
        ("ScopeSpans", "spans", 2, None),
    ):
        declared = file.message_type.add(name=name).field.add(
            name=field, number=number, label=_Field.LABEL_REPEATED
        )
        declared.type = _Field.TYPE_MESSAGE if kind else _Field.TYPE_BYTES
        if kind:
            declared.type_name = f".{file.package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    request = pool.FindMessageTypeByName(f"{file.package}.Request")
    return message_factory.GetMessageClass(request)


_Field: Final = descriptor_pb2.FieldDescriptorProto
_Request: Final = _request_class()
