"""The schema of every frame that crosses a module boundary, in the order of the chain.

Decoded spans become usage, usage becomes priced spans (the rows of ClickHouse `spans`), a set of
priced spans becomes calls and traces, traces become conversations. A frame holds at least the
columns of its schema, in any order; a null is "not known", never "none".
"""

from typing import Final, TypeAlias

import polars as pl

__all__ = [
    "ALIKE",
    "ALLOCATIONS",
    "ATTRIBUTES",
    "BUDGETS",
    "CALLS",
    "COST_COMPONENTS",
    "DIMENSIONS",
    "EVIDENCE",
    "EXTRA_DIMENSIONS",
    "MONEY",
    "OTHER_OUTPUT",
    "PLAN_TIERS",
    "PRICED_SPANS",
    "RATING_REVISIONS",
    "REJECTIONS",
    "SET_VERSION",
    "SPANS",
    "SUPERSEDED_RATINGS",
    "TERMS",
    "TOKENS",
    "TRACES",
    "UNITS",
    "USAGE",
    "Schema",
    "price_of",
]

Schema: TypeAlias = dict[str, pl.DataType]

MONEY: Final = pl.Decimal(38, 18)
"""US dollars. Eighteen digits hold every published price per token times any discount; a sum of
1e20 dollars still fits, and ClickHouse has the same type."""

TIME: Final = pl.Datetime("ns", "UTC")
_TEXTS: Final = pl.List(pl.String())

# --- decode -----------------------------------------------------------------------------------

SPANS: Final[Schema] = {
    "request": pl.UInt32(),  # index of the request that carried the span
    "tenant": pl.String(),  # from the credential, "" without one
    "trace_id": pl.String(),  # 32 hexadecimal digits
    "span_id": pl.String(),  # 16 hexadecimal digits
    "parent_span_id": pl.String(),  # null for a root
    "trace_state": pl.String(),
    "span_name": pl.String(),
    "span_kind": pl.Int32(),  # as OTLP numbers them
    "start_unix_nano": pl.UInt64(),  # as sent
    "end_unix_nano": pl.UInt64(),  # as sent
    "started_at": TIME,  # clamped to what ClickHouse can hold, from content alone
    "ended_at": TIME,
    "duration_ns": pl.UInt64(),  # 0 where the end lies before the start
    "time_status": pl.String(),  # ok | missing | end_before_start | clamped
    "status_code": pl.UInt8(),  # 0 unset, 1 ok, 2 error
    "status_message": pl.String(),
    "service_name": pl.String(),  # from the resource, "" without one
    "scope_name": pl.String(),
    "scope_version": pl.String(),
    "scope_row": pl.UInt32(),  # number of the span's scope in the batch
    "resource_row": pl.UInt32(),  # row of the span's resource in the resource attributes
    "content_hash": pl.UInt64(),  # xxh3 of the span as sent, with its resource and scope
}

ATTRIBUTES: Final[Schema] = {
    "key_id": pl.UInt32(),  # place of the key among the different ones
    "kind": pl.UInt8(),  # 0 empty, 1 text, 2 boolean, 3 integer, 4 double, 5 array, 6 map, 7 bytes
    "text": pl.String(),  # text as sent, null for every other kind
    "boolean": pl.Boolean(),
    "integer": pl.Int64(),
    "double": pl.Float64(),
    "raw": pl.Binary(),  # arrays and maps as protobuf, bytes as sent; attribute_columns reads them
}
"""The different attributes of a batch. Read them through attribute_columns: there arrays and maps
become JSON, bytes base64, and of a key that a span carries twice the last one wins."""

REJECTIONS: Final[Schema] = {
    "request": pl.UInt32(),
    "tenant": pl.String(),
    "reason": pl.String(),  # a code of errors.Rejection
    "spans": pl.UInt32(),  # how many spans were rejected for it
    "detail": pl.String(),  # what was found, for the sender's eyes
    "sample": pl.Binary(),  # at most 4 KiB of what was rejected
}

# --- usage ------------------------------------------------------------------------------------

TOKENS: Final = (
    "input_tokens",  # fresh text
    "input_audio_tokens",
    "input_image_tokens",
    "input_video_tokens",
    "cache_read_tokens",
    "cache_read_audio_tokens",
    "cache_read_image_tokens",
    "cache_write_5m_tokens",  # also writes of providers that know no time to live
    "cache_write_1h_tokens",
    "output_tokens",  # all output text, reasoning included
    "output_audio_tokens",
    "output_image_tokens",
    "output_video_tokens",
    "reasoning_tokens",  # of output_tokens; the only one that is part of another
)
"""The disjoint token quantities of a call: Int64, null where the span does not say."""

OTHER_OUTPUT: Final = ("output_audio_tokens", "output_image_tokens", "output_video_tokens")
"""Those of TOKENS that a model puts out beside text."""

UNITS: Final = pl.List(pl.Struct({"unit": pl.String(), "quantity": pl.Decimal(38, 9)}))
"""Counted units beside tokens: web_search, rerank_search, audio_second, character, image, ..."""

DIMENSIONS: Final = (
    "user_id",
    "user_tier",
    "feature",
    "action",
    "conversation_type",
    "service_name",
    "environment",
)
"""What a cost can be grouped by besides tenant, provider, model and tier."""

EXTRA_DIMENSIONS: Final = pl.Map(pl.String(), pl.String())
"""The same by names that the configuration gives, sorted; {} where none is known, never null."""

USAGE: Final[Schema] = {
    # who and where
    "environment": pl.String(),
    "conversation_id": pl.String(),  # as the span says, at most 256 characters
    "resource_conversation_id": pl.String(),
    "conversation_ended": pl.Boolean(),
    "turn_id": pl.String(),
    "user_id": pl.String(),
    "user_tier": pl.String(),
    "feature": pl.String(),
    "action": pl.String(),
    "outcome": pl.String(),
    "conversation_type": pl.String(),
    "dimensions": EXTRA_DIMENSIONS,
    # what kind of span
    "dialect": pl.String(),
    "call_kind": pl.String(),  # inference | embeddings | rerank | retrieval | tool | agent | gpu
    "candidate": pl.Boolean(),  # may carry money
    "operation": pl.String(),  # gen_ai.operation.name, normalised
    "provider": pl.String(),  # normalised to the convention's values, null if not known
    "request_model": pl.String(),
    "response_model": pl.String(),
    "model": pl.String(),  # what is billed: the response's model before the request's
    "response_id": pl.String(),
    "tool_name": pl.String(),
    "ends_in_tool_call": pl.Boolean(),
    "is_error": pl.Boolean(),
    "error_type": pl.String(),
    # how much
    **dict.fromkeys(TOKENS, pl.Int64()),
    "units": UNITS,
    "usage_reading": pl.String(),  # inclusive | exclusive | unknown
    "usage_rule": pl.String(),  # which rule decided the reading
    "has_usage": pl.Boolean(),
    "invalid_usage": pl.UInt16(),  # how many quantities were nonsense and became null
    "uncertainty": _TEXTS,  # codes of verdicts.UNCERTAINTIES
    "blind_to": _TEXTS,  # what this emitter can never show
    # under which terms
    "service_tier": pl.String(),  # as served, or as asked where the response does not say
    "price_context": pl.String(),  # sorted "key=value" pairs, comma separated: processing=batch
    "region": pl.String(),  # us, eu, ... of a profile, location or data zone
    "supplied_cost_usd": MONEY,  # cost that came with the span; null for 0.0 beside tokens
    "supplied_cost_source": pl.String(),  # the attribute it came in
    "price_rule": pl.String(),  # name of the price rule that the span asks to be billed by
}

# --- price ------------------------------------------------------------------------------------

COST_COMPONENTS: Final = (
    "input_cost_usd",
    "cache_read_cost_usd",
    "cache_write_cost_usd",
    "output_cost_usd",
    "units_cost_usd",
)
"""What a call's cost is made of; they sum to list_cost_usd exactly."""


def price_of(quantity: str) -> str:
    """Return the column that holds the price of one of `quantity`, in US dollars."""
    return f"{quantity}_price_usd"


_PRICING: Final[Schema] = {
    **{price_of(quantity): MONEY for quantity in TOKENS},
    "unit_prices": pl.List(
        pl.Struct({"unit": pl.String(), "quantity": pl.Decimal(38, 9), "price_usd": MONEY})
    ),
    **dict.fromkeys(COST_COMPONENTS, MONEY),
    "list_cost_usd": MONEY,  # before the tenant's contract
    "cost_usd": MONEY,
    "cost_low_usd": MONEY,
    "cost_high_usd": MONEY,  # null: unbounded
    "cost_status": pl.String(),  # a code of verdicts.STATUSES; null if not a candidate
    "cost_reason": pl.String(),
    "price_source": pl.String(),  # which layer and entry gave the price
    "contract": pl.String(),
    "priced_model": pl.String(),  # "provider/model" of the price book
    "rating_revision": pl.UInt16(),
}

_STORED: Final = (
    "tenant",
    "trace_id",
    "span_id",
    "parent_span_id",
    "span_name",
    "service_name",
    "scope_name",
    "scope_version",
    "started_at",
    "ended_at",
    "start_unix_nano",
    "end_unix_nano",
    "duration_ns",
    "time_status",
    "status_code",
    "content_hash",
)

PRICED_SPANS: Final[Schema] = {name: SPANS[name] for name in _STORED} | USAGE | _PRICING
"""The rows of ClickHouse `spans`: what a span says, alone. Nothing here depends on other spans."""

TERMS: Final = (
    "provider",
    "model",
    "request_model",
    "region",
    "service_tier",
    "price_context",
)
"""What the price of a call depends on, beside its time, its size and its tenant."""

ALIKE: Final = "alike"
"""UInt32, in USAGE where it is known: rows of one number agree in TERMS."""

# --- roll up ----------------------------------------------------------------------------------

SET_VERSION: Final = pl.Decimal(38, 0)
"""A sum over spans of their versions: it grows with every span that is added or replaced."""

_VERSION: Final[Schema] = {
    "rating_revision": pl.UInt16(),
    "spans_in_set": pl.UInt64(),  # distinct spans of the set that was rolled up
    "own_version": SET_VERSION,  # of the spans of this trace
    "set_version": SET_VERSION,  # of all spans of the set
}

_CALL_FACTS: Final = (
    "tenant",
    "trace_id",
    "span_id",
    "parent_span_id",
    "span_name",
    "started_at",
    "ended_at",
    "duration_ns",
    "scope_name",
    "scope_version",
    "dialect",
    "call_kind",
    "operation",
    "provider",
    "model",
    "priced_model",
    "response_id",
    "tool_name",
    "is_error",
    "error_type",
    *DIMENSIONS,
    "dimensions",
    "outcome",
    *TOKENS,
    "units",
    "usage_reading",
    "usage_rule",
    "service_tier",
    "region",
    *(price_of(quantity) for quantity in TOKENS),
    "unit_prices",
    *COST_COMPONENTS,
    "list_cost_usd",
    "cost_usd",
    "cost_low_usd",
    "cost_high_usd",
    "cost_status",
    "cost_reason",
    "blind_to",
    "price_source",
    "contract",
    "supplied_cost_usd",
    "supplied_cost_source",
)

CALLS: Final[Schema] = {
    **{name: PRICED_SPANS[name] for name in _CALL_FACTS},
    **_VERSION,
    "conversation_id": pl.String(),  # of its trace
    "billed": pl.Boolean(),
    "rejected_as": pl.String(),  # duplicate | wrapper | aggregate; null if billed
    "billed_instead_trace_id": pl.String(),
    "billed_instead": pl.String(),  # span id
    "attempt": pl.UInt16(),  # 1 for the first try of a request
    "retry_of": pl.String(),  # span id of the attempt before
    "fallback_from": pl.String(),  # the model of the attempt before, if it was another
    "is_failed": pl.Boolean(),  # before an answer began, and without usage
    "is_waste": pl.Boolean(),  # billed, and of no use
    "turn": pl.UInt32(),  # number of the turn within the trace, from 1; null outside of any
}
"""One row per candidate. Money counts where `billed`; rejected rows keep what they claimed."""

TRACES: Final[Schema] = {
    "tenant": pl.String(),
    "trace_id": pl.String(),
    **_VERSION,
    "conversation_id": pl.String(),
    "conversation_id_source": pl.String(),  # span | resource | trace
    "conversation_ids": pl.UInt32(),  # how many different ones its spans name
    "worn_response_ids": _TEXTS,  # of its calls; in too many traces to tie any of them
    "started_at": TIME,
    "ended_at": TIME,
    "conversation_ended": pl.Boolean(),
    "outcome": pl.String(),
    "spans": pl.UInt64(),
    "calls": pl.UInt64(),  # billed or failed attempts of inference and embeddings
    "candidates": pl.UInt64(),
    "billed_calls": pl.UInt64(),
    "rejected_calls": pl.UInt64(),
    "failed_calls": pl.UInt64(),
    "unpriced_calls": pl.UInt64(),
    "turns": pl.UInt64(),  # of spans without a turn id
    "turn_ids": _TEXTS,
    **dict.fromkeys(TOKENS, pl.Int64()),
    "total_tokens": pl.Int64(),
    "cost_usd": MONEY,  # of billed calls with a price; null if none of them has one
    "exact_cost_usd": MONEY,
    "cost_low_usd": MONEY,
    "cost_high_usd": MONEY,  # null: unbounded
    "cost_statuses": _TEXTS,  # the different verdicts of its billed calls, sorted
    "tool_cost_usd": MONEY,
    "waste_usd": MONEY,
    "supplied_cost_usd": MONEY,
    "blind_to": _TEXTS,
    "models": _TEXTS,
    **{name: PRICED_SPANS[name] for name in DIMENSIONS},
    "dimensions": EXTRA_DIMENSIONS,
}

# --- plans ------------------------------------------------------------------------------------

PLAN_TIERS: Final[Schema] = {
    "plan": pl.String(),
    "tenant": pl.String(),  # "" for every tenant
    "feature": pl.String(),  # "" for every feature
    "position": pl.UInt16(),  # the first tier of a plan whose limits hold is the conversation's
    "tier": pl.String(),
    "price_usd": MONEY,
    "turns_below": pl.UInt64(),  # null: no limit
    "tokens_below": pl.UInt64(),  # null: no limit
    # the rest of the plan, the same on each of its tiers
    "actions": pl.List(
        pl.Struct(
            {
                "action": pl.String(),
                "dimension": pl.String(),  # what tells that a conversation is of this action
                "value": pl.String(),
                "price_usd": MONEY,
                "charged": pl.String(),  # success | always
            }
        )
    ),
    "success_outcomes": _TEXTS,
    "flat_fee_usd": MONEY,  # of a month; null where conversations are sold one by one
    "included_conversations": pl.UInt64(),  # in the flat fee; null: all of them
    "overage_price_usd": MONEY,  # of each conversation above those included
    "idle_timeout_s": pl.UInt32(),  # silence that closes a conversation; null: none does
}
"""The rows of ClickHouse `plans`. A plan of the tenant and feature wins over one of the tenant,
that over one of the feature, that over the one for all."""

BUDGETS: Final[Schema] = {
    "plan": pl.String(),
    "tenant": pl.String(),  # "" for every tenant, each by itself
    "feature": pl.String(),  # "" for every feature together
    "scope": pl.String(),  # tenant | user | feature
    "value": pl.String(),  # whose budget it is; "" for each by itself
    "period": pl.String(),  # day | month, of UTC
    "amount_usd": MONEY,
    "warn_at": pl.List(MONEY),  # shares of the amount, rising
}

ALLOCATIONS: Final[Schema] = {
    "allocation_id": pl.String(),
    "tenant": pl.String(),
    "conversation_id": pl.String(),  # "" for what is allocated to nobody
    "is_unallocated": pl.Boolean(),
    "amount_usd": MONEY,
    "period_from": TIME,
    "period_until": TIME,
    "allocated_by": pl.String(),  # conversations | cost_usd | total_tokens | one of TOKENS
    "origin_usd": MONEY,  # what the rows of the allocation sum to
}
"""The rows of ClickHouse `allocations`: a shared cost, cut into what each conversation bears."""

# --- evidence ---------------------------------------------------------------------------------

_TEXT_MAP: Final = pl.Map(pl.String(), pl.String())

EVIDENCE: Final[Schema] = {
    "Timestamp": TIME,
    "TraceId": pl.String(),
    "SpanId": pl.String(),
    "ParentSpanId": pl.String(),  # "" for a root
    "TraceState": pl.String(),
    "SpanName": pl.String(),
    "SpanKind": pl.String(),  # Unspecified | Internal | Server | Client | Producer | Consumer
    "ServiceName": pl.String(),
    "ResourceAttributes": _TEXT_MAP,
    "ScopeName": pl.String(),
    "ScopeVersion": pl.String(),
    "SpanAttributes": _TEXT_MAP,
    "Duration": pl.UInt64(),  # nanoseconds
    "StatusCode": pl.String(),  # Unset | Ok | Error
    "StatusMessage": pl.String(),
    "Events.Timestamp": pl.List(TIME),
    "Events.Name": _TEXTS,
    "Events.Attributes": pl.List(_TEXT_MAP),
    "Links.TraceId": _TEXTS,
    "Links.SpanId": _TEXTS,
    "Links.TraceState": _TEXTS,
    "Links.Attributes": pl.List(_TEXT_MAP),
    # beyond the collector's columns: what dashboards group by
    "TenantId": pl.String(),
    "ConversationId": pl.String(),
    "Model": pl.String(),  # null where the span has none
    "Provider": pl.String(),
    "CostUsd": MONEY,
    "CostStatus": pl.String(),
    "InputTokens": pl.Int64(),  # all input, cached included
    "OutputTokens": pl.Int64(),
}
"""The rows of ClickHouse `otel_traces`: names and types of the collector's ClickHouse exporter.
List(Struct(key, value)) casts to the maps."""

# --- rating again -----------------------------------------------------------------------------

SUPERSEDED_RATINGS: Final[Schema] = {
    **{name: PRICED_SPANS[name] for name in ("tenant", "trace_id", "span_id", "started_at")},
    **{
        name: PRICED_SPANS[name]
        for name in (
            "priced_model",
            "cost_usd",
            "cost_low_usd",
            "cost_high_usd",
            "cost_status",
            "cost_reason",
            "price_source",
            "contract",
            "rating_revision",
        )
    },
    "superseded_by": pl.UInt16(),  # the rating revision that took its place
}
"""What a span cost before it was rated again."""

RATING_REVISIONS: Final[Schema] = {
    "rating_revision": pl.UInt16(),
    "price_book": pl.String(),  # PriceBook.version
    "since": TIME,  # null: from the beginning
    "until": TIME,  # null: without end
    "only_tenant": pl.String(),  # null: all
    "only_model": pl.String(),  # null: all
    "spans": pl.UInt64(),
    "cost_before_usd": MONEY,
    "cost_after_usd": MONEY,
}
"""One row per `farebox reprice`: which spans were rated again, and what that changed."""
