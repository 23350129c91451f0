"""OTLP requests in, the object of `farebox price --json` out: a contract that programs read."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from farebox_processor.frames import DIMENSIONS, TOKENS
from farebox_processor.pipeline import Rules, conversations_of, cost_requests, roll_up_set

__all__ = ["conversation_objects", "decimal_text", "price_report", "report_of"]

_CACHE_WRITES = ("cache_write_5m_tokens", "cache_write_1h_tokens")


def price_report(
    bodies: Sequence[bytes],
    rules: Rules,
    *,
    tenant: str = "",
    names: Sequence[str] = (),
) -> dict[str, Any]:
    """Price OTLP requests (protobuf) as one set and report conversations, calls and totals.

    Raises BadRequestError or RequestTooLargeError for a request that cannot be read, by its name
    where `names` has one for each.
    """
    costed = cost_requests(bodies, [tenant] * len(bodies), rules)
    for request, refusal in costed.decoded.refusals.items():
        raise type(refusal)(f"{names[request]}: {refusal}") if names else refusal
    rolled_up = roll_up_set(costed.priced, rules)
    conversations = conversations_of(rolled_up, rules)
    return report_of(
        conversations,
        rolled_up.calls,
        spans=int(rolled_up.traces["spans"].sum()),
        rejected_spans=int(costed.decoded.rejections["spans"].sum()),
    )


def report_of(
    conversations: pl.DataFrame, calls: pl.DataFrame, *, spans: int, rejected_spans: int = 0
) -> dict[str, Any]:
    """Build the object from frames: of conversations.summarise and frames.CALLS."""
    called = calls.sort("started_at", "trace_id", "span_id")
    known = conversations["cost_usd"].drop_nulls()
    total = sum(known, Decimal(0)) if len(known) or conversations.is_empty() else None
    return {
        "conversations": conversation_objects(conversations),
        "calls": [_call(row) for row in called.iter_rows(named=True)],
        "totals": {
            "cost_usd": decimal_text(total),
            "spans": spans,
            "rejected_spans": rejected_spans,
            "calls": called.height,
            "billed_calls": int(called["billed"].sum()),
            "unpriced_calls": int((called["billed"] & called["cost_usd"].is_null()).sum()),
        },
    }


def conversation_objects(conversations: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows of conversations, from the view or from conversations.summarise, as objects."""
    return [_conversation(row) for row in conversations.iter_rows(named=True)]


def decimal_text(amount: Decimal | None) -> str | None:
    """Write an amount in plain digits without trailing zeros; None stays None (unknown)."""
    if amount is None:
        return None
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _conversation(row: dict[str, Any]) -> dict[str, Any]:
    money = {
        name: decimal_text(row[name])
        for name in (
            "cost_usd",
            "cost_low_usd",
            "cost_high_usd",
            "tool_cost_usd",
            "waste_usd",
            "tier_price_usd",
            "action_price_usd",
            "revenue_usd",
            "margin_usd",
        )
    }
    return {
        "conversation_id": row["conversation_id"],
        "tenant": row["tenant"],
        **money,
        "cost_status": row["cost_status"],
        "exact_share": _share(row),
        "blind_to": row["blind_to"],
        **{name: row[name] for name in ("turns", "calls", "failed_calls", "unpriced_calls")},
        **{name: row[name] for name in TOKENS if name not in _CACHE_WRITES},
        "cache_write_tokens": sum(row[name] for name in _CACHE_WRITES),
        "total_tokens": row["total_tokens"],
        **{name: row[name] for name in ("plan", "tier", "sold_by", "priced_action")},
        "recovery_ratio": _quotient(row["revenue_usd"], row["cost_usd"]),
        "models": row["models"],
        **{name: row[name] for name in ("outcome", "succeeded")},
        **{name: row[name] for name in DIMENSIONS},
        "dimensions": dict(row["dimensions"]),
        **{name: row[name] for name in ("status", "segments", "paused_ms")},
        "started_at": _rfc3339(row["started_at"]),
        "ended_at": _rfc3339(row["ended_at"]),
    }


def _call(row: dict[str, Any]) -> dict[str, Any]:
    same = (
        "trace_id",
        "span_id",
        "conversation_id",
        "operation",
        "provider",
        "model",
        "billed",
        "rejected_as",
        "billed_instead",
        "attempt",
        "retry_of",
        "fallback_from",
        "turn",
        "usage_reading",
        "usage_rule",
        "cost_status",
        "cost_reason",
        "price_source",
        *TOKENS,
    )
    money = ("cost_usd", "cost_low_usd", "cost_high_usd", "supplied_cost_usd")
    return {
        **{name: row[name] for name in same},
        **{name: decimal_text(row[name]) for name in money},
        "units": {unit["unit"]: _quantity(unit["quantity"]) for unit in row["units"] or []},
        "blind_to": row["blind_to"] or [],
    }


def _quantity(amount: Decimal) -> int | str | None:
    """Write a whole number of units as a number, a part (seconds) as decimal text."""
    return int(amount) if amount == amount.to_integral_value() else decimal_text(amount)


def _share(row: dict[str, Any]) -> str | None:
    if row["exact_share"] in (None, 0.0, 1.0):
        return None if row["exact_share"] is None else str(int(row["exact_share"]))
    return _quotient(row["exact_cost_usd"], row["cost_usd"])


def _quotient(dividend: Decimal | None, divisor: Decimal | None) -> str | None:
    if dividend is None or not divisor:
        return None
    return decimal_text((dividend / divisor).quantize(Decimal("0.000001")))


def _rfc3339(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
