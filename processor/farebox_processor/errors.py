"""The errors and the rejection codes of the processor, in one place and without imports of ours."""

from enum import StrEnum

__all__ = [
    "BadRequestError",
    "ConfigError",
    "FareboxError",
    "PermanentStoreError",
    "PriceBookError",
    "Rejection",
    "RequestTooLargeError",
    "RetryableStoreError",
    "TenantShareError",
]


class FareboxError(Exception):
    """Anything that is said to a user in one sentence: what was found and what to do."""


class ConfigError(FareboxError):
    """The configuration cannot be used."""


class PriceBookError(FareboxError):
    """A file of prices, contracts or plans cannot be used."""


class BadRequestError(FareboxError):
    """An export request that no retry will mend: INVALID_ARGUMENT, 400."""


class RequestTooLargeError(FareboxError):
    """An export request above a limit: RESOURCE_EXHAUSTED without RetryInfo, 413."""


class RetryableStoreError(FareboxError):
    """ClickHouse cannot take the rows now: keep them, wait, send the same block again."""


class TenantShareError(FareboxError):
    """One tenant of several has its share in flight: UNAVAILABLE with RetryInfo, 429."""


class PermanentStoreError(FareboxError):
    """ClickHouse will never take this block: split it, put the row to blame in dead_letter."""


class Rejection(StrEnum):
    """Why a span was not taken. Each is a label of a counter and a reason in dead_letter."""

    UNDECODABLE = "undecodable"
    INVALID_TRACE_ID = "invalid_trace_id"
    INVALID_SPAN_ID = "invalid_span_id"
    OUTSIDE_ACCEPT_WINDOW = "outside_accept_window"
    TOO_MANY_ATTRIBUTES = "too_many_attributes"
    REFUSED_BY_STORE = "refused_by_store"
    UNEXPECTED_ERROR = "unexpected_error"
