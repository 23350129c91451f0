"""OTLP/JSON in, the same request as protobuf out, so that there is one way to decode."""

import base64
import json
from typing import Any, Final, NoReturn

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from farebox_processor.any_values import DEEPEST, TOO_DEEP
from farebox_processor.errors import BadRequestError, RequestTooLargeError

__all__ = ["to_protobuf"]

_LONGEST_DETAIL: Final = 300
"""Characters of protobuf's complaint, which quotes the body, that are passed on."""
_MOST_OBJECTS: Final = 500_000
"""Objects and arrays of one body, some 13 000 usual spans. An empty one is three bytes on the wire,
120 in memory, and takes protobuf's reader 5 microseconds."""
_ID_FIELDS: Final = frozenset(
    ("traceId", "trace_id", "spanId", "span_id", "parentSpanId", "parent_span_id")
)
_NESTING_FIELDS: Final = frozenset(("arrayValue", "array_value", "kvlistValue", "kvlist_value"))
_OBJECT_FIELDS: Final = _NESTING_FIELDS | {"resource", "scope", "status", "value"}
_LIST_FIELDS: Final = frozenset(
    {"attributes", "entityRefs", "entity_refs", "events", "links", "resourceSpans"}
    | {"resource_spans", "scopeSpans", "scope_spans", "spans", "values"}
)


def to_protobuf(body: bytes) -> bytes:
    """Return a JSON ExportTraceServiceRequest as protobuf.

    As OTLP has it: ids in hexadecimal, 64-bit integers as text or numbers, enums as numbers (or
    names), unknown fields ignored. An id that is not hexadecimal becomes an empty one, so that
    only its span is rejected; half a surrogate pair becomes U+FFFD; arrays and maps nested too
    deep become "<too deep>". Raises BadRequestError for anything else that is no such request, and
    RequestTooLargeError for one that would take far more memory than its bytes.
    """
    objects = body.count(b"{") + body.count(b"[")
    if objects > _MOST_OBJECTS:
        raise RequestTooLargeError(
            f"The JSON of the body has {objects} objects and arrays; {_MOST_OBJECTS} are taken at "
            "once. Send smaller batches, or protobuf."
        )
    try:
        message = json.loads(body, parse_constant=_refuse_constant)
        if not isinstance(message, dict):
            raise BadRequestError("The body is JSON, but not an object with resourceSpans.")
        request = json_format.ParseDict(
            _as_protobuf_json(message, 0), ExportTraceServiceRequest(), ignore_unknown_fields=True
        )
    except RecursionError as error:
        raise BadRequestError("The JSON of the body is nested too deep to be read.") from error
    except json_format.ParseError as error:
        said = str(error)[:_LONGEST_DETAIL]
        raise BadRequestError(f"The body is not an OTLP traces request: {said}") from error
    # Not JSON, not UTF-8, or an integer of more digits than Python converts.
    except ValueError as error:
        raise BadRequestError(f"The body is not JSON: {error}") from error
    return request.SerializeToString()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _as_protobuf_json(value: Any, depth: int) -> Any:
    """Return what OTLP writes otherwise than protobuf's JSON does in the way of the latter."""
    if isinstance(value, str):
        return _mended(value)
    if isinstance(value, list):
        return [_as_protobuf_json(item, depth) for item in value]
    if not isinstance(value, dict):
        return value
    depth += not _NESTING_FIELDS.isdisjoint(value)
    if depth > DEEPEST:
        return {"stringValue": TOO_DEEP}
    return {
        _mended(name): _hex_as_base64(item)
        if name in _ID_FIELDS and isinstance(item, str)
        else _as_protobuf_json(_without_texts(name, item), depth)
        for name, item in value.items()
    }


def _without_texts(name: str, item: Any) -> Any:
    """Leave out texts that stand where OTLP has objects.

    Protobuf's reader takes a text for an object with an unknown field per character, and takes half
    a minute over a body of nothing else.
    """
    if isinstance(item, str):
        return None if name in _OBJECT_FIELDS else item
    if isinstance(item, list) and name in _LIST_FIELDS:
        return [each for each in item if not isinstance(each, str)]
    return item


def _mended(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _hex_as_base64(text: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(text)).decode("ascii")
    except ValueError:
        return ""
