-- When a trace lies, so that a lookup by trace id need not read every day of `otel_traces`.
-- Grafana's ClickHouse data source looks for a table of this name.
CREATE TABLE IF NOT EXISTS otel_traces_trace_id_ts
(
    TraceId String CODEC(ZSTD(1)),
    Start SimpleAggregateFunction(min, DateTime) CODEC(Delta(4), ZSTD(1)),
    End SimpleAggregateFunction(max, DateTime) CODEC(Delta(4), ZSTD(1))
)
-- The least and the greatest: a repeat changes neither, unlike a sum.
ENGINE = AggregatingMergeTree
-- By week, to be dropped whole. A range that falls into two parts is one again in min() and max(),
-- which is how it is read.
PARTITION BY toMonday(Start)
ORDER BY TraceId
TTL Start + INTERVAL 40 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    -- Must be set on the target of a view too, or its rows are not recognised as repeats.
    non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel_traces_trace_id_ts_mv TO otel_traces_trace_id_ts AS
SELECT
    TraceId,
    -- Outside of 1970 to 2106 a DateTime would wrap round.
    toDateTime(least(greatest(min(Timestamp), toDateTime64(0, 9)), toDateTime64(4294967295, 9)))
        AS Start,
    toDateTime(least(greatest(max(Timestamp), toDateTime64(0, 9)), toDateTime64(4294967295, 9)))
        AS End
FROM otel_traces
WHERE TraceId != ''
GROUP BY TraceId;
