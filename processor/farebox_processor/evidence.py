"""Decoded and priced spans in, rows of ClickHouse `otel_traces` out.

The columns are those of the collector's ClickHouse exporter, so that what reads its tables reads
ours, plus what dashboards group by. What a call cost is among the span's attributes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from farebox_processor import wire
from farebox_processor.attribute_columns import Attributes
from farebox_processor.attribute_maps import (
    Dictionary,
    Entries,
    attribute_maps,
    coded_maps,
    lists_of,
    offsets_of,
)
from farebox_processor.content import EVENT_CONTENT_KEYS, is_content
from farebox_processor.enrichment import ATTACHED, Attached
from farebox_processor.frames import EVIDENCE, OTHER_OUTPUT
from farebox_processor.otlp import Decoded
from farebox_processor.otlp_attributes import read_attributes
from farebox_processor.otlp_spans import hex_ids, timestamps

__all__ = ["Evidence", "evidence_rows"]

_KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUSES: Final = ("Unset", "Ok", "Error")
_MOST_ATTRIBUTES: Final = 128
"""Of an event or a link."""
_INPUT_TOKENS: Final = (
    "input_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "input_video_tokens",
    "cache_read_tokens",
    "cache_read_audio_tokens",
    "cache_read_image_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)
_OUTPUT_TOKENS: Final = ("output_tokens", *OTHER_OUTPUT)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Rows of `otel_traces`."""

    frame: pl.DataFrame
    """frames.EVIDENCE, but for numbers in place of texts in the columns of `dictionaries`."""
    dictionaries: Mapping[str, Dictionary]

    def decoded(self) -> pl.DataFrame:
        """Return frames.EVIDENCE."""
        return self.frame.with_columns(
            dictionary.decode(self.frame[name]) for name, dictionary in self.dictionaries.items()
        )


def evidence_rows(
    decoded: Decoded, priced: pl.DataFrame, attached: Attached, *, content: bool = False
) -> Evidence:
    """Return one row per span of `priced`, which has those of `decoded.spans`.

    Prompts, answers, tool arguments and the like are left out unless `content` is asked for;
    which attributes these are is in content.py.
    """
    spans, height = decoded.spans, decoded.spans.height
    resources, of_resources = coded_maps(
        decoded.resource_attributes, decoded.resources, without=_none_of
    )
    said, of_said = coded_maps(
        decoded.span_attributes,
        height,
        without=_attached if content else _attached_or_content,
        more=Entries.of_columns(attached.rows, attached.attributes),
    )
    of_spans = spans.select(
        pl.col("started_at").alias("Timestamp"),
        pl.col("trace_id").alias("TraceId"),
        pl.col("span_id").alias("SpanId"),
        pl.col("parent_span_id").fill_null("").alias("ParentSpanId"),
        pl.col("trace_state").alias("TraceState"),
        pl.col("span_name").alias("SpanName"),
        _named("span_kind", _KINDS).alias("SpanKind"),
        pl.col("service_name").alias("ServiceName"),
        resources[spans["resource_row"]].alias("ResourceAttributes"),
        pl.col("scope_name").alias("ScopeName"),
        pl.col("scope_version").alias("ScopeVersion"),
        said.alias("SpanAttributes"),
        pl.col("duration_ns").alias("Duration"),
        _named("status_code", _STATUSES).alias("StatusCode"),
        pl.col("status_message").alias("StatusMessage"),
    )
    frame = pl.concat(
        [
            of_spans,
            _events(decoded.events, height, content=content),
            _links(decoded.links, height, content=content),
            _of_calls(priced),
        ],
        how="horizontal",
    ).select(EVIDENCE.keys())
    return Evidence(frame, {"ResourceAttributes": of_resources, "SpanAttributes": of_said})


def _of_calls(priced: pl.DataFrame) -> pl.DataFrame:
    return priced.select(
        pl.col("tenant").alias("TenantId"),
        pl.coalesce("conversation_id", "resource_conversation_id", pl.lit("")).alias(
            "ConversationId"
        ),
        pl.col("model").alias("Model"),
        pl.col("provider").alias("Provider"),
        pl.col("cost_usd").alias("CostUsd"),
        pl.col("cost_status").alias("CostStatus"),
        _sum_of_known(_INPUT_TOKENS).alias("InputTokens"),
        _sum_of_known(_OUTPUT_TOKENS).alias("OutputTokens"),
    )


def _sum_of_known(columns: tuple[str, ...]) -> pl.Expr:
    """Sum what is known; null where nothing is."""
    is_known = pl.any_horizontal(pl.col(column).is_not_null() for column in columns)
    return pl.when(is_known).then(pl.sum_horizontal(columns))


def _named(column: str, values: tuple[str, ...]) -> pl.Expr:
    """Name a number; one that OTLP does not know gets the first name."""
    number = pl.col(column)
    known = pl.when(number.is_between(0, len(values) - 1)).then(number).otherwise(0)
    return known.replace_strict(dict(enumerate(values)), return_dtype=pl.String)


def _none_of(keys: pl.Series) -> pl.Series:
    return pl.repeat(False, len(keys), eager=True)


def _attached(keys: pl.Series) -> pl.Series:
    """What is attached here is for us to say: under these names a span's own is left out."""
    return keys.is_in(ATTACHED)


def _attached_or_content(keys: pl.Series) -> pl.Series:
    return _attached(keys) | is_content(keys)


def _events(events: pl.DataFrame, height: int, *, content: bool) -> pl.DataFrame:
    if events.is_empty():
        return _no_lists("Events.", height)
    batch, rows = _readable(wire.EVENT, events)
    event_names = pl.Series(batch.column("name"))
    attributes = _attributes(batch)
    if not content:
        is_message = event_names.str.starts_with("gen_ai.").to_numpy()[attributes.rows]
        is_told = attributes.keys.is_in(EVENT_CONTENT_KEYS).to_numpy()[attributes.key_ids()]
        attributes = attributes.where(~(is_message & is_told))
    return _as_lists(
        {
            "Events.Timestamp": timestamps(batch.column("time_unix_nano").to_numpy()),
            "Events.Name": event_names,
            "Events.Attributes": attribute_maps(
                attributes, len(rows), without=_none_of if content else is_content
            ),
        },
        offsets_of(rows, height),
    )


def _links(links: pl.DataFrame, height: int, *, content: bool) -> pl.DataFrame:
    if links.is_empty():
        return _no_lists("Links.", height)
    batch, rows = _readable(wire.LINK, links)
    return _as_lists(
        {
            "Links.TraceId": hex_ids(batch.column("trace_id"), 16).fill_null(""),
            "Links.SpanId": hex_ids(batch.column("span_id"), 8).fill_null(""),
            "Links.TraceState": pl.Series(batch.column("trace_state")),
            "Links.Attributes": attribute_maps(
                _attributes(batch), len(rows), without=_none_of if content else is_content
            ),
        },
        offsets_of(rows, height),
    )


def _readable(message: wire.Message, sent: pl.DataFrame) -> tuple[pa.RecordBatch, npt.NDArray[Any]]:
    """Read events or links; one that cannot be read is left out."""
    rows = sent["row"].to_numpy()
    read = message.read(sent["raw"].to_arrow().cast(pa.binary()), rows)
    readable = np.setdiff1d(np.arange(len(rows)), read.undecodable)
    return read.batch.take(pa.array(readable)), rows[readable]


def _attributes(batch: pa.RecordBatch) -> Attributes:
    lists = batch.column("attributes")
    most = np.full(len(lists), _MOST_ATTRIBUTES)
    return read_attributes(lists, np.arange(len(lists)), most)[0]


def _as_lists(columns: dict[str, pl.Series], offsets: npt.NDArray[Any]) -> pl.DataFrame:
    return pl.DataFrame({name: lists_of(items, offsets) for name, items in columns.items()})


def _no_lists(prefix: str, height: int) -> pl.DataFrame:
    offsets = np.zeros(height + 1, dtype=np.int64)
    return pl.DataFrame(
        {
            name: lists_of(pl.Series(dtype=dtype.inner), offsets)
            for name, dtype in EVIDENCE.items()
            if name.startswith(prefix) and isinstance(dtype, pl.List)
        }
    )
