"""Every price of the base, held against genai-prices' own calculator over a wide random sample."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any, Final, TypeAlias

import polars as pl
from genai_prices import Usage
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

from farebox_processor.frames import SPANS, USAGE
from farebox_processor.price_base import BasePrices, load_base
from farebox_processor.price_book import PriceBook
from farebox_processor.price_units import BASE_PRICE_KEYS
from farebox_processor.pricing import price_spans

CALLS: Final = 9_320  # four for each model
SEED: Final = 20261121
ATOM: Final = Decimal(1).scaleb(-18)
FIRST_DAY: Final = datetime(2025, 1, 1, tzinfo=UTC)
DAYS: Final = 800
SIZES: Final = (0, 1, 86, 1_511, 32_000, 99_999, 100_001, 128_001, 200_000, 200_001, 272_001)
CONTEXTS: Final = (
    {},
    {"processing": "batch"},
    {"service_tier": "flex"},
    {"service_tier": "priority"},
    {"service_tier": "default"},
    {"speed": "fast"},
    {"search_type": "fast"},
    {"route": "mistral/eu"},
)
UNIT_KEYS: Final = {
    "web_search": ("web_searches",),
    "file_search": ("storage_searches",),
    "character": ("input_characters",),
    "audio_second": ("audio_seconds",),
    "input_audio_second": ("audio_seconds", "input_audio_seconds"),
    "message": ("input_text_messages",),
    "page": ("input_document_pages",),
}


Call: TypeAlias = tuple[ModelInfo, Provider, dict[str, Any], datetime, dict[str, str]]


def some_usage(rng: random.Random) -> dict[str, Any]:
    """A row of disjoint quantities, as a usage frame has them."""
    row: dict[str, Any] = {"input_tokens": rng.choice(SIZES), "output_tokens": rng.choice(SIZES)}
    optional = (
        "cache_read_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "input_audio_tokens",
        "input_image_tokens",
        "input_video_tokens",
        "cache_read_audio_tokens",
        "cache_read_image_tokens",
        "output_audio_tokens",
        "output_image_tokens",
        "output_video_tokens",
    )
    row |= {name: rng.randrange(300_000) for name in optional if rng.random() < 0.25}
    if rng.random() < 0.3:
        row["reasoning_tokens"] = rng.randrange(row["output_tokens"] + 1)
    if rng.random() < 0.3:
        unit = rng.choice(list(UNIT_KEYS))
        row["units"] = [{"unit": unit, "quantity": Decimal(rng.randrange(1, 5_000))}]
    return row


def as_their_usage(row: dict[str, Any]) -> Usage:
    """The same quantities the way genai-prices counts: wholes that include their parts."""

    def total(*names: str) -> int:
        return sum(row.get(name) or 0 for name in names)

    cached = total("cache_read_tokens", "cache_read_audio_tokens", "cache_read_image_tokens")
    written = total("cache_write_5m_tokens", "cache_write_1h_tokens")
    media_out = total("output_audio_tokens", "output_image_tokens", "output_video_tokens")
    fresh = total("input_tokens", "input_audio_tokens", "input_image_tokens", "input_video_tokens")
    counts = {
        "input_tokens": fresh + cached + written,
        "cache_read_tokens": cached,
        "cache_write_tokens": written,
        "cache_write_5m_tokens": total("cache_write_5m_tokens"),
        "cache_write_1h_tokens": total("cache_write_1h_tokens"),
        "input_audio_tokens": total("input_audio_tokens", "cache_read_audio_tokens"),
        "input_image_tokens": total("input_image_tokens", "cache_read_image_tokens"),
        "input_video_tokens": total("input_video_tokens"),
        "cache_audio_read_tokens": total("cache_read_audio_tokens"),
        "cache_image_read_tokens": total("cache_read_image_tokens"),
        "output_tokens": total("output_tokens") + media_out,
        "output_audio_tokens": total("output_audio_tokens"),
        "output_image_tokens": total("output_image_tokens"),
        "output_video_tokens": total("output_video_tokens"),
        "output_reasoning_tokens": total("reasoning_tokens"),
    }
    for counted in row.get("units") or ():
        counts |= dict.fromkeys(UNIT_KEYS[counted["unit"]], int(counted["quantity"]))
    return Usage(**counts)


def their_price(
    info: ModelInfo, seller: Provider, row: dict[str, Any], at: datetime, context: dict[str, str]
) -> Decimal:
    with localcontext() as exact:
        exact.prec = 60  # theirs works with 28 digits, which is not always enough
        result = info.calc_price(
            as_their_usage(row), seller, genai_request_timestamp=at, price_context=context
        )
        return result.total_price.quantize(ATOM)


def sample(base: BasePrices) -> list[Call]:
    rng = random.Random(SEED)
    models = [
        (model.info, base.providers[model.provider])
        for model in base.models
        for _ in range(CALLS // len(base.models))
    ]
    return [
        (
            info,
            seller,
            some_usage(rng),
            FIRST_DAY + timedelta(seconds=rng.randrange(DAYS * 86_400)),
            rng.choice(CONTEXTS),
        )
        for info, seller in models
    ]


def usage_frame(calls: list[Call]) -> pl.DataFrame:
    schema = SPANS | USAGE
    rows = [
        dict.fromkeys(schema)
        | {
            "tenant": "",
            "provider": seller.id,
            "model": info.id,
            "started_at": at,
            "duration_ns": 0,
            "candidate": True,
            "price_context": ",".join(f"{key}={value}" for key, value in context.items()),
        }
        | row
        for info, seller, row, at, context in calls
    ]
    return pl.DataFrame(rows, schema=schema)


def all_prices(info: ModelInfo) -> list[ModelPrice]:
    """The prices of every date, time of day and context."""
    dated = info.prices
    standard = [dated] if isinstance(dated, ModelPrice) else [one.prices for one in dated]
    return standard + [variant.prices for variant in info.price_variants or ()]


def is_minimum_charged(info: ModelInfo, seller: Provider) -> bool:
    """Groq's minimum of ten seconds is code in genai-prices and an overlay entry here."""
    return seller.id == "groq" and info.id.startswith("whisper-large-v3")


def is_finer_than_money(info: ModelInfo) -> bool:
    """Some prices came out of a float, as 0.08333333333333334 per million: more than 18 digits."""
    numbers = [
        number
        for one in all_prices(info)
        for price in vars(one).values()
        if price is not None
        for number in (
            [price.base, *(tier.price for tier in price.tiers)]
            if isinstance(price, TieredPrices)
            else [price]
        )
    ]
    return any(int(number.as_tuple().exponent) < -12 for number in numbers)


def tolerance(info: ModelInfo, row: dict[str, Any]) -> Decimal:
    """Nothing, but half of the last digit of each token's price for prices finer than that."""
    tokens = sum(value for name, value in row.items() if name.endswith("_tokens"))
    return ATOM * tokens / 2 if is_finer_than_money(info) else Decimal(0)


def test_every_model_of_the_base_costs_what_genai_prices_says_to_the_last_digit() -> None:
    base = load_base()
    calls = [call for call in sample(base) if not is_minimum_charged(call[0], call[1])]

    priced = price_spans(usage_frame(calls), PriceBook(base=base, files=()))

    differing = [
        (seller.id, info.id, row, at, context, cost, theirs)
        for (info, seller, row, at, context), cost in zip(
            calls, priced["list_cost_usd"].to_list(), strict=True
        )
        if abs((theirs := their_price(info, seller, row, at, context)) - cost)
        > tolerance(info, row)
    ]
    assert differing == []


def test_few_prices_are_finer_than_a_decimal_of_eighteen_digits_holds() -> None:
    fine = [model for model in load_base().models if is_finer_than_money(model.info)]

    assert {model.provider for model in fine} <= {"openrouter", "huggingface_together"}
    assert len(fine) < 25


def test_every_price_key_of_the_base_has_a_name_here() -> None:
    keys = {
        key
        for model in load_base().models
        for prices in all_prices(model.info)
        for key, price in vars(prices).items()
        if price is not None
    }

    assert keys <= BASE_PRICE_KEYS.keys()
