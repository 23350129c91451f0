"""What the endpoint answers when it does not run a statement: ClickHouse's own kind of error."""

from typing import Final

from farebox_processor.errors import FareboxError

__all__ = ["StatementRefusedError"]

_ACCESS_DENIED: Final = 497


class StatementRefusedError(FareboxError):
    """A statement that is not run: ClickHouse's code for it, and what to do instead."""

    def __init__(self, message: str, *, code: int = _ACCESS_DENIED) -> None:
        super().__init__(message)
        self.code = code
