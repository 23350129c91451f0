"""How far a cost can be trusted: the statuses, and what is not known when one is not exact."""

from enum import StrEnum
from typing import Final

__all__ = ["CONVERSATION_STATUS_ORDER", "CostStatus", "Reason", "Uncertainty"]


class CostStatus(StrEnum):
    """The verdict on a number."""

    EXACT = "exact"
    """Everything the span shows evidence of was priced."""
    SUPPLIED = "supplied"
    """The cost that came with the span, taken as it is."""
    ESTIMATED = "estimated"
    """Some quantity had to be inferred; the bounds hold the truth."""
    UPPER_BOUND = "upper_bound"
    """The emitter hides discounts (cached tokens, say): the cost is this or less."""
    PARTIAL = "partial"
    """Some of it is priced, some is not: the cost is this or more."""
    UNPRICED = "unpriced"
    """No price or no usage: the cost is not known, which is not 0."""


CONVERSATION_STATUS_ORDER: Final = (
    CostStatus.UNPRICED,
    CostStatus.PARTIAL,
    CostStatus.ESTIMATED,
    CostStatus.UPPER_BOUND,
    CostStatus.SUPPLIED,
    CostStatus.EXACT,
)
"""Of several verdicts the earliest here is that of their sum; unpriced beside anything priced
makes the sum partial."""


class Uncertainty(StrEnum):
    """What a span leaves open about its usage. Each moves the bounds in one way."""

    USAGE_MISSING = "usage_missing"
    """No usage at all (cancelled stream, include_usage off): unpriced, 0 ... unbounded."""
    USAGE_INCOMPLETE = "usage_incomplete"
    """Only the input or only the output is stated: high is unbounded. partial."""
    USAGE_INVALID = "usage_invalid"
    """A needed quantity was nonsense: unpriced, 0 ... unbounded."""
    CACHE_READ_UNREPORTED = "cache_read_unreported"
    """Cached input is counted as fresh: low = all input at the cache-read price. upper_bound."""
    CACHE_WRITE_UNREPORTED = "cache_write_unreported"
    """Written input is counted as fresh: high = all fresh input at the dearest write price.
    estimated."""
    CACHE_WRITE_TTL_UNREPORTED = "cache_write_ttl_unreported"
    """Writes stand in cache_write_5m_tokens: low = all at 5m, high = all at 1h. estimated."""
    OUTPUT_OVERCOUNTED = "output_overcounted"
    """The emitter adds a few tokens to the output: low = 8 output tokens less.
    upper_bound."""
    REASONING_UNREPORTED = "reasoning_unreported"
    """Reasoning is billed on top of the output that is reported: high is unbounded. partial."""
    CALLS_UNREPORTED = "calls_unreported"
    """The span stands for several calls and reports the last: high is unbounded. partial."""
    AGGREGATE = "aggregate"
    """The usage is a sum over calls that were not recorded one by one. estimated."""
    UNITS_UNREPORTED = "units_unreported"
    """There is evidence of a paid tool whose count the emitter cannot show (a web search in the
    output): high is unbounded. partial."""
    CACHE_UNCOUNTED = "cache_uncounted"
    """Cached input is in no count at all: high is unbounded. partial."""
    REGION_UNREPORTED = "region_unreported"
    """The emitter cuts the region off the model's name: high = at the dearest regional price of
    the provider. estimated."""
    USAGE_ESTIMATED = "usage_estimated"
    """The instrumentation estimated the token counts (a stream that was cut): low is 0, high is
    unbounded. estimated."""
    USAGE_CONTRADICTORY = "usage_contradictory"
    """Parts are larger than their whole; they were cut down to it: low is 0, high is unbounded.
    estimated."""


class Reason(StrEnum):
    """Why a cost is not exact, besides the codes of Uncertainty."""

    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_PROVIDER = "unknown_provider"
    NO_MODEL = "no_model"
    NO_PRICE_FOR_UNIT = "no_price_for_unit"
    NO_PRICE_AT_TIME = "no_price_at_time"
    MODALITY_UNREPORTED = "modality_unreported"
    """The model also puts out audio, images or video, at a price of their own, and the output is
    all stated as text: partial, high is unbounded."""
    SERVED_MODEL_UNKNOWN = "served_model_unknown"
    """The book does not know the model that answered, and the price is that of the model that was
    asked: estimated, low is 0, high is unbounded."""
    NO_PRICE_FOR_DISCOUNT = "no_price_for_discount"
    """Served in batch or flex, for which the book has no price: upper_bound, low is 0."""
    NO_PRICE_FOR_SURCHARGE = "no_price_for_surcharge"
    """Served with priority, for which the book has no price: partial, high is unbounded."""
    RESPONSE_CACHE_HIT = "response_cache_hit"
    """Answered from a cache of the service's own, no provider was asked: 0, exact."""
    PRICE_UNCERTAIN = "price_uncertain"
    """The price depends on what no span shows, or sources differ: estimated, within the bounds
    that the price file gives."""
    FINE_TUNED = "fine_tuned_model_without_price"
    FAILED_WITHOUT_USAGE = "failed_without_usage"
    SUPPLIED_COST = "supplied_cost"
