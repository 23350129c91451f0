"""ClickHouse's HTTP interface: a request in, what it asks for out; a result in, a response out."""

import gzip
import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import HTTP
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from farebox_processor.clickhouse_endpoint.refusal import StatementRefusedError

__all__ = [
    "BODY_BYTES",
    "SERVER",
    "Call",
    "error_response",
    "hello_response",
    "read_call",
    "response",
]

BODY_BYTES: Final = 16 << 20
SERVER: Final = {"X-ClickHouse-Server-Display-Name": "farebox"}
"""Headers that tell this server from other ClickHouse servers."""

_BAD_ARGUMENTS: Final = 36
_COMPRESS_BYTES: Final = 1024
_STATUS: Final = {36: 400, 62: 400, 497: 403, 60: 404, 81: 404, 202: 503, 159: 504}
_BINARY: Final = ("Native", "RowBinary", "Arrow", "Parquet")

# clickhouse-go asks this first. It reads the answer by the revision it sent, and everything after
# by the revision that the answer names. The engine writes the layout of revision 0, so that is
# named, and only this answer is written in the layout of the revision sent.
_HELLO: Final = "select displayname(), version(), revision(), timezone()"
_CUSTOM_SERIALIZATION_REVISION: Final = 54454


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for."""

    sql: bytes
    format: str
    parameters: Mapping[str, str]
    database: str
    settings: Mapping[str, str]
    protocol_version: int
    query_id: str

    @property
    def is_hello(self) -> bool:
        """Tell whether clickhouse-go asks who answers."""
        return self.protocol_version >= _CUSTOM_SERIALIZATION_REVISION and (
            self.sql.decode(errors="replace").strip().lower() == _HELLO
        )


def read_call(request: Request, body: bytes) -> Call:
    """Read the query, its parameters and format from the URL, the form or the body.

    Raises StatementRefusedError where the request wants what is not spoken here.
    """
    said = dict(request.query_params)
    if said.get("compress") == "1" or said.get("decompress") == "1":
        raise StatementRefusedError(
            "ClickHouse's own compression is not spoken here; set the client's compression to"
            " gzip or none",
            code=_BAD_ARGUMENTS,
        )
    content_type = request.headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        said |= _multipart(content_type, body)
        body = b""
    elif content_type.startswith("application/x-www-form-urlencoded"):
        form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        # curl calls whatever it posts a form: a body that names no query is one.
        if "query" in said | form:
            said |= form
            body = b""
    query = said.get("query", "").encode()
    return Call(
        sql=query + b"\n" + body if query and body else query or body,
        format=said.get("default_format", "TabSeparated"),
        parameters={k.removeprefix("param_"): v for k, v in said.items() if k.startswith("param_")},
        database=said.get("database", ""),
        settings=said,
        protocol_version=int(v)
        if (v := said.get("client_protocol_version", "0")).isdecimal()
        else 0,
        query_id=said.get("query_id", ""),
    )


def inflate(body: bytes, encoding: str) -> bytes:
    """Undo the Content-Encoding of a body, up to BODY_BYTES."""
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise StatementRefusedError(
            f"Content-Encoding {encoding} is not spoken here; use gzip or none", code=_BAD_ARGUMENTS
        )
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(body, BODY_BYTES)
    except zlib.error as error:
        raise StatementRefusedError("the body is not gzip", code=_BAD_ARGUMENTS) from error
    if stream.unconsumed_tail:
        raise StatementRefusedError(
            f"the body is larger than {BODY_BYTES} bytes", code=_BAD_ARGUMENTS
        )
    if not stream.eof or stream.unused_data:
        # What is missing of a statement may be what narrows it down.
        raise StatementRefusedError("the body is not one whole gzip", code=_BAD_ARGUMENTS)
    return plain


def response(request: Request, call: Call, result: bytes, result_format: str) -> Response:
    """Return `result`, compressed where the client takes that, with ClickHouse's headers."""
    binary = result_format.startswith(_BINARY)
    headers = {
        **_who(call),
        "X-ClickHouse-Format": result_format,
        "X-ClickHouse-Summary": json.dumps({"result_bytes": str(len(result))}),
        "Content-Type": "application/octet-stream" if binary else "text/plain; charset=UTF-8",
    }
    accepted = [part.split(";")[0].strip() for part in _header(request, "accept-encoding")]
    if "gzip" in accepted and len(result) >= _COMPRESS_BYTES:
        headers["Content-Encoding"] = "gzip"
        result = gzip.compress(result, compresslevel=1)
    return Response(result, headers=headers)


def hello_response(call: Call, version: str) -> Response:
    """Answer clickhouse-go's first question so that it reads everything after as revision 0."""
    columns = (
        ("displayName()", "String", _text("farebox")),
        ("version()", "String", _text(version)),
        ("revision()", "UInt32", struct.pack("<I", 0)),
        ("timezone()", "String", _text("UTC")),
    )
    # Block info: field 1 is_overflows = 0, field 2 bucket = -1, end; then 4 columns, 1 row.
    block = b"\x01\x00\x02" + struct.pack("<i", -1) + b"\x00" + _number(4) + _number(1)
    for name, kind, value in columns:
        block += _text(name) + _text(kind) + b"\x00" + value
    return Response(block, headers=_who(call) | {"X-ClickHouse-Format": "Native"})


def error_response(error: StatementRefusedError, query_id: str = "") -> Response:
    """Return the error as ClickHouse writes it: a code in a header and a text."""
    message = str(error)
    if not message.startswith("Code: "):
        message = f"Code: {error.code}. DB::Exception: {message}"
    headers = {"X-ClickHouse-Exception-Code": str(error.code), **_of_query(query_id)}
    return Response(
        message + "\n",
        status_code=_STATUS.get(error.code, 500),
        headers=headers,
        media_type="text/plain",
    )


def _who(call: Call) -> dict[str, str]:
    return {
        **SERVER,
        "X-ClickHouse-Timezone": "UTC",
        **_of_query(call.query_id),
    }


def _of_query(query_id: str) -> dict[str, str]:
    shown = "".join(c if c.isascii() and c.isprintable() else "?" for c in query_id)
    # A result is never a script, whatever its text.
    return {"X-ClickHouse-Query-Id": shown, "X-Content-Type-Options": "nosniff"}


def _header(request: Request, name: str) -> Iterable[str]:
    return request.headers.get(name, "").lower().split(",")


def _multipart(content_type: str, body: bytes) -> dict[str, str]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    form = message_from_bytes(head + body, policy=HTTP)
    fields = {}
    for part in form.iter_parts():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            name = part.get_param("name", header="content-disposition")
            fields[str(name)] = content.decode(errors="replace")
    return fields


def _number(value: int) -> bytes:
    """Write a number below 128 as ClickHouse's variable length integers are written."""
    return bytes([value])


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _number(len(encoded)) + encoded
