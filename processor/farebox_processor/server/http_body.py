"""The body of an HTTP request: received, inflated and counted piece by piece, within the limits."""

import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from starlette.requests import Request

from farebox_processor.errors import BadRequestError, RequestTooLargeError
from farebox_processor.server.budget import Budget

__all__ = ["HeldBody", "Inflation", "PlainBody"]

_PIECE_BYTES: Final = 256 * 1024
_GZIP: Final = 31  # zlib's number for "with the header of gzip"
_MOST_MEMBERS: Final = 4_096
"""Members of a gzip body. Empty ones add nothing to its size, and could go on for ever."""


class PlainBody:
    """A body that is not compressed."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what the chunk holds."""
        yield chunk

    def finish(self) -> None:
        """Any end is a good one."""


class Inflation:
    """A gzip body, of one or several members, inflated in pieces of a bounded size."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._members = 1
        self._started = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what the chunk inflates to. Raises BadRequestError where it is not gzip."""
        while chunk:
            if self._member.eof:
                self._members += 1
                if self._members > _MOST_MEMBERS:
                    raise BadRequestError(f"the gzip body has more than {_MOST_MEMBERS} members")
                self._member = zlib.decompressobj(_GZIP)
            try:
                yield self._member.decompress(chunk, _PIECE_BYTES)
            except zlib.error as error:
                raise BadRequestError("the body is not gzip") from error
            self._started = True
            chunk = self._member.unconsumed_tail or self._member.unused_data

    def finish(self) -> None:
        """Raise BadRequestError where the last member is cut off."""
        if self._started and not self._member.eof:
            raise BadRequestError("the gzip body is cut off")


class HeldBody:
    """A body while it is read; its bytes count as in flight until the context is left."""

    def __init__(self, budget: Budget, tenant: str, limit_bytes: int) -> None:
        self._budget = budget
        self._tenant = tenant
        self._limit_bytes = limit_bytes
        self._content = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._budget.give_back(len(self._content), self._tenant)

    async def read(self, request: Request, decoding: PlainBody | Inflation) -> bytes:
        """Return the whole body.

        Raises RequestTooLargeError, BadRequestError, or what Budget raises where too much is in
        flight.
        """
        if int(request.headers.get("content-length") or 0) > self._limit_bytes:
            raise self._too_large()
        async for chunk in request.stream():
            for piece in decoding.feed(chunk):
                self._add(piece)
        decoding.finish()
        return bytes(self._content)

    def _add(self, piece: bytes) -> None:
        if len(self._content) + len(piece) > self._limit_bytes:
            raise self._too_large()
        self._budget.take(len(piece), self._tenant)
        self._content += piece

    def _too_large(self) -> RequestTooLargeError:
        return RequestTooLargeError(f"the request exceeds {self._limit_bytes} bytes")
