"""An error of the ClickHouse client in, an error that says whether to send the block again out."""

from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from farebox_processor.errors import FareboxError, PermanentStoreError, RetryableStoreError

__all__ = ["CLIENT_ERRORS", "PERMANENT_CODES", "query_error", "store_error"]

PERMANENT_CODES: Final = {
    6: "CANNOT_PARSE_TEXT",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    69: "ARGUMENT_OUT_OF_BOUND",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    128: "TOO_LARGE_ARRAY_SIZE",
    131: "TOO_LARGE_STRING_SIZE",
    190: "SIZES_OF_ARRAYS_DONT_MATCH",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    407: "DECIMAL_OVERFLOW",
    469: "VIOLATED_CONSTRAINT",
}
"""Errors that some row of the block causes and no waiting will mend. Every other code is retryable:
overload, replication, credentials, and a schema that is missing or old (60, 16, 53), which an
operator mends while the senders keep the data."""

_TOO_MANY_PARTS: Final = 252
# One code for two things: a block that spans too many partitions, and a server that cannot merge
# fast enough. Only the text tells them apart.
_PERMANENT_TEXT: Final = "too many partitions for single insert block"
_MESSAGE_CHARACTERS: Final = 500
# UNKNOWN_DATABASE, UNKNOWN_TABLE, UNKNOWN_IDENTIFIER, NO_SUCH_COLUMN_IN_TABLE.
_OTHER_SCHEMA: Final = (81, 60, 47, 16)


def store_error(error: Exception) -> FareboxError:
    """Return what `error` means for the block that was sent: Permanent- or RetryableStoreError.

    An answer that is not ClickHouse's (a proxy's page, half a reply, a closed connection) has no
    code and is retryable: the block may or may not be stored, and its rows replace themselves.
    """
    code = error.code if isinstance(error, Error) else None
    message = " ".join(str(error).split())[:_MESSAGE_CHARACTERS]
    if code == _TOO_MANY_PARTS:
        permanent = _PERMANENT_TEXT in message.lower()
    else:
        permanent = code in PERMANENT_CODES
    if permanent:
        return PermanentStoreError(f"ClickHouse refuses the block (code {code}): {message}")
    said = f"code {code}" if code is not None else type(error).__name__
    return RetryableStoreError(f"ClickHouse does not take the block now ({said}): {message}")


def query_error(error: Exception) -> FareboxError:
    """Return what `error` means for who asked a question: of the same types as `store_error`."""
    kind = type(store_error(error))
    code = error.code if isinstance(error, Error) else None
    if code in _OTHER_SCHEMA:
        return kind(
            f"the store lacks tables of this version (code {code}); see whether store.dsn and"
            " store.database name the right one, then run: farebox migrate"
        )
    said = f"code {code}" if code is not None else type(error).__name__
    message = " ".join(str(error).split())[:_MESSAGE_CHARACTERS]
    return kind(f"ClickHouse does not answer the query ({said}): {message}")


CLIENT_ERRORS: Final = (ClickHouseError, OSError)
"""What a call of the client raises when ClickHouse refuses or cannot be reached."""
