import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from farebox_processor.errors import PermanentStoreError, RetryableStoreError
from farebox_processor.store.refusals import store_error

TOO_MANY_PARTITIONS = (
    "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100)"
)
TOO_MANY_PARTS = "Code: 252. DB::Exception: Too many parts (3000). Merges are processing slower"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatabaseError(TOO_MANY_PARTITIONS, code=252), PermanentStoreError),
        (DatabaseError(TOO_MANY_PARTS, code=252), RetryableStoreError),
        (DatabaseError("VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", code=321), PermanentStoreError),
        (DatabaseError("INCORRECT_DATA", code=117), PermanentStoreError),
        (DatabaseError("DECIMAL_OVERFLOW", code=407), PermanentStoreError),
        (DatabaseError("VIOLATED_CONSTRAINT", code=469), PermanentStoreError),
        (DatabaseError("MEMORY_LIMIT_EXCEEDED", code=241), RetryableStoreError),
        (DatabaseError("TOO_MANY_SIMULTANEOUS_QUERIES", code=202), RetryableStoreError),
        (DatabaseError("TIMEOUT_EXCEEDED", code=159), RetryableStoreError),
        (DatabaseError("SOCKET_TIMEOUT", code=209), RetryableStoreError),
        (DatabaseError("NETWORK_ERROR", code=210), RetryableStoreError),
        (DatabaseError("TABLE_IS_READ_ONLY", code=242), RetryableStoreError),
        (DatabaseError("NOT_ENOUGH_SPACE", code=243), RetryableStoreError),
        (DatabaseError("UNKNOWN_STATUS_OF_INSERT", code=319), RetryableStoreError),
        (DatabaseError("AUTHENTICATION_FAILED", code=516), RetryableStoreError),
        (DatabaseError("KEEPER_EXCEPTION", code=999), RetryableStoreError),
        (DatabaseError("UNKNOWN_TABLE", code=60), RetryableStoreError),
        (DatabaseError("NO_SUCH_COLUMN_IN_TABLE", code=16), RetryableStoreError),
        (DatabaseError("TYPE_MISMATCH", code=53), RetryableStoreError),
        (DatabaseError("<html>500 Internal Server Error</html>"), RetryableStoreError),
        (DatabaseError("a code of a later release", code=4711), RetryableStoreError),
        (OperationalError("Connection closed before the headers completed"), RetryableStoreError),
        (ConnectionResetError(104, "Connection reset by peer"), RetryableStoreError),
        (TimeoutError("timed out"), RetryableStoreError),
    ],
)
def test_an_error_says_whether_to_send_the_block_again(
    error: Exception, expected: type[Exception]
) -> None:
    assert type(store_error(error)) is expected


def test_a_page_of_a_proxy_is_cut_short() -> None:
    assert len(str(store_error(DatabaseError("<html>" + "x" * 100_000)))) < 700
