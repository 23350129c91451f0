"""The vocabulary of what can have a price: token quantities, counted units, and their parents."""

from decimal import Decimal
from typing import Final

from farebox_processor.frames import TOKENS

__all__ = [
    "BASE_PRICE_KEYS",
    "CALL",
    "IMPLIED_UNITS",
    "PRICE_PARENTS",
    "REQUEST",
    "SECOND",
    "SMALLEST_PRICE",
    "TOKENS_PER_PRICE",
    "UNIT_NAMES",
    "is_token_quantity",
]

TOKENS_PER_PRICE: Final = 1_000_000
"""Prices of tokens are quoted per million, here as on every provider's page."""

SMALLEST_PRICE: Final = Decimal(1).scaleb(-18)
"""The last digit of money."""

CALL: Final = "call"
"""Priced once per span that a rule matches."""
SECOND: Final = "second"
"""Priced by the duration of the span."""
REQUEST: Final = "request"
"""Priced once per request to a model, on top of its tokens."""

IMPLIED_UNITS: Final = (CALL, REQUEST, SECOND)
"""Units that a span need not count: it is one call, and it took its time."""

UNIT_NAMES: Final = frozenset(
    {
        CALL,
        SECOND,
        REQUEST,
        "annotated_page",
        "audio_second",
        "character",
        "citation_token",
        "code_execution",
        "code_session",
        "file_search",
        "image",
        "input_audio_second",
        "message",
        "output_audio_second",
        "page",
        "pixel",
        "rerank_search",
        "social_search",
        "video_second",
        "web_fetch",
        "web_search",
    }
)
"""Units beside tokens that a price can name; a price file may declare more of them."""

BASE_PRICE_KEYS: Final = {
    "input_mtok": "input_tokens",
    "input_audio_mtok": "input_audio_tokens",
    "input_image_mtok": "input_image_tokens",
    "input_video_mtok": "input_video_tokens",
    "cache_read_mtok": "cache_read_tokens",
    "cache_audio_read_mtok": "cache_read_audio_tokens",
    "cache_image_read_mtok": "cache_read_image_tokens",
    "cache_write_mtok": "cache_write_5m_tokens",
    "cache_write_1h_mtok": "cache_write_1h_tokens",
    "output_mtok": "output_tokens",
    "output_audio_mtok": "output_audio_tokens",
    "output_image_mtok": "output_image_tokens",
    "output_video_mtok": "output_video_tokens",
    "output_reasoning_mtok": "reasoning_tokens",
    "output_citation_mtok": "citation_token",
    "input_mchars": "character",
    "input_text_messages_kcount": "message",
    "audio_hours": "audio_second",
    "input_audio_hours": "input_audio_second",
    "output_audio_hours": "output_audio_second",
    "input_gpixels": "pixel",
    "input_document_kpages": "page",
    "input_annotated_document_kpages": "annotated_page",
    "rerank_searches_kcount": "rerank_search",
    "web_searches_kcount": "web_search",
    "social_searches_kcount": "social_search",
    "storage_searches_kcount": "file_search",
    "code_executions_kcount": "code_execution",
    "requests_kcount": REQUEST,
}
"""Price keys of genai-prices and what they are called here."""

PRICE_PARENTS: Final = {
    "input_audio_tokens": ("input_tokens",),
    "input_image_tokens": ("input_tokens",),
    "input_video_tokens": ("input_tokens",),
    "cache_read_tokens": ("input_tokens",),
    "cache_read_audio_tokens": ("cache_read_tokens", "input_audio_tokens", "input_tokens"),
    "cache_read_image_tokens": ("cache_read_tokens", "input_image_tokens", "input_tokens"),
    "cache_write_5m_tokens": ("input_tokens",),
    "cache_write_1h_tokens": ("cache_write_5m_tokens", "input_tokens"),
    "output_audio_tokens": ("output_tokens",),
    "output_image_tokens": ("output_tokens",),
    "output_video_tokens": ("output_tokens",),
    "audio_second": ("input_audio_second",),
    "input_audio_second": ("audio_second",),
    "output_audio_second": ("audio_second",),
    "annotated_page": ("page",),
}
"""Whose price a quantity takes when it has none of its own, the nearest first.

genai-prices charges what has no price of its own as part of the wider unit; reasoning is not
listed, since it is counted in the output tokens already.
"""


def is_token_quantity(quantity: str) -> bool:
    """Return whether prices of `quantity` are quoted per million."""
    return quantity in TOKENS
